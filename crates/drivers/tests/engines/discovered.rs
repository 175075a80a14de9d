//! Instances that somebody else starts: found in a real Consul, by its catalog and its DNS, and by a DNS
//! that errs as no real one would (`fake_dns`). How users fare meanwhile is tried end to end, not here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::authority::Authority;
use crate::common::{self, consul, fake_dns, load};
use drivers::platform::discovered::{Discovery, ask_once};
use drivers::platform::{Condition, FleetHave, FleetWant, Mixed, Platform, ReleaseWant};
use fake_dns::FakeDns;
use load::App;
use model::fleet::HealthCheck;
use model::{
    AppName, Catalog, Change, Kind, Release, ReleaseId, RunState, Secure, Source, TokenPlace,
    Version, Zone,
};
use serde_json::{Value, json};

const EPOCH: u64 = 7;
const PATIENCE: Duration = Duration::from_secs(15);

fn app() -> AppName {
    AppName::new("shop").unwrap()
}

fn release(id: u32, source: Source) -> Release {
    let path = Some("/healthz".to_owned());
    let (interval_ms, timeout_ms) = (20, 500);
    let command = Vec::new();
    Release {
        app: app(),
        id: ReleaseId(id),
        version: Version::new(format!("v{id}")).unwrap(),
        command: Vec::new(),
        directory: "/".to_owned(),
        environment: [].into(),
        health: HealthCheck { path, command, interval_ms, timeout_ms, rise: 2, fall: 2 },
        stop_timeout_ms: 100,
        source: Some(source),
    }
}

fn catalog(bed: &consul::Bed, tag: &str) -> Catalog {
    let (service, tag, meta) = ("shop".to_owned(), Some(tag.to_owned()), [].into());
    let (agent, secure) = bed.api();
    Catalog { agent, secure, service, tag, meta, token: None }
}

fn zone(server: SocketAddr, name: &str, port: Option<u16>) -> Source {
    Source::Dns(Zone { server, name: name.to_owned(), port })
}

fn want(releases: &[(&Release, u16, RunState)]) -> FleetWant {
    let want = |(release, instances, state): &(&Release, u16, RunState)| ReleaseWant {
        release: (*release).clone(),
        instances: *instances,
        state: *state,
        leave: None,
    };
    FleetWant { app: app(), releases: releases.iter().map(want).collect() }
}

/// Carries out plans until nothing is left to do or to wait for and `done` holds.
async fn settle(
    platform: &dyn Platform,
    want: &FleetWant,
    done: impl Fn(&FleetHave) -> bool,
) -> FleetHave {
    let rounds = async {
        loop {
            let have = platform.look(&want.app).await.unwrap();
            let plan = platform.plan(want, &have);
            assert_eq!(plan, platform.plan(want, &have), "a plan is pure");
            if plan.settled() && done(&have) {
                return have;
            }
            for change in &plan.changes {
                platform.act(change, EPOCH).await.unwrap();
            }
            if plan.changes.is_empty() {
                platform.changed(have.change).await;
            }
        }
    };
    if let Ok(have) = tokio::time::timeout(PATIENCE, rounds).await {
        return have;
    }
    panic!("not settled: {:?}", platform.look(&want.app).await)
}

fn there(have: &FleetHave, release: u32) -> BTreeSet<SocketAddr> {
    have.of(ReleaseId(release)).map(|one| one.address).collect()
}

fn ready(have: &FleetHave, release: u32) -> u16 {
    have.seen(ReleaseId(release)).ready
}

/// Registers an instance as somebody else would.
fn register(bed: &consul::Bed, id: &str, (at, tag): (SocketAddr, &str), status: &str) {
    let body = json!({
        "ID": id, "Name": "shop", "Address": at.ip().to_string(), "Port": at.port(), "Tags": [tag],
        "Meta": { "release": tag }, "Check": { "TTL": "1h", "Status": status }
    });
    bed.tell("PUT", "/v1/agent/service/register", consul::MASTER, &body).unwrap();
}

fn deregister(bed: &consul::Bed, id: &str) {
    let path = format!("/v1/agent/service/deregister/{id}");
    bed.tell("PUT", &path, consul::MASTER, &Value::Null).unwrap();
}

