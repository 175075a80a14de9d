//! `cargo xtask bench proxy`: what a request and a connection cost, in Cutover's proxy and in others; and
//! `cargo xtask bench probe`: how true the prober is, which stands in `prober`; and
//! `cargo xtask clients`: what clients do at a switch, which stands in `clients`.
//!
//! One client and one instance for all, on one core; each proxy alone on the other, one after the
//! other, round by round. It reads the kernel's accounting, prints tables and judges nothing but the
//! marks that the project has set itself. Not shipped.

mod cases;
mod clients;
mod cores;
mod instance;
mod load;
mod measure;
mod options;
mod peers;
mod prober;
mod process;
mod pump;
mod table;

use std::process::ExitCode;

use options::Options;

/// Whatever went wrong, in words.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["pump", listen, instance] = words[..] {
        return ended(pump::run(listen, instance));
    }
    match words.split_first() {
        Some((&"probe", words)) => return prober::main(words),
        Some((&"clients", words)) => return ended(clients::run(words)),
        Some((&"subject", [order])) => return ended(prober::subject::run(order)),
        Some((&"alone", [task])) => return ended(prober::alone::run(task)),
        _ => {}
    }
    if words.contains(&"--help") {
        print!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    match Options::parse(&words) {
        Ok(options) => ended(bench(&options)),
        Err(sentence) => {
            eprintln!("error: {sentence}\n\n{}", options::USAGE);
            ExitCode::from(2)
        }
    }
}

fn bench(options: &Options) -> Outcome<()> {
    let figures = measure::run(options)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&table::json(&figures))?);
    } else {
        print!("{}", table::markdown(&figures));
    }
    Ok(())
}

fn ended(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
