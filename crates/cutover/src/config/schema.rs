//! A JSON schema of `cutover.toml`, for editors: what may stand where, and of what sort it is.
//!
//! Keys come from `names`, so none is missing; what two keys say to each other only the reader knows, so
//! a file that fits the schema may still hold mistakes. Descriptions are the comments of the template.

use model::Moment;
use serde_json::{Map, Value, json};

use super::names::KEYS;
use super::template;

/// The whole schema.
pub(crate) fn schema() -> Value {
    let mut whole = section("");
    whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    whole["title"] = json!("cutover.toml");
    whole["required"] = json!(["app"]);
    whole
}

/// The schema of a section and of all that is within it.
fn section(name: &str) -> Value {
    let keys = KEYS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, keys)| *keys);
    let mut properties = Map::new();
    for key in keys {
        let dotted = if name.is_empty() { (*key).to_owned() } else { format!("{name}.{key}") };
        let inner = KEYS.iter().any(|(known, _)| *known == dotted);
        let mut value = match dotted.as_str() {
            "app" => apps(),
            "together" => groups(),
            "proxy.certificates" | "app.hooks" | "notify" | "app.rollout.metrics" => {
                json!({ "type": "array", "items": section(&dotted) })
            }
            "app.instances" => json!({ "anyOf": [sort(name, key), section(&dotted)] }),
            _ if inner => section(&dotted),
            _ => sort(name, key),
        };
        if let (Some(text), Some(value)) = (comment(name, key), value.as_object_mut()) {
            value.insert("description".to_owned(), json!(text));
        }
        properties.insert((*key).to_owned(), value);
    }
    let required: &[&str] = match name {
        "api" => &["listen", "chain", "key", "token"],
        "proxy.certificates" => &["chain", "key"],
        "notify" => &["url"],
        "together" => &["apps"],
        "app.hooks" | "app.rollout.metrics" => &["name"],
        _ => &[],
    };
    let mut whole = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    // Instances are started, or found.
    let found = json!({ "required": ["instances"],
                        "properties": { "instances": { "type": "object" } } });
    match name {
        "app" => whole["anyOf"] = json!([{ "required": ["command"] }, found]),
        "app.instances" => {
            let dns = json!({ "required": ["dns", "server"] });
            whole["oneOf"] = json!([{ "required": ["consul"] }, dns]);
        }
        _ => {}
    }
    whole
}

fn apps() -> Value {
    json!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 40 },
        "additionalProperties": section("app"),
    })
}

fn groups() -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 40 },
        "additionalProperties": section("together"),
    })
}

/// Apps that go together.
fn members() -> Value {
    json!({ "type": "array", "minItems": 2, "uniqueItems": true,
        "items": { "type": "string", "minLength": 1 } })
}

