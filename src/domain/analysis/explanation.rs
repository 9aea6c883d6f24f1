//! Why: the sentences behind a recommendation, for somebody who decides and has no statistics.

use crate::domain::analysis::delivery::TOLERATED_SHARE;
use crate::domain::analysis::recommendation::{Guardrails, Primary, Sample, Situation};
use crate::domain::analysis::{
    Comparison, ConfidenceInterval, MetricResult, Recommendation, VariantExposure, Verdict,
};
use crate::domain::experiment::{Experiment, Method, State};
use crate::domain::metric::{Kind, Metric, Role};

/// Fewer units than this in an arm, and no standard error deserves trust.
const FEW_UNITS: i64 = 30;

/// The sentences, most important first.
pub(super) fn explain(
    experiment: &Experiment,
    situation: &Situation,
    recommendation: &Recommendation,
    metrics: &[MetricResult],
    exposures: &[VariantExposure],
) -> Vec<String> {
    let mut sentences: Vec<String> = standing(experiment).into_iter().collect();
    sentences.extend(headlines(experiment, situation, recommendation, exposures));
    if *recommendation == Recommendation::Investigate {
        return sentences;
    }
    let several = situation.treatments.len() > 1;
    for result in metrics {
        let Some(metric) = experiment.definition.metric(result.metric.as_str()) else { continue };
        // Of the secondary metrics only bad news: nobody should ship without having read it.
        let told = |comparison: &&Comparison| {
            result.role != Role::Secondary || comparison.verdict == Verdict::Worse
        };
        let comparisons = result.comparisons.iter().filter(told);
        sentences.extend(comparisons.filter_map(|c| finding(metric, c, several)));
    }
    if exposures.iter().any(|exposure| exposure.units > 0) {
        sentences.push("The split of units is as configured.".to_owned());
    }
    let strays = exposures.iter().filter(|exposure| exposure.mismatched > 0);
    sentences.extend(strays.map(|exposure| {
        let strays = strays_of(exposure);
        format!(
            "{strays}. They count for '{}' all the same, so differences look smaller than they are.",
            exposure.variant
        )
    }));
    let few = exposures.iter().filter(|exposure| (1..FEW_UNITS).contains(&exposure.units));
    sentences.extend(few.map(|VariantExposure { variant, units, .. }| {
        let met = if *units == 1 { "unit has" } else { "units have" };
        format!(
            "Only {units} {met} met '{variant}': with fewer than 30, treat every error margin as \
             a guess."
        )
    }));
    sentences
}

/// Where an experiment that is not running stands.
fn standing(experiment: &Experiment) -> Option<String> {
    match (experiment.state, &experiment.winner) {
        (State::Running, _) => None,
        (State::Draft, _) => {
            Some("This is a draft: nobody is assigned before it is started.".to_owned())
        }
        (State::Paused, _) => {
            Some("The experiment is paused: everyone receives control.".to_owned())
        }
        (State::Concluded, Some(winner)) => {
            Some(format!("The experiment is concluded: everyone receives '{winner}'."))
        }
        (State::Concluded, None) => {
            Some("The experiment is concluded: everyone receives control.".to_owned())
        }
        (State::Archived, _) => Some("The experiment is archived.".to_owned()),
    }
}

/// What to do and the reason for it; of distrust there may be several.
fn headlines(
    experiment: &Experiment,
    situation: &Situation,
    recommendation: &Recommendation,
    exposures: &[VariantExposure],
) -> Vec<String> {
    let guarded = experiment.definition.metrics.iter().any(|m| m.role == Role::Guardrail);
    let headline = match recommendation {
        Recommendation::Investigate => return distrust(situation, exposures),
        Recommendation::Ship(variant) if guarded => format!(
            "Ship '{variant}': the primary metric is better and every guardrail is shown to hold."
        ),
        Recommendation::Ship(variant) => format!("Ship '{variant}': the primary metric is better."),
        Recommendation::KeepControl => {
            "Keep control: every treatment is worse or breaks a guardrail.".to_owned()
        }
        Recommendation::NoDifference => {
            if experiment.definition.analysis.min_detectable_effect.is_some() {
                "The planned sample is in, and an improvement of the planned size is ruled out."
                    .to_owned()
            } else {
                "The planned sample is in, and it shows no difference.".to_owned()
            }
        }
        Recommendation::Continue => waiting(situation).to_owned(),
    };
    vec![headline]
}

/// Why nothing can be said.
fn distrust(situation: &Situation, exposures: &[VariantExposure]) -> Vec<String> {
    let mut reasons = Vec::new();
    if situation.health.split_broken {
        reasons.push(
            "The split of units differs from the one configured by more than chance explains. \
             Find out why before you read any metric."
                .to_owned(),
        );
    }
    let broken = exposures.iter().filter(|exposure| exposure.is_delivery_broken());
    reasons.extend(broken.map(|exposure| {
        let strays = strays_of(exposure);
        format!(
            "{strays}, more than the {} % that do little harm: many who were assigned '{}' did not \
             get it, so comparing it says little about it. Find out why (a fallback, a cache, a \
             bug) before you read any metric.",
            digits(100.0 * TOLERATED_SHARE),
            exposure.variant
        )
    }));
    reasons
}

