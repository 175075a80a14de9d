//! TLS, client certificates, unix sockets, addresses in place of names, and what requests say.
//!
//! HTTP/2 itself is tried without TLS, in `http2`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{assert_classes, of, options, run, stopped};
use model::attempt::{Class, Ending, Lane};
use probe::{Ask, Options, Target, Tls, Unfit, Way, knock};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nX-App-Version: v1\r\nContent-Length: 2\r\n\r\nok";

/// Requests as they came.
type Heard = Arc<Mutex<Vec<String>>>;

/// Answers requests until the client leaves, or closes after `most` with a goodbye.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, heard: Heard, most: usize) {
    for _ in 0..most {
        let mut seen = Vec::new();
        while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => seen.extend_from_slice(&piece[..read]),
            }
        }
        heard.lock().unwrap().push(String::from_utf8(seen).unwrap());
        if stream.write_all(ANSWER).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

/// A certificate for this name that only its holder trusts, as PEM files.
fn certificate(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    written(directory, name, &CertificateParams::new([name.to_owned()]).unwrap())
}

fn written(directory: &Path, name: &str, params: &CertificateParams) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let files = (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
    std::fs::write(&files.0, made.pem()).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    files
}

/// A TLS server; `clients` is the file of the only client certificate it lets in.
async fn secure(files: &(PathBuf, PathBuf), clients: Option<&Path>, most: usize) -> u16 {
    let chain = || vec![CertificateDer::from_pem_file(&files.0).unwrap()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.1).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain(), key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, Heard::default(), most).await;
                }
            });
        }
    });
    port
}

/// A run of 20 attempts at `https://NAME:PORT/`, where the name leads to this machine.
fn asking(name: &str, port: u16, lane: Lane, tls: Tls) -> Options {
    let url = Target::parse(&format!("https://{name}:{port}/")).unwrap();
    let resolve = vec![format!("{name}:{port}:127.0.0.1").parse().unwrap()];
    Options { way: Way { unix: None, resolve, tls }, rate: 20, ..options(url, lane, 20) }
}

fn trusting(file: &Path) -> Tls {
    Tls { ca: Some(file.to_owned()), ..Tls::default() }
}

#[tokio::test]
async fn https_is_spoken_with_whom_it_trusts_and_session_tickets_end_no_connection() {
    let directory = tempfile::tempdir().unwrap();
    let files = certificate(directory.path(), "probe.test");
    let port = secure(&files, None, usize::MAX).await;
    for lane in [Lane::KeepAlive, Lane::Fresh] {
        let run = run(asking("probe.test", port, lane, trusting(&files.0))).await;
        assert_classes(&run, &[(Class::Ok, 20)]);
        assert!(
            run.connections.iter().all(|c| c.ending != Ending::IdleByPeer),
            "{:?}",
            run.connections
        );
        if lane == Lane::KeepAlive {
            assert!(
                run.connections.len() <= 8,
                "tickets were taken for an end: {:?}",
                run.connections
            );
        }
    }
}

#[tokio::test]
async fn every_connection_sees_the_certificate_of_now() {
    let directory = tempfile::tempdir().unwrap();
    let files = certificate(directory.path(), "probe.test");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_file(&files.1).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(&files.0).unwrap()], key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Whoever has a session of it could go on with that and be shown nothing.
    config.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    let (acceptor, kinds) = (TlsAcceptor::from(Arc::new(config)), Arc::new(Mutex::new(Vec::new())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, told) = (listener.local_addr().unwrap().port(), Arc::clone(&kinds));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, told) = (acceptor.clone(), Arc::clone(&told));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                told.lock().unwrap().push(stream.get_ref().1.handshake_kind().unwrap());
                serve(stream, Heard::default(), usize::MAX).await;
            });
        }
    });
    let run = run(asking("probe.test", port, Lane::Fresh, trusting(&files.0))).await;
    assert_classes(&run, &[(Class::Ok, 20)]);
    let kinds = kinds.lock().unwrap();
    let sent = 20 - stopped(&run);
    assert!(kinds.len() >= sent && !kinds.contains(&HandshakeKind::Resumed), "{kinds:?}");
}

