//! What to do: a pure function of a few facts, exhaustive, so that every case is decided on
//! purpose.
//!
//! In order:
//! 1. a broken split, or a variant that too many of its units did not get, vetoes everything:
//!    INVESTIGATE;
//! 2. a treatment whose primary metric is better and whose guardrails are all shown harmless can
//!    be shipped: SHIP the one with the largest improvement;
//! 3. when every treatment is worse or breaks a guardrail: `KEEP_CONTROL`;
//! 4. when the planned sample is in and no treatment that is left shows an effect worth having:
//!    `NO_DIFFERENCE`;
//! 5. else CONTINUE.
//!
//! A fixed-horizon test is valid for one look at the planned sample, so before that the answer is
//! CONTINUE whatever its p-value says.

use crate::domain::analysis::{Comparison, MetricResult, SampleRatio, VariantExposure, Verdict};
use crate::domain::experiment::{AnalysisPlan, Experiment, Iteration, Method};
use crate::domain::id::VariantId;
use crate::domain::metric::{Direction, Metric, Role};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recommendation {
    /// Keep collecting.
    Continue,
    /// Ship this variant.
    Ship(VariantId),
    /// Keep control: the treatments are worse or break a guardrail.
    KeepControl,
    /// The planned sample is in, and no effect of the planned size is there.
    NoDifference,
    /// Do not trust the numbers.
    Investigate,
}

/// How far the sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// Nobody planned a size.
    Unplanned,
    /// The planned sample is not in yet.
    Collecting,
    /// It is.
    Complete,
}

/// What the primary metric shows of a treatment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primary {
    /// Too little data to test.
    TooEarly,
    /// Significantly better.
    Better,
    /// Significantly worse.
    Worse,
    /// Neither, and an effect of the planned size is still possible.
    Open,
    /// Neither, and no effect of the planned size is possible any more.
    NoEffect,
}

/// What the guardrails show of a treatment, the worst of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guardrails {
    /// All are shown to be within their margins, or there are none.
    Held,
    /// Some are not shown yet.
    Open,
    /// One is shown to be broken.
    Violated,
}

/// The facts about one treatment.
#[derive(Debug, Clone, PartialEq)]
pub struct Treatment {
    /// Which one.
    pub variant: VariantId,
    /// Its primary metric.
    pub primary: Primary,
    /// Its guardrails.
    pub guardrails: Guardrails,
    /// By how much the primary metric improved, in the good direction.
    pub improvement: f64,
}

/// Whether the experiment is what it was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// The split differs from the one configured.
    pub split_broken: bool,
    /// A variant was not served to those it was assigned to.
    pub delivery_broken: bool,
}

impl Health {
    pub(super) fn of(sample_ratio: &SampleRatio, exposures: &[VariantExposure]) -> Self {
        Self {
            split_broken: sample_ratio.mismatch,
            delivery_broken: exposures.iter().any(VariantExposure::is_delivery_broken),
        }
    }
}

/// The facts that decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// Whether there is anything to trust.
    pub health: Health,
    /// The test behind the verdicts.
    pub method: Method,
    /// How far the sample is.
    pub sample: Sample,
    /// Every treatment that gets anybody.
    pub treatments: Vec<Treatment>,
}

impl Situation {
    pub(super) fn of(
        experiment: &Experiment,
        iteration: &Iteration,
        health: Health,
        metrics: &[MetricResult],
        progress: Option<f64>,
    ) -> Self {
        let definition = &experiment.definition;
        let control = iteration.split.control();
        let arms = iteration.variants.iter().zip(iteration.split.weights()).enumerate();
        let treatments = arms
            .filter(|(index, (_, weight))| *index != control && *weight > 0)
            .map(|(_, arm)| arm.0);
        Self {
            health,
            method: definition.analysis.method,
            sample: match progress {
                None => Sample::Unplanned,
                Some(share) if share < 1.0 => Sample::Collecting,
                Some(_) => Sample::Complete,
            },
            treatments: treatments.map(|id| treatment(experiment, metrics, id)).collect(),
        }
    }

