//! One metric of a recorded test, number by number.

use serde_json::Value;
use tiebreak::rpc::pb::{Comparison, MetricResult, VariantStatistics};

use super::deviations::Deviations;
use super::number;
use super::recorded::Recorded;
use super::reference::{self, Estimate, Observation};

/// One metric under examination.
pub(super) struct Subject<'a> {
    pub(super) recorded: &'a Recorded,
    pub(super) result: &'a MetricResult,
    pub(super) observations: &'a [Observation],
    pub(super) deviations: &'a mut Deviations,
}

impl Subject<'_> {
    /// Count, sum, mean, variance and quantiles of the outcomes of one variant.
    pub(super) fn check_moments(&mut self, name: &str, expected: &Value) {
        let place = self.place(name);
        let statistics = self.statistics(name);
        assert_eq!(statistics.count, expected["n"].as_i64().unwrap(), "count of {place}");
        let found = [
            ("sum", statistics.sum, "sum", 1e-12),
            ("sum of squares", statistics.sum_of_squares, "sumsq", 1e-12),
            ("mean", statistics.estimate.unwrap(), "mean", 1e-9),
            ("variance", statistics.variance.unwrap(), "var", 1e-9),
        ];
        for (check, found, key, bound) in found {
            let pair = (found, number(&expected[key]));
            self.deviations.relative(check, &place, bound, pair);
        }
        for quantile in &statistics.quantiles {
            let (check, key) = match quantile.probability {
                p if p < 0.6 => ("P50", "p50"),
                p if p < 0.97 => ("P95", "p95"),
                _ => ("P99", "p99"),
            };
            let pair = (quantile.value, number(&expected["quantiles_nearest_rank"][key]));
            self.deviations.relative(check, &place, quantile.relative_error, pair);
        }
    }

    /// The standard error of one variant, against the second implementation: equal with the same
    /// groups, near with every unit for itself.
    pub(super) fn check_estimate(&mut self, statistics: &VariantStatistics) {
        let name = self.recorded.name(&statistics.variant_id);
        let place = self.place(name);
        if statistics.count == 0 {
            let defined = statistics.estimate.or(statistics.standard_error).or(statistics.variance);
            assert_eq!((defined, statistics.interval), (None, None), "{place}");
            assert!(statistics.quantiles.is_empty(), "{place}");
            assert!(!self.observations.iter().any(|seen| seen.variant == name), "{place}");
            return;
        }
        let (grouped, single) = (self.over_groups(name), self.over_units(name));
        let error = statistics.standard_error.unwrap();
        let groups = f64::from(u32::try_from(statistics.groups).unwrap());
        assert!((groups - grouped.clusters).abs() < 0.5, "groups of {place}");
        let check = "standard error over groups";
        self.deviations.relative(check, &place, 1e-9, (error, grouped.standard_error));
        let check = "estimate, second implementation";
        self.deviations.relative(check, &place, 1e-9, (statistics.estimate.unwrap(), grouped.mean));
        let check = "standard error, groups for units";
        self.deviations.relative(check, &place, 0.10, (error, single.standard_error));
    }

    /// A treatment against control, as far as the answers know it.
    pub(super) fn check_comparison(
        &mut self,
        treatment: &str,
        comparison: &Comparison,
        known: &Value,
        expected: &Value,
    ) {
        let control = self.recorded.control;
        let place = self.place(treatment);
        // Where a unit has several outcomes, the tests that ignore it stand apart.
        let clustered = known.get("clustered");
        let naive = if clustered.is_some() { &known["event_level_naive"] } else { known };
        let found = comparison.naive.as_ref();
        for (check, p, key) in [
            ("naive Student p", found.map(|naive| naive.student_p_value), "student"),
            ("naive Welch p", found.map(|naive| naive.welch_p_value), "welch"),
        ] {
            self.check_optional(check, &place, p, &naive[key]["p"]);
        }
        let difference = comparison.absolute_difference;
        self.check_optional("difference", &place, difference, &naive["welch"]["diff"]);
        self.check_optional("lift", &place, comparison.relative_lift, &naive["rel_lift"]["lift"]);

        let errors = [treatment, control].map(|name| self.statistics(name).standard_error.unwrap());
        let error = errors[0].hypot(errors[1]);
        let elsewhere = self.recorded.clustered.map(|place| {
            &expected.pointer(place).unwrap()[format!("{treatment} - {control}")]["delta_ratio"]
        });
        let by_unit = clustered.map(|known| &known["delta_ratio"]).or(elsewhere);
        let by_unit = &by_unit.unwrap_or(&naive["welch"])["se"];
        let check = "standard error of the difference, groups for units";
        self.deviations.relative(check, &place, 0.10, (error, number(by_unit)));
    }

    /// What the answers do not define is absent.
    fn check_optional(
        &mut self,
        check: &'static str,
        place: &str,
        found: Option<f64>,
        expected: &Value,
    ) {
        match expected.as_f64() {
            Some(expected) => {
                self.deviations.relative(check, place, 1e-9, (found.unwrap(), expected));
            }
            None => assert_eq!(found, None, "{check} of {place}"),
        }
    }

    /// Welch over groups, by hand from the second implementation; absent without outcomes or
    /// without variance.
    pub(super) fn check_test(&mut self, treatment: &str, comparison: &Comparison) {
        let place = self.place(treatment);
        let names = [treatment, self.recorded.control];
        let empty = names.iter().any(|name| self.statistics(name).count == 0);
        if empty {
            assert_eq!(comparison.absolute_difference, None, "{place}");
        }
        let constant = || names.iter().all(|name| self.over_groups(name).standard_error <= 0.0);
        if empty || constant() {
            let defined = (comparison.p_value, comparison.adjusted_p_value);
            assert_eq!(defined, (None, None), "{place}");
            assert_eq!((comparison.naive, comparison.fixed_horizon), (None, None), "{place}");
            assert!(!comparison.significant, "{place}");
            return;
        }
        let [t, c] = names.map(|name| self.over_groups(name));
        let [vt, vc] = [t, c].map(|estimate| estimate.standard_error.powi(2));
        let error = (vt + vc).sqrt();
        let freedom =
            (vt + vc).powi(2) / (vt.powi(2) / (t.clusters - 1.0) + vc.powi(2) / (c.clusters - 1.0));
        let test = comparison.fixed_horizon.as_ref().unwrap();
        let pair = (test.t_statistic, (t.mean - c.mean) / error);
        self.deviations.relative("t over groups", &place, 1e-9, pair);
        let pair = (test.degrees_of_freedom, freedom);
        self.deviations.relative("degrees of freedom over groups", &place, 1e-9, pair);
    }

    fn over_groups(&self, name: &str) -> Estimate {
        reference::clustered(self.observations, name, |observation| &observation.group)
    }

    fn over_units(&self, name: &str) -> Estimate {
        reference::clustered(self.observations, name, |observation| &observation.unit)
    }

    fn statistics(&self, name: &str) -> VariantStatistics {
        let id = self.recorded.variant(name);
        self.result.statistics.iter().find(|found| found.variant_id == id).unwrap().clone()
    }

    fn place(&self, name: &str) -> String {
        format!("{}, {name}", self.result.metric_id)
    }
}
