//! What is named in configurations that lack something, and where. What a real nginx
//! takes and does is not tried here.

use std::time::Duration;

use super::{cuts, review};
use crate::router::finding::Severity;
use crate::router::nginx::setup::app_setup;

const GOOD: &str = "# configuration file /e/nginx.conf:
worker_shutdown_timeout 1h;
http {
    keepalive_min_timeout 5s; client_header_timeout 10s;
    proxy_set_header Upgrade $http_upgrade;
    server {
        location / {
            proxy_pass http://$cutover_demo;
            proxy_http_version 1.1;
            add_header X-Cutover-Version $cutoverstamp_demo always;
        }
    }
}
";

fn of(text: &str, version: &str) -> Vec<String> {
    let found = review(text, version, &[&app_setup("demo")]).unwrap();
    found.iter().map(|one| format!("{}: {} -> {}", one.setting, one.value, one.needed)).collect()
}

/// What is there, what comes instead, in which version, and what is named then.
const LACKS: [(&str, &str, &str, &str); 13] = [
    (
        "keepalive_min_timeout 5s;",
        "",
        "1.30.6",
        "keepalive_min_timeout: not set -> keepalive_min_timeout 5s;",
    ),
    (
        "keepalive_min_timeout 5s;",
        "keepalive_min_timeout 0;",
        "1.27.4",
        "keepalive_min_timeout: keepalive_min_timeout 0 -> keepalive_min_timeout 5s;",
    ),
    (
        "keepalive_min_timeout 5s;",
        "",
        "1.26.3",
        "keepalive_min_timeout: not available in nginx 1.26.3 -> nginx 1.27.4 or newer",
    ),
    (
        "keepalive_min_timeout 5s;",
        "keepalive_min_timeout 1m;",
        "1.30.6",
        "keepalive_min_timeout: keepalive_min_timeout 1m -> keepalive_min_timeout 5s;",
    ),
    (
        "worker_shutdown_timeout 1h;",
        "",
        "1.30.6",
        "worker_shutdown_timeout: not set -> worker_shutdown_timeout 1h;",
    ),
    (
        "client_header_timeout 10s;",
        "",
        "1.30.6",
        "client_header_timeout: not set -> client_header_timeout 10s;",
    ),
    (
        "client_header_timeout 10s;",
        "client_header_timeout 11s;",
        "1.30.6",
        "client_header_timeout: client_header_timeout 11s -> client_header_timeout 10s;",
    ),
    (
        "http://$cutover_demo;",
        "http://$cutover_demo/${2}x;",
        "1.30.6",
        "proxy_pass: proxy_pass http://$cutover_demo/${2}x -> a name in the pattern, as in `location ~ \
             ^/x/(?<rest>.*)$`, and `$rest` in place of `$1`",
    ),
    (
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header X-Page a$9;",
        "1.30.6",
        "proxy_set_header: proxy_set_header X-Page a$9 -> a name in the pattern, as in `location ~ \
             ^/x/(?<rest>.*)$`, and `$rest` in place of `$1`",
    ),
    (
        "proxy_http_version 1.1;",
        "",
        "1.28.0",
        "proxy_http_version: not set -> proxy_http_version 1.1;",
    ),
    (
        "proxy_set_header Upgrade $http_upgrade;",
        "",
        "1.30.6",
        "proxy_set_header Upgrade: not set -> proxy_set_header Upgrade $http_upgrade;",
    ),
    (
        "    server",
        "    proxy_next_upstream error non_idempotent; server",
        "1.30.6",
        "proxy_next_upstream: proxy_next_upstream error non_idempotent -> \
          proxy_next_upstream error timeout;",
    ),
    (
        "    server",
        "    proxy_next_upstream off; server",
        "1.30.6",
        "proxy_next_upstream: proxy_next_upstream off -> proxy_next_upstream error timeout;",
    ),
];

#[test]
fn each_setting_that_loses_requests_is_named_with_its_edit() {
    assert_eq!(of(GOOD, "1.30.6"), Vec::<String>::new());
    for (there, instead, version, wanted) in LACKS {
        assert_eq!(of(&GOOD.replace(there, instead), version), [wanted]);
    }
    assert_eq!(of(&GOOD.replace("proxy_http_version 1.1;", ""), "1.29.7"), Vec::<String>::new());
}

#[test]
fn a_literal_proxy_pass_is_refused_with_its_place() {
    for literal in ["http://127.0.0.1:3000", "http://$cutover_demo_1"] {
        let text = GOOD.replace("http://$cutover_demo;", &format!("{literal};"));
        let fault = review(&text, "1.30.6", &[&app_setup("demo")]).unwrap_err();
        assert!(fault.notes[0].contains(literal), "{fault:?}");
        assert!(fault.notes[0].contains("/e/nginx.conf:7"), "{fault:?}");
        assert!(fault.help.unwrap().contains("proxy_pass http://$cutover_demo;"));
    }
}

