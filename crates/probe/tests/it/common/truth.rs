//! A server for every lane that is right, but for one request: there it commits one race, once.
//!
//! What the prober must make of it is said in `races`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use model::Lane;
use sha2::{Digest as _, Sha256};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The connection is reset with the request unread.
    ResetAtAccept,
    /// Nobody listens any more.
    Gone,
    /// The request is read, then the connection closed.
    Close,
    /// Half of the request's body is read, if there is one; then the connection is reset.
    Reset,
    /// The stream is given back as not taken.
    Refuse,
    /// An error of this status.
    Status(u16),
    /// Half of the answer, then the end.
    Cut,
    /// The answer waits for so long.
    Wait(Duration),
    /// No answer at all.
    Hang,
    /// An order is carried out twice.
    Twice,
    /// The old version answers once more.
    Old,
    /// New connections get the new version, and kept ones stay with the old one for good.
    Pin,
}

/// The race: what, and at which request of which lane (from 0; trials count). On kept connections it
/// comes with the next request on one that was used before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Race {
    pub(crate) lane: Lane,
    pub(crate) at: u64,
    pub(crate) act: Act,
}

/// The server's book.
#[derive(Debug)]
pub(crate) struct Truth {
    race: Race,
    asked: Mutex<Vec<(Lane, u64)>>,
    pub(crate) committed: AtomicU64,
    orders: Mutex<Vec<String>>,
}

const DOWNLOAD: usize = 100_000;

/// Starts it.
pub(crate) async fn start(race: Race) -> (SocketAddr, Arc<Truth>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let truth = Arc::new(Truth {
        race,
        asked: Mutex::default(),
        committed: AtomicU64::new(0),
        orders: Mutex::default(),
    });
    let told = Arc::clone(&truth);
    tokio::spawn(async move { listen(listener, told).await });
    (address, truth)
}

async fn listen(listener: TcpListener, truth: Arc<Truth>) {
    let mut accepted = 0;
    while let Ok((stream, _)) = listener.accept().await {
        accepted += 1;
        if truth.race.act == Act::ResetAtAccept && accepted == truth.race.at + 1 {
            // Once the request waits there: before, the client could take it for a refusal.
            let _came = stream.peek(&mut [0]).await;
            truth.committed.fetch_add(1, Ordering::SeqCst);
            reset(&stream);
            continue;
        }
        let last = truth.race.act == Act::Gone && accepted == truth.race.at;
        if last {
            // Before it is answered, so that it is so when the next one comes.
            drop(listener);
            truth.committed.fetch_add(1, Ordering::SeqCst);
            let _over = serve(stream, truth).await;
            return;
        }
        let truth = Arc::clone(&truth);
        tokio::spawn(async move { serve(stream, truth).await });
    }
}

impl Truth {
    /// Counts a request, and says what is wrong with it. `reused` on a connection that carried one before.
    fn asked(&self, lane: Lane, reused: bool) -> Option<Act> {
        let Race { lane: harmed, at, act } = self.race;
        let kept = matches!(harmed, Lane::KeepAlive | Lane::Idle);
        if lane != harmed || (kept && !reused) {
            return None;
        }
        let mut asked = self.asked.lock().unwrap();
        if !asked.iter().any(|(known, _)| *known == lane) {
            asked.push((lane, 0));
        }
        let (_, count) = asked.iter_mut().find(|(known, _)| *known == lane).unwrap();
        *count += 1;
        let now = *count == at + 1 && !matches!(act, Act::Pin | Act::Gone | Act::ResetAtAccept);
        self.committed.fetch_add(u64::from(now), Ordering::SeqCst);
        now.then_some(act)
    }

    /// The version that answers.
    fn version(&self, lane: Lane, act: Option<Act>) -> &'static str {
        match (self.race.act, act) {
            (Act::Old, Some(Act::Old)) => "v1",
            (Act::Old, _) => "v2",
            (Act::Pin, _) if lane == Lane::Fresh => {
                self.committed.store(1, Ordering::SeqCst);
                "v2"
            }
            _ => "v1",
        }
    }
}

fn reset(stream: &TcpStream) -> Option<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    None
}

