//! Asks a Prometheus, or what speaks like one, for the present value of a query.
//!
//! The documented HTTP API alone (`GET /api/v1/query`), over plain HTTP, one connection each time. What a
//! value means is decided elsewhere.

#[cfg(test)]
mod fuzz;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// Longest answer that is read, bytes.
const LONGEST: usize = 1 << 20;
/// Characters of a message that are shown.
const SHOWN: usize = 200;

/// An answer; of one that failed only the message is of use.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Scalar((f64, String)),
    String((f64, String)),
    Matrix(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    /// A moment and a value. Native histograms have none.
    value: Option<(f64, String)>,
}

/// The values of a query now, none where nothing matches it; else why there are none, in words.
pub(super) async fn ask(url: &str, query: &str, limit: Duration) -> Result<Vec<f64>, String> {
    let asked = tokio::time::timeout(limit, exchange(url, query)).await;
    let (status, body) = asked.map_err(|_late| {
        format!("{url} did not answer within {}", crate::duration::show(limit))
    })??;
    read(status, &body).map_err(|words| format!("{url}: {words}"))
}

async fn exchange(url: &str, query: &str) -> Result<(u16, Bytes), String> {
    let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let host = uri.host().unwrap_or_default();
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let failed = |error: &dyn std::error::Error| format!("{url} cannot be asked: {error}");
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let prefix = uri.path().trim_end_matches('/');
    let request = Request::get(format!("{prefix}/api/v1/query?query={}", encoded(query)))
        .header(header::HOST, uri.authority().map_or(host, |authority| authority.as_str()))
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    // Of the connection only the answer is of interest, and its errors are the answer's.
    let exchanged = async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| format!("{url}: the answer is not whole: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    let (connection, mut exchanged) = (std::pin::pin!(connection), std::pin::pin!(exchanged));
    tokio::select! {
        answer = &mut exchanged => answer,
        _ended = connection => exchanged.await,
    }
}

fn read(status: u16, body: &[u8]) -> Result<Vec<f64>, String> {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Err(format!("status {status}, and the answer is none of a Prometheus"));
    };
    if let Some(error) = answer.error {
        let shown: String = error.chars().filter(|it| !it.is_control()).take(SHOWN).collect();
        return Err(format!("it says: {shown}"));
    }
    let number = |(_, text): &(f64, String)| {
        text.parse::<f64>().map_err(|_| format!("`{}` is no number", text.escape_debug()))
    };
    match answer.data {
        Some(Data::Vector(samples)) => {
            samples.iter().filter_map(|sample| sample.value.as_ref()).map(number).collect()
        }
        Some(Data::Scalar(value) | Data::String(value)) => Ok(vec![number(&value)?]),
        Some(Data::Matrix(_)) => Err("the query gives ranges and not one value".to_owned()),
        None => Err(format!("status {status}, and no value")),
    }
}

/// A query as part of an address.
fn encoded(query: &str) -> String {
    let mut text = String::with_capacity(query.len() * 2);
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _written = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::{ask, encoded, read};

    const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"version":"v2"},"value":[1795269751.123,"0.25"]},
        {"metric":{"version":"v1"},"value":[1795269751.123,"+Inf"]}]}}"#;

    #[test]
    fn answers_are_read_as_documented() {
        let told = |text: &str| read(200, text.as_bytes());
        assert_eq!(told(VECTOR), Ok(vec![0.25, f64::INFINITY]));
        let data = |data: &str| told(&format!("{{\"status\":\"success\",\"data\":{data}}}"));
        assert_eq!(data(r#"{"resultType":"scalar","result":[1.5,"7"]}"#), Ok(vec![7.0]));
        assert_eq!(data(r#"{"resultType":"vector","result":[]}"#), Ok(vec![]));
        assert!(
            data(r#"{"resultType":"vector","result":[{"value":[1,"NaN"]}]}"#).unwrap()[0].is_nan()
        );
        assert!(data(r#"{"resultType":"matrix","result":[]}"#).unwrap_err().contains("ranges"));
        assert!(
            data(r#"{"resultType":"string","result":[1,"x"]}"#).unwrap_err().contains("number")
        );
        let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(read(400, refused.as_bytes()), Err("it says: parse error".into()));
        for other in ["", "<html>", "{}", "[]", "null"] {
            assert!(read(502, other.as_bytes()).unwrap_err().contains("status 502"), "{other}");
        }
    }

    #[test]
    fn a_query_is_one_word_of_the_address() {
        assert_eq!(encoded("a{b=\"ü c\"}+1"), "a%7Bb%3D%22%C3%BC%20c%22%7D%2B1");
    }

    /// A fake of the documented protocol: answers one request with this, and gives back its head.
    fn fake(answer: String) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/prefix", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        });
        (url, server)
    }

    fn asked(url: &str, limit: Duration) -> Result<Vec<f64>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask(url, "up == 1", limit))
    }

    #[test]
    fn a_fake_is_asked_over_http_below_its_prefix() {
        let length = VECTOR.len();
        let (url, server) =
            fake(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{VECTOR}"));
        assert_eq!(asked(&url, Duration::from_secs(20)), Ok(vec![0.25, f64::INFINITY]));
        let head = server.join().unwrap();
        assert!(head.starts_with("GET /prefix/api/v1/query?query=up%20%3D%3D%201 HTTP/1.1\r\n"));
        assert!(head.contains("host: 127.0.0.1:"), "{head}");
    }

    #[test]
    fn nobody_there_half_an_answer_and_none_in_time_are_said() {
        let limit = Duration::from_secs(20);
        let (url, server) = fake("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_owned());
        assert!(asked(&url, limit).unwrap_err().contains("not whole"));
        server.join().unwrap();
        assert!(asked(&url, limit).unwrap_err().contains("cannot be asked"));
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let words = asked(&url, Duration::from_millis(200)).unwrap_err();
        assert_eq!(words, format!("{url} did not answer within 200ms"));
    }
}
