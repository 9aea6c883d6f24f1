//! The one answer that a comparison reports, whichever method its plan names.

use crate::domain::analysis::ConfidenceInterval;

/// What the method planned says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planned {
    pub(super) difference_interval: Option<ConfidenceInterval>,
    pub(super) lift_interval: Option<ConfidenceInterval>,
    pub(super) p_value: Option<f64>,
    pub(super) non_inferiority_p_value: Option<f64>,
    pub(super) violation_p_value: Option<f64>,
}
