//! CPU time of one look at a large experiment: 64 metrics, 8 variants, 1,024 groups.
//!
//! `cargo bench --bench analysis [-- OUTCOMES]`. The work depends on metrics, variants, groups and touched bins, not on the
//! number of outcomes; outcomes only fill the counters.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "the number is the point")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use tiebreak::domain::analysis::analyse;
use tiebreak::domain::draft::{Draft, MetricDraft, VariantDraft};
use tiebreak::domain::experiment::{Experiment, ShardCount, Timestamp};
use tiebreak::domain::metric::{Direction, Estimand, Kind, Role};
use tiebreak::domain::outcome::{OutcomeDraft, credit};
use tiebreak::domain::segment::Segments;
use tiebreak::domain::tally::Tally;
use tiebreak::domain::value::Value;

const METRICS: u32 = 64;
const VARIANTS: u32 = 8;
const LOOKS: u32 = 20;

fn main() {
    let outcomes = std::env::args().find_map(|text| text.parse().ok()).unwrap_or(40_000);
    let experiment = experiment();
    let iteration = experiment.current().unwrap();
    let rows = rows(&experiment, outcomes);
    // CPU time comes in ticks, so looks are added up and the shortest is told on the wall.
    let (mut read, mut analysed) = (Times::default(), Times::default());
    for _ in 0..LOOKS {
        // A store hands its rows over.
        let rows = rows.clone();
        let begin = CpuTime::now();
        let mut tally = Tally::new(iteration.layout);
        tally.absorb(0, rows).unwrap();
        let between = CpuTime::now();
        black_box(analyse(&experiment, iteration, &tally, Timestamp(2)));
        let end = CpuTime::now();
        read.add(&begin, &between);
        analysed.add(&between, &end);
    }
    println!(
        "{METRICS} metrics x {VARIANTS} variants, {outcomes} outcomes, {} rows: \
         analysis {analysed}, adding up the rows {read} ({LOOKS} looks)",
        rows.len(),
    );
}

/// Of all looks.
#[derive(Default)]
struct Times {
    on_cpu: Duration,
    shortest: Option<Duration>,
}

impl Times {
    fn add(&mut self, begin: &CpuTime, end: &CpuTime) {
        self.on_cpu += end.since(begin);
        let wall = end.wall.duration_since(begin.wall);
        self.shortest = Some(self.shortest.map_or(wall, |shortest| shortest.min(wall)));
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortest = self.shortest.unwrap_or_default();
        write!(f, "{:.1?} CPU (shortest {shortest:.1?})", self.on_cpu / LOOKS)
    }
}

/// A third each of rates, means and latencies with quantiles; some are ratios, totals, guardrails or adjusted.
fn experiment() -> Experiment {
    let variants = (0..VARIANTS).map(|index| VariantDraft {
        variant_id: format!("v{index}"),
        weight_basis_points: 10_000 / VARIANTS,
        control: index == 0,
        ..VariantDraft::default()
    });
    let metrics = (0..METRICS).map(|index| {
        let (kind, estimand) = match index % 6 {
            0 => (Kind::Binary, Estimand::MeanPerOutcome),
            1 => (Kind::Continuous, Estimand::MeanPerOutcome),
            2 | 5 => (Kind::Duration, Estimand::Quantile),
            3 => (Kind::Amount, Estimand::Ratio),
            _ => (Kind::Amount, Estimand::TotalPerUnit),
        };
        let (role, margin) = match index {
            0 => (Role::Primary, None),
            _ if index % 8 == 5 => (Role::Guardrail, Some(0.1)),
            _ => (Role::Secondary, None),
        };
        MetricDraft {
            metric_id: format!("m{index}"),
            kind: Some(kind),
            direction: Some(Direction::Decrease),
            role: Some(role),
            estimand: Some(estimand),
            denominator_metric_id: if estimand == Estimand::Ratio {
                "m1".to_owned()
            } else {
                String::new()
            },
            non_inferiority_margin: margin,
            covariate: if index % 6 == 1 { "before".to_owned() } else { String::new() },
            ..MetricDraft::default()
        }
    });
    let draft = Draft {
        experiment_id: "large".to_owned(),
        variants: variants.collect(),
        metrics: metrics.collect(),
        ..Draft::default()
    };
    let definition = draft.parse().unwrap();
    Experiment::create(definition, ShardCount::ONE, Timestamp(0)).start(Timestamp(1)).unwrap()
}

/// What a store holds after that many outcomes, each with all metrics; lognormal, by a fixed recurrence.
fn rows(experiment: &Experiment, outcomes: u32) -> BTreeMap<String, Vec<i64>> {
    let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut state = 1_u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (f64::from(u32::try_from(state >> 32).unwrap()) + 0.5) / 4_294_967_296.0
    };
    for number in 0..outcomes {
        let value = |index: u32, uniform: &mut dyn FnMut() -> f64| {
            let normal = (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
            // Milliseconds and cents: what real values look like.
            let amount = (1e3 * (0.7 * normal).exp()).round() / 1e3;
            if index.is_multiple_of(6) { f64::from(u8::from(normal > 0.3)) } else { amount }
        };
        let draft = OutcomeDraft {
            experiment_id: "large".to_owned(),
            unit_id: format!("user-{}", number / 3),
            values: (0..METRICS)
                .map(|index| (format!("m{index}"), value(index, &mut uniform)))
                .collect(),
            attributes: [("before".to_owned(), Value::Number(f64::from(number % 97)))].into(),
            ..OutcomeDraft::default()
        };
        let Some(credited) = credit(experiment, &draft).unwrap() else { continue };
        let event = credited.event(&Segments::NONE);
        let first = number.is_multiple_of(3);
        let exposure = event.if_unit_is_new.into_iter().filter(|_| first);
        for increment in event.increments.into_iter().chain(exposure) {
            let row = rows.entry(increment.row).or_default();
            let column = usize::try_from(increment.column).unwrap();
            row.resize(row.len().max(column + 1), 0);
            row[column] += increment.amount;
        }
    }
    rows
}

/// CPU time of this thread where the system tells, else time on the wall.
struct CpuTime {
    on_cpu: Option<Duration>,
    wall: Instant,
}

impl CpuTime {
    fn now() -> Self {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanos = text.and_then(|text| text.split(' ').next()?.parse().ok());
        Self { on_cpu: nanos.map(Duration::from_nanos), wall: Instant::now() }
    }

    fn since(&self, earlier: &Self) -> Duration {
        let on_cpu = self.on_cpu.zip(earlier.on_cpu).map(|(now, then)| now.saturating_sub(then));
        on_cpu.unwrap_or_else(|| self.wall.duration_since(earlier.wall))
    }
}
