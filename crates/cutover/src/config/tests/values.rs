//! Values that are right: defaults, units, names. Whatever is wrong is in `mistakes`.

use std::time::Duration;

use model::admin::{AccessLog, KeyPair, LogFormat, Maintenance, Observation, Page, Settings};
use model::limits::{AppLimits, Limits};
use model::{AppName, Farewell, Lane, Outliers, Pace};

use super::super::shape::{EnvironmentValue, RouterConfig, Strategy, TokenPlace};
use super::super::{names, template};
use super::{good, parse, web};
use crate::duration;

#[test]
fn defaults_are_filled_in() {
    let config = good("[app.web]\ncommand = [\"./server\"]\n");
    assert_eq!(config.state_dir.to_str(), Some(".cutover"));
    assert_eq!(config.proxy.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert!(config.proxy.threads >= 1);
    let app = config.apps.values().next().unwrap();
    assert_eq!((app.instances, app.path_prefix.as_str()), (1, "/"));
    assert_eq!(app.stop_timeout, Duration::from_secs(10));
    assert_eq!(app.health.path.as_deref(), Some("/"));
    assert_eq!((app.health.interval.as_millis(), app.health.rise, app.health.fall), (500, 3, 3));
    assert_eq!(app.rollout.strategy, Strategy::BlueGreen);
    assert_eq!((app.rollout.preview_requests, app.rollout.max_errors), (20, 3));
    assert!((app.rollout.max_error_share - 0.01).abs() < f64::EPSILON);
    assert_eq!(app.probe.lanes, [Lane::KeepAlive, Lane::Fresh]);
    assert_eq!(app.probe.version_header, "x-app-version");
}

#[test]
fn the_template_is_valid_says_every_key_and_holds_the_defaults() {
    let mut config = good(template());
    for (section, keys) in names::KEYS {
        for key in keys {
            let mentioned = template().lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{key} = "))
                    || line.contains(&format!("{key}]"))
                    || line.starts_with(&format!("[{key}."))
            });
            assert!(mentioned, "`{key}` of `[{section}]` is not in the template");
        }
    }
    let mut plain = good("[app.web]\ncommand = [\"./server\", \"--port\", \"{port}\"]\n");
    config.proxy.threads = 0;
    plain.proxy.threads = 0;
    config.apps.values_mut().for_each(|app| app.environment.clear());
    assert_eq!(config, plain);
}

#[test]
fn durations_are_read_and_written_alike() {
    for (text, ms) in [
        ("0s", 0),
        ("500ms", 500),
        ("90s", 90_000),
        ("1m30s", 90_000),
        ("2h", 7_200_000),
        ("1h1m1s1ms", 3_661_001),
    ] {
        let found = duration::parse(text).unwrap();
        assert_eq!(found, Duration::from_millis(ms), "{text}");
        assert_eq!(duration::parse(&duration::show(found)), Some(found), "{text}");
    }
    for text in [
        "",
        "30",
        "s",
        "1.5s",
        "10 s",
        "1s1m",
        "1s1s",
        "-1s",
        "99999999999999999999s",
        "1d",
        "9999999999999999h",
        "١s",
    ] {
        assert_eq!(duration::parse(text), None, "{text:?}");
    }
}

#[test]
fn what_a_duration_probably_meant() {
    let usual = Duration::from_secs(2);
    let repair = |text| duration::repair(text, usual).map(duration::show);
    for (text, fix) in [
        ("30", "30s"),
        ("3000", "3s"),
        ("0", "0s"),
        ("1.5s", "1s500ms"),
        ("10 sec", "10s"),
        ("5 Minutes", "5m"),
    ] {
        assert_eq!(repair(text).as_deref(), Some(fix), "{text}");
    }
    for text in ["soon", "1e999", "1.2.3s", ""] {
        assert_eq!(repair(text), None, "{text}");
    }
}