/// What a value must be. One that is not known here may be anything.
fn sort(section: &str, key: &str) -> Value {
    let text = || json!({ "type": "string", "minLength": 1 });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let some =
        || json!({ "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } });
    let count =
        |least: u32, most: u32| json!({ "type": "integer", "minimum": least, "maximum": most });
    let one_of = |words: &[&str]| json!({ "enum": words });
    let path = || json!({ "type": "string", "pattern": "^/" });
    match (section, key) {
        ("history", "runs") => count(1, 100_000),
        ("history", "log_mib") => count(1, 65_536),
        ("api" | "proxy", "metrics" | "listen") if (section, key) != ("proxy", "listen") => text(),
        ("api" | "router", "token") => token(),
        ("app.instances", key) | ("app.consul", key @ "meta") => found(key),
        ("app.hooks" | "notify", key) => called(key),
        ("together", "apps") => members(),
        ("router", "places") => count(1, 1_000),
        ("router", "follower") => one_of(&["haproxy", "any"]),
        ("router", "listen") => some(),
        ("router", "kind") => {
            one_of(&drivers::router::ROUTERS.iter().map(|entry| entry.name).collect::<Vec<_>>())
        }
        // A list for HAProxy, one file for nginx.
        ("router", "config") => json!({ "anyOf": [text(), texts()] }),
        ("proxy", "listen" | "tls_listen" | "trusted")
        | ("router", "tls_listen")
        | ("proxy.limits", "client_exempt")
        | ("app", "hosts")
        | ("app.consul", "tags") => texts(),
        ("proxy.outliers", "failures") | ("proxy.limits", "min_body_rate") => count(0, 1_000_000),
        ("proxy.outliers", "share") | ("app.health", "fail_open") => {
            json!({ "type": "string", "pattern": "^[0-9]+%$" })
        }
        ("app.rollout.analysis", key) => analysis(key),
        ("app.rollout.metrics", key) if key != "command" => metric(key),
        ("app" | "app.health" | "app.rollout.metrics", "command") => {
            json!({ "type": "array", "minItems": 1, "items": { "type": "string" },
            "prefixItems": [{ "type": "string", "minLength": 1 }] })
        }
        ("proxy", "max_connections") => count(0, 1 << 20),
        ("proxy", "threads") => count(1, 256),
        ("proxy", "log_format") => one_of(&["json", "combined"]),
        ("proxy", "log_query")
        | ("proxy.outliers", "errors")
        | ("app.health", "tcp")
        | ("app.probe", "enabled" | "tls") => {
            json!({ "type": "boolean" })
        }
        (_, "maintenance") => json!({ "type": ["boolean", "string"], "minLength": 1 }),
        (_, "error_pages") => json!({ "type": "object", "additionalProperties": text(),
            "propertyNames": { "pattern": "^[45][0-9][0-9]$" } }),
        ("app", "environment") => environment(),
        ("app", "path_prefix")
        | ("app.health" | "app.probe", "path")
        | (
            _,
            "preview_path" | "websocket_path" | "upload_path" | "download_path" | "events_path"
            | "orders_path",
        ) => path(),
        ("app", "instances") | ("app.health", "rise" | "fall") | ("proxy.limits", "max_fields") => {
            count(1, 100)
        }
        ("app.rollout", key) => rollout(key),
        ("app.probe", "rate" | "pace" | "sockets" | "lanes") => probe(key),
        (_, key) if is_text(key) => text(),
        (_, key) if is_time(key) => time(),
        _ => json!({}),
    }
}

fn probe(key: &str) -> Value {
    let lanes = model::Lane::ALL.map(model::Lane::name);
    match key {
        "rate" => json!({ "type": "integer", "minimum": 1, "maximum": 5_000 }),
        "pace" => json!({ "enum": ["steady", "frugal", "exact"] }),
        "sockets" => json!({ "type": "integer", "minimum": 1, "maximum": 10_000 }),
        _ => {
            json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": lanes } })
        }
    }
}

/// Where instances are found.
fn found(key: &str) -> Value {
    match key {
        "at_least" => json!({ "type": "integer", "minimum": 1, "maximum": 100 }),
        "port" => json!({ "type": "integer", "minimum": 1, "maximum": 65_535 }),
        "meta" => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        "token" => token(),
        _ => json!({ "type": "string", "minLength": 1 }),
    }
}

/// What is called, and when.
fn called(key: &str) -> Value {
    let of_side = |side| {
        let moments = Moment::ALL.into_iter().filter(|moment| moment.side() == side);
        json!({ "enum": moments.map(Moment::phase).collect::<Vec<_>>() })
    };
    match key {
        "name" => json!({ "type": "string", "pattern": "^[a-z0-9-]{1,40}$" }),
        "before" | "after" => of_side(key),
        "step" => json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 10_000 },
            { "type": "string", "pattern": "(%| instances?)$" }] }),
        "command" => json!({ "type": "array", "minItems": 1, "items": { "type": "string" } }),
        "url" => json!({ "type": "string", "pattern": "^https?://" }),
        "token" => json!({ "type": "object", "required": ["from"], "additionalProperties": false,
            "properties": { "from": { "type": "string", "minLength": 1 } } }),
        "ca" => json!({ "type": "string", "minLength": 1 }),
        "retries" => json!({ "type": "integer", "minimum": 0, "maximum": 10 }),
        "on_failure" => json!({ "enum": ["abort", "pause", "continue"] }),
        "once" | "rollback" => json!({ "type": "boolean" }),
        "events" => json!({ "type": "array", "minItems": 1,
            "items": { "enum": super::Told::NAMES } }),
        _ => time(),
    }
}

