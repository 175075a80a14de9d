//! Clients that come back with their cookies: a canary that keeps them, as the armed prober sees it, and a
//! service that does not.
//!
//! Which cohort is whose is tried in the proxy's own `cohorts`, not here.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use crate::traffic::{Deploy, Shipped};
use crate::world::{CUTOVER, World, beside, newest_report, patient_config, said, turn};

/// A canary that keeps its clients.
pub(crate) fn canary() -> String {
    let rollout = "strategy = \"canary\"\nsticky = \"cohort\"\nsteps = [\"30%\", \"60%\"]\n\
                   step_bake = \"1500ms\"\nbake = \"500ms\"";
    patient_config(2).replace("bake = \"1500ms\"", rollout)
}

/// Ships v1, then v2, and the prober's clients went from one to the other and not back.
pub(crate) fn ship(world: &mut World) -> Shipped {
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let shipped = Deploy::start(world, "demo", "v2").end();
    shipped.expect(0, "PASS");
    let clients = &shipped.report["clients"];
    assert!(clients["clients"] == 32 && clients["moved"].as_u64() > Some(16), "{clients}");
    assert_eq!((&clients["regressions"], &clients["regressions_excused"]), (&0.into(), &0.into()));
    shipped
}

#[test]
fn a_canary_that_keeps_its_clients_is_seen_to_and_one_in_two_of_the_requests_is_a_newcomers() {
    let _turn = turn();
    let shipped = ship(&mut World::new(&canary()));
    let shares = shipped.report["shares"].as_array().unwrap();
    let counted: u64 = shares.iter().map(|share| share["answers"].as_u64().unwrap()).sum();
    assert!(counted > 100 && shares.iter().all(|share| share["router"].is_null()), "{shares:?}");
    let facts = shipped.report["facts"].as_array().unwrap();
    let told = |fact: &serde_json::Value| fact.as_str().unwrap().starts_with("32 clients kept");
    assert!(facts.iter().any(told), "{facts:?}");
}

/// A service whose answers name one version and then the other.
fn naive() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nX-App-Version: v{}\r\nSet-Cookie: id={number}\r\n\
                 Connection: close\r\nContent-Length: 2\r\n\r\nok",
                number / 2 % 2
            );
            // Who has gone wants no answer.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_service_that_flips_versions_is_found_out_and_fails_on_demand() {
    let _turn = beside();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}/", naive());
    let probe = |words: &[&str]| {
        let mut command = Command::new(CUTOVER);
        command.args(["probe", &url, "--lanes", "fresh", "--count", "60", "--late-after", "9s"]);
        command.args(words).current_dir(folder.path()).output().unwrap()
    };
    let output = probe(&["--clients", "3", "--assert", "client_regressions=0"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("went back to an older one"), "{}", said(&output));
    let report = newest_report(folder.path());
    assert!(report["clients"]["regressions"].as_u64() > Some(5), "{}", report["clients"]);
    let output = probe(&["--clients", "3", "--header", "Cookie: a=b"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("keep their own cookies"), "{}", said(&output));
}
