//! Documents sent to real sockets, with and without TLS.
//!
//! What such a document says is tried in `herald_tests`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::Post;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{Letter, send, shown};

const PATIENCE: Duration = Duration::from_secs(10);

/// Reads one request, answers it, and says what it was.
pub(crate) async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &str,
) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                break;
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&more[..count]),
            _ => break,
        }
    }
    let length = answer.split_once('|').map_or(0, |(_, body)| body.len());
    let (status, body) = answer.split_once('|').unwrap_or((answer, ""));
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn server(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        converse(stream, answer).await
    });
    (address, task)
}

fn letter(url: String, token_from: Option<&str>, ca: Option<String>) -> Letter {
    let to = Post { url, token_from: token_from.map(str::to_owned), ca };
    Letter { to, body: json!({ "app": "shop" }), key: "run/smoke".to_owned() }
}

#[tokio::test]
async fn a_document_arrives_whole_with_its_key_and_token() {
    let (address, task) = server("204 No Content").await;
    // What a test can rely on to be in its environment.
    let letter = letter(format!("http://{address}/hooks/x?y=1"), Some("PATH"), None);
    let words = send(&letter, PATIENCE).await.unwrap();
    assert!(words.starts_with(&format!("http://{address} answered 204 in ")), "{words}");
    let got = task.await.unwrap();
    assert!(got.starts_with("POST /hooks/x?y=1 HTTP/1.1\r\n"), "{got}");
    for line in ["content-type: application/json", "idempotency-key: run/smoke"] {
        assert!(got.contains(&format!("{line}\r\n")), "{line} is missing: {got}");
    }
    let token = std::env::var("PATH").unwrap();
    assert!(got.contains(&format!("authorization: Bearer {token}\r\n")), "{got}");
    assert!(got.ends_with("\r\n\r\n{\"app\":\"shop\"}"), "{got}");
}

#[tokio::test]
async fn what_is_no_good_answer_is_said_and_what_follows_the_host_is_not() {
    let (address, task) = server("500 No|out of \x1b[31mmemory\nmore").await;
    let why = send(&letter(format!("http://{address}/secret"), None, None), PATIENCE).await;
    let why = why.unwrap_err();
    assert_eq!(why, format!("http://{address} answered 500: out of [31mmemory"));
    drop(task);
    // Whoever was shown a token may say it again.
    let token: &'static str = std::env::var("PATH").unwrap().leak();
    let (address, _task) = server(format!("403 No|not {token}").leak()).await;
    let why = send(&letter(format!("http://{address}/"), Some("PATH"), None), PATIENCE).await;
    assert_eq!(why.unwrap_err(), format!("http://{address} answered 403: not [hidden]"));
    let unset = letter(format!("http://{address}/secret"), Some("NO_SUCH_TOKEN"), None);
    let why = send(&unset, PATIENCE).await.unwrap_err();
    assert!(why.contains("NO_SUCH_TOKEN") && !why.contains("secret"), "{why}");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let why = send(&letter(format!("http://{closed}/secret"), None, None), PATIENCE).await;
    assert!(why.unwrap_err().contains("cannot be reached"));
    // Nobody answers.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", mute.local_addr().unwrap());
    let why = send(&letter(url, None, None), Duration::from_millis(50)).await.unwrap_err();
    assert!(why.ends_with("did not answer within 50ms"), "{why}");
    let to = Post { url: "https://a.example/T0/B0/xyz".into(), token_from: None, ca: None };
    assert_eq!(shown(&to), "https://a.example");
}

/// A server of `localhost` over TLS, and files in that folder: with its certificate, and with another one.
pub(crate) fn secured(folder: &Path) -> (TlsAcceptor, PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let write = |name: &str, pem: String| {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let (ours, theirs) = (write("ours.pem", made.cert.pem()), write("other.pem", other.cert.pem()));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ours, theirs)
}

#[tokio::test]
async fn over_tls_only_who_is_trusted_is_sent_anything() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, ours, theirs) = secured(folder.path());
    for (ca, trusted) in [(ours, true), (theirs, false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/x", listener.local_addr().unwrap().port());
        let acceptor = acceptor.clone();
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            match acceptor.accept(stream).await {
                Ok(stream) => converse(stream, "200 OK").await,
                Err(_) => String::new(),
            }
        });
        let sent = send(&letter(url, None, Some(ca.display().to_string())), PATIENCE).await;
        assert_eq!(sent.is_ok(), trusted, "{sent:?}");
        let got = task.await.unwrap();
        assert_eq!(got.starts_with("POST /x "), trusted, "{got}");
    }
    let none = letter("https://127.0.0.1:1/".into(), None, Some("/nonexistent.pem".into()));
    assert!(send(&none, PATIENCE).await.is_err());
}
