//! Quantiles of raw outcomes, each a bin without width.

use serde_json::{Value, json};
use tiebreak::stats::Undefined;
use tiebreak::stats::mean_test::welch_estimates;
use tiebreak::stats::proportion::{self, Proportion};
use tiebreak::stats::quantile::always_valid::QuantileTest;
use tiebreak::stats::quantile::{DesignEffect, Distribution, QuantileEstimate};

use super::input::{Fields, fields, real, reals, refused};

fn sorted(values: &Value) -> Vec<f64> {
    let mut values = reals(values);
    values.sort_by(f64::total_cmp);
    values
}

pub(super) fn fixed(inputs: &Value) -> Fields {
    compare(inputs).unwrap_or_else(refused)
}

fn compare(inputs: &Value) -> Result<Fields, Undefined> {
    let (nu, level) = (real(inputs, "nu"), 1.0 - real(inputs, "alpha"));
    let values = ["control", "treatment"].map(|name| sorted(&inputs[name]));
    let [control, treatment] = values.each_ref().map(|values| {
        let distribution = Distribution::from_sorted(values)?;
        QuantileEstimate::new(&distribution, nu, level, DesignEffect::NONE)
    });
    let (control, treatment) = (control?, treatment?);
    let test = welch_estimates(&control.arm(), &treatment.arm())?;
    let interval = test.interval(level);
    // Mood's test counts outcomes above the pooled quantile: a test of two proportions.
    let mut pooled: Vec<f64> = values.concat();
    pooled.sort_by(f64::total_cmp);
    let threshold = Distribution::from_sorted(&pooled)?.quantile(nu);
    let [of_control, of_treatment] = values.each_ref().map(|values| {
        let above = values.iter().filter(|value| **value > threshold).count();
        [values.len(), above].map(|number| u64::try_from(number).unwrap())
    });
    let rate = |[count, above]: [u64; 2]| Proportion::new(count, above);
    let mood = proportion::pooled(&rate(of_control)?, &rate(of_treatment)?)?;
    Ok(fields(json!({
        "rank_lower": control.ranks.0, "rank_upper": control.ranks.1,
        "q_control": control.value, "q_treatment": treatment.value,
        "control_low": control.interval.lower, "control_high": control.interval.upper,
        "diff": test.difference, "se": test.standard_error, "z": test.t, "p_value": test.p_value,
        "ci_low": interval.lower, "ci_high": interval.upper,
        "mood_threshold": threshold, "mood_exceed_control": of_control[1],
        "mood_exceed_treatment": of_treatment[1], "mood_z": mood.z, "mood_p": mood.p_value,
        "status": "OK",
    })))
}

pub(super) fn always_valid(inputs: &Value) -> Fields {
    let test =
        QuantileTest::new(real(inputs, "nu"), real(inputs, "t_opt"), real(inputs, "alpha_opt"));
    let arm = |name: &str| Distribution::from_sorted(&sorted(&inputs[name]));
    let tail =
        test.and_then(|test| Ok(test.look(&arm("control")?, &arm("treatment")?, (1.0, 1.0))));
    tail.map_or_else(refused, |tail| {
        fields(json!({"p_value": tail.p_value, "ln_p": tail.ln_p_value}))
    })
}
