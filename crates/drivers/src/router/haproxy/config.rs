//! The configuration that HAProxy must run with, written whole and with its reasons. Pure.
//!
//! One file for the entrance and one per app, because the file of an app is written again whenever
//! its instances change, so that a reload finds them. It writes no file (`files` does) and reads no
//! running HAProxy.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::{AppName, Fault, Kind, Selector};

use super::app_file::{self, RESOLVERS, map_file};
use super::line::Address;
use super::passing::{asks, passing_on};
use super::record::Slot;
use super::rules;
use crate::router::reachable;

/// What the configuration is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Directory of all files: configuration, maps. HAProxy is started with `-f` on it.
    pub directory: PathBuf,
    /// The socket of workers to make, for commands of your own.
    pub socket: PathBuf,
    /// The socket of the master, which HAProxy is told when it is started (`-S`).
    pub master: Address,
    /// Where users come in.
    pub entrances: Vec<SocketAddr>,
    /// The apps behind it.
    pub apps: Vec<AppSetup>,
    /// Where it finds instances, if they are not told to it.
    pub discovery: Option<Discovery>,
}

/// The Consul whose DNS a HAProxy follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Its DNS.
    pub dns: SocketAddr,
    /// Its domain, such as `consul`.
    pub domain: String,
    /// Most instances of one release.
    pub places: u16,
}

impl Discovery {
    /// The section with Consul's DNS.
    fn resolvers(&self) -> String {
        format!(
            "
resolvers {RESOLVERS}
    nameserver consul {}
    # More than a handful of instances do not fit into less.
    accepted_payload_size 8192
    resolve_retries 3
    timeout resolve 200ms
    timeout retry 200ms
    # What Consul says is believed at once; while it says nothing, what it said last holds. An agent that
    # was just started says that there is nobody (`nx`) until it has read what it knew: believed, it would
    # take all instances away. And until it has a leader again it names those of an earlier day: whom it leaves
    # out is kept so long. Cutover itself says so here when it has taken one out.
    hold valid 200ms
    hold obsolete 10s
    hold nx 10m
    hold timeout 10m
    hold refused 10m
    hold other 10m
",
            self.dns
        )
    }
}

/// One app behind the entrance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSetup {
    /// Its name.
    pub name: AppName,
    /// Path asked with GET by HAProxy's own checks; `None` means that a connection is enough.
    pub check_path: Option<String>,
    /// Pause between checks, ms.
    pub check_ms: u64,
    /// What of its requests is looked at; rules on anything else are refused at run time.
    pub looks_at: Vec<Selector>,
}

/// A file of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Its name within the directory.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Name of the file of the entrance; it sorts before those of the apps.
pub const ENTRANCE: &str = "00-cutover.cfg";
/// How the file of the entrance begins.
pub(super) const OURS: &str = "# Written by Cutover.";

/// The complete configuration: the entrance, then each app without any instance. A path, or a check
/// path, that HAProxy would read as something else is refused.
pub fn render(setup: &Setup) -> Result<Vec<Rendered>, Fault> {
    let paths = [&setup.directory, &setup.socket].map(|path| path.display().to_string());
    for path in &paths {
        plain("path", path)?;
        if !path.starts_with('/') {
            return Err(Fault::new(Kind::Config, format!("the path `{path}` is not absolute"))
                .help("HAProxy names its maps by their paths: write the whole path"));
        }
    }
    for app in &setup.apps {
        app.check_path.as_deref().map_or(Ok(()), |path| plain("check path", path))?;
    }
    if let Address::Unix(path) = &setup.master {
        plain("path", &path.display().to_string())?;
    }
    let [directory, socket] = paths;
    let looks_at = setup.apps.iter().map(|app| (&app.name, app.looks_at.as_slice()));
    let announced = rules::announce(looks_at)?;
    let mut entrance = global(&directory, &socket, (&setup.master, &announced));
    entrance.push_str(FRONTEND);
    for address in &setup.entrances {
        // Writing to a string cannot fail.
        let _written = writeln!(entrance, "    bind {address}");
    }
    entrance.push_str(&asks(&setup.entrances));
    entrance.push_str(FIND);
    for app in &setup.apps {
        entrance.push_str(&find(&directory, &app.name));
    }
    entrance.push_str(CHOOSE);
    entrance.push_str(&by_rule(&directory, &setup.apps));
    entrance.push_str(TAKE);
    for app in &setup.apps {
        entrance.push_str(&stand_in(&app.name));
    }
    // A place has no name of its own: what is in it is known by its address.
    let instance = if setup.discovery.is_some() { "%si:%sp" } else { "%s" };
    entrance.push_str(&SEND.replace("INSTANCE", instance));
    let onward = setup.entrances.first().copied().map(reachable);
    if let Some(address) = onward {
        entrance.push_str(&passing_on(address));
    }
    let found = setup.discovery.as_ref().map(|discovery| {
        entrance.push_str(&discovery.resolvers());
        let Discovery { places, domain, .. } = discovery;
        app_file::Found { directory: &directory, places: *places, domain }
    });
    let apps = setup.apps.iter().map(|app| {
        let (path, from) = (app.check_path.as_deref(), (onward, found.as_ref()));
        let text = app_file::backends(&app.name, path, app.check_ms, from);
        Rendered { name: app_file::app_file(&app.name), text }
    });
    let entrance = Rendered { name: ENTRANCE.to_owned(), text: entrance };
    Ok(std::iter::once(entrance).chain(apps).collect())
}

