//! The release that a deploy freezes.
//!
//! Nothing is started: that what was frozen is what runs is tried end to end.

use model::{AppName, ReleaseId, Secure, Source, Variable, Version};

use super::super::{RouterConfig, load};
use super::{good, web};

fn version(text: &str) -> Version {
    Version::new(text).unwrap()
}

#[test]
fn version_is_filled_in_and_port_is_left_for_the_platform() {
    let mut app = web("directory = \"/srv/{version}\"\n\
         environment = { TAG = \"web-{version}\", TOKEN = { from = \"SECRET\" } }");
    app.command = ["./server-{version}", "--port={port}", "{instance}", "${version} {{version}}"]
        .map(str::to_owned)
        .to_vec();
    let secret = |name: &str| (name == "SECRET").then(|| "{version}!".into());
    let release = app.release_with(ReleaseId(3), &version("v2.1"), secret).unwrap();
    assert_eq!(release.directory, "/srv/v2.1");
    let command =
        ["/srv/v2.1/server-v2.1", "--port={port}", "{instance}", "${version} {{version}}"];
    assert_eq!(release.command, command);
    assert_eq!(release.environment["TAG"], Variable::from("web-v2.1"));
    let Variable::Secret(token) = &release.environment["TOKEN"] else { panic!("{release:?}") };
    assert_eq!(token.from, "SECRET");
    assert!(token.is(release.owner("TOKEN"), b"{version}!"), "a secret was changed");
    assert!(!serde_json::to_string(&release).unwrap().contains("{version}!"), "{release:?}");
    assert_eq!((release.id, release.stop_timeout_ms), (ReleaseId(3), 10_000));
    assert_eq!(release.health.interval_ms, 500);
}

#[test]
fn a_source_is_frozen_with_the_version_and_without_a_token() {
    let text = "[app.web]\ninstances = { consul = \"shop\", tag = \"r-{version}\", meta = { v = \"{version}\" }, \
                token = { from = \"CONSUL\" }, at_least = 3 }\n[app.api]\nhosts = [\"a.test\"]\n\
                instances = { dns = \"_api._tcp.{version}.test.\", server = \"127.0.0.1:8600\" }\n";
    let config = good(text);
    assert!(config.secrets()["CONSUL"].is_empty(), "it is passed on");
    let of = |app: &str, text: &str| {
        let app = &config.apps[&AppName::new(app).unwrap()];
        let release = app.release(ReleaseId(1), &version(text));
        release.map(|release| (app.instances, release.source.unwrap().to_string()))
    };
    let words = "Consul at 127.0.0.1:8500 (service `shop`, tag `r-v2`, v = `v2`)";
    assert_eq!(of("web", "v2").unwrap(), (3, words.to_owned()));
    let words = "DNS at 127.0.0.1:8600 (SRV of `_api._tcp.1.2.test`)";
    assert_eq!(of("api", "1.2").unwrap(), (1, words.to_owned()));
    let fault = of("api", "1+b").unwrap_err();
    assert!(fault.what.contains("is no name in DNS") && fault.help.is_some(), "{fault:?}");
}

#[test]
fn an_agent_over_tls_has_its_files_beside_the_file_and_its_token_for_itself() {
    let tls = "agent = \"https://127.0.0.1:8501/\", ca = \"ca.pem\", tls_server_name = \"server.dc1.consul\", \
               chain = \"c.pem\", key = \"k.pem\"";
    let config = good(&format!("[app.web]\ninstances = {{ consul = \"shop\", {tls} }}\n"));
    let Some(Source::Consul(found)) = config.apps.values().next().unwrap().source.clone() else {
        panic!("{config:?}")
    };
    let secure = found.secure.unwrap();
    assert_eq!((found.agent.port(), secure.name.as_deref()), (8501, Some("server.dc1.consul")));
    let pair = secure.pair.unwrap();
    for (file, name) in [(secure.ca.unwrap(), "ca.pem"), (pair.chain, "c.pem"), (pair.key, "k.pem")]
    {
        assert!(file.ends_with(name), "{}", file.display());
    }
    let router = "[router]\nkind = \"consul\"\nsocket = \"s\"\ndirectory = \"d\"\nlisten = [\"127.0.0.1:80\"]\n\
                  agent = \"https://127.0.0.1:8501\"\ntoken = { from = \"CONSUL\" }\n\
                  [app.web]\ncommand = [\"./server\"]\nhealth = { path = \"/\" }\n";
    let config = good(router);
    assert!(config.secrets()["CONSUL"].is_empty(), "it is passed on");
    let RouterConfig::HaProxy(haproxy) = config.router else { panic!("{:?}", config.router) };
    assert_eq!(haproxy.consul.unwrap().secure, Some(Secure::default()));
}

