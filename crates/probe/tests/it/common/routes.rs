//! A server with routes for every lane, which misbehaves as it is told.
//!
//! What the prober must make of it is said in `lanes` and `control`, not here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wrong {
    #[default]
    Nothing,
    /// Every third upload is told a digest of fewer bytes.
    UploadShort,
    /// Every third download has another byte, under the same digest.
    DownloadChanged,
    /// Every third download is cut.
    DownloadCut,
    /// Every third stream of events ends in the middle of a chunk.
    EventsCut,
    /// Every third stream of events numbers its events backwards.
    EventsBack,
    /// Streams of events end in order after two events.
    EventsEnd,
    /// Every third order is carried out twice.
    OrdersTwice,
    /// Every third order is confirmed and forgotten.
    OrdersLost,
    /// None of the lanes' paths is known.
    Unknown,
}

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) orders: Vec<String>,
    /// Requests by kind, trials too.
    pub(crate) uploads: usize,
    pub(crate) downloads: usize,
    pub(crate) streams: usize,
    /// Times between two requests on one connection, us.
    pub(crate) rests_us: Vec<u64>,
    /// What each request says of itself, if it does.
    pub(crate) says: Vec<String>,
}

pub(crate) const DOWNLOAD: usize = 300_000;

pub(crate) async fn start(wrong: Wrong) -> (SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&told);
            tokio::spawn(async move { serve(stream, wrong, seen).await });
        }
    });
    (address, seen)
}

async fn serve(mut stream: TcpStream, wrong: Wrong, seen: Arc<Mutex<Seen>>) -> Option<()> {
    let mut last = None::<std::time::Instant>;
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
            }
            more(&mut stream, &mut buffer).await?;
        };
        if let Some(last) = last {
            let rest = u64::try_from(last.elapsed().as_micros()).unwrap();
            seen.lock().unwrap().rests_us.push(rest);
        }
        let said = head.lines().filter_map(|line| line.strip_prefix("x-cutover-probe: "));
        seen.lock().unwrap().says.extend(said.map(str::to_owned));
        let length = head.to_lowercase();
        let length =
            length.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let length: usize = length.map_or(0, |digits| digits.parse().unwrap());
        while buffer.len() < length {
            more(&mut stream, &mut buffer).await?;
        }
        let body: Vec<u8> = buffer.drain(..length).collect();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        answer(&mut stream, (wrong, &seen), (&target, &body)).await?;
        last = Some(std::time::Instant::now());
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
    (wrong, seen): (Wrong, &Mutex<Seen>),
    (target, body): (&str, &[u8]),
) -> Option<()> {
    let path = target.split('?').next().unwrap();
    match path {
        _ if wrong == Wrong::Unknown && path != "/" => {
            say(stream, "404 Not Found", "", b"no such route").await
        }
        "/upload" => {
            seen.lock().unwrap().uploads += 1;
            // The first is the trial.
            let short =
                wrong == Wrong::UploadShort && seen.lock().unwrap().uploads.is_multiple_of(3);
            let digest = hex(&body[..body.len() - usize::from(short)]);
            say(stream, "200 OK", "", format!("{{\"sha256\":\"{digest}\"}}").as_bytes()).await
        }
        "/download" => {
            seen.lock().unwrap().downloads += 1;
            let odd = seen.lock().unwrap().downloads.is_multiple_of(3);
            let mut long: Vec<u8> = (0..DOWNLOAD).map(|n| (n * n % 251) as u8).collect();
            let digest = format!("X-Content-SHA256: {}\r\n", hex(&long));
            match wrong {
                Wrong::DownloadChanged if odd => long[DOWNLOAD / 2] ^= 1,
                Wrong::DownloadCut if odd => {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.ok()?;
                    stream.write_all(&long[..DOWNLOAD / 2]).await.ok()?;
                    return None;
                }
                _ => {}
            }
            say(stream, "200 OK", &digest, &long).await
        }
        "/events" => events(stream, wrong, seen).await,
        "/orders" => orders(stream, (wrong, seen), (target, body)).await,
        _ => say(stream, "200 OK", "", b"ok").await,
    }
}

async fn events(stream: &mut TcpStream, wrong: Wrong, seen: &Mutex<Seen>) -> Option<()> {
    seen.lock().unwrap().streams += 1;
    let odd = seen.lock().unwrap().streams.is_multiple_of(3);
    let head = "HTTP/1.1 200 OK\r\nX-App-Version: v1\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    for tick in 1_u32.. {
        let id = if wrong == Wrong::EventsBack && odd { 100 - tick } else { tick };
        let event = format!("id: {id}\ndata: x\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await.ok()?;
        match wrong {
            Wrong::EventsCut if odd && tick == 2 => {
                stream.write_all(b"40\r\nid: 3").await.ok()?;
                return None;
            }
            Wrong::EventsEnd if tick == 2 => {
                stream.write_all(b"0\r\n\r\n").await.ok()?;
                return None;
            }
            _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
    None
}

async fn orders(
    stream: &mut TcpStream,
    (wrong, seen): (Wrong, &Mutex<Seen>),
    (target, body): (&str, &[u8]),
) -> Option<()> {
    if let Some(run) = target.split("run=").nth(1) {
        let account = {
            let seen = seen.lock().unwrap();
            let mut ids: Vec<&String> =
                seen.orders.iter().filter(|id| id.starts_with(run)).collect();
            ids.sort();
            let mut doubled: Vec<&String> =
                ids.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
            doubled.dedup();
            let count = doubled.len();
            let doubled = serde_json::to_string(&doubled).unwrap();
            ids.dedup();
            format!("{{\"orders\":{},\"doubled_orders\":{count},\"doubled\":{doubled}}}", ids.len())
        };
        return say(stream, "200 OK", "", account.as_bytes()).await;
    }
    let order: serde_json::Value = serde_json::from_slice(body).unwrap();
    let id = order["id"].as_str().unwrap().to_owned();
    let odd = id.rsplit('-').next().unwrap().parse::<u64>().unwrap() % 3 == 0;
    let times = match wrong {
        Wrong::OrdersTwice if odd => 2,
        Wrong::OrdersLost if odd => 0,
        _ => 1,
    };
    seen.lock().unwrap().orders.extend(std::iter::repeat_n(id, times));
    say(stream, "200 OK", "", b"placed").await
}

async fn say(stream: &mut TcpStream, status: &str, fields: &str, body: &[u8]) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nX-App-Version: v1\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body).await.ok()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
