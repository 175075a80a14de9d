//! Every key of the file by section, and the nearest known name to a wrong one.
//!
//! What may stand behind a key is listed in `schema`, and judged by its reader.

use strsim::damerau_levenshtein;

/// Sections and their keys, in the order in which they are explained. `app` stands for `app.NAME`.
pub(crate) const KEYS: [(&str, &[&str]); 20] = [
    ("", &["state_dir", "history", "api", "proxy", "router", "notify", "together", "app"]),
    ("history", &["runs", "log_mib"]),
    ("api", &["listen", "chain", "key", "token"]),
    (
        "proxy",
        &[
            "listen",
            "tls_listen",
            "certificates",
            "trusted",
            "max_connections",
            "access_log",
            "log_format",
            "log_query",
            "metrics",
            "error_pages",
            "maintenance",
            "outliers",
            "threads",
            "answer_begins",
            "answer_silence",
            "drain_timeout",
            "upgrade_timeout",
            "limits",
        ],
    ),
    (
        "proxy.limits",
        &[
            "connect_timeout",
            "head_timeout",
            "body_timeout",
            "read_timeout",
            "idle_timeout",
            "client_age",
            "request_timeout",
            "max_head",
            "max_fields",
            "max_body",
            "min_body_rate",
            "body_grace",
            "client_connections",
            "client_requests",
            "client_rate",
            "client_burst",
            "client_exempt",
        ],
    ),
    ("proxy.certificates", &["chain", "key"]),
    ("proxy.outliers", &["failures", "errors", "eject", "eject_most", "share"]),
    (
        "router",
        &[
            "kind",
            "socket",
            "directory",
            "listen",
            "tls_listen",
            "program",
            "config",
            "pid",
            "control",
            "prefix",
            "accept_reload_cuts",
            "address",
            "follower",
            "agent",
            "dns",
            "domain",
            "places",
            "token",
            "ca",
            "tls_server_name",
            "chain",
            "key",
        ],
    ),
    ("together", &["apps"]),
    ("notify", &["url", "events", "token", "ca", "timeout"]),
    (
        "app.hooks",
        &[
            "name",
            "before",
            "after",
            "step",
            "command",
            "url",
            "token",
            "ca",
            "timeout",
            "retries",
            "on_failure",
            "once",
            "rollback",
        ],
    ),
    (
        "app",
        &[
            "command",
            "directory",
            "environment",
            "instances",
            "hosts",
            "path_prefix",
            "slow_start",
            "stop_timeout",
            "error_pages",
            "maintenance",
            "consul",
            "limits",
            "health",
            "rollout",
            "hooks",
            "probe",
        ],
    ),
    (
        "app.instances",
        &[
            "consul",
            "tag",
            "meta",
            "agent",
            "token",
            "ca",
            "tls_server_name",
            "chain",
            "key",
            "dns",
            "server",
            "port",
            "at_least",
        ],
    ),
    ("app.consul", &["tags", "meta"]),
    ("app.limits", &["answer_begins", "answer_silence", "request_timeout", "max_body"]),
    (
        "app.health",
        &["path", "tcp", "command", "interval", "timeout", "rise", "fall", "deadline", "fail_open"],
    ),
    (
        "app.rollout",
        &[
            "strategy",
            "steps",
            "step_bake",
            "pause",
            "pause_timeout",
            "batch",
            "surge",
            "hold",
            "hold_requests",
            "slots",
            "target",
            "sticky",
            "cohort",
            "preview",
            "preview_requests",
            "preview_path",
            "bake",
            "keep_old",
            "drain_timeout",
            "longest_request",
            "handover",
            "handover_rate",
            "handover_at_once",
            "handover_timeout",
            "max_errors",
            "max_error_share",
            "incident",
            "analysis",
            "metrics",
            "gates",
        ],
    ),
    (
        "app.rollout.analysis",
        &["enabled", "alpha", "latency", "p99", "early", "inconclusive", "count_by"],
    ),
    (
        "app.rollout.metrics",
        &[
            "name",
            "prometheus",
            "query",
            "token",
            "user",
            "password",
            "ca",
            "command",
            "min",
            "max",
            "interval",
            "timeout",
            "failures",
            "no_data",
        ],
    ),
    (
        "app.probe",
        &[
            "enabled",
            "rate",
            "pace",
            "path",
            "host",
            "tls",
            "ca",
            "lanes",
            "websocket_path",
            "sockets",
            "upload_path",
            "download_path",
            "events_path",
            "orders_path",
            "slowness",
            "idle_most",
            "late_after",
            "timeout",
            "version_header",
        ],
    ),
];

/// What people call things elsewhere.
const ELSEWHERE: [(&str, &str); 18] = [
    ("args", "command"),
    ("cmd", "command"),
    ("cert", "chain"),
    ("certificate", "chain"),
    ("exec", "command"),
    ("cwd", "directory"),
    ("dir", "directory"),
    ("workdir", "directory"),
    ("working_directory", "directory"),
    ("env", "environment"),
    ("replicas", "instances"),
    ("scale", "instances"),
    ("domains", "hosts"),
    ("server_name", "hosts"),
    ("prefix", "path_prefix"),
    ("bind", "listen"),
    ("username", "user"),
    ("bearer_token", "token"),
];

/// The keys of a section.
pub(crate) fn keys(section: &str) -> &'static [&'static str] {
    KEYS.iter().find(|(name, _)| *name == section).map_or(&[], |(_, keys)| keys)
}

/// Sections other than `section` that know exactly this key.
pub(crate) fn homes(key: &str, section: &str) -> Vec<&'static str> {
    let knows = |&(name, keys): &(&'static str, &[&str])| {
        // `[apps.web]` is meant to be an app, not the apps of a group.
        let group = section.is_empty() && name == "together";
        // `tags` of instances that are found are meant to be their tag.
        let registered = section == "app.instances" && name == "app.consul";
        (name != section && !group && !registered && keys.contains(&key)).then_some(name)
    };
    KEYS.iter().filter_map(knows).collect()
}

/// The key of a section that was probably meant.
pub(crate) fn nearest_key(key: &str, section: &str) -> Option<&'static str> {
    let known = keys(section);
    let plain = key.to_lowercase().replace('-', "_");
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == plain).map(|(_, key)| *key);
    elsewhere.filter(|key| known.contains(key)).or_else(|| nearest(key, known))
}

/// The known name that was probably meant: at most a third of its letters differ.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let distance = |known: &&str| damerau_levenshtein(&plain(name), &plain(known));
    let best = known.iter().min_by_key(|known| distance(known))?;
    (distance(best) <= best.len().div_ceil(3).max(1)).then_some(*best)
}

/// Names for a sentence: `a`, `b` and `c`.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
