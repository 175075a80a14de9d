//! When an instance does not become ready, the words say what is wrong.
//!
//! When it ends or is killed is in `process`.

use crate::common;
use crate::common::{Site, release, running, until};
use drivers::platform::Platform;
use drivers::platform::process::find_program;
use model::{Release, ReleaseId};

const ONE: ReleaseId = ReleaseId(1);

/// The trouble once it contains `needle`.
async fn trouble(site: &Site, release: &Release, needle: &str) -> String {
    let platform = site.open();
    let want = running(release, 1);
    let rounds = async {
        loop {
            let (have, _) = common::round(&platform, &want).await;
            let seen = have.seen(ONE);
            let text = seen.trouble.join("\n");
            if text.contains(needle) {
                assert_eq!(seen.ready, 0);
                assert!(!text.contains('\x1b'), "{text:?}");
                return text;
            }
            // Single results are not announced: look again soon.
            let soon = std::time::Duration::from_millis(20);
            let _either = tokio::time::timeout(soon, platform.changed(have.change)).await;
        }
    };
    let found = tokio::time::timeout(common::PATIENCE, rounds).await;
    found.unwrap_or_else(|_| panic!("never said `{needle}`"))
}

#[tokio::test]
async fn a_command_that_does_not_exist_says_where_was_looked() {
    let site = Site::new();
    let mut release = release(1, &[]);
    release.command = vec!["./server".into()];
    let folder = site.path();
    release.directory = folder.to_str().unwrap().to_owned();
    let words = format!("`./server` was not found (looked in {})", release.directory);
    trouble(&site, &release, &words).await;
    assert_eq!(find_program(&release).unwrap_err().what, words);
    std::fs::write(folder.join("server"), "x").unwrap();
    assert!(find_program(&release).unwrap_err().what.contains("is not executable"));
    trouble(&site, &release, "is not executable").await;
    release.command = vec!["server".into()];
    assert!(find_program(&release).unwrap_err().help.unwrap().contains("./server"));
    release.command = vec!["sh".into()];
    assert!(find_program(&release).unwrap().is_absolute());
    release.directory = "/does/not/exist".into();
    assert!(find_program(&release).unwrap_err().what.contains("working directory"));
}

#[tokio::test]
async fn a_program_that_the_kernel_refuses_is_a_counted_crash() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let mut release = release(1, &[]);
    let program = site.path().join("garbage");
    std::fs::write(&program, [0, 1, 2, 3]).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    release.command = vec![program.to_str().unwrap().to_owned()];
    trouble(&site, &release, "A script begins with a line such as #!/bin/sh").await;
    let (platform, want) = (site.open(), running(&release, 1));
    let have = until(&platform, &want, |have, _| have.seen(ONE).crashes > 1).await;
    assert_eq!(have.seen(ONE).existing, 0);
}

#[tokio::test]
async fn a_script_for_nobody_is_found_out_before_it_is_started() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let mut release = release(1, &[]);
    release.directory = site.path().to_str().unwrap().to_owned();
    release.command = vec!["./start".into()];
    let script = site.path().join("start");
    let found = |text: &str| {
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        find_program(&release)
    };
    let fault = found("#! /no/such/shell -e\necho\n").unwrap_err();
    assert_eq!(fault.what, "`./start` is a script for `/no/such/shell`, which was not found");
    let fault = found("#!/bin/sh\r\necho\r\n").unwrap_err();
    assert!(fault.what.ends_with(r"end as on Windows: nothing is `/bin/sh\r`"), "{fault}");
    for fine in ["#!/bin/sh\n", "#!/usr/bin/env -S sh -e\n", "#!\n", "#!start\n", "no script", ""] {
        found(fine).unwrap();
    }
    found("#!/no/such/shell").unwrap_err();
    trouble(&site, &release, "is a script for `/no/such/shell`").await;
}

#[tokio::test]
async fn how_a_command_ended_is_told_in_words_that_people_know() {
    for (script, words) in [
        ("kill -SEGV $$", &["was ended by SIGSEGV after"][..]),
        ("exit 0", &["exited with status 0 after", "likely cause: it serves in the background"]),
    ] {
        let site = Site::new();
        let mut release = release(1, &[]);
        release.command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let text = trouble(&site, &release, words[0]).await;
        assert!(words.iter().all(|words| text.contains(words)), "{text}");
    }
}

#[tokio::test]
async fn a_command_that_exits_at_once_shows_its_status_and_its_log() {
    let site = Site::new();
    let text = trouble(&site, &release(1, &["--exit", "3"]), "exited with status 3 after").await;
    assert!(text.contains("log: cannot go on: ") && text.contains("no database"), "{text}");
}

#[tokio::test]
async fn a_server_that_listens_nowhere_or_elsewhere_is_found_out() {
    let site = Site::new();
    let text = trouble(&site, &release(1, &["--never-listen"]), "likely cause").await;
    assert!(text.contains("connection refused"), "{text}");
    assert!(text.contains("nothing listens on 127.0.0.1:"), "{text}");
    assert!(text.contains("listens nowhere yet"), "{text}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let site = Site::new();
    let elsewhere = release(1, &["--port", &free.to_string()]);
    let text = trouble(&site, &elsewhere, "instead").await;
    assert!(text.contains(&format!("listens on 127.0.0.1:{free} instead")), "{text}");
}

/// R7: whoever refuses, answers with an error or only accepts is not given to users, however long it
/// runs.
#[tokio::test]
async fn r07_what_does_not_answer_well_is_not_ready() {
    for arguments in [&["--never-listen"][..], &["--status", "503"], &["--hang"]] {
        let site = Site::new();
        let (platform, want) = (site.open(), running(&release(1, arguments), 1));
        // Several checks have failed once their causes are told.
        trouble(&site, &release(1, arguments), "likely cause").await;
        let (have, settled) = common::round(&platform, &want).await;
        assert!(!settled && have.serving_instances(ONE).is_empty(), "{arguments:?}: {have:?}");
    }
    let site = Site::new();
    let late = release(1, &["--delay", "300"]);
    let have = common::settle(&site.open(), &running(&late, 1)).await;
    assert_eq!(have.serving_instances(ONE).len(), 1, "it came up late, and is taken then");
}

#[tokio::test]
async fn answers_that_are_not_2xx_are_explained() {
    for (status, cause) in [
        ("404", "the server has no /healthz"),
        ("302", "the server redirects /healthz to `/login`"),
        ("421", "may check the Host header"),
        ("500", "says itself that it is in trouble"),
    ] {
        let site = Site::new();
        let text = trouble(&site, &release(1, &["--status", status]), cause).await;
        assert!(text.contains(&format!("status {status} in")), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_told_from_one_that_does_not_listen() {
    let site = Site::new();
    let text = trouble(&site, &release(1, &["--hang"]), "likely cause: the server accepts").await;
    assert!(text.contains("connected, but no answer within 200 ms"), "{text}");
    let site = Site::new();
    let mut by_connection = release(1, &["--hang"]);
    by_connection.health.path = None;
    let have = common::settle(&site.open(), &running(&by_connection, 1)).await;
    assert_eq!(have.seen(ONE).ready, 1, "an accepted connection passes where no path is given");
}