fn bed() -> Option<consul::Bed> {
    Some(consul::Bed::start(&consul::program()?, false))
}

#[tokio::test]
async fn those_that_pass_in_consul_are_followed_and_its_death_takes_nobody_away() {
    let Some(mut bed) = bed() else { return };
    let apps = [(); 3].map(|()| App::start("v1"));
    for (n, one) in apps.iter().enumerate().take(2) {
        register(&bed, &format!("one-{n}"), (one.address, "v1"), "passing");
    }
    register(&bed, "sick", (apps[2].address, "v1"), "critical");
    register(&bed, "other", (apps[2].address, "v2"), "passing");
    let folder = tempfile::tempdir().unwrap();
    let platform = Discovery::open(folder.path()).unwrap();
    let v1 = release(1, Source::Consul(catalog(&bed, "v1")));
    let run = want(&[(&v1, 2, RunState::Running)]);
    let before = bed.get("/v1/agent/services");
    let have = settle(&platform, &run, |_| true).await;
    assert_eq!(there(&have, 1), [apps[0].address, apps[1].address].into());
    assert_eq!(bed.get("/v1/agent/services"), before, "what others registered was changed");
    let again = platform.look(&app()).await.unwrap();
    assert!(platform.plan(&run, &again).settled(), "settled is quiet");
    // One comes, one goes.
    register(&bed, "one-2", (apps[2].address, "v1"), "passing");
    deregister(&bed, "one-0");
    let want_now = BTreeSet::from([apps[1].address, apps[2].address]);
    settle(&platform, &run, |have| there(have, 1) == want_now && ready(have, 1) == 2).await;
    // Nobody answers, and who comes back knows them all the same, and does not believe that they are well.
    bed.crash();
    let mourns =
        |have: &FleetHave| have.release(ReleaseId(1)).unwrap().discovered.clone().unwrap().trouble;
    let have = settle(&platform, &run, |have| mourns(have).is_some()).await;
    assert_eq!(there(&have, 1), want_now);
    let said = mourns(&have).unwrap();
    assert!(said.contains("cannot be asked") && said.contains("2 known before"), "{said}");
    drop(platform);
    let [_, gone, stays] = apps;
    let gone_at = gone.address;
    drop(gone);
    let platform = Discovery::open(folder.path()).unwrap();
    let have = platform.look(&app()).await.unwrap();
    assert_eq!(there(&have, 1), want_now);
    assert!(have.instances.iter().all(|one| one.condition == Condition::Adopted), "{have:?}");
    let judged = |have: &FleetHave| ready(have, 1) == 1 && !have.unjudged(ReleaseId(1));
    let have = settle(&platform, &want(&[(&v1, 1, RunState::Running)]), judged).await;
    let well = have.instances.iter().find(|one| one.condition == Condition::Ready).unwrap();
    assert_eq!(well.address, stays.address, "the one at {gone_at} has ended");
}

