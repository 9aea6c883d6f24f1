//! PlanSampleSize: designs in, sizes out.

use crate::domain::sample_size::{DesignDraft, Effect, MetricDesign, SampleSizePlan};
use crate::domain::violation::Violations;
use crate::rpc::convert::enums;
use crate::rpc::pb;
use crate::service::{InvalidInput, ServiceError};

const SECONDS_PER_DAY: f64 = 86_400.0;

pub(in crate::rpc) fn plan(
    request: &pb::PlanSampleSizeRequest,
) -> Result<pb::PlanSampleSizeResponse, ServiceError> {
    let refuse =
        |violations: Violations| ServiceError::Invalid { input: InvalidInput::Design, violations };
    let design = draft(request).parse().map_err(refuse)?;
    let plan = design.plan().map_err(refuse)?;
    Ok(plan_to_pb(&plan))
}

fn draft(from: &pb::PlanSampleSizeRequest) -> DesignDraft {
    use pb::plan_sample_size_request::{Design, Effect as WireEffect};
    DesignDraft {
        metric: from.design.as_ref().map(|design| match design {
            Design::Proportion(proportion) => {
                MetricDesign::Proportion { baseline_rate: proportion.baseline_rate }
            }
            Design::Mean(mean) => MetricDesign::Mean {
                standard_deviation: mean.standard_deviation,
                baseline_mean: mean.baseline_mean,
            },
        }),
        effect: from.effect.as_ref().map(|effect| match effect {
            WireEffect::AbsoluteEffect(effect) => Effect::Absolute(*effect),
            WireEffect::RelativeEffect(share) => Effect::Relative(*share),
        }),
        alpha: from.alpha,
        power: from.power,
        allocation_ratio: from.allocation_ratio,
        treatments: from.treatment_count,
        outcomes_per_unit: from.outcomes_per_unit,
        intraclass_correlation: from.intraclass_correlation,
        daily_units: from.daily_units,
        method: enums::method(from.method),
    }
}

fn plan_to_pb(from: &SampleSizePlan) -> pb::PlanSampleSizeResponse {
    let units = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
    pb::PlanSampleSizeResponse {
        control_units: units(from.control_units),
        treatment_units: units(from.treatment_units),
        total_units: units(from.total_units),
        effect_size: from.effect_size,
        achieved_power: from.achieved_power,
        design_effect: from.design_effect,
        warnings: from.power_of_rates.map(warning).into_iter().collect(),
        expected_duration: from.days.map(|days| prost_types::Duration {
            seconds: whole_seconds(days * SECONDS_PER_DAY),
            nanos: 0,
        }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates; a duration for people")]
fn whole_seconds(seconds: f64) -> i64 {
    // The largest duration that protobuf allows is some 10,000 years.
    seconds.ceil().min(315_576_000_000.0) as i64
}

fn warning(power: f64) -> String {
    format!(
        "Cohen's d takes the baseline's variance for both arms; by the variance that the treatment's \
         rate would have, the power is only {:.0} %: plan for more units",
        100.0 * power
    )
}
