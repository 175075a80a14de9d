//! Users who have connected to a worker of nginx that ends and not asked yet, and half-sent uploads: a whole
//! deploy waits for them, also across a death of `up` and a clock that jumps.
//!
//! What a single look counts is tried in the driver's tests, and users who keep asking in `nginx`.

use std::io::{Error, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::Value;

use crate::nginx_bed::{Real, nginx};
use crate::traffic::Deploy;
use crate::world::{beside, patient_config, wait_for};

/// Longer than an ending worker waits for kept connections (a second here) and than a drain takes in which
/// nobody is waited for.
const SILENCE: Duration = Duration::from_secs(5);

/// An app without sockets, which a drain behind nginx cannot tell from requests.
fn config(longest_request: &str) -> String {
    let longest = format!("bake = \"300ms\"\nlongest_request = \"{longest_request}\"");
    let config = patient_config(2).replace("bake = \"1500ms\"", &longest);
    config.replace(", \"websocket\"]", "]")
}

/// A connection on which nothing was asked yet.
struct Silent(TcpStream);

impl Silent {
    fn of(real: &Real) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", real.world.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    /// Half of an upload: nginx has it to itself until all has come.
    fn uploading(real: &Real) -> Self {
        let mut half = Self::of(real);
        half.0.write_all(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n").unwrap();
        half.0.write_all(b"Connection: close\r\n\r\nabc").unwrap();
        half
    }

    /// Says the rest; who answered, if it was a whole answer to the request.
    fn ends_with(mut self, rest: &str) -> Result<String, Error> {
        self.0.write_all(rest.as_bytes())?;
        let mut answer = String::new();
        self.0.read_to_string(&mut answer)?;
        let version = answer.lines().find_map(|line| line.strip_prefix("x-app-version: "));
        let good = answer.starts_with("HTTP/1.1 200") && answer.contains("\r\n\r\n");
        match version.filter(|_| good) {
            Some(version) => Ok(version.trim().to_owned()),
            None => Err(Error::other(answer)),
        }
    }
}

const ASK: &str = "GET /datetime HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn old_ones(real: &Real) -> usize {
    real.world.running().iter().filter(|(id, _)| id.starts_with("demo-1-")).count()
}

/// Nobody speaks for so long; every old instance is there all the while.
fn stays(real: &Real, time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        assert_eq!(old_ones(real), 2, "after {:?}: old instances were ended", since.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Three who are silent until everybody else has been on v2 for long, and one who is half through an upload:
/// all are answered, by v1, and v1 is ended when they are.
fn all_are_served(real: &mut Real, meanwhile: impl FnOnce(&mut Real)) {
    let mut deploy = Deploy::start(&real.world, "demo", "v2");
    deploy.reach("arming");
    let silent = [Silent::of(real), Silent::of(real), Silent::of(real)];
    let upload = Silent::uploading(real);
    deploy.reach("draining");
    meanwhile(real);
    stays(real, SILENCE);
    let said = silent.map(|one| one.ends_with(ASK));
    assert!(said.iter().all(|one| one.as_ref().is_ok_and(|who| who == "v1")), "{said:?}");
    assert!(old_ones(real) == 2 && !deploy.over(), "one user is left");
    let uploaded = upload.ends_with("def");
    assert!(uploaded.as_ref().is_ok_and(|who| who == "v1"), "{uploaded:?}");
    let shipped = deploy.end();
    shipped.expect_unharmed();
    assert!(real.world.running().iter().all(|(id, _)| id.starts_with("demo-2-")));
}

fn patient() -> Option<Real> {
    let real = Real::of(&nginx()?, &config("25s"));
    // As long as nginx itself waits for a first word.
    real.edit("client_header_timeout 10s;", "client_header_timeout 25s;");
    Some(real)
}

#[test]
fn who_has_not_asked_yet_is_answered_by_the_old_version_before_that_is_ended() {
    let _turn = beside();
    let Some(mut real) = patient() else { return };
    real.start();
    real.world.up();
    real.world.expect(0, &["deploy", "demo", "v1"]);
    all_are_served(&mut real, |_| ());
}

/// One who has stopped in the middle of an upload is waited for as long as a request may take, and no longer.
#[test]
fn who_never_ends_is_waited_for_as_long_as_a_request_may_take() {
    const LONGEST: Duration = Duration::from_secs(9);
    let _turn = beside();
    let Some(program) = nginx() else { return };
    let real = Real::live(&program, &config("9s"));
    let mut deploy = Deploy::start(&real.world, "demo", "v2");
    deploy.reach("arming");
    let upload = Silent::uploading(&real);
    deploy.reach("shifting");
    let since = Instant::now();
    let gone = wait_for("the old instances are ended", 60, || {
        (old_ones(&real) == 0).then(|| since.elapsed())
    });
    // The reload comes after the words that announce it.
    assert!(gone >= LONGEST, "they were ended after {gone:?}");
    // The prober's own word is asked for in the others: here time matters, which a busy machine takes from it.
    let shipped = deploy.end();
    assert_eq!(shipped.report["outcome"], "promoted", "{}", shipped.said);
    drop(upload);
}

/// A library for `up` and what it starts, whose wall clock is two days ahead once a file is there. It takes the
/// place of the kernel's own function, which programs may call past libc, as `up` does. `None` where it cannot.
fn clock_that_jumps(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    const SOURCE: &str = "#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int told(clockid_t clock, struct timespec *now) {
    int kept = errno;
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME && !access(JUMPED, F_OK)) now->tv_sec += 172800;
    errno = kept;
    return failed;
}
__attribute__((constructor)) static void take_its_place(void) {
    void *vdso = dlopen(\"linux-vdso.so.1\", RTLD_LAZY | RTLD_NOLOAD);
    char *at = vdso ? dlsym(vdso, \"__vdso_clock_gettime\") : 0;
    char jump[12] = \"\\x48\\xb8________\\xff\\xe0\";
    void *there = (void *)told;
    memcpy(jump + 2, &there, sizeof there);
    /* All of it: a part of what the kernel has put there cannot be changed alone. */
    unsigned long from = 0, to = 0;
    char line[512];
    FILE *maps = fopen(\"/proc/self/maps\", \"r\");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, \"[vdso]\")) sscanf(line, \"%lx-%lx\", &from, &to);
    if (maps) fclose(maps);
    if (!at || mprotect((void *)from, to - from, PROT_READ | PROT_WRITE | PROT_EXEC)) abort();
    memcpy(at, jump, sizeof jump);
}
";
    if !cfg!(target_arch = "x86_64") {
        aside::say("skipped: a clock that jumps is written for x86-64 alone");
        return None;
    }
    let [source, library, jumped] = ["clock.c", "clock.so", "jumped"].map(|name| folder.join(name));
    std::fs::write(&source, SOURCE).unwrap();
    let jumped_is = format!("-DJUMPED=\"{}\"", jumped.display());
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg(jumped_is);
    assert!(cc.status().unwrap().success(), "no C compiler");
    Some((library, jumped))
}

/// Starts `up` with that library, and waits until it answers.
fn up_with(real: &mut Real, library: &Path) {
    let log =
        std::fs::File::options().create(true).append(true).open(real.world.path().join("up.log"));
    let log = log.unwrap();
    let mut command = real.world.command(&["up"]);
    command.env("LD_PRELOAD", library).process_group(0);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let child = command.spawn().unwrap();
    let pid = child.id();
    real.world.take(child);
    wait_for("`cutover up` answers", 20, || {
        real.world.status().is_some_and(|status| status["pid"] == pid).then_some(())
    });
}

/// When the newest rollout began, as the server's own wall clock has it.
fn newest_began(real: &Real) -> Duration {
    let output = real.world.expect(0, &["history", "--json"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    Duration::from_millis(all[0]["began_unix_ms"].as_u64().unwrap())
}

#[test]
fn a_clock_that_jumps_ends_no_wait() {
    let _turn = beside();
    let Some(mut real) = patient() else { return };
    let Some((library, jumped)) = clock_that_jumps(real.world.path()) else { return };
    real.start();
    up_with(&mut real, &library);
    real.world.expect(0, &["deploy", "demo", "v1"]);
    all_are_served(&mut real, |real| {
        // What a drain writes at its begin is on record by then: with the time before the jump.
        stays(real, Duration::from_secs(2));
        std::fs::write(&jumped, "").unwrap();
        stays(real, Duration::from_secs(3));
        // Whoever comes back reads on record since when it waits.
        real.world.kill_up();
        up_with(real, &library);
    });
    // It did jump for the server: else nothing was shown.
    let day = Duration::from_hours(24);
    let now = UNIX_EPOCH.elapsed().unwrap();
    assert!(newest_began(&real) < now + day);
    // Its verdict does not matter here.
    drop(real.world.run(&["deploy", "demo", "v3"]));
    assert!(newest_began(&real) > now + day, "the clock of `up` did not jump");
}
