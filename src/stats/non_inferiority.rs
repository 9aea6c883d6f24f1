//! Guardrails: is the treatment shown not to be worse than a margin, or shown to be worse?
//!
//! With `k = 1` for an absolute margin `δ`, and `k = 1 ∓ δ sign(m_c)`, `δ = 0` for a relative one, the contrast
//!
//! `d = m_t - (k m_c ∓ δ)`, `se² = se_t² + k² se_c²`
//!
//! compares the treatment with the worst value allowed (minus where more is better, plus where less is better). A relative
//! margin is thus tested without dividing by an uncertain control. Welch's degrees of freedom on `k se_c` and `se_t`.
//!
//! Two one-sided questions are answered, each at its own level: "not worse than the margin" (the null hypothesis being
//! that it is at the margin or beyond) and "worse than the margin" (the null hypothesis being that it is within). At most
//! one can be shown; with little data neither is.
//!
//! Sources: W. C. Blackwelder, Controlled Clinical Trials 3 (1982); for relative margins D. Hauschke, M. Kieser,
//! E. Diletti, M. Burke, Statistics in Medicine 18 (1999).

use super::Undefined;
use super::dd::Dd;
use super::mean_test::{Alternative, ArmEstimate, TTest, Tail, welch_estimates};
use super::sequential::{Look, Rule};

/// How much worse the treatment may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// In the unit of the metric.
    Absolute(f64),
    /// As a share of the absolute value of control.
    Relative(f64),
}

/// Which direction is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// What a guardrail allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guardrail {
    margin: Margin,
    better: Better,
}

/// The fixed-horizon answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonInferiority {
    /// The test of the contrast with the worst value allowed; its sign is that of the metric.
    pub test: TTest,
    /// Small where the treatment is shown not to be worse than the margin.
    pub non_inferior: Tail,
    /// Small where it is shown to be worse than the margin.
    pub violated: Tail,
}

/// The answer at one look of a sequential test. Keep the smallest of each over the looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SequentialNonInferiority {
    /// Small where the treatment is shown not to be worse than the margin.
    pub non_inferior: Tail,
    /// Small where it is shown to be worse than the margin.
    pub violated: Tail,
}

/// An estimate and the number of units it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExposedArm {
    /// The estimate.
    pub estimate: ArmEstimate,
    /// Exposed units.
    pub units: u64,
    /// What the arm adds to the clock of the rule: its units, or its outcomes where units return
    /// ([`Look::at_clock`]).
    pub clock: f64,
}

impl Guardrail {
    /// A margin and the good direction.
    ///
    /// # Errors
    ///
    /// [`Undefined::OutsideDomain`] for a margin that is negative or not finite. A margin of zero asks for superiority.
    pub fn new(margin: Margin, better: Better) -> Result<Self, Undefined> {
        let (Margin::Absolute(size) | Margin::Relative(size)) = margin;
        (size >= 0.0 && size.is_finite())
            .then_some(Self { margin, better })
            .ok_or(Undefined::OutsideDomain)
    }

    /// The test for one look.
    ///
    /// # Errors
    ///
    /// [`Undefined::ZeroBaseline`] for a relative margin on a control of exactly zero, else as
    /// [`welch_estimates`].
    pub fn test(
        &self,
        control: &ArmEstimate,
        treatment: &ArmEstimate,
    ) -> Result<NonInferiority, Undefined> {
        let test = welch_estimates(&self.worst_allowed(control)?, treatment)?;
        let (good, bad) = match self.better {
            Better::Higher => (Alternative::Greater, Alternative::Less),
            Better::Lower => (Alternative::Less, Alternative::Greater),
        };
        Ok(NonInferiority { test, non_inferior: test.tail(good), violated: test.tail(bad) })
    }

