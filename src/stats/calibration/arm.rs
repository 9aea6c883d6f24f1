//! The sums of a simulated arm, kept up to date in constant time per outcome.

/// Mean and squared standard error.
#[derive(Clone, Copy, Default)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) variance: f64,
    pub(super) degrees_of_freedom: f64,
}

/// The sums of one arm, and what they say, kept up to date with every outcome.
pub(super) struct Arm {
    rows: Vec<(f64, f64)>,
    pub(super) units: f64,
    row_count: f64,
    pub(super) outcomes: f64,
    sum: f64,
    sum_of_squares: f64,
    row_outcome_squares: f64,
    row_sum_squares: f64,
    row_products: f64,
    pub(super) single: Estimate,
    pub(super) clustered: Estimate,
}

impl Arm {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            rows: vec![(0.0, 0.0); rows],
            units: 0.0,
            row_count: 0.0,
            outcomes: 0.0,
            sum: 0.0,
            sum_of_squares: 0.0,
            row_outcome_squares: 0.0,
            row_sum_squares: 0.0,
            row_products: 0.0,
            single: Estimate::default(),
            clustered: Estimate::default(),
        }
    }

    pub(super) fn add(&mut self, row: usize, is_new_unit: bool, value: f64) {
        // A row that is not kept is one that no outcome comes back to.
        let mut fresh = (0.0, 0.0);
        let (count, sum) = self.rows.get_mut(row).unwrap_or(&mut fresh);
        if *count <= 0.0 {
            self.row_count += 1.0;
        }
        self.row_outcome_squares += 2.0 * *count + 1.0;
        self.row_sum_squares += value * (2.0 * *sum + value);
        self.row_products += *sum + *count * value + value;
        *count += 1.0;
        *sum += value;
        self.units += f64::from(u8::from(is_new_unit));
        self.outcomes += 1.0;
        self.sum += value;
        self.sum_of_squares += value * value;
        self.estimate();
    }

    fn estimate(&mut self) {
        let (n, k) = (self.outcomes, self.row_count);
        let value = self.sum / n;
        let squares = self.sum_of_squares - value * self.sum;
        self.single = Estimate {
            value,
            variance: squares.max(0.0) / ((n - 1.0) * n),
            degrees_of_freedom: n - 1.0,
        };
        let residuals = self.row_sum_squares
            + value * (value * self.row_outcome_squares - 2.0 * self.row_products);
        self.clustered = Estimate {
            value,
            variance: k / (k - 1.0) * residuals.max(0.0) / (n * n),
            degrees_of_freedom: k - 1.0,
        };
    }
}
