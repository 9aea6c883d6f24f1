//! The keys of the programs that get scores, apart from their URLs so that only these are secret.

use std::str::FromStr;

use crate::sinks::{ScoreSink, Secret};

/// The key of one kind of program.
#[derive(Debug, Clone)]
pub(super) struct ScoreKey {
    kind: String,
    key: Secret,
}

impl FromStr for ScoreKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((kind, key)) if ScoreSink::is_kind(kind) && !key.is_empty() => {
                Ok(Self { kind: kind.to_owned(), key: key.to_owned().into() })
            }
            // The text is not repeated: it may be a key.
            _ => Err("must be KIND=KEY with phoenix, mlflow, langsmith or weave".to_owned()),
        }
    }
}

/// Each sink with the key of its kind.
pub(super) fn with_keys(sinks: Vec<ScoreSink>, keys: &[ScoreKey]) -> Vec<ScoreSink> {
    let key = |sink: &ScoreSink| keys.iter().find(|key| key.kind == sink.name());
    let keyed = |sink: ScoreSink| match key(&sink) {
        Some(ScoreKey { key, .. }) => sink.with_key(key.clone()),
        None => sink,
    };
    sinks.into_iter().map(keyed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_to_their_kind_and_are_not_shown() {
        let sinks = ["phoenix=http://a", "mlflow=http://b"].map(|sink| sink.parse().unwrap());
        let keys = ["mlflow=planted=1".parse().unwrap()];
        let keyed = with_keys(sinks.to_vec(), &keys);
        let key = Secret::from("planted=1".to_owned());
        assert_eq!(keyed[0], sinks[0]);
        assert_eq!(keyed[1], sinks[1].clone().with_key(key));
        assert!(!format!("{keyed:?} {keys:?}").contains("planted"));
        for bad in ["planted", "jaeger=planted", "phoenix="] {
            assert!(!bad.parse::<ScoreKey>().unwrap_err().contains("planted"));
        }
    }
}
