//! A follower of Consul on a machine of its own, as far as the network goes: an nginx in a network namespace that
//! nothing but a wire joins to this one. It reaches instances by `[router] address`, or not at all.
//!
//! The disks are one: consul-template, a FAKE (`followers`), runs here, since it needs Consul alone.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::consul_bed::{Bed, program};
use crate::followers::{Follower, Nginx};
use crate::nginx_bed::nginx;
use crate::traffic::Deploy;
use crate::world::{World, patient_config, turn};

/// A network of its own, and the wire to it; gone when it is dropped.
struct Elsewhere {
    name: String,
    here: Ipv4Addr,
    there: Ipv4Addr,
}

impl Elsewhere {
    /// `None`, which is said, where that is not permitted.
    fn new() -> Option<Self> {
        let pid = std::process::id();
        // Of a network that is for measurements; four addresses each.
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + pid % (1 << 14) * 4;
        let net = Self {
            name: format!("cutover-{pid}"),
            here: Ipv4Addr::from(base + 1),
            there: Ipv4Addr::from(base + 2),
        };
        let Self { name, here, there } = &net;
        let lines = [
            format!("netns add {name}"),
            format!("link add cv{pid}h type veth peer name cv{pid}t netns {name}"),
            format!("addr add {here}/30 dev cv{pid}h"),
            format!("link set cv{pid}h up"),
            format!("-n {name} addr add {there}/30 dev cv{pid}t"),
            format!("-n {name} link set cv{pid}t up"),
        ];
        let made = lines.iter().all(|line| ip(line));
        if !made {
            aside::say("skipped: no network can be made here");
        }
        made.then_some(net)
    }

    /// A program that is this one, run there.
    fn program(&self, program: &Path, folder: &Path) -> PathBuf {
        let path = folder.join("elsewhere");
        let mut text = "#!/bin/sh\n".to_owned();
        writeln!(text, "exec ip netns exec {} '{}' \"$@\"", self.name, program.display()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // The wire goes with it.
        ip(&format!("netns del {}", self.name));
    }
}

/// True when it was done.
fn ip(line: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(line.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Consul decides, its follower carries users' requests at `there`, and both read this.
fn config(consul: &Bed, net: &Elsewhere) -> String {
    let proxy = "[proxy]\nlisten = [\"127.0.0.1:PORT\"]\ndrain_timeout = \"5s\"\n";
    let router = format!(
        "[router]\nkind = \"consul\"\nfollower = \"any\"\nagent = \"{}\"\naddress = \"{}\"\n\
         listen = [\"{}:PORT\"]\n",
        consul.http, net.here, net.there
    );
    let bake = "bake = \"300ms\"\nlongest_request = \"2s\"";
    let config = patient_config(2).replace("bake = \"1500ms\"", bake).replace(proxy, &router);
    config.replace("\"--port\"", "\"--address\", \"{host}\", \"--port\"")
}

#[test]
fn a_follower_on_a_machine_of_its_own_is_led_from_one_version_to_the_next() {
    let _turn = turn();
    let (Some(consul), Some(nginx)) = (program(), nginx()) else { return };
    let Some(net) = Elsewhere::new() else { return };
    let consul = Bed::start(&consul, false);
    let mut world = World::new(&config(&consul, &net));
    let entrance = SocketAddr::from((net.there, world.port));
    let nginx = Nginx::start(&net.program(&nginx, world.path()), entrance, Some("1s"));
    let here = SocketAddr::from(([127, 0, 0, 1], world.port));
    assert!(TcpStream::connect(here).is_err(), "nginx listens on this machine, too");
    let _template = Follower::consul_template(consul.http, "demo", &nginx);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let shipped = Deploy::start(&world, "demo", "v2").end();
    shipped.expect(0, "PASS");
    let lanes = shipped.report["lanes"].as_array().unwrap();
    assert!(lanes.iter().all(|lane| lane["failed"] == 0), "{lanes:?}");
    let entries = consul.get("/v1/health/service/demo?passing");
    let address = |one: &Value| one["Service"]["Address"].as_str().unwrap().to_owned();
    let named: Vec<String> = entries.as_array().unwrap().iter().map(address).collect();
    assert_eq!(named, [net.here.to_string(), net.here.to_string()]);
    world.expect(0, &["down"]);
    assert_eq!(consul.get("/v1/agent/services"), serde_json::json!({}));
}