#[test]
fn hosts_are_compared_in_lower_case_and_ports_may_be_free_ones() {
    let app = web("hosts = [\"Shop.Example\", \"10.0.0.1\", \"[::1]\", \"my_app\"]");
    assert_eq!(app.hosts, ["shop.example", "10.0.0.1", "[::1]", "my_app"]);
    let config = good(
        "[proxy]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\", \"[::1]:80\", \"0.0.0.0:80\"]\n\
         [app.web]\ncommand = [\"a\"]\n",
    );
    assert_eq!(config.proxy.listen.len(), 4);
}

#[test]
fn tls_and_limits_are_told_to_the_proxy_as_they_are_written() {
    let text = "[proxy]\ntls_listen = [\"0.0.0.0:443\", \"[::1]:8443\"]\n\
                certificates = [{ chain = \"c/a.pem\", key = \"/k/a.pem\" }]\n\
                trusted = [\"10.0.0.0/8\", \"::1\"]\nanswer_begins = \"0s\"\nanswer_silence = \"2s\"\n\
                [app.web]\ncommand = [\"a\"]\n";
    let proxy = parse(text, "/srv/cutover.toml").unwrap().proxy;
    assert_eq!(proxy.listen, ["127.0.0.1:8080".parse().unwrap()], "the prober's, as before");
    assert_eq!(proxy.tls_listen.len(), 2);
    let pair = KeyPair { chain: "/srv/c/a.pem".into(), key: "/k/a.pem".into() };
    assert_eq!(proxy.certificates, [pair]);
    let trusted = vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
    let settings =
        Settings { answer_begins_ms: 0, answer_silence_ms: 2_000, trusted, ..Settings::default() };
    assert_eq!(proxy.settings, settings);
    assert_eq!(good("[app.web]\ncommand = [\"a\"]\n").proxy.settings, Settings::default());
}

#[test]
fn what_the_proxy_tells_and_answers_is_sent_to_it_as_it_is_written() {
    let text = "[proxy]\naccess_log = \"log/a.log\"\nlog_format = \"combined\"\n\
                log_query = false\nmetrics = \"127.0.0.1:9180\"\nmax_connections = 7\n\
                error_pages = { 502 = \"502.html\" }\nmaintenance = false\n\
                [app.web]\ncommand = [\"a\"]\nerror_pages = { 503 = \"/p/503.html\" }\n\
                maintenance = \"m.html\"\n[app.b]\ncommand = [\"b\"]\nhosts = [\"b\"]\n\
                maintenance = true\n";
    let proxy = parse(text, "/srv/cutover.toml").unwrap().proxy;
    let path = "/srv/log/a.log".into();
    let access_log = Some(AccessLog { path, format: LogFormat::Combined, query: false });
    let metrics = Some("127.0.0.1:9180".parse().unwrap());
    assert_eq!(proxy.observation, Observation { access_log, metrics });
    let app = |name| Some(AppName::new(name).unwrap());
    let page = |app, status, file: &str| Page { app, status, file: file.into() };
    let of = |app, file: Option<&str>| Maintenance { app, file: file.map(Into::into) };
    let settings = Settings {
        max_connections: 7,
        pages: vec![page(None, 502, "/srv/502.html"), page(app("web"), 503, "/p/503.html")],
        maintenance: vec![of(app("b"), None), of(app("web"), Some("/srv/m.html"))],
        ..Settings::default()
    };
    assert_eq!(proxy.settings, settings);
    let silent = good("[app.web]\ncommand = [\"a\"]\n").proxy.observation;
    assert_eq!(silent, Observation::default(), "nothing is told unless it is asked for");
}

