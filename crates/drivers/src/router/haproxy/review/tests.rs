//! Configurations of several shapes and what each of them lacks.
//!
//! What HAProxy itself makes of them is not tried here, but in `tests/engines`.

use super::review;
use crate::router::haproxy::config::{AppSetup, Discovery, Setup, render};
use crate::router::haproxy::line::Address;
use model::AppName;

/// The settings of the findings, each with its section.
fn lacks(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> =
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let say = |one: super::Finding| {
        let at = one.at.map_or("-".to_owned(), |at| at.to_string());
        format!("{}: {} = {} @ {at}", one.section, one.setting, one.value)
    };
    review(&files).into_iter().map(say).collect()
}

fn setup() -> Setup {
    let name = AppName::new("demo").unwrap();
    let check_path = Some("/healthz".to_owned());
    Setup {
        directory: "/d".into(),
        socket: "/d/s".into(),
        master: Address::Unix("/d/m".into()),
        entrances: vec![([127, 0, 0, 1], 8080).into()],
        apps: vec![AppSetup { name, check_path, check_ms: 200, looks_at: vec![] }],
        discovery: None,
    }
}

/// Our own configuration, as it is written.
fn ours() -> Vec<(String, String)> {
    render(&setup()).unwrap().into_iter().map(|file| (file.name, file.text)).collect()
}

#[test]
fn our_own_configuration_lacks_nothing_and_each_line_is_missed() {
    let files = ours();
    assert_eq!(review(&files), []);
    let without = |words: &str| {
        let less = files.iter().map(|(name, text)| {
            let lines = text.lines().filter(|line| !line.trim_start().starts_with(words));
            (name.clone(), lines.collect::<Vec<_>>().join("\n"))
        });
        review(&less.collect::<Vec<_>>())
    };
    for words in [
        "stats socket",
        "hard-stop-after",
        "option idle-close-on-response",
        "option http-server-close",
        "option redispatch",
        "timeout connect",
        "timeout client 60s",
        "timeout server",
        "timeout tunnel",
        "timeout check",
        "http-request disable-l7-retry",
        "default-server",
    ] {
        let found = without(words);
        let named = |one: &super::Finding| {
            words.starts_with(&one.setting) || one.needed.contains("disable-l7-retry")
        };
        assert!(found.iter().any(named), "{words}: {found:#?}");
    }
    // Without `retry-on`, HAProxy's own default holds.
    assert_eq!(without("retry-on"), []);
}

/// The configuration of the demo that Cutover answers, word by word but for names.
const DEMO: &str = include_str!("../../../../../../examples/haproxy-blue-green/naive/haproxy.cfg");

#[test]
fn the_demos_configuration_is_told_what_it_loses() {
    let found = lacks(&[("haproxy.cfg", DEMO)]);
    let wanted = [
        "global: stats socket = stats socket ipv4@127.0.0.1:${API} level admin @ haproxy.cfg:7",
        "global: hard-stop-after = not set @ haproxy.cfg:5",
        "frontend igw: option idle-close-on-response = not set @ haproxy.cfg:17",
        "backend blue: retries = retries 1000 @ haproxy.cfg:29",
        "backend blue: retry-on = retry-on all-retryable-errors @ haproxy.cfg:30",
        "backend blue: option http-server-close = http-reuse aggressive @ haproxy.cfg:12",
        "backend blue: timeout tunnel = not set @ haproxy.cfg:22",
        "backend blue: timeout check = not set @ haproxy.cfg:22",
        "backend blue: timeout queue = not set, and `server blue 127.0.0.1:${BLUE} maxconn 10 check \
         inter 2s fall 2 rise 2 slowstart 5000` @ haproxy.cfg:32",
        "backend blue: servers = server blue 127.0.0.1:${BLUE} maxconn 10 check inter 2s fall 2 rise \
         2 slowstart 5000 @ haproxy.cfg:32",
    ];
    assert_eq!(found[..10], wanted);
    let of = |backend: &str| found.iter().filter(|one| one.starts_with(backend)).count();
    assert_eq!((of("backend blue"), of("backend green"), found.len()), (7, 7, 17));
}

