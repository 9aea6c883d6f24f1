//! Planning, and the correction for several comparisons.

use serde_json::{Value, json};
use tiebreak::stats::power::{self, Requirement};
use tiebreak::stats::{Undefined, multiplicity as correction};

use super::input::{Fields, alternative, count, fields, real, reals, refused};

fn requirement(inputs: &Value, ratio: f64) -> Result<Requirement, Undefined> {
    Requirement::new(real(inputs, "alpha"), real(inputs, "power"), ratio)
}

fn or_status(result: Result<Value, Undefined>) -> Fields {
    result.map_or_else(refused, fields)
}

pub(super) fn classic(inputs: &Value) -> Fields {
    let rate = real(inputs, "baseline_rate");
    or_status(requirement(inputs, 1.0).and_then(|requirement| {
        let effect = power::effect_size(rate, real(inputs, "min_detectable_effect"))?;
        let size = power::sample_size(effect, &requirement)?;
        Ok(json!({"effect_size": effect, "n_raw": size.control, "n": size.rounded_up().0}))
    }))
}

pub(super) fn power(inputs: &Value) -> Fields {
    let (control, treatment) = (real(inputs, "n_control"), real(inputs, "n_treatment"));
    let (effect, alpha) = (real(inputs, "effect_size"), real(inputs, "alpha"));
    let power = power::power(effect, control, treatment, alpha, alternative(inputs));
    or_status(power.map(|power| json!({"power": power})))
}

pub(super) fn of_means(inputs: &Value) -> Fields {
    let ratio = real(inputs, "ratio_treatment_to_control");
    or_status(requirement(inputs, ratio).and_then(|requirement| {
        let (sd, delta) = (real(inputs, "sd"), real(inputs, "delta"));
        let size = power::sample_size_normal(sd, delta, &requirement)?;
        Ok(json!({"n_control": size.control}))
    }))
}

pub(super) fn of_rates(inputs: &Value) -> Fields {
    or_status(requirement(inputs, 1.0).and_then(|requirement| {
        let size = power::sample_size_rates(real(inputs, "p1"), real(inputs, "p2"), &requirement)?;
        Ok(json!({"n_per_arm": size.control}))
    }))
}

pub(super) fn detectable(inputs: &Value) -> Fields {
    let (control, treatment) = (real(inputs, "n_control"), real(inputs, "n_treatment"));
    or_status(requirement(inputs, treatment / control).and_then(|requirement| {
        let sd = real(inputs, "sd");
        let effect = power::minimum_detectable_effect(sd, control, treatment, &requirement)?;
        Ok(json!({"mde": effect}))
    }))
}

/// Hochberg needs an assumption about dependence that Holm does not, Benjamini and Yekutieli are
/// rarely asked for: neither is offered.
pub(super) fn multiplicity(inputs: &Value) -> Option<Fields> {
    let adjust = match inputs["method"].as_str().unwrap() {
        "bonferroni" => correction::bonferroni,
        "holm" => correction::holm,
        "bh" => correction::benjamini_hochberg,
        "hochberg" | "by" => return None,
        other => panic!("method {other}"),
    };
    Some(fields(json!({"adjusted": adjust(&reals(&inputs["p_values"]))})))
}

/// Designs solved by statsmodels, with equal and unequal arms.
#[test]
fn sample_sizes_agree_with_statsmodels() {
    let document = super::read(&super::folder().join("reference_power.json"));
    let designs = document["ttest"].as_array().unwrap();
    assert_eq!(designs.len(), 48);
    for design in designs {
        let requirement = requirement(design, real(design, "ratio")).unwrap();
        let size = power::sample_size(real(design, "d"), &requirement).unwrap();
        // The solver of statsmodels stops early: at its answer for d = 0.5, alpha = 0.01 the power
        // is short of 0.8 by 9.7e-9 (mpmath, 30 digits), at ours by 3e-16.
        assert!((size.control / real(design, "n1") - 1.0).abs() < 1e-7, "{design}: {size:?}");
        assert_eq!(size.rounded_up().0, count(design, "n1_ceil"), "{design}");
    }
}
