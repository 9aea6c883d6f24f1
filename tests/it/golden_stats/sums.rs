//! Exact sums, and the tails everything rests on.

use serde_json::{Value, json};
use tiebreak::stats::decimal::{self, Decimal};
use tiebreak::stats::distribution;
use tiebreak::stats::moments::Moments;

use super::input::{Fields, count, fields, number, real, reals};
use super::means::of_moments;

/// What a store keeps of one arm and metric: a count and carry-save limbs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    count: u64,
    sum: [i64; decimal::SUM_LIMBS],
    squares: [i64; decimal::SQUARE_LIMBS],
}

impl Counters {
    fn of(values: &[f64]) -> Self {
        values.iter().map(|value| Self::one(*value)).fold(Self::default(), Self::add)
    }

    fn one(value: f64) -> Self {
        let value = Decimal::try_from(value).unwrap();
        Self { count: 1, sum: value.limbs(), squares: value.square_limbs() }
    }

    fn add(mut self, other: Self) -> Self {
        self.count += other.count;
        self.sum.iter_mut().zip(other.sum).for_each(|(total, limb)| *total += limb);
        self.squares.iter_mut().zip(other.squares).for_each(|(total, limb)| *total += limb);
        self
    }

    fn moments(&self) -> Moments {
        let sum = decimal::sum_to_dd(&self.sum);
        Moments::new(self.count, sum, decimal::square_sum_to_dd(&self.squares))
    }
}

fn describe(moments: &Moments) -> Fields {
    fields(json!({
        "n": moments.count, "sum": moments.sum.to_f64(), "sum_sq": moments.sum_of_squares.to_f64(),
        "mean": moments.mean(), "variance": moments.variance(), "sd": moments.sd(),
    }))
}

/// `x_i = offset + shift + (((i·mul) mod m) - (m-1)/2) / 2^k`.
#[expect(clippy::cast_precision_loss, reason = "numbers below m, which is small")]
fn generated(rule: &Value) -> Vec<f64> {
    let (modulus, factor) = (count(rule, "m"), count(rule, "mul"));
    let offset = real(rule, "offset") + number(&rule["shift"]).unwrap_or(0.0);
    let scale = 2_f64.powi(i32::try_from(count(rule, "k")).unwrap());
    let value = |i| offset + (((i * factor) % modulus) as f64 - (modulus - 1) as f64 / 2.0) / scale;
    (0..count(rule, "n")).map(value).collect()
}

pub(super) fn accumulate(inputs: &Value) -> Fields {
    describe(&Counters::of(&generated(inputs)).moments())
}

pub(super) fn accumulate_welch(inputs: &Value) -> Fields {
    let arm = |name: &str| Counters::of(&generated(&inputs[name])).moments();
    of_moments(inputs, &arm("control"), &arm("treatment"))
}

/// Values given as decimal texts, as digits, or by the rule "first, then alternate low and high".
pub(super) fn listed(inputs: &Value) -> Fields {
    let parse = |text: &Value| text.as_str().unwrap().parse::<f64>().unwrap();
    let values: Vec<f64> = if let Some(values) = inputs["values"].as_array() {
        values.iter().map(parse).collect()
    } else if let Some(digits) = inputs["digits"].as_str() {
        digits.chars().map(|digit| f64::from(digit.to_digit(10).unwrap())).collect()
    } else {
        let alternate = [parse(&inputs["low"]), parse(&inputs["high"])].into_iter().cycle();
        let rest = alternate.take(usize::try_from(count(inputs, "n")).unwrap() - 1);
        std::iter::once(parse(&inputs["first"])).chain(rest).collect()
    };
    describe(&Counters::of(&values).moments())
}

/// Forwards, backwards and at once must be the same state, bit for bit.
pub(super) fn merge(inputs: &Value) -> Fields {
    let shards: Vec<Vec<f64>> = inputs["shards"].as_array().unwrap().iter().map(reals).collect();
    let parts: Vec<Counters> = shards.iter().map(|shard| Counters::of(shard)).collect();
    let forwards = parts.iter().copied().fold(Counters::default(), Counters::add);
    let backwards = parts.iter().rev().copied().fold(Counters::default(), Counters::add);
    assert_eq!(forwards, backwards);
    assert_eq!(forwards, Counters::of(&shards.concat()));
    let late = parts.iter().map(Counters::moments).fold(Moments::default(), Moments::merge);
    let (late, early) =
        (late.variance().unwrap_or(0.0), forwards.moments().variance().unwrap_or(0.0));
    assert!((late - early).abs() <= 1e-15 * early, "{late:e} {early:e}");
    describe(&forwards.moments())
}

pub(super) fn kernel(inputs: &Value) -> Fields {
    let args = reals(&inputs["args"]);
    let (value, ln) = match inputs["fn"].as_str().unwrap() {
        "norm_sf" => (distribution::normal_sf(args[0]), Some(distribution::normal_ln_sf(args[0]))),
        "norm_isf" => (distribution::normal_isf(args[0]), None),
        "t_sf" => {
            let ln = distribution::student_ln_sf(args[0], args[1]);
            (distribution::student_sf(args[0], args[1]), Some(ln))
        }
        "t_isf" => (distribution::student_isf(args[0], args[1]), None),
        "chi2_sf" => {
            let ln = distribution::chi_squared_ln_sf(args[0], args[1]);
            (distribution::chi_squared_sf(args[0], args[1]), Some(ln))
        }
        "betainc" => (distribution::beta_inc(args[0], args[1], args[2]), None),
        other => panic!("kernel {other}"),
    };
    fields(json!({"value": value, "ln": ln}))
}
