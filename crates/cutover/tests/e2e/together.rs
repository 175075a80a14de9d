//! Two apps in one rollout: both get the new version, or neither does, whatever happens meanwhile.
//!
//! Deaths at every instant are not tried here, but simulated with the machine (`rollout`).

use serde_json::Value;

use crate::traffic::{Deploy, Users, get};
use crate::world::{World, beside, patient_config, said, wait_for};

/// Two apps on hosts of their own, together called `both`; `right` never becomes ready as v3.
fn config() -> String {
    let sample = patient_config(1).replace(", \"websocket\"]", "]");
    let sample = sample.replace("bake = \"1500ms\"", "bake = \"3s\"");
    let (proxy, app) = sample.split_once("[app.demo]").unwrap();
    let named = |name: &str| {
        let hosts = format!("[app.{name}]\nhosts = [\"{name}.test\"]");
        format!("{hosts}{}", app.replace("app.demo", &format!("app.{name}")))
    };
    let never = "[\"sh\", \"-c\", \"test $VERSION = v3 && exec sleep 60; exec CUTOVER app \
                 --port {port} --version {version}\"]";
    let right = named("right").replace(
        "[\"CUTOVER\", \"app\", \"--port\", \"{port}\", \"--version\", \"{version}\"]",
        never,
    );
    assert!(right.contains(never), "{right}");
    let right = right.replace("deadline = \"25s\"", "deadline = \"12s\"");
    let together = "[together.both]\napps = [\"left\", \"right\"]\n";
    format!("{proxy}{together}{}\n{right}", named("left"))
}

fn versions(world: &World) -> [String; 2] {
    ["left.test", "right.test"].map(|host| {
        let answer = get(world.port, host, "/version").unwrap();
        let known = ["v1", "v2", "v3"].into_iter().find(|version| answer.contains(version));
        known.unwrap_or(&answer).to_owned()
    })
}

fn idle(world: &World) {
    wait_for("no rollout is under way", 20, || {
        let status = world.status()?;
        let apps = status["apps"].as_array()?;
        apps.iter().all(|app| app["rollout"].is_null()).then_some(())
    });
}

/// When each app entered a phase first, ms since both began.
fn entered(steps: &str, phase: &str) -> Vec<(String, u64)> {
    let mut first: Vec<(String, u64)> = Vec::new();
    for line in steps.lines() {
        let Ok(step) = serde_json::from_str::<Value>(line) else { continue };
        let app = step["app"].as_str().unwrap_or_default();
        let known = first.iter().any(|(known, _)| known == app);
        if step["step"] == "phase" && step["phase"] == phase && !known {
            first.push((app.to_owned(), step["at_ms"].as_u64().unwrap()));
        }
    }
    first
}

#[test]
fn both_get_the_new_version_or_neither_does() {
    let _turn = beside();
    let mut world = World::new(&config());
    world.up();
    world.expect(0, &["deploy", "both", "v1"]);
    assert_eq!(versions(&world), ["v1", "v1"]);
    let users = ["left.test", "right.test"].map(|host| Users::of(&world, Some(host)));

    // The server is killed in the midst of it, and goes on.
    let mut deploy = Deploy::run(&world, &["deploy", "both", "v2", "--json"]);
    deploy.reach("baking");
    let alone = world.expect(2, &["deploy", "left", "v9"]);
    assert!(
        said(&alone).contains("left is being rolled out together with right"),
        "{}",
        said(&alone)
    );
    let shown = said(&world.expect(0, &["status", "both"]));
    assert!(shown.contains("together with right (both)"), "{shown}");
    world.kill_up();
    world.up();
    let shipped = deploy.end();
    assert_eq!(versions(&world), ["v2", "v2"], "{}", shipped.said);
    assert!(matches!(shipped.code, Some(0 | 3)), "{:?} {}", shipped.code, shipped.said);
    let (baked, drained) = (entered(&shipped.said, "baking"), entered(&shipped.said, "draining"));
    assert_eq!((baked.len(), drained.len()), (2, 2), "{}", shipped.said);
    let last = baked.iter().map(|(_, at)| *at).max();
    assert!(
        drained.iter().all(|(_, at)| Some(*at) >= last),
        "one was final before the other: {}",
        shipped.said
    );

    // One of them is never ready: users of neither see the new version.
    idle(&world);
    let refused = Deploy::run(&world, &["deploy", "both", "v3", "--json"]).end();
    assert_eq!(refused.code, Some(4), "{}", refused.said);
    assert!(entered(&refused.said, "shifting").is_empty(), "{}", refused.said);
    assert!(refused.said.contains("right turned back"), "{}", refused.said);
    assert_eq!(versions(&world), ["v2", "v2"]);

    // Back, together.
    idle(&world);
    let back = world.run(&["rollback", "both"]);
    assert!(matches!(back.status.code(), Some(0 | 3)), "{}", said(&back));
    assert_eq!(versions(&world), ["v1", "v1"]);
    let past = said(&world.expect(0, &["history", "both"]));
    assert!(past.contains("left (both)") && past.contains("right (both)"), "{past}");
    for users in users {
        users.expect_none_lost();
    }
}

#[test]
fn an_abort_of_one_takes_back_both() {
    let _turn = beside();
    let mut world =
        World::new(&config().replace("bake = \"3s\"", "bake = \"1s\"\npause = \"manual\""));
    world.up();
    world.expect(0, &["deploy", "both", "v1"]);
    let mut deploy = Deploy::run(&world, &["deploy", "both", "v2", "--json"]);
    deploy.reach("baking");
    let weight = world.expect(2, &["set-weight", "right", "50%"]);
    assert!(said(&weight).contains("take their steps together"), "{}", said(&weight));
    world.expect(0, &["abort", "right"]);
    let aborted = deploy.end();
    assert_eq!(aborted.code, Some(4), "{}", aborted.said);
    assert_eq!(versions(&world), ["v1", "v1"]);
}
