//! The arguments of commands for routers that are not ours. What they mean is in `commands`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Where;

pub(super) const HAPROXY: &str = "\
Examples:
  cutover haproxy config                    the whole configuration on stdout, each line with its reason
  cutover haproxy install                   write it into the `directory` of [router]
  cutover haproxy check                     ask the HAProxy of cutover.toml what it lacks
  cutover haproxy check /etc/haproxy/*.cfg  read files instead, no server and no cutover.toml needed

Exit codes: 0 right, 2 something is lacking or in the way";

#[derive(Debug, Subcommand)]
pub(crate) enum HaproxyWhat {
    /// Print the whole configuration for the apps of the file
    Config(Where),
    /// Write it into the directory of the router section; what is not Cutover's there is left alone
    Install {
        #[command(flatten)]
        at: Where,
        /// Replace files of apps that somebody has edited, too
        #[arg(long)]
        force: bool,
    },
    /// Say what would lose requests: setting, value, needed, why
    Check {
        /// Files of HAProxy to read together, instead of asking the running one
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        at: Where,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) const NGINX: &str = "\
Examples:
  cutover nginx config   a whole configuration on stdout, each line that matters with its reason
  cutover nginx install  write the files of the apps, and that configuration where there is none yet
  cutover nginx check    have nginx test its configuration, and say what would lose requests

Exit codes: 0 right, 2 something is lacking or in the way";

#[derive(Debug, Subcommand)]
pub(crate) enum NginxWhat {
    /// Print a whole configuration for the apps of the file
    Config(Where),
    /// Write what is not there yet; what is there is left alone
    Install(Where),
    /// Say what would lose requests: setting, value, needed, why
    Check {
        #[command(flatten)]
        at: Where,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
