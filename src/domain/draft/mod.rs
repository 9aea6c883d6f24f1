//! The only way to a [`Definition`]: a [`Draft`] holds what a request said, word for word, and
//! [`Draft::parse`] checks all of it at once, naming every bad field by its path in the contract.

mod analysis;
mod metric;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::bucket::{BUCKETS, Salt};
use crate::domain::eligibility::Eligibility;
use crate::domain::experiment::{Algorithm, Bucketing, Definition, LayerSlot, Timestamp, Variant};
use crate::domain::id::{ExperimentId, LayerId, VariantId};
use crate::domain::segment::{DIMENSIONS, is_name};
use crate::domain::split::BucketRange;
use crate::domain::value::Value;
use crate::domain::violation::Violations;

pub use self::analysis::AnalysisDraft;
pub use self::metric::MetricDraft;

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
        let metrics = metric::parse_all(self.metrics, &mut bad);
        let analysis = self.analysis.parse(&mut bad);
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
        limit_count("dimensions", self.dimensions.len(), 0, DIMENSIONS, bad);
        let mut seen = BTreeSet::new();
        for (index, dimension) in self.dimensions.iter().enumerate() {
            let is_name = is_name(dimension) && dimension.len() <= 63;
            if !is_name || !seen.insert(dimension) {
                let field = format!("dimensions[{index}]");
                let problem = "must be an attribute name of 1 to 63 bytes without control \
                               characters, named once";
                bad.add(field, problem);
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
