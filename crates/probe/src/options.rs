//! What a run is asked to do, and the checks on it.
//!
//! It reads no command line and no configuration.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use model::{Fault, Kind, Lane};

use crate::ask::Ask;
use crate::pace::Pace;
use crate::target::Target;
use crate::way::Way;

/// Highest rate taken, attempts per second.
const RATE_MAX: u32 = 100_000;

/// Most clients that come back.
const CLIENTS_MAX: u16 = 1_000;

/// Longest upload, bytes.
const UPLOAD_MAX: usize = 64 << 20;

/// When a run ends by itself. It can always be told to stop earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// When all attempts intended within this time have been sent.
    After {
        /// Counted from the first attempt.
        duration: Duration,
    },
    /// After this many attempts.
    Count(u64),
    /// When requests sent in the last `settle` were answered by other versions than the first one
    /// seen, and by one at least. Sockets do not count: they stay where they are.
    AfterSwitch {
        /// How long the first version must have been silent.
        settle: Duration,
        /// The end in any case, counted from the first attempt.
        at_most: Duration,
    },
    /// When it is told to.
    WhenTold,
}

/// What the caller of [`crate::run`] wants of the run at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Go on.
    #[default]
    Go,
    /// Send nothing more, wait for what is in flight, and end.
    Stop,
    /// Wait for nothing any more: what is in flight counts as sent and is in no record.
    Now,
}

/// Where in an answer the app says its version. The proxy's stamp is used when it says none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionFrom {
    /// A response header.
    Header(String),
    /// A field of the JSON body, with dots between the names: `build.version`.
    JsonPath(String),
    /// The first line of the body.
    Body,
}

impl FromStr for VersionFrom {
    type Err = Fault;

    /// Reads `header:NAME`, `json:PATH` or `body`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        match text.split_once(':') {
            None if text == "body" => Ok(Self::Body),
            Some(("header", name)) if !name.is_empty() && name.chars().all(token) => {
                Ok(Self::Header(name.to_ascii_lowercase()))
            }
            Some(("json", path)) if path.split('.').all(|name| !name.is_empty()) => {
                Ok(Self::JsonPath(path.to_owned()))
            }
            _ => {
                let what = format!("`{}` is no place of a version", text.escape_debug());
                Err(Fault::new(Kind::Usage, what)
                    .help("write header:NAME, json:PATH such as json:build.version, or body"))
            }
        }
    }
}

/// What a run is asked to do. [`Options::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to ask.
    pub url: Target,
    /// What every request says beside its URL.
    pub ask: Ask,
    /// How the target is reached.
    pub way: Way,
    /// Attempts per second over all lanes.
    pub rate: u32,
    /// What is paid for sending on time.
    pub pace: Pace,
    /// Lanes and their shares of the rate, which sum to 1.
    pub lanes: Vec<(Lane, f64)>,
    /// Nobody named these lanes: beside those that ask the URL only such run as answer their trial as they should.
    pub lanes_if_served: bool,
    /// Path of the WebSocket endpoint on the same host.
    pub websocket_path: String,
    /// Live sockets of the WebSocket lane.
    pub sockets: u16,
    /// Path that takes uploads and answers with their SHA-256 in hex.
    pub upload_path: String,
    /// Length of an upload, bytes.
    pub upload_bytes: usize,
    /// Path of a long answer, which names its SHA-256 in `X-Content-SHA256` or is always the same.
    pub download_path: String,
    /// Path of a stream of server-sent events.
    pub events_path: String,
    /// Path that takes orders, and tells what it has carried out when asked with `?run=`.
    pub orders_path: String,
    /// Over how long an upload is sent, a download taken, a stream of events listened to.
    pub slowness: Duration,
    /// The longest that a connection of the idle lane rests.
    pub idle_most: Duration,
    /// Clients that keep their cookies: every second request of the lanes of short requests is one of theirs.
    pub clients: u16,
    /// A field in which these clients also name themselves.
    pub client_field: Option<String>,
    /// When to end.
    pub stop: Stop,
    /// A right answer later than this after its intended send time is `late`.
    pub late_after: Duration,
    /// Statuses from 400 on that are right answers of the URL, too.
    pub expected: Vec<u16>,
    /// An attempt without a whole answer after this is given up.
    pub timeout: Duration,
    /// Most attempts in flight; `None` is rate times timeout, at least 64.
    pub max_in_flight: Option<u32>,
    /// Where an answer says its version.
    pub version_from: VersionFrom,
    /// File for the raw records, gzip NDJSON; an existing one is replaced.
    pub samples: Option<PathBuf>,
    /// Unix socket to listen on for a controller.
    pub control: Option<PathBuf>,
    /// A run with a control socket ends by itself when it has been without a controller this long.
    pub orphaned_after: Duration,
}

