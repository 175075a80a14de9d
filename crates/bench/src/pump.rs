//! The floor: a TCP pump that parses nothing, one thread, one connection to the instance for each
//! client.
//!
//! What it costs is what any proxy on sockets and epoll pays before it has read a word. It has no TLS, no
//! routes and no checks: it is measured to know the price of the rest.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::Outcome;

/// One side of a pair; what could not be written waits here.
struct Side {
    stream: TcpStream,
    other: u64,
    waiting: Vec<u8>,
}

struct Pump {
    epoll: OwnedFd,
    sides: HashMap<u64, Side>,
    buffer: Vec<u8>,
}

/// Runs until it is killed.
pub(crate) fn run(listen: &str, instance: &str) -> Outcome<()> {
    serve(&TcpListener::bind(listen)?, instance)
}

fn serve(listener: &TcpListener, instance: &str) -> Outcome<()> {
    listener.set_nonblocking(true)?;
    let mut pump = Pump {
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        sides: HashMap::new(),
        buffer: vec![0; 64 * 1024],
    };
    let own = key(listener)?;
    epoll::add(&pump.epoll, listener, EventData::new_u64(own), EventFlags::IN)?;
    let mut events: Vec<Event> = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&pump.epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let place = event.data.u64();
            if place == own {
                while let Ok((client, _)) = listener.accept() {
                    pump.pair(client, TcpStream::connect(instance)?)?;
                }
            } else {
                pump.moved(place, event.flags);
            }
        }
    }
}

fn key(socket: &impl AsRawFd) -> Outcome<u64> {
    Ok(u64::try_from(socket.as_raw_fd())?)
}

impl Pump {
    fn pair(&mut self, one: TcpStream, other: TcpStream) -> Outcome<()> {
        let keys = [key(&one)?, key(&other)?];
        for (place, stream) in [one, other].into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET | EventFlags::RDHUP;
            epoll::add(&self.epoll, &stream, EventData::new_u64(keys[place]), flags)?;
            let side = Side { stream, other: keys[1 - place], waiting: Vec::new() };
            self.sides.insert(keys[place], side);
        }
        Ok(())
    }

    /// Something moved on one side: it may be read, or its rest written.
    fn moved(&mut self, place: u64, flags: EventFlags) {
        let Some(side) = self.sides.get_mut(&place) else { return };
        let (other, was_full) = (side.other, !side.waiting.is_empty());
        let ends = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let carried = flush(side).and_then(|()| {
            if flags.contains(EventFlags::IN) && !self.carry(place, other, ends)? {
                return Ok(false);
            }
            // What the other side could not pass on here is read now.
            if was_full { self.carry(other, place, true) } else { Ok(true) }
        });
        if !matches!(carried, Ok(true)) {
            self.sides.remove(&place);
            self.sides.remove(&other);
        }
    }

    /// Reads what there is and passes it on; false at the end. A read that leaves room has emptied the
    /// socket, and the next event is an edge, unless it is known that the end follows.
    fn carry(&mut self, from: u64, to: u64, ends: bool) -> io::Result<bool> {
        loop {
            let [Some(from), Some(to)] = self.sides.get_disjoint_mut([&from, &to]) else {
                return Ok(false);
            };
            if !to.waiting.is_empty() {
                return Ok(true);
            }
            let bytes = match from.stream.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let written = match to.stream.write(&self.buffer[..bytes]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                written => written?,
            };
            to.waiting.extend_from_slice(&self.buffer[written..bytes]);
            flush(to)?;
            if bytes < self.buffer.len() && !ends {
                return Ok(true);
            }
        }
    }
}

fn flush(side: &mut Side) -> io::Result<()> {
    while !side.waiting.is_empty() {
        match side.stream.write(&side.waiting) {
            Ok(bytes) => {
                side.waiting.drain(..bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::serve;

    /// More than sockets hold, both ways, and the end.
    #[test]
    fn all_bytes_pass_and_the_end_too() {
        let instance = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = instance.local_addr().unwrap().to_string();
        // Bound here: an address that is given up for a moment may be somebody else's in the next.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&listener, &to).map_err(|e| e.to_string()));
        let sent: Vec<u8> = (0..8 << 20).map(|place: u32| place.to_le_bytes()[1]).collect();
        let length = sent.len();
        std::thread::spawn(move || {
            let (mut stream, _) = instance.accept().unwrap();
            let mut all = vec![0; length];
            stream.read_exact(&mut all).unwrap();
            stream.write_all(&all).unwrap();
            stream.shutdown(Shutdown::Both).unwrap();
        });
        let mut stream = TcpStream::connect(listen).unwrap();
        let limit = Some(std::time::Duration::from_secs(30));
        stream.set_read_timeout(limit).unwrap();
        stream.set_write_timeout(limit).unwrap();
        stream.write_all(&sent).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    }
}
