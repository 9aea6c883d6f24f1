//! People who talk to a support bot. Pure: a user's dialogs are a function of the seed, the number
//! of the user and the variant that served them.
//!
//! Every user has a disposition that all their dialogs share, so the dialogs of one user are alike
//! and an honest test must count users. Completion is a probit with a latent intraclass
//! correlation of 0.4, which makes about 0.25 on the observed zeros and ones: measured in the
//! tests below. Both variants draw the same numbers and read them differently, so what a user
//! would have met under the other variant is defined, too.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Share of the latent variance that belongs to the user and not to the dialog.
const SHARED: f64 = 0.4;
/// Probability that a user comes back after a dialog: 1.6 dialogs per user.
const RETURN: f64 = 0.375;
/// Share of dialogs that are rated.
const RATED: f64 = 0.35;
/// Spread of the logarithm of latency: two thirds of all answers lie within a factor of 1.35.
const LATENCY_SPREAD: f64 = 0.30;

/// Which bot serves the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arm {
    /// The bot in production.
    Control,
    /// The one on trial.
    Treatment,
}

/// What is true of a bot: what the test should find out.
struct Truth {
    completed: f64,
    /// Rating of a completed task, before it is rounded and cut to 1 to 5.
    satisfaction: f64,
    turns: f64,
    latency_median: f64,
}

const CONTROL: Truth =
    Truth { completed: 0.71, satisfaction: 4.05, turns: 6.4, latency_median: 1.90 };
/// Seven points more tasks completed, at 9 % more latency.
const TREATMENT: Truth =
    Truth { completed: 0.78, satisfaction: 4.15, turns: 5.9, latency_median: 2.071 };

/// One dialog.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dialog {
    pub(super) completed: bool,
    /// 1 to 5, where the user rated it.
    pub(super) csat: Option<f64>,
    pub(super) escalated: bool,
    pub(super) turns: f64,
    /// Seconds to the first answer.
    pub(super) latency: f64,
}

impl Dialog {
    /// As the values of an outcome. Latency goes to two metrics: its mean and its p95.
    pub(super) fn values(&self) -> HashMap<String, f64> {
        let mut values = HashMap::from([
            ("task_completed".to_owned(), f64::from(u8::from(self.completed))),
            ("escalated".to_owned(), f64::from(u8::from(self.escalated))),
            ("turns".to_owned(), self.turns),
            ("latency".to_owned(), self.latency),
            ("latency_p95".to_owned(), self.latency),
        ]);
        values.extend(self.csat.map(|csat| ("csat".to_owned(), csat)));
        values
    }
}

/// A world of users.
#[derive(Debug)]
pub(super) struct Simulation {
    seed: u64,
}

impl Simulation {
    /// The world of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// All dialogs of one user, at least one.
    pub(super) fn dialogs(&self, user: u32, arm: Arm) -> Vec<Dialog> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        // A stream per user: the order in which users are asked for changes nothing.
        rng.set_stream(u64::from(user));
        let truth = match arm {
            Arm::Control => CONTROL,
            Arm::Treatment => TREATMENT,
        };
        let disposition = normal(&mut rng);
        let mut dialogs = vec![dialog(&mut rng, disposition, &truth)];
        while rng.random::<f64>() < RETURN {
            dialogs.push(dialog(&mut rng, disposition, &truth));
        }
        dialogs
    }
}

/// One dialog. Draws the same count of numbers whatever comes out, so that the variants stay
/// comparable user by user.
fn dialog(rng: &mut ChaCha8Rng, disposition: f64, truth: &Truth) -> Dialog {
    let ease = latent(rng, disposition);
    let completed = probability_below(ease) > 1.0 - truth.completed;
    let mood = latent(rng, disposition);
    let disappointed = if completed { 0.0 } else { 0.8 };
    let rating = (truth.satisfaction + mood - disappointed).round().clamp(1.0, 5.0);
    let rated = rng.random::<f64>() < RATED;
    let escalation = if completed { 0.03 } else { 0.38 };
    let escalated = rng.random::<f64>() < escalation;
    let length = libm::exp(0.35 * latent(rng, -disposition) - 0.06);
    let latency = truth.latency_median * libm::exp(LATENCY_SPREAD * latent(rng, 0.0));
    Dialog {
        completed,
        csat: rated.then_some(rating),
        escalated,
        turns: (truth.turns * length).round().max(1.0),
        // Milliseconds, as a tracer would report it.
        latency: (latency * 1e3).round() / 1e3,
    }
}

