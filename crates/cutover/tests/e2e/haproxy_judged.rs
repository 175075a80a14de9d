//! A HAProxy carries the traffic, and its counters judge a new version: it fails what only users ask for.
//!
//! What the counters say of a request is tried in `drivers`; how sure a finding is, in `rollout`.

use std::time::Duration;

use crate::haproxy_bed::{Real, programs};
use crate::judging::Users;
use crate::traffic::Deploy;
use crate::world::{patient_config, said, turn};

/// What users ask for, and the prober does not. Of versions called `bad…` the book of orders cannot be read.
const ORDERS: &str = "/orders?run=users";

/// A canary that serves a quarter for some seconds.
fn config() -> String {
    let own =
        "command = [\"CUTOVER\", \"app\", \"--port\", \"{port}\", \"--version\", \"{version}\"]";
    let moody = "command = [\"sh\", \"-c\", \"case $1 in bad*) fault='--orders /';; esac; exec CUTOVER \
                 app --port $0 --version $1 $fault\", \"{port}\", \"{version}\"]";
    let canary = "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"8s\"\nbake = \"1500ms\"";
    let config = patient_config(1).replace("bake = \"1500ms\"", canary).replace(own, moody);
    assert!(config.contains("bad*") && config.contains("step_bake"), "{config}");
    config
}

#[test]
fn a_canary_that_fails_its_users_alone_is_given_up_and_a_healthy_one_is_not() {
    let _turn = turn();
    for program in programs() {
        let real = Real::live(&program, &config());
        let users = Users::of(real.world.port, 20, Duration::from_millis(200), ORDERS);
        users.suffer(true);
        let plan = said(&real.world.expect(0, &["plan", "demo", "bad"]));
        let judged =
            "more than 1 % of bad's requests failing ends it (each counts, the prober's too";
        let lost = "the versions are not compared, and `max_error_share` is held against all that it counts";
        assert!(plan.contains(judged) && plan.contains(lost), "{plan}");

        let shipped = Deploy::start(&real.world, "demo", "bad").end();
        let why =
            "bad is over a limit: more than 1 % of its requests, the prober's among them, fail";
        assert!(shipped.code == Some(4) && shipped.said.contains(why), "{}", shipped.said);
        assert_eq!(shipped.report["failed"], 0, "the prober met none: {}", shipped.why());
        let first = shipped.said.lines().position(|line| line.contains("is held against all"));
        assert!(first.is_some(), "{}", shipped.said);

        let shipped = Deploy::start(&real.world, "demo", "v2").end();
        assert_eq!(shipped.report["outcome"], "promoted", "{}", shipped.said);
        let told = "without a reason to go back; of its requests, the prober's among them, 0 of ";
        assert!(shipped.said.contains(told), "{}", shipped.said);
    }
}
