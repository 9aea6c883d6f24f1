//! The tables, one function each.

use super::streams::{self, Plan};
use super::table::{Report, percent, real, with_error};
use super::{Options, SimulateError, engine};
use crate::stats::calibration::{
    Clock, Clusters, Noise, Outcomes, POPULATIONS, QuantileScenario, QuantileTrial, Scenario,
    Trace, simulate,
};
use crate::stats::power::{Requirement, effect_size, sample_size};

/// Groups of units, as the service has them by default.
const GROUPS: usize = 1_024;
/// The rate of control and of treatment in the A/B part.
const RATES: (f64, f64) = (0.75, 0.80);

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn base(options: &Options) -> Scenario {
    Scenario {
        control: Outcomes::Bernoulli(RATES.0),
        treatment: Outcomes::Bernoulli(RATES.0),
        treatment_share: 0.5,
        clusters: None,
        groups: Some(GROUPS),
        alpha: options.alpha,
        clock: Clock::Outcomes,
        planned: 0.25 * f64::from(options.outcomes),
        outcomes: count(options.outcomes),
    }
}

/// One trace per method over all streams.
fn traces(
    options: &Options,
    title: &str,
    row: u64,
    scenario: &Scenario,
) -> Result<Vec<Trace>, SimulateError> {
    let plan = Plan { title, streams: count(options.streams), seed: options.seed, row };
    let chunks = streams::run(plan, |streams, bits| Ok(simulate(scenario, streams, bits)?))?;
    let mut chunks = chunks.into_iter();
    let mut all = chunks.next().unwrap_or_default();
    for chunk in chunks {
        for (total, part) in all.iter_mut().zip(chunk) {
            total.rejections.extend(part.rejections);
            total.misses.extend(part.misses);
        }
    }
    Ok(all)
}

fn false_positives(traces: &[Trace], outcomes: usize) -> Vec<String> {
    let shares = traces.iter().map(|trace| trace.rejected_by(outcomes));
    shares
        .map(|share| with_error(share, traces.first().map_or(1, |t| t.rejections.len())))
        .collect()
}

const METHODS: [&str; 4] = ["naive t", "open-ended", "O'Brien-Fleming", "two-clock"];

pub(super) fn no_difference(options: &Options) -> Result<String, SimulateError> {
    let title = format!(
        "A/A: share of streams in which a winner is ever called, looking after each of {} outcomes \
         (plan: {:.0}; {GROUPS} groups)",
        options.outcomes,
        base(options).planned,
    );
    let columns: Vec<&str> = ["population"].into_iter().chain(METHODS).collect();
    let mut report = Report::new(title, &columns);
    for (row, population) in (0..).zip(&POPULATIONS) {
        let scenario = Scenario {
            control: population.control,
            treatment: population.treatment,
            treatment_share: population.treatment_share,
            ..base(options)
        };
        let traces = traces(options, population.name, row, &scenario)?;
        report.row(population.name, false_positives(&traces, scenario.outcomes));
    }
    Ok(report.print())
}

pub(super) fn difference(options: &Options) -> Result<String, SimulateError> {
    let requirement = Requirement::new(options.alpha, 0.8, 1.0)?;
    let size = sample_size(effect_size(RATES.0, RATES.1 - RATES.0)?, &requirement)?.rounded_up();
    let planned = usize::try_from(size.0 + size.1).unwrap_or(usize::MAX);
    let scenario = Scenario {
        treatment: Outcomes::Bernoulli(RATES.1),
        planned: real(planned),
        outcomes: 4 * planned,
        ..base(options)
    };
    let title = format!(
        "A/B: {} against {}; N = {planned} outcomes give one look at the end a power of 80 %",
        RATES.0, RATES.1
    );
    let columns = [
        "method",
        "power at N",
        "1.5 N",
        "2 N",
        "4 N",
        "mean stop / N",
        "capped at 4 N",
        "coverage",
    ];
    let mut report = Report::new(title, &columns);
    let traces = traces(options, "0.75 against 0.80", 100, &scenario)?;
    for (name, trace) in METHODS.iter().zip(&traces) {
        let powers = [planned, planned * 3 / 2, 2 * planned, 4 * planned];
        let stops = [planned, 4 * planned].map(|cap| trace.mean_stop(cap) / real(planned));
        let cells = powers.iter().map(|outcomes| percent(trace.rejected_by(*outcomes)));
        let cells = cells.chain(stops.iter().map(|stop| format!("{stop:.2}")));
        let covered = with_error(trace.covered_by(scenario.outcomes), trace.misses.len());
        report.row(name, cells.chain([covered]));
    }
    Ok(report.print())
}

pub(super) fn returning_units(options: &Options) -> Result<String, SimulateError> {
    let normal = Outcomes::Normal { mean: 0.0, deviation: 1.0 };
    let outcomes = f64::from(options.outcomes);
    let title = format!(
        "A/A, units return: {} outcomes of a fixed number of units, a share icc of the variance \
         between units ({GROUPS} groups)",
        options.outcomes
    );
    let columns: Vec<&str> = ["units, icc, clock"].into_iter().chain(METHODS).collect();
    let mut report = Report::new(title, &columns);
    let cases = [(500, 0.3), (1_600, 0.97), (500, 0.0)];
    let clocks = [
        ("outcomes, planned: all", Clock::Outcomes, Some(outcomes)),
        ("outcomes, planned: a quarter", Clock::Outcomes, Some(0.25 * outcomes)),
        ("units, planned: all (not shipped)", Clock::Units, None),
    ];
    for (row, (units, icc)) in (200..).step_by(8).zip(cases) {
        for (offset, (clock_name, clock, planned)) in (0..).zip(clocks) {
            let scenario = Scenario {
                control: normal,
                treatment: normal,
                clusters: Some(Clusters { units, icc }),
                clock,
                planned: planned.unwrap_or(real(units)),
                ..base(options)
            };
            let name = format!("{units}, {icc}, {clock_name}");
            let traces = traces(options, &name, row + offset, &scenario)?;
            report.row(&name, false_positives(&traces, scenario.outcomes));
        }
    }
    Ok(report.print())
}

