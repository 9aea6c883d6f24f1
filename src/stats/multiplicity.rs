//! Adjusted p-values for several hypotheses at once.
//!
//! An adjusted value is the smallest level at which its hypothesis is rejected while the family
//! keeps the guarantee: [`bonferroni`] and [`holm`] (S. Holm, Scand. J. Statist. 6 (1979)) the
//! chance of *any* false rejection, under every dependence; [`benjamini_hochberg`] (JRSS B 57
//! (1995)) the expected share of false ones among the rejections, under independence or positive
//! dependence. Holm is never weaker than Bonferroni.
//!
//! Inputs are p-values in `[0, 1]`; results are in the order of the inputs. An empty family is an
//! empty answer.

/// `min(1, m p)`.
#[must_use]
pub fn bonferroni(p_values: &[f64]) -> Vec<f64> {
    let hypotheses = real(p_values.len());
    p_values.iter().map(|p| (hypotheses * p).min(1.0)).collect()
}

/// Step-down: `max over j <= i of min(1, (m - j + 1) p_(j))`, with `p_(1) <= p_(2) <= ...`.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in ascending(p_values).into_iter().enumerate() {
        largest = largest.max(real(p_values.len() - rank) * p_values[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// Step-up: `min over j >= i of min(1, m p_(j) / j)`, with `p_(1) <= p_(2) <= ...`.
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let hypotheses = real(p_values.len());
    let mut adjusted = vec![0.0; p_values.len()];
    let mut smallest: f64 = 1.0;
    for (rank, index) in ascending(p_values).into_iter().enumerate().rev() {
        smallest = smallest.min(hypotheses / real(rank + 1) * p_values[index]);
        adjusted[index] = smallest;
    }
    adjusted
}

/// Indices in ascending order of p-value.
fn ascending(p_values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&i, &j| p_values[i].total_cmp(&p_values[j]));
    order
}

#[expect(clippy::cast_precision_loss, reason = "nobody tests 2^53 hypotheses")]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-15, "{got} {expected}");
        }
    }

    #[test]
    fn the_order_of_the_inputs_is_kept() {
        let p_values = [0.04, 0.01, 0.03];
        close(&bonferroni(&p_values), &[0.12, 0.03, 0.09]);
        close(&holm(&p_values), &[0.06, 0.03, 0.06]);
        close(&benjamini_hochberg(&p_values), &[0.04, 0.03, 0.04]);
    }

    #[test]
    fn adjusted_values_stay_probabilities() {
        for adjust in [bonferroni, holm, benjamini_hochberg] {
            close(
                &adjust(&[1.0, 0.9, 0.0]),
                &adjust(&[1.0, 0.9, 0.0]).iter().map(|p| p.clamp(0.0, 1.0)).collect::<Vec<_>>(),
            );
            close(&adjust(&[0.3]), &[0.3]);
            close(&adjust(&[]), &[]);
        }
    }
}