async fn serve(mut stream: TcpStream, truth: Arc<Truth>) -> Option<()> {
    stream.set_nodelay(true).unwrap();
    let mut first = [0; 7];
    let seen = stream.peek(&mut first).await.ok()?;
    match &first[..seen] {
        b"PRI * H" => return streams(stream, &truth).await,
        b"GET /ws" => return socket(stream, &truth).await,
        _ => {}
    }
    let (mut buffer, mut reused) = (Vec::new(), false);
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            more(&mut stream, &mut buffer).await?;
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let length: usize = length.map_or(0, |digits| digits.parse().unwrap());
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let lane = match target.split('?').next().unwrap() {
            "/upload" => Lane::Upload,
            "/download" => Lane::Download,
            "/events" => Lane::Events,
            "/orders" => Lane::Orders,
            _ if head.contains("connection: close") => Lane::Fresh,
            // Two lanes that look alike; a run has one of them.
            _ if truth.race.lane == Lane::Idle => Lane::Idle,
            _ => Lane::KeepAlive,
        };
        let act = truth.asked(lane, reused);
        let wanted = if act == Some(Act::Reset) { length / 2 } else { length };
        while buffer.len() < wanted {
            more(&mut stream, &mut buffer).await?;
        }
        match act {
            Some(Act::Reset) => return reset(&stream),
            Some(Act::Close) => return None,
            Some(Act::Wait(time)) => tokio::time::sleep(time).await,
            Some(Act::Hang) => {
                drop(stream.read(&mut [0]).await);
                return None;
            }
            _ => {}
        }
        let body: Vec<u8> = buffer.drain(..length).collect();
        answer(&mut stream, &truth, (lane, act), (&target, &body)).await?;
        reused = true;
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
    buffer.extend_from_slice(&piece[..read]);
    Some(())
}

async fn answer(
    stream: &mut TcpStream,
    truth: &Truth,
    (lane, act): (Lane, Option<Act>),
    (target, body): (&str, &[u8]),
) -> Option<()> {
    let (status, fields, body) = match lane {
        _ if matches!(act, Some(Act::Status(_))) => {
            let Some(Act::Status(status)) = act else { unreachable!() };
            (status, String::new(), b"no".to_vec())
        }
        Lane::Upload => (200, String::new(), hex(body).into_bytes()),
        Lane::Download => {
            let long = vec![b'x'; DOWNLOAD];
            (200, format!("X-Content-SHA256: {}\r\n", hex(&long)), long)
        }
        Lane::Events => return events(stream, act).await,
        Lane::Orders => (200, String::new(), orders(truth, act, (target, body))),
        _ => (200, String::new(), b"answer".to_vec()),
    };
    let version = truth.version(lane, act);
    let head = format!(
        "HTTP/1.1 {status} As-Told\r\nX-App-Version: {version}\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let cut = act == Some(Act::Cut);
    let told = if cut { &body[..body.len() / 2] } else { &body[..] };
    stream.write_all(told).await.ok().filter(|()| !cut)
}

async fn events(stream: &mut TcpStream, act: Option<Act>) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\nX-App-Version: v1\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    for tick in 1_u32.. {
        let event = format!("id: {tick}\ndata: x\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await.ok()?;
        if act == Some(Act::Cut) && tick == 2 {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

/// Carries an order out, or tells of all.
fn orders(truth: &Truth, act: Option<Act>, (target, body): (&str, &[u8])) -> Vec<u8> {
    let mut orders = truth.orders.lock().unwrap();
    if target.contains("run=") {
        let mut ids = orders.clone();
        ids.sort();
        let doubled: Vec<_> =
            ids.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0].clone()).collect();
        ids.dedup();
        let account = serde_json::json!({"orders": ids.len(), "doubled": doubled});
        return account.to_string().into_bytes();
    }
    let order: serde_json::Value = serde_json::from_slice(body).unwrap();
    let id = order["id"].as_str().unwrap().to_owned();
    let times = if act == Some(Act::Twice) { 2 } else { 1 };
    orders.extend(std::iter::repeat_n(id, times));
    b"placed".to_vec()
}

/// Streams of an HTTP/2 connection.
async fn streams(stream: TcpStream, truth: &Truth) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    while let Some(Ok((_, mut answer))) = connection.accept().await {
        let status = match truth.asked(Lane::Http2, true) {
            Some(Act::Refuse) => {
                answer.send_reset(h2::Reason::REFUSED_STREAM);
                continue;
            }
            Some(Act::Close) => return None,
            Some(Act::Status(status)) => status,
            _ => 200,
        };
        let head = http::Response::builder().status(status).header("x-app-version", "v1");
        let mut body = answer.send_response(head.body(()).unwrap(), false).ok()?;
        body.send_data(Bytes::from_static(b"ok"), true).ok()?;
    }
    None
}

/// A WebSocket that echoes.
async fn socket(stream: TcpStream, truth: &Truth) -> Option<()> {
    let mut socket = accept_async(stream).await.ok()?;
    while let Some(Ok(message)) = socket.next().await {
        if !message.is_text() {
            continue;
        }
        if truth.asked(Lane::Websocket, true) == Some(Act::Close) {
            return None;
        }
        socket.send(message).await.ok()?;
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
