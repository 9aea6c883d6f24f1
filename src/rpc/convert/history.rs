//! GetResultsHistory and WatchResults: requests in, points out.

use std::time::Duration;

use crate::domain::history::Point;
use crate::rpc::convert::{results, value};
use crate::rpc::pb;
use crate::service::{HistoryRequest, WatchRequest};

pub(in crate::rpc) fn history_request(from: pb::GetResultsHistoryRequest) -> HistoryRequest {
    HistoryRequest {
        experiment_id: from.experiment_id,
        metric_id: from.metric_id,
        iteration: from.iteration,
        max_points: from.max_points,
    }
}

pub(in crate::rpc) fn point_to_pb(from: &Point, metric: &str) -> pb::ResultsPoint {
    pb::ResultsPoint {
        time: Some(value::timestamp_to_pb(from.time)),
        exposures: from.exposures.iter().map(results::exposure_to_pb).collect(),
        comparisons: from.comparisons(metric).iter().map(results::comparison_to_pb).collect(),
    }
}

pub(in crate::rpc) fn watch_request(from: pb::WatchResultsRequest) -> WatchRequest {
    WatchRequest {
        experiment_id: from.experiment_id,
        metric_ids: from.metric_ids,
        // One below zero is below the shortest, and raised as well.
        min_interval: from.min_interval.map(|i| Duration::try_from(i).unwrap_or_default()),
    }
}
