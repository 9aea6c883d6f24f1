//! One value of one outcome, as the score of a span.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::subject::Subject;
use crate::service::ScoredOutcome;

/// What a program shows beside a span.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Score {
    pub(super) subject: Subject,
    pub(super) experiment: String,
    pub(super) variant: String,
    pub(super) event_id: String,
    pub(super) metric: String,
    pub(super) value: f64,
}

impl Score {
    /// A score for each value.
    pub(super) fn all_of(outcome: ScoredOutcome) -> impl Iterator<Item = Self> {
        let ScoredOutcome { subject, experiment, variant, event_id, values } = outcome;
        values.into_iter().map(move |(metric, value)| Self {
            subject,
            experiment: experiment.clone(),
            variant: variant.clone(),
            event_id: event_id.clone(),
            metric,
            value,
        })
    }

    /// The same for the same outcome, whoever sends it and how often. Without an event id there is
    /// one score for each span and metric, and the last one stays.
    pub(super) fn id(&self) -> Uuid {
        // The event id comes last: it alone may hold a colon.
        let Self { experiment, metric, event_id, .. } = self;
        let (trace, span) = (self.trace(), self.span());
        let name = format!("urn:tiebreak:score:{experiment}:{metric}:{trace}:{span}:{event_id}");
        Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
    }

    /// 32 hexadecimal digits.
    pub(super) fn trace(&self) -> String {
        format!("{:032x}", self.subject.trace_id)
    }

    /// 16 hexadecimal digits.
    pub(super) fn span(&self) -> String {
        format!("{:016x}", self.subject.span_id)
    }

    /// What was tested, for people who compare scores.
    pub(super) fn facts(&self) -> Value {
        json!({ "experiment": self.experiment, "variant": self.variant })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::sinks) fn score() -> Score {
        Score {
            subject: Subject { trace_id: 0x4bf9_2f35, span_id: 0xf067_aa0b, sampled: true },
            experiment: "support-bot".to_owned(),
            variant: "ft-v2".to_owned(),
            event_id: "e-1".to_owned(),
            metric: "resolved".to_owned(),
            value: 1.0,
        }
    }

    #[test]
    fn an_id_names_the_event_and_not_its_value() {
        let first = score();
        assert_eq!(Score { value: 0.0, ..score() }.id(), first.id());
        for other in [
            Score { event_id: "e-2".to_owned(), ..score() },
            Score { metric: "cost".to_owned(), ..score() },
            Score { experiment: "router".to_owned(), ..score() },
            Score { subject: Subject { span_id: 1, ..first.subject }, ..score() },
            Score { subject: Subject { trace_id: 1, ..first.subject }, ..score() },
        ] {
            assert_ne!(other.id(), first.id(), "{other:?}");
        }
    }
}
