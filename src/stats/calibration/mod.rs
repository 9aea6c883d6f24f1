//! Simulated experiments: what the tests of this room promise, measured.
//!
//! Streams of outcomes are drawn, and every method looks after every single outcome, as a dashboard would at its most
//! impatient. What comes back is when each method first called a winner and when its interval first missed the truth; from
//! that follow the rate of false positives, power, coverage and the time to a decision.
//!
//! The methods are those that are shipped: the boundaries come from [`Rule`](super::sequential::Rule) itself. Only the sums
//! are kept in `f64`, incrementally, because a simulation has millions of looks and small, well-scaled numbers. A look
//! costs one comparison with a tabulated boundary (that of infinitely many degrees of freedom, which is never wider than
//! the true one), and only what passes it is tested properly.
//!
//! Pure like everything here: randomness is the caller's, 64 random bits per call, so a seed reproduces a table.

mod arm;
mod judge;
mod outcomes;
mod quantiles;
mod units;

pub use self::outcomes::{Noise, Outcomes, POPULATIONS, Population};
pub use self::quantiles::{QuantileScenario, QuantileTrial};
pub use self::units::Clusters;

use self::arm::Arm;
use self::judge::Judge;
use self::units::Units;
use super::Undefined;

/// What the clock of the sequential tests counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Units seen. Runs ahead of the information where units return.
    Units,
    /// Outcomes.
    Outcomes,
}

/// An experiment to be simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    /// Outcomes of control.
    pub control: Outcomes,
    /// Outcomes of treatment.
    pub treatment: Outcomes,
    /// Share of units in treatment.
    pub treatment_share: f64,
    /// Several outcomes per unit; none where every outcome is a unit.
    pub clusters: Option<Clusters>,
    /// Random groups that units are counted by; none where every unit is a row of its own.
    pub groups: Option<usize>,
    /// Level.
    pub alpha: f64,
    /// What the clock counts.
    pub clock: Clock,
    /// Where the clock stands at the end of the plan, and where the mixture alone is tuned.
    pub planned: f64,
    /// Outcomes per stream.
    pub outcomes: usize,
}

/// How looks are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Welch's t-test on single outcomes at every look, as if it were the only one.
    Naive,
    /// The mixture alone, tuned at the planned units.
    OpenEnded,
    /// The continuous O'Brien-Fleming boundary alone; silent past the plan.
    ObrienFleming,
    /// Both: the default of the service.
    TwoClock,
}

impl Method {
    /// All methods, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Naive, Self::OpenEnded, Self::ObrienFleming, Self::TwoClock];
}

/// What a method did in every stream, in numbers of outcomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The method.
    pub method: Method,
    /// The look at which "no difference" was first rejected, by stream.
    pub rejections: Vec<Option<usize>>,
    /// The look at which the interval first missed the true difference, by stream.
    pub misses: Vec<Option<usize>>,
}

impl Trace {
    /// Share of streams rejected by the `outcomes`-th outcome: false positives or power.
    #[must_use]
    pub fn rejected_by(&self, outcomes: usize) -> f64 {
        share_by(&self.rejections, outcomes)
    }

    /// Share of streams whose intervals all held the truth up to the `outcomes`-th outcome.
    #[must_use]
    pub fn covered_by(&self, outcomes: usize) -> f64 {
        1.0 - share_by(&self.misses, outcomes)
    }

    /// Mean number of outcomes to a rejection, counting `cap` where there was none by then.
    #[must_use]
    pub fn mean_stop(&self, cap: usize) -> f64 {
        let stops = self.rejections.iter().map(|stop| real(stop.unwrap_or(cap).min(cap)));
        stops.sum::<f64>() / real(self.rejections.len()).max(1.0)
    }
}

fn share_by(stops: &[Option<usize>], outcomes: usize) -> f64 {
    let by = stops.iter().flatten().filter(|&&stop| stop <= outcomes).count();
    real(by) / real(stops.len()).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "simulations are far shorter than 2^53")]
fn real(count: usize) -> f64 {
    count as f64
}