/// What paths may be made of, as the fix.
pub(super) const PLAIN: &str = "use letters, digits and `/ . _ - ~ + = ? & %`";

/// True when HAProxy reads this text as it is written.
pub(super) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-~+=?&%".contains(c))
}

fn plain(sort: &str, text: &str) -> Result<(), Fault> {
    if is_plain(text) {
        return Ok(());
    }
    let what = format!("the {sort} `{}` cannot stand in a configuration", text.escape_debug());
    Err(Fault::new(Kind::Config, what).help(PLAIN))
}

fn global(directory: &str, socket: &str, (master, announced): (&Address, &str)) -> String {
    format!(
        "\
{OURS} Start HAProxy (2.6 or newer) with
#     haproxy -W -S {master} -f {directory}
# and give Cutover the socket {master}: over the master's socket it
# also sees the workers that end after a reload. Everything below has a reason; what loses requests
# when it is left out says so.

global
    # The runtime API. Cutover needs `level admin`; `expose-fd listeners` hands the listening sockets
    # to the next process, so that no connection is refused while it starts.
    stats socket {socket} mode 600 level admin expose-fd listeners
    stats timeout 30s
    # How long a worker may go on after a reload, for the tunnels it still carries. They are cut then.
    hard-stop-after 1h
    # Headers and cookies that the rules below look at, for Cutover to ask: one that is not there is
    # refused before a rollout relies on it.
{announced}
defaults cutover_defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout queue 30s
    timeout http-request 30s
    timeout http-keep-alive 60s
    timeout tunnel 1h
    timeout client-fin 30s
    # Without it a check may take no longer than the pause between two: a busy moment takes a whole
    # release out of use.
    timeout check 2s
    # A reload would close idle connections of clients under their next request. With this they are
    # told with the answer to it. Without: each idle keep-alive client loses one request per reload.
    option idle-close-on-response
    # Every request gets a fresh connection to its instance. A kept one may be closed by the app in the
    # instant in which a POST is sent on it, and a POST must not be sent twice.
    option http-server-close
    # What was not sent, or not answered with a single byte, goes to another instance of the release
    # (`redispatch 1`: at the first retry already) ...
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
    # ... and the backends below except methods that may not be repeated from the second of these.
    # No server-state file: a server that was down when it was written would stay out of use after a
    # reload, also if it has been back for long. What a reload needs stands in the files of the apps.
"
    )
}

const FRONTEND: &str = "
frontend cutover from cutover_defaults
";

const FIND: &str = "
    # --- Which app: the longest path prefix wins, and a named host before any host.
    http-request set-var-fmt(txn.cutover_named) \"at:%[req.hdr(host),host_only,lower]%[path]/\"
    http-request set-var-fmt(txn.cutover_any) \"at:*%[path]/\"
    http-request set-var(txn.cutover_best) int(0)
    http-request set-var(txn.cutover_onward) bool(true) if { stopping }
";

/// A request reads one entry of one map: length of the prefix, share of slot b, version in slot a,
/// version in slot b. So it never sees half of a change.
fn find(directory: &str, app: &AppName) -> String {
    let map = format!("{directory}/{}", map_file(app));
    let better = "{ var(txn.cutover_length),sub(txn.cutover_best) gt 0 }";
    format!(
        "    # {app}
    http-request set-var(txn.cutover_entry) \"var(txn.cutover_named),map_beg({map},0)\"
    http-request set-var(txn.cutover_entry) \"var(txn.cutover_any),map_beg({map},0)\" \
         if {{ var(txn.cutover_entry) -m str 0 }}
    http-request set-var(txn.cutover_length) \"var(txn.cutover_entry),field(1,:)\"
    http-request set-var(txn.cutover_route) var(txn.cutover_entry) if {better}
    http-request set-var(txn.cutover_app) str({app}) if {better}
    http-request set-var(txn.cutover_best) \"var(txn.cutover_length),add(0)\" if {better}
"
    )
}

