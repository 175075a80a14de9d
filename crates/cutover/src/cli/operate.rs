//! The commands of operators as they are typed: what is done about a rollout under way, or after it.
//!
//! What they mean is in `commands`; whether the server does it, the server decides.

use std::path::PathBuf;

use clap::Args;
use model::Weight;

use super::{Also, Where};
use crate::config;

/// Which app is meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// Name of the app, as in the configuration
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) at: Where,
}

/// What happens after the command got its answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Following {
    /// Do not follow the rollout: end as soon as the server has taken the order
    #[arg(long)]
    pub(crate) detach: bool,
    /// Directory for the report files
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) also: Also,
    /// Steps as JSON lines on stderr, the result as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

const PAUSE: &str = "\
Examples:
  cutover pause shop
  cutover pause shop --reason 'looking at the checkout errors'
  cutover pause shop --json | jq -r '.text // .fault.what'

Users are taken no further: no first switch, no larger share, no promotion that is final. What runs is
looked after meanwhile, and errors of the new version still take users back. A pause that nobody ends
within `pause_timeout` undoes the rollout.

Exit codes: 0 paused, 2 nothing to pause";

#[derive(Debug, Args)]
#[command(after_help = PAUSE)]
pub(crate) struct Pause {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Who or why, for the journal and for whoever asks `status`
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const RESUME: &str = "\
Examples:
  cutover resume shop    go on as if nobody had paused; bakes run to their end

Exit codes: 0 resumed, 2 nothing to resume";

#[derive(Debug, Args)]
#[command(after_help = RESUME)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) target: Target,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const PROMOTE: &str = "\
Examples:
  cutover promote shop           end the present pause or bake, go on with the next step
  cutover promote shop --full    all traffic next, without further shares and pauses; the last bake stays

It follows the rollout to its end. Ctrl-C leaves the rollout alone.

Exit codes: as `deploy`; 2 nothing to promote";

#[derive(Debug, Args)]
#[command(after_help = PROMOTE)]
pub(crate) struct Promote {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Without further shares and pauses
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) following: Following,
}

const SET_WEIGHT: &str = "\
Examples:
  cutover set-weight shop 10%    the new version of a canary gets 10% of requests, then it is paused

`cutover resume` goes on with the next larger step. Nothing is `abort`, everything `promote --full`.

Exit codes: 0 set, 2 it cannot be set now";

#[derive(Debug, Args)]
#[command(after_help = SET_WEIGHT)]
pub(crate) struct SetWeight {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Share of new requests, such as 10% or 0.5%
    #[arg(value_parser = share)]
    pub(crate) share: Weight,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const RETRY: &str = "\
Examples:
  cutover retry shop    ship the release again whose rollout was aborted or got stuck

It is the same release: command and environment as they were frozen, not as the file is now.

Exit codes: as `deploy`; 2 nothing to retry";

#[derive(Debug, Args)]
#[command(after_help = RETRY)]
pub(crate) struct Retry {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) following: Following,
}

const ROLLBACK: &str = "\
Examples:
  cutover rollback shop            back to the release that users were on before
  cutover rollback shop --to v3    back to the newest release of v3 that users were on

Exactly that release runs again, without shares and pauses. It is checked and watched as in a deploy, but
not rolled back by itself: when it fails, the rollout pauses and says so. While the new version is not
promoted, use `cutover abort`.

Exit codes: as `deploy`; 2 nothing to roll back to";

#[derive(Debug, Args)]
#[command(after_help = ROLLBACK)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Version to return to
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) following: Following,
}

/// A share as it is written in `steps`.
fn share(text: &str) -> Result<Weight, String> {
    config::share(text).ok_or_else(|| "write a percentage, such as 10% or 0.5%".to_owned())
}
