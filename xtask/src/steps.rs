//! `cargo xtask test`: the steps, in the order from cheap to dear, and their summary.
//!
//! Does not decide what a law is (see `tidy`) nor how a process is run (see `step`).

use std::process;
use std::thread;
use std::time::{Duration, Instant};

use crate::asides;
use crate::leftover;
use crate::step::{Outcome, Step, Workshop};
use crate::testbed;
use crate::tidy;

const STEPS: [Step; 8] = [
    Step { name: "fmt", run: |shop| shop.cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", run: |shop| tidy::run(&shop.root) },
    Step { name: "deny", run: deny },
    Step { name: "clippy", run: clippy },
    Step { name: "docs", run: docs },
    Step { name: "build", run: |shop| shop.cargo(&["test", "--workspace", "--no-run"]) },
    Step { name: "testbed", run: servers },
    Step { name: "tests", run: tests },
];

/// Only with `--full`: a release build takes as long as everything else before the tests.
const DEMO: Step = Step { name: "demo", run: demo };

/// Environment variable that marks every process the tests start.
const MARK: &str = "CUTOVER_TEST_RUN";

/// Runs every step and prints the summary; true when none failed.
pub(crate) fn run_all(shop: &Workshop, keep_going: bool) -> bool {
    let began = Instant::now();
    let steps: Vec<&Step> = STEPS.iter().chain(shop.full.then_some(&DEMO)).collect();
    let mut ended: Vec<(&str, Outcome, Duration)> = Vec::new();
    for step in &steps {
        println!("\n=== {} ===", step.name);
        let start = Instant::now();
        let outcome = (step.run)(shop);
        let took = start.elapsed();
        println!("--- {}: {}, {}", step.name, word(&outcome), seconds(took));
        let failed = matches!(outcome, Outcome::Failed(_));
        ended.push((step.name, outcome, took));
        if failed && !keep_going {
            break;
        }
    }
    let total = began.elapsed();
    let passed = summarise(&steps, &ended, total);
    if let Some(words) = too_long(total, shop.full) {
        println!("{words}");
    }
    passed
}

/// What is said of a run that took longer than anybody waits for; whole runs may.
fn too_long(total: Duration, full: bool) -> Option<String> {
    let limit = Duration::from_mins(25);
    (total > limit && !full).then(|| {
        format!(
            "\nTOO LONG: it may take {} on two cores that have nothing else to do",
            seconds(limit)
        )
    })
}

fn summarise(steps: &[&Step], ended: &[(&str, Outcome, Duration)], total: Duration) -> bool {
    println!("\n=== summary ===");
    for (name, outcome, took) in ended {
        let why = match outcome {
            Outcome::Passed => "",
            Outcome::Failed(why) | Outcome::Skipped(why) => why,
        };
        println!("{:8} {:7} {:>9}  {why}", word(outcome), name, seconds(*took));
    }
    for step in &steps[ended.len()..] {
        println!("{:8} {}", "not run", step.name);
    }
    let named = |wanted: fn(&Outcome) -> bool| {
        let names: Vec<&str> =
            ended.iter().filter(|(_, o, _)| wanted(o)).map(|(n, _, _)| *n).collect();
        names.join(", ")
    };
    let failed = named(|o| matches!(o, Outcome::Failed(_)));
    let skipped = named(|o| matches!(o, Outcome::Skipped(_)));
    if !failed.is_empty() {
        println!("\nFAILED after {}: {failed}", seconds(total));
    } else if skipped.is_empty() {
        println!("\nall passed in {}", seconds(total));
    } else {
        println!("\npassed in {}, but SKIPPED: {skipped}", seconds(total));
    }
    failed.is_empty()
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "ok",
        Outcome::Failed(_) => "FAILED",
        Outcome::Skipped(_) => "SKIPPED",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn clippy(shop: &Workshop) -> Outcome {
    shop.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn docs(shop: &Workshop) -> Outcome {
    let strict = [("RUSTDOCFLAGS", "-D warnings")];
    shop.cargo_with(&["doc", "--workspace", "--no-deps"], &strict)
}

/// The README's first command, word for word and with two instances of each version.
fn demo(shop: &Workshop) -> Outcome {
    let words = ["run", "--release", "--", "demo", "--out", "target/demo", "--instances"];
    let outcomes = ["1", "2"].map(|instances| shop.cargo(&[&words[..], &[instances]].concat()));
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    outcomes.into_iter().find(failed).unwrap_or(Outcome::Passed)
}

/// Everything but advisories, whose database comes from the network (see the CI workflow).
fn deny(shop: &Workshop) -> Outcome {
    if shop.has_subcommand("deny") {
        return shop.cargo(&["deny", "check", "bans", "licenses", "sources"]);
    }
    let why = "skipped: cargo-deny is not installed (cargo install --locked cargo-deny)";
    println!("!!! {why}");
    Outcome::Skipped(why.to_owned())
}

/// The real servers that tests ask for.
fn servers(shop: &Workshop) -> Outcome {
    testbed::run(shop, |line| println!("{line}"))
}

/// A call of `cargo test --workspace`: its targets, and how many tests of one binary run at a time (none:
/// as many as there are cores).
type Call = (&'static [&'static str], Option<&'static str>);

/// The calls of a run, round by round; those of one round run at once. The drivers' tests wait for real
/// servers most of the time, so the others run beside them. The end to end tests take turns (`turn` and
/// `beside` in their `world.rs`); each has a thread to wait on, so that none keeps out another. Of the examples only
/// that of the canary has tests: what it compares with has known answers.
const ROUNDS: [&[Call]; 3] = [
    &[
        (&["--lib", "--bins", "--test", "[!e]*", "--example", "canary"], None),
        (&["--test", "engines"], None),
    ],
    &[(&["--test", "e2e"], Some("200"))],
    &[(&["--doc"], None)],
];

/// What the tests of one run are told.
#[derive(Clone, Copy)]
struct Run<'a> {
    /// Marks every process that they start.
    mark: &'a str,
    /// File for what they have to say although they pass.
    asides: &'a str,
}

/// The tests were built before, so every process that carries the mark is one that a test started;
/// one that is still there afterwards was forgotten.
fn tests(shop: &Workshop) -> Outcome {
    let mark = process::id().to_string();
    let asides = match asides::begin(&shop.root, &mark) {
        Ok(path) => path,
        Err(why) => return Outcome::Failed(why),
    };
    let run = Run { mark: &mark, asides: &asides.to_string_lossy() };
    let failed: Vec<String> = ROUNDS
        .iter()
        .flat_map(|round| run_round(shop, run, round))
        .filter_map(|outcome| match outcome {
            Outcome::Failed(why) => Some(why),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
        .collect();
    let said = asides::end(&asides);
    if !said.is_empty() {
        println!("\nWhat tests that passed had to say:\n{said}");
    }
    let forgotten = leftover::end_marked(MARK, &mark);
    if !failed.is_empty() {
        return Outcome::Failed(failed.join("; "));
    }
    if forgotten.is_empty() {
        return Outcome::Passed;
    }
    Outcome::Failed(format!("tests left processes running: {}", forgotten.join("; ")))
}

/// Runs the calls of one round at once. What the first one says is seen as it is said, what the others say
/// when they have ended: lines of two runs among each other tell nobody anything.
fn run_round(shop: &Workshop, run: Run<'_>, round: &[Call]) -> Vec<Outcome> {
    let Some(((targets, threads), others)) = round.split_first() else { return Vec::new() };
    thread::scope(|scope| {
        let others: Vec<_> = others
            .iter()
            .map(|(targets, threads)| scope.spawn(|| hear_tests(shop, run, targets, *threads)))
            .collect();
        let mut outcomes = vec![run_tests(shop, run, targets, *threads)];
        for other in others {
            let ended = other.join();
            outcomes.push(ended.unwrap_or_else(|_| Outcome::Failed("a round fell over".into())));
        }
        outcomes
    })
}

fn run_tests(shop: &Workshop, run: Run<'_>, targets: &[&str], threads: Option<&str>) -> Outcome {
    shop.cargo_with(&test_words(targets), &test_environment(shop, run, threads))
}

/// [`run_tests`], with everything it says kept until it has ended.
fn hear_tests(shop: &Workshop, run: Run<'_>, targets: &[&str], threads: Option<&str>) -> Outcome {
    let words = test_words(targets);
    let (outcome, said) = shop.cargo_says(&words, &test_environment(shop, run, threads));
    println!("   $ cargo {} (beside the others)\n{said}", words.join(" "));
    outcome
}

fn test_words<'a>(targets: &[&'a str]) -> Vec<&'a str> {
    [&["test", "--workspace", "--no-fail-fast"], targets].concat()
}

fn test_environment<'a>(
    shop: &Workshop,
    run: Run<'a>,
    threads: Option<&'a str>,
) -> Vec<(&'static str, &'a str)> {
    let mut environment = vec![(MARK, run.mark), (asides::FILE, run.asides)];
    if shop.full {
        environment.push(("CUTOVER_FULL", "1"));
    }
    environment.extend(threads.map(|count| ("RUST_TEST_THREADS", count)));
    environment
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::too_long;

    #[test]
    fn a_run_that_nobody_waits_for_is_told_and_a_whole_one_may_last() {
        let (short, long) = (Duration::from_mins(25), Duration::from_secs(1_501));
        assert_eq!((too_long(short, false), too_long(long, true)), (None, None));
        assert!(too_long(long, false).is_some_and(|words| words.contains("TOO LONG")));
    }

    #[test]
    fn no_test_target_falls_between_the_calls() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates");
        for name in std::fs::read_dir(crates).unwrap() {
            let Ok(targets) = std::fs::read_dir(name.unwrap().path().join("tests")) else {
                continue;
            };
            for target in targets {
                let name = target.unwrap().file_name().into_string().unwrap();
                let named = ["e2e", "engines"].contains(&name.as_str());
                assert!(named || !name.starts_with('e'), "{name}: see ROUNDS");
            }
        }
    }
}
