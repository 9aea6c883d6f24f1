//! Changing some fields of an experiment and keeping the rest: an update mask over drafts.

use crate::domain::draft::{
    AnalysisDraft, BucketingDraft, Draft, LayerDraft, MetricDraft, VariantDraft,
};
use crate::domain::experiment::{AnalysisPlan, Bucketing, Definition, LayerSlot, Variant};
use crate::domain::metric::Metric;
use crate::domain::violation::Violations;

impl Draft {
    /// This draft in the fields that the mask names, `stored` in all others. An empty mask and
    /// `*` name all of them. `experiment_id` and output-only fields may be named and are ignored.
    ///
    /// # Errors
    /// A violation of `update_mask` for every path that is not a top-level field.
    pub fn masked(self, stored: Self, mask: &[String]) -> Result<Self, Violations> {
        if mask.is_empty() || mask.iter().any(|path| path == "*") {
            return Ok(self);
        }
        let mut merged = stored;
        let new = self;
        merged.faults.clone_from(&new.faults);
        let mut bad = Violations::new();
        for path in mask {
            match path.as_str() {
                "display_name" => merged.display_name.clone_from(&new.display_name),
                "description" => merged.description.clone_from(&new.description),
                "owner" => merged.owner.clone_from(&new.owner),
                "labels" => merged.labels.clone_from(&new.labels),
                "variants" => merged.variants.clone_from(&new.variants),
                "bucketing" => merged.bucketing.clone_from(&new.bucketing),
                "enrolment_basis_points" => {
                    merged.enrolment_basis_points = new.enrolment_basis_points;
                }
                "eligibility" => merged.eligibility.clone_from(&new.eligibility),
                "layer" => merged.layer.clone_from(&new.layer),
                "overrides" => merged.overrides.clone_from(&new.overrides),
                "metrics" => merged.metrics.clone_from(&new.metrics),
                "analysis" => merged.analysis.clone_from(&new.analysis),
                "dimensions" => merged.dimensions.clone_from(&new.dimensions),
                "telemetry" => merged.telemetry_project.clone_from(&new.telemetry_project),
                "planned_end_time" => merged.planned_end = new.planned_end,
                "experiment_id" | "state" | "iteration" | "winner_variant_id" | "create_time"
                | "update_time" | "start_time" | "conclude_time" | "etag" => {}
                unknown => bad.add(
                    "update_mask",
                    format!("names {unknown:?}, which is not a top-level field of Experiment"),
                ),
            }
        }
        bad.into_result(merged)
    }
}

impl From<&Definition> for Draft {
    fn from(definition: &Definition) -> Self {
        let overrides = definition.overrides.iter();
        Self {
            experiment_id: definition.id.to_string(),
            display_name: definition.display_name.clone(),
            description: definition.description.clone(),
            owner: definition.owner.clone(),
            labels: definition.labels.clone(),
            variants: definition.variants.iter().map(VariantDraft::from).collect(),
            bucketing: BucketingDraft::from(&definition.bucketing),
            enrolment_basis_points: Some(definition.enrolment.into()),
            eligibility: definition
                .eligibility
                .as_ref()
                .map(|rule| rule.source().to_owned())
                .unwrap_or_default(),
            layer: definition.layer.as_ref().map(LayerDraft::from),
            overrides: overrides.map(|(unit, id)| (unit.clone(), id.to_string())).collect(),
            metrics: definition.metrics.iter().map(MetricDraft::from).collect(),
            analysis: AnalysisDraft::from(&definition.analysis),
            dimensions: definition.dimensions.clone(),
            telemetry_project: definition.telemetry_project.clone(),
            planned_end: definition.planned_end,
            faults: Violations::new(),
        }
    }
}

impl From<&Variant> for VariantDraft {
    fn from(variant: &Variant) -> Self {
        Self {
            variant_id: variant.id.to_string(),
            weight_basis_points: variant.weight.into(),
            control: variant.control,
            value: variant.value.clone(),
            value_size: 0, // It was measured when it was first taken.
            description: variant.description.clone(),
        }
    }
}

impl From<&Bucketing> for BucketingDraft {
    fn from(bucketing: &Bucketing) -> Self {
        Self {
            algorithm: Some(bucketing.algorithm),
            salt: bucketing.salt.to_string(),
            unit_kind: bucketing.unit_kind.clone(),
        }
    }
}

impl From<&LayerSlot> for LayerDraft {
    fn from(slot: &LayerSlot) -> Self {
        Self {
            layer_id: slot.layer.to_string(),
            start: slot.buckets.start.into(),
            end: slot.buckets.end.into(),
        }
    }
}

impl From<&Metric> for MetricDraft {
    fn from(metric: &Metric) -> Self {
        Self {
            metric_id: metric.id.to_string(),
            kind: Some(metric.kind),
            direction: Some(metric.direction),
            role: Some(metric.role),
            estimand: Some(metric.estimand),
            quantiles: metric.quantiles.clone(),
            denominator_metric_id: metric
                .denominator
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            min_value: metric.min_value,
            max_value: metric.max_value,
            non_inferiority_margin: metric.non_inferiority_margin,
            covariate: metric.covariate.clone().unwrap_or_default(),
            unit: metric.unit.clone(),
            description: metric.description.clone(),
        }
    }
}

impl From<&AnalysisPlan> for AnalysisDraft {
    fn from(plan: &AnalysisPlan) -> Self {
        Self {
            method: Some(plan.method),
            alpha: Some(plan.alpha),
            power: Some(plan.power),
            min_detectable_effect: plan.min_detectable_effect,
            planned_units: plan.planned_units.and_then(|units| i64::try_from(units).ok()),
            planned_outcomes_per_unit: Some(plan.planned_outcomes_per_unit),
            correction: Some(plan.correction),
            srm_alpha: Some(plan.srm_alpha),
            groups: Some(plan.groups.get()),
        }
    }
}