#[tokio::test]
async fn what_users_left_is_ended_by_nobody_here_and_forgotten_when_its_owner_took_it_away() {
    let Some(bed) = bed() else { return };
    let (one, two) = (App::start("v1"), App::start("v2"));
    register(&bed, "one", (one.address, "v1"), "passing");
    let folder = tempfile::tempdir().unwrap();
    let platform = Discovery::open(folder.path()).unwrap();
    let meta = |tag: &str| {
        let meta = [("release".to_owned(), tag.to_owned())].into();
        Source::Consul(Catalog { tag: None, meta, ..catalog(&bed, tag) })
    };
    let (v1, v2) = (release(1, meta("v1")), release(2, meta("v2")));
    settle(&platform, &want(&[(&v1, 1, RunState::Running)]), |_| true).await;
    let both = want(&[(&v1, 1, RunState::Running), (&v2, 1, RunState::Running)]);
    // Nobody of v2 is there yet, and what was found is said.
    let have = platform.look(&app()).await.unwrap();
    let follow = platform.plan(&both, &have).changes;
    assert!(follow[0].words.starts_with("follow the instances of v2"), "{follow:?}");
    platform.act(&follow[0], EPOCH).await.unwrap();
    let fault = platform.act(&follow[0], EPOCH).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Conflict, "done twice: {fault}");
    let heard = async {
        loop {
            let have = platform.look(&app()).await.unwrap();
            if have.release(ReleaseId(2)).unwrap().discovered.as_ref().unwrap().heard {
                return have;
            }
            platform.changed(have.change).await;
        }
    };
    let have = tokio::time::timeout(PATIENCE, heard).await.unwrap();
    let waits = platform.plan(&both, &have).waiting.join("\n");
    assert!(waits.contains("0 of 1 instances of v2 are ready"), "{waits}");
    assert!(have.seen(ReleaseId(2)).trouble[0].contains("names no instance"), "{have:?}");
    register(&bed, "two", (two.address, "v2"), "passing");
    settle(&platform, &both, |have| ready(have, 2) == 1).await;
    // The old one is told to end: nothing is done. It is to be gone: it is left to its owner.
    let leaving = want(&[(&v1, 0, RunState::Terminating), (&v2, 1, RunState::Running)]);
    let have = settle(&platform, &leaving, |_| true).await;
    assert_eq!(have.seen(ReleaseId(1)).existing, 1);
    let gone = want(&[(&v1, 0, RunState::Gone), (&v2, 1, RunState::Running)]);
    let plan = platform.plan(&gone, &have);
    assert!(platform.act(&plan.changes[0], EPOCH - 1).await.is_err(), "an older controller acted");
    let have = settle(&platform, &gone, |_| true).await;
    assert_eq!(have.seen(ReleaseId(1)).existing, 0);
    let left = |have: &FleetHave| {
        let known = have.release(ReleaseId(1))?.discovered.as_ref()?;
        Some(known.left.iter().map(|one| one.address).collect::<Vec<_>>())
    };
    assert_eq!(left(&have), Some(vec![one.address]), "its owner can be told");
    assert!(load::get(one.address, "/").is_ok(), "it was ended");
    deregister(&bed, "one");
    settle(&platform, &gone, |have| left(have).is_none()).await;
    assert!(!folder.path().join("discovered/shop-1.json").exists());
}

#[tokio::test]
async fn nonsense_is_refused_and_a_damaged_record_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let platform = Discovery::open(folder.path()).unwrap();
    for payload in [json!(null), json!({ "discovered": "let_go" }), json!({ "step": "start" })] {
        let (words, expected_before) = ("x".to_owned(), String::new());
        let change = Change { words, expected_before, payload };
        assert!(platform.act(&change, EPOCH).await.is_err(), "{change:?}");
    }
    let record = folder.path().join("discovered/shop-1.json");
    std::fs::write(&record, "{}").unwrap();
    let fault = platform.look(&app()).await.unwrap_err();
    assert!(fault.what.contains("is damaged"), "{fault}");
    std::fs::remove_file(record).unwrap();
    assert!(platform.look(&app()).await.unwrap().releases.is_empty());
    let nobody = Catalog {
        agent: "127.0.0.1:1".parse().unwrap(),
        secure: None,
        service: "shop".into(),
        tag: None,
        meta: [].into(),
        token: None,
    };
    let fault = ask_once(&Source::Consul(nobody.clone())).await.unwrap_err();
    assert!(fault.what.contains("cannot be asked") && fault.help.is_some(), "{fault:?}");
    let token = Some(TokenPlace::File("/nowhere/token".into()));
    let fault = ask_once(&Source::Consul(Catalog { token, ..nobody })).await.unwrap_err();
    assert!(fault.what.contains("should hold Consul's token"), "{fault:?}");
}

#[tokio::test]
async fn consul_is_asked_by_dns_too_for_services_and_for_addresses() {
    let Some(bed) = bed() else { return };
    let apps = [(); 5].map(|()| App::start("v1"));
    for (n, one) in apps.iter().enumerate() {
        register(&bed, &format!("one-{n}"), (one.address, "v1"), "passing");
    }
    let folder = tempfile::tempdir().unwrap();
    let platform = Discovery::open(folder.path()).unwrap();
    let services = release(1, zone(bed.dns, "_shop._v1.service.consul", None));
    let port = apps[0].address.port();
    let addresses = release(2, zone(bed.dns, "v1.shop.service.consul", Some(port)));
    let run = want(&[(&services, 5, RunState::Running), (&addresses, 1, RunState::Running)]);
    let have = settle(&platform, &run, |_| true).await;
    assert_eq!(there(&have, 1), apps.iter().map(|one| one.address).collect());
    assert_eq!(there(&have, 2), [apps[0].address].into());
    deregister(&bed, "one-4");
    settle(&platform, &want(&[(&services, 4, RunState::Running)]), |have| {
        there(have, 1).len() == 4
    })
    .await;
}

