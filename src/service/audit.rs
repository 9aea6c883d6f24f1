//! ListAuditEvents: newest first, page by page.

use crate::domain::audit::{AuditEvent, AuditFilter, EventNumber};
use crate::service::page::{PageSize, Token, fitting};
use crate::service::{Service, ServiceError};
use crate::store::AuditQuery;

const SIZE: PageSize = PageSize { default: 100, largest: 1_000 };

/// Which events, and where to go on.
#[derive(Debug, Clone, Default)]
pub struct AuditRequest {
    /// 0 means 100; more than 1,000 means 1,000.
    pub size: i32,
    /// From the page before.
    pub token: String,
    /// Which of them.
    pub filter: AuditFilter,
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvents {
    /// Newest first.
    pub events: Vec<AuditEvent>,
    /// Empty at the end.
    pub next_token: String,
}

impl Service {
    /// Lists what was changed, newest first. A page ends early where the next event would take it
    /// beyond `bytes`, by the size that `size_of` gives each; it has at least one event if there
    /// is one.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a size below zero or a token of another query,
    /// [`ServiceError::StoreUnavailable`].
    pub async fn audit_events(
        &self,
        request: &AuditRequest,
        bytes: usize,
        size_of: impl Fn(&AuditEvent) -> usize + Send,
    ) -> Result<AuditEvents, ServiceError> {
        let limit = SIZE.of(request.size)?;
        let token = Token::of_query(&request.filter);
        let before = match token.read(&request.token)?.as_deref() {
            None => None,
            Some([number]) => Some(EventNumber(number.parse().map_err(|_| Token::foreign())?)),
            Some(_) => return Err(Token::foreign()),
        };
        let query = AuditQuery { filter: request.filter.clone(), before, limit, bytes };
        let page = self.store.audit(&query).await?;
        let mut events = page.events;
        let fitting = fitting(events.iter().map(size_of), bytes);
        let more = page.more || fitting < events.len();
        events.truncate(fitting);
        let last = events.last().filter(|_| more);
        let next_token = last.map(|last| token.write(&[last.number.0.to_string()]));
        Ok(AuditEvents { events, next_token: next_token.unwrap_or_default() })
    }
}
