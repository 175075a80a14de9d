//! The sample file: what is written is what is read, and a file that was cut is read to the cut.
//!
//! What a killed prober leaves is in `stopped`.

use std::io::Read;
use std::time::Duration;

use crate::common::{Server, options, right, run};
use flate2::read::GzDecoder;
use model::attempt::{Lane, SampleLine};
use probe::samples::{Writer, append, appended, read};

#[tokio::test]
async fn a_run_comes_back_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ndjson.gz");
    let server = Server::start(|n| right(&format!("<v{n}>"))).await;
    let mut options = options(server.url(), Lane::KeepAlive, 100);
    options.samples = Some(path.clone());
    let written = run(options).await;
    assert_eq!(read(&path).unwrap(), written);
    assert_eq!(written.trouble, None);

    let whole = std::fs::read(&path).unwrap();
    assert_eq!(appended(&path).unwrap(), None);
    append(&path, "{\"a\": \"word\"}").unwrap();
    assert_eq!(appended(&path).unwrap().as_deref(), Some("{\"a\": \"word\"}"));
    assert_eq!(read(&path).unwrap(), written);
    for part in [whole.len() * 9 / 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..part]).unwrap();
        let cut = read(&path).unwrap();
        assert!(cut.attempts.len() <= written.attempts.len());
        assert_eq!(cut.attempts[..], written.attempts[..cut.attempts.len()]);
        assert_eq!(cut.header, written.header);
    }
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(appended(&path).unwrap(), None);
    let half = read(&path).unwrap();
    assert!(half.attempts.len() > 10, "only {} lines of half a file", half.attempts.len());
    assert_eq!(half.footer, None);
}

/// A prober that is killed has flushed all but its last second.
#[tokio::test]
async fn what_was_written_a_second_ago_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ndjson.gz");
    let server = Server::start(|_| right("v1")).await;
    let run = run(options(server.url(), Lane::Fresh, 3)).await;
    let writer = Writer::create(&path).unwrap();
    writer.write(SampleLine::Header(run.header.clone()));
    for attempt in &run.attempts {
        writer.write(SampleLine::Attempt(attempt.clone()));
    }
    let limit = std::time::Instant::now() + Duration::from_secs(5);
    let complete = || read(&path).is_ok_and(|seen| seen.attempts == run.attempts);
    while !complete() {
        assert!(std::time::Instant::now() < limit, "never flushed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writer.finish().unwrap();
}

#[tokio::test]
async fn other_files_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ndjson.gz");
    let server = Server::start(|_| right("v1")).await;
    let mut options = options(server.url(), Lane::Fresh, 3);
    options.samples = Some(path.clone());
    run(options.clone()).await;

    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
    let gzip = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
        std::fs::write(&path, gzip.finish().unwrap()).unwrap();
        read(&path).unwrap_err().what
    };
    let newer = text.replace("\"schema_version\":2", "\"schema_version\":3");
    assert!(gzip(&newer).contains("newer Cutover"));
    assert!(gzip(&text.replacen("{\"line\":\"attempt\"", "{\"line\":\"x\"", 1)).contains("line 2"));
    assert!(gzip(&format!("{text}{text}")).contains("header is misplaced"));
    assert!(gzip("").contains("holds no samples"));
    std::fs::write(&path, "plain text").unwrap();
    assert!(read(&path).unwrap_err().what.contains("cannot read"));
    assert!(read(&folder.path().join("none")).unwrap_err().help.is_some());

    options.samples = Some(folder.path().join("no/such/folder"));
    let (_going, told) = tokio::sync::watch::channel(probe::Told::Go);
    let fault = probe::run(options, told, None).await.unwrap_err();
    assert!(fault.what.contains("cannot write"), "{fault}");
}
