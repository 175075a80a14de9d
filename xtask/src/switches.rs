//! `cargo xtask switches`: how long a switch takes behind each router, as a table in Markdown.
//!
//! The figures are those of the end to end tests of strategies, which tell them line by line; it measures
//! nothing itself. They hold for a debug build beside the tests' own users.

use crate::step::{Outcome, Workshop};

/// What a line of the table begins with.
const MARK: &str = "switch | ";

const HEAD: &str = "\
| strategy | router | command to last old answer | both versions answered for |
|---|---|---|---|";

const TESTS: [&str; 2] = [
    "strategies::blue_green_costs_nothing_behind_any_router",
    "strategies::a_canary_gets_its_share_and_then_everything",
];

/// Runs the tests with every router of the test bed and prints the table to stdout.
pub(crate) fn run(shop: &Workshop) -> Outcome {
    let mut arguments = vec!["test", "-p", "cutover", "--test", "e2e", "--"];
    arguments.extend(["--exact", "--nocapture", "--test-threads=1"]);
    arguments.extend(TESTS);
    let (outcome, said) = shop.cargo_says(&arguments, &[("CUTOVER_FULL", "1")]);
    let rows = rows(&said);
    if outcome != Outcome::Passed || rows.is_empty() {
        eprint!("{said}");
        return Outcome::Failed("the tests did not tell every switch".to_owned());
    }
    println!("{HEAD}");
    for row in rows {
        println!("| {row}");
    }
    Outcome::Passed
}

/// The lines of the table. The first of a test stands behind the test's name.
fn rows(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.split_once(MARK)).map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn rows_are_found_also_behind_the_name_of_a_test() {
        let said = "running 1 test\ntest strategies::one ... switch | blue-green | a | 1 ms | 2 ms |\n\
                    switch | blue-green | b | - | 3 ms |\nok\n";
        let expected = ["blue-green | a | 1 ms | 2 ms |", "blue-green | b | - | 3 ms |"];
        assert_eq!(rows(said), expected);
    }
}
