//! Which programs get scores: `KIND=URL`, and a key for those that want one.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Where it is needed.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What kind of program, and what else it has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Annotations of spans.
    Phoenix,
    /// Assessments of traces.
    Mlflow,
    /// Feedback to runs.
    Langsmith {
        /// The id of the project, which LangSmith calls a session.
        project: Option<String>,
    },
    /// Feedback to calls.
    Weave {
        /// `ENTITY/PROJECT`.
        project: String,
    },
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Phoenix => "phoenix",
            Self::Mlflow => "mlflow",
            Self::Langsmith { .. } => "langsmith",
            Self::Weave { .. } => "weave",
        }
    }
}

/// A program that gets scores. Read from `phoenix=URL`, `mlflow=URL`, `langsmith=URL?project=ID`
/// or `weave=URL?project=ENTITY/PROJECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreSink {
    pub(super) kind: Kind,
    base: Url,
    pub(super) key: Option<Secret>,
}

impl ScoreSink {
    /// Whether there are such programs.
    #[must_use]
    pub fn is_kind(name: &str) -> bool {
        matches!(name, "phoenix" | "mlflow" | "langsmith" | "weave")
    }

    /// With the key that its program wants.
    #[must_use]
    pub fn with_key(self, key: Secret) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The name of its kind, by which it is given a key.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// A path below its URL.
    pub(super) fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }
}

impl FromStr for ScoreSink {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, url) = text.split_once('=').ok_or("must be KIND=URL")?;
        let mut base = Url::parse(url).map_err(|error| format!("{kind}: {error}"))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(format!("{kind}: must be an http:// or https:// URL"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(format!("{kind}: a key belongs into --score-keys, not into the URL"));
        }
        let mut pairs = base.query_pairs();
        let project = pairs.find(|(name, _)| name == "project").map(|(_, id)| id.into_owned());
        let kind = match (kind, project) {
            ("phoenix", None) => Kind::Phoenix,
            ("mlflow", None) => Kind::Mlflow,
            ("phoenix" | "mlflow", Some(_)) => {
                return Err(format!("{kind}: takes no project: the span has one already"));
            }
            ("langsmith", project) => Kind::Langsmith { project },
            ("weave", Some(project))
                if project.split('/').filter(|p| !p.is_empty()).count() == 2 =>
            {
                Kind::Weave { project }
            }
            ("weave", _) => return Err("weave: needs ?project=ENTITY/PROJECT".to_owned()),
            _ => return Err("must be phoenix=, mlflow=, langsmith= or weave=".to_owned()),
        };
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { kind, base, key: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(text: &str) -> Result<ScoreSink, String> {
        text.parse()
    }

    #[test]
    fn paths_go_below_the_url() {
        let url = |text: &str| sink(text).unwrap().at("v1/x").to_string();
        assert_eq!(url("phoenix=http://localhost:6006"), "http://localhost:6006/v1/x");
        assert_eq!(url("langsmith=https://host/api/v1/?project=1"), "https://host/api/v1/v1/x");
    }

    #[test]
    fn what_is_no_sink_is_refused() {
        for (text, told) in [
            ("http://localhost:6006", "KIND=URL"),
            ("phoenix", "KIND=URL"),
            ("phoenix=localhost", "phoenix: "),
            ("phoenix=ftp://host", "http://"),
            ("phoenix=http://host?project=p", "no project"),
            ("weave=https://host", "ENTITY/PROJECT"),
            ("weave=https://host?project=/p", "ENTITY/PROJECT"),
            ("jaeger=http://host", "must be phoenix="),
            ("langsmith=https://me:secret@host", "--score-keys"),
        ] {
            let error = sink(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let sink = sink("phoenix=http://host").unwrap().with_key("planted".to_owned().into());
        assert!(!format!("{sink:?}").contains("planted"));
    }
}