#[test]
fn what_a_prometheus_is_shown_is_passed_on_to_nobody() {
    let metric = |name: &str, login: &str| {
        format!(
            "[[app.web.rollout.metrics]]\nname = \"{name}\"\nprometheus = \"https://p.test\"\n\
             query = \"up\"\nmax = 1\n{login}\n"
        )
    };
    let config = good(&format!(
        "[app.web]\ncommand = [\"./server\"]\n{}{}{}",
        metric("a", "token = { from = \"PROM_TOKEN\" }"),
        metric("b", "user = \"me\"\npassword = { from = \"PROM_PASSWORD\" }"),
        metric("c", "token = { file = \"prom.token\" }"),
    ));
    let secrets = config.secrets();
    let names: Vec<&str> = secrets.keys().map(String::as_str).collect();
    assert_eq!(names, ["PROM_PASSWORD", "PROM_TOKEN"]);
    assert!(secrets.values().all(std::collections::BTreeSet::is_empty), "{secrets:?}");
}

#[test]
fn a_program_without_a_slash_is_left_for_path() {
    let mut app = web("");
    app.command = vec!["python3".into(), "./x/y".into()];
    let release = app.release(ReleaseId(1), &version("v1")).unwrap();
    assert_eq!(release.command, ["python3", "./x/y"]);
    assert!(release.directory.starts_with('/'));
}

#[test]
fn a_secret_that_is_not_set_is_named_and_nothing_else() {
    let app = web("environment = { TOKEN = { from = \"SECRET\" } }");
    let fault = app.release_with(ReleaseId(1), &version("v1"), |_| None).unwrap_err();
    assert_eq!(fault.what, "the variable SECRET, which `TOKEN` is taken from, is not set");
    assert!(fault.help.unwrap().contains("set SECRET"));
}

#[test]
fn paths_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cutover.toml");
    std::fs::write(&path, "[app.web]\ncommand = [\"./bin/web\"]\ndirectory = \"app\"\n").unwrap();
    let config = load(&path).unwrap();
    assert_eq!(config.state_dir, folder.path().join(".cutover"));
    let app = config.apps.values().next().unwrap();
    let release = app.release(ReleaseId(1), &version("v1")).unwrap();
    assert_eq!(release.directory, folder.path().join("app").to_str().unwrap());
    let program = folder.path().join("app/bin/web");
    assert_eq!(release.command[0], program.to_str().unwrap());
}

#[test]
fn secrets_belong_to_the_apps_that_name_them_and_common_variables_to_everybody() {
    let app = |name: &str, environment: &str| {
        format!(
            "[app.{name}]\nhosts = [\"{name}.test\"]\ncommand = [\"./server\"]\n\
             environment = {{ {environment} }}\n"
        )
    };
    let left = app("left", "A = { from = \"ONE\" }, B = { from = \"BOTH\" }, C = \"TWO\"");
    let right =
        app("right", "P = { from = \"PATH\" }, L = { from = \"LC_ALL\" }, B = { from = \"BOTH\" }");
    let secrets = good(&format!("{left}{right}")).secrets();
    let shown: Vec<String> = secrets
        .iter()
        .map(|(name, apps)| {
            let apps: Vec<&str> = apps.iter().map(AppName::as_str).collect();
            format!("{name}: {}", apps.join(" "))
        })
        .collect();
    assert_eq!(shown, ["BOTH: left right", "ONE: left"]);
}