#[test]
fn limits_are_told_to_the_proxy_as_they_are_written() {
    let text = "[proxy.limits]\nconnect_timeout = \"1s\"\nhead_timeout = \"2s\"\n\
                body_timeout = \"3s\"\nread_timeout = \"4s\"\nidle_timeout = \"5s\"\n\
                client_age = \"11s\"\n\
                request_timeout = \"6s\"\nmax_head = \"8KiB\"\nmax_fields = 50\n\
                max_body = \"10MiB\"\nmin_body_rate = 12\nbody_grace = \"13s\"\nclient_connections = 7\nclient_requests = 8\n\
                client_rate = 9\nclient_burst = 10\nclient_exempt = [\"10.0.0.0/8\"]\n\
                [app.web]\ncommand = [\"a\"]\n[app.web.limits]\nrequest_timeout = \"0s\"\n\
                answer_begins = \"1s\"\nanswer_silence = \"2s\"\nmax_body = 0\n";
    let limits = Limits {
        connect_ms: 1_000,
        instance_reads_ms: 3_000,
        client_idle_ms: 5_000,
        client_age_ms: 11_000,
        request_ms: 6_000,
        head_bytes: 8 * 1024,
        fields: 50,
        body_bytes: 10 << 20,
        body_rate: 12,
        body_grace_ms: 13_000,
        client_connections: 7,
        client_requests: 8,
        client_rate: 9,
        client_burst: 10,
        exempt: vec!["10.0.0.0/8".parse().unwrap()],
    };
    let own = AppLimits {
        app: AppName::new("web").unwrap(),
        answer_begins_ms: Some(1_000),
        answer_silence_ms: Some(2_000),
        request_ms: Some(0),
        body_bytes: Some(0),
    };
    let settings = Settings {
        client_head_ms: 2_000,
        client_body_ms: 3_000,
        client_reads_ms: 4_000,
        limits,
        apps: vec![own],
        ..Settings::default()
    };
    assert_eq!(good(text).proxy.settings, settings);
}

#[test]
fn several_apps_share_a_listener_by_host_or_prefix() {
    let config = good(
        "[app.a]\ncommand = [\"a\"]\n[app.b]\ncommand = [\"b\"]\npath_prefix = \"/b\"\n\
         [app.c]\ncommand = [\"c\"]\nhosts = [\"c.example\"]\n\
         [app.d]\ncommand = [\"d\"]\nhosts = [\"c.example\"]\npath_prefix = \"/d\"\n",
    );
    assert_eq!(config.apps.len(), 4);
}

#[test]
fn probes_follow_the_prefix() {
    let app = web("path_prefix = \"/shop/\"");
    assert_eq!(
        (app.probe.path.as_str(), app.probe.websocket_path.as_str()),
        ("/shop/", "/shop/ws")
    );
    let places = [
        &app.probe.upload_path,
        &app.probe.download_path,
        &app.probe.events_path,
        &app.probe.orders_path,
    ];
    let wanted = ["/shop/upload", "/shop/download?bytes=4194304", "/shop/events", "/shop/orders"];
    assert_eq!(places, wanted);
    assert_eq!(app.rollout.preview_path, "/shop/");
    let app = web("path_prefix = \"/shop\"\n[app.web.probe]\npath = \"/shop?deep=1\"");
    assert_eq!(app.probe.path, "/shop?deep=1");
    let app = web("[app.web.probe]\npath = \"/now\"");
    assert_eq!(app.rollout.preview_path, "/now");
}

#[test]
fn a_program_replaces_the_health_path_and_is_frozen_with_its_release() {
    let app = web("[app.web.health]\ncommand = [\"./check\", \"{version}\", \"{port}\"]\n\
                   fail_open = \"20%\"");
    assert_eq!((app.health.path.as_deref(), app.health.fail_open), (None, 20));
    let version = model::Version::new("v2").unwrap();
    let release = app.release(model::ReleaseId(1), &version).unwrap();
    let [program, version, port] = &release.health.command[..] else { panic!("{release:?}") };
    assert!(program.starts_with('/') && program.ends_with("/check"), "{program}");
    assert_eq!((version.as_str(), port.as_str()), ("v2", "{port}"));
}

#[test]
fn outliers_are_told_to_the_proxy_as_they_are_written() {
    let text = "[proxy.outliers]\nfailures = 7\nerrors = true\neject = \"6m\"\nshare = \"20%\"\n\
                [app.web]\ncommand = [\"a\"]\n";
    let told = good(text).proxy.settings.outliers;
    // What is not said follows what is.
    let (eject_ms, eject_most_ms) = (360_000, 360_000);
    let wanted = Outliers { failures: 7, errors: true, eject_ms, eject_most_ms, share: 20 };
    assert_eq!(told, wanted);
}

