//! Proportions, and the Bayesian descriptions.

use serde_json::{Value, json};
use tiebreak::stats::bayes::{NormalPosterior, Prior};
use tiebreak::stats::bayes_rate::{self, BetaPrior, Trials};
use tiebreak::stats::dd::Dd;
use tiebreak::stats::proportion::{self, Proportion};
use tiebreak::stats::{Interval, Undefined};

use super::input::{Fields, alternative, confidence, count, fields, real, refused, status};

pub(super) fn prop_test(inputs: &Value) -> Fields {
    let arm = |name: &str| Proportion::new(count(&inputs[name], "n"), count(&inputs[name], "x"));
    let both: Result<_, Undefined> =
        arm("control").and_then(|control| Ok((control, arm("treatment")?)));
    let (control, treatment) = match both {
        Ok(both) => both,
        Err(reason) => return refused(reason),
    };
    let level = confidence(inputs);
    let pooled = proportion::pooled(&control, &treatment);
    let unpooled = proportion::unpooled(&control, &treatment);
    let pair = |interval: Interval| [interval.lower, interval.upper];
    let [wald_low, wald_high] = pair(proportion::wald_interval(&control, &treatment, level));
    let [newcombe_low, newcombe_high] =
        pair(proportion::newcombe_interval(&control, &treatment, level));
    let mut all = fields(json!({
        "p_control": control.value(), "p_treatment": treatment.value(),
        "se_pooled": pooled.map_or(0.0, |test| test.standard_error),
        "se_unpooled": unpooled.map_or(0.0, |test| test.standard_error),
        "ci_wald_low": wald_low, "ci_wald_high": wald_high,
        "ci_newcombe_low": newcombe_low, "ci_newcombe_high": newcombe_high,
        "wilson_control": pair(control.wilson(level)),
        "wilson_treatment": pair(treatment.wilson(level)),
    }));
    let test = if inputs["pooled"].as_bool().unwrap_or(true) { pooled } else { unpooled };
    all.extend(fields(match test {
        Ok(test) => {
            let tail = test.tail(alternative(inputs));
            json!({
                "diff": test.difference, "z": test.z, "p_value": tail.p_value,
                "ln_p": tail.ln_p_value, "status": "OK",
            })
        }
        Err(reason) => {
            json!({"diff": treatment.value() - control.value(), "status": status(reason)})
        }
    }));
    all
}

pub(super) fn bayes_normal(inputs: &Value) -> Fields {
    let prior = if inputs["proper_prior"] == true {
        Prior::Normal { mean: real(inputs, "prior_mean"), variance: real(inputs, "prior_variance") }
    } else {
        Prior::Flat
    };
    let deviation = real(inputs, "variance").sqrt();
    let posterior = match NormalPosterior::new(real(inputs, "diff"), deviation, prior) {
        Ok(posterior) => posterior,
        Err(reason) => return refused(reason),
    };
    let Interval { lower, upper } = posterior.interval(1.0 - real(inputs, "alpha"));
    fields(json!({
        "post_mean": posterior.mean(), "post_sd": posterior.deviation(),
        "chance_to_win": posterior.probability_positive(),
        "risk_choose_control": posterior.expected_excess(),
        "risk_choose_treatment": posterior.expected_shortfall(),
        "ci_low": lower, "ci_high": upper, "status": "OK",
    }))
}

pub(super) fn beta_binomial(inputs: &Value) -> Fields {
    let trials = |name: &str| Trials {
        count: count(&inputs[name], "n"),
        successes: count(&inputs[name], "x"),
    };
    let whole = |name: &str| u32::try_from(count(inputs, name)).unwrap();
    let prior = BetaPrior { alpha: whole("prior_alpha"), beta: whole("prior_beta") };
    let both = match bayes_rate::compare(trials("control"), trials("treatment"), prior) {
        Ok(both) => both,
        Err(reason) => return refused(reason),
    };
    let posterior = |arm: Trials| {
        let successes = Dd::from_u64(arm.successes).to_f64();
        let failures = Dd::from_u64(arm.count - arm.successes).to_f64();
        json!([successes + f64::from(prior.alpha), failures + f64::from(prior.beta)])
    };
    fields(json!({
        "post_control": posterior(trials("control")),
        "post_treatment": posterior(trials("treatment")),
        "prob_treatment_better": both.probability_greater,
        "expected_loss_choose_treatment": both.expected_shortfall,
        "expected_loss_choose_control": both.expected_excess,
        "mean_control": both.control_mean, "mean_treatment": both.treatment_mean,
    }))
}
