//! `cargo xtask races`: what the races of the catalogue cost behind Cutover's proxy and behind others.
//!
//! Each scenario does one task of an operator (ship a version, reload, stop an instance) by the proxy's
//! own usual means while raw clients send, and counts what was sent and what was lost. It judges nothing.
//! Not shipped.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot go on must end")]

mod client;
mod identity;
mod inbox;
mod instance;
mod names;
mod peers;
mod scenarios;
mod secure;
mod seen;
mod taken;
mod users;
mod waits;
mod world;

use std::path::PathBuf;

use peers::{NAMES, Peer};
use scenarios::SCENARIOS;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, admin] = &words[..]
        && word == "proxy"
    {
        return peers::cutover::serve(PathBuf::from(admin));
    }
    let testbed = PathBuf::from("target/testbed").canonicalize().unwrap_or_default();
    // `R13` names a race, everything else peers.
    let (races, peers): (Vec<_>, Vec<_>) =
        words.iter().map(String::as_str).partition(|word| word.starts_with('R'));
    let wanted = |name: &str| peers.is_empty() || peers.iter().any(|word| name.starts_with(*word));
    let mut names = Vec::new();
    let mut about = Vec::new();
    for name in NAMES.into_iter().filter(|name| wanted(name)) {
        match Peer::version(name, &testbed) {
            Ok(version) => {
                names.push(name);
                about.push(format!("{name}: {version}"));
            }
            Err(why) => about.push(format!("{name} is missing: {why}")),
        }
    }
    println!("| race | what is done | {} |", names.join(" | "));
    println!("|---|---|{}", "--:|".repeat(names.len()));
    let asked = |race: &str| races.is_empty() || race.split(", ").any(|one| races.contains(&one));
    for scenario in SCENARIOS.iter().filter(|scenario| asked(scenario.race)) {
        let cells: Vec<String> = names
            .iter()
            .map(|name| {
                eprintln!("{} {name}", scenario.race);
                (scenario.run)(name, &testbed).to_string()
            })
            .collect();
        println!("| {} | {} | {} |", scenario.race, scenario.words, cells.join(" | "));
    }
    println!("\nLost of sent. {}", about.join("; "));
}