    /// Decides; see the order at the top of this module.
    #[must_use]
    pub fn decide(&self) -> Recommendation {
        if self.health != Health::default() {
            return Recommendation::Investigate;
        }
        match (self.method, self.sample) {
            (Method::FixedHorizon, Sample::Collecting) => return Recommendation::Continue,
            (Method::FixedHorizon, Sample::Unplanned | Sample::Complete)
            | (Method::Sequential, _) => {}
        }
        let ready = self.treatments.iter().filter(|treatment| treatment.is_ready());
        if let Some(best) = ready.max_by(|a, b| a.improvement.total_cmp(&b.improvement)) {
            return Recommendation::Ship(best.variant.clone());
        }
        let mut left = self.treatments.iter().filter(|treatment| !treatment.is_out()).peekable();
        if left.peek().is_none() && !self.treatments.is_empty() {
            return Recommendation::KeepControl;
        }
        let nothing = left.all(|treatment| treatment.primary == Primary::NoEffect);
        match self.sample {
            Sample::Complete if nothing => Recommendation::NoDifference,
            Sample::Complete | Sample::Collecting | Sample::Unplanned => Recommendation::Continue,
        }
    }
}

impl Treatment {
    fn is_ready(&self) -> bool {
        self.primary == Primary::Better && self.guardrails == Guardrails::Held
    }

    fn is_out(&self) -> bool {
        self.primary == Primary::Worse || self.guardrails == Guardrails::Violated
    }
}

fn treatment(experiment: &Experiment, metrics: &[MetricResult], id: &VariantId) -> Treatment {
    let mut primary = Primary::TooEarly;
    let mut improvement = 0.0;
    let mut guardrails = Guardrails::Held;
    for result in metrics {
        let Some(metric) = experiment.definition.metric(result.metric.as_str()) else { continue };
        let own: Vec<&Comparison> =
            result.comparisons.iter().filter(|comparison| comparison.variant == *id).collect();
        match metric.role {
            Role::Primary => {
                primary = primary_shows(&experiment.definition.analysis, metric, &own);
                improvement = own.first().and_then(|c| improvement_of(metric, c)).unwrap_or(0.0);
            }
            Role::Guardrail => {
                let verdicts: Vec<Verdict> = own.iter().map(|c| c.verdict).collect();
                guardrails = worst(guardrails, guardrail_shows(&verdicts));
            }
            Role::Secondary => {}
        }
    }
    Treatment { variant: id.clone(), primary, guardrails, improvement }
}

/// Of several quantiles one that is significant decides, unless another speaks against it.
fn primary_shows(plan: &AnalysisPlan, metric: &Metric, own: &[&Comparison]) -> Primary {
    let any = |verdict| own.iter().any(|comparison| comparison.verdict == verdict);
    match (any(Verdict::Better), any(Verdict::Worse)) {
        (true, false) => Primary::Better,
        (false, true) => Primary::Worse,
        (true, true) => Primary::Open,
        (false, false) if any(Verdict::Inconclusive) => {
            let excluded = own.iter().all(|c| effect_is_excluded(plan, metric, c));
            if excluded { Primary::NoEffect } else { Primary::Open }
        }
        (false, false) => Primary::TooEarly,
    }
}

/// Whether the interval rules out an improvement of the planned size. Without a planned size, a
/// planned sample that showed nothing has said what it can.
fn effect_is_excluded(plan: &AnalysisPlan, metric: &Metric, comparison: &Comparison) -> bool {
    let Some(effect) = plan.min_detectable_effect else { return true };
    comparison.difference_interval.is_some_and(|interval| match metric.direction {
        Direction::Increase => interval.bounds.upper < effect,
        Direction::Decrease => interval.bounds.lower > -effect,
    })
}

fn improvement_of(metric: &Metric, comparison: &Comparison) -> Option<f64> {
    comparison.difference.map(|difference| match metric.direction {
        Direction::Increase => difference,
        Direction::Decrease => -difference,
    })
}

fn guardrail_shows(verdicts: &[Verdict]) -> Guardrails {
    let shows = |verdict: &Verdict| match verdict {
        Verdict::Violated | Verdict::Worse => Guardrails::Violated,
        Verdict::NonInferior | Verdict::Better => Guardrails::Held,
        Verdict::Inconclusive | Verdict::InsufficientData => Guardrails::Open,
    };
    verdicts.iter().map(shows).fold(Guardrails::Held, worst)
}

