//! Whose outcome comes next.

use super::Scenario;
use super::outcomes::Noise;

/// Units that bring several outcomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clusters {
    /// Units in the population; each outcome is of a random one.
    pub units: usize,
    /// Share of the latent variance that is between units.
    pub icc: f64,
}

/// The event that comes next: whose, and where it is counted.
pub(super) struct Event {
    pub(super) treated: bool,
    pub(super) is_new: bool,
    pub(super) row: usize,
    pub(super) inclination: f64,
}

/// A unit of a clustered population.
struct Unit {
    treated: bool,
    seen: bool,
    row: usize,
    inclination: f64,
}

/// The units of one stream.
pub(super) struct Units {
    treatment_share: f64,
    groups: Option<usize>,
    pub(super) icc: f64,
    population: Vec<Unit>,
}

impl Units {
    pub(super) fn new(scenario: &Scenario, noise: &mut Noise<'_>) -> Self {
        let clusters = scenario.clusters.unwrap_or(Clusters { units: 0, icc: 0.0 });
        let unit = |index: usize| Unit {
            treated: noise.happens(scenario.treatment_share),
            seen: false,
            row: scenario.groups.map_or(index, |groups| noise.below(groups)),
            inclination: noise.normal(),
        };
        Self {
            treatment_share: scenario.treatment_share,
            groups: scenario.groups,
            icc: clusters.icc,
            population: (0..clusters.units).map(unit).collect(),
        }
    }

    /// Rows that an arm keeps between outcomes; none where every outcome is a row of its own.
    pub(super) fn rows(&self) -> usize {
        self.groups.unwrap_or(self.population.len())
    }

    pub(super) fn next(&mut self, noise: &mut Noise<'_>) -> Event {
        if self.population.is_empty() {
            let row = self.groups.map_or(usize::MAX, |groups| noise.below(groups));
            let treated = noise.happens(self.treatment_share);
            return Event { treated, is_new: true, row, inclination: 0.0 };
        }
        let index = noise.below(self.population.len());
        let Some(unit) = self.population.get_mut(index) else {
            return Event { treated: false, is_new: false, row: 0, inclination: 0.0 };
        };
        let is_new = !std::mem::replace(&mut unit.seen, true);
        Event { treated: unit.treated, is_new, row: unit.row, inclination: unit.inclination }
    }
}
