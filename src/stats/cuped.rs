//! CUPED: what a covariate known before the start explains is taken out of the outcome.
//!
//! The adjusted estimate is `ȳ - θ(x̄ - x̄_all)`, where randomisation makes `x̄` alike in both arms, so that any fixed `θ`
//! leaves the difference unbiased and the right one makes its variance smallest (A. Deng, Y. Xu, R. Kohavi, T. Walker,
//! WSDM 2013). A covariate without variance adjusts nothing (`θ = 0`).
//!
//! - [`adjust`]: independent outcomes with one covariate value each, from sums; two customary `θ`.
//! - [`adjust_rows`]: ratios over groups of units. With residuals `e_i = y_i - R d_i` of the outcome and
//!   `f_i = x_i - X w_i` of the covariate (sum `x_i` over `w_i` units), the estimates of an arm are linear in
//!   `u_i = e_i/Σd` and `v_i = f_i/Σw`:
//!
//!   `(R̂ - R) - θ(X̂ - X) ≈ Σ(u_i - θ v_i)`, so `se² = k/(k-1) Σ(u_i - θ v_i)²` with `k - 1` degrees of freedom.
//!
//!   The arms are independent, so the variance of the adjusted difference is the sum over both arms, a parabola in `θ`
//!   with its minimum at
//!
//!   `θ = Σ_arms k/(k-1) Σ u_i v_i / Σ_arms k/(k-1) Σ v_i²`.
//!
//!   For means with equal arms that is the within-arm slope; with unequal shares it is the optimal weighting of the two
//!   slopes (L. Yang, A. Tsiatis, Am. Statist. 55 (2001)). The estimated variance can only fall.

use super::Undefined;
use super::dd::Dd;
use super::mean_test::ArmEstimate;
use super::rows::{Row, WholeRows, ratio};

/// Sums of an arm whose outcomes `y` come with a covariate `x` each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairedMoments {
    /// Number of outcomes.
    pub count: u64,
    /// `Σy`.
    pub outcome: Dd,
    /// `Σy²`.
    pub outcome_squares: Dd,
    /// `Σx`.
    pub covariate: Dd,
    /// `Σx²`.
    pub covariate_squares: Dd,
    /// `Σxy`.
    pub products: Dd,
}

/// Where the slope is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slope {
    /// On both arms thrown together.
    Total,
    /// Within the arms, with a common slope: analysis of covariance.
    Within,
}

/// Both arms after adjustment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjusted {
    /// The slope.
    pub theta: f64,
    /// Control at the mean covariate of both arms.
    pub control: ArmEstimate,
    /// Treatment at the mean covariate of both arms.
    pub treatment: ArmEstimate,
    /// `1 - (adjusted/unadjusted variance of the difference)`.
    pub variance_reduction: f64,
}

/// Centred sums of squares and products, `n` times over so that they stay whole numbers.
struct Cross {
    yy: Dd,
    xx: Dd,
    xy: Dd,
}

impl PairedMoments {
    fn merge(&self, other: &Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            outcome: self.outcome + other.outcome,
            outcome_squares: self.outcome_squares + other.outcome_squares,
            covariate: self.covariate + other.covariate,
            covariate_squares: self.covariate_squares + other.covariate_squares,
            products: self.products + other.products,
        }
    }

    /// `nΣab - ΣaΣb`.
    fn cross(&self) -> Cross {
        let count = Dd::from_u64(self.count);
        Cross {
            yy: count * self.outcome_squares - self.outcome * self.outcome,
            xx: count * self.covariate_squares - self.covariate * self.covariate,
            xy: count * self.products - self.outcome * self.covariate,
        }
    }

    fn adjusted(&self, theta: Dd, centre: Dd) -> Result<ArmEstimate, Undefined> {
        let count = Dd::from_u64(self.count);
        let Cross { yy, xx, xy } = self.cross();
        let cross = yy + theta * (theta * xx - (xy + xy));
        let variance = (cross / (count * count * (count - Dd::ONE))).to_f64();
        let value = (self.outcome - theta * self.covariate) / count + theta * centre;
        if !variance.is_finite() || !value.is_finite() {
            return Err(Undefined::InvalidSums);
        }
        Ok(ArmEstimate {
            value,
            // Where the covariate explains everything, rounding may leave a negative zero.
            standard_error: variance.max(0.0).sqrt(),
            degrees_of_freedom: (count - Dd::ONE).to_f64(),
        })
    }
}

