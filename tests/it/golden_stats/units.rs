//! Units: who they are assigned to, and tests that know that outcomes of a unit belong together.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use tiebreak::domain::bucket::{BUCKETS, Salt};
use tiebreak::domain::id::UnitId;
use tiebreak::domain::split::Split;
use tiebreak::stats::cuped::{self as adjustment, PairedMoments, Slope};
use tiebreak::stats::dd::Dd;
use tiebreak::stats::lift::Lift;
use tiebreak::stats::mean_test::{self, ArmEstimate, welch_estimates};
use tiebreak::stats::moments::Moments;
use tiebreak::stats::rows::{self, Row};
use tiebreak::stats::sequential::{Look, Mixture};
use tiebreak::stats::{Undefined, precision, srm};

use super::input::{
    Fields, count, exact, fields, moments_of, number, real, reals, refused, t_test,
};

/// Bucket and arm of a unit; `None` for ids that the service refuses.
fn place(experiment: &str, unit: &str, split: f64) -> Option<(u16, bool)> {
    let salt = Salt::try_from(experiment.to_owned()).ok()?;
    let bucket = salt.bucket(UnitId::parse(unit).ok()?);
    let weight = (0..=BUCKETS).find(|weight| f64::from(*weight) / f64::from(BUCKETS) >= split)?;
    let arms = Split::initial(&[BUCKETS - weight, weight], 0);
    Some((bucket.get(), arms.variant_of(bucket) == 1))
}

pub(super) fn assign(inputs: &Value) -> Option<Fields> {
    let [experiment, unit] = ["experiment", "user_id"].map(|name| inputs[name].as_str().unwrap());
    let (bucket, treated) = place(experiment, unit, real(inputs, "split"))?;
    let digest = Md5::digest(format!("{experiment}:{unit}"));
    let hash = digest.iter().fold(0_u128, |hash, &byte| (hash << 8) | u128::from(byte));
    Some(fields(json!({
        "md5_hex": format!("{hash:032x}"), "hash_dec": hash.to_string(), "bucket": bucket,
        "normalized": f64::from(bucket) / f64::from(BUCKETS),
        "variant": if treated { "treatment" } else { "control" },
    })))
}

/// Most rows that are built; an experiment of the service has at most 16,384 per arm.
const MOST_ROWS: u64 = 4_096;

/// The estimate of an arm of which only sums are known.
///
/// With `u = (1, -1, 0, ...)/√2` and `v = (1, 1, -2, 0, ...)/√6`, which are centred and orthonormal,
/// `y = ȳ + αu` and `d = d̄ + βu + γv` have the sums wanted for `α² = Σ(y-ȳ)²`, `αβ = Σ(y-ȳ)(d-d̄)`
/// and `β² + γ² = Σ(d-d̄)²`. The estimator sees rows through these sums alone, and their number.
#[expect(clippy::many_single_char_names, reason = "the symbols above")]
fn of_sums(arm: &Value) -> Result<ArmEstimate, Undefined> {
    let [n, y, d] = ["n", "sum_y", "sum_d"].map(|field| exact(arm, field));
    let centred = |sum: &str, a: Dd, b: Dd| (exact(arm, sum) - a * b / n).to_f64();
    let (yy, yd) = (centred("sum_y_sq", y, y), centred("sum_yd", y, d));
    let alpha = yy.max(0.0).sqrt();
    let beta = if alpha > 0.0 { yd / alpha } else { 0.0 };
    let gamma = (centred("sum_d_sq", d, d) - beta * beta).max(0.0).sqrt();
    let count = count(arm, "n");
    let built = Dd::from_u64(count.min(MOST_ROWS));
    let (half, sixth) = (0.5_f64.sqrt(), 6.0_f64.sqrt().recip());
    let row = |i: u64| {
        let (u, v) = match i {
            0 => (half, sixth),
            1 => (-half, sixth),
            2 => (0.0, -2.0 * sixth),
            _ => (0.0, 0.0),
        };
        Row {
            denominator: d / built + Dd::from(beta * u + gamma * v),
            numerator: y / built + Dd::from(alpha * u),
        }
    };
    let rows: Vec<Row> = (0..count.min(MOST_ROWS)).map(row).collect();
    let estimate = rows::ratio(&rows)?;
    // `k/(k-1)` of the rows that there are, in place of those that were built.
    let (k, n) = (built.to_f64(), n.to_f64());
    Ok(ArmEstimate {
        standard_error: estimate.standard_error * ((k - 1.0) / k * (n / (n - 1.0))).sqrt(),
        degrees_of_freedom: n - 1.0,
        ..estimate
    })
}

