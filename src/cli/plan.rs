//! `plan`: how many units a test needs, in plain words.

use std::fmt::Write as _;
use std::io::Write;

use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use tonic::Status;
use tonic_types::StatusExt;

use super::client::{Connection, DEFAULT_ENDPOINT, duration, endpoint};
use super::{Error, figures};
use crate::rpc::pb::analysis_plan;
use crate::rpc::pb::plan_sample_size_request::{Design, Effect, Mean, Proportion};
use crate::rpc::pb::{PlanSampleSizeRequest, PlanSampleSizeResponse};

/// What `plan` can be told.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("metric").required(true).args(["baseline", "sd"])))]
pub struct Options {
    /// Rate of a binary metric today, between 0 and 1.
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub baseline: Option<f64>,
    /// The smallest effect worth finding, in the unit of the metric.
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub effect: f64,
    /// Read --effect as a share of the baseline.
    #[arg(long)]
    pub relative: bool,
    /// Standard deviation of a metric with a mean.
    #[arg(long, value_name = "SD", allow_negative_numbers = true)]
    pub sd: Option<f64>,
    /// Its mean today; needed with --relative.
    #[arg(long, value_name = "MEAN", requires = "sd", allow_negative_numbers = true)]
    pub mean: Option<f64>,
    /// One look when all units are in, or looks at any time (what an experiment does by default).
    #[arg(long, value_enum, default_value_t = Method::FixedHorizon)]
    pub method: Method,
    /// Two-sided significance level [default: 0.05].
    #[arg(long, allow_negative_numbers = true)]
    pub alpha: Option<f64>,
    /// Probability to find the effect if it is there [default: 0.80].
    #[arg(long, allow_negative_numbers = true)]
    pub power: Option<f64>,
    /// Treatment units per control unit, 0.25 for 80/20 [default: 1].
    #[arg(long, allow_negative_numbers = true)]
    pub ratio: Option<f64>,
    /// Treatments compared with control.
    #[arg(long, default_value_t = 1)]
    pub treatments: u32,
    /// Outcomes per unit; needs --icc.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub outcomes_per_unit: Option<f64>,
    /// How alike the outcomes of one unit are, from 0 (not at all) to 1 (equal); needs
    /// --outcomes-per-unit.
    #[arg(long, value_name = "ICC", allow_negative_numbers = true)]
    pub icc: Option<f64>,
    /// Units per day, for the duration.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub daily_units: Option<f64>,
    /// Ask this server; without it the command computes the plan itself.
    #[arg(long, env = "TIEBREAK_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub endpoint: Option<String>,
    /// How long the call may take: 500ms, 10s, 2m.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
}

/// When the results are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Once, when all units are in.
    FixedHorizon,
    /// At any time; this costs some more units.
    Sequential,
}

/// Asks the server and prints its answer.
pub(super) async fn run(options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    check_clustering(options)?;
    let endpoint = options.endpoint.clone().unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let mut client = Connection { endpoint, timeout: options.timeout }.open().await?;
    let answer = client.admin.plan_sample_size(request(options)).await;
    let answer = answer.map_err(in_flags)?.into_inner();
    write!(out, "{}", told(&answer, options))?;
    Ok(())
}

/// Both or none: with one alone the answer would be for a test that nobody runs.
fn check_clustering(options: &Options) -> Result<(), Error> {
    let missing = match (options.outcomes_per_unit, options.icc) {
        (Some(_), None) => {
            "--outcomes-per-unit needs --icc: how much several outcomes of one unit tell depends \
             on how alike they are. 0 takes them for independent, which those of one person are \
             not; 0.25 is a careful guess for dialogs"
        }
        (None, Some(_)) => {
            "--icc needs --outcomes-per-unit: how alike the outcomes of one unit are matters only \
             where a unit brings several"
        }
        (Some(_), Some(_)) | (None, None) => return Ok(()),
    };
    Err(Error::Input(missing.to_owned()))
}