#[tokio::test]
async fn a_knock_tells_why_nobody_would_be_asked() {
    let directory = tempfile::tempdir().unwrap();
    let files = certificate(directory.path(), "probe.test");
    let stranger = certificate(directory.path(), "stranger.test");
    let port = secure(&files, None, usize::MAX).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = plain.accept().await {
            tokio::spawn(serve(stream, Heard::default(), 1));
        }
    });
    let knocks = async |name: &str, port: u16, tls: Tls| {
        let url = Target::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
        let url = url.with_host(name).unwrap();
        knock(&url, ([127, 0, 0, 1], port).into(), (&tls, Duration::from_secs(2))).await
    };
    knocks("probe.test", port, trusting(&files.0)).await.unwrap();
    let unfit = knocks("other.test", port, trusting(&files.0)).await.unwrap_err();
    assert!(matches!(&unfit, Unfit::Name(why) if why.contains("not valid for")), "{unfit:?}");
    let unfit = knocks("probe.test", port, trusting(&stranger.0)).await.unwrap_err();
    assert!(matches!(unfit, Unfit::Stranger(_)), "{unfit:?}");
    // As `openssl req -x509` makes it.
    let mut params = CertificateParams::new(["probe.test".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = written(directory.path(), "authority.test", &params);
    let signs = secure(&authority, None, usize::MAX).await;
    let unfit = knocks("probe.test", signs, trusting(&authority.0)).await.unwrap_err();
    assert!(matches!(unfit, Unfit::Authority(_)), "{unfit:?}");
    let unfit =
        knocks("probe.test", port, trusting(Path::new("/nowhere/x.pem"))).await.unwrap_err();
    assert!(matches!(&unfit, Unfit::File(it) if it.what.contains("/nowhere/x.pem")), "{unfit:?}");
    // It waits for the end of a request's head, as this one waits for its handshake.
    let unfit = knocks("probe.test", mute, trusting(&files.0)).await.unwrap_err();
    assert!(matches!(unfit, Unfit::Away(_)), "{unfit:?}");
    let talker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let talks = talker.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = talker.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    let unfit = knocks("probe.test", talks, trusting(&files.0)).await.unwrap_err();
    assert!(matches!(unfit, Unfit::Speech(_)), "{unfit:?}");
}

#[tokio::test]
async fn a_certificate_of_another_name_or_of_a_stranger_is_a_refusal_that_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let files = certificate(directory.path(), "probe.test");
    let stranger = certificate(directory.path(), "stranger.test");
    let port = secure(&files, None, usize::MAX).await;
    for (name, tls, why) in [
        ("other.test", trusting(&files.0), "not valid for"),
        ("probe.test", trusting(&stranger.0), "invalid peer certificate"),
    ] {
        let run = run(asking(name, port, Lane::Fresh, tls)).await;
        assert_classes(&run, &[(Class::Refused, 20)]);
        let detail = of(&run, Class::Refused)[0].detail.clone().unwrap();
        assert!(detail.contains(why), "{detail}");
        assert!(run.attempts.iter().all(|a| a.sent_us == 0), "a request went to a stranger");
    }
    let anyone = Tls { insecure: true, ..Tls::default() };
    let run = run(asking("other.test", port, Lane::Fresh, anyone)).await;
    assert_classes(&run, &[(Class::Ok, 20)]);
}

#[tokio::test]
async fn a_server_that_says_goodbye_between_two_requests_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = certificate(directory.path(), "probe.test");
    let port = secure(&files, None, 1).await;
    let run = run(asking("probe.test", port, Lane::KeepAlive, trusting(&files.0))).await;
    assert_classes(&run, &[(Class::Ok, 20)]);
    assert!(
        run.connections.iter().any(|c| c.ending == Ending::IdleByPeer),
        "{:?}",
        run.connections
    );
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let files = certificate(directory.path(), "probe.test");
    let own = certificate(directory.path(), "client.test");
    let port = secure(&files, Some(&own.0), usize::MAX).await;
    let with = Tls { client: Some(own.clone()), ..trusting(&files.0) };
    let run_with = run(asking("probe.test", port, Lane::Fresh, with)).await;
    assert_classes(&run_with, &[(Class::Ok, 20)]);
    let without = run(asking("probe.test", port, Lane::Fresh, trusting(&files.0))).await;
    assert!(of(&without, Class::Ok).is_empty(), "it was let in without one");
}

#[tokio::test]
async fn a_unix_socket_is_asked_for_the_host_of_the_url_with_fields_and_body() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let heard = Heard::default();
    let told = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&told), usize::MAX));
        }
    });
    let url = Target::parse("http://shop.test/order?x=1").unwrap();
    let ask = Ask::default().with_method("POST").unwrap().with_field("X-Kind", "probe").unwrap();
    let ask = ask.with_basic("user:word").unwrap().with_body(b"{}".to_vec()).unwrap();
    let way = Way { unix: Some(path), ..Way::default() };
    let run = run(Options { ask, way, ..options(url, Lane::KeepAlive, 10) }).await;
    assert_classes(&run, &[(Class::Ok, 10)]);
    let heard = heard.lock().unwrap();
    let request = heard[0].to_lowercase();
    for line in ["post /order?x=1 http/1.1\r\n", "\r\nhost: shop.test\r\n", "\r\nx-kind: probe\r\n"]
    {
        assert!(request.contains(line), "{request}");
    }
    assert!(request.contains("\r\nauthorization: basic dxnlcjp3b3jk\r\n"), "{request}");
    assert!(request.contains("\r\ncontent-length: 2\r\n"), "{request}");
}

#[tokio::test]
async fn files_that_cannot_be_used_end_the_run_before_it_begins() {
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join("odd.pem");
    std::fs::write(&odd, "no certificate").unwrap();
    for tls in [trusting(&odd), trusting(Path::new("/nonexistent/x.pem"))] {
        let mut options = asking("probe.test", 1, Lane::Fresh, tls);
        options.timeout = Duration::from_millis(100);
        let (_going, told) = tokio::sync::watch::channel(probe::Told::Go);
        let fault = probe::run(options, told, None).await.unwrap_err();
        assert!(fault.what.contains(".pem"), "{}", fault.what);
    }
}
