//! A web service that knows nothing of Cutover, as somebody else might have written it: `tiny_http`,
//! a port and a version from the environment, a few worker threads.
//!
//! It uses nothing of ours, names no version in its headers, and takes no notice of SIGTERM, which
//! ends it at once with whatever it was answering. The end-to-end tests ship it from v1 to v2.

use std::env;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tiny_http::{Method, Request, Response, Server};

const WORKERS: usize = 4;
/// An answer is worth some work: one that is cut off in it is one that users miss.
const WORK: Duration = Duration::from_millis(5);

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let port: u16 = env::var("PORT")?.parse()?;
    let version = env::var("VERSION").unwrap_or_else(|_| "no version".to_owned());
    let greeting = format!("hello from {version}\n");
    let server = Arc::new(Server::http(("127.0.0.1", port))?);
    let work = || {
        let (server, greeting) = (Arc::clone(&server), greeting.clone());
        thread::spawn(move || {
            for request in server.incoming_requests() {
                answer(request, &greeting);
            }
        })
    };
    let workers: Vec<_> = (0..WORKERS).map(|_| work()).collect();
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")?;
    }
    Ok(())
}

fn answer(mut request: Request, greeting: &str) {
    thread::sleep(WORK);
    let text = if *request.method() == Method::Post {
        received(request.as_reader())
    } else {
        Ok(greeting.to_owned())
    };
    let sent = text.and_then(|text| request.respond(Response::from_string(text)));
    if let Err(error) = sent {
        eprintln!("a client went away: {error}");
    }
}

/// Length and digest of a body, in JSON.
fn received(body: &mut dyn io::Read) -> io::Result<String> {
    let mut content = Vec::new();
    body.read_to_end(&mut content)?;
    let digest = Bytes::copy_from_slice(&Sha256::digest(&content));
    Ok(format!("{{\"bytes\":{},\"sha256\":\"{digest:x}\"}}\n", content.len()))
}