    /// The test for any number of looks, each side at the level of the rule.
    ///
    /// # Errors
    ///
    /// As [`test`](Self::test) and [`Look::of_estimates`].
    pub fn look(
        &self,
        control: &ExposedArm,
        treatment: &ExposedArm,
        rule: &Rule,
    ) -> Result<SequentialNonInferiority, Undefined> {
        let worst = self.worst_allowed(&control.estimate)?;
        let above =
            Look::of_estimates(&worst, control.units, &treatment.estimate, treatment.units)?
                .at_clock(control.clock + treatment.clock);
        let below = above.reversed();
        let (good, bad) = match self.better {
            Better::Higher => (above, below),
            Better::Lower => (below, above),
        };
        Ok(SequentialNonInferiority {
            non_inferior: rule.look_above(&good),
            violated: rule.look_above(&bad),
        })
    }

    /// `k m_c ∓ δ` with the standard error `k se_c`: what the treatment must not be worse than.
    fn worst_allowed(&self, control: &ArmEstimate) -> Result<ArmEstimate, Undefined> {
        let worse = match self.better {
            Better::Higher => -1.0,
            Better::Lower => 1.0,
        };
        match self.margin {
            Margin::Absolute(size) => {
                Ok(ArmEstimate { value: control.value + Dd::from(worse * size), ..*control })
            }
            Margin::Relative(_) if control.value.is_zero() => Err(Undefined::ZeroBaseline),
            Margin::Relative(size) => {
                let step = Dd::from(worse * size.copysign(control.value.to_f64()));
                // |k|: a margin above one on the side of less changes the sign of the worst value, not of its error.
                let factor = Dd::ONE + step;
                Ok(ArmEstimate {
                    value: factor * control.value,
                    standard_error: factor.abs().to_f64() * control.standard_error,
                    ..*control
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(value: f64, standard_error: f64) -> ArmEstimate {
        ArmEstimate { value: Dd::from(value), standard_error, degrees_of_freedom: 500.0 }
    }

    #[test]
    fn nine_percent_slower_is_within_fifteen() {
        let guardrail = Guardrail::new(Margin::Relative(0.15), Better::Lower).unwrap();
        let answer = guardrail.test(&arm(2.0, 0.02), &arm(2.18, 0.02)).unwrap();
        assert!(answer.non_inferior.p_value < 0.001 && answer.violated.p_value > 0.999);
        let answer = guardrail.test(&arm(2.0, 0.02), &arm(2.5, 0.02)).unwrap();
        assert!(answer.violated.p_value < 0.001 && answer.non_inferior.p_value > 0.999);
    }

    #[test]
    fn worse_than_a_negative_control_is_more_negative() {
        let guardrail = Guardrail::new(Margin::Relative(0.1), Better::Higher).unwrap();
        let answer = guardrail.test(&arm(-10.0, 0.01), &arm(-10.5, 0.01)).unwrap();
        assert!(answer.non_inferior.p_value < 1e-6, "{answer:?}");
        let answer = guardrail.test(&arm(-10.0, 0.01), &arm(-11.5, 0.01)).unwrap();
        assert!(answer.violated.p_value < 1e-6, "{answer:?}");
    }

    #[test]
    fn at_most_one_side_is_ever_shown() {
        let guardrail = Guardrail::new(Margin::Absolute(0.1), Better::Higher).unwrap();
        let rule = Rule::planned(0.05, 4_000.0).unwrap();
        let exposed =
            |value| ExposedArm { estimate: arm(value, 0.02), units: 1_000, clock: 1_000.0 };
        for value in [0.5, 0.8, 0.9, 1.0, 1.3] {
            let answer = guardrail.look(&exposed(1.0), &exposed(value), &rule).unwrap();
            let shown = [answer.non_inferior, answer.violated].map(|tail| tail.p_value < 0.05);
            assert!(shown != [true, true], "{value}");
            assert_eq!(shown[0], value >= 1.0, "{value} {answer:?}");
            assert_eq!(shown[1], value <= 0.8, "{value} {answer:?}");
        }
    }

    #[test]
    fn a_relative_margin_needs_a_baseline() {
        let guardrail = Guardrail::new(Margin::Relative(0.1), Better::Lower).unwrap();
        assert_eq!(guardrail.test(&arm(0.0, 0.1), &arm(0.1, 0.1)), Err(Undefined::ZeroBaseline));
        assert_eq!(
            Guardrail::new(Margin::Absolute(f64::NAN), Better::Lower),
            Err(Undefined::OutsideDomain)
        );
    }
}
