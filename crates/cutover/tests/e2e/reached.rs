//! Instances that are registered at Consul where others reach this machine, not at 127.0.0.1.
//!
//! Its second address is of the loopback network, too: no other machine takes part, and strategies are tried
//! in `strategies`.

use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::consul_bed::{Bed, program};
use crate::crowd::{Crowd, EVERYONE};
use crate::haproxy_bed::{Real, programs};
use crate::traffic::Deploy;
use crate::world::{patient_config, said, turn};

const HERE: &str = "127.0.0.2";

/// A Consul, and a world behind a HAProxy that follows it; what is registered is reached at [`HERE`].
fn world(config: &str) -> Option<(Bed, Real)> {
    let consul = Bed::start(&program()?, false);
    let haproxy = programs().into_iter().next_back()?;
    let keys = format!("{}address = \"{HERE}\"\n", consul.keys());
    let real = Real::with(&haproxy, config, &keys);
    Some((consul, real))
}

/// An app that listens where it is told to.
fn obedient() -> String {
    let config = patient_config(2).replace("bake = \"1500ms\"", "bake = \"300ms\"");
    config.replace("\"--port\"", "\"--address\", \"{host}\", \"--port\"")
}

/// Where the instances are that every follower gets.
fn named(consul: &Bed) -> Vec<SocketAddr> {
    let entries = consul.get("/v1/health/service/demo?passing");
    let of = |one: &Value| {
        let (host, port) = (&one["Service"]["Address"], &one["Service"]["Port"]);
        format!("{}:{port}", host.as_str().unwrap()).parse().unwrap()
    };
    entries.as_array().unwrap().iter().map(of).collect()
}

#[test]
fn instances_are_shipped_at_the_address_by_which_others_reach_this_machine() {
    let _turn = turn();
    let Some((consul, mut real)) = world(&obedient()) else { return };
    real.begin();
    let crowd = Crowd::of(&real.world, &EVERYONE);
    let mut deploy = Deploy::start(&real.world, "demo", "v2");
    deploy.reach("baking");
    crowd.mark();
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    shipped.expect_unharmed();
    let there = named(&consul);
    assert_eq!(there.len(), 2, "{there:?}");
    for address in there {
        assert_eq!(address.ip().to_string(), HERE);
        TcpStream::connect(address).unwrap();
        let local = SocketAddr::from(([127, 0, 0, 1], address.port()));
        assert!(TcpStream::connect(local).is_err(), "{local}: they listen there, too");
    }
    // Whoever comes back knows where they are.
    let before = real.world.running();
    real.world.kill_up();
    real.world.up();
    assert_eq!(real.world.running(), before);
    real.world.expect(0, &["down"]);
    assert_eq!(consul.get("/v1/agent/services"), serde_json::json!({}));
    refuses_an_address_of_nobody(&real);
}

/// Before anything is started or registered.
fn refuses_an_address_of_nobody(real: &Real) {
    let file = real.world.path().join("cutover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // Of a network that is for examples.
    std::fs::write(&file, text.replace(HERE, "203.0.113.7")).unwrap();
    for command in [&["config", "check"][..], &["up"]] {
        let text = said(&real.world.expect(2, command));
        assert!(text.contains("`203.0.113.7`"), "{command:?}: {text}");
        assert!(text.contains("is no address of this machine"), "{command:?}: {text}");
    }
}

/// An app that listens at 127.0.0.1 all the same is not ready, and it is said what it should read.
#[test]
fn an_app_that_does_not_listen_there_is_told_how_it_could() {
    let _turn = turn();
    let config = patient_config(1).replace("deadline = \"25s\"", "deadline = \"3s\"");
    let Some((consul, mut real)) = world(&config) else { return };
    real.world.expect(0, &["haproxy", "install"]);
    real.start();
    real.world.up();
    let output = real.world.run(&["deploy", "demo", "v1"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains(&format!("nothing listens on {HERE}:")), "{text}");
    assert!(text.contains("does the server read HOST or {host}?"), "{text}");
    assert_eq!(consul.get("/v1/agent/services"), serde_json::json!({}));
}
