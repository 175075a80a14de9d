//! The same rollout file behind our own proxy, a real HAProxy and a real nginx: every strategy ships without
//! a loss, shares are kept, and a rolling replacement never runs one more than usual, nor with a surge one
//! fewer.
//!
//! Lines that begin with `switch |` make the table of switch times (`cargo xtask switches`); no test
//! judges them.

use crate::crowd::{Crowd, EVERYONE, REQUESTS};
use crate::scene::{LEAST_RATE, Scene};
use crate::traffic::{Deploy, Shipped, Users, starved};
use crate::world::{World, abrupt_config, beside, patient_config, signal, turn, wait_for};
use rustix::process::Signal;

/// A promotion that cost nothing, at 200 requests a second at least and on every lane; on no connection
/// did a version come back once all traffic had moved.
pub(crate) fn perfect(scene: &Scene, shipped: &Shipped) {
    shipped.expect(0, "PASS");
    let report = &shipped.report;
    assert_eq!(report["failed"], 0);
    let lanes = report["lanes"].as_array().unwrap();
    let each: Vec<_> = lanes.iter().map(|lane| (&lane["lane"], lane["sent"].as_u64())).collect();
    let ran = |name: &str| each.iter().any(|(lane, sent)| *lane == name && *sent > Some(50));
    assert!(
        ["keep-alive", "fresh", "websocket"].into_iter().all(ran),
        "{}: {each:?}",
        scene.name()
    );
    assert_eq!((each.len(), &report["lanes_not_run"]), (3, &serde_json::json!([])));
    let number = |name: &str| report[name].as_i64().unwrap();
    let seconds = (number("to_us") - number("from_us")) as f64 / 1e6;
    let rate = number("sent") as f64 / seconds;
    assert!(rate >= LEAST_RATE || starved(report), "{}: only {rate:.1} requests/s", scene.name());
    assert_eq!(report["proof"]["regressions"], 0, "{}: {}", scene.name(), report["proof"]);
    assert_eq!(report["proof"]["regressions_excused"], 0, "{}: {}", scene.name(), report["proof"]);
}

/// A line of the table: command to last old answer, and how long both versions answered.
pub(crate) fn tell(scene: &Scene, strategy: &str, shipped: &Shipped) {
    let proof = &shipped.report["proof"];
    let ms =
        |name: &str| proof[name].as_u64().map_or("-".into(), |us| format!("{} ms", us / 1_000));
    let name = scene.name();
    println!("switch | {strategy} | {name} | {} | {} |", ms("switch_time_us"), ms("mixed_us"));
}

#[test]
fn blue_green_costs_nothing_behind_any_router() {
    let _turn = turn();
    for scene in Scene::all(2, "bake = \"1s\"") {
        let scene = scene();
        let crowd = Crowd::of(scene.world(), &EVERYONE);
        let mut deploy = Deploy::start(scene.world(), "demo", "v2");
        deploy.reach("shifting");
        crowd.mark();
        let shipped = deploy.end();
        crowd.expect_nothing_lost();
        perfect(&scene, &shipped);
        scene.runs("demo-2-", 2);
        tell(&scene, "blue-green", &shipped);
    }
}

#[test]
fn a_canary_gets_its_share_and_then_everything() {
    let _turn = turn();
    let rollout = "strategy = \"canary\"\nsteps = [\"25%\"]\nstep_bake = \"4s\"\nbake = \"1s\"";
    for scene in Scene::all(2, rollout) {
        let scene = scene();
        let crowd = Crowd::of(scene.world(), &EVERYONE);
        let mut deploy = Deploy::start(scene.world(), "demo", "v2");
        deploy.reach("shifting");
        crowd.mark();
        deploy.reach("baking");
        deploy.reach("shifting");
        crowd.mark();
        let shipped = deploy.end();
        crowd.expect_nothing_lost();
        perfect(&scene, &shipped);
        scene.runs("demo-2-", 2);
        let shares = shipped.report["shares"].as_array().unwrap();
        let wanted: Vec<_> = shares.iter().map(|share| share["wanted_bp"].as_u64()).collect();
        assert_eq!(wanted, [Some(2_500), Some(10_000)]);
        assert!(shares[0]["answers"].as_u64() > Some(300), "{}: {shares:?}", scene.name());
        for share in shares {
            assert_eq!(share["finding"], "as_wanted", "{}: {shares:?}", scene.name());
        }
        let bound = |name: &str| shares[0][name].as_u64().unwrap();
        assert!(
            bound("low_bp") <= 2_500 && 2_500 <= bound("high_bp"),
            "{}: {shares:?}",
            scene.name()
        );
        tell(&scene, "canary 25 %", &shipped);
        let router = &shares[0]["router"];
        if !scene.counts() {
            assert!(router.is_null(), "{}: {router}", scene.name());
            continue;
        }
        // The router itself counted everybody: the crowd, too.
        assert_eq!(router["finding"], "as_wanted", "{}: {shares:?}", scene.name());
        assert!(router["requests"].as_u64() > Some(200), "{}: {router}", scene.name());
    }
}

#[test]
fn a_canary_that_is_aborted_takes_its_users_back() {
    let _turn = turn();
    let rollout = "strategy = \"canary\"\nsteps = [\"25%\", \"50%\"]\nstep_bake = \"20s\"";
    for scene in Scene::all(2, rollout) {
        let scene = scene();
        let crowd = Crowd::of(scene.world(), &EVERYONE);
        let mut deploy = Deploy::start(scene.world(), "demo", "v2");
        deploy.reach("baking");
        crowd.mark();
        scene.world().expect(0, &["abort", "demo"]);
        let shipped = deploy.end();
        crowd.expect_nothing_lost();
        shipped.expect(4, "PASS");
        scene.runs("demo-1-", 2);
    }
}

