//! ListExperiments: newest first, page by page.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::domain::experiment::{Experiment, State};
use crate::service::{Service, ServiceError};

const DEFAULT_SIZE: usize = 50;
const LARGEST_SIZE: usize = 500;

/// Which experiments, and where to go on.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// 0 means 50; more than 500 means 500.
    pub size: i32,
    /// From the page before.
    pub token: String,
    /// Empty means every state but archived.
    pub states: Vec<State>,
    /// All must match.
    pub labels: BTreeMap<String, String>,
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Newest first.
    pub experiments: Vec<Experiment>,
    /// Empty at the end.
    pub next_token: String,
}

/// Position after the last experiment of a page: it stays right when others come and go.
struct Cursor {
    created: i64,
    id: String,
}

impl Service {
    /// Lists experiments, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a size below zero or a token of another query,
    /// [`ServiceError::StoreUnavailable`].
    pub async fn list_experiments(&self, request: &PageRequest) -> Result<Page, ServiceError> {
        let size = match usize::try_from(request.size) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(LARGEST_SIZE),
            Err(_) => return Err(ServiceError::bad_field("page_size", "must not be negative")),
        };
        let cursor = request.cursor()?;
        let mut found = self.store.records().await?.experiments;
        found.retain(|experiment| request.matches(experiment));
        let place = |e: &Experiment| (Reverse(e.created.0), e.id().to_string());
        found.sort_by_key(place);
        if let Some(cursor) = cursor {
            let last = (Reverse(cursor.created), cursor.id);
            found.retain(|experiment| place(experiment) > last);
        }
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more);
        let next_token = last.map(|last| request.token_after(last)).unwrap_or_default();
        Ok(Page { experiments: found, next_token })
    }
}

impl PageRequest {
    fn matches(&self, experiment: &Experiment) -> bool {
        let state = match self.states.as_slice() {
            [] => experiment.state != State::Archived,
            wanted => wanted.contains(&experiment.state),
        };
        let labels = &experiment.definition.labels;
        state && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// Tokens are plain text, `1.{created}.{id}.{query}`: nothing in them is secret, and a person
    /// at a terminal can read them.
    fn token_after(&self, last: &Experiment) -> String {
        format!("1.{}.{}.{:x}", last.created.0, last.id(), self.query())
    }

    fn cursor(&self) -> Result<Option<Cursor>, ServiceError> {
        if self.token.is_empty() {
            return Ok(None);
        }
        let parts: Vec<&str> = self.token.split('.').collect();
        if let ["1", created, id, query] = parts.as_slice()
            && let Ok(created) = created.parse()
            && *query == format!("{:x}", self.query())
        {
            return Ok(Some(Cursor { created, id: (*id).to_owned() }));
        }
        Err(ServiceError::bad_field("page_token", "is not from a page of this query"))
    }

    /// Tells queries apart (FNV-1a). The page size is not part of it: it may change on the way.
    fn query(&self) -> u64 {
        let text = format!("{:?}{:?}", self.states, self.labels);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}
