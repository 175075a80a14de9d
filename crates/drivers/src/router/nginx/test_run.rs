//! Has nginx test its whole configuration, and takes down what it read.
//!
//! It changes nothing that runs.

use std::time::Duration;

use model::{Fault, Kind};
use tokio::process::Command;
use tokio::time::timeout;

use super::setup::Program;
use crate::words::clean;

/// Longest a test may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The whole configuration as nginx reads it (`nginx -T`). A fault of kind `Config` says in the words
/// of nginx why it would not start with it.
pub(super) async fn test(program: &Program) -> Result<String, Fault> {
    let name = program.path.display();
    let mut command = Command::new(&program.path);
    command.arg("-T").arg("-c").arg(&program.config).kill_on_drop(true);
    if let Some(prefix) = &program.prefix {
        command.arg("-p").arg(prefix);
    }
    command.stdin(std::process::Stdio::null());
    let output = match timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Err(Fault::environment(format!("cannot run `{name} -T`: {error}"))
                .help("name the `nginx` of this machine as `program` under [router]"));
        }
        Err(_late) => {
            return Err(Fault::environment(format!("`{name} -T` did not end within 10 s")));
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let what = format!("nginx would refuse `{}`; nothing was changed", program.config.display());
    let said = String::from_utf8_lossy(&output.stderr);
    let reasons = said.lines().filter(|line| line.contains("[emerg]")).take(3);
    // It names the setting that is too small, and not whose names are long.
    let help = if said.contains("hash_bucket_size") {
        "write `variables_hash_bucket_size 128;` and `server_names_hash_bucket_size 128;` into its \
         `http { }`: apps whose name has more than 33 letters need it"
    } else {
        "mend the configuration, then try again"
    };
    let fault = Fault::new(Kind::Config, what).help(help);
    Err(reasons.fold(fault, |fault, line| fault.note(clean(line.as_bytes(), 300))))
}
