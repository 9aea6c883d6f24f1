//! Delete: the record and all its data.

use crate::domain::audit::{Action, Author};
use crate::domain::counter::ShardKey;
use crate::service::admin::EtagCheck;
use crate::service::{Service, ServiceError};
use crate::store::StoreError;

impl Service {
    /// Deletes a draft or archived experiment and all its data.
    ///
    /// # Errors
    /// [`ServiceError::ExperimentNotFound`] unless `allow_missing`,
    /// [`ServiceError::EtagMismatch`], [`ServiceError::NotDeletable`], [`ServiceError::StoreUnavailable`].
    pub async fn delete_experiment(
        &self,
        id: &str,
        etag: EtagCheck,
        allow_missing: bool,
        author: &Author,
    ) -> Result<(), ServiceError> {
        let stored = match self.experiment(id).await {
            Err(ServiceError::ExperimentNotFound(_)) if allow_missing => return Ok(()),
            other => other?,
        };
        if !etag.admits(stored.revision) {
            return Err(ServiceError::EtagMismatch(id.to_owned()));
        }
        if !stored.is_deletable() {
            let experiment = id.to_owned();
            return Err(ServiceError::NotDeletable { experiment, state: stored.state });
        }
        let data: Vec<_> =
            stored.iterations.iter().flat_map(|i| ShardKey::all(&stored, i)).collect();
        let cause = author.by(Action::Delete);
        match self.store.remove(stored.id(), stored.revision, &data, &cause).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => {
                return Err(ServiceError::EtagMismatch(id.to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
        self.refresh_after_write().await;
        Ok(())
    }
}
