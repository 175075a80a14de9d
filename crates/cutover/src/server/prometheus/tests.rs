//! A Prometheus that is a fake of the documented protocol, in plain text and over TLS.
//!
//! A real one is not asked here, but in the end-to-end tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::TokenPlace;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::super::post::tests::{converse, secured};
use super::{ask, encoded, read};
use crate::config::{Login, Prometheus};

const PATIENCE: Duration = Duration::from_secs(20);

const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
    {"metric":{"version":"v2"},"value":[1795269751.123,"0.25"]},
    {"metric":{"version":"v1"},"value":[1795269751.123,"+Inf"]}]}}"#;

#[test]
fn answers_are_read_as_documented() {
    let told = |text: &str| read(200, text.as_bytes(), None);
    assert_eq!(told(VECTOR), Ok(vec![0.25, f64::INFINITY]));
    let data = |data: &str| told(&format!("{{\"status\":\"success\",\"data\":{data}}}"));
    assert_eq!(data(r#"{"resultType":"scalar","result":[1.5,"7"]}"#), Ok(vec![7.0]));
    assert_eq!(data(r#"{"resultType":"vector","result":[]}"#), Ok(vec![]));
    assert!(data(r#"{"resultType":"vector","result":[{"value":[1,"NaN"]}]}"#).unwrap()[0].is_nan());
    assert!(data(r#"{"resultType":"matrix","result":[]}"#).unwrap_err().contains("ranges"));
    assert!(data(r#"{"resultType":"string","result":[1,"x"]}"#).unwrap_err().contains("number"));
    let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    assert_eq!(read(400, refused.as_bytes(), None), Err("says: parse error".into()));
    for other in ["", "<html>", "{}", "[]", "null"] {
        assert!(read(502, other.as_bytes(), None).unwrap_err().contains("answered 502"), "{other}");
    }
}

#[test]
fn a_query_is_one_word_of_the_address() {
    assert_eq!(encoded("a{b=\"ü c\"}+1"), "a%7Bb%3D%22%C3%BC%20c%22%7D%2B1");
}

/// Answers one request with this, and gives back its head; nothing where nobody was believed.
async fn fake(tls: Option<TlsAcceptor>, answer: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Some(tls) = tls else { return converse(stream, &answer).await };
        match tls.accept(stream).await {
            Ok(stream) => converse(stream, &answer).await,
            Err(_) => String::new(),
        }
    });
    (format!("{scheme}://localhost:{port}/prefix"), task)
}

fn whom(url: &str, ca: Option<PathBuf>, login: Option<Login>) -> Prometheus {
    Prometheus { url: url.to_owned(), query: "unused".to_owned(), ca, login }
}

async fn asked(whom: &Prometheus) -> Result<Vec<f64>, String> {
    ask(whom, "up == 1", PATIENCE).await
}

#[tokio::test]
async fn a_fake_is_asked_over_http_below_its_prefix() {
    let (url, task) = fake(None, format!("200 OK|{VECTOR}")).await;
    assert_eq!(asked(&whom(&url, None, None)).await, Ok(vec![0.25, f64::INFINITY]));
    let head = task.await.unwrap();
    assert!(head.starts_with("GET /prefix/api/v1/query?query=up%20%3D%3D%201 HTTP/1.1\r\n"));
    assert!(head.contains("host: localhost:") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn nobody_there_half_an_answer_and_none_in_time_are_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = whom(&format!("http://{}", listener.local_addr().unwrap()), None, None);
    let half = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
        // It is read to its end: what is left unread would make a reset of the end.
        converse(&mut stream, "200 OK").await;
    });
    assert!(asked(&to).await.unwrap_err().contains("not whole"));
    half.await.unwrap();
    assert!(asked(&to).await.unwrap_err().contains("cannot be reached"));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = whom(&format!("http://{}", silent.local_addr().unwrap()), None, None);
    let words = ask(&to, "up", Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(words, format!("{} did not answer within 200ms", to.url));
}

#[tokio::test]
async fn over_tls_only_who_is_trusted_is_shown_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, ours, theirs) = secured(folder.path());
    let login = Login::Token(kept(folder.path(), "hush-token"));
    for (ca, trusted) in [(ours, true), (theirs, false)] {
        let (url, task) = fake(Some(acceptor.clone()), format!("200 OK|{VECTOR}")).await;
        let found = asked(&whom(&url, Some(ca), Some(login.clone()))).await;
        let head = task.await.unwrap();
        if trusted {
            assert_eq!(found, Ok(vec![0.25, f64::INFINITY]));
            assert!(head.contains("\r\nauthorization: Bearer hush-token\r\n"), "{head}");
        } else {
            let why = found.unwrap_err();
            assert!(why.starts_with(&format!("{url} is not who it should be: ")), "{why}");
            assert_eq!(head, "");
        }
    }
    // The system trusts no certificate of ours, and no file that is not there can be read.
    for ca in [None, Some(folder.path().join("none.pem"))] {
        let (url, task) = fake(Some(acceptor.clone()), format!("200 OK|{VECTOR}")).await;
        assert!(asked(&whom(&url, ca, Some(login.clone()))).await.is_err());
        assert_eq!(task.await.unwrap(), "");
    }
}

#[tokio::test]
async fn who_is_not_known_learns_why_and_nobody_reads_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let place = kept(folder.path(), "hush-word");
    let password = Login::Password { user: "me".to_owned(), place: place.clone() };
    let shown = folder.path().join("secret").display().to_string();
    let encoded = "bWU6aHVzaC13b3Jk";
    let says = format!(r#"{{"status":"error","error":"not {encoded}, not hush-word"}}"#);
    let number = r#"{"data":{"resultType":"string","result":[1,"hush-word"]}}"#;
    for (login, answer, wanted) in [
        (
            None,
            "401 No|Unauthorized",
            "answered 401: it wants a `token`, or a `user` and a `password`",
        ),
        (
            Some(Login::Token(place)),
            "403 No|hush-word",
            &format!("answered 403: it does not take the token of {shown}"),
        ),
        (
            Some(password.clone()),
            "401 No|",
            &format!("answered 401: it does not take `me` with the password of {shown}"),
        ),
        (Some(password.clone()), &format!("400 No|{says}"), "says: not [hidden], not [hidden]"),
        (Some(password), &format!("200 OK|{number}"), "gives `[hidden]`, and that is no number"),
    ] {
        let (url, task) = fake(None, answer.to_owned()).await;
        let why = asked(&whom(&url, None, login.clone())).await.unwrap_err();
        assert_eq!(why, format!("{url} {wanted}"));
        let head = task.await.unwrap();
        let basic = matches!(login, Some(Login::Password { .. }));
        assert_eq!(head.contains(&format!("authorization: Basic {encoded}\r\n")), basic, "{head}");
    }
    // Who has no token is not asked.
    let unset = Login::Token(TokenPlace::Variable("NO_SUCH_TOKEN".to_owned()));
    let (url, task) = fake(None, format!("200 OK|{VECTOR}")).await;
    let why = asked(&whom(&url, None, Some(unset))).await.unwrap_err();
    let wanted = "is sent nothing: the variable NO_SUCH_TOKEN with its token is not set";
    assert_eq!(why, format!("{url} {wanted}"));
    task.abort();
}

/// A file with this secret.
fn kept(folder: &Path, secret: &str) -> TokenPlace {
    let path = folder.join("secret");
    std::fs::write(&path, format!("{secret}\n")).unwrap();
    TokenPlace::File(path)
}