#[test]
fn tcp_replaces_the_health_path() {
    assert_eq!(web("[app.web.health]\ntcp = true").health.path, None);
    let app = web("[app.web.health]\ntcp = false\npath = \"/up\"");
    assert_eq!(app.health.path.as_deref(), Some("/up"));
}

#[test]
fn environment_values_are_plain_or_named() {
    let app = web("environment = { A = \"{\\\"x\\\": 1} {name}\", B = { from = \"SECRET\" } }");
    assert_eq!(app.environment["A"], EnvironmentValue::Plain("{\"x\": 1} {name}".into()));
    assert_eq!(app.environment["B"], EnvironmentValue::From("SECRET".into()));
}

#[test]
fn braces_of_shells_and_templates_are_left_alone() {
    let app =
        good("[app.web]\ncommand = [\"sh\", \"-c\", \"echo ${name} {{word}} { print } {1} {}\"]\n");
    assert_eq!(app.apps.values().next().unwrap().command.len(), 3);
}

#[test]
fn a_haproxy_is_found_relative_to_the_file() {
    let text = "[router]\nkind = \"haproxy\"\nsocket = \"h/master.sock\"\ndirectory = \"h\"\n\
                listen = [\"0.0.0.0:80\"]\nprogram = \"haproxy\"\nconfig = [\"mine.cfg\"]\n\
                [app.web]\ncommand = [\"a\"]\n";
    let of = |text: &str| match parse(text, "/srv/cutover.toml").unwrap().router {
        RouterConfig::HaProxy(found) => found,
        other => panic!("{other:?}"),
    };
    let found = of(text);
    assert_eq!(found.socket.to_string(), "/srv/h/master.sock");
    assert_eq!(found.directory.to_str(), Some("/srv/h"));
    assert_eq!(found.program.unwrap().to_str(), Some("haproxy"), "looked up in PATH");
    assert_eq!(found.config, [std::path::PathBuf::from("/srv/mine.cfg")]);
    let tcp = of(&text
        .replace("h/master.sock", "127.0.0.1:9999")
        .replace("\"haproxy\"\nc", "\"./h\"\nc"));
    assert_eq!(tcp.socket, "127.0.0.1:9999".parse().unwrap());
    assert_eq!(tcp.program.unwrap().to_str(), Some("/srv/./h"));
    assert_eq!(
        good("[router]\nkind = \"proxy\"\n[app.web]\ncommand = [\"a\"]\n").router,
        RouterConfig::Proxy
    );
}

#[test]
fn a_consul_is_the_agent_of_this_machine_unless_it_is_named() {
    let text = "[router]\nkind = \"consul\"\nsocket = \"h/m\"\ndirectory = \"h\"\nlisten = \
                [\"0.0.0.0:80\"]\nprogram = \"haproxy\"\n[app.web]\ncommand = [\"a\"]\n";
    let of = |text: &str| match parse(text, "/srv/cutover.toml").unwrap().router {
        RouterConfig::HaProxy(found) => found.consul.unwrap(),
        other => panic!("{other:?}"),
    };
    let found = of(text);
    let (agent, dns) = (found.agent.to_string(), found.dns.to_string());
    assert_eq!((agent.as_str(), dns.as_str()), ("127.0.0.1:8500", "127.0.0.1:8600"));
    assert_eq!((found.domain.as_str(), found.places, found.token), ("consul", 16, None));
    let more = "agent = \"[::1]:1\"\ndns = \"10.0.0.1:53\"\ndomain = \"dc1.consul.\"\nplaces = 3\n\
                token = { from = \"CONSUL_HTTP_TOKEN\" }\nprogram";
    let found = of(&text.replace("program", more));
    assert_eq!((found.agent.port(), found.dns.port(), found.places), (1, 53, 3));
    assert_eq!(found.domain, "dc1.consul");
    assert_eq!(found.token, Some(TokenPlace::Variable("CONSUL_HTTP_TOKEN".into())));
    assert_eq!(found.address, None);
    let reached =
        |address: &str| text.replace("program", &format!("address = \"{address}\"\nprogram"));
    assert_eq!(of(&reached("10.0.0.5")).address, Some([10, 0, 0, 5].into()));
    for odd in ["0.0.0.0", "224.0.0.1", "10.0.0.5:80", "::1", "here"] {
        let mistakes = parse(&reached(odd), "/srv/cutover.toml").unwrap_err();
        let words = format!("`{odd}` is no IPv4 address at which a machine is reached");
        assert!(super::drawn(&mistakes).contains(&words), "{odd}: {}", super::drawn(&mistakes));
    }
}

