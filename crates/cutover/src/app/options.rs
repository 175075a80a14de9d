//! The sample app's command line: who it is, where it listens, and which faults are switched on.
//!
//! It only reads and checks; what a fault does stands where it happens (`answer`, `connection`,
//! `body`, `server`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use model::Version;

use crate::duration;

/// Options of `cutover app`.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub(crate) struct Options {
    /// Port to listen on; 0 takes a free one and prints it
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,

    /// Address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) address: IpAddr,

    /// Version that every answer carries in `x-app-version`
    #[arg(long, env = "VERSION", default_value = "dev", value_parser = version)]
    pub(crate) version: Version,

    /// Instance that every answer carries in `x-app-instance`
    #[arg(long, env = "CUTOVER_INSTANCE", default_value = "local", value_parser = instance)]
    pub(crate) instance: String,

    /// Longest wait for open requests and sockets after SIGTERM; then they are cut
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::argument)]
    pub(crate) drain_deadline: Duration,

    /// Book of `/orders`, which several instances may share; without it each has its own
    #[arg(long, value_name = "FILE")]
    pub(crate) orders: Option<PathBuf>,

    /// One path more that is answered, as `/version` is: a new endpoint, such as /hello-{version}
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(crate) extra_path: Option<String>,

    /// What shall go wrong
    #[command(flatten)]
    pub(crate) faults: Faults,
}

/// Faults, all off by default. A business route is any but `/healthz` and `/metrics`.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Faults")]
pub(crate) struct Faults {
    /// Wait this long before listening
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration::argument)]
    pub(crate) start_delay: Duration,

    /// `/healthz` answers 503 for this long after listening began
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration::argument)]
    pub(crate) ready_delay: Duration,

    /// `/healthz` answers 503 while this file exists
    #[arg(long, value_name = "FILE")]
    pub(crate) sick_file: Option<PathBuf>,

    /// Share of business requests (0 to 1) answered with 500, spread evenly and counted exactly
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    pub(crate) error_share: f64,

    /// Added before each business answer
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration::argument)]
    pub(crate) latency: Duration,

    /// Close keep-alive connections that have been idle this long
    #[arg(long, value_name = "DURATION", value_parser = duration::argument)]
    pub(crate) idle_close: Option<Duration>,

    /// Cut the Nth business answer in mid-body and exit with status 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) die_mid_response: Option<u64>,

    /// `/healthz` always answers 200 while every business route answers 500
    #[arg(long)]
    pub(crate) health_lies: bool,

    /// What SIGTERM does
    #[command(flatten)]
    pub(crate) on_sigterm: OnSigterm,
}

/// At most one of these; without any, SIGTERM drains.
#[derive(Clone, Debug, clap::Args)]
#[group(multiple = false)]
#[expect(clippy::struct_field_names, reason = "the field names are the flags")]
pub(crate) struct OnSigterm {
    /// Keep serving after SIGTERM as if nothing had been said
    #[arg(long)]
    pub(crate) ignore_sigterm: bool,

    /// Exit with status 0 the moment SIGTERM arrives, whatever is open
    #[arg(long)]
    pub(crate) exit_on_sigterm: bool,

    /// After SIGTERM answer new business requests with 503 (what is open is finished)
    #[arg(long)]
    pub(crate) refuse_on_sigterm: bool,
}

/// A share of all, from 0 to 1, as it is written on the command line.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number from 0 to 1, such as 0.5".to_owned())
}

fn version(text: &str) -> Result<Version, String> {
    Version::new(text).map_err(|fault| fault.help.unwrap_or(fault.what))
}

/// What a request line may name.
fn path(text: &str) -> Result<String, String> {
    let plain = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic());
    let whole = plain && !text.contains(['?', '#']);
    whole.then(|| text.to_owned()).ok_or_else(|| "write a path, such as /hello".to_owned())
}

/// It goes into a header and into a metric's label, so it is kept plain.
fn instance(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic());
    plain.then(|| text.to_owned()).ok_or_else(|| {
        "use 1 to 128 visible ASCII characters without spaces, such as shop-v2-0".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::{instance, path, share, version};

    #[test]
    fn shares_lie_between_nothing_and_all() {
        assert_eq!(share("0.5"), Ok(0.5));
        for bad in ["-0.1", "1.1", "NaN", "inf", "half", ""] {
            assert!(share(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn names_that_cannot_stand_in_a_header_are_refused() {
        assert!(version("v2").is_ok() && instance("shop-v2-0").is_ok());
        assert!(version("v\r\n2").is_err() && instance("a\r\nb").is_err());
        assert!(instance("").is_err() && instance(&"x".repeat(129)).is_err());
        assert_eq!(path("/hello-v2").as_deref(), Ok("/hello-v2"));
        for bad in ["", "hello", "/a b", "/a?b", "/a#b", "/é"] {
            assert!(path(bad).is_err(), "{bad:?} was taken");
        }
    }
}