fn analysis(key: &str) -> Value {
    match key {
        "enabled" | "latency" | "early" => json!({ "type": "boolean" }),
        "inconclusive" => json!({ "enum": ["promote", "abort", "pause"] }),
        "count_by" => json!({ "enum": ["client", "request"] }),
        "p99" => time(),
        key if is_time(key) => time(),
        _ => json!({}),
    }
}

fn metric(key: &str) -> Value {
    match key {
        "name" | "query" | "ca" => json!({ "type": "string", "minLength": 1 }),
        "prometheus" => json!({ "type": "string", "pattern": "^https?://" }),
        "token" | "password" => token(),
        "user" => json!({ "type": "string", "pattern": "^[^:]+$" }),
        "min" | "max" => json!({ "type": "number" }),
        "failures" => json!({ "type": "integer", "minimum": 1, "maximum": 100 }),
        "no_data" => json!({ "enum": ["pause", "abort", "ignore"] }),
        key if is_time(key) => time(),
        _ => json!({}),
    }
}

fn rollout(key: &str) -> Value {
    let count =
        |least: u32, most: u32| json!({ "type": "integer", "minimum": least, "maximum": most });
    match key {
        "strategy" => json!({ "enum": super::Strategy::NAMES }),
        "steps" => json!({ "type": "array", "minItems": 1, "items": { "anyOf": [
            { "type": "string", "pattern": "^(pause|[0-9]{1,2}(\\.[0-9]{1,2})?%)$" },
            { "type": "object", "required": ["instances"], "additionalProperties": false,
                "properties": { "instances": count(1, 100) } }] } }),
        "slots" => json!({ "enum": ["ping-pong", "home"] }),
        "incident" => json!({ "enum": ["pause", "resume"] }),
        "gates" => json!({ "type": "object", "propertyNames": { "pattern": "(%| instances?)$" },
            "additionalProperties": { "type": "array", "items": { "type": "string" } } }),
        "sticky" => json!({ "const": "cohort" }),
        "cohort" => json!({ "type": "object" }),
        "target" => {
            json!({ "anyOf": [target(), { "type": "array", "minItems": 1, "items": target() }] })
        }
        "batch" => json!({ "anyOf": [count(1, 100), portion("[1-9][0-9]?")] }),
        "surge" => json!({ "anyOf": [count(0, 100), portion("[1-9]?[0-9]")] }),
        "handover" => json!({ "anyOf": [{ "enum": ["app", "close-1012"] }, { "type": "object",
            "required": ["frame"], "additionalProperties": false,
            "properties": { "frame": { "type": "string", "minLength": 1 } } }] }),
        "handover_rate" | "handover_at_once" => count(1, 100_000),
        "hold_requests" => count(1, u32::MAX),
        "preview_requests" => count(0, 10_000),
        "max_errors" => count(0, 1_000_000),
        "max_error_share" => json!({ "type": "number", "minimum": 0.00005, "maximum": 1 }),
        "preview" => json!({ "anyOf": [time(), { "const": "pause" }] }),
        "preview_path" => json!({ "type": "string", "pattern": "^/" }),
        key if is_time(key) => time(),
        _ => json!({}),
    }
}

