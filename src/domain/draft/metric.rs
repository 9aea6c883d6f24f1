//! Metrics as a request describes them.

use crate::domain::draft::{limit_chars, limit_count};
use crate::domain::id::MetricId;
use crate::domain::metric::{Direction, Estimand, Kind, Metric, Role};
use crate::domain::violation::Violations;

/// As the message Metric.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "field for field the message Metric of the contract")]
pub struct MetricDraft {
    pub metric_id: String,
    pub kind: Option<Kind>,
    pub direction: Option<Direction>,
    pub role: Option<Role>,
    pub estimand: Option<Estimand>,
    pub quantiles: Vec<f64>,
    pub denominator_metric_id: String,
    pub min_value: Option<f64>,
    pub max_value: Option<f64>,
    pub non_inferiority_margin: Option<f64>,
    pub covariate: String,
    pub unit: String,
    pub description: String,
}

const DEFAULT_QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
pub(super) fn parse_all(drafts: Vec<MetricDraft>, bad: &mut Violations) -> Vec<Metric> {
    limit_count("metrics", drafts.len(), 1, 64, bad);
    let primaries = drafts.iter().filter(|metric| metric.role == Some(Role::Primary)).count();
    if primaries != 1 {
        bad.add("metrics", format!("has {primaries} primary metrics, exactly one is needed"));
    }
    let ids: Vec<String> = drafts.iter().map(|metric| metric.metric_id.clone()).collect();
    let mut metrics = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        let mut inner = Violations::new();
        if ids[..index].contains(&draft.metric_id) {
            inner.add("metric_id", "is the id of an earlier metric");
        }
        metrics.extend(parse_metric(draft, &ids, &mut inner));
        bad.nest(&format!("metrics[{index}]"), inner);
    }
    metrics
}

fn parse_metric(draft: MetricDraft, ids: &[String], bad: &mut Violations) -> Option<Metric> {
    let id = bad.check("metric_id", MetricId::parse(&draft.metric_id));
    let kind = required("kind", draft.kind, bad);
    let direction = required("direction", draft.direction, bad);
    let role = draft.role.unwrap_or(Role::Secondary);
    let estimand = draft.estimand.unwrap_or(Estimand::MeanPerOutcome);
    let denominator = parse_denominator(&draft, estimand, ids, bad);
    let quantiles = parse_quantiles(draft.quantiles, kind, estimand, bad);
    check_bounds(kind, draft.min_value, draft.max_value, bad);
    check_margin(role, draft.non_inferiority_margin, bad);
    limit_chars("covariate", &draft.covariate, 63, bad);
    limit_chars("unit", &draft.unit, 64, bad);
    limit_chars("description", &draft.description, 4_096, bad);
    Some(Metric {
        id: id?,
        kind: kind?,
        direction: direction?,
        role,
        estimand,
        quantiles,
        denominator,
        min_value: draft.min_value,
        max_value: draft.max_value,
        non_inferiority_margin: draft.non_inferiority_margin,
        covariate: Some(draft.covariate).filter(|name| !name.is_empty()),
        unit: draft.unit,
        description: draft.description,
    })
}

fn required<T>(field: &str, value: Option<T>, bad: &mut Violations) -> Option<T> {
    if value.is_none() {
        bad.add(field, "must be set to a known value");
    }
    value
}

fn parse_denominator(
    draft: &MetricDraft,
    estimand: Estimand,
    ids: &[String],
    bad: &mut Violations,
) -> Option<MetricId> {
    let named = &draft.denominator_metric_id;
    match (estimand, named.is_empty()) {
        (Estimand::Ratio, true) => {
            bad.add("denominator_metric_id", "must name a metric for ESTIMAND_RATIO");
            None
        }
        (Estimand::Ratio, false) if !ids.contains(named) || *named == draft.metric_id => {
            bad.add("denominator_metric_id", "must name another metric of this experiment");
            None
        }
        (Estimand::Ratio, false) => MetricId::parse(named).ok(),
        (_, true) => None,
        (_, false) => {
            bad.add("denominator_metric_id", "is only for ESTIMAND_RATIO");
            None
        }
    }
}

fn parse_quantiles(
    mut quantiles: Vec<f64>,
    kind: Option<Kind>,
    estimand: Estimand,
    bad: &mut Violations,
) -> Vec<f64> {
    let sketch = kind.is_some_and(Kind::has_sketch);
    if !sketch {
        if estimand == Estimand::Quantile && kind.is_some() {
            bad.add("estimand", "needs KIND_DURATION or KIND_AMOUNT for ESTIMAND_QUANTILE");
        }
        if !quantiles.is_empty() && kind.is_some() {
            bad.add("quantiles", "need KIND_DURATION or KIND_AMOUNT");
        }
        return Vec::new();
    }
    limit_count("quantiles", quantiles.len(), 0, 16, bad);
    if quantiles.iter().any(|q| !(*q > 0.0 && *q < 1.0)) {
        bad.add("quantiles", "must lie strictly between 0 and 1");
    }
    if quantiles.is_empty() {
        quantiles.extend(DEFAULT_QUANTILES);
    }
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup_by(|a, b| a.total_cmp(b).is_eq());
    quantiles
}

fn check_bounds(kind: Option<Kind>, low: Option<f64>, high: Option<f64>, bad: &mut Violations) {
    for (field, bound) in [("min_value", low), ("max_value", high)] {
        let Some(bound) = bound else { continue };
        if !(bound.is_finite() && bound.abs() < 1e18) {
            bad.add(field, "must be a number of magnitude below 1e18");
        } else if kind == Some(Kind::Binary) {
            bad.add(field, "is not for KIND_BINARY");
        } else if bound < 0.0 && kind.is_some_and(Kind::has_sketch) {
            bad.add(field, "must not be negative for a kind of non-negative values");
        }
    }
    if let (Some(low), Some(high)) = (low, high)
        && (low >= high || low.is_nan() || high.is_nan())
    {
        bad.add("max_value", "must be above min_value");
    }
}

fn check_margin(role: Role, margin: Option<f64>, bad: &mut Violations) {
    match (role, margin) {
        (Role::Guardrail, None) => {
            bad.add("non_inferiority_margin", "must be set for ROLE_GUARDRAIL");
        }
        (_, Some(margin)) if !(margin.is_finite() && margin > 0.0) => {
            bad.add("non_inferiority_margin", "must be a positive number");
        }
        (Role::Primary | Role::Secondary | Role::Guardrail, _) => {}
    }
}
