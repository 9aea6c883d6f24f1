//! The only way to a [`Definition`]: a [`Draft`] holds what a request said, word for word, and
//! [`Draft::parse`] checks all of it at once, naming every bad field by its path in the contract.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::bucket::{BUCKETS, GroupCount, Salt};
use crate::domain::eligibility::Eligibility;
use crate::domain::experiment::{
    Algorithm, AnalysisPlan, Bucketing, Correction, Definition, LayerSlot, Method, Timestamp,
    Variant,
};
use crate::domain::id::{ExperimentId, LayerId, MetricId, VariantId};
use crate::domain::metric::{Direction, Estimand, Kind, Metric, Role};
use crate::domain::split::BucketRange;
use crate::domain::value::Value;
use crate::domain::violation::Violations;

/// An experiment as a request describes it. `None` in an enum means "unspecified or unknown".
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "field for field the message Experiment of the contract")]
pub struct Draft {
    pub experiment_id: String,
    pub display_name: String,
    pub description: String,
    pub owner: String,
    pub labels: BTreeMap<String, String>,
    pub variants: Vec<VariantDraft>,
    pub bucketing: BucketingDraft,
    pub enrolment_basis_points: Option<u32>,
    pub eligibility: String,
    pub layer: Option<LayerDraft>,
    pub overrides: BTreeMap<String, String>,
    pub metrics: Vec<MetricDraft>,
    pub analysis: AnalysisDraft,
    pub dimensions: Vec<String>,
    pub telemetry_project: String,
    pub planned_end: Option<Timestamp>,
    /// What the edge could not convert: reported together with everything else.
    pub faults: Violations,
}

/// As the message Variant.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "field for field the message Variant of the contract")]
pub struct VariantDraft {
    pub variant_id: String,
    pub weight_basis_points: u32,
    pub control: bool,
    pub value: Option<Value>,
    /// Encoded size of `value` in bytes.
    pub value_size: usize,
    pub description: String,
}

/// As the message Bucketing.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "field for field the message Bucketing of the contract")]
pub struct BucketingDraft {
    pub algorithm: Option<Algorithm>,
    pub salt: String,
    pub unit_kind: String,
}

/// As the message LayerSlot.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "field for field the message LayerSlot of the contract")]
pub struct LayerDraft {
    pub layer_id: String,
    pub start: u32,
    pub end: u32,
}

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

/// As the message AnalysisPlan.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "field for field the message AnalysisPlan of the contract")]
pub struct AnalysisDraft {
    pub method: Option<Method>,
    pub alpha: Option<f64>,
    pub power: Option<f64>,
    pub min_detectable_effect: Option<f64>,
    pub planned_units: Option<i64>,
    pub correction: Option<Correction>,
    pub srm_alpha: Option<f64>,
    pub groups: Option<u32>,
}

const DEFAULT_QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
const VALUE_LIMIT: usize = 64 << 10;

impl Draft {
    /// Checks everything and fills in the defaults.
    ///
    /// # Errors
    /// All violations, with paths relative to the experiment.
    pub fn parse(mut self) -> Result<Definition, Violations> {
        let mut bad = std::mem::take(&mut self.faults);
        self.check_texts(&mut bad);
        let id = bad.check("experiment_id", ExperimentId::parse(&self.experiment_id));
        let variants = parse_variants(self.variants, &mut bad);
        let bucketing = parse_bucketing(self.bucketing, id.as_ref(), &mut bad);
        let enrolment = parse_enrolment(self.enrolment_basis_points, &mut bad);
        let eligibility = parse_eligibility(self.eligibility, &mut bad);
        let layer = self.layer.and_then(|layer| parse_layer(&layer, &mut bad));
        let overrides = parse_overrides(self.overrides, &variants, &mut bad);
        let metrics = parse_metrics(self.metrics, &mut bad);
        let analysis = parse_analysis(&self.analysis, &mut bad);
        let (Some(id), Some(bucketing), Some(analysis)) = (id, bucketing, analysis) else {
            return Err(bad);
        };
        bad.into_result(Definition {
            id,
            display_name: self.display_name,
            description: self.description,
            owner: self.owner,
            labels: self.labels,
            variants,
            bucketing,
            enrolment,
            eligibility,
            layer,
            overrides,
            metrics,
            analysis,
            dimensions: self.dimensions,
            telemetry_project: self.telemetry_project,
            planned_end: self.planned_end,
        })
    }