fn ratio_arm(inputs: &Value, name: &str) -> Result<ArmEstimate, Undefined> {
    let raw = |suffix: &str| inputs.get(format!("raw_{name}_{suffix}")).map(reals);
    let (Some(d), Some(y)) = (raw("d"), raw("y")) else { return of_sums(&inputs[name]) };
    let pair = |(d, y): (f64, f64)| Row { denominator: d.into(), numerator: y.into() };
    rows::ratio(&d.into_iter().zip(y).map(pair).collect::<Vec<_>>())
}

pub(super) fn ratio(inputs: &Value) -> Fields {
    let both: Result<_, Undefined> = ratio_arm(inputs, "control")
        .and_then(|control| Ok((control, ratio_arm(inputs, "treatment")?)));
    let (control, treatment) = match both {
        Ok(both) => both,
        Err(reason) => return refused(reason),
    };
    let linearised =
        |arm: &ArmEstimate| arm.standard_error.powi(2) * (arm.degrees_of_freedom + 1.0);
    let lift = Lift::new(&control, &treatment).ok();
    let mut all = fields(json!({
        "ratio_control": control.value.to_f64(), "ratio_treatment": treatment.value.to_f64(),
        "lin_var_control": linearised(&control), "lin_var_treatment": linearised(&treatment),
        "diff": (treatment.value - control.value).to_f64(),
        "lift": lift.map(|lift| lift.lift), "se_lift_delta": lift.map(|lift| lift.standard_error),
    }));
    all.extend(t_test(welch_estimates(&control, &treatment), inputs));
    all
}

pub(super) fn cuped(inputs: &Value) -> Fields {
    adjusted(inputs).unwrap_or_else(refused)
}

fn adjusted(inputs: &Value) -> Result<Fields, Undefined> {
    let [control, treatment] = ["control", "treatment"].map(|name| {
        let sum = |field: &str| exact(&inputs[name], field);
        PairedMoments {
            count: count(&inputs[name], "n"),
            outcome: sum("sum_y"),
            outcome_squares: sum("sum_y_sq"),
            covariate: sum("sum_x"),
            covariate_squares: sum("sum_x_sq"),
            products: sum("sum_xy"),
        }
    });
    let slope = if inputs["theta_mode"] == "total" { Slope::Total } else { Slope::Within };
    let adjusted = adjustment::adjust(&control, &treatment, slope)?;
    let plain = |arm: &PairedMoments| {
        ArmEstimate::mean(&Moments::new(arm.count, arm.outcome, arm.outcome_squares))
    };
    let before = welch_estimates(&plain(&control)?, &plain(&treatment)?)?;
    let variance = |arm: &ArmEstimate| arm.standard_error.powi(2) * (arm.degrees_of_freedom + 1.0);
    let mut all = t_test(welch_estimates(&adjusted.control, &adjusted.treatment), inputs);
    all.extend(fields(json!({
        "theta": adjusted.theta,
        "adj_mean_control": adjusted.control.value.to_f64(),
        "adj_mean_treatment": adjusted.treatment.value.to_f64(),
        "adj_var_control": variance(&adjusted.control),
        "adj_var_treatment": variance(&adjusted.treatment),
        "diff_unadjusted": before.difference, "se_unadjusted": before.standard_error,
        "variance_reduction": adjusted.variance_reduction,
    })));
    Ok(all)
}

/// Outcomes of each user, in the order of users.
type Users<'a> = BTreeMap<&'a str, Vec<f64>>;

fn user_rows(users: &Users<'_>) -> Vec<Row> {
    let row = |values: &Vec<f64>| {
        let own = moments_of(values);
        Row { denominator: Dd::from_u64(own.count), numerator: own.sum }
    };
    users.values().map(row).collect()
}

