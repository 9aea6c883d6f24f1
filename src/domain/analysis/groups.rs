//! What the estimand divides, group by group of one variant.
//!
//! The sums of a group are whole numbers of cents, milliseconds or the like as a rule; only what does
//! not fit is worked out in double-double, at ten times the cost.

use std::borrow::Cow;

use crate::domain::id::VariantId;
use crate::domain::metric::{Estimand, Metric};
use crate::domain::tally::{self, Tally};
use crate::stats::Undefined;
use crate::stats::cuped::{CovariateRow, Linearised};
use crate::stats::mean_test::ArmEstimate;
use crate::stats::rows::{Row, Sums, WholeRows, ratio};

/// What the groups of an arm say.
pub(super) struct Groups {
    /// Groups in which something happened; the others would add degrees of freedom without
    /// information.
    pub(super) active: usize,
    /// Where there is a single one only.
    pub(super) only_group: Option<Row>,
    pub(super) estimate: Result<ArmEstimate, Undefined>,
    /// For the adjustment by the covariate; none without one.
    pub(super) linearised: Option<Linearised>,
}

impl Groups {
    pub(super) fn read(
        tally: &Tally,
        metric: &Metric,
        variant: &VariantId,
        numerators: &tally::Groups<'_>,
    ) -> Self {
        if metric.estimand == Estimand::Quantile {
            // Compared quantile by quantile; there is no single estimate.
            return Self {
                active: positive(numerators.counts()).len(),
                only_group: None,
                estimate: Err(Undefined::NotEnoughData),
                linearised: None,
            };
        }
        let quotient = Quotient::read(tally, metric, variant, numerators);
        let pairs = Pairs::new(&quotient.happened, &quotient.denominators, &quotient.numerators);
        let covariates = metric.covariate.as_ref().map(|name| tally.covariates(variant, name));
        let linearised = covariates.and_then(|covariates| {
            let units = whole(covariates.counts());
            let beside = Pairs::new(&quotient.happened, &units, &covariates.sums());
            pairs.linearised(&beside)
        });
        Self {
            active: quotient.happened.len(),
            only_group: match quotient.happened[..] {
                [group] => Some(row(&quotient.denominators, &quotient.numerators, group)),
                _ => None,
            },
            estimate: pairs.ratio(),
            linearised,
        }
    }
}

/// What is divided by what, and the groups in which there is anything to divide.
struct Quotient<'a> {
    happened: Vec<usize>,
    denominators: Sums<'a>,
    numerators: Sums<'a>,
}

impl<'a> Quotient<'a> {
    fn read(
        tally: &'a Tally,
        metric: &Metric,
        variant: &VariantId,
        numerators: &tally::Groups<'a>,
    ) -> Self {
        let (happened, denominators) = match metric.estimand {
            Estimand::MeanPerOutcome | Estimand::Quantile => {
                (positive(numerators.counts()), whole(numerators.counts()))
            }
            Estimand::TotalPerUnit => {
                let units = tally.exposures(variant);
                (positive(units), whole(units))
            }
            Estimand::Ratio => {
                let below = metric.denominator.as_ref().map(|id| tally.groups(variant, id));
                let happened = below.as_ref().map(|below| either(below, numerators));
                let sums = below.as_ref().map(tally::Groups::sums);
                (happened.unwrap_or_default(), sums.unwrap_or_else(|| whole(&[])))
            }
        };
        Self { happened, denominators, numerators: numerators.sums() }
    }
}

fn positive(counts: &[i64]) -> Vec<usize> {
    let counted = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    counted.map(|(group, _)| group).collect()
}

/// Groups with outcomes of one metric or the other.
fn either(one: &tally::Groups<'_>, other: &tally::Groups<'_>) -> Vec<usize> {
    let (one, other) = (one.counts(), other.counts());
    let any = |group: &usize| [one, other].iter().any(|row| at(row, *group) > 0);
    (0..one.len().max(other.len())).filter(any).collect()
}

fn at(row: &[i64], group: usize) -> i64 {
    row.get(group).copied().unwrap_or_default()
}

fn whole(counts: &[i64]) -> Sums<'_> {
    Sums::Whole { values: Cow::Borrowed(counts), per_unit: 1 }
}

/// Denominators and numerators of the groups in which something happened.
enum Pairs {
    Whole(WholeRows),
    Wide(Vec<Row>),
}

impl Pairs {
    fn new(groups: &[usize], denominators: &Sums<'_>, numerators: &Sums<'_>) -> Self {
        let rows = denominators.whole().zip(numerators.whole()).and_then(|(below, above)| {
            let rows = groups.iter().map(|group| (at(below.0, *group), at(above.0, *group)));
            WholeRows::new(rows.collect(), (below.1, above.1))
        });
        rows.map_or_else(
            || {
                Self::Wide(
                    groups.iter().map(|group| row(denominators, numerators, *group)).collect(),
                )
            },
            Self::Whole,
        )
    }

    fn ratio(&self) -> Result<ArmEstimate, Undefined> {
        match self {
            Self::Whole(rows) => rows.ratio(),
            Self::Wide(rows) => ratio(rows),
        }
    }

    fn linearised(&self, covariate: &Self) -> Option<Linearised> {
        if let (Self::Whole(outcome), Self::Whole(covariate)) = (self, covariate) {
            return Linearised::of_whole(outcome, covariate).ok();
        }
        let pairs = self.wide().into_iter().zip(covariate.wide());
        let rows = pairs.map(|(outcome, covariate)| CovariateRow { outcome, covariate });
        Linearised::new(&rows.collect::<Vec<_>>()).ok()
    }

    fn wide(&self) -> Vec<Row> {
        match self {
            Self::Whole(rows) => rows.wide().collect(),
            Self::Wide(rows) => rows.clone(),
        }
    }
}

fn row(denominators: &Sums<'_>, numerators: &Sums<'_>, group: usize) -> Row {
    Row { denominator: denominators.of_group(group), numerator: numerators.of_group(group) }
}
