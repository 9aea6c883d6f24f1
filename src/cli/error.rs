//! What a command can fail with, worded for the person at the terminal.
//!
//! The text is complete: one sentence, then one indented line per faulty field or row. The status
//! of a failed call keeps the server's own words and the machine-readable reason.

use std::{fmt, io};

use tonic::Status;
use tonic_types::StatusExt;

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// The server refused a call or could not be reached.
    Call {
        /// What was attempted: "create experiment support-bot".
        attempt: String,
        /// What came back.
        status: Box<Status>,
    },
    /// The endpoint is not a URI, or nobody listens there.
    Connect {
        /// Where.
        endpoint: String,
        /// Why not.
        cause: tonic::transport::Error,
    },
    /// What the person gave cannot be used; the text says where and why.
    Input(String),
    /// The command did its work and parts of it were refused; the text says how much.
    Incomplete(String),
    /// The answer could not be written.
    Output(io::Error),
}

impl Error {
    /// Attaches what was attempted to the status of a failed call.
    pub(super) fn call(attempt: impl Into<String>) -> impl FnOnce(Status) -> Self {
        let attempt = attempt.into();
        move |status| Self::Call { attempt, status: Box::new(status) }
    }

    /// An answer that lacks what the contract promises.
    pub(super) fn lacking(what: &str) -> Self {
        Self::Input(format!("the server's answer has no {what}: is it of another version?"))
    }
}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::Output(cause)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { attempt, status } => refused(f, attempt, status),
            Self::Connect { endpoint, .. } => write!(
                f,
                "no server answers at {endpoint}; start one with `tiebreak serve`, or say where it \
                 is with --endpoint or TIEBREAK_ENDPOINT"
            ),
            Self::Input(text) | Self::Incomplete(text) => f.write_str(text),
            Self::Output(_) => f.write_str("cannot write the answer"),
        }
    }
}

/// An error and its causes in one line. A cause that the text before contains is not told again,
/// and neither is what a storage engine prints of its own inside; the operating system's reason
/// follows as a cause of its own.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    for link in std::iter::successors(Some(error), |error| error.source()) {
        let link = link.to_string();
        let link = link.split("FjallError: ").next().unwrap_or_default();
        let link = link.trim_end_matches([' ', ':']);
        if !text.contains(link) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(link);
        }
    }
    text
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The status is told in full above; naming it again would print it twice.
            Self::Call { .. } | Self::Input(_) | Self::Incomplete(_) => None,
            // The cause itself only says that it is a cause: "transport error".
            Self::Connect { cause, .. } => cause.source(),
            Self::Output(cause) => Some(cause),
        }
    }
}

fn refused(f: &mut fmt::Formatter<'_>, attempt: &str, status: &Status) -> fmt::Result {
    let reason = status
        .get_details_error_info()
        .map_or_else(|| format!("{:?}", status.code()), |info| info.reason);
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    let violations = violations.unwrap_or_default();
    // The message of a status repeats its violations for those who read nothing else.
    let summary = match violations.len() {
        0 => status.message().trim_end_matches('.').to_owned(),
        1 => "one field is at fault".to_owned(),
        several => format!("{several} fields are at fault"),
    };
    write!(f, "cannot {attempt}: {summary} ({reason})")?;
    for violation in violations {
        write!(f, "\n  {}: {}", violation.field, violation.description)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_refusal_names_its_reason_and_every_field() {
        let mut details = ErrorDetails::with_error_info(
            "INVALID_EXPERIMENT",
            "tiebreak.v1",
            std::collections::HashMap::new(),
        );
        details.add_bad_request_violation("variants", "weights sum to 9,999");
        details.add_bad_request_violation("metrics[1].kind", "is required");
        let status =
            Status::with_error_details(Code::InvalidArgument, "variants: weights ...", details);
        assert_eq!(
            Error::call("create experiment x")(status).to_string(),
            "cannot create experiment x: 2 fields are at fault (INVALID_EXPERIMENT)\n  \
             variants: weights sum to 9,999\n  metrics[1].kind: is required"
        );
    }

    #[test]
    fn a_chain_of_causes_says_everything_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Link(&'static str, #[source] Option<Box<Link>>);
        let link = |text, source: Option<Link>| Link(text, source.map(Box::new));
        let redis =
            link("unavailable: refused (os error 111)", Some(link("refused (os error 111)", None)));
        assert_eq!(
            chain(&link("cannot open", Some(redis))),
            "cannot open: unavailable: refused (os error 111)"
        );
        let os = link("No such file or directory (os error 2)", None);
        let fjall = link("unavailable: FjallError: Io(Os { code: 2 })", Some(os));
        assert_eq!(chain(&fjall), "unavailable: No such file or directory (os error 2)");
    }

    #[test]
    fn a_bare_status_shows_its_code() {
        let error = Error::call("list experiments")(Status::unimplemented("not yet"));
        assert_eq!(error.to_string(), "cannot list experiments: not yet (Unimplemented)");
    }
}
