//! ListAuditEvents: queries in, pages out.

use prost::Message;

use crate::domain::audit::{Action, AuditEvent, AuditFilter};
use crate::domain::id::ExperimentId;
use crate::domain::violation::Violations;
use crate::rpc::convert::experiment::experiment_to_pb;
use crate::rpc::convert::{listing, value};
use crate::rpc::pb;
use crate::service::{AuditEvents, AuditRequest};

const SERVICE: &str = "tiebreak.v1.AdminService/";

pub(in crate::rpc) fn request(
    from: pb::ListAuditEventsRequest,
) -> Result<AuditRequest, Violations> {
    let mut bad = Violations::new();
    let mut actions = Vec::with_capacity(from.methods.len());
    for (index, method) in from.methods.iter().enumerate() {
        let wanted = method.strip_prefix(SERVICE).unwrap_or(method);
        let known = Action::ALL.into_iter().find(|action| name(*action) == wanted);
        if known.is_none() {
            let names = Action::ALL.map(name).join(", ");
            bad.add(format!("methods[{index}]"), format!("must be one of {names}"));
        }
        actions.extend(known);
    }
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let experiment = given(from.experiment_id)
        .and_then(|id| bad.check("experiment_id", ExperimentId::parse(&id)));
    let mut time = |field, time: Option<prost_types::Timestamp>| {
        time.and_then(|time| bad.check(field, value::timestamp(time)))
    };
    let (from_time, until) = (time("start_time", from.start_time), time("end_time", from.end_time));
    let filter =
        AuditFilter { experiment, actor: given(from.actor), actions, from: from_time, until };
    bad.into_result(AuditRequest { size: from.page_size, token: from.page_token, filter })
}

/// What an event takes in a page.
pub(in crate::rpc) fn size(from: &AuditEvent) -> usize {
    listing::entry_size(event_to_pb(from).encoded_len())
}

pub(in crate::rpc) fn page_to_pb(from: &AuditEvents) -> pb::ListAuditEventsResponse {
    pb::ListAuditEventsResponse {
        events: from.events.iter().map(event_to_pb).collect(),
        next_page_token: from.next_token.clone(),
    }
}

fn event_to_pb(from: &AuditEvent) -> pb::AuditEvent {
    let paths = from.changed().into_iter().map(str::to_owned).collect();
    pb::AuditEvent {
        // As many digits as the largest number, so that texts ascend as numbers do.
        event_id: format!("{:020}", from.number.0),
        event_time: Some(value::timestamp_to_pb(from.cause.time)),
        actor: from.cause.actor.as_str().to_owned(),
        method: format!("{SERVICE}{}", name(from.cause.action)),
        experiment_id: from.experiment.to_string(),
        changed: Some(prost_types::FieldMask { paths }),
        before: from.before.as_ref().map(experiment_to_pb),
        after: from.after.as_ref().map(experiment_to_pb),
        note: from.cause.note.clone(),
    }
}

/// The RPC behind an action.
fn name(action: Action) -> &'static str {
    match action {
        Action::Create => "CreateExperiment",
        Action::Update => "UpdateExperiment",
        Action::Start => "StartExperiment",
        Action::Pause => "PauseExperiment",
        Action::Conclude => "ConcludeExperiment",
        Action::Archive => "ArchiveExperiment",
        Action::Delete => "DeleteExperiment",
    }
}
