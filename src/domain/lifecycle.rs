//! How an experiment changes: creation, updates, state transitions. Pure functions from the
//! record before to the record after; the service stores the result if nobody was faster.

use crate::domain::experiment::{
    Definition, Experiment, Iteration, Layout, Method, Revision, ShardCount, State, Timestamp,
    Variant,
};
use crate::domain::id::VariantId;
use crate::domain::split::Split;
use crate::domain::violation::Violations;

/// A change of state that is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an experiment that is {from:?} cannot become {to:?}")]
pub struct InvalidTransition {
    /// Where it is.
    pub from: State,
    /// Where it was to go.
    pub to: State,
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// Fields are wrong or may not change any more.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// Concluded or archived.
    #[error("the experiment is {0:?} and can no longer be changed")]
    Closed(State),
}

/// An update and what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The record after.
    pub experiment: Experiment,
    /// Top-level fields of the contract that differ; empty when nothing does.
    pub changed: Vec<&'static str>,
    /// Whether a new iteration was opened.
    pub new_iteration: bool,
}

impl Experiment {
    /// A new draft.
    #[must_use]
    pub fn create(definition: Definition, shards: ShardCount, now: Timestamp) -> Self {
        let split = Split::initial(&definition.weights(), definition.control());
        let layout = Layout { groups: definition.analysis.groups, shards };
        let iteration = Iteration::open(1, &definition, split, layout, now);
        Self {
            definition,
            state: State::Draft,
            iterations: vec![iteration],
            winner: None,
            created: now,
            updated: now,
            started: None,
            concluded: None,
            revision: Revision(now.0.cast_unsigned().max(1)),
        }
    }

    /// The record after its definition is replaced.
    ///
    /// # Errors
    /// [`ChangeRefused`] when the experiment is closed, or when one that has started would lose
    /// or change a metric or its analysis plan.
    pub fn update(&self, definition: Definition, now: Timestamp) -> Result<Change, ChangeRefused> {
        let changed = self.definition.differences(&definition);
        if changed.is_empty() {
            // Also of a closed experiment: who applies the same file again asks for nothing.
            return Ok(Change { experiment: self.clone(), changed, new_iteration: false });
        }
        let started = match self.state {
            State::Draft => false,
            State::Running | State::Paused => true,
            State::Concluded | State::Archived => return Err(ChangeRefused::Closed(self.state)),
        };
        if started {
            self.check_started(&definition)?;
        }
        let mut after = self.touched(now);
        let new_iteration = started && self.definition.design_differs(&definition);
        if let (true, Some(last)) = (new_iteration, self.current()) {
            after.iterations.push(Self::next_iteration(last, &definition, now)?);
        } else if !started {
            let shards = self.current().map_or(ShardCount::ONE, |current| current.layout.shards);
            after.iterations = Self::create(definition.clone(), shards, now).iterations;
        }
        after.definition = definition;
        Ok(Change { experiment: after, changed, new_iteration })
    }

    fn check_started(&self, definition: &Definition) -> Result<(), Violations> {
        let mut bad = Violations::new();
        for old in &self.definition.metrics {
            match definition.metric(old.id.as_str()) {
                None => {
                    bad.add("metrics", format!("lacks '{}': metrics may only be added", old.id));
                }
                Some(new) if new != old => bad.add(
                    "metrics",
                    format!(
                        "changes '{}': a metric is fixed once the experiment has started",
                        old.id
                    ),
                ),
                Some(_) => {}
            }
        }
        // A test is valid for the plan that was written down before the first look: another
        // level, method or size in the middle would make its evidence mean nothing.
        if definition.analysis != self.definition.analysis {
            bad.add("analysis", "is fixed once the experiment has started");
        }
        // A unit's values are remembered by the places of their dimensions.
        let known = &self.definition.dimensions;
        if !definition.dimensions.starts_with(known) {
            let known = known.join(", ");
            let problem = "once the experiment has started, dimensions may only be added";
            bad.add("dimensions", format!("must start with {known}: {problem}"));
        }
        bad.into_result(())
    }

    fn next_iteration(
        last: &Iteration,
        definition: &Definition,
        now: Timestamp,
    ) -> Result<Iteration, Violations> {
        let kept: Vec<Option<usize>> =
            definition.variants.iter().map(|v| last.variant_index(v.id.as_str())).collect();
        let weights = definition.weights();
        let split = if last.bucketing == definition.bucketing {
            last.split
                .rebalanced(&weights, definition.control(), &kept)
                .map_err(|too_steep| Violations::of("variants", too_steep))?
        } else {
            Split::initial(&weights, definition.control())
        };
        Ok(Iteration::open(last.number + 1, definition, split, last.layout, now))
    }

    fn touched(&self, now: Timestamp) -> Self {
        Self { updated: now, revision: Revision(self.revision.0 + 1), ..self.clone() }
    }