    fn check_texts(&self, bad: &mut Violations) {
        limit_chars("display_name", &self.display_name, 128, bad);
        limit_chars("description", &self.description, 4_096, bad);
        limit_chars("owner", &self.owner, 256, bad);
        limit_chars("telemetry.project", &self.telemetry_project, 256, bad);
        limit_count("labels", self.labels.len(), 0, 64, bad);
        for (key, value) in &self.labels {
            if key.is_empty() || key.len() > 63 || value.len() > 256 {
                bad.add(
                    format!("labels[{:?}]", shorten(key)),
                    "has a key outside 1 to 63 bytes or a value over 256 bytes",
                );
            }
        }
        limit_count("dimensions", self.dimensions.len(), 0, 8, bad);
        let mut seen = BTreeSet::new();
        for (index, dimension) in self.dimensions.iter().enumerate() {
            if dimension.is_empty() || dimension.len() > 63 || !seen.insert(dimension) {
                let field = format!("dimensions[{index}]");
                bad.add(field, "must be an attribute name of 1 to 63 bytes, named once");
            }
        }
    }
}

fn limit_chars(field: &str, text: &str, limit: usize, bad: &mut Violations) {
    let actual = text.chars().count();
    if actual > limit {
        bad.add(field, format!("has {actual} characters, at most {limit} are allowed"));
    }
}

fn limit_count(field: &str, actual: usize, least: usize, most: usize, bad: &mut Violations) {
    if !(least..=most).contains(&actual) {
        bad.add(field, format!("has {actual} entries, {least} to {most} are allowed"));
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(32).collect()
}

fn parse_variants(drafts: Vec<VariantDraft>, bad: &mut Violations) -> Vec<Variant> {
    limit_count("variants", drafts.len(), 2, 32, bad);
    let controls = drafts.iter().filter(|variant| variant.control).count();
    if controls != 1 {
        bad.add("variants", format!("has {controls} controls, exactly one must be the control"));
    }
    let total: u64 = drafts.iter().map(|variant| u64::from(variant.weight_basis_points)).sum();
    if total != u64::from(BUCKETS) {
        bad.add("variants", format!("has weights that sum to {total}, they must sum to 10000"));
    }
    let mut seen = BTreeSet::new();
    let mut variants = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        let path = |field: &str| format!("variants[{index}].{field}");
        let id = bad.check(path("variant_id"), VariantId::parse(&draft.variant_id));
        if !seen.insert(draft.variant_id.clone()) {
            bad.add(path("variant_id"), "is the id of an earlier variant");
        }
        let weight = u16::try_from(draft.weight_basis_points).ok().filter(|w| *w <= BUCKETS);
        if weight.is_none() {
            bad.add(path("weight_basis_points"), "must be 0 to 10000");
        }
        if draft.value_size > VALUE_LIMIT {
            bad.add(path("value"), format!("has {} bytes, at most 65536", draft.value_size));
        }
        limit_chars(&path("description"), &draft.description, 4_096, bad);
        if let (Some(id), Some(weight)) = (id, weight) {
            let VariantDraft { control, value, description, .. } = draft;
            variants.push(Variant { id, weight, control, value, description });
        }
    }
    variants
}

fn parse_bucketing(
    draft: BucketingDraft,
    id: Option<&ExperimentId>,
    bad: &mut Violations,
) -> Option<Bucketing> {
    limit_chars("bucketing.unit_kind", &draft.unit_kind, 64, bad);
    let salt = if draft.salt.is_empty() {
        id.map(Salt::from)
    } else {
        bad.check("bucketing.salt", Salt::try_from(draft.salt))
    };
    Some(Bucketing {
        algorithm: draft.algorithm.unwrap_or(Algorithm::Md5Mod10000),
        salt: salt?,
        unit_kind: draft.unit_kind,
    })
}