#[tokio::test]
async fn answers_of_others_are_passed_over_and_what_was_left_out_is_asked_for_over_tcp() {
    let dns = FakeDns::start();
    let here = "127.0.0.1".parse().unwrap();
    let name = "_shop._tcp.v1.test";
    dns.set(|script| {
        script.at("a.test", &[here]);
        script.at("b.test", &["::1".parse().unwrap()]);
        let five = [1, 2, 3, 4].map(|port| (1, port, "a.test"));
        script.services(name, &[&five[..], &[(1, 5, "b.test"), (2, 6, "a.test")]].concat());
        (script.lies, script.trims) = (true, true);
    });
    let source = zone(dns.address, name, None);
    let said = ask_once(&source).await.unwrap();
    let all = "127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3, 127.0.0.1:4, [::1]:5";
    assert!(said.contains("names 5 now") && said.ends_with(all), "{said}");
    assert!(dns.over_tcp.load(Ordering::SeqCst) > 0);
    dns.set(|script| (script.lies, script.trims, script.cuts) = (false, false, true));
    assert!(ask_once(&source).await.unwrap().contains("names 5 now"));
    let plain = zone(dns.address, "b.test", Some(80));
    assert!(ask_once(&plain).await.unwrap().ends_with("names 1 now: [::1]:80"));
}

#[tokio::test]
async fn a_server_of_dns_that_fails_takes_nobody_away_and_one_that_names_nobody_is_said() {
    let (dns, one) = (FakeDns::start(), App::start("v1"));
    let name = "v1.test";
    dns.set(|script| script.at(name, &[one.address.ip()]));
    let folder = tempfile::tempdir().unwrap();
    let platform = Discovery::open(folder.path()).unwrap();
    let v1 = release(1, zone(dns.address, name, Some(one.address.port())));
    let run = want(&[(&v1, 1, RunState::Running)]);
    settle(&platform, &run, |_| true).await;
    for (code, words) in [(2, "SERVFAIL"), (5, "REFUSED"), (3, "names nobody any more")] {
        dns.set(|script| script.code = code);
        let said = |have: &FleetHave| {
            let known = have.release(ReleaseId(1)).unwrap().discovered.clone().unwrap();
            known.trouble.is_some_and(|trouble| trouble.contains(words))
        };
        let have = settle(&platform, &run, said).await;
        assert_eq!((there(&have, 1), ready(&have, 1)), ([one.address].into(), 1));
        let asked = dns.over_udp.load(Ordering::SeqCst);
        assert!(asked < 60, "it was asked {asked} times although its answers hold for a second");
    }
    assert!(ask_once(&zone(dns.address, name, Some(1))).await.unwrap().contains("names 0 now"));
    let folder = Path::new("discovered");
    assert!(!folder.exists(), "written elsewhere than in the state directory");
}

/// What the status of a release says of its source.
fn trouble(have: &FleetHave) -> String {
    have.release(ReleaseId(1)).unwrap().discovered.clone().unwrap().trouble.unwrap_or_default()
}

