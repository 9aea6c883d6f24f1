//! WatchResults: what the watch tells, as messages, until the server stops.

use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use tonic::Status;

use crate::rpc::clock::now;
use crate::rpc::convert::results;
use crate::rpc::stop::Stop;
use crate::rpc::{pb, status};
use crate::service::{ServiceError, Watch};

/// The results, whenever they changed.
pub(super) type Changes = BoxStream<'static, Result<pb::WatchResultsResponse, Status>>;

pub(super) fn changes(watch: Watch, stop: Stop) -> Changes {
    unfold(Some((watch, stop)), |watched| async move {
        let (mut watch, mut stop) = watched?;
        let told = tokio::select! {
            biased;
            () = stop.requested() => Err(ServiceError::ShuttingDown),
            told = watch.next(now) => told,
        };
        Some(match told {
            Ok(told) => {
                let results = told.map(|(told, time)| results::results_to_pb(&told, time));
                (Ok(pb::WatchResultsResponse { results }), Some((watch, stop)))
            }
            Err(error) => (Err(status::status(&error)), None),
        })
    })
    .boxed()
}