#[test]
fn whoever_follows_consul_is_known_by_where_users_come_in() {
    let text = "[router]\nkind = \"consul\"\nfollower = \"any\"\nlisten = [\"127.0.0.1:9999\"]\n\
                agent = \"127.0.0.1:1\"\n[app.web]\ncommand = [\"a\"]\n[app.web.consul]\n\
                tags = [\"urlprefix-/\", \"{version}\"]\nmeta = { zone = \"{instance}\" }\n";
    let config = good(text);
    let RouterConfig::Follower(found) = &config.router else { panic!("{:?}", config.router) };
    assert_eq!((found.listen[0].port(), found.consul.agent.port()), (9_999, 1));
    let registered = &config.apps.values().next().unwrap().registered;
    assert_eq!(registered.tags, ["urlprefix-/", "{version}"]);
    assert_eq!(registered.meta["zone"], "{instance}");
    let haproxy = "follower = \"haproxy\"\nsocket = \"h/m\"\ndirectory = \"h\"";
    let config = good(&text.replace("follower = \"any\"", haproxy));
    assert!(matches!(config.router, RouterConfig::HaProxy(_)), "{:?}", config.router);
}

#[test]
fn an_nginx_is_found_relative_to_the_file() {
    let text = "[router]\nkind = \"nginx\"\ndirectory = \"n/c\"\nconfig = \"/e/nginx.conf\"\n\
                pid = \"n/pid\"\nlisten = [\"0.0.0.0:80\"]\n[app.web]\ncommand = [\"a\"]\n";
    let of = |text: &str| match parse(text, "/srv/cutover.toml").unwrap().router {
        RouterConfig::Nginx(found) => found,
        other => panic!("{other:?}"),
    };
    let found = of(text);
    let paths = [&found.directory, &found.config, &found.pid, &found.program];
    let paths = paths.map(|path| path.to_str().unwrap());
    assert_eq!(paths, ["/srv/n/c", "/e/nginx.conf", "/srv/n/pid", "nginx"]);
    assert_eq!(found.control, ([127, 0, 0, 1], 9170).into());
    assert!(found.prefix.is_none() && !found.accept_reload_cuts);
    let more = "pid = \"n/pid\"\ncontrol = \"[::1]:7\"\nprefix = \"n\"\naccept_reload_cuts = true";
    let found = of(&text.replace("pid = \"n/pid\"", more));
    assert_eq!((found.control.port(), found.prefix.unwrap().to_str()), (7, Some("/srv/n")));
    assert!(found.accept_reload_cuts);
}

#[test]
fn a_target_is_a_header_in_lower_case_or_a_cookie() {
    let of = |target: &str| {
        let app = web(&format!("[app.web.rollout]\nstrategy = \"canary\"\ntarget = {target}"));
        app.rollout.targets[0].mark.to_string()
    };
    assert_eq!(of("{ header = \"X-Canary\", value = \"New\" }"), "header x-canary = New");
    assert_eq!(of("{ cookie = \"Canary\", value = \"1\" }"), "cookie Canary = 1");
}

#[test]
fn a_hand_over_is_the_apps_or_has_a_pace() {
    let of = |rollout: &str| web(&format!("[app.web.rollout]\n{rollout}")).rollout.handover;
    assert_eq!((of(""), of("handover = \"app\"")), (None, None));
    let pace = |farewell, per_second, at_once| Some(Pace { farewell, per_second, at_once });
    assert_eq!(of("handover = \"close-1012\""), pace(Farewell::Close, 50, 100));
    let text = r#"{"message":"reconnect"}"#;
    let rollout =
        format!("handover = {{ frame = '{text}' }}\nhandover_rate = 7\nhandover_at_once = 9");
    assert_eq!(of(&rollout), pace(Farewell::Frame(text.to_owned()), 7, 9));
}