fn worst(a: Guardrails, b: Guardrails) -> Guardrails {
    match (a, b) {
        (Guardrails::Violated, _) | (_, Guardrails::Violated) => Guardrails::Violated,
        (Guardrails::Open, _) | (_, Guardrails::Open) => Guardrails::Open,
        (Guardrails::Held, Guardrails::Held) => Guardrails::Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> VariantId {
        VariantId::parse(text).unwrap()
    }

    fn one(primary: Primary, guardrails: Guardrails) -> Vec<Treatment> {
        vec![Treatment { variant: id("b"), primary, guardrails, improvement: 0.1 }]
    }

    fn decide(method: Method, sample: Sample, treatments: Vec<Treatment>) -> Recommendation {
        Situation { health: Health::default(), method, sample, treatments }.decide()
    }

    const PRIMARIES: [Primary; 5] =
        [Primary::TooEarly, Primary::Better, Primary::Worse, Primary::Open, Primary::NoEffect];
    const GUARDRAILS: [Guardrails; 3] = [Guardrails::Held, Guardrails::Open, Guardrails::Violated];
    const SAMPLES: [Sample; 3] = [Sample::Unplanned, Sample::Collecting, Sample::Complete];

    #[test]
    fn a_broken_split_or_delivery_vetoes_everything() {
        for (primary, guardrails) in
            PRIMARIES.iter().flat_map(|p| GUARDRAILS.iter().map(move |g| (*p, *g)))
        {
            for (split_broken, delivery_broken) in [(true, false), (false, true), (true, true)] {
                let situation = Situation {
                    health: Health { split_broken, delivery_broken },
                    method: Method::Sequential,
                    sample: Sample::Complete,
                    treatments: one(primary, guardrails),
                };
                assert_eq!(situation.decide(), Recommendation::Investigate);
            }
        }
    }

    #[test]
    fn every_case_of_one_treatment_is_decided_on_purpose() {
        use Guardrails::{Held, Open as Unshown, Violated};
        for sample in SAMPLES {
            let decide =
                |primary, guardrails| decide(Method::Sequential, sample, one(primary, guardrails));
            assert_eq!(decide(Primary::Better, Held), Recommendation::Ship(id("b")));
            assert_eq!(decide(Primary::Better, Unshown), Recommendation::Continue);
            for primary in PRIMARIES {
                assert_eq!(decide(primary, Violated), Recommendation::KeepControl);
            }
            for guardrails in [Held, Unshown] {
                assert_eq!(decide(Primary::Worse, guardrails), Recommendation::KeepControl);
                assert_eq!(decide(Primary::TooEarly, guardrails), Recommendation::Continue);
                assert_eq!(decide(Primary::Open, guardrails), Recommendation::Continue);
                let nothing = match sample {
                    Sample::Complete => Recommendation::NoDifference,
                    Sample::Unplanned | Sample::Collecting => Recommendation::Continue,
                };
                assert_eq!(decide(Primary::NoEffect, guardrails), nothing);
            }
        }
    }

    #[test]
    fn one_look_means_one_look_at_the_planned_sample() {
        for (primary, guardrails) in
            PRIMARIES.iter().flat_map(|p| GUARDRAILS.iter().map(move |g| (*p, *g)))
        {
            let early = decide(Method::FixedHorizon, Sample::Collecting, one(primary, guardrails));
            assert_eq!(early, Recommendation::Continue);
            let complete = |method| decide(method, Sample::Complete, one(primary, guardrails));
            assert_eq!(complete(Method::FixedHorizon), complete(Method::Sequential));
        }
    }

    #[test]
    fn of_several_treatments_the_best_that_is_ready_is_shipped() {
        let treatment = |name: &str, primary, guardrails, improvement| Treatment {
            variant: id(name),
            primary,
            guardrails,
            improvement,
        };
        let arms = vec![
            treatment("b", Primary::Better, Guardrails::Held, 0.02),
            treatment("c", Primary::Better, Guardrails::Held, 0.05),
            treatment("d", Primary::Better, Guardrails::Violated, 0.09),
            treatment("e", Primary::Worse, Guardrails::Held, -0.03),
        ];
        let decide = |treatments| decide(Method::Sequential, Sample::Complete, treatments);
        assert_eq!(decide(arms.clone()), Recommendation::Ship(id("c")));
        assert_eq!(decide(arms[2..].to_vec()), Recommendation::KeepControl);
        let open = treatment("f", Primary::Open, Guardrails::Held, 0.01);
        assert_eq!(decide(vec![arms[3].clone(), open]), Recommendation::Continue);
        let nothing = treatment("g", Primary::NoEffect, Guardrails::Open, 0.0);
        assert_eq!(decide(vec![arms[3].clone(), nothing]), Recommendation::NoDifference);
        assert_eq!(decide(Vec::new()), Recommendation::NoDifference);
    }
}