    /// Draft or paused to running; nothing changes when it runs already.
    ///
    /// # Errors
    /// [`InvalidTransition`] from any other state.
    pub fn start(&self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self.state {
            State::Running => Ok(self.clone()),
            State::Draft | State::Paused => Ok(Self {
                state: State::Running,
                started: self.started.or(Some(now)),
                ..self.touched(now)
            }),
            State::Concluded | State::Archived => Err(self.refuse(State::Running)),
        }
    }

    /// Running to paused; nothing changes when it is paused already.
    ///
    /// # Errors
    /// [`InvalidTransition`] from any other state.
    pub fn pause(&self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self.state {
            State::Paused => Ok(self.clone()),
            State::Running => Ok(Self { state: State::Paused, ..self.touched(now) }),
            State::Draft | State::Concluded | State::Archived => Err(self.refuse(State::Paused)),
        }
    }

    /// Running or paused to concluded; nothing changes when it is concluded with that winner.
    ///
    /// # Errors
    /// [`InvalidTransition`] from any other state, or with another winner than before.
    pub fn conclude(
        &self,
        winner: Option<VariantId>,
        now: Timestamp,
    ) -> Result<Self, InvalidTransition> {
        match self.state {
            State::Concluded if winner == self.winner => Ok(self.clone()),
            State::Running | State::Paused => Ok(Self {
                state: State::Concluded,
                winner,
                concluded: Some(now),
                ..self.touched(now)
            }),
            State::Draft | State::Concluded | State::Archived => Err(self.refuse(State::Concluded)),
        }
    }

    /// Draft or concluded to archived; nothing changes when it is archived already.
    ///
    /// # Errors
    /// [`InvalidTransition`] from any other state.
    pub fn archive(&self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self.state {
            State::Archived => Ok(self.clone()),
            State::Draft | State::Concluded => {
                Ok(Self { state: State::Archived, ..self.touched(now) })
            }
            State::Running | State::Paused => Err(self.refuse(State::Archived)),
        }
    }

    /// Whether it may be deleted: only drafts and archived experiments.
    #[must_use]
    pub fn is_deletable(&self) -> bool {
        matches!(self.state, State::Draft | State::Archived)
    }

    fn refuse(&self, to: State) -> InvalidTransition {
        InvalidTransition { from: self.state, to }
    }
}

impl Iteration {
    fn open(
        number: u32,
        definition: &Definition,
        split: Split,
        layout: Layout,
        now: Timestamp,
    ) -> Self {
        Self {
            number,
            variants: definition.variants.iter().map(|variant| variant.id.clone()).collect(),
            split,
            bucketing: definition.bucketing.clone(),
            enrolment: definition.enrolment,
            eligibility: definition.eligibility.clone(),
            layer: definition.layer.clone(),
            layout,
            opened: now,
        }
    }
}

impl Definition {
    /// Whether another definition would show somebody something else, or somebody else
    /// something: such a change biases every comparison across it.
    fn design_differs(&self, other: &Self) -> bool {
        // Another payload is another treatment: two models pooled in one arm compare nothing.
        let arm = |v: &Variant| (v.id.clone(), v.weight, v.control, v.value.clone());
        let arms = |definition: &Self| definition.variants.iter().map(arm).collect::<Vec<_>>();
        arms(self) != arms(other)
            || self.bucketing != other.bucketing
            || self.enrolment != other.enrolment
            || self.eligibility != other.eligibility
            || self.layer != other.layer
    }

    /// Advice on a definition that is valid and yet may disappoint.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match (self.analysis.planned_units, self.analysis.method) {
            (Some(_), _) => {}
            (None, Method::Sequential) => warnings.push(
                "analysis.planned_units is not set: there is no progress to report, and an \
                 open-ended sequential test needs about half as many units again as a planned one"
                    .to_owned(),
            ),
            (None, Method::FixedHorizon) => warnings.push(
                "analysis.planned_units is not set: a fixed-horizon test is valid for one look at \
                 a sample size that was fixed before the start"
                    .to_owned(),
            ),
        }
        if !self.telemetry_project.is_empty() {
            warnings.push("telemetry is stored, but this release does not use it yet".to_owned());
        }
        let retired = self.variants.iter().filter(|variant| variant.weight == 0);
        warnings.extend(retired.map(|variant| format!("variant '{}' gets nobody", variant.id)));
        warnings
    }

    /// Top-level fields of the contract in which the two differ.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs = [
            ("display_name", self.display_name != other.display_name),
            ("description", self.description != other.description),
            ("owner", self.owner != other.owner),
            ("labels", self.labels != other.labels),
            ("variants", self.variants != other.variants),
            ("bucketing", self.bucketing != other.bucketing),
            ("enrolment_basis_points", self.enrolment != other.enrolment),
            ("eligibility", self.eligibility != other.eligibility),
            ("layer", self.layer != other.layer),
            ("overrides", self.overrides != other.overrides),
            ("metrics", self.metrics != other.metrics),
            ("analysis", self.analysis != other.analysis),
            ("dimensions", self.dimensions != other.dimensions),
            ("telemetry", self.telemetry_project != other.telemetry_project),
            ("planned_end_time", self.planned_end != other.planned_end),
        ];
        pairs.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
    }
}