const CHOOSE: &str =
    "    http-request return status 404 content-type text/plain string \"no app here\" \
unless { var(txn.cutover_app) -m found } || { var(txn.cutover_onward) -m found }

    # --- Which release: drawn anew for each request, so any share is possible, down to 0.01%.
    http-request set-var(txn.cutover_share) \"var(txn.cutover_route),field(2,:)\"
    http-request set-var(txn.cutover_a) \"var(txn.cutover_route),field(3,:)\"
    http-request set-var(txn.cutover_b) \"var(txn.cutover_route),field(4,:)\"
    http-request set-var(txn.cutover_roll) rand(10000)
    http-request set-var(txn.cutover_drawn) str(a)
    http-request set-var(txn.cutover_drawn) str(b) if \
{ var(txn.cutover_roll),sub(txn.cutover_share) lt 0 }
";

/// The lines of rules; none where nothing is looked at.
fn by_rule(directory: &str, apps: &[AppSetup]) -> String {
    let named = apps.iter().flat_map(|app| app.looks_at.iter().map(|on| (&app.name, on)));
    let map = |app| format!("{directory}/{}", map_file(app));
    let lines: String = named.map(|(app, on)| rules::lines(&map(app), app, on)).collect();
    if lines.is_empty() { lines } else { format!("{}{lines}{}", rules::RULES, rules::OBEY) }
}

const TAKE: &str = "
    http-request set-var(txn.cutover_slot) var(txn.cutover_drawn)
    # A release that stands by takes over when the drawn one has no instance left (`~`: gets nothing).
";

fn stand_in(app: &AppName) -> String {
    let mut text = String::new();
    for (drawn, other) in [(Slot::A, Slot::B), (Slot::B, Slot::A)] {
        let backend = drawn.backend(app);
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "    http-request set-var(txn.cutover_slot) str({other}) if \
             {{ var(txn.cutover_app) -m str {app} }} {{ var(txn.cutover_drawn) -m str {drawn} }} \
             {{ nbsrv({backend}) eq 0 }} !{{ var(txn.cutover_{other}) -m str ~ }}"
        );
    }
    text
}

const SEND: &str = "    http-request set-var(txn.cutover_version) var(txn.cutover_a)
    http-request set-var(txn.cutover_version) var(txn.cutover_b) \
if { var(txn.cutover_slot) -m str b }
    http-request set-var(txn.cutover_version) \"var(txn.cutover_rule),field(3,:)\" \
if { var(txn.cutover_rule) -m found } { var(txn.cutover_slot),strcmp(txn.cutover_drawn) eq 0 }
    http-request return status 503 content-type text/plain string \"no release serves\" \
if { var(txn.cutover_version) -m str ~ } !{ var(txn.cutover_onward) -m found }

    # --- A worker that ends after a reload (`stopping`) knows neither later routes nor new instances,
    # and can be taught none. What kept connections still ask it goes to the worker that listens now:
    # by `use-server` in the backends below, or from here where it knows no release at all.
    use_backend cutover_onward if { var(txn.cutover_onward) -m found } \
!{ var(txn.cutover_app) -m found }
    use_backend cutover_onward if { var(txn.cutover_onward) -m found } \
{ var(txn.cutover_version) -m str ~ }

    # --- Who answered: the stamps of the prober. What was passed on has them already.
    acl cutover_stamped res.hdr(x-cutover-instance) -m found
    acl cutover_ends var(txn.cutover_onward) -m found
    http-response set-header x-cutover-version %[var(txn.cutover_version)] \
unless cutover_ends cutover_stamped
    http-response set-header x-cutover-instance INSTANCE unless cutover_ends cutover_stamped

    # --- Upgrades have backends of their own, so that tunnels and requests are counted apart.
    acl cutover_upgrade req.hdr(upgrade) -m found
    acl cutover_h2c req.hdr(upgrade) -m str -i h2c
    use_backend \"cutover_%[var(txn.cutover_app)]_%[var(txn.cutover_slot)]_ws\" \
if cutover_upgrade !cutover_h2c
    use_backend \"cutover_%[var(txn.cutover_app)]_%[var(txn.cutover_slot)]\"
";

#[cfg(test)]
mod tests {
    use super::{Address, AppSetup, Setup, render};
    use model::AppName;

    fn setup(path: &str) -> Setup {
        let name = AppName::new("demo").unwrap();
        let app =
            AppSetup { name, check_path: Some("/healthz".into()), check_ms: 200, looks_at: vec![] };
        Setup {
            directory: path.into(),
            socket: format!("{path}/admin.sock").into(),
            master: Address::Unix(format!("{path}/master.sock").into()),
            entrances: vec![([127, 0, 0, 1], 8080).into()],
            apps: vec![app],
            discovery: None,
        }
    }

    #[test]
    fn paths_that_mean_something_else_to_haproxy_are_refused() {
        for bad in ["/with blank", "/a,b", "/a)b", "/a\"b", "/$HOME", "relative", "/a\nb"] {
            assert!(render(&setup(bad)).is_err(), "{bad}");
        }
        assert!(render(&setup("/srv/cutover_1.2-x")).is_ok());
    }
}
