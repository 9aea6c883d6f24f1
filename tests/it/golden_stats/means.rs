//! Tests of means from count, sum and sum of squares.

use serde_json::{Value, json};
use tiebreak::stats::Undefined;
use tiebreak::stats::distribution::normal_isf;
use tiebreak::stats::lift::{Fieller, Lift};
use tiebreak::stats::mean_test::{self, ArmEstimate};
use tiebreak::stats::moments::Moments;
use tiebreak::stats::non_inferiority::{Better, Guardrail, Margin};

use super::input::{
    Fields, bound, confidence, fields, moments, moments_of, real, reals, refused, status, t_test,
};

pub(super) fn mean_test(inputs: &Value) -> Fields {
    of_moments(inputs, &moments(&inputs["control"]), &moments(&inputs["treatment"]))
}

pub(super) fn of_moments(inputs: &Value, control: &Moments, treatment: &Moments) -> Fields {
    let pooled = inputs["equal_var"].as_bool().unwrap_or(false);
    let test = if pooled { mean_test::student } else { mean_test::welch };
    let result = test(control, treatment);
    let mut all = fields(json!({
        "mean_control": control.mean(), "mean_treatment": treatment.mean(),
        "var_control": control.variance(), "var_treatment": treatment.variance(),
    }));
    if let (Err(reason), Some(c), Some(t)) = (&result, control.mean_dd(), treatment.mean_dd()) {
        // Without a test there still is a difference.
        all.insert("diff".to_owned(), json!((t - c).to_f64()));
        if *reason == Undefined::ZeroVariance {
            all.insert("se".to_owned(), json!(0.0));
        }
    }
    all.extend(t_test(result, inputs));
    all
}

/// Winsorised at a cap that was fixed beforehand.
pub(super) fn capped(inputs: &Value) -> Fields {
    let cap = real(inputs, "cap");
    let [(control, capped_control), (treatment, capped_treatment)] =
        ["raw_control", "raw_treatment"].map(|name| {
            let raw = reals(&inputs[name]);
            let kept: Vec<f64> = raw.iter().map(|value| value.min(cap)).collect();
            (moments_of(&kept), raw.iter().filter(|value| **value > cap).count())
        });
    let mut all = of_moments(inputs, &control, &treatment);
    all.extend(fields(
        json!({"capped_control": capped_control, "capped_treatment": capped_treatment}),
    ));
    all
}

/// The test of the classic service: Student's, on single outcomes.
pub(super) fn classic(inputs: &Value) -> Fields {
    let arm = |name: &str| moments_of(&reals(&inputs[name]));
    let (control, treatment) = (arm("control_outcomes"), arm("treatment_outcomes"));
    let test = mean_test::student(&control, &treatment);
    let lift = ArmEstimate::mean(&control)
        .and_then(|c| Lift::new(&c, &ArmEstimate::mean(&treatment)?))
        .map(|lift| 100.0 * lift.lift);
    fields(json!({
        "control_mean": control.mean(), "treatment_mean": treatment.mean(),
        "p_value": test.map(|test| test.p_value).ok(),
        "significant": test.is_ok_and(|test| test.p_value < real(inputs, "alpha")),
        "relative_lift_pct": lift.ok(),
    }))
}

pub(super) fn lift(inputs: &Value) -> Fields {
    let [control, treatment] = ["control", "treatment"].map(|name| moments(&inputs[name]));
    let mut all =
        fields(json!({"mean_control": control.mean(), "mean_treatment": treatment.mean()}));
    let lift = ArmEstimate::mean(&control)
        .and_then(|control| Lift::new(&control, &ArmEstimate::mean(&treatment)?));
    let lift = match lift {
        Ok(lift) => lift,
        Err(reason) => {
            all.extend(fields(json!({"lift": null, "status": status(reason)})));
            return all;
        }
    };
    let level = confidence(inputs);
    let critical = match inputs["crit"].as_str() {
        Some("normal") => Some(normal_isf(0.5 * (1.0 - level))),
        _ => lift.critical_value(level),
    };
    all.extend(fields(json!({"ratio": lift.ratio, "lift": lift.lift, "status": "OK"})));
    match critical {
        Some(critical) => all.extend(lift_intervals(&lift, critical)),
        None => all.extend(refused(Undefined::ZeroVariance)),
    }
    all
}

fn lift_intervals(lift: &Lift, critical: f64) -> Fields {
    let (kind, fieller) = match lift.fieller(critical) {
        Fieller::Bounded(interval) => ("bounded", Some(interval)),
        Fieller::Exclusive(interval) => ("exclusive", Some(interval)),
        Fieller::Unbounded => ("all", None),
    };
    let (delta, log_delta) = (lift.delta(critical), lift.log_delta(critical));
    fields(json!({
        "crit_value": critical, "df": lift.degrees_of_freedom,
        "se_delta": lift.standard_error, "delta_low": bound(delta.lower), "delta_high": bound(delta.upper),
        "se_log": lift.log_standard_error,
        "log_low": log_delta.map(|interval| bound(interval.lower)),
        "log_high": log_delta.map(|interval| bound(interval.upper)),
        "fieller_g": lift.fieller_g(critical), "fieller_kind": kind,
        "fieller_low": fieller.map(|interval| interval.lower),
        "fieller_high": fieller.map(|interval| interval.upper),
    }))
}

pub(super) fn non_inferiority(inputs: &Value) -> Fields {
    let size = real(inputs, "margin");
    let margin = match inputs["margin_kind"].as_str() {
        Some("absolute") => Margin::Absolute(size),
        Some("relative") => Margin::Relative(size),
        other => panic!("margin kind {other:?}"),
    };
    let better = if inputs["better"] == "higher" { Better::Higher } else { Better::Lower };
    let [control, treatment] =
        ["control", "treatment"].map(|name| ArmEstimate::mean(&moments(&inputs[name])));
    let answer =
        control.and_then(|control| Guardrail::new(margin, better)?.test(&control, &treatment?));
    match answer {
        Err(reason) => refused(reason),
        Ok(answer) => fields(json!({
            "diff": answer.test.difference, "se": answer.test.standard_error,
            "t": answer.test.t, "df": answer.test.degrees_of_freedom,
            "p_value": answer.non_inferior.p_value, "ln_p": answer.non_inferior.ln_p_value,
            "non_inferior_at_05": answer.non_inferior.p_value < 0.05, "status": "OK",
        })),
    }
}