#[test]
fn only_one_finding_says_that_a_reload_cuts() {
    let demo = app_setup("demo");
    let found = review(&GOOD.replace("_min_timeout 5s", "_min_timeout 0"), "1.30.6", &[&demo]);
    assert!(found.unwrap().iter().all(cuts));
    let found = review(&GOOD.replace("_min_timeout 5s", "_min_timeout 1m"), "1.30.6", &[&demo]);
    assert!(!found.unwrap().iter().any(cuts));
    let found = review(&GOOD.replace("worker_shutdown_timeout 1h;", ""), "1.30.6", &[&demo]);
    assert!(!found.unwrap().iter().any(cuts));
}

/// What holds is what the innermost block says; what another server says is its own affair.
#[test]
fn settings_are_looked_up_where_they_hold() {
    let location = "        location / {\n";
    let server = "    server {\n";
    let other =
        |text: &str| format!("    server {{ {text} location / {{ return 204; }} }}\n{server}");
    for (there, instead, wanted) in [
        (server, other("keepalive_min_timeout 0; proxy_next_upstream off;"), vec![]),
        (
            server,
            format!("{server}keepalive_min_timeout 0s;\n"),
            vec!["6 keepalive_min_timeout 0s -> keepalive_min_timeout 5s;"],
        ),
        (
            location,
            format!("location /i/ {{ keepalive_min_timeout 0; }}\n{location}"),
            vec!["6 keepalive_min_timeout 0 -> keepalive_min_timeout 5s;"],
        ),
        (server, format!("keepalive_timeout 0 5s;\n{}", other("keepalive_min_timeout 0;")), vec![]),
        (server, format!("proxy_next_upstream off;\n{server}proxy_next_upstream error;\n"), vec![]),
        (
            location,
            format!(
                "{location}proxy_next_upstream_tries 1;\nproxy_next_upstream error off non_idempotent;"
            ),
            vec![
                "8 proxy_next_upstream error off non_idempotent -> proxy_next_upstream error timeout;",
                "7 proxy_next_upstream_tries 1 -> proxy_next_upstream_tries 2;",
            ],
        ),
        (
            location,
            format!("{location}proxy_set_header Host $host;\n"),
            vec![
                "8 that of /e/nginx.conf:4 does not hold: /e/nginx.conf:7 has its own -> proxy_set_header \
                 Upgrade $http_upgrade;",
            ],
        ),
        (
            location,
            format!("{location}add_header_inherit merge;\nproxy_next_upstream http_502 timeout;\n"),
            vec!["8 proxy_next_upstream http_502 timeout -> proxy_next_upstream error timeout;"],
        ),
    ] {
        let found = placed(&GOOD.replacen(there, &instead, 1), "1.30.6");
        assert_eq!(found, wanted, "{instead}");
    }
    let merged =
        GOOD.replace("            add_header X-Cutover-Version $cutoverstamp_demo always;\n", "");
    let merged = merged
        .replace(server, &format!("{server}add_header X-Cutover-Version $cutoverstamp_demo;\n"));
    assert_eq!(placed(&merged, "1.30.6"), Vec::<String>::new());
    let own = merged.replace(location, &format!("{location}add_header A b;\n"));
    assert_eq!(placed(&own, "1.30.6").len(), 1);
    let both = own.replace(server, &format!("{server}add_header_inherit merge;\n"));
    assert_eq!(placed(&both, "1.30.6"), Vec::<String>::new());
    // Where nothing is kept, a reload cuts nothing, in old versions neither.
    let closing = GOOD.replace("keepalive_min_timeout 5s;", "keepalive_timeout 0;");
    assert_eq!(placed(&closing.replace("1h", "2h"), "1.30.6"), Vec::<String>::new());
    assert!(placed(&closing, "1.22.1").iter().all(|one| !one.contains("keepalive")), "{closing}");
}

fn placed(text: &str, version: &str) -> Vec<String> {
    let found = review(text, version, &[&app_setup("demo")]).unwrap();
    found
        .iter()
        .map(|one| format!("{} {} -> {}", one.at.as_ref().unwrap().line, one.value, one.needed))
        .collect()
}

/// Ten seconds for a request and a minute for tunnels: a worker that ends cuts neither.
#[test]
fn workers_that_end_too_soon_are_named_with_what_they_cut() {
    for (written, why) in [
        ("9s", Some("requests then, and one of demo may last 10 s (`longest_request`)")),
        ("59s", Some("tunnels then, and a rollout of demo gives them 60 s")),
        ("0", Some("never ends")),
        ("1m", None),
    ] {
        let text = GOOD.replace("timeout 1h", &format!("timeout {written}"));
        let found = review(&text, "1.30.6", &[&app_setup("demo")]).unwrap();
        assert_eq!(found.len(), usize::from(why.is_some()), "{written}: {found:?}");
        if let (Some(found), Some(why)) = (found.first(), why) {
            assert!(found.why.contains(why), "{found:?}");
            assert_eq!(found.value, format!("worker_shutdown_timeout {written}"));
            assert_eq!(found.at.as_ref().unwrap().to_string(), "/e/nginx.conf:1");
            assert_eq!(found.needed, "worker_shutdown_timeout 1h;");
        }
    }
    let mut slow = app_setup("slow");
    slow.tunnels = Duration::from_hours(2);
    let text = GOOD.replace("_demo", "_slow");
    let found = review(&text, "1.30.6", &[&slow]).unwrap();
    assert_eq!(found[0].needed, "worker_shutdown_timeout 3h;");
}

