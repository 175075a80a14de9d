//! The file of one app: its four backends and, in them, its instances. Pure.
//!
//! It is written again whenever the instances change; whatever a person has put into it stays.

use std::fmt::Write as _;

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

/// The whole text, without any instance.
pub(super) fn backends(name: &AppName, check_path: Option<&str>, check_ms: u64) -> String {
    let mut text = format!(
        "\
# Backends of the app {name}: two slots, each for one release. Written by Cutover, and again whenever
# the instances change: a reload or a restart then finds them. `server` lines are Cutover's; other
# lines are kept as they are.
"
    );
    let check = check_path.map_or(String::new(), |path| {
        format!("    option httpchk GET {path}\n    http-check expect status 200-299\n")
    });
    let default = default_server(check_ms);
    for slot in Slot::BOTH {
        let (plain, tunnels) = (slot.backend(name), slot.tunnels(name));
        // Writing to a string cannot fail.
        let _written = write!(
            text,
            "
backend {plain} from cutover_defaults
    balance leastconn
    # Nothing but these may be sent a second time (RFC 9110, 9.2.2), unless it was never sent at all.
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS TRACE PUT DELETE }}
{check}    {default}

backend {tunnels} from cutover_defaults
    balance leastconn
    http-request disable-l7-retry
{check}    {default}
"
        );
    }
    text
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
        if first == Some("server") {
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
    use super::{backends, server_words, with_instances};
    use crate::router::haproxy::record::Slot;
    use model::{AppName, Instance, InstanceId};

    #[test]
    fn instances_come_and_go_and_everything_else_stays() {
        let app = AppName::new("demo").unwrap();
        let empty = &backends(&app, Some("/healthz"), 200);
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
    }
}
