//! Always-valid tests, and the sample ratio.

use serde_json::{Value, json};
use tiebreak::stats::distribution::normal_isf;
use tiebreak::stats::sequential::{Look, Mixture, ObrienFleming, Running, SequentialTest};
use tiebreak::stats::{Undefined, mean_test, srm as split};

use super::input::{Fields, bound, counts, fields, moments, number, real, reals, refused};

/// A look with a known standard error, as the vectors of normal mixtures have it.
fn known(difference: f64, standard_error: f64, clock: f64) -> Look {
    Look { difference, standard_error, degrees_of_freedom: f64::INFINITY, clock }
}

pub(super) fn known_look(inputs: &Value) -> Look {
    known(real(inputs, "diff"), real(inputs, "se"), real(inputs, "n"))
}

pub(super) fn guarded(inputs: &Value) -> Fields {
    of_moments(inputs).unwrap_or_else(refused)
}

fn of_moments(inputs: &Value) -> Result<Fields, Undefined> {
    let (control, treatment) = (moments(&inputs["control"]), moments(&inputs["treatment"]));
    let look = Look::of_moments(&control, &treatment)?;
    let alpha = real(inputs, "alpha");
    let mixture = Mixture::tuned_at(real(inputs, "n_plan"), alpha)?;
    let (tail, interval) = (mixture.tail(&look), mixture.interval(&look, alpha));
    Ok(fields(json!({
        "diff": look.difference,
        "se_welch": mean_test::welch(&control, &treatment)?.standard_error,
        "se_pooled": mean_test::student(&control, &treatment)?.standard_error,
        "se_guard": look.standard_error, "df": look.degrees_of_freedom, "t": look.statistic(),
        "rho2": mixture.rho_squared(), "r": mixture.noise_share(look.clock),
        "ln_e": mixture.ln_e(&look), "p_value": tail.p_value, "ln_p": tail.ln_p_value,
        "radius_t": bound(mixture.radius(&look, alpha).unwrap_or(f64::INFINITY)),
        "ci_low": bound(interval.lower), "ci_high": bound(interval.upper), "status": "OK",
    })))
}

pub(super) fn mixture(inputs: &Value) -> Fields {
    let (look, alpha) = (known_look(inputs), real(inputs, "alpha"));
    let mixture = Mixture::tuned_at(real(inputs, "tuning_n"), alpha).unwrap();
    let (tail, interval) = (mixture.tail(&look), mixture.interval(&look, alpha));
    fields(json!({
        "rho": mixture.rho_squared().sqrt(), "halfwidth": interval.upper - look.difference,
        "ci_low": interval.lower, "ci_high": interval.upper, "ln_e": mixture.ln_e(&look),
        "p_value": tail.p_value, "ln_p": tail.ln_p_value,
    }))
}

pub(super) fn obrien_fleming(inputs: &Value) -> Fields {
    let (look, alpha) = (known_look(inputs), real(inputs, "alpha"));
    let plan = ObrienFleming::new(real(inputs, "n_max")).unwrap();
    let (tail, interval) = (plan.tail(&look), plan.interval(&look, alpha));
    fields(json!({
        "z": look.statistic(), "c": normal_isf(0.25 * alpha), "boundary": plan.radius(&look, alpha),
        "reject": tail.p_value < alpha, "p_value": tail.p_value, "ln_p": tail.ln_p_value,
        "ci_low": interval.lower, "ci_high": interval.upper,
    }))
}

pub(super) fn stream(inputs: &Value) -> Fields {
    let alpha = real(inputs, "alpha");
    let mixture = Mixture::tuned_at(real(inputs, "tuning_n"), alpha).unwrap();
    let mut running = Running::default();
    let (mut p, mut low, mut high) = (vec![], vec![], vec![]);
    for row in inputs["rows"].as_array().unwrap() {
        let [difference, standard_error, clock] = [0, 1, 2].map(|at| number(&row[at]).unwrap());
        let look = known(difference, standard_error, clock);
        let tail = mixture.tail(&look);
        running = running.with(&SequentialTest {
            p_value: tail.p_value,
            ln_p_value: tail.ln_p_value,
            interval: mixture.interval(&look, alpha),
        });
        p.push(running.tail().p_value);
        low.push(bound(running.interval.lower));
        high.push(bound(running.interval.upper));
    }
    fields(json!({"running_p": p, "running_low": low, "running_high": high}))
}

pub(super) fn srm(inputs: &Value) -> Fields {
    let test = split::chi_squared(&counts(&inputs["counts"]), &reals(&inputs["weights"]));
    test.map_or_else(refused, |test| {
        fields(json!({
            "chi2": test.statistic, "df": test.degrees_of_freedom, "p_value": test.p_value,
            "ln_p": test.ln_p_value, "status": "OK",
        }))
    })
}

pub(super) fn srm_sequential(inputs: &Value) -> Fields {
    let evidence = split::sequential(
        &counts(&inputs["counts"]),
        &reals(&inputs["theta"]),
        real(inputs, "concentration"),
    );
    evidence.map_or_else(refused, |evidence| {
        fields(json!({
            "ln_e": evidence.ln_e, "p_value": evidence.p_value, "ln_p": evidence.ln_p_value,
        }))
    })
}
