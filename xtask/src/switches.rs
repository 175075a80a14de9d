//! `cargo xtask switches`: how long a switch takes behind each router, as a table in Markdown.
//!
//! The figures are those of the end to end tests of strategies, which tell them line by line; it measures
//! nothing itself. They hold for a debug build beside the tests' own users, on a machine that does nothing else:
//! the tests excuse no late answer then. What was told before a test failed is printed, too.

use std::time::Instant;

use crate::step::{Outcome, Workshop};

/// What a line of the table begins with.
const MARK: &str = "switch | ";

const HEAD: &str = "\
| strategy | router | command to last old answer | both versions answered for |
|---|---|---|---|";

const TESTS: [&str; 3] = [
    "strategies::blue_green_costs_nothing_behind_any_router",
    "strategies::a_canary_gets_its_share_and_then_everything",
    "target::a_target_sees_every_request_answered_by_the_candidate",
];

/// How strategies and routers begin in the table; there is a row of each strategy behind each router.
const STRATEGIES: [&str; 3] = ["blue-green", "canary", "header-targeted"];
const ROUTERS: [&str; 4] = ["own proxy", "HAProxy", "nginx", "Consul + HAProxy"];

/// Runs the tests with every router of the test bed and prints the table to stdout.
pub(crate) fn run(shop: &Workshop) -> Outcome {
    let built = shop.cargo(&["test", "-p", "cutover", "--test", "e2e", "--no-run"]);
    if built != Outcome::Passed {
        return built;
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let begun = Instant::now();
    let mut arguments = vec!["test", "-p", "cutover", "--test", "e2e", "--"];
    arguments.extend(["--exact", "--nocapture", "--test-threads=1"]);
    arguments.extend(TESTS);
    let (outcome, said) = shop.cargo_says(&arguments, &[("CUTOVER_FULL", "1")]);
    let rows = rows(&said);
    println!("{HEAD}");
    for row in &rows {
        println!("| {row}");
    }
    let took = begun.elapsed().as_secs();
    println!("\nA load of {load} when it began; it took {took} s.");
    if outcome != Outcome::Passed {
        eprint!("{said}");
        return Outcome::Failed("a test failed, and the table is not whole".to_owned());
    }
    match missing(&rows) {
        missing if missing.is_empty() => Outcome::Passed,
        missing => Outcome::Failed(format!(
            "no row of {} (is it in the test bed? cargo xtask testbed)",
            missing.join(", ")
        )),
    }
}

/// The lines of the table, by strategy and router. The first of a test stands behind the test's name.
fn rows(said: &str) -> Vec<&str> {
    let mut rows: Vec<&str> =
        said.lines().filter_map(|line| line.split_once(MARK)).map(|(_, row)| row).collect();
    let place = |all: &[&str], cell: &str| all.iter().position(|one| cell.starts_with(one));
    rows.sort_by_key(|row| {
        let (strategy, router) = cells(row);
        (place(&STRATEGIES, strategy), place(&ROUTERS, router), router)
    });
    rows
}

/// Strategy and router of a row.
fn cells(row: &str) -> (&str, &str) {
    let mut cells = row.split(" | ");
    (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
}

/// What has no row.
fn missing(rows: &[&str]) -> Vec<String> {
    let all = STRATEGIES.iter().flat_map(|strategy| ROUTERS.map(|router| (*strategy, router)));
    let there = |(strategy, router): &(&str, &str)| {
        rows.iter()
            .map(|row| cells(row))
            .any(|(its, whose)| its.starts_with(strategy) && whose.starts_with(router))
    };
    let missing = all.filter(|pair| !there(pair));
    missing.map(|(strategy, router)| format!("{strategy} behind {router}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{missing, rows};

    #[test]
    fn rows_are_found_also_behind_the_name_of_a_test_and_stand_in_order() {
        let said = "running 1 test\ntest strategies::one ... switch | blue-green | nginx 1.30 | 1 ms | 2 ms |\n\
                    switch | canary 25 % | own proxy | - | 3 ms |\nok\n\
                    switch | blue-green | own proxy | - | 3 ms |\nok\n";
        let expected = [
            "blue-green | own proxy | - | 3 ms |",
            "blue-green | nginx 1.30 | 1 ms | 2 ms |",
            "canary 25 % | own proxy | - | 3 ms |",
        ];
        assert_eq!(rows(said), expected);
    }

    #[test]
    fn what_has_no_row_is_named() {
        let all = ["own proxy", "HAProxy 3.2", "nginx 1.30", "Consul + HAProxy"];
        let row = |strategy: &str, router: &str| format!("{strategy} | {router} | - | - |");
        let strategies = ["blue-green", "canary 25 %", "header-targeted, then 25 %"];
        let whole: Vec<String> = strategies
            .iter()
            .flat_map(|strategy| all.map(|router| row(strategy, router)))
            .collect();
        let mut rows: Vec<&str> = whole.iter().map(String::as_str).collect();
        assert!(missing(&rows).is_empty());
        rows.remove(5);
        assert_eq!(missing(&rows), ["canary behind HAProxy"]);
    }
}
