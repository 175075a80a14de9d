//! Two apps behind one proxy: what happens to one does not disturb the other.
//!
//! Apps that are shipped in one rollout are in `together`.

use crate::traffic::{Users, get};
use crate::world::{World, beside, patient_config, said, wait_for};

/// Two apps on hosts of their own.
fn config() -> String {
    let sample = patient_config(1);
    let (proxy, app) = sample.split_once("[app.demo]").unwrap();
    let named = |name: &str| {
        let hosts = format!("[app.{name}]\nhosts = [\"{name}.test\"]");
        format!("{hosts}{}", app.replace("app.demo", &format!("app.{name}")))
    };
    format!("{proxy}{}\n{}", named("left"), named("right"))
}

fn of(world: &World, app: &str) -> Vec<(String, u32)> {
    world.running().into_iter().filter(|(id, _)| id.starts_with(app)).collect()
}

fn version(world: &World, host: &str) -> String {
    let answer = get(world.port, host, "/version").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    answer
}

#[test]
fn deploying_one_app_does_not_disturb_the_other_and_both_survive_a_restart() {
    let _turn = beside();
    let mut world = World::new(&config());
    world.up();
    for app in ["left", "right"] {
        world.expect(0, &["deploy", app, "v1"]);
    }
    let right = of(&world, "right");
    let users = Users::of(&world, Some("right.test"));
    world.expect(0, &["deploy", "left", "v2"]);
    assert!(version(&world, "left.test").contains("v2"));
    assert!(version(&world, "right.test").contains("v1"));
    assert_eq!(of(&world, "right"), right);
    assert!(get(world.port, "nobody.test", "/").unwrap().starts_with("HTTP/1.1 404"));

    let all = world.running();
    let more_users = Users::of(&world, Some("left.test"));
    world.kill_up();
    world.up();
    wait_for("both apps are known", 10, || {
        let status = world.status()?;
        let pools = |app: usize| status["apps"][app]["pools"].as_array().map(Vec::len);
        (pools(0) == Some(1) && pools(1) == Some(1)).then_some(())
    });
    assert_eq!(world.running(), all);
    assert!(version(&world, "left.test").contains("v2"));
    assert!(version(&world, "right.test").contains("v1"));
    users.expect_pass();
    more_users.expect_pass();
}

#[test]
fn an_app_that_left_the_file_while_it_runs_is_named_and_goes_on() {
    let _turn = beside();
    let mut world = World::new(&config());
    world.up();
    for app in ["left", "right"] {
        world.expect(0, &["deploy", app, "v1"]);
    }
    let all = world.running();
    world.kill_up();
    let file = world.path().join("cutover.toml");
    let whole = std::fs::read_to_string(&file).unwrap();
    let without = &whole[..whole.find("[app.right]").unwrap()];
    std::fs::write(&file, without).unwrap();
    let refused = world.expect(2, &["up"]);
    assert!(said(&refused).contains("instances of `right` still run"), "{}", said(&refused));
    assert!(version(&world, "right.test").contains("v1"));
    std::fs::write(&file, whole).unwrap();
    world.up();
    assert_eq!(world.running(), all);
}
