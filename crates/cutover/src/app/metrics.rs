//! `/metrics`: the counts of [`State`] in Prometheus' text format 0.0.4. It only prints.

use std::fmt::Write as _;

use super::state::State;

/// All metrics of the app as text.
pub(super) fn text(state: &State) -> String {
    let mut text = String::new();
    let head = |text: &mut String, name: &str, kind: &str, help: &str| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    };
    head(&mut text, "app_info", "gauge", "Who answers.");
    let (version, instance) = (label(&state.identity.version), label(&state.identity.instance));
    let _ = writeln!(text, "app_info{{version=\"{version}\",instance=\"{instance}\"}} 1");
    head(&mut text, "app_requests_total", "counter", "Answers by route and status.");
    for ((route, status), count) in state.answers() {
        let (route, status) = (route.label(), status.as_u16());
        let _ =
            writeln!(text, "app_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}");
    }
    let load = state.load();
    head(&mut text, "app_open_requests", "gauge", "Requests being answered, this one included.");
    let _ = writeln!(text, "app_open_requests {}", load.requests);
    head(&mut text, "app_open_sockets", "gauge", "Open WebSockets.");
    let _ = writeln!(text, "app_open_sockets {}", load.sockets);
    head(&mut text, "app_open_connections", "gauge", "Open HTTP connections, idle ones included.");
    let _ = writeln!(text, "app_open_connections {}", load.connections);
    text
}

/// A label's value with the three escapes that the format knows.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn labels_cannot_be_broken_out_of() {
        assert_eq!(super::label("a\"} 1\n\\"), "a\\\"} 1\\n\\\\");
    }
}
