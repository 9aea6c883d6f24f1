//! Opens the store that the settings name.

use std::sync::Arc;

use crate::config::{Settings, StoreLocation};
use crate::server::ServerError;
use crate::store::embedded::{self, EmbeddedStore};
use crate::store::redis::{self, RedisStore};
use crate::store::{Store, StoreError};

pub(super) fn store(settings: &Settings) -> Result<Arc<dyn Store>, ServerError> {
    let refused =
        |source: StoreError| ServerError::Store { location: settings.store.to_string(), source };
    let (dedup_window, audit) = (settings.dedup_window, settings.audit);
    let embedded = embedded::Options { dedup_window, audit, ..embedded::Options::default() };
    match &settings.store {
        StoreLocation::Memory => Ok(Arc::new(EmbeddedStore::in_memory(embedded).map_err(refused)?)),
        StoreLocation::Embedded(path) => {
            Ok(Arc::new(EmbeddedStore::open(path, embedded).map_err(refused)?))
        }
        StoreLocation::Redis(url) => {
            let options = redis::Options {
                prefix: settings.redis_prefix.clone(),
                dedup_window,
                audit,
                ..redis::Options::default()
            };
            Ok(Arc::new(RedisStore::new(url, options).map_err(refused)?))
        }
    }
}