#[tokio::test]
async fn a_token_without_a_right_is_refused_by_its_name_and_one_that_loses_it_takes_nobody_away() {
    let Some(program) = consul::program() else { return };
    let bed = consul::Bed::start(&program, true);
    bed.let_dns_read_nothing();
    let apps = [(); 3].map(|()| App::start("v1"));
    for (n, one) in apps.iter().enumerate().take(2) {
        register(&bed, &format!("one-{n}"), (one.address, "v1"), "passing");
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("token");
    let shown = |token: Option<&str>| {
        let token = token.map(|token| {
            std::fs::write(&place, format!("{token}\n")).unwrap();
            TokenPlace::File(place.clone())
        });
        Source::Consul(Catalog { token, ..catalog(&bed, "v1") })
    };
    let services = "service \"shop\" { policy = \"read\" }";
    let both = format!("{services} node_prefix \"\" {{ policy = \"read\" }}");
    let (_, nothing) = bed.grant("nothing", "key_prefix \"x\" { policy = \"read\" }");
    let (_, half) = bed.grant("half", services);
    let (accessor, enough) = bed.grant("enough", &both);
    for (token, words) in [
        (None, "who shows no token may not read the service `shop` (`service:read`)"),
        (Some(nothing.as_str()), "the token may not read the service `shop` (`service:read`)"),
        (Some(&half), "the token may not read the nodes that its instances are on (`node:read`)"),
        (Some("00000000-dead-0000-0000-000000000000"), "does not know the token"),
    ] {
        let fault = ask_once(&shown(token)).await.unwrap_err();
        assert!(fault.kind == Kind::Config && fault.what.contains(words), "{fault:?}");
        assert!(fault.help.as_ref().unwrap().contains("service_prefix"), "{fault:?}");
        assert!(token.is_none_or(|token| !format!("{fault:?}").contains(token)), "it is shown");
    }
    // Where nobody is, nobody is hidden.
    let none = Catalog { service: "shops".into(), ..catalog(&bed, "v1") };
    let (_, wide) = bed.grant("wide", "service_prefix \"\" { policy = \"read\" }");
    let Source::Consul(Catalog { token, .. }) = shown(Some(&wide)) else { panic!() };
    let said = ask_once(&Source::Consul(Catalog { token, ..none })).await.unwrap();
    assert!(said.contains("names 0 now"), "{said}");
    let v1 = release(1, shown(Some(&enough)));
    let run = want(&[(&v1, 2, RunState::Running)]);
    let platform = Discovery::open(folder.path()).unwrap();
    settle(&platform, &run, |_| true).await;
    let first_two = BTreeSet::from([apps[0].address, apps[1].address]);
    // Its rights are taken; somebody comes, so that this is known at once and not within 20 s.
    let rights = |policies: Value| {
        let path = format!("/v1/acl/token/{accessor}");
        bed.tell("PUT", &path, consul::MASTER, &json!({ "Policies": policies })).unwrap();
    };
    rights(json!([]));
    register(&bed, "one-2", (apps[2].address, "v1"), "passing");
    let have = settle(&platform, &run, |have| trouble(have).contains("service:read")).await;
    assert!(trouble(&have).contains("the 2 known before are kept"), "{have:?}");
    assert_eq!((there(&have, 1), ready(&have, 1)), (first_two, 2));
    rights(json!([{ "Name": "enough" }]));
    let all = |have: &FleetHave| there(have, 1).len() == 3 && ready(have, 1) == 3;
    let have = settle(&platform, &run, all).await;
    assert_eq!(trouble(&have), "");
    // It is taken away altogether, and another one is put into its place.
    let path = format!("/v1/acl/token/{accessor}");
    bed.tell("DELETE", &path, consul::MASTER, &Value::Null).unwrap();
    deregister(&bed, "one-2");
    let unknown = |have: &FleetHave| trouble(have).contains("does not know the token");
    let have = settle(&platform, &run, unknown).await;
    assert!(all(&have), "{have:?}");
    let record = std::fs::read_to_string(folder.path().join("discovered/shop-1.json")).unwrap();
    assert!(record.contains("token") && !record.contains(&enough), "{record}");
    std::fs::write(&place, bed.grant("another", &both).1).unwrap();
    settle(&platform, &run, |have| trouble(have).is_empty() && there(have, 1).len() == 2).await;
}

#[tokio::test]
async fn an_agent_is_asked_over_tls_only_if_its_certificate_is_what_it_should_be() {
    let Some(program) = consul::program() else { return };
    let (mut bed, one) = (consul::Bed::secure(&program, false), App::start("v1"));
    register(&bed, "one", (one.address, "v1"), "passing");
    let plain = catalog(&bed, "v1");
    let right = plain.secure.clone().unwrap();
    let ask = |secure: Option<Secure>| {
        let source = Source::Consul(Catalog { secure, ..plain.clone() });
        async move { ask_once(&source).await }
    };
    for name in [None, Some("server.dc1.consul".to_owned())] {
        let said = ask(Some(Secure { name, ..right.clone() })).await.unwrap();
        assert!(said.contains("https://") && said.contains("names 1 now"), "{said}");
    }
    let strangers = Authority::new();
    let with = |ca: &Path, name: Option<&str>| {
        let (ca, name) = (Some(ca.to_owned()), name.map(str::to_owned));
        Some(Secure { ca, name, pair: None })
    };
    let ca = right.ca.clone().unwrap();
    for (secure, what, help) in [
        (with(&strangers.ca, None), "a certificate that nobody in", "as `ca` in `instances`"),
        (
            with(&ca, Some("elsewhere.test")),
            "for 127.0.0.1, server.dc1.consul, not for elsewhere.test",
            "`tls_server_name = \"127.0.0.1\"`",
        ),
        (with(Path::new("/nowhere/ca.pem"), None), "/nowhere/ca.pem cannot be read", ""),
        (None, "speaks TLS there, and was asked in plain text", "write \"https://127.0.0.1:"),
    ] {
        let fault = ask(secure).await.unwrap_err();
        assert!(fault.kind == Kind::Config && fault.what.contains(what), "{fault:?}");
        assert!(fault.help.unwrap_or_default().contains(help), "no `{help}`");
    }
    let http = Catalog { agent: bed.http, ..plain.clone() };
    let fault = ask_once(&Source::Consul(http)).await.unwrap_err();
    assert!(fault.what.contains("does not speak TLS"), "{fault:?}");
    // It wants to see a certificate, too; then its own has expired.
    let until = async |secure: &Secure, words: &str| {
        let asked = async {
            loop {
                let said = match ask(Some(secure.clone())).await {
                    Ok(said) => said,
                    Err(fault) => format!("{fault}; {}", fault.help.as_deref().unwrap_or_default()),
                };
                if said.contains(words) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never: {words}"));
    };
    let ours = bed.tls.as_ref().unwrap().1.certify("client", &["client.test"], 4000);
    bed.certify(4000, true);
    until(&right, "name one, if it asks its clients for a certificate").await;
    let shows = Secure { pair: Some(ours), ..right.clone() };
    until(&shows, "names 1 now").await;
    let theirs = strangers.certify("client", &["client.test"], 4000);
    until(&Secure { pair: Some(theirs), ..right }, "show one that its `ca_file` knows").await;
    bed.certify(2021, true);
    until(&shows, "shows a certificate that has expired").await;
}

/// Both platforms as one: each release stays with its own.
#[tokio::test]
async fn an_app_goes_from_instances_started_here_to_instances_that_are_found_and_back() {
    let (site, dns, theirs) = (common::Site::new(), FakeDns::start(), App::start("v2"));
    dns.set(|script| script.at("v2.test", &[theirs.address.ip()]));
    let open = || Mixed::new(Arc::new(site.open()), Discovery::open(&site.path()).unwrap());
    let platform = open();
    let (one, three) = (common::release(1, &[]), common::release(3, &[]));
    let source = zone(dns.address, "v2.test", Some(theirs.address.port()));
    let two = Release { app: common::app(), ..release(2, source) };
    let both = |have: &FleetHave| (ready(have, 1), ready(have, 2), ready(have, 3));
    let want = common::want;
    let run = RunState::Running;
    settle(&platform, &want(&[(&one, 1, run), (&two, 1, run)]), |have| both(have) == (1, 1, 0))
        .await;
    assert_eq!(site.living().len(), 1);
    // Whoever comes back has both.
    drop(platform);
    let platform = open();
    settle(&platform, &want(&[(&one, 1, run), (&two, 1, run)]), |have| both(have) == (1, 1, 0))
        .await;
    settle(&platform, &want(&[(&one, 0, RunState::Gone), (&two, 1, run)]), |have| {
        both(have) == (0, 1, 0) && have.seen(ReleaseId(1)).existing == 0
    })
    .await;
    assert_eq!(site.living().len(), 0);
    settle(&platform, &want(&[(&two, 1, run), (&three, 1, run)]), |have| both(have) == (0, 1, 1))
        .await;
    settle(&platform, &want(&[(&three, 1, run)]), |have| both(have) == (0, 0, 1)).await;
    assert_eq!((site.living().len(), load::get(theirs.address, "/").unwrap().status), (1, 200));
    settle(&platform, &want(&[]), |have| have.instances.is_empty()).await;
    assert_eq!(site.living().len(), 0);
}