impl Options {
    /// A run at `rate` attempts per second over all lanes, until told to stop.
    pub fn new(url: Target, rate: u32) -> Self {
        Self {
            url,
            ask: Ask::default(),
            way: Way::default(),
            rate,
            pace: Pace::default(),
            lanes: vec![(Lane::KeepAlive, 0.5), (Lane::Fresh, 0.25), (Lane::Websocket, 0.25)],
            lanes_if_served: false,
            websocket_path: "/ws".to_owned(),
            sockets: 4,
            upload_path: "/upload".to_owned(),
            upload_bytes: 256 * 1024,
            download_path: "/download?bytes=4194304".to_owned(),
            events_path: "/events".to_owned(),
            orders_path: "/orders".to_owned(),
            slowness: Duration::from_secs(2),
            idle_most: Duration::from_secs(20),
            clients: 0,
            client_field: None,
            stop: Stop::WhenTold,
            late_after: Duration::from_secs(1),
            expected: Vec::new(),
            timeout: Duration::from_secs(10),
            max_in_flight: None,
            version_from: VersionFrom::Header("x-app-version".to_owned()),
            samples: None,
            control: None,
            orphaned_after: Duration::from_mins(1),
        }
    }

    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let refuse = |what: &str, help: &str| {
            Err(Fault::new(Kind::Usage, what.to_owned()).help(help.to_owned()))
        };
        if self.rate == 0 || self.rate > RATE_MAX {
            return refuse("the rate of a probe is out of range", "use 1 to 100000 per second");
        }
        let sum: f64 = self.lanes.iter().map(|(_, share)| share).sum();
        let positive = self.lanes.iter().all(|(_, share)| *share > 0.0);
        if !positive || (sum - 1.0).abs() > 1e-6 {
            return refuse("the lanes do not share the rate", "use shares above 0 that sum to 1");
        }
        let named = |lane| self.lanes.iter().filter(|(other, _)| *other == lane).count();
        if Lane::ALL.into_iter().any(|lane| named(lane) > 1) {
            return refuse("a lane is named twice", "name each lane once");
        }
        if self.sockets == 0 {
            return refuse("the WebSocket lane has no sockets", "use at least one socket");
        }
        let requests = self.lanes.iter().any(|(lane, _)| *lane != Lane::Websocket);
        if matches!(self.stop, Stop::AfterSwitch { .. }) && !requests {
            return refuse(
                "a switch is seen by requests, and no lane sends any",
                "add a lane, such as fresh",
            );
        }
        if self.timeout.is_zero() || self.late_after.is_zero() {
            return refuse("a time limit of the probe is zero", "use at least a millisecond");
        }
        self.check_clients()?;
        self.check_head()?;
        let slow = self.lanes.iter().any(|(lane, _)| lane.slow());
        if slow && self.slowness.saturating_mul(2) > self.timeout {
            return refuse(
                "what is slow on purpose would take more than half of the timeout",
                "use a longer timeout or less slowness",
            );
        }
        if self.upload_bytes == 0 || self.upload_bytes > UPLOAD_MAX {
            return refuse("the length of uploads is out of range", "use 1 byte to 64 MiB");
        }
        let paths = [
            &self.websocket_path,
            &self.upload_path,
            &self.download_path,
            &self.events_path,
            &self.orders_path,
        ];
        let path = |path: &&String| {
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !paths.iter().all(path) {
            return refuse("the path of a lane is not a path", "start it with `/`, without spaces");
        }
        Ok(())
    }