/// A whole percentage, of which those below 100 are written like that.
fn portion(below: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^({below}|100)%$") })
}

/// Keys whose value is a text that is not empty.
fn is_text(key: &str) -> bool {
    const TEXTS: [&str; 12] = [
        "address",
        "ca",
        "host",
        "tls_server_name",
        "state_dir",
        "access_log",
        "chain",
        "key",
        "socket",
        "directory",
        "program",
        "version_header",
    ];
    TEXTS.contains(&key)
}

/// Keys whose value is a duration.
fn is_time(key: &str) -> bool {
    const TIMES: [&str; 14] = [
        "answer_begins",
        "answer_silence",
        "drain_timeout",
        "upgrade_timeout",
        "slow_start",
        "stop_timeout",
        "interval",
        "timeout",
        "deadline",
        "step_bake",
        "hold",
        "bake",
        "longest_request",
        "handover_timeout",
    ];
    TIMES.contains(&key)
        || matches!(key, "keep_old" | "late_after" | "eject" | "eject_most")
        || matches!(key, "slowness" | "idle_most" | "body_grace")
        || key.ends_with("_timeout")
}

fn time() -> Value {
    json!({ "type": "string", "minLength": 2, "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" })
}

fn target() -> Value {
    let on = ["header", "cookie", "query", "source"];
    let mut properties = Map::new();
    for key in on.into_iter().chain(["value", "prefix"]) {
        properties.insert(key.to_owned(), json!({ "type": "string", "minLength": 1 }));
    }
    properties.insert("present".to_owned(), json!({ "const": true }));
    properties.insert("to".to_owned(), json!({ "enum": ["candidate", "stable"] }));
    let one = on.map(|key| json!({ "required": [key] }));
    json!({ "type": "object", "properties": properties, "additionalProperties": false, "oneOf": one })
}

fn environment() -> Value {
    let from = json!({ "type": "object", "required": ["from"], "additionalProperties": false,
        "properties": { "from": { "type": "string", "minLength": 1, "pattern": "^[^=]+$" } } });
    json!({ "type": "object", "additionalProperties": { "anyOf": [{ "type": "string" }, from] },
        "propertyNames": { "pattern": "^[^=]+$", "not": { "enum": ["PORT", "VERSION"] } } })
}

fn token() -> Value {
    let place = |key: &str| {
        json!({ "type": "object", "required": [key], "additionalProperties": false,
        "properties": { key: { "type": "string", "minLength": 1 } } })
    };
    json!({ "anyOf": [place("from"), place("file")] })
}

/// What the template says of a key: the comment above it, or above the first key of its group.
fn comment(section: &str, key: &str) -> Option<String> {
    let head = match section {
        "" => String::new(),
        "proxy.certificates" | "app.hooks" | "notify" => return None,
        "app.rollout.metrics" => "[[app.web.rollout.metrics]]".to_owned(),
        other => format!("[{}]", other.replacen("app", "app.web", 1)),
    };
    let mut lines = template().lines().map(str::trim_end);
    if !head.is_empty() {
        lines.find(|line| *line == head || line.strip_prefix("# ") == Some(head.as_str()))?;
    }
    let mut said: Vec<&str> = Vec::new();
    let mut keys = false;
    for line in lines {
        let plain = line.strip_prefix("# ").unwrap_or(line);
        let is_key = plain.split_once(" = ").is_some_and(|(name, _)| {
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        });
        if line.starts_with('[') || plain.starts_with('[') && plain.ends_with(']') {
            return None;
        }
        if is_key && plain.starts_with(&format!("{key} = ")) {
            return (!said.is_empty()).then(|| said.join(" "));
        }
        match (is_key, line.strip_prefix("# ")) {
            (false, Some(text)) => {
                if std::mem::take(&mut keys) {
                    said.clear();
                }
                said.push(text);
            }
            (true, _) => keys = true,
            _ => said.clear(),
        }
    }
    None
}