/// The files of an app whose instances Consul tells.
#[test]
fn places_that_would_leave_instances_out_are_told() {
    let discovery =
        Discovery { dns: ([127, 0, 0, 1], 8600).into(), domain: "consul".into(), places: 4 };
    let files = render(&Setup { discovery: Some(discovery), ..setup() }).unwrap();
    let with = |changes: &[(&str, &str)]| {
        let change = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        let texts = files
            .iter()
            .map(|file| (file.name.clone(), changes.iter().fold(file.text.clone(), change)));
        let found = review(&texts.collect::<Vec<_>>());
        found.iter().map(|one| (one.section.clone(), one.needed.clone())).collect::<Vec<_>>()
    };
    assert!(files[1].text.contains(" place 1-4 _demo._b.service.consul resolvers cutover_consul "));
    assert_eq!(with(&[]), []);
    let without = (" resolve-opts allow-dup-ip", "");
    let found = with(&[without]);
    let needed = "resolve-opts allow-dup-ip".to_owned();
    assert_eq!(found[0], ("backend cutover_demo_a".to_owned(), needed));
    assert_eq!(found.len(), 4, "{found:?}");
    // What all of them get is theirs, too.
    let all = ("default-server check", "default-server resolve-opts allow-dup-ip check");
    assert_eq!(with(&[without, all]), []);
}

#[test]
fn a_good_one_of_another_shape_lacks_nothing() {
    let text = "global\n  stats socket /run/a.sock level user\n  stats socket /run/b.sock mode 600 \
        level admin expose-fd listeners\n  hard-stop-after 30m\n\
        defaults base\n  mode http\n  timeout client 1m\n  timeout server 1m\n  timeout connect 3s\n\
        defaults web from base\n  timeout tunnel 1h\n  timeout check 1s\n  retries 2\n  option \
        redispatch\n  retry-on conn-failure response-timeout 503 # any\n  \
        option idle-close-on-response\n\
        listen shop from web\n  bind :80\n  option http-server-close\n  acl writes method POST PATCH\n  \
        http-request disable-l7-retry if writes\n  default-server check inter 1s\n  \
        server-template s 4 shop.local:80 resolvers dns resolve-opts ignore-weight,allow-dup-ip\n\
        frontend stats\n  bind :8404\n  stats enable\n\
        listen mail from web\n  mode tcp\n  bind :25\n  server m 10.0.0.9:25\n";
    assert_eq!(lacks(&[("h.cfg", text)]), Vec::<String>::new());
}

#[test]
fn what_a_section_takes_back_or_inherits_from_another_is_told_with_its_place() {
    let text = "global\n  stats socket /s level admin expose-fd listeners\n  hard-stop-after 1h\n\
        defaults\n  mode http\n  timeout client 1m\n  timeout server 1m\n  timeout connect 3s\n  \
        timeout tunnel 1h\n  timeout check 1s\n  option redispatch\n  option http-server-close\n  \
        option idle-close-on-response\n  retry-on none\n\
        frontend in\n  bind :80\n  no option idle-close-on-response\n  default_backend b\n\
        backend b\n  no option redispatch\n  retries 0\n  retry-on 503\n  http-request \
        disable-l7-retry if { path_beg /api } METH_POST\n  server one 10.0.0.1:80 check\n  \
        server two 10.0.0.2:80 no-check\n  server three 10.0.0.3:80 check backup\n";
    let wanted = [
        "frontend in: option idle-close-on-response = no option idle-close-on-response @ h.cfg:17",
        "backend b: option redispatch = no option redispatch @ h.cfg:20",
        "backend b: retries = retries 0 @ h.cfg:21",
        "backend b: retry-on = retry-on 503 @ h.cfg:22",
        "backend b: retry-on = retry-on 503 @ h.cfg:22",
        "backend b: check = server two 10.0.0.2:80 no-check @ h.cfg:25",
    ];
    assert_eq!(lacks(&[("h.cfg", text)]), wanted);
}

#[test]
fn beside_cutovers_own_backends_others_are_none_of_its_business() {
    let mut files = ours();
    let theirs = "defaults\n  mode http\nfrontend old\n  bind :81\n  default_backend old\n\
        backend old\n  server one 10.0.0.1:80\n";
    files.push(("zz.cfg".to_owned(), theirs.to_owned()));
    assert_eq!(review(&files), []);
    // One of their own frontends that sends to an app counts.
    let sends = "defaults d\n  mode http\nfrontend new from d\n  bind :82\n  use_backend \
        cutover_demo_a if { path_beg /x }\n";
    files.push(("zzz.cfg".to_owned(), sends.to_owned()));
    let found = review(&files);
    assert!(found.iter().all(|one| one.section == "frontend new"), "{found:#?}");
    assert_eq!(found.len(), 2);
}

#[test]
fn a_file_that_carries_nothing_is_not_called_right() {
    for text in ["", "garbage \u{0} \"", "backend b\n  server s 10.0.0.1:80\n", "listen\n"] {
        let found = lacks(&[("h.cfg", text)]);
        assert!(found.iter().any(|one| one.contains("`backend` with servers")), "{found:?}");
    }
}
