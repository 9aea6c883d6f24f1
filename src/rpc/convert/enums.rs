//! Enums of the contract and of the domain. Unspecified and unknown numbers become `None`; the
//! parser of the draft says whether that is a default or a fault.

use crate::domain::analysis::{Recommendation, Verdict};
use crate::domain::assignment::Reason;
use crate::domain::experiment::{Algorithm, Correction, Method, State};
use crate::domain::metric::{Direction, Estimand, Kind, Role};
use crate::rpc::pb;

/// Both directions of an enum that has an UNSPECIFIED value on the wire.
macro_rules! both_ways {
    ($parse:ident, $print:ident: $wire:path => $domain:ident { $($there:ident = $here:ident),+ $(,)? }) => {
        pub(super) fn $parse(number: i32) -> Option<$domain> {
            use $wire as Wire;
            match Wire::try_from(number) {
                Ok(Wire::Unspecified) | Err(_) => None,
                $(Ok(Wire::$there) => Some($domain::$here),)+
            }
        }

        pub(super) fn $print(value: $domain) -> i32 {
            use $wire as Wire;
            match value {
                $($domain::$here => Wire::$there.into(),)+
            }
        }
    };
}

both_ways!(algorithm, algorithm_to_pb: pb::bucketing::Algorithm => Algorithm {
    Md5Mod10000 = Md5Mod10000,
    External = External,
});
both_ways!(kind, kind_to_pb: pb::metric::Kind => Kind {
    Binary = Binary,
    Continuous = Continuous,
    Duration = Duration,
    Amount = Amount,
});
both_ways!(estimand, estimand_to_pb: pb::metric::Estimand => Estimand {
    MeanPerOutcome = MeanPerOutcome,
    TotalPerUnit = TotalPerUnit,
    Ratio = Ratio,
    Quantile = Quantile,
});
both_ways!(direction, direction_to_pb: pb::metric::Direction => Direction {
    Increase = Increase,
    Decrease = Decrease,
});
both_ways!(role, role_to_pb: pb::metric::Role => Role {
    Primary = Primary,
    Secondary = Secondary,
    Guardrail = Guardrail,
});
both_ways!(method, method_to_pb: pb::analysis_plan::Method => Method {
    FixedHorizon = FixedHorizon,
    Sequential = Sequential,
});
both_ways!(correction, correction_to_pb: pb::analysis_plan::Correction => Correction {
    None = None,
    Bonferroni = Bonferroni,
    Holm = Holm,
    BenjaminiHochberg = BenjaminiHochberg,
});
both_ways!(state, state_to_pb: pb::experiment::State => State {
    Draft = Draft,
    Running = Running,
    Paused = Paused,
    Concluded = Concluded,
    Archived = Archived,
});

pub(super) fn reason_to_pb(reason: Reason) -> i32 {
    use pb::assignment::Reason as Wire;
    let wire = match reason {
        Reason::Split => Wire::Split,
        Reason::Override => Wire::Override,
        Reason::NotEligible => Wire::NotEligible,
        Reason::NotEnrolled => Wire::NotEnrolled,
        Reason::ExcludedByLayer => Wire::ExcludedByLayer,
        Reason::Paused => Wire::Paused,
        Reason::Concluded => Wire::Concluded,
    };
    wire.into()
}

pub(super) fn verdict_to_pb(verdict: Verdict) -> i32 {
    use pb::comparison::Verdict as Wire;
    let wire = match verdict {
        Verdict::InsufficientData => Wire::InsufficientData,
        Verdict::Better => Wire::Better,
        Verdict::Worse => Wire::Worse,
        Verdict::Inconclusive => Wire::Inconclusive,
        Verdict::NonInferior => Wire::NonInferior,
        Verdict::Violated => Wire::Violated,
    };
    wire.into()
}

pub(super) fn recommendation_to_pb(recommendation: &Recommendation) -> i32 {
    use pb::experiment_results::Recommendation as Wire;
    let wire = match recommendation {
        Recommendation::Continue => Wire::Continue,
        Recommendation::Ship(_) => Wire::Ship,
        Recommendation::KeepControl => Wire::KeepControl,
        Recommendation::NoDifference => Wire::NoDifference,
        Recommendation::Investigate => Wire::Investigate,
    };
    wire.into()
}
