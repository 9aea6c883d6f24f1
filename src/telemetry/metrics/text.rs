//! Families as Prometheus reads them: the text of `OpenMetrics` 1.0.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{Family, Sample, Samples};
use crate::meter::{BOUNDS, Histogram};

/// What the text calls itself.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes families: dots become underscores, seconds and `_total` are appended to names.
///
/// # Errors
/// None in practice: a text grows as it must.
pub fn text(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Family { name, help, unit, samples } in &self.0 {
            let name = name.replace('.', "_");
            let unit = (*unit == "s").then_some(Unit::Seconds);
            let kind = match samples {
                Samples::Counters(_) => MetricType::Counter,
                Samples::Gauges(_) => MetricType::Gauge,
                Samples::Histograms(_) => MetricType::Histogram,
            };
            let family = encoder.encode_descriptor(&name, help, unit.as_ref(), kind)?;
            match samples {
                Samples::Counters(samples) => each(family, samples)?,
                Samples::Gauges(samples) => each(family, samples)?,
                Samples::Histograms(samples) => each(family, samples)?,
            }
        }
        Ok(())
    }
}

/// Writes every sample under its labels.
fn each<T: Value>(mut family: MetricEncoder<'_>, samples: &[Sample<T>]) -> Result<(), fmt::Error> {
    for Sample { attributes, value } in samples {
        let label = |(name, value): &(&str, String)| (name.replace('.', "_"), value.clone());
        let labels: Vec<_> = attributes.iter().map(label).collect();
        if labels.is_empty() {
            value.write(&mut family)?;
        } else {
            value.write(&mut family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// What a sample can have.
trait Value {
    fn write(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error>;
}

impl Value for u64 {
    fn write(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_counter::<NoLabelSet, _, Self>(self, None)
    }
}

impl Value for f64 {
    fn write(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_gauge(self)
    }
}

impl Value for Histogram {
    fn write(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.buckets.iter().copied()).collect();
        encoder.encode_histogram::<NoLabelSet>(self.sum, self.count(), &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meter::Durations;

    #[test]
    fn a_family_of_each_kind_is_written_as_prometheus_reads_it() {
        let durations = Durations::default();
        durations.record(Duration::from_micros(150));
        durations.record(Duration::from_secs(60));
        let families = vec![
            Family {
                name: "tiebreak.assignments",
                help: "How often.",
                unit: "{assignment}",
                samples: Samples::Counters(vec![Sample::of([("feature_flag.key", "bot")], 3)]),
            },
            Family {
                name: "tiebreak.catalog.age",
                help: "How old.",
                unit: "s",
                samples: Samples::Gauges(vec![Sample::of([], 0.25)]),
            },
            Family {
                name: "rpc.server.call.duration",
                help: "How long.",
                unit: "s",
                samples: Samples::Histograms(vec![Sample::of(
                    [("rpc.method", "a.B/C")],
                    durations.read(),
                )]),
            },
        ];
        let text = text(families).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for line in [
            "# HELP tiebreak_assignments How often.",
            "# TYPE tiebreak_assignments counter",
            r#"tiebreak_assignments_total{feature_flag_key="bot"} 3"#,
            "# TYPE tiebreak_catalog_age_seconds gauge",
            "# UNIT tiebreak_catalog_age_seconds seconds",
            "tiebreak_catalog_age_seconds 0.25",
            r#"rpc_server_call_duration_seconds_bucket{le="0.0001",rpc_method="a.B/C"} 0"#,
            r#"rpc_server_call_duration_seconds_bucket{le="0.0002",rpc_method="a.B/C"} 1"#,
            r#"rpc_server_call_duration_seconds_bucket{le="10.0",rpc_method="a.B/C"} 1"#,
            r#"rpc_server_call_duration_seconds_bucket{le="+Inf",rpc_method="a.B/C"} 2"#,
            r#"rpc_server_call_duration_seconds_count{rpc_method="a.B/C"} 2"#,
            r#"rpc_server_call_duration_seconds_sum{rpc_method="a.B/C"} 60.00015"#,
        ] {
            assert!(lines.contains(&line), "{line}\n{text}");
        }
        assert_eq!(lines.last(), Some(&"# EOF"));
    }
}
