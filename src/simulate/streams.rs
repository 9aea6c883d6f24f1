//! Streams on all processors, the same whatever their number: streams run in chunks, and every chunk has random numbers
//! of its own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::SimulateError;

/// Streams per chunk.
const CHUNK: usize = 50;

/// What is simulated: how often, with which random numbers.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) title: &'a str,
    pub(super) streams: usize,
    pub(super) seed: u64,
    /// Number of the row: its random numbers are its own.
    pub(super) row: u64,
}

/// Runs `chunk(streams, bits)` until all streams are done; answers the results in the order of chunks.
pub(super) fn run<T: Send>(
    plan: Plan<'_>,
    chunk: impl Fn(usize, &mut dyn FnMut() -> u64) -> Result<T, SimulateError> + Sync,
) -> Result<Vec<T>, SimulateError> {
    let chunks = plan.streams.div_ceil(CHUNK);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(chunks)));
    let bar = progress(&plan);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let streams = CHUNK.min(plan.streams.saturating_sub(number * CHUNK));
            if streams == 0 {
                return;
            }
            let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
            random.set_stream((plan.row << 32) | u64::try_from(number).unwrap_or_default());
            let result = chunk(streams, &mut || random.next_u64());
            bar.inc(u64::try_from(streams).unwrap_or_default());
            if let Ok(mut done) = done.lock() {
                done.push((number, result));
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(chunks);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let mut results = done.into_inner().unwrap_or_default();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

fn progress(plan: &Plan<'_>) -> ProgressBar {
    let length = u64::try_from(plan.streams).unwrap_or_default();
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg:44} {wide_bar} {pos}/{len} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(plan.title.to_owned());
    bar
}
