//! `cutover report`: the report of a run that is over, again.
//!
//! It reads what the server wrote at the end of the run, with or without a server. Nothing is judged anew.

use model::{Fault, Kind};
use report::Report;

use crate::cli;
use crate::server::layout::Layout;
use crate::server::run_id::check_run_id;

/// Runs the command.
pub(super) fn report(arguments: &cli::Report) -> Result<u8, Fault> {
    let run = check_run_id(arguments.run.clone())?;
    let config = super::load(&arguments.at)?;
    let layout = Layout::at(&config.state_dir)?;
    let missing = |_| {
        Fault::new(Kind::Usage, format!("there is no report of a run `{run}`")).help(
            "`cutover history` lists runs; reports of the newest are kept (`runs` under [history])",
        )
    };
    let text = std::fs::read_to_string(layout.report(&run, "json")).map_err(missing)?;
    let read: Report = serde_json::from_str(&text)
        .map_err(|e| Fault::internal(format!("the report cannot be read: {e}")))?;
    if arguments.json {
        anstream::println!("{}", text.trim_end());
        return Ok(0);
    }
    anstream::print!("{}", ::report::terminal(&read, super::deploy::style()));
    let file = |extension| layout.report(&run, extension);
    anstream::println!("report  {}  {}", file("html").display(), file("json").display());
    Ok(0)
}