pub(super) fn quantiles(options: &Options) -> Result<String, SimulateError> {
    let independent = QuantileScenario {
        counts: [4_000, 4_000],
        units: None,
        icc: 0.0,
        sigma: 0.5,
        ratio: 1.0,
        nu: 0.95,
        alpha: options.alpha,
        looks: 40,
    };
    let clustered = QuantileScenario { units: Some(400), icc: 0.5, ..independent };
    let unequal = QuantileScenario { counts: [6_200, 1_550], ..independent };
    let cases = [
        ("no difference, independent", independent),
        ("no difference, 10 per unit, icc 0.5", clustered),
        ("no difference, 6,200 against 1,550", unequal),
        ("+16 %, independent", QuantileScenario { ratio: 1.16, ..independent }),
        ("+16 %, 10 per unit, icc 0.5", QuantileScenario { ratio: 1.16, ..clustered }),
    ];
    let title = "P95 of lognormal latencies (sigma 0.5), 4,000 per arm, from the sketch; \
                 always valid: 40 looks";
    let columns =
        ["case", "coverage", "one look rejects", "always valid rejects", "mean stop / all"];
    let mut report = Report::new(title, &columns);
    for (row, (name, scenario)) in (300..).zip(cases) {
        let plan = Plan { title: name, streams: count(options.streams), seed: options.seed, row };
        let trials: Vec<QuantileTrial> = streams::run(plan, |streams, bits| {
            let mut noise = Noise::new(bits);
            (0..streams).map(|_| Ok(scenario.trial(&mut noise)?)).collect::<Result<Vec<_>, _>>()
        })?
        .concat();
        let share = |of: fn(&QuantileTrial) -> bool| {
            let streams = trials.len();
            with_error(
                real(trials.iter().filter(|trial| of(trial)).count()) / real(streams),
                streams,
            )
        };
        let stops =
            trials.iter().map(|trial| trial.always_valid_rejection.unwrap_or(scenario.looks));
        let stop = real(stops.sum()) / real(trials.len() * scenario.looks);
        let rates = [
            share(|trial| trial.covered),
            share(|trial| trial.rejected),
            share(|trial| trial.always_valid_rejection.is_some()),
        ];
        report.row(name, rates.into_iter().chain([format!("{stop:.2}")]));
    }
    Ok(report.print())
}

/// The whole way: outcomes to increments to counters to comparisons, evidence kept from look to look.
pub(super) fn engine(options: &Options) -> Result<String, SimulateError> {
    let title = "A/A through the counters and the analysis: a look after every 100 of 10,000 outcomes, 1,024 groups, \
                 every metric at its two-sided level; last column: the naive test on single outcomes";
    let columns: Vec<&str> =
        ["population"].into_iter().chain(engine::METRICS).chain(["naive"]).collect();
    let mut report = Report::new(title, &columns);
    for (row, population) in (400..).zip(engine::POPULATIONS) {
        let plan = Plan {
            title: population.name,
            streams: count(options.streams),
            seed: options.seed,
            row,
        };
        let calls = streams::run(plan, |streams, bits| {
            let mut noise = Noise::new(bits);
            (0..streams)
                .map(|_| engine::stream(&population, options.alpha, &mut noise))
                .collect::<Result<Vec<_>, _>>()
        })?
        .concat();
        let share = |metric: usize| {
            let called = calls.iter().filter(|called| called.get(metric) == Some(&true)).count();
            with_error(real(called) / real(calls.len()), calls.len())
        };
        report.row(population.name, (0..=engine::METRICS.len()).map(share));
    }
    Ok(report.print())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        Line::parse_from(line.split_whitespace()).options
    }

    #[test]
    fn a_seed_keeps_sequential_rules_at_their_level_and_ruins_the_naive_test() {
        let options = options("simulate --streams 400 --outcomes 1000 --seed 7");
        let traces = traces(&options, "test", 0, &base(&options)).unwrap();
        let rates: Vec<f64> = traces.iter().map(|trace| trace.rejected_by(1_000)).collect();
        assert_eq!(traces[0].rejections.len(), 400);
        assert!(rates[0] > 0.3, "{rates:?}");
        // 5 % and two standard errors of 400 streams.
        assert!(rates[1..].iter().all(|rate| *rate < 0.072), "{rates:?}");
        let again = super::traces(&options, "test", 0, &base(&options)).unwrap();
        assert_eq!(traces, again, "a seed is a table, whatever the processors did");
    }

    #[test]
    fn every_table_names_its_rows() {
        let options = options("simulate --streams 10 --outcomes 100");
        let table = no_difference(&options).unwrap();
        assert!(POPULATIONS.iter().all(|population| table.contains(population.name)), "{table}");
        assert!(difference(&options).unwrap().contains("two-clock"));
        assert!(returning_units(&options).unwrap().contains("1600"));
    }
}
