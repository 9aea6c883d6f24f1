//! Where simulated outcomes come from, and the populations of the calibration table.

/// A source of 64 random bits as a source of random variates.
pub struct Noise<'a> {
    bits: &'a mut dyn FnMut() -> u64,
    spare: Option<f64>,
}

impl std::fmt::Debug for Noise<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Noise").field("spare", &self.spare).finish_non_exhaustive()
    }
}

impl<'a> Noise<'a> {
    /// From a source of uniform 64-bit numbers.
    pub fn new(bits: &'a mut dyn FnMut() -> u64) -> Self {
        Self { bits, spare: None }
    }

    /// Two independent uniform variates in `(0, 1)`, of 32 bits each.
    fn uniforms(&mut self) -> (f64, f64) {
        let bits = (self.bits)();
        let uniform = |half: u64| {
            (f64::from(u32::try_from(half & 0xffff_ffff).unwrap_or_default()) + 0.5)
                / 4_294_967_296.0
        };
        (uniform(bits >> 32), uniform(bits))
    }

    /// Whether an event of that probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.uniforms().0 < probability
    }

    /// A whole number below `limit`, which is positive and below 2^32.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let product = ((self.bits)() >> 32).saturating_mul(limit) >> 32;
        usize::try_from(product).unwrap_or_default()
    }

    /// A standard normal variate (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (radius, angle) = self.uniforms();
        let radius = (-2.0 * radius.ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * angle).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

/// The distribution of single outcomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcomes {
    /// One with this probability, else zero.
    Bernoulli(f64),
    /// `e^(σz)`.
    LogNormal {
        /// `σ`.
        sigma: f64,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        deviation: f64,
    },
}

impl Outcomes {
    /// The true mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Bernoulli(probability) => probability,
            Self::LogNormal { sigma } => (0.5 * sigma * sigma).exp(),
            Self::Normal { mean, .. } => mean,
        }
    }

    /// An outcome of a unit with its standard normal inclination: a share `icc` of the latent variance is the unit's.
    ///
    /// Bernoulli outcomes have no latent variable here and ignore the unit.
    pub fn draw(&self, noise: &mut Noise<'_>, inclination: f64, icc: f64) -> f64 {
        if let Self::Bernoulli(probability) = *self {
            return f64::from(u8::from(noise.happens(probability)));
        }
        let own = noise.normal();
        let z = if icc > 0.0 { icc.sqrt() * inclination + (1.0 - icc).sqrt() * own } else { own };
        match *self {
            Self::Bernoulli(_) => 0.0,
            Self::LogNormal { sigma } => (sigma * z).exp(),
            Self::Normal { mean, deviation } => mean + deviation * z,
        }
    }
}

/// Two arms without a difference of means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// For the table.
    pub name: &'static str,
    /// Outcomes of control.
    pub control: Outcomes,
    /// Outcomes of treatment.
    pub treatment: Outcomes,
    /// Share of units in treatment.
    pub treatment_share: f64,
}

const fn alike(name: &'static str, outcomes: Outcomes, treatment_share: f64) -> Population {
    Population { name, control: outcomes, treatment: outcomes, treatment_share }
}

const fn spread(name: &'static str, control: f64, treatment: f64) -> Population {
    Population {
        name,
        control: Outcomes::Normal { mean: 0.0, deviation: control },
        treatment: Outcomes::Normal { mean: 0.0, deviation: treatment },
        treatment_share: 0.2,
    }
}

/// The eleven populations of the calibration table.
///
/// Nine are those that the reference (sections 5.1 and 5.2) names; the last two, rare events and
/// heavy tails at 95/5, complete its count of eleven at the corner that is hardest.
pub const POPULATIONS: [Population; 11] = [
    alike("bernoulli 0.75, 50/50", Outcomes::Bernoulli(0.75), 0.5),
    alike("lognormal sigma 1, 50/50", Outcomes::LogNormal { sigma: 1.0 }, 0.5),
    alike("bernoulli 0.02, 50/50", Outcomes::Bernoulli(0.02), 0.5),
    alike("bernoulli 0.75, 80/20", Outcomes::Bernoulli(0.75), 0.2),
    alike("lognormal sigma 1, 80/20", Outcomes::LogNormal { sigma: 1.0 }, 0.2),
    alike("bernoulli 0.02, 80/20", Outcomes::Bernoulli(0.02), 0.2),
    alike("lognormal sigma 1.5, 80/20", Outcomes::LogNormal { sigma: 1.5 }, 0.2),
    spread("normal sd 1 against 3, 80/20", 1.0, 3.0),
    spread("normal sd 3 against 1, 80/20", 3.0, 1.0),
    alike("lognormal sigma 1, 95/5", Outcomes::LogNormal { sigma: 1.0 }, 0.05),
    alike("bernoulli 0.02, 95/5", Outcomes::Bernoulli(0.02), 0.05),
];