/// A standard normal that shares part of its variance with the user's disposition.
fn latent(rng: &mut ChaCha8Rng, disposition: f64) -> f64 {
    SHARED.sqrt() * disposition + (1.0 - SHARED).sqrt() * normal(rng)
}

/// Box and Muller's transform, cosine half.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - rng.random::<f64>())).sqrt();
    radius * libm::cos(std::f64::consts::TAU * rng.random::<f64>())
}

/// The standard normal distribution function.
fn probability_below(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::figures::float;

    const USERS: u32 = 20_000;

    fn everyone(arm: Arm) -> Vec<Vec<Dialog>> {
        let simulation = Simulation::new(7);
        (0..USERS).map(|user| simulation.dialogs(user, arm)).collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let (count, sum) = values.fold((0_i64, 0.0), |(n, sum), value| (n + 1, sum + value));
        sum / float(count)
    }

    fn rate(users: &[Vec<Dialog>], hit: fn(&Dialog) -> bool) -> f64 {
        mean(users.iter().flatten().map(|dialog| f64::from(u8::from(hit(dialog)))))
    }

    #[test]
    fn a_seed_fixes_everything_and_another_changes_it() {
        let one = Simulation::new(7).dialogs(42, Arm::Treatment);
        assert_eq!(one, Simulation::new(7).dialogs(42, Arm::Treatment));
        assert_ne!(one, Simulation::new(8).dialogs(42, Arm::Treatment));
        assert_ne!(one, Simulation::new(7).dialogs(43, Arm::Treatment));
    }

    #[test]
    fn the_truth_is_what_was_set() {
        let (control, treatment) = (everyone(Arm::Control), everyone(Arm::Treatment));
        let dialogs = mean(control.iter().map(|dialogs| float(dialogs.len().try_into().unwrap())));
        assert!((dialogs - 1.6).abs() < 0.02, "{dialogs}");
        let completed = |users: &[Vec<Dialog>]| rate(users, |dialog| dialog.completed);
        assert!((completed(&control) - 0.71).abs() < 0.01);
        assert!((completed(&treatment) - 0.78).abs() < 0.01);
        let latency = |users: &[Vec<Dialog>]| mean(users.iter().flatten().map(|d| d.latency));
        assert!((latency(&treatment) / latency(&control) - 1.09).abs() < 0.001);
        let escalated = |users: &[Vec<Dialog>]| rate(users, |dialog| dialog.escalated);
        assert!(escalated(&treatment) < escalated(&control));
        let rated = rate(&control, |dialog| dialog.csat.is_some());
        assert!((rated - RATED).abs() < 0.01, "{rated}");
    }

    /// Correlation of the first two dialogs of the users who had two.
    #[test]
    fn dialogs_of_a_user_are_alike() {
        let users = everyone(Arm::Control);
        let pairs: Vec<[f64; 2]> = users
            .iter()
            .filter(|dialogs| dialogs.len() > 1)
            .map(|d| [d[0].completed, d[1].completed].map(|hit| f64::from(u8::from(hit))))
            .collect();
        let center = mean(pairs.iter().flatten().copied());
        let together = mean(pairs.iter().map(|[a, b]| (a - center) * (b - center)));
        let correlation = together / (center * (1.0 - center));
        assert!((0.2..0.3).contains(&correlation), "{correlation}");
    }

    #[test]
    fn values_lie_in_their_domains() {
        for dialog in everyone(Arm::Treatment).iter().flatten() {
            assert!(dialog.turns >= 1.0 && dialog.latency > 0.0);
            assert!(dialog.csat.is_none_or(|csat| (1.0..=5.0).contains(&csat)));
            assert_eq!(dialog.values().len(), 5 + usize::from(dialog.csat.is_some()));
        }
    }
}