pub(super) fn cluster_stream(inputs: &Value) -> Fields {
    let (mut users, mut values) = (Users::new(), Vec::new());
    for event in inputs["events"].as_array().unwrap() {
        let value = number(&event[1]).unwrap();
        users.entry(event[0].as_str().unwrap()).or_default().push(value);
        values.push(value);
    }
    of_stream(&users, &moments_of(&values)).unwrap_or_else(refused)
}

fn of_stream(users: &Users<'_>, events: &Moments) -> Result<Fields, Undefined> {
    let per_event = user_rows(users);
    let per_user: Vec<Row> =
        per_event.iter().map(|row| Row { denominator: Dd::ONE, ..*row }).collect();
    let totals: Vec<f64> = per_event.iter().map(|row| row.numerator.to_f64()).collect();
    let total = |part: &dyn Fn(&Row) -> Dd| per_event.iter().map(part).sum::<Dd>().to_f64();
    let totals = moments_of(&totals);
    let (clustered, naive) = (rows::ratio(&per_event)?, ArmEstimate::mean(events)?);
    let effect = precision::design_effect(clustered.standard_error, naive.standard_error)?;
    Ok(fields(json!({
        "n_users": totals.count, "n_events": events.count, "sum": events.sum.to_f64(),
        "event_sum_sq": events.sum_of_squares.to_f64(), "user_sum_sq": totals.sum_of_squares.to_f64(),
        "count_sum_sq": total(&|row| row.denominator * row.denominator),
        "cross_sum": total(&|row| row.denominator * row.numerator),
        "mean_per_event": clustered.value.to_f64(),
        "mean_per_user": rows::ratio(&per_user)?.value.to_f64(),
        "se_cluster": clustered.standard_error, "se_naive": naive.standard_error,
        "design_effect": effect, "user_mean_var": totals.variance(),
    })))
}

/// From events to an answer: assignment, sums, clusters, sequential test, sample ratio.
pub(super) fn end_to_end(inputs: &Value) -> Fields {
    let (split, experiment) = (real(inputs, "split"), inputs["experiment"].as_str().unwrap());
    let mut arms: [Users<'_>; 2] = Default::default();
    for event in inputs["events"].as_array().unwrap() {
        let user = event[0].as_str().unwrap();
        let (_, treated) = place(experiment, user, split).unwrap();
        let own = arms[usize::from(treated)].entry(user).or_default();
        own.push(number(&event[1]).unwrap());
    }
    answer(inputs, &arms).unwrap_or_else(refused)
}

fn answer(inputs: &Value, arms: &[Users<'_>; 2]) -> Result<Fields, Undefined> {
    let split = real(inputs, "split");
    let [control, treatment] = arms
        .each_ref()
        .map(|users| moments_of(&users.values().flatten().copied().collect::<Vec<_>>()));
    let naive = mean_test::welch(&control, &treatment)?;
    let [c, t] = arms.each_ref().map(|users| rows::ratio(&user_rows(users)));
    let (c, t) = (c?, t?);
    let clustered = welch_estimates(&c, &t)?;
    let interval = clustered.interval(0.95);
    let units = arms.each_ref().map(|users| u64::try_from(users.len()).unwrap());
    // The case is of the plain normal mixture: by units, without the guard.
    let look = Look {
        difference: clustered.difference,
        standard_error: clustered.standard_error,
        degrees_of_freedom: f64::INFINITY,
        clock: Dd::from_u64(units.iter().sum()).to_f64(),
    };
    let mixture = Mixture::tuned_at(real(inputs, "tuning_n"), real(inputs, "alpha"))?;
    Ok(fields(json!({
        "control_users": units[0], "control_events": control.count, "control_sum": control.sum.to_f64(),
        "treatment_users": units[1], "treatment_events": treatment.count,
        "treatment_sum": treatment.sum.to_f64(),
        "event_level_welch_t": naive.t, "event_level_welch_p": naive.p_value,
        "user_clustered_t": clustered.t, "user_clustered_p": clustered.p_value,
        "user_clustered_ci_low": interval.lower, "user_clustered_ci_high": interval.upper,
        "lift": Lift::new(&c, &t)?.lift, "sequential_p": mixture.tail(&look).p_value,
        "srm_p": srm::chi_squared(&units, &[1.0 - split, split])?.p_value,
    })))
}