/// A client may be silent as long as a request lasts; of an app of short ones, it is not cut at once.
#[test]
fn silent_clients_may_be_so_for_as_long_as_what_they_ask_for() {
    for (longest_ms, needed) in [
        (300, Some("client_header_timeout 1s;")),
        (1_500, Some("client_header_timeout 1500ms;")),
        (9_999, Some("client_header_timeout 9999ms;")),
        (10_000, None),
        (60_000, None),
    ] {
        let mut demo = app_setup("demo");
        demo.longest_request = Duration::from_millis(longest_ms);
        let found = review(GOOD, "1.30.6", &[&demo]).unwrap();
        assert_eq!(found.first().map(|one| one.needed.as_str()), needed, "{found:?}");
    }
    let mut slow = app_setup("demo");
    slow.longest_request = Duration::from_mins(1);
    let unset = GOOD.replace("client_header_timeout 10s;", "");
    assert_eq!(review(&unset, "1.30.6", &[&slow]).unwrap(), []);
}

/// In the same server, or in another one of the same name; not what somebody else is asked for. What may well
/// be another service is only noted.
#[test]
fn who_passes_by_is_named() {
    const LOSES: Option<Severity> = Some(Severity::Loses);
    const NOTE: Option<Severity> = Some(Severity::Note);
    let first = "    server {\n";
    let own = "location /api/ { proxy_pass http://$cutover_demo; }";
    let named = |theirs: &str, location: &str, ours: &str| {
        format!(
            "server {{ server_name {theirs}; location {location} {{ proxy_pass http://10.0.0.7; }} }}\n\
             {first}server_name {ours};\n"
        )
    };
    let beside = |location: &str, to: &str| {
        format!("{first}location {location} {{ proxy_pass {to}; }} server_name a.test _;\n")
    };
    for (instead, prefix, found) in [
        (beside("/old/", "http://10.0.0.7:80/x"), "/", NOTE),
        (beside("/old/", "http://10.0.0.7$request_uri"), "/", NOTE),
        (beside("~ [.]png$", "http://10.0.0.7"), "/", NOTE),
        (beside("~ /x", "http://cutover_demo_r1"), "/api/", LOSES),
        (beside("/old/", "http://cutover_demo_r1/x"), "/", LOSES),
        (beside("/old/", "http://cutover_demo_r1_r2"), "/", NOTE),
        (beside("= /api/x", "http://unix:/run/x"), "/api/", LOSES),
        (beside("/api/old", "http://10.0.0.7"), "/api", LOSES),
        (beside("= /", "http://10.0.0.7"), "/", LOSES),
        (beside("/api-docs", "http://10.0.0.7"), "/api", NOTE),
        (beside("/other-api", "http://10.0.0.7"), "/api/", None),
        (beside("/", "http://10.0.0.7"), "/api/", None),
        (beside("/old/", "http://$cutover_other"), "/", None),
        (beside("/old/", "http://$somebody/x"), "/", None),
        (named("a.test b.test", "/", "b.test"), "/api/", LOSES),
        (named("b.test", "/", "b.test"), "/", LOSES),
        (named("b.test", "/static/", "b.test"), "/", NOTE),
        (
            named("b.test", "/", "b.test").replacen("location", &format!("{own} location"), 1),
            "/api/",
            None,
        ),
        (named("a.test", "/", "b.test"), "/", None),
        (named("_", "/", "_"), "/", None),
    ] {
        let mut demo = app_setup("demo");
        prefix.clone_into(&mut demo.path_prefix);
        let text = GOOD.replace("location / {", &format!("location {prefix} {{"));
        let text = text.replace(first, &instead);
        let mut said = review(&text, "1.30.6", &[&demo]).unwrap();
        said.retain(|one| one.setting == "proxy_pass");
        let severity: Vec<_> = said.iter().map(|one| one.severity).collect();
        assert_eq!(severity, found.into_iter().collect::<Vec<_>>(), "{instead}: {said:?}");
        for one in said {
            let line = if instead.starts_with("server") { 5 } else { 6 };
            assert_eq!(one.at.unwrap().line, line);
            let edit = "proxy_pass http://$cutover_demo;";
            assert_eq!(one.needed == edit, found == LOSES, "{}", one.needed);
            assert!(one.needed == edit || one.why.contains(edit), "{}", one.why);
        }
    }
}
