//! Pages of lists: how many entries, where the next one begins, and what fits into a message.

use std::fmt;

use crate::service::ServiceError;

/// How many entries a page may be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageSize {
    /// When none was asked for.
    pub(super) default: usize,
    /// More are cut to this.
    pub(super) largest: usize,
}

impl PageSize {
    /// The size that a request asks for.
    pub(super) fn of(self, wanted: i32) -> Result<usize, ServiceError> {
        match usize::try_from(wanted) {
            Ok(0) => Ok(self.default),
            Ok(wanted) => Ok(wanted.min(self.largest)),
            Err(_) => Err(ServiceError::bad_field("page_size", "must not be negative")),
        }
    }
}

/// Writes and reads the tokens of one query.
///
/// A token is plain text, `1.{place}.{query}`: nothing in it is secret, and a person at a terminal
/// can read it. It names the last entry of a page and not a number of entries, so it stays right
/// when others come and go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    query: u64,
}

impl Token {
    /// For a query in whatever text tells it apart from others (FNV-1a). The page size is not part
    /// of it: it may change on the way.
    pub(super) fn of_query(query: &impl fmt::Debug) -> Self {
        let text = format!("{query:?}");
        let query = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { query }
    }

    /// For the place after an entry; no part of it holds a dot.
    pub(super) fn write(self, place: &[String]) -> String {
        format!("1.{}.{:x}", place.join("."), self.query)
    }

    /// The place that a token names; `None` for the beginning.
    pub(super) fn read(self, token: &str) -> Result<Option<Vec<String>>, ServiceError> {
        if token.is_empty() {
            return Ok(None);
        }
        let parts: Vec<&str> = token.split('.').collect();
        match parts.as_slice() {
            ["1", place @ .., query] if *query == format!("{:x}", self.query) => {
                Ok(Some(place.iter().map(ToString::to_string).collect()))
            }
            _ => Err(Self::foreign()),
        }
    }

    /// A token that this query did not give out.
    pub(super) fn foreign() -> ServiceError {
        ServiceError::bad_field("page_token", "is not from a page of this query")
    }
}

/// How many entries of these sizes fit into so many bytes: at least the first.
pub(super) fn fitting(sizes: impl Iterator<Item = usize>, bytes: usize) -> usize {
    let mut left = bytes;
    let fits = sizes.enumerate().take_while(|(index, size)| {
        let fits = *size <= left;
        left = left.saturating_sub(*size);
        fits || *index == 0
    });
    fits.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_query() {
        let (one, other) = (Token::of_query(&("a", 1)), Token::of_query(&("a", 2)));
        let place = ["-7".to_owned(), "x-y".to_owned()];
        let token = one.write(&place);
        assert_eq!(one.read(&token).unwrap().as_deref(), Some(place.as_slice()));
        assert_eq!(one.read("").unwrap(), None);
        for foreign in [other.write(&place), "1".to_owned(), format!("2{token}"), "...".to_owned()]
        {
            assert!(one.read(&foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn what_fits_is_never_nothing() {
        for (sizes, bytes, expected) in [
            (vec![], 5, 0),
            (vec![9], 5, 1),
            (vec![2, 3, 1], 5, 2),
            (vec![9, 1], 5, 1),
            (vec![1; 9], 5, 5),
        ] {
            assert_eq!(fitting(sizes.into_iter(), bytes), expected);
        }
    }
}