#[test]
fn a_rolling_replacement_never_runs_one_more_than_usual() {
    let _turn = turn();
    for scene in Scene::all(4, "strategy = \"rolling\"\nbatch = 2\nbake = \"500ms\"") {
        let scene = scene();
        let crowd = Crowd::of(scene.world(), &EVERYONE);
        let mut deploy = Deploy::start(scene.world(), "demo", "v2");
        let mut most = 0;
        for phase in ["draining", "stopping", "shifting", "draining", "stopping", "shifting"] {
            deploy.reach(phase);
            crowd.mark();
            most = most.max(scene.world().running().len());
        }
        let shipped = deploy.end();
        crowd.expect_nothing_lost();
        perfect(&scene, &shipped);
        assert!(most <= 4, "{most} instances of 4 ran at once: {}", shipped.said);
        scene.runs("demo-2-", 4);
    }
}

/// An app that exits when it is told to: whoever was not drained before would be cut.
#[test]
fn a_rolling_replacement_drains_each_batch_before_it_is_told() {
    let _turn = turn();
    let rollout = "strategy = \"rolling\"\nbatch = 1\nbake = \"200ms\"";
    let config = abrupt_config(3).replace("bake = \"1500ms\"", rollout);
    let mut world = World::new(&config);
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let crowd = Crowd::of(&world, &REQUESTS);
    let mut deploy = Deploy::start(&world, "demo", "v2");
    for _ in 0..3 {
        deploy.reach("draining");
        crowd.mark();
    }
    let shipped = deploy.end();
    crowd.expect_nothing_lost();
    shipped.expect(0, "PASS");
}

/// Half of two is one, and that one comes first: there and back never fewer than two serve, and never more
/// than three run.
#[test]
fn a_surge_comes_first_so_nobody_is_missing_there_and_back() {
    let _turn = beside();
    let rollout = "strategy = \"rolling\"\nbatch = \"50%\"\nsurge = 1\nbake = \"300ms\"";
    let mut world = World::new(&patient_config(2).replace("bake = \"1500ms\"", rollout));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let users = Users::of(&world, None);
    let serving = || {
        let status = world.status()?;
        let instances = status["apps"][0]["instances"].as_array()?.clone();
        Some(instances.iter().filter(|one| one["condition"] == "ready").count())
    };
    for (version, outcome) in [("v2", "promoted"), ("v3", "aborted")] {
        let mut deploy = Deploy::start(&world, "demo", version);
        let aborted = outcome == "aborted";
        if aborted {
            // One of v3 serves, and one of v2 is on its way out.
            deploy.reach("draining");
            world.expect(0, &["abort", "demo"]);
        }
        let (mut fewest, mut most) = (usize::MAX, 0);
        wait_for("it is over", 60, || {
            fewest = fewest.min(serving().unwrap_or(fewest));
            most = most.max(world.running().len());
            deploy.over().then_some(())
        });
        let shipped = deploy.end();
        assert_eq!(shipped.report["outcome"], outcome, "{}", shipped.said);
        assert_eq!(fewest, 2, "{version}: {}", shipped.said);
        assert!((2..=3).contains(&most), "{version}: {most} ran: {}", shipped.said);
        assert!(aborted || most == 3, "nobody came first: {}", shipped.said);
        assert_eq!(shipped.report["failed"], 0, "{}", shipped.why());
        let running = world.running();
        let right = running.len() == 2 && running.iter().all(|(id, _)| id.starts_with("demo-2-"));
        assert!(right, "{version}: {running:?}");
    }
    users.expect_none_lost();
}

/// The dance: v2 serves in the place of v1 at the end, and what carried it meanwhile is a spare, which
/// takes over when an instance dies and makes room at the next deploy.
#[test]
fn the_way_home_costs_nothing_and_leaves_a_spare() {
    let _turn = turn();
    for scene in Scene::all(2, "slots = \"home\"\nbake = \"1s\"") {
        let scene = scene();
        let crowd = Crowd::of(scene.world(), &EVERYONE);
        let mut deploy = Deploy::start(scene.world(), "demo", "v2");
        deploy.reach("shifting");
        crowd.mark();
        deploy.reach("stopping");
        deploy.reach("shifting");
        crowd.mark();
        let shipped = deploy.end();
        crowd.expect_nothing_lost();
        perfect(&scene, &shipped);
        scene.runs("demo-2-", 4);
        let standing_by = || {
            let status = scene.world().status().unwrap();
            let instances = status["apps"][0]["instances"].as_array().unwrap().clone();
            let of = |condition: &str| -> Vec<String> {
                let with = instances.iter().filter(|one| one["condition"] == condition);
                with.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
            };
            (of("standby"), of("ready"))
        };
        let (spare, serving) = standing_by();
        assert_eq!(spare, ["demo-2-1", "demo-2-2"], "{}", scene.name());
        assert_eq!(serving, ["demo-2-3", "demo-2-4"], "{}", scene.name());
        // One that serves dies: a spare is there at once, and nobody else is started.
        let running = scene.world().running();
        let victim = running.iter().find(|(id, _)| id == "demo-2-3").unwrap().1;
        signal(victim, Signal::KILL);
        wait_for("a spare serves", 20, || {
            let (spare, serving) = standing_by();
            (serving.len() == 2 && serving.contains(&"demo-2-4".to_owned()) && spare.len() == 1)
                .then_some(())
        });
        let crowd = Crowd::of(scene.world(), &EVERYONE);
        let shipped = Deploy::start(scene.world(), "demo", "v3").end();
        crowd.expect_nothing_lost();
        perfect(&scene, &shipped);
        scene.runs("demo-3-", 4);
    }
}