/// "12.3 % of the outcomes of 'b' (123 of 1,000) were served by another variant".
fn strays_of(exposure: &VariantExposure) -> String {
    let share = digits(100.0 * exposure.mismatched_share().unwrap_or_default());
    let [strays, all] =
        [exposure.mismatched, exposure.outcomes].map(|count| grouped(&count.to_string()));
    let were = if exposure.mismatched == 1 { "was" } else { "were" };
    format!(
        "{share} % of the outcomes of '{}' ({strays} of {all}) {were} served by another variant",
        exposure.variant
    )
}

/// What a CONTINUE waits for.
fn waiting(situation: &Situation) -> &'static str {
    let any = |test: fn(Primary, Guardrails) -> bool| {
        situation.treatments.iter().any(|t| test(t.primary, t.guardrails))
    };
    match (situation.method, situation.sample) {
        (Method::FixedHorizon, Sample::Collecting) => {
            "Keep collecting: the plan is one look, when the planned sample is in."
        }
        _ if any(|primary, guardrails| {
            primary == Primary::Better && guardrails == Guardrails::Open
        }) =>
        {
            "Keep collecting: the primary metric is better, but not every guardrail is shown to hold yet."
        }
        _ if any(|primary, _| primary != Primary::TooEarly) => {
            "Keep collecting: the primary metric shows no clear difference yet."
        }
        _ => "Keep collecting: there is too little data to test.",
    }
}

/// One sentence about a comparison; none while there is nothing to say.
fn finding(metric: &Metric, comparison: &Comparison, several: bool) -> Option<String> {
    let difference = comparison.difference?;
    let name = subject(metric, comparison);
    let of = if several { format!(" with '{}'", comparison.variant) } else { String::new() };
    let verb = if difference > 0.0 { "rose" } else { "fell" };
    let change = if metric.role == Role::Guardrail {
        let lift = comparison.lift?;
        format!("{} %", digits(100.0 * lift.abs()))
    } else {
        amount(metric, difference.abs())
    };
    let mut sentence = format!("{name} {verb} by {change}{of}");
    if metric.role != Role::Guardrail
        && let Some(interval) = comparison.difference_interval
    {
        sentence.push_str(&bounds(metric, interval));
    }
    sentence.push_str(conclusion(metric, comparison).as_str());
    sentence.push('.');
    Some(sentence)
}

fn conclusion(metric: &Metric, comparison: &Comparison) -> String {
    let margin = metric.non_inferiority_margin.map(|margin| digits(100.0 * margin));
    match (comparison.verdict, margin) {
        (Verdict::NonInferior, Some(margin)) => {
            format!(": shown to be within the {margin} % you allowed")
        }
        (Verdict::Violated, Some(margin)) => {
            format!(": shown to be more than the {margin} % you allowed")
        }
        (Verdict::Inconclusive, Some(margin)) => {
            format!(": not yet shown to be within the {margin} % you allowed")
        }
        (Verdict::Inconclusive, None) => ", which chance may explain".to_owned(),
        (Verdict::Worse, _) => ", which is worse".to_owned(),
        (
            Verdict::InsufficientData | Verdict::Better | Verdict::NonInferior | Verdict::Violated,
            _,
        ) => String::new(),
    }
}

/// "Task completed", "P95 of latency".
fn subject(metric: &Metric, comparison: &Comparison) -> String {
    let words = metric.id.as_str().replace('_', " ");
    if let Some(order) = comparison.quantile {
        let order = format!("P{}", digits(100.0 * order));
        // A metric called latency_p95 says so already.
        let bare = words.strip_suffix(&order.to_lowercase()).map_or(words.as_str(), str::trim_end);
        return format!("{order} of {bare}");
    }
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

/// Signed, as the change is: "fell by 8.5 points (95 % interval -23.4 to 6.3)".
fn bounds(metric: &Metric, interval: ConfidenceInterval) -> String {
    let scale = scale(metric);
    let [lower, upper] =
        [interval.bounds.lower, interval.bounds.upper].map(|bound| digits(scale * bound));
    format!(" ({} % interval {lower} to {upper})", digits(100.0 * interval.level))
}

fn scale(metric: &Metric) -> f64 {
    match metric.kind {
        Kind::Binary => 100.0,
        Kind::Continuous | Kind::Duration | Kind::Amount => 1.0,
    }
}

fn amount(metric: &Metric, change: f64) -> String {
    let number = digits(scale(metric) * change);
    match metric.kind {
        Kind::Binary => format!("{number} points"),
        Kind::Continuous | Kind::Duration | Kind::Amount if metric.unit.is_empty() => number,
        Kind::Duration | Kind::Continuous | Kind::Amount => format!("{number} {}", metric.unit),
    }
}

/// Three significant digits at most, never more than four places, no trailing zeros.
fn digits(number: f64) -> String {
    let places = match number.abs() {
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        x if x >= 1.0 => 2,
        x if x >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{:.places$}", number.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut short = grouped(whole);
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        short = format!("{short}.{fraction}");
    }
    if number < 0.0 && short != "0" { format!("\u{2212}{short}") } else { short }
}

/// "1234567" as "1,234,567".
fn grouped(whole: &str) -> String {
    let groups = whole.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (7.6, "7.6"),
            (0.0, "0"),
            (-0.000_01, "0"),
            (12.34, "12.3"),
            (1_234.5, "1,234"),
            (-23.44, "\u{2212}23.4"),
            (1e6, "1,000,000"),
            (0.123_4, "0.123"),
            (15.0, "15"),
            (95.0, "95"),
            (99.9, "99.9"),
        ];
        for (number, text) in cases {
            assert_eq!(digits(number), text);
        }
    }
}
