//! From one outcome to the increments it causes: which variant is credited, and whether at all.

use std::collections::BTreeMap;

use crate::domain::assignment::{self, Membership};
use crate::domain::bucket::Fingerprint;
use crate::domain::counter::{Admission, Event, Increment, Row, ShardKey};
use crate::domain::experiment::{Algorithm, Experiment, Iteration, State};
use crate::domain::id::{EventId, UnitId, VariantId};
use crate::domain::metric::{Metric, MetricValue};
use crate::domain::segment::Segments;
use crate::domain::subject::Subject;
use crate::domain::value::{Attributes, Value};
use crate::domain::violation::Violations;
use crate::stats::decimal::{Decimal, LOWEST_SUM_LIMB};
use crate::stats::sketch::Bin;

/// An outcome as a request describes it.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "field for field the message Outcome of the contract")]
pub struct OutcomeDraft {
    pub experiment_id: String,
    pub unit_id: String,
    pub values: BTreeMap<String, f64>,
    pub event_id: String,
    pub served_variant_id: String,
    pub iteration: u32,
    pub attributes: Attributes,
    pub assigned_variant_id: String,
    pub subject: Option<Subject>,
    /// What the edge could not convert: reported together with everything else.
    pub faults: Violations,
}

/// Why an outcome is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeRefused {
    /// Fields are wrong; nothing of it was applied.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The experiment takes no outcomes in this state.
    #[error("experiment takes no outcomes: it is {0:?}")]
    Closed(State),
}

const VALUES_LIMIT: usize = 64;

/// An outcome that passed all checks against its experiment.
#[derive(Debug)]
struct Checked<'a> {
    unit: UnitId<'a>,
    event: Option<EventId<'a>>,
    iteration: &'a Iteration,
    values: Vec<(&'a Metric, MetricValue)>,
    named_variant: Option<usize>,
    mismatched: Option<&'a str>,
}

/// An outcome that counts for a variant, or will if the store knows the unit.
#[derive(Debug)]
pub struct Credited<'a> {
    writer: Writer<'a>,
    draft: &'a OutcomeDraft,
    checked: Checked<'a>,
    admission: Admission,
}

/// Decides which variant an outcome is credited to; `None` when its unit is not in the
/// experiment, so that there is nothing to store.
///
/// # Errors
/// [`OutcomeRefused`]: every bad field at once, or an experiment that takes no outcomes.
pub fn credit<'a>(
    experiment: &'a Experiment,
    draft: &'a OutcomeDraft,
) -> Result<Option<Credited<'a>>, OutcomeRefused> {
    let checked = check(experiment, draft)?;
    match experiment.state {
        State::Draft | State::Concluded | State::Archived => {
            return Err(OutcomeRefused::Closed(experiment.state));
        }
        State::Running | State::Paused => {}
    }
    let iteration = checked.iteration;
    if experiment.definition.overrides.contains_key(checked.unit.as_str()) {
        return Ok(None);
    }
    let placed = match checked.named_variant {
        Some(index) => Some((index, Admission::Anyone)),
        None => place(draft, &checked),
    };
    let Some((index, admission)) = placed else { return Ok(None) };
    // Who was assigned in this iteration says so; of everyone else a paused experiment counts
    // only those who were exposed before the pause.
    let paused = experiment.state == State::Paused;
    let admission = if paused && draft.iteration == 0 { Admission::ExposedOnly } else { admission };
    let Some(variant) = iteration.variants.get(index) else { return Ok(None) };
    let group = iteration.bucketing.salt.group(checked.unit, iteration.layout.groups);
    let writer = Writer { experiment, iteration, variant, group };
    Ok(Some(Credited { writer, draft, checked, admission }))
}

impl Credited<'_> {
    /// The variant credited.
    #[must_use]
    pub fn variant(&self) -> &VariantId {
        self.writer.variant
    }

    /// The iteration in which it counts.
    #[must_use]
    pub fn iteration(&self) -> &Iteration {
        self.writer.iteration
    }

    /// Where it counts.
    #[must_use]
    pub fn shard(&self) -> ShardKey {
        self.writer.shard()
    }

    /// Whose outcome it is.
    #[must_use]
    pub fn unit(&self) -> Fingerprint {
        Fingerprint::of_unit(self.writer.experiment.id(), self.writer.variant, self.checked.unit)
    }

    /// What it adds to which counters, for a unit with these segments.
    #[must_use]
    pub fn event(&self, segments: &Segments) -> Event {
        let Self { writer, draft, checked, admission } = self;
        let id = writer.experiment.id();
        Event {
            dedup: checked.event.map(|event| Fingerprint::of_event(id, checked.unit, event)),
            unit: self.unit(),
            admission: *admission,
            label: segments.label,
            increments: writer.spread(writer.outcome(checked), segments),
            if_unit_is_new: writer.spread(writer.exposure(&draft.attributes), segments),
        }
    }
}

