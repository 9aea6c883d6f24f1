//! ListExperiments: newest first, page by page.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::experiment::{Experiment, State};
use crate::service::page::{PageSize, Token, fitting};
use crate::service::{Service, ServiceError};

const SIZE: PageSize = PageSize { default: 50, largest: 500 };

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
    pub experiments: Vec<Arc<Experiment>>,
    /// Empty at the end.
    pub next_token: String,
}

impl Service {
    /// Lists experiments, newest first. A page ends early where the next experiment would take it
    /// beyond `bytes`, by the size that `size_of` gives each; it has at least one if there is one.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a size below zero or a token of another query,
    /// [`ServiceError::StoreUnavailable`].
    pub async fn list_experiments(
        &self,
        request: &PageRequest,
        bytes: usize,
        size_of: impl Fn(&Experiment) -> usize + Send,
    ) -> Result<Page, ServiceError> {
        let limit = SIZE.of(request.size)?;
        let token = Token::of_query(&(&request.states, &request.labels));
        let after = request.place(token)?;
        // As fresh as the store: nothing is read again when nothing changed.
        self.refresh().await?;
        let snapshot = self.catalog.snapshot()?;
        let mut found: Vec<_> = snapshot.iter().filter(|e| request.matches(e)).collect();
        found.retain(|experiment| after.as_ref().is_none_or(|after| place(experiment) > *after));
        found.sort_by_key(|experiment| place(experiment));
        let sizes = found.iter().take(limit).map(|experiment| size_of(experiment));
        let fitting = fitting(sizes, bytes);
        let more = fitting < found.len();
        found.truncate(fitting);
        let last = found.last().filter(|_| more);
        let next_token =
            last.map(|last| token.write(&[last.created.0.to_string(), last.id().to_string()]));
        let experiments = found.into_iter().map(Arc::clone).collect();
        Ok(Page { experiments, next_token: next_token.unwrap_or_default() })
    }
}

/// Newest first; of those created at the same time by name.
fn place(experiment: &Experiment) -> (Reverse<i64>, String) {
    (Reverse(experiment.created.0), experiment.id().to_string())
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

    fn place(&self, token: Token) -> Result<Option<(Reverse<i64>, String)>, ServiceError> {
        match token.read(&self.token)?.as_deref() {
            None => Ok(None),
            Some([created, id]) => {
                let created = created.parse().map_err(|_| Token::foreign())?;
                Ok(Some((Reverse(created), id.clone())))
            }
            Some(_) => Err(Token::foreign()),
        }
    }
}
