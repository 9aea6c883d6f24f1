//! What an error of Redis means for the caller: wait and try again, or call somebody.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// Whatever says that the data is not ours is [`StoreError::Corrupt`]; everything else, from a
/// timeout over LOADING, READONLY and OOM to a wrong password, is [`StoreError::Unavailable`]:
/// the store does not do its work now, and whoever set it up can make it.
pub(super) fn classify(error: RedisError) -> StoreError {
    // Redis 6 puts the code of an error inside a script into the text.
    let says = |code| error.code() == Some(code) || error.to_string().contains(code);
    if error.code() == Some("COUNTERFULL") {
        StoreError::CounterFull
    } else if error.kind() == ErrorKind::UnexpectedReturnType
        || says("WRONGTYPE")
        || says("UNREADABLE")
    {
        StoreError::Corrupt(error.to_string())
    } else {
        StoreError::unavailable(error)
    }
}

/// Whether Redis does not know the command, or does not let this user have it.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || error.to_string().contains("unknown command")
}

/// A call without an answer, or with one that is an error.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: StoreError,
    /// Redis may have done what it was asked: the connection or the time ended after sending.
    pub(super) may_have_arrived: bool,
}

impl Failed {
    /// Redis said what it did.
    pub(super) fn known(error: StoreError) -> Self {
        Self { error, may_have_arrived: false }
    }

    pub(super) fn unknown(error: StoreError) -> Self {
        Self { error, may_have_arrived: true }
    }
}

impl From<RedisError> for Failed {
    fn from(error: RedisError) -> Self {
        let may_have_arrived = error.is_io_error() && !error.is_connection_refusal();
        Self { error: classify(error), may_have_arrived }
    }
}

/// The address without the password, for logs.
pub(super) fn redact(url: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (url, None),
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    // A socket's URL has the password among the parameters.
    let shown = query.into_iter().flat_map(|query| query.split('&'));
    let shown: Vec<&str> =
        shown.filter(|pair| pair.starts_with("db=") || pair.starts_with("protocol=")).collect();
    let question = if shown.is_empty() { "" } else { "?" };
    format!("{scheme}://{host}{question}{}", shown.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://u:secret@h:6379/0", "redis://h:6379/0"),
            ("redis://:se@c/ret@h", "redis://h"),
            ("redis+unix:///run/r.sock?db=1&pass=secret", "redis+unix:///run/r.sock?db=1"),
            ("unix:///r?user=u&pass=a@b", "unix:///r"),
            ("secret", "://secret"),
        ] {
            assert_eq!(redact(url), shown);
        }
    }
}