/// What a first exposure adds; nothing when the unit was exposed before.
#[must_use]
pub fn exposure(
    experiment: &Experiment,
    iteration: &Iteration,
    variant: &VariantId,
    unit: UnitId<'_>,
    attributes: &Attributes,
    segments: &Segments,
) -> (ShardKey, Event) {
    let group = iteration.bucketing.salt.group(unit, iteration.layout.groups);
    let writer = Writer { experiment, iteration, variant, group };
    let event = Event {
        dedup: None,
        unit: Fingerprint::of_unit(experiment.id(), variant, unit),
        admission: Admission::Anyone,
        label: segments.label,
        increments: Vec::new(),
        if_unit_is_new: writer.spread(writer.exposure(attributes), segments),
    };
    (writer.shard(), event)
}

/// Variant by the hashes, and what must be known of the unit; `None` outside the experiment.
fn place(draft: &OutcomeDraft, checked: &Checked<'_>) -> Option<(usize, Admission)> {
    let iteration = checked.iteration;
    let admission = match &iteration.eligibility {
        Some(_) if draft.iteration != 0 => Admission::Anyone,
        Some(_) if draft.attributes.is_empty() => Admission::ExposedOnly,
        Some(rule) if !rule.admits(checked.unit, &draft.attributes) => return None,
        Some(_) | None => Admission::Anyone,
    };
    match assignment::membership(iteration, checked.unit) {
        Membership::In { variant, .. } => Some((variant, admission)),
        Membership::NotEnrolled | Membership::ExcludedByLayer => None,
    }
}

fn check<'a>(
    experiment: &'a Experiment,
    draft: &'a OutcomeDraft,
) -> Result<Checked<'a>, Violations> {
    let mut bad = draft.faults.clone();
    let unit = bad.check("unit_id", UnitId::parse(&draft.unit_id));
    let event = match draft.event_id.as_str() {
        "" => None,
        text => bad.check("event_id", EventId::parse(text)),
    };
    let iteration = experiment.iteration(draft.iteration);
    if iteration.is_none() {
        bad.add("iteration", format!("names iteration {}, which never was", draft.iteration));
    }
    let named_variant = iteration
        .and_then(|iteration| check_assigned(iteration, &draft.assigned_variant_id, &mut bad));
    let mismatched = Some(draft.served_variant_id.as_str()).filter(|id| !id.is_empty());
    if let (Some(served), Some(iteration)) = (mismatched, iteration)
        && iteration.variant_index(served).is_none()
    {
        bad.add("served_variant_id", "names a variant that the iteration does not have");
    }
    let values = check_values(experiment, draft, &mut bad);
    match (unit, iteration) {
        (Some(unit), Some(iteration)) if bad.is_empty() => {
            Ok(Checked { unit, event, iteration, values, named_variant, mismatched })
        }
        _ => Err(bad),
    }
}

fn check_assigned(iteration: &Iteration, named: &str, bad: &mut Violations) -> Option<usize> {
    let field = "assigned_variant_id";
    match (iteration.bucketing.algorithm, named) {
        (Algorithm::Md5Mod10000, "") => None,
        (Algorithm::Md5Mod10000, _) => {
            bad.add(field, "is only for ALGORITHM_EXTERNAL; here the hash decides");
            None
        }
        (Algorithm::External, "") => {
            bad.add(field, "must name the variant: the experiment has ALGORITHM_EXTERNAL");
            None
        }
        (Algorithm::External, named) => {
            let index = iteration.variant_index(named);
            if index.is_none() {
                bad.add(field, "names a variant that the iteration does not have");
            }
            index
        }
    }
}

