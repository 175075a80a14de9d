//! A secret reaches the app that names it, and nothing and nobody else.
//!
//! Programs that judge an app are started as if they were its own. Looked for on disk (all of the state directory and all that was written beside it), in command
//! lines, and in the environments of the processes that did not ask for it. Samples are compressed,
//! so in them a secret would not be found; the prober that writes them does not have it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::traffic::Deploy;
use crate::world::{World, beside, patient_config, said, signal, wait_for};

/// Two apps on hosts of their own; only the first names the secret.
fn config() -> String {
    let sample = patient_config(1);
    let (proxy, app) = sample.split_once("[app.demo]").unwrap();
    let named = |name: &str, more: &str| {
        let head = format!("[app.{name}]\nhosts = [\"{name}.test\"]\n{more}");
        format!("{head}{}", app.replace("app.demo", &format!("app.{name}")))
    };
    let with = "environment = { TOKEN = { from = \"SHOP_TOKEN\" }, LOG = \"info\" }";
    format!("{proxy}{}\n{}", named("left", with), named("right", ""))
}

/// `cutover up` with the secret in its environment, or without.
fn up(world: &mut World, secret: Option<&str>) {
    let log = File::options().create(true).append(true).open(world.path().join("up.log"));
    let log = log.unwrap();
    let mut command = world.command(&["up"]);
    command.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    command.env_remove("SHOP_TOKEN").envs(secret.map(|secret| ("SHOP_TOKEN", secret)));
    let server = command.spawn().unwrap();
    let pid = server.id();
    world.take(server);
    wait_for("`cutover up` answers", 20, || {
        world.status().is_some_and(|status| status["pid"] == pid).then_some(())
    });
}

/// The only instance of an app, when it is not `other`.
fn instance(world: &World, app: &str, other: u32) -> u32 {
    wait_for("another instance", 10, || {
        let running = world.running();
        let mut pids = running.iter().filter(|(id, _)| id.starts_with(app)).map(|(_, pid)| *pid);
        pids.next().filter(|pid| *pid != other)
    })
}

fn environment(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| match path.symlink_metadata() {
            Ok(found) if found.is_dir() => files(&path),
            Ok(found) if found.is_file() => vec![path],
            _ => Vec::new(),
        })
        .collect()
}

/// The secret is in no file and in no command line, where two apps were deployed.
fn assert_kept(world: &World, secret: &str) {
    assert!(files(world.path()).iter().any(|path| path.ends_with("left-1.json")));
    assert_nowhere(world, secret);
}

/// The secret is in no file and in no command line.
pub(crate) fn assert_nowhere(world: &World, secret: &str) {
    let files = files(world.path());
    for known in ["cutover.db", "cutover.db-wal", "proxy.log", "up.log"] {
        assert!(files.iter().any(|path| path.ends_with(known)), "{known}: {files:?}");
    }
    for path in files {
        // A file may be replaced meanwhile; what replaces it is written the same way.
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!holds(&bytes, secret), "{} holds the secret", path.display());
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!holds(&words, secret), "{} shows the secret", entry.path().display());
    }
}

/// Only the instances of the app that names it have it, under the name that it asked for.
fn assert_only_left_has(world: &World, secret: &str) {
    let left = environment(instance(world, "left", 0));
    let has_it = left.lines().any(|line| line == format!("TOKEN={secret}"));
    // Whose environment this is besides: its values are shown to nobody here either.
    assert!(has_it, "the app has no TOKEN, or another one");
    let others = [vec![instance(world, "right", 0)], world.parts("proxy"), world.parts("probe")];
    for pid in others.concat() {
        let theirs = environment(pid);
        assert!(theirs.contains("PATH="), "{pid} does not inherit");
        assert!(!theirs.contains(secret), "{pid} has the secret");
    }
}

#[test]
fn a_secret_is_with_its_app_and_nowhere_else() {
    let _turn = beside();
    let secret = &format!("hush-{}", fastrand::u64(1 << 40..));
    let mut world = World::new(&config());
    up(&mut world, Some(secret));
    for app in ["left", "right"] {
        let deployed = world.expect(0, &["deploy", app, "v1"]);
        assert!(!said(&deployed).contains(secret.as_str()), "{}", said(&deployed));
    }
    assert_kept(&world, secret);
    let mut deploy = Deploy::start(&world, "right", "v2");
    deploy.reach("baking");
    assert_eq!(world.parts("probe").len(), 1);
    assert_only_left_has(&world, secret);
    deploy.end().expect(0, "PASS");

    let first = instance(&world, "left", 0);
    world.kill_up();
    up(&mut world, Some(secret));
    assert_eq!(instance(&world, "left", 0), first, "it was not adopted");
    assert_kept(&world, secret);

    signal(first, Signal::KILL);
    instance(&world, "left", first);
    wait_for("it serves", 10, || {
        let status = world.status()?;
        (status["apps"][0]["instances"][0]["condition"] == "ready").then_some(())
    });
    assert_kept(&world, secret);
    assert_only_left_has(&world, secret);
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}

