//! Assign: requests in, assignments out.

use std::collections::HashMap;

use crate::domain::id::UnitId;
use crate::domain::value::{Attributes, Value};
use crate::domain::violation::Violations;
use crate::rpc::convert::{enums, value};
use crate::rpc::pb;
use crate::rpc::status;
use crate::service::{Assigned, NamedPlace};

const BATCH_LIMIT: usize = 100;

/// Who asks, parsed.
pub(in crate::rpc) fn request<'a>(
    experiment_id: &str,
    unit_id: &'a str,
    attributes: Option<prost_types::Struct>,
) -> Result<(UnitId<'a>, Attributes), Violations> {
    let mut bad = Violations::new();
    if experiment_id.is_empty() {
        bad.add("experiment_id", "must be set");
    }
    let unit = bad.check("unit_id", UnitId::parse(unit_id));
    let attributes = bad.check("attributes", value::attributes(attributes));
    match (unit, attributes) {
        (Some(unit), Some(attributes)) if bad.is_empty() => Ok((unit, attributes)),
        _ => Err(bad),
    }
}

/// Who asks for a batch, parsed.
pub(in crate::rpc) fn batch<'a>(
    experiment_ids: &[String],
    unit_id: &'a str,
    attributes: Option<prost_types::Struct>,
) -> Result<(UnitId<'a>, Attributes), Violations> {
    let mut bad = Violations::new();
    let count = experiment_ids.len();
    if count > BATCH_LIMIT {
        let problem = format!("has {count} entries, at most {BATCH_LIMIT} are allowed");
        bad.add("experiment_ids", problem);
    }
    let unit = bad.check("unit_id", UnitId::parse(unit_id));
    let attributes = bad.check("attributes", value::attributes(attributes));
    match (unit, attributes) {
        (Some(unit), Some(attributes)) if bad.is_empty() => Ok((unit, attributes)),
        _ => Err(bad),
    }
}

pub(in crate::rpc) fn assignment_to_pb(from: &Assigned) -> pb::Assignment {
    let placement = &from.placement;
    let definition = &from.experiment.definition;
    let variant = definition.variants.get(placement.variant);
    let variant_id = variant.map(|v| v.id.to_string()).unwrap_or_default();
    let payload = variant.and_then(|variant| variant.value.as_ref());
    pb::Assignment {
        experiment_id: definition.id.to_string(),
        value: Some(match payload {
            Some(payload) => value::to_pb(payload),
            None => value::to_pb(&Value::Text(variant_id.clone())),
        }),
        reason: enums::reason_to_pb(placement.reason),
        in_experiment: placement.iteration.is_some(),
        control: variant.is_some_and(|variant| variant.control),
        bucket: placement.bucket.map(|bucket| bucket.get().into()),
        iteration: placement.iteration.unwrap_or_default(),
        trace_attributes: HashMap::from([
            ("feature_flag.key".to_owned(), definition.id.to_string()),
            ("feature_flag.result.variant".to_owned(), variant_id.clone()),
        ]),
        variant_id,
    }
}

pub(in crate::rpc) fn result_to_pb((experiment_id, result): NamedPlace) -> pb::AssignmentResult {
    use pb::assignment_result::Result as Wire;
    let result = Some(match result {
        Ok(assigned) => Wire::Assignment(assignment_to_pb(&assigned)),
        Err(error) => Wire::Error(status::item_error(&error)),
    });
    pb::AssignmentResult { experiment_id, result }
}