fn check_values<'a>(
    experiment: &'a Experiment,
    draft: &OutcomeDraft,
    bad: &mut Violations,
) -> Vec<(&'a Metric, MetricValue)> {
    if draft.values.len() > VALUES_LIMIT {
        bad.add("values", format!("has {} entries, at most 64 are allowed", draft.values.len()));
        return Vec::new();
    }
    let mut values = Vec::with_capacity(draft.values.len());
    for (name, raw) in &draft.values {
        let field = || format!("values[{:?}]", name.chars().take(64).collect::<String>());
        match experiment.definition.metric(name) {
            Some(metric) => {
                let value = bad.check(field(), metric.value(*raw));
                values.extend(value.map(|value| (metric, value)));
            }
            None => bad.add(
                field(),
                format!("is not a metric of this experiment; it has {}", known(experiment)),
            ),
        }
    }
    values
}

/// The first few metrics there are, for somebody who mistyped one.
fn known(experiment: &Experiment) -> String {
    const TOLD: usize = 8;
    let ids = experiment.definition.metric_ids();
    let mut names: Vec<String> = ids.iter().take(TOLD).map(ToString::to_string).collect();
    if ids.len() > TOLD {
        names.push(format!("{} more", ids.len() - TOLD));
    }
    names.join(", ")
}

/// Writes the increments of one unit's events.
#[derive(Debug)]
struct Writer<'a> {
    experiment: &'a Experiment,
    iteration: &'a Iteration,
    variant: &'a VariantId,
    group: u32,
}

impl Writer<'_> {
    fn shard(&self) -> ShardKey {
        let shard = self.iteration.layout.shard(self.group);
        ShardKey::of(self.experiment, self.iteration, shard)
    }

    fn spread(&self, increments: Vec<Increment>, segments: &Segments) -> Vec<Increment> {
        let (definition, layout) = (&self.experiment.definition, self.iteration.layout);
        segments.spread(increments, definition, layout, self.group)
    }

    fn by_group(&self, row: Row<'_>, amount: i64) -> Increment {
        Increment { row: row.to_string(), column: self.iteration.layout.column(self.group), amount }
    }

    fn outcome(&self, checked: &Checked<'_>) -> Vec<Increment> {
        let variant = self.variant;
        let mut increments = Vec::with_capacity(2 + 9 * checked.values.len());
        if checked.values.is_empty() {
            return increments; // Records the exposure only.
        }
        let mut total = |column| {
            let row = Row::Outcomes { variant }.to_string();
            increments.push(Increment { row, column, amount: 1 });
        };
        total(0);
        if checked.mismatched.is_some_and(|served| served != variant.as_str()) {
            total(1);
        }
        for (metric, value) in &checked.values {
            self.value(metric, *value, &mut increments);
        }
        increments
    }

    fn value(&self, metric: &Metric, value: MetricValue, increments: &mut Vec<Increment>) {
        let (variant, id) = (self.variant, &metric.id);
        increments.push(self.by_group(Row::Counts { variant, metric: id }, 1));
        for (limb, amount) in sum_limbs(value.decimal) {
            increments.push(self.by_group(Row::Sums { variant, metric: id, limb }, amount));
        }
        let squares = (0_u32..).zip(value.decimal.square_limbs());
        for (column, amount) in squares.filter(|(_, amount)| *amount != 0) {
            let row = Row::Squares { variant, metric: id }.to_string();
            increments.push(Increment { row, column, amount });
        }
        if metric.kind.has_sketch() {
            let (page, column) = self.iteration.layout.bin_place(Bin::of(value.number), self.group);
            let row = Row::Bins { variant, metric: id, page }.to_string();
            increments.push(Increment { row, column, amount: 1 });
        }
    }

    fn exposure(&self, attributes: &Attributes) -> Vec<Increment> {
        let variant = self.variant;
        let mut increments = vec![self.by_group(Row::Exposures { variant }, 1)];
        let metrics = self.experiment.definition.metrics.iter();
        let mut covariates: Vec<&str> = metrics.filter_map(|m| m.covariate.as_deref()).collect();
        covariates.sort_unstable();
        covariates.dedup();
        for covariate in covariates {
            // A value that no sum can hold is a missing one, not a reason to lose the exposure.
            let Some(Value::Number(number)) = attributes.get(covariate) else { continue };
            let Ok(decimal) = Decimal::try_from(*number) else { continue };
            increments.push(self.by_group(Row::CovariateCounts { variant, covariate }, 1));
            for (limb, amount) in sum_limbs(decimal) {
                let row = Row::CovariateSums { variant, covariate, limb };
                increments.push(self.by_group(row, amount));
            }
        }
        increments
    }
}

fn sum_limbs(decimal: Decimal) -> impl Iterator<Item = (i32, i64)> {
    (LOWEST_SUM_LIMB..).zip(decimal.limbs()).filter(|(_, amount)| *amount != 0)
}