/// Programs that judge write down what they were told, whole or not at all: of a metric for both apps, of a
/// health check for one.
fn judged_config() -> String {
    let mut config = config().replace("rate = 100", "enabled = false");
    for app in ["left", "right"] {
        let canary = "strategy = \"canary\"\nsteps = [\"50%\"]\nstep_bake = \"300ms\"\n";
        let head = format!("[app.{app}.rollout]\n");
        config = config.replace(&head, &format!("{head}{canary}"));
        let metric = format!(
            "\n[[app.{app}.rollout.metrics]]\nname = \"queue\"\ninterval = \"100ms\"\n\
             command = [\"sh\", \"-c\", \"env > told.$$ && mv told.$$ metric.{app}\"]\n"
        );
        config.push_str(&metric);
    }
    let (left, right) = config.split_once("[app.right]").unwrap();
    let check = "command = [\"sh\", \"-c\", \"env > check.$$ && mv check.$$ check.$VERSION\"]";
    format!("{left}[app.right]{}", right.replacen("path = \"/healthz\"", check, 1))
}

#[test]
fn programs_that_judge_an_app_have_its_secrets_and_no_others() {
    let _turn = beside();
    let secret = &format!("hush-{}", fastrand::u64(1 << 40..));
    let mut world = World::new(&judged_config());
    up(&mut world, Some(secret));
    for (app, version) in [("left", "v1"), ("right", "v1"), ("left", "v2"), ("right", "v2")] {
        world.expect(0, &["deploy", app, version]);
    }
    let told = |name: &str| std::fs::read_to_string(world.path().join(name)).unwrap();
    let left = told("metric.left");
    // Values are shown to nobody here either.
    let has_it = left.lines().any(|line| line == format!("TOKEN={secret}"));
    assert!(has_it && left.lines().any(|line| line == "LOG=info"), "not the app's environment");
    // The instances of v1 are checked meanwhile, too.
    for name in ["metric.right", "check.v2"] {
        let theirs = told(name);
        assert!(theirs.contains("VERSION=v2"), "{name}: {theirs}");
        assert!(!theirs.contains(secret.as_str()), "{name} has the secret");
    }
}

#[test]
fn a_secret_that_is_missing_or_changed_later_is_named_in_the_log() {
    let _turn = beside();
    let mut world = World::new(&config());
    up(&mut world, Some("hush-one"));
    world.expect(0, &["deploy", "left", "v1"]);
    let log = |world: &World| std::fs::read_to_string(world.path().join("up.log")).unwrap();

    let first = instance(&world, "left", 0);
    world.kill_up();
    up(&mut world, None);
    let refused = world.expect(2, &["deploy", "left", "v2"]);
    let words = "the variable SHOP_TOKEN, which `TOKEN` is taken from, is not set";
    assert!(said(&refused).contains(words), "{}", said(&refused));
    assert_eq!(instance(&world, "left", 0), first, "what runs goes on");
    signal(first, Signal::KILL);
    let missing = "left cannot be started: the variable SHOP_TOKEN, which `TOKEN` of left v1 \
                   (release #1) is taken from, is not set; set SHOP_TOKEN where";
    wait_for("what is missing is said", 10, || log(&world).contains(missing).then_some(()));

    world.kill_up();
    up(&mut world, Some("hush-two"));
    let second = instance(&world, "left", first);
    signal(second, Signal::KILL);
    let third = instance(&world, "left", second);
    assert!(environment(third).contains("TOKEN=hush-two"));
    let log = log(&world);
    assert_eq!(log.matches("has changed since the deploy").count(), 1, "{log}");
    assert_eq!(log.matches(missing).count(), 1, "{log}");
    assert!(!log.contains("hush-"), "{log}");
    world.expect(0, &["down"]);
    world.assert_nothing_runs();
}