    fn check_head(&self) -> Result<(), Fault> {
        let refuse = |what, help| Err(Fault::new(Kind::Usage, what).help(help));
        if !self.ask.head_only() {
            Ok(())
        } else if !self.ask.body().is_empty() {
            refuse("a request with HEAD has no body", "leave out the body, or use another method")
        } else if !matches!(self.version_from, VersionFrom::Header(_)) {
            refuse(
                "an answer to HEAD has no body, so no version can be read there",
                "write `--watch-version header:NAME`, or use GET",
            )
        } else {
            Ok(())
        }
    }

    fn check_clients(&self) -> Result<(), Fault> {
        if self.clients > CLIENTS_MAX {
            return Err(Fault::new(
                Kind::Usage,
                "the clients that keep their cookies are too many",
            )
            .help("use at most 1000"));
        }
        if let Some(name) = &self.client_field {
            // What cannot be a field of all requests cannot be one of theirs.
            Ask::default().with_field(name, "")?;
        }
        let mut said = self.ask.fields().map(|(name, _)| name).chain(self.client_field.as_deref());
        if self.clients > 0 && said.any(|name| name.eq_ignore_ascii_case("cookie")) {
            let what = "clients that keep their own cookies cannot be told to say another one";
            return Err(
                Fault::new(Kind::Usage, what).help("leave out the clients, or the field `Cookie`")
            );
        }
        Ok(())
    }

    /// Most attempts in flight.
    pub(crate) fn cap(&self) -> u64 {
        let usual = f64::from(self.rate) * self.timeout.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and a cast of what is too large saturates"
        )]
        let usual = (usual.ceil() as u64).max(64);
        self.max_in_flight.map_or(usual, |most| u64::from(most.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use model::Lane;

    use super::{Options, Stop, VersionFrom};
    use crate::target::Target;

    #[test]
    fn a_place_of_the_version_is_a_header_a_json_path_or_the_body() {
        let read = |text: &str| text.parse::<VersionFrom>().ok();
        assert_eq!(read("header:X-Rev"), Some(VersionFrom::Header("x-rev".to_owned())));
        assert_eq!(read("json:a.b"), Some(VersionFrom::JsonPath("a.b".to_owned())));
        assert_eq!(read("body"), Some(VersionFrom::Body));
        for odd in
            ["", "header:", "header:a b", "header:a\r\nb", "json:", "json:a..b", "cookie:x", "Body"]
        {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        type Break = fn(&mut Options);
        let good = Options::new(Target::parse("http://a/").unwrap(), 100);
        assert!(good.check().is_ok());
        assert_eq!(good.cap(), 1_000);
        let breaks: [Break; 15] = [
            |options| options.rate = 0,
            |options| options.rate = 1_000_000,
            |options| options.lanes.clear(),
            |options| options.lanes = vec![(Lane::Fresh, 0.9)],
            |options| options.lanes = vec![(Lane::Fresh, 0.5), (Lane::Fresh, 0.5)],
            |options| options.lanes = vec![(Lane::Fresh, f64::NAN)],
            |options| options.sockets = 0,
            |options| options.clients = 1_001,
            |options| options.client_field = Some("a b".to_owned()),
            |options| {
                options.clients = 1;
                options.ask = options.ask.clone().with_field("Cookie", "a=b").unwrap();
            },
            |options| {
                options.ask = options.ask.clone().with_method("HEAD").unwrap();
                options.version_from = VersionFrom::Body;
            },
            |options| {
                options.ask = options.ask.clone().with_method("HEAD").unwrap();
                options.version_from = VersionFrom::JsonPath("version".to_owned());
            },
            |options| {
                let head = options.ask.clone().with_method("HEAD").unwrap();
                options.ask = head.with_body(b"x".to_vec()).unwrap();
            },
            |options| options.websocket_path = "/ws\r\nX: y".to_owned(),
            |options| {
                options.lanes = vec![(Lane::Websocket, 1.0)];
                let second = std::time::Duration::from_secs(1);
                options.stop = Stop::AfterSwitch { settle: second, at_most: second };
            },
        ];
        for (number, change) in breaks.into_iter().enumerate() {
            let mut options = good.clone();
            change(&mut options);
            let fault = options.check().expect_err(&format!("break {number} was taken"));
            assert!(fault.help.is_some());
        }
    }
}
