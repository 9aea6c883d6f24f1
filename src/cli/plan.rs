//! `plan`: how many units a test needs, in plain words.

use std::fmt::Write as _;
use std::io::Write;

use clap::Args;

use super::client::Connection;
use super::{Error, figures};
use crate::rpc::pb::plan_sample_size_request::{Design, Effect, Mean, Proportion};
use crate::rpc::pb::{PlanSampleSizeRequest, PlanSampleSizeResponse};

/// What `plan` can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Rate of a binary metric today, between 0 and 1.
    #[arg(long, value_name = "RATE", required_unless_present = "sd")]
    pub baseline: Option<f64>,
    /// The smallest effect worth finding, in the unit of the metric.
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub effect: f64,
    /// Read --effect as a share of the baseline.
    #[arg(long)]
    pub relative: bool,
    /// Standard deviation of a metric with a mean.
    #[arg(long, value_name = "SD", conflicts_with = "baseline")]
    pub sd: Option<f64>,
    /// Its mean today; needed with --relative.
    #[arg(long, value_name = "MEAN", requires = "sd", allow_negative_numbers = true)]
    pub mean: Option<f64>,
    /// Two-sided significance level [default: 0.05].
    #[arg(long)]
    pub alpha: Option<f64>,
    /// Probability to find the effect if it is there [default: 0.80].
    #[arg(long)]
    pub power: Option<f64>,
    /// Treatment units per control unit, 0.25 for 80/20 [default: 1].
    #[arg(long)]
    pub ratio: Option<f64>,
    /// Treatments compared with control.
    #[arg(long, default_value_t = 1)]
    pub treatments: u32,
    /// Outcomes per unit.
    #[arg(long, value_name = "N")]
    pub outcomes_per_unit: Option<f64>,
    /// How alike the outcomes of one unit are, from 0 to 1.
    #[arg(long, value_name = "ICC")]
    pub icc: Option<f64>,
    /// Units per day, for the duration.
    #[arg(long, value_name = "N")]
    pub daily_units: Option<f64>,
    /// Which server.
    #[command(flatten)]
    pub connection: Connection,
}

/// Asks the server and prints its answer.
pub(super) async fn run(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let mut client = options.connection.open().await?;
    let answer = client.admin.plan_sample_size(request(options)).await;
    let answer = answer.map_err(Error::call("plan the sample size"))?.into_inner();
    write!(out, "{}", told(&answer, options))?;
    Ok(())
}

fn request(options: &Options) -> PlanSampleSizeRequest {
    let design = match (options.sd, options.baseline) {
        (Some(standard_deviation), _) => {
            Some(Design::Mean(Mean { standard_deviation, baseline_mean: options.mean }))
        }
        (None, Some(baseline_rate)) => Some(Design::Proportion(Proportion { baseline_rate })),
        (None, None) => None,
    };
    let effect = if options.relative {
        Effect::RelativeEffect(options.effect)
    } else {
        Effect::AbsoluteEffect(options.effect)
    };
    PlanSampleSizeRequest {
        design,
        effect: Some(effect),
        alpha: options.alpha,
        power: options.power,
        allocation_ratio: options.ratio,
        treatment_count: options.treatments,
        outcomes_per_unit: options.outcomes_per_unit,
        intraclass_correlation: options.icc,
        daily_units: options.daily_units,
        ..PlanSampleSizeRequest::default()
    }
}

/// The answer in a few lines. Pure.
fn told(answer: &PlanSampleSizeResponse, options: &Options) -> String {
    let control = figures::count(answer.control_units);
    let treatment = figures::count(answer.treatment_units);
    let total = figures::count(answer.total_units);
    let mut text = if answer.control_units == answer.treatment_units {
        format!("{control} units per variant, {total} in all.\n")
    } else {
        let each = if options.treatments > 1 { "each treatment" } else { "the treatment" };
        format!("{control} units in control and {treatment} in {each}, {total} in all.\n")
    };
    let _ = writeln!(
        text,
        "  power {}, effect size {:.4} (Cohen's d), fixed horizon: one look, when all are in",
        figures::percent(answer.achieved_power),
        answer.effect_size,
    );
    if answer.design_effect > 1.0 {
        let _ = writeln!(
            text,
            "  design effect {:.2}: outcomes of one unit are alike and count for less",
            answer.design_effect
        );
    }
    if let Some(duration) = &answer.expected_duration {
        // Whole days, rounded up: a test ends after a day, not within one.
        let days = (duration.seconds + 86_399) / 86_400;
        let _ = writeln!(text, "  about {} at that pace", figures::counted(days, "day"));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Result<Options, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.options)
    }

    #[test]
    fn a_rate_or_a_deviation_makes_the_design() {
        let rate = request(&options("plan --baseline 0.75 --effect 0.05").unwrap());
        assert_eq!(rate.design, Some(Design::Proportion(Proportion { baseline_rate: 0.75 })));
        assert_eq!(rate.effect, Some(Effect::AbsoluteEffect(0.05)));
        let mean = request(&options("plan --sd 2 --mean 8 --effect -0.1 --relative").unwrap());
        assert_eq!(
            mean.design,
            Some(Design::Mean(Mean { standard_deviation: 2.0, baseline_mean: Some(8.0) }))
        );
        assert_eq!(mean.effect, Some(Effect::RelativeEffect(-0.1)));
        assert!(options("plan --effect 0.05").is_err());
        assert!(options("plan --baseline 0.5 --sd 2 --effect 0.05").is_err());
    }

    #[test]
    fn the_answer_starts_with_what_was_asked() {
        let mut answer = PlanSampleSizeResponse {
            control_units: 1179,
            treatment_units: 1179,
            total_units: 2358,
            effect_size: 0.115_47,
            achieved_power: 0.8003,
            design_effect: 1.0,
            expected_duration: None,
        };
        let options = options("plan --baseline 0.75 --effect 0.05").unwrap();
        assert_eq!(
            told(&answer, &options),
            "1,179 units per variant, 2,358 in all.\n  power 80.0 %, effect size 0.1155 \
             (Cohen's d), fixed horizon: one look, when all are in\n"
        );
        answer.treatment_units = 300;
        answer.expected_duration = Some(prost_types::Duration { seconds: 86_401, nanos: 0 });
        let text = told(&answer, &options);
        assert!(text.starts_with("1,179 units in control and 300 in the treatment"), "{text}");
        assert!(text.contains("about 2 days"), "{text}");
    }
}
