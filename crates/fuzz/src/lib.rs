//! The harness of the fuzz bodies: runs a property over a corpus and over random changes of it.
//!
//! A body is an ordinary test on the stable toolchain: `fuzz::run(corpus!("heads"), |case| ...)`. It
//! gets bytes and panics when something that must always hold does not. Every case has a seed of its
//! own, which is printed when it fails:
//!
//! | variable | meaning |
//! |---|---|
//! | `CUTOVER_FUZZ_SEED` | run this case alone |
//! | `CUTOVER_FUZZ_MS` | time for random cases of each body, ms (default 300) |
//! | `CUTOVER_FULL` | when set to 1, the default is 10 s |
//!
//! This crate knows no parser and is part of no product. It minimises nothing and measures no coverage.
#![expect(clippy::panic, reason = "part of tests: what cannot be run must fail")]

mod case;
mod mutate;

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

pub use case::Case;
pub use fastrand::Rng;

use mutate::Mutator;

/// A case that takes longer than this does not end.
const ENDLESS: Duration = Duration::from_secs(20);
/// Random cases that are run however slow the machine is.
const AT_LEAST: u64 = 64;

/// What is fed to a body.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Directory of the corpus; every file in it is one input.
    pub corpus: &'static str,
    /// Words that mean something in this language.
    pub words: &'static [&'static str],
    /// Longest input, bytes.
    pub most: usize,
}

impl Target {
    /// The same with words of its own.
    #[must_use]
    pub const fn words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    /// The same with another limit.
    #[must_use]
    pub const fn most(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// The corpus of this name, under `tests/corpus` of the crate that says it.
#[macro_export]
macro_rules! corpus {
    ($name:literal) => {
        $crate::Target {
            corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/", $name),
            words: &[],
            most: 4096,
        }
    };
}

/// Runs `body` over every input of the corpus and then over random changes of them until its time is
/// over. Gives the number of cases.
///
/// # Panics
/// As `body` does, after the case's seed and input were printed; when a case does not end; when there
/// is no corpus.
pub fn run(target: Target, body: fn(&mut Case)) -> u64 {
    let corpus = read(target.corpus);
    let only = number("CUTOVER_FUZZ_SEED");
    let full = std::env::var("CUTOVER_FULL").is_ok_and(|value| value == "1");
    let time = number("CUTOVER_FUZZ_MS").unwrap_or(if full { 10_000 } else { 300 });
    let started = Arc::new(AtomicU64::new(0));
    let (tell, told) = channel();
    let work = Work { target, corpus, body, started: Arc::clone(&started) };
    std::thread::spawn(move || {
        // Nobody listens any more when a case was taken for endless.
        let _ = tell.send(work.all(only, Duration::from_millis(time)));
    });
    let mut last = 0;
    let mut since = Instant::now();
    loop {
        match told.recv_timeout(Duration::from_millis(500)) {
            Ok(Ok(cases)) => return cases,
            Ok(Err(failure)) => resume_unwind(failure),
            Err(RecvTimeoutError::Disconnected) => panic!("the thread of the cases is gone"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = started.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < ENDLESS,
            "{}: case {now} does not end; CUTOVER_FUZZ_SEED={now} runs it alone",
            target.corpus
        );
    }
}

/// The inputs of a corpus, in the order of their names.
fn read(directory: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(Path::new(directory))
        .unwrap_or_else(|error| panic!("no corpus in {directory}: {error}"));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let inputs: Vec<_> = paths.iter().filter_map(|path| fs::read(path).ok()).collect();
    assert!(!inputs.is_empty(), "the corpus in {directory} is empty");
    inputs
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is not a number")))
}

type Failure = Box<dyn Any + Send>;

/// Everything a run of cases needs.
struct Work {
    target: Target,
    corpus: Vec<Vec<u8>>,
    body: fn(&mut Case),
    started: Arc<AtomicU64>,
}

impl Work {
    fn all(&self, only: Option<u64>, time: Duration) -> Result<u64, Failure> {
        if let Some(seed) = only {
            return self.one(seed).map(|()| 1);
        }
        // The inputs as they are have the first seeds.
        let whole = self.corpus.len() as u64;
        (0..whole).try_for_each(|seed| self.one(seed))?;
        let began = Instant::now();
        let base = fastrand::u64(whole..u64::MAX / 2);
        let mut count = 0;
        while count < AT_LEAST || began.elapsed() < time {
            self.one(base + count)?;
            count += 1;
        }
        Ok(whole + count)
    }

    fn one(&self, seed: u64) -> Result<(), Failure> {
        self.started.store(seed, Ordering::Relaxed);
        let mut random = Rng::with_seed(seed);
        let given = usize::try_from(seed).ok().and_then(|at| self.corpus.get(at));
        let bytes = match given {
            Some(input) => input.clone(),
            None => Mutator { target: self.target, corpus: &self.corpus }.input(&mut random),
        };
        let mut case = Case { bytes, random };
        let failure = catch_unwind(AssertUnwindSafe(|| (self.body)(&mut case))).err();
        failure.map_or(Ok(()), |failure| {
            let shown = &case.bytes[..case.bytes.len().min(2048)];
            eprintln!(
                "{}: CUTOVER_FUZZ_SEED={seed} runs this case alone; {} bytes: \"{}\"",
                self.target.corpus,
                case.bytes.len(),
                shown.escape_ascii()
            );
            Err(failure)
        })
    }
}
