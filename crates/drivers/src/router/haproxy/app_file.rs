//! The file of one app: its four backends and, in them, its instances. Pure.
//!
//! It is written again whenever the instances change; whatever a person has put into it stays. A seal tells
//! whether anybody has: it is a digest of the rest as Cutover wrote it. It touches no file: `files` does.

use std::fmt::Write as _;
use std::net::SocketAddr;

use model::{AppName, Instance};

use super::record::Slot;

/// Name of the file of an app.
pub(super) fn app_file(app: &AppName) -> String {
    format!("cutover-{app}.cfg")
}

/// Name of the map of an app.
pub(super) fn map_file(app: &AppName) -> String {
    format!("cutover-{app}.map")
}

/// Name of the file in which a new worker finds the servers of an app that DNS has not told it yet.
pub(super) fn state_file(app: &AppName) -> String {
    format!("cutover-{app}.state")
}

/// The server that is no instance: what a worker that ends is asked goes there.
pub(super) const ONWARD: &str = "cutover_entrance";

/// Where servers come from that are not written here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    /// The directory of the files.
    pub(super) directory: &'a str,
    /// Most instances of a release.
    pub(super) places: u16,
    /// The domain of Consul's DNS.
    pub(super) domain: &'a str,
}

impl Found<'_> {
    /// The lines of a backend.
    fn lines(&self, app: &AppName, slot: Slot) -> String {
        let (state, Self { directory, places, domain }) = (state_file(app), self);
        format!(
            "    # Instances come from Consul. `allow-dup-ip`: without it two of one address are one, and the
    # others get nothing. The file is what a new worker starts with, before DNS has told it anything.
    load-server-state-from-file local
    server-state-file-name {directory}/{state}
    server-template place 1-{places} _{app}._{slot}.service.{domain} resolvers {RESOLVERS} \
resolve-prefer ipv4 resolve-opts allow-dup-ip init-addr last,none
"
        )
    }
}

/// The section with Consul's DNS.
pub(super) const RESOLVERS: &str = "cutover_consul";

/// The whole text, without any instance; `onward` is where the worker listens that does not end.
pub(super) fn backends(
    name: &AppName,
    check_path: Option<&str>,
    check_ms: u64,
    (onward, found): (Option<SocketAddr>, Option<&Found<'_>>),
) -> String {
    let mut text = format!(
        "\
# Backends of the app {name}: two slots, each for one release. Written by Cutover, and again whenever
# the instances change: a reload or a restart then finds them. `server` lines are Cutover's; other
# lines are kept as they are. `cutover haproxy install` writes it anew as long as the seal fits.
"
    );
    let check = check_path.map_or(String::new(), |path| {
        format!("    option httpchk GET {path}\n    http-check expect status 200-299\n")
    });
    let default = default_server(check_ms);
    let onward = onward.map_or(String::new(), |address| {
        format!(
            "    # A worker that ends passes on what it is still asked: after a reload another one listens.
    # After a soft stop none does, nothing was sent, and an instance is tried in its place.
    use-server {ONWARD} if {{ stopping }}
    server {ONWARD} {address} weight 0
"
        )
    });
    for slot in Slot::BOTH {
        let (plain, tunnels) = (slot.backend(name), slot.tunnels(name));
        let found = found.map_or(String::new(), |found| found.lines(name, slot));
        // Writing to a string cannot fail.
        let _written = write!(
            text,
            "
backend {plain} from cutover_defaults
    balance leastconn
    # Nothing but these may be sent a second time (RFC 9110, 9.2.2), unless it was never sent at all.
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS TRACE PUT DELETE }}
{check}{onward}    {default}
{found}
backend {tunnels} from cutover_defaults
    balance leastconn
    http-request disable-l7-retry
{check}{onward}    {default}
{found}"
        );
    }
    sealed(&text)
}

/// How the line of the seal begins; the digest follows.
const SEAL: &str = "# Seal ";

/// The text with its seal after the comment it begins with.
fn sealed(text: &str) -> String {
    let seal = format!("{SEAL}{}", digest(text));
    let (head, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    format!("{head}\n{seal}\n\n{rest}")
}

/// The seal of a file; `None` of a version that wrote none, or when somebody took it out.
pub(super) fn seal(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(SEAL))
}

