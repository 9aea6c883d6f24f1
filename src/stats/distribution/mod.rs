//! Tails and quantiles of the distributions the tests need, with their logarithms.
//!
//! Everything here is elementary `f64` code with a bounded number of steps: an experiment with 3e7
//! units must not hang the answer, as the library quantile of Student's t does at that size. Tails
//! are computed as tails, so a p-value of 1e-300 has as many digits as one of 0.05, and every
//! `ln_sf` continues where the probability underflows.
//!
//! Arguments are finite unless said otherwise; a NaN comes back as a NaN, and callers of this
//! module have ruled it out.

mod beta;
mod chi_squared;
mod gamma;
mod noncentral;
mod normal;
mod student;
#[cfg(test)]
mod student_reference;

pub use self::beta::beta_inc;
pub use self::chi_squared::{chi_squared_ln_sf, chi_squared_sf};
pub use self::gamma::{ln_beta, ln_gamma};
pub(crate) use self::gamma::{log_deficit, stirling_error};
pub use self::noncentral::{noncentral_student_sf, noncentral_student_two_tails};
pub use self::normal::{normal_cdf, normal_isf, normal_ln_sf, normal_pdf, normal_sf};
pub use self::student::{student_isf, student_ln_sf, student_sf};

/// The natural logarithm of the square root of 2π.
const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_8;