/// Adjusts the means of independent outcomes, from sums.
///
/// # Errors
///
/// [`Undefined::NotEnoughData`] below two outcomes in either arm, [`Undefined::InvalidSums`] where a result is not finite.
pub fn adjust(
    control: &PairedMoments,
    treatment: &PairedMoments,
    slope: Slope,
) -> Result<Adjusted, Undefined> {
    if control.count < 2 || treatment.count < 2 {
        return Err(Undefined::NotEnoughData);
    }
    let all = control.merge(treatment);
    let count = |arm: &PairedMoments| Dd::from_u64(arm.count);
    let (xy, xx) = match slope {
        Slope::Total => (all.cross().xy, all.cross().xx),
        Slope::Within => {
            let (c, t) = (control.cross(), treatment.cross());
            (
                c.xy / count(control) + t.xy / count(treatment),
                c.xx / count(control) + t.xx / count(treatment),
            )
        }
    };
    let theta = if xx > Dd::ZERO { xy / xx } else { Dd::ZERO };
    let centre = all.covariate / count(&all);
    let both = |theta| {
        Ok::<_, Undefined>((control.adjusted(theta, centre)?, treatment.adjusted(theta, centre)?))
    };
    Ok(Adjusted::new(theta.to_f64(), both(theta)?, both(Dd::ZERO)?))
}

/// A group of units: the sums of the outcome and of the covariate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CovariateRow {
    /// Outcome: what is divided and what it is divided by.
    pub outcome: Row,
    /// Covariate: the number of units that have one, and the sum of its values.
    pub covariate: Row,
}

/// An arm before adjustment: both ratios and what each row adds to them.
#[derive(Clone, Debug)]
pub struct Linearised {
    outcome: ArmEstimate,
    covariate: Row,
    influences: Vec<(f64, f64)>,
}

impl Linearised {
    /// Of the groups of one arm.
    ///
    /// # Errors
    ///
    /// As [`ratio`]; [`Undefined::ZeroDenominator`] also where no unit has a covariate.
    pub fn new(rows: &[CovariateRow]) -> Result<Self, Undefined> {
        let outcomes: Vec<Row> = rows.iter().map(|row| row.outcome).collect();
        let outcome = ratio(&outcomes)?;
        let of_outcome: Dd = outcomes.iter().map(|row| row.denominator).sum();
        let covariate = Row {
            denominator: rows.iter().map(|row| row.covariate.denominator).sum(),
            numerator: rows.iter().map(|row| row.covariate.numerator).sum(),
        };
        if covariate.denominator.is_zero() {
            return Err(Undefined::ZeroDenominator);
        }
        let mean = covariate.numerator / covariate.denominator;
        // Residuals cancel and are taken in double-double; quotients do not.
        let (of_outcome, of_covariate) = (of_outcome.to_f64(), covariate.denominator.to_f64());
        let influence = |row: &CovariateRow| {
            (
                residual(&row.outcome, outcome.value).to_f64() / of_outcome,
                residual(&row.covariate, mean).to_f64() / of_covariate,
            )
        };
        Ok(Self { outcome, covariate, influences: rows.iter().map(influence).collect() })
    }

    /// As [`new`](Self::new), of the sums of the outcome and of the covariate, row by row.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn of_whole(outcome: &WholeRows, covariate: &WholeRows) -> Result<Self, Undefined> {
        let influences = outcome.influences().zip(covariate.influences()).collect();
        let (outcome, covariate) = (outcome.ratio()?, covariate.totals());
        if covariate.denominator.is_zero() {
            return Err(Undefined::ZeroDenominator);
        }
        Ok(Self { outcome, covariate, influences })
    }

    /// `k/(k-1)`.
    fn correction(&self) -> f64 {
        let df = self.outcome.degrees_of_freedom;
        (df + 1.0) / df
    }

    /// `k/(k-1) Σ f(u_i, v_i)`.
    fn corrected_sum(&self, term: impl Fn(f64, f64) -> f64) -> f64 {
        self.correction() * self.influences.iter().map(|&(u, v)| term(u, v)).sum::<f64>()
    }

    fn adjusted(&self, theta: f64, centre: Dd) -> Result<ArmEstimate, Undefined> {
        let mean = self.covariate.numerator / self.covariate.denominator;
        let standard_error = self.corrected_sum(|u, v| (u - theta * v).powi(2)).sqrt();
        let value = self.outcome.value - Dd::from(theta) * (mean - centre);
        if !standard_error.is_finite() || !value.is_finite() {
            return Err(Undefined::OutOfRange);
        }
        Ok(ArmEstimate { value, standard_error, ..self.outcome })
    }
}

/// Adjusts ratios over groups of units.
///
/// # Errors
///
/// As [`ratio`]; [`Undefined::ZeroDenominator`] also where no unit of an arm has a covariate.
pub fn adjust_rows(
    control: &[CovariateRow],
    treatment: &[CovariateRow],
) -> Result<Adjusted, Undefined> {
    adjust_linearised(&Linearised::new(control)?, &Linearised::new(treatment)?)
}