fn parse_enrolment(share: Option<u32>, bad: &mut Violations) -> u16 {
    let share = share.unwrap_or(u32::from(BUCKETS));
    u16::try_from(share).ok().filter(|share| *share <= BUCKETS).unwrap_or_else(|| {
        bad.add("enrolment_basis_points", "must be 0 to 10000");
        0
    })
}

fn parse_eligibility(source: String, bad: &mut Violations) -> Option<Eligibility> {
    if source.is_empty() {
        return None;
    }
    bad.check("eligibility", Eligibility::try_from(source))
}

fn parse_layer(draft: &LayerDraft, bad: &mut Violations) -> Option<LayerSlot> {
    let layer = bad.check("layer.layer_id", LayerId::parse(&draft.layer_id));
    let bounds = (u16::try_from(draft.start), u16::try_from(draft.end));
    let (Ok(start), Ok(end)) = bounds else {
        bad.add("layer.buckets", "must lie in 0 to 10000");
        return None;
    };
    if start >= end || end > BUCKETS {
        bad.add("layer.buckets", "must have start < end <= 10000");
        return None;
    }
    Some(LayerSlot { layer: layer?, buckets: BucketRange { start, end } })
}

fn parse_overrides(
    drafts: BTreeMap<String, String>,
    variants: &[Variant],
    bad: &mut Violations,
) -> BTreeMap<String, VariantId> {
    limit_count("overrides", drafts.len(), 0, 1_000, bad);
    let mut overrides = BTreeMap::new();
    for (unit, variant) in drafts {
        let field = format!("overrides[{:?}]", shorten(&unit));
        if unit.is_empty() || unit.len() > 256 {
            bad.add(field.clone(), "has a unit id outside 1 to 256 bytes");
        }
        match variants.iter().find(|known| known.id.as_str() == variant) {
            Some(known) => {
                overrides.insert(unit, known.id.clone());
            }
            None => bad.add(field, "names a variant that the experiment does not have"),
        }
    }
    overrides
}

fn parse_metrics(drafts: Vec<MetricDraft>, bad: &mut Violations) -> Vec<Metric> {
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
        && !(low < high)
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

fn parse_analysis(draft: &AnalysisDraft, bad: &mut Violations) -> Option<AnalysisPlan> {
    let mut inner = Violations::new();
    let mut share = |field: &str, value: Option<f64>, default: f64, low: f64, high: f64| {
        let value = value.unwrap_or(default);
        if !(value > low && value < high) {
            inner.add(field, format!("must lie strictly between {low} and {high}"));
        }
        value
    };
    let alpha = share("alpha", draft.alpha, 0.05, 0.0, 0.5);
    let power = share("power", draft.power, 0.80, 0.0, 1.0);
    let srm_alpha = share("srm_alpha", draft.srm_alpha, 0.000_5, 0.0, 0.5);
    if let Some(effect) = draft.min_detectable_effect
        && !(effect.is_finite() && effect > 0.0)
    {
        inner.add("min_detectable_effect", "must be a positive number");
    }
    let planned_units = draft.planned_units.and_then(|units| {
        let parsed = u64::try_from(units).ok().filter(|units| *units > 0);
        if parsed.is_none() {
            inner.add("planned_units", "must be positive");
        }
        parsed
    });
    let groups = draft.groups.map_or(Ok(GroupCount::DEFAULT), GroupCount::try_from);
    let groups = inner.check("groups", groups);
    bad.nest("analysis", inner);
    Some(AnalysisPlan {
        method: draft.method.unwrap_or(Method::Sequential),
        alpha,
        power,
        min_detectable_effect: draft.min_detectable_effect,
        planned_units,
        correction: draft.correction.unwrap_or(Correction::Holm),
        srm_alpha,
        groups: groups?,
    })
}