/// The seal that fits a file: over all lines but instances and the seal itself. It recognises edits,
/// and is no protection against anybody (FNV-1a).
pub(super) fn digest(text: &str) -> String {
    let counts = |line: &&str| !is_server(line) && !line.starts_with(SEAL);
    let bytes = text.lines().filter(counts).flat_map(|line| line.bytes().chain([b'\n']));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// True of the line of an instance.
fn is_server(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    words.next() == Some("server") && words.next() != Some(ONWARD)
}

/// A new text with the instances of an old one, each in the backend in which it was.
pub(super) fn with_instances_of(text: &str, old: &str) -> String {
    let mut backend = None;
    let mut servers: Vec<(Option<&str>, &str)> = Vec::new();
    for line in old.lines() {
        if let Some(title) = line.strip_prefix("backend ") {
            backend = title.split_ascii_whitespace().next();
        } else if is_server(line) {
            servers.push((backend, line));
        }
    }
    let mut made = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("backend ") {
            backend = title.split_ascii_whitespace().next();
        }
        made.push_str(line);
        made.push('\n');
        if line.trim_start().starts_with("default-server ") {
            for (_, server) in servers.iter().filter(|(of, _)| *of == backend) {
                made.push_str(server);
                made.push('\n');
            }
        }
    }
    made
}

/// The line that every server of an app goes by, also those that are added at run time.
pub(super) fn default_server(check_ms: u64) -> String {
    format!("default-server check inter {check_ms}ms fall 3 rise 1 weight 100")
}

/// The file of an app with these instances in its slots; all lines but `server` lines stay.
pub(super) fn with_instances(text: &str, app: &AppName, instances: &[(Slot, Instance)]) -> String {
    let mut made = String::new();
    let mut pending = String::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next();
        if is_server(line) {
            continue;
        }
        if first == Some("backend") {
            made.push_str(&std::mem::take(&mut pending));
            let name = words.next().unwrap_or_default();
            let slot = |slot: &Slot| name == slot.backend(app) || name == slot.tunnels(app);
            if let Some(slot) = Slot::BOTH.into_iter().find(slot) {
                for (_, one) in instances.iter().filter(|(at, _)| *at == slot) {
                    // Writing to a string cannot fail.
                    let _written = writeln!(pending, "    server {} {}", one.id, one.address);
                }
            }
        }
        made.push_str(line);
        made.push('\n');
        if first == Some("default-server") {
            made.push_str(&std::mem::take(&mut pending));
        }
    }
    made + &pending
}

/// The words after `default-server` in the file of an app: what `add server` must be told, since a
/// server that is added at run time inherits nothing.
pub(super) fn server_words(text: &str) -> Option<&str> {
    let line = |line: &'_ str| line.trim().starts_with("default-server ");
    text.lines()
        .find(|text| line(text))
        .and_then(|line| line.trim().split_once(' '))
        .map(|(_, w)| w)
}

#[cfg(test)]
mod tests {
    use super::{backends, digest, seal, server_words, with_instances, with_instances_of};
    use crate::router::haproxy::record::Slot;
    use model::{AppName, Instance, InstanceId};

    #[test]
    fn instances_come_and_go_and_everything_else_stays() {
        let app = AppName::new("demo").unwrap();
        let empty =
            &backends(&app, Some("/healthz"), 200, (Some(([127, 0, 0, 1], 80).into()), None));
        let one = |slot, n: u16| {
            let address = ([127, 0, 0, 1], n).into();
            (slot, Instance { id: InstanceId(format!("demo-1-{n}")), address })
        };
        let full =
            with_instances(empty, &app, &[one(Slot::A, 1), one(Slot::A, 2), one(Slot::B, 3)]);
        assert_eq!(full.matches("    server demo-1-1 127.0.0.1:1\n").count(), 2, "{full}");
        assert_eq!(full.matches("    server demo-1-3 ").count(), 2);
        assert_eq!(with_instances(&full, &app, &[]), *empty);
        assert_eq!(server_words(&full), Some("check inter 200ms fall 3 rise 1 weight 100"));
        // The seal fits whoever is in it, and nothing else.
        assert_eq!(seal(&full), Some(digest(&full).as_str()));
        for edited in [full.replace("leastconn", "random"), full.clone() + "# mine\n"] {
            assert_ne!(seal(&edited), Some(digest(&edited).as_str()));
        }
        let anew = backends(&app, Some("/ready"), 200, (None, None));
        let moved = with_instances_of(&anew, &full);
        assert_eq!(moved.matches("    server ").count(), 6, "{moved}");
        assert_eq!(
            moved,
            with_instances(&anew, &app, &[one(Slot::A, 1), one(Slot::A, 2), one(Slot::B, 3)])
        );
    }
}