/// Runs `streams` experiments, every method looking at every outcome.
///
/// # Errors
///
/// As [`Rule::planned`](super::sequential::Rule::planned).
pub fn simulate(
    scenario: &Scenario,
    streams: usize,
    bits: &mut dyn FnMut() -> u64,
) -> Result<Vec<Trace>, Undefined> {
    let mut noise = Noise::new(bits);
    let judges: Vec<Judge> = Method::ALL
        .into_iter()
        .map(|method| Judge::new(method, scenario))
        .collect::<Result<_, _>>()?;
    let trace = |judge: &Judge| Trace {
        method: judge.method,
        rejections: Vec::with_capacity(streams),
        misses: Vec::with_capacity(streams),
    };
    let mut traces: Vec<Trace> = judges.iter().map(trace).collect();
    for _ in 0..streams {
        for (trace, stops) in traces.iter_mut().zip(run_stream(scenario, &judges, &mut noise)) {
            trace.rejections.push(stops.rejection);
            trace.misses.push(stops.miss);
        }
    }
    Ok(traces)
}

/// Where one method stopped in one stream.
#[derive(Clone, Copy, Default)]
struct Stops {
    rejection: Option<usize>,
    miss: Option<usize>,
}

fn run_stream(scenario: &Scenario, judges: &[Judge], noise: &mut Noise<'_>) -> Vec<Stops> {
    let truth = scenario.treatment.mean() - scenario.control.mean();
    let differs = truth.abs() > 0.0;
    let mut units = Units::new(scenario, noise);
    let mut arms = [Arm::new(units.rows()), Arm::new(units.rows())];
    let mut stops = vec![Stops::default(); judges.len()];
    for outcome in 1..=scenario.outcomes {
        let event = units.next(noise);
        let (arm, outcomes) = match (&mut arms, event.treated) {
            ([control, _], false) => (control, &scenario.control),
            ([_, treatment], true) => (treatment, &scenario.treatment),
        };
        arm.add(event.row, event.is_new, outcomes.draw(noise, event.inclination, units.icc));
        let [control, treatment] = &arms;
        for (judge, stops) in judges.iter().zip(&mut stops) {
            let moment = judge.moment(control, treatment);
            if stops.rejection.is_none() && judge.rejects(&moment, 0.0) {
                stops.rejection = Some(outcome);
            }
            if differs && stops.miss.is_none() && judge.rejects(&moment, truth) {
                stops.miss = Some(outcome);
            }
        }
    }
    if !differs {
        for stops in &mut stops {
            stops.miss = stops.rejection;
        }
    }
    stops
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The permuted congruential generator of M. O'Neill (2014), enough for a test.
    fn generator(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            let mut half = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                let mixed = (((state >> 18) ^ state) >> 27) & 0xffff_ffff;
                u32::try_from(mixed).unwrap().rotate_right(u32::try_from(state >> 59).unwrap())
            };
            u64::from(half()) << 32 | u64::from(half())
        }
    }

    fn scenario() -> Scenario {
        Scenario {
            control: Outcomes::Bernoulli(0.75),
            treatment: Outcomes::Bernoulli(0.75),
            treatment_share: 0.5,
            clusters: None,
            groups: None,
            alpha: 0.05,
            clock: Clock::Outcomes,
            planned: 500.0,
            outcomes: 1_000,
        }
    }

    fn trace(traces: &[Trace], method: Method) -> &Trace {
        traces.iter().find(|trace| trace.method == method).unwrap()
    }

    #[test]
    fn peeking_ruins_the_naive_test_and_no_other() {
        let traces = simulate(&scenario(), 300, &mut generator(7)).unwrap();
        assert!(trace(&traces, Method::Naive).rejected_by(1_000) > 0.3);
        for method in [Method::OpenEnded, Method::ObrienFleming, Method::TwoClock] {
            assert!(trace(&traces, method).rejected_by(1_000) < 0.1, "{method:?}");
        }
    }

    #[test]
    fn a_large_effect_is_found_early_and_covered() {
        let scenario = Scenario { treatment: Outcomes::Bernoulli(0.95), ..scenario() };
        let traces = simulate(&scenario, 100, &mut generator(8)).unwrap();
        let trace = trace(&traces, Method::TwoClock);
        assert!(trace.rejected_by(500) > 0.95 && trace.mean_stop(500) < 300.0);
        assert!(trace.covered_by(1_000) > 0.85);
    }

    #[test]
    fn copies_of_outcomes_by_the_same_units_deceive_the_naive_test_alone() {
        let clusters = Some(Clusters { units: 100, icc: 0.9 });
        let outcomes = Outcomes::Normal { mean: 0.0, deviation: 1.0 };
        let scenario = Scenario { clusters, control: outcomes, treatment: outcomes, ..scenario() };
        let traces = simulate(&scenario, 100, &mut generator(9)).unwrap();
        assert!(trace(&traces, Method::Naive).rejected_by(1_000) > 0.7);
        assert!(trace(&traces, Method::TwoClock).rejected_by(1_000) < 0.15);
    }
}