/// A refusal in the words of this command: flags where the contract has fields.
fn in_flags(status: Status) -> Error {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    let violations = violations.unwrap_or_default();
    if violations.is_empty() {
        return Error::call("plan the sample size")(status);
    }
    let mut text = "this test cannot be planned".to_owned();
    for violation in violations {
        let _ = write!(text, "\n  {}: {}", flag(&violation.field), violation.description);
    }
    Error::Input(text)
}

fn flag(field: &str) -> &str {
    match field {
        "design" => "--baseline or --sd",
        "proportion.baseline_rate" => "--baseline",
        "mean.standard_deviation" => "--sd",
        "mean.baseline_mean" => "--mean",
        "effect" | "absolute_effect" | "relative_effect" => "--effect",
        "alpha" => "--alpha",
        "power" => "--power",
        "allocation_ratio" => "--ratio",
        "treatment_count" => "--treatments",
        "outcomes_per_unit" => "--outcomes-per-unit",
        "intraclass_correlation" => "--icc",
        "daily_units" => "--daily-units",
        other => other,
    }
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
        method: match options.method {
            Method::FixedHorizon => analysis_plan::Method::FixedHorizon,
            Method::Sequential => analysis_plan::Method::Sequential,
        }
        .into(),
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
        "  power {}, effect size {} (Cohen's d)",
        figures::percent(answer.achieved_power),
        figures::plain(answer.effect_size, 4),
    );
    text += match options.method {
        Method::FixedHorizon => {
            "  fixed horizon: one look, when all are in; to look at any time, plan with \
             --method sequential\n"
        }
        Method::Sequential => "  sequential: look at any time, stop when it is decided\n",
    };
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
    for warning in &answer.warnings {
        let _ = writeln!(text, "  ! {warning}");
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
        let missing = options("plan --effect 0.05").unwrap_err().to_string();
        assert!(missing.contains("--baseline") && missing.contains("--sd"), "{missing}");
        assert!(options("plan --baseline 0.5 --sd 2 --effect 0.05").is_err());
    }

    #[test]
    fn outcomes_per_unit_and_their_likeness_go_together() {
        let checked =
            |line: &str| check_clustering(&options(line).unwrap()).map_err(|e| e.to_string());
        let base = "plan --baseline 0.5 --effect 0.05";
        assert_eq!(checked(base), Ok(()));
        assert_eq!(checked(&format!("{base} --icc 0.2 --outcomes-per-unit 2")), Ok(()));
        let alone = checked(&format!("{base} --outcomes-per-unit 2")).unwrap_err();
        assert!(alone.starts_with("--outcomes-per-unit needs --icc: "), "{alone}");
        let alone = checked(&format!("{base} --icc 0.2")).unwrap_err();
        assert!(alone.starts_with("--icc needs --outcomes-per-unit: "), "{alone}");
    }

    #[test]
    fn a_refusal_names_flags() {
        let mut details = tonic_types::ErrorDetails::new();
        details.add_bad_request_violation("mean.baseline_mean", "is needed for a relative effect");
        let status = Status::with_error_details(tonic::Code::InvalidArgument, "no", details);
        assert_eq!(
            in_flags(status).to_string(),
            "this test cannot be planned\n  --mean: is needed for a relative effect"
        );
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
            warnings: Vec::new(),
        };
        let options = options("plan --baseline 0.75 --effect 0.05").unwrap();
        assert_eq!(
            told(&answer, &options),
            "1,179 units per variant, 2,358 in all.\n  power 80.0 %, effect size 0.1155 \
             (Cohen's d)\n  fixed horizon: one look, when all are in; to look at any time, plan \
             with --method sequential\n"
        );
        answer.treatment_units = 300;
        answer.expected_duration = Some(prost_types::Duration { seconds: 86_401, nanos: 0 });
        let text = told(&answer, &options);
        assert!(text.starts_with("1,179 units in control and 300 in the treatment"), "{text}");
        assert!(text.contains("about 2 days"), "{text}");
    }
}