#[test]
fn a_recreation_has_bounds() {
    let of =
        |keys: &str| web(&format!("[app.web.rollout]\nstrategy = \"recreate\"\n{keys}")).rollout;
    let hold =
        |seconds, requests| Strategy::Recreate { hold: Duration::from_secs(seconds), requests };
    let probe = web("[app.web.rollout]\nstrategy = \"recreate\"").probe;
    assert_eq!(
        (probe.late_after, probe.timeout),
        (Duration::from_secs(11), Duration::from_secs(20))
    );
    assert_eq!(of("").strategy, hold(10, 1_000));
    assert_eq!(of("hold = \"30s\"\nhold_requests = 50").strategy, hold(30, 50));
}

#[test]
fn pauses_stand_between_shares_and_before_the_end() {
    let pauses = |rollout: &str| {
        let text = format!("[app.web]\ncommand = [\"./server\"]\n[app.web.rollout]\n{rollout}\n");
        let config = good(&text);
        let rollout = &config.apps.values().next().unwrap().rollout;
        let after: Vec<u16> = rollout.pause_after.iter().map(|at| at.basis_points()).collect();
        let Strategy::Canary { steps, .. } = &rollout.strategy else { return (0, after) };
        (steps.len(), after)
    };
    let steps = "strategy = \"canary\"\nsteps = [\"pause\", \"5%\", \"pause\", \"25%\"]";
    assert_eq!(pauses(steps), (2, vec![0, 500]));
    let manual = format!("{steps}\npause = \"manual\"");
    assert_eq!(pauses(&manual), (2, vec![0, 500, 10_000]));
    assert_eq!(pauses("pause = \"manual\""), (0, vec![10_000]));
}

#[test]
fn steps_may_be_numbers_of_instances() {
    let steps = "[{ instances = 1 }, \"pause\", { instances = 2 }, { instances = 4 }]";
    let text = format!(
        "instances = 4\n[app.web.rollout]\nstrategy = \"canary\"\nsteps = {steps}\n\
         metrics = [{{ name = \"queue\", command = [\"a\"], max = 1 }}]\n\
         gates = {{ \"2 instances\" = [\"queue\"] }}"
    );
    let rollout = web(&text).rollout;
    let weight = |points| model::Weight::new(points).unwrap();
    let steps = [2_000, 3_333, 5_000].map(weight).to_vec();
    let (counts, step_bake) = (vec![1, 2, 4], Duration::from_secs(10));
    assert_eq!(rollout.strategy, Strategy::Canary { steps, step_bake, counts });
    assert_eq!(rollout.pause_after, [weight(2_000)]);
    assert_eq!(rollout.metrics[0].at, [weight(3_333)]);
}

#[test]
fn batches_and_surges_are_numbers_or_percentages_of_all_rounded_up() {
    let of = |instances: u16, keys: &str| {
        let rollout = format!("[app.web.rollout]\nstrategy = \"rolling\"\n{keys}");
        match web(&format!("instances = {instances}\n{rollout}")).rollout.strategy {
            Strategy::Rolling { batch, surge } => (batch, surge),
            other => panic!("{other:?}"),
        }
    };
    for (instances, keys, wanted) in [
        (4, "", (1, 0)),
        (4, "batch = 3", (3, 0)),
        (4, "batch = \"25%\"", (1, 0)),
        (5, "batch = \"25%\"", (2, 0)),
        (100, "batch = \"1%\"\nsurge = \"1%\"", (1, 1)),
        (3, "batch = \"1%\"\nsurge = \"0%\"", (1, 0)),
        // As many come first as leave, unless it says otherwise.
        (10, "surge = \"25%\"", (3, 3)),
        (10, "batch = \"50%\"\nsurge = 2", (5, 2)),
        (4, "surge = \"100%\"", (4, 4)),
        (1, "surge = 1", (1, 1)),
    ] {
        assert_eq!(of(instances, keys), wanted, "{instances}: {keys}");
    }
}
