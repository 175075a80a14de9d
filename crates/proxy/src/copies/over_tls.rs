//! The same over TLS, and with HTTP/2: from where TLS puts what it has decrypted to where it takes what it
//! encrypts. What it copies within itself is not counted: no TLS does without.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use model::admin::KeyPair;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Builder;
use tokio_rustls::TlsConnector;

use super::{WORDS, carried_by, chunked, head, stay, takes};
use crate::limits;
use crate::tls::Tls;
use crate::tracks::{Tracks, WORD, words};

/// A server's TLS, and the certificate that it shows for `a`.
fn identity() -> (Tls, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let own = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
    let made = made.self_signed(&own).unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&chain, made.pem()).unwrap();
    std::fs::write(&key, own.serialize_pem()).unwrap();
    let tls = Tls::new().unwrap();
    tls.certify(&[KeyPair { chain, key }]).unwrap();
    (tls, made.der().clone())
}

/// A client that believes it.
fn trusting(certificate: CertificateDer<'static>, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("a").unwrap()
}

/// What an instance does: takes so many bytes behind the head, then says this.
fn instance(body: usize, says: &[u8]) -> impl FnOnce(TcpStream) + Send {
    move |mut stream| {
        let come = head(&mut stream);
        takes(&mut stream, body - come);
        stream.write_all(says).unwrap();
    }
}

/// One exchange of HTTP/1.1 over TLS, of which the answer is at least so long.
fn secured(asks: &[u8], least: usize, instance: impl FnOnce(TcpStream) + Send) -> Tracks {
    let (tls, certificate) = identity();
    let config = trusting(certificate, b"http/1.1");
    carried_by(
        (tls, true),
        |stream| {
            let session = ClientConnection::new(config, name()).unwrap();
            let mut client = StreamOwned::new(session, stream);
            client.write_all(asks).unwrap();
            let mut whole = Vec::new();
            client.read_to_end(&mut whole).unwrap();
            assert!(whole.starts_with(b"HTTP/1.1 200 "), "{}", whole.escape_ascii());
            assert!(whole.len() >= least);
        },
        instance,
    )
}

#[test]
fn over_tls_bodies_of_http_1_1_are_not_copied() {
    let body = words(0..WORDS);
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    let chunks = ("Transfer-Encoding: chunked\r\n\r\n", chunked(&body));
    for (framing, body) in [(&*length, &body), (chunks.0, &chunks.1)] {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = [b"HTTP/1.1 200 OK\r\n", framing.as_bytes(), body].concat();
        stay(&secured(request, 8 * WORDS as usize, instance(0, &answer)), WORDS);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
        let request = [&head[..], framing.as_bytes(), body].concat();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stay(&secured(&request, 0, instance(body.len(), answer)), WORDS);
    }
}

/// One request of HTTP/2 with such a body, of which the answer has so many bytes; over TLS, if `secure`. Says also
/// how many frames the answer had.
fn framed(
    secure: bool,
    (upload, answered): (&[u8], usize),
    instance: impl FnOnce(TcpStream) + Send,
) -> (Tracks, usize) {
    let (tls, certificate) = identity();
    let config = trusting(certificate, b"h2");
    let frames = AtomicUsize::new(0);
    let count = &frames;
    let upload = Bytes::copy_from_slice(upload);
    let asks = move |stream: TcpStream| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (got, frames) = runtime.block_on(async {
            stream.set_nonblocking(true).unwrap();
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            if !secure {
                return request(stream, upload).await;
            }
            let stream = TlsConnector::from(config).connect(name(), stream).await.unwrap();
            request(stream, upload).await
        });
        assert_eq!(got, answered);
        count.store(frames, Ordering::SeqCst);
    };
    let tracks = carried_by((tls, secure), asks, instance);
    (tracks, frames.into_inner())
}

/// How many bytes come in answer, in how many frames.
async fn request<S>(stream: S, upload: Bytes) -> (usize, usize)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let driven = tokio::spawn(connection);
    let request = http::Request::post("https://a/").body(()).unwrap();
    let (answer, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(upload, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    let (mut content, mut got, mut frames) = (answer.into_body(), 0, 0);
    while let Some(part) = content.data().await {
        let part = part.unwrap();
        got += part.len();
        frames += 1;
        content.flow_control().release_capacity(part.len()).unwrap();
    }
    drop((sender, body, content));
    driven.await.unwrap().unwrap();
    (got, frames)
}

#[test]
fn http2_copies_what_instances_say_once_into_its_frames() {
    let body = words(0..WORDS);
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answers = [[length.as_bytes(), &body].concat(), [&chunks[..], &chunked(&body)].concat()];
    for (secure, answer) in [(false, &answers[0]), (true, &answers[0]), (true, &answers[1])] {
        // The end of a request without content is a chunk of its own.
        let instance = instance("0\r\n\r\n".len(), answer);
        let (tracks, frames) = framed(secure, (b"", body.len()), instance);
        let Tracks { once, moved, .. } = tracks;
        // Of each of its frames h2 joins the first 247 bytes to the frame's head.
        assert!(moved <= frames * 247 / WORD, "{moved} were copied twice in {frames} frames");
        let words = WORDS as usize;
        assert!((once + moved) * 100 >= words * 95, "{once} and {moved} of {words} were seen");
    }
}

/// The reader of frames, which is h2's, moves what has come of a frame when it makes room for the rest; in
/// plain text what was read before it was HTTP/2 is put before that.
#[test]
fn http2_uploads_are_copied_once_at_most() {
    let body = words(0..WORDS);
    for (secure, ahead) in [(false, limits::BUFFER / WORD), (true, 0)] {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let takes_all = |mut stream: TcpStream| {
            let (mut taken, mut room) = (Vec::new(), vec![0; 1 << 16]);
            while !taken.ends_with(b"\r\n0\r\n\r\n") {
                let bytes = stream.read(&mut room).unwrap();
                assert!(bytes > 0);
                taken.extend_from_slice(&room[..bytes]);
            }
            stream.write_all(answer).unwrap();
        };
        let Tracks { stayed, once, moved, .. } = framed(secure, (&body, 0), takes_all).0;
        println!("secure {secure}: {stayed} stayed, {once} copied once, {moved} more often");
        assert!(moved <= ahead, "{moved} were copied twice");
        let words = WORDS as usize;
        assert!((stayed + once) * 100 >= (words - ahead) * 95, "{stayed} and {once} of {words}");
    }
}