/// [`adjust_rows`] of arms that were linearised before: control is compared with every treatment.
///
/// # Errors
///
/// [`Undefined::OutOfRange`] where a result is not finite.
pub fn adjust_linearised(c: &Linearised, t: &Linearised) -> Result<Adjusted, Undefined> {
    let arms = [c, t];
    let over_arms =
        |term: fn(f64, f64) -> f64| -> f64 { arms.iter().map(|arm| arm.corrected_sum(term)).sum() };
    let (products, squares) = (over_arms(|u, v| u * v), over_arms(|_, v| v * v));
    let theta = if squares > 0.0 { products / squares } else { 0.0 };
    let centre = (c.covariate.numerator + t.covariate.numerator)
        / (c.covariate.denominator + t.covariate.denominator);
    let adjusted = (c.adjusted(theta, centre)?, t.adjusted(theta, centre)?);
    Ok(Adjusted::new(theta, adjusted, (c.outcome, t.outcome)))
}

impl Adjusted {
    fn new(
        theta: f64,
        (control, treatment): (ArmEstimate, ArmEstimate),
        before: (ArmEstimate, ArmEstimate),
    ) -> Self {
        let adjusted = control.standard_error.hypot(treatment.standard_error);
        let unadjusted = before.0.standard_error.hypot(before.1.standard_error);
        let kept = if unadjusted > 0.0 { (adjusted / unadjusted).powi(2) } else { 1.0 };
        Self { theta, control, treatment, variance_reduction: 1.0 - kept }
    }
}

/// `y_i - R d_i`.
fn residual(row: &Row, ratio: Dd) -> Dd {
    row.numerator - ratio * row.denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(outcomes: &[f64], covariates: &[f64]) -> Vec<CovariateRow> {
        let row = |value: f64| Row { denominator: Dd::ONE, numerator: value.into() };
        outcomes
            .iter()
            .zip(covariates)
            .map(|(&y, &x)| CovariateRow { outcome: row(y), covariate: row(x) })
            .collect()
    }

    fn paired(outcomes: &[f64], covariates: &[f64]) -> PairedMoments {
        let sum = |term: fn(f64, f64) -> f64| {
            outcomes.iter().zip(covariates).map(|(&y, &x)| Dd::from(term(y, x))).sum()
        };
        PairedMoments {
            count: outcomes.len() as u64,
            outcome: sum(|y, _| y),
            outcome_squares: sum(|y, _| y * y),
            covariate: sum(|_, x| x),
            covariate_squares: sum(|_, x| x * x),
            products: sum(|y, x| x * y),
        }
    }

    const Y: [[f64; 5]; 2] = [[3.0, 5.0, 4.0, 8.0, 6.0], [4.0, 7.0, 6.0, 9.0, 5.0]];
    const X: [[f64; 5]; 2] = [[1.0, 3.0, 2.0, 6.0, 5.0], [1.0, 4.0, 4.0, 6.0, 2.0]];

    #[test]
    fn rows_of_one_outcome_in_equal_arms_are_analysis_of_covariance() {
        let by_rows = adjust_rows(&rows(&Y[0], &X[0]), &rows(&Y[1], &X[1])).unwrap();
        let by_sums = adjust(&paired(&Y[0], &X[0]), &paired(&Y[1], &X[1]), Slope::Within).unwrap();
        assert!((by_rows.theta - by_sums.theta).abs() < 1e-14);
        assert!((by_rows.control.value - by_sums.control.value).abs() < Dd::from(1e-14));
        let error = by_rows.treatment.standard_error / by_sums.treatment.standard_error;
        assert!((error - 1.0).abs() < 1e-14);
        assert!((by_rows.variance_reduction - by_sums.variance_reduction).abs() < 1e-14);
        assert!(by_rows.variance_reduction > 0.5);
    }

    #[test]
    fn a_perfect_covariate_leaves_no_variance() {
        let adjusted = adjust_rows(&rows(&X[0], &X[0]), &rows(&X[1], &X[1])).unwrap();
        assert!((adjusted.theta - 1.0).abs() < 1e-15);
        assert!((adjusted.variance_reduction - 1.0).abs() < 1e-15);
        assert!((adjusted.treatment.value - adjusted.control.value).abs() < Dd::from(1e-14));
    }

    #[test]
    fn a_constant_covariate_changes_nothing() {
        let adjusted = adjust_rows(&rows(&Y[0], &[2.0; 5]), &rows(&Y[1], &[2.0; 5])).unwrap();
        let sums =
            adjust(&paired(&Y[0], &[2.0; 5]), &paired(&Y[1], &[2.0; 5]), Slope::Total).unwrap();
        for result in [adjusted, sums] {
            assert_eq!(result.theta.to_bits(), 0);
            assert_eq!(result.variance_reduction.to_bits(), 0);
            assert!((result.control.value - Dd::from(5.2)).abs() < Dd::from(1e-15));
        }
    }

    #[test]
    fn without_covariates_there_is_no_adjustment() {
        let mut missing = rows(&Y[0], &X[0]);
        for row in &mut missing {
            row.covariate = Row::default();
        }
        let other = rows(&Y[1], &X[1]);
        assert_eq!(adjust_rows(&missing, &other), Err(Undefined::ZeroDenominator));
        assert_eq!(adjust_rows(&other[..1], &other), Err(Undefined::NotEnoughData));
    }
}
