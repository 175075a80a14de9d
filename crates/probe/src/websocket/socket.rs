//! One live socket: numbered messages out, their echoes back, and how it ended.
//!
//! It opens no successor; it tells its slot when one is needed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use model::attempt::{Attempt, BARE_SOCKET, Class, Connection, Ending, Lane};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::echo::{Echo, Echoes, asks_to_reconnect};
use super::upgrade::{Endpoint, Open};
use crate::http::Said;
use crate::stream::Stream;
use crate::text;

/// How long a closing handshake may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Close codes with which a server sends its clients elsewhere (RFC 6455 section 7.4.1; 1012 and
/// 1013 are registered with IANA as "service restart" and "try again later").
const HAND_OVER: [u16; 4] = [1000, 1001, 1012, 1013];

/// What a socket is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Carry this attempt.
    Carry(Attempt),
    /// Wait for what is outstanding, then close.
    Leave,
}

/// What a socket tells.
#[derive(Debug)]
pub(super) enum News {
    /// The app asks for a new socket; this one goes on meanwhile.
    AskedToMove,
    /// The peer is closing it; nothing can be sent any more.
    Closing,
    /// It has ended.
    Ended(Box<End>),
}

/// A socket that has ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) record: Connection,
    pub(super) ending: Ending,
    /// Attempts it was given and had not sent a byte of.
    pub(super) unsent: Vec<Attempt>,
}

/// How a socket stopped being of use.
enum Finish {
    /// We closed it, when nothing was outstanding.
    Left,
    /// The peer sent a close frame.
    Closed(Option<CloseFrame>),
    /// It ended without one.
    Dropped(Ending, String),
    /// The peer does not keep to the protocol.
    Broken(String),
}

/// A live socket.
#[derive(Debug)]
pub(super) struct Socket {
    endpoint: Rc<Endpoint>,
    record: Connection,
    stream: WebSocketStream<Stream>,
    said: Said,
    orders: UnboundedReceiver<Order>,
    echoes: Echoes,
    last_echo_us: Rc<Cell<u64>>,
    asked_to_move: bool,
    leaving: bool,
    echoed: bool,
}

impl Socket {
    pub(super) fn new(
        endpoint: Rc<Endpoint>,
        record: Connection,
        open: Open,
        orders: UnboundedReceiver<Order>,
    ) -> Self {
        Self {
            endpoint,
            record,
            stream: open.stream,
            said: open.said,
            orders,
            echoes: Echoes::default(),
            last_echo_us: Rc::default(),
            asked_to_move: false,
            leaving: false,
            echoed: false,
        }
    }

    /// Shares the time of the last echo with the sockets before and after it.
    pub(super) fn after(mut self, last_echo_us: Rc<Cell<u64>>) -> Self {
        self.last_echo_us = last_echo_us;
        self
    }

    /// Lives until the socket has ended, and tells what happens.
    pub(super) async fn run(mut self, tell: impl Fn(News)) {
        self.endpoint.site.ledger.standing(true);
        let finish = self.live(&tell).await;
        self.endpoint.site.ledger.standing(false);
        // What is still to come must not be sent on this socket.
        self.orders.close();
        if matches!(finish, Finish::Closed(_)) {
            tell(News::Closing);
        }
        let ending = self.account(&finish);
        match finish {
            Finish::Left => {
                self.record.close_code = Some(CloseCode::Normal.into());
                self.say_goodbye(true).await;
            }
            Finish::Closed(_) => self.say_goodbye(false).await,
            Finish::Dropped(..) | Finish::Broken(_) => {}
        }
        let mut unsent = Vec::new();
        while let Ok(order) = self.orders.try_recv() {
            if let Order::Carry(attempt) = order {
                unsent.push(attempt);
            }
        }
        tell(News::Ended(Box::new(End { record: self.record, ending, unsent })));
    }

    async fn live(&mut self, tell: &impl Fn(News)) -> Finish {
        loop {
            if self.leaving && self.echoes.is_empty() {
                return Finish::Left;
            }
            let patience = self.patience();
            let finish = tokio::select! {
                message = self.stream.next() => self.read(message, tell),
                order = self.orders.recv(), if !self.leaving => match order {
                    Some(Order::Carry(attempt)) => self.send(attempt).await,
                    Some(Order::Leave) | None => {
                        self.leaving = true;
                        None
                    }
                },
                () = tokio::time::sleep(patience), if !self.echoes.is_empty() => self.give_up(),
            };
            if let Some(finish) = finish {
                return finish;
            }
        }
    }

    /// How long the oldest outstanding message may still take.
    fn patience(&self) -> Duration {
        let site = &self.endpoint.site;
        let spent = site.clock.us().saturating_sub(self.echoes.oldest_us().unwrap_or(0));
        site.timeout.saturating_sub(Duration::from_micros(spent))
    }

    fn give_up(&mut self) -> Option<Finish> {
        let site = &self.endpoint.site;
        let timeout_us = u64::try_from(site.timeout.as_micros()).unwrap_or(u64::MAX);
        let limit_us = site.clock.us().checked_sub(timeout_us)?;
        let detail = format!("no echo within {} ms", site.timeout.as_millis());
        for attempt in self.echoes.give_up(limit_us) {
            self.lost(attempt, Class::WsDropped, &detail);
        }
        None
    }

    async fn send(&mut self, mut attempt: Attempt) -> Option<Finish> {
        let number = attempt.id;
        attempt.connection = self.record.connection;
        self.said.tell(&mut attempt);
        self.record.attempts += 1;
        let text = self.endpoint.numbering.text(number);
        self.echoes.sent(attempt);
        let site = &self.endpoint.site;
        match tokio::time::timeout(site.timeout, self.stream.send(Message::text(text))).await {
            Ok(Ok(())) => {
                if let Some(attempt) = self.echoes.outstanding(number) {
                    attempt.sent_us = site.clock.us();
                }
                None
            }
            Ok(Err(error)) => Some(finish_of(&error)),
            Err(_) => Some(Finish::Broken("the peer does not read".to_owned())),
        }
    }

    fn read(
        &mut self,
        message: Option<Result<Message, Error>>,
        tell: &impl Fn(News),
    ) -> Option<Finish> {
        match message {
            Some(Ok(Message::Text(text))) => self.hear(&text, tell),
            Some(Ok(Message::Binary(bytes))) => self.hear(&String::from_utf8_lossy(&bytes), tell),
            Some(Ok(Message::Close(frame))) => return Some(Finish::Closed(frame)),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error)) => return Some(finish_of(&error)),
            None => return Some(dropped()),
        }
        None
    }

    fn hear(&mut self, text: &str, tell: &impl Fn(News)) {
        let site = &self.endpoint.site;
        if let Some(number) = self.endpoint.numbering.find(text) {
            match self.echoes.arrived(number) {
                Echo::First { attempt, reordered } => self.echo(*attempt, text.len(), reordered),
                Echo::Doubled => site.ledger.count(|counts| counts.ws_doubled += 1),
                Echo::Stray => {}
            }
        } else if asks_to_reconnect(text) && !self.asked_to_move {
            self.asked_to_move = true;
            site.ledger.count(|counts| counts.ws_reconnects += 1);
            tell(News::AskedToMove);
        }
    }

    fn echo(&mut self, mut attempt: Attempt, bytes: usize, reordered: bool) {
        let site = &self.endpoint.site;
        let now = site.clock.us();
        let last = self.last_echo_us.replace(now);
        let gap = if self.echoed || last == 0 { 0 } else { now.saturating_sub(last) };
        self.echoed = true;
        site.ledger.count(|counts| {
            counts.ws_reordered += u64::from(reordered);
            counts.ws_longest_gap_us = counts.ws_longest_gap_us.max(gap);
        });
        attempt.class = Class::Ok;
        attempt.first_byte_us = now;
        attempt.done_us = now;
        attempt.bytes = bytes as u64;
        site.ledger.settle(attempt);
    }

    /// Settles what the end left open, and names the ending.
    fn account(&mut self, finish: &Finish) -> Ending {
        let (ending, class, detail) = match finish {
            Finish::Left if self.asked_to_move => return Ending::Reconnected,
            Finish::Left => return Ending::ByUs,
            Finish::Dropped(ending, detail) => (*ending, Class::WsDropped, detail.clone()),
            Finish::Broken(detail) => (Ending::ByUs, Class::WrongContent, detail.clone()),
            Finish::Closed(frame) => {
                (Ending::CloseFrame, Class::WsDropped, closed_with(frame.as_ref()))
            }
        };
        let mut told = self.asked_to_move;
        if let Finish::Closed(frame) = finish {
            let code = frame.as_ref().map(|frame| u16::from(frame.code));
            self.record.close_code = code;
            let hand_over = code.is_none_or(|code| HAND_OVER.contains(&code));
            if hand_over && !told {
                self.endpoint.site.ledger.count(|counts| counts.ws_reconnects += 1);
            }
            told |= hand_over;
        }
        let outstanding = self.echoes.give_up(u64::MAX);
        if outstanding.is_empty() && !told && !self.leaving {
            self.socket_lost(class, &detail);
        }
        for attempt in outstanding {
            self.lost(attempt, class, &detail);
        }
        ending
    }

    /// A user lost a socket while nothing was under way on it.
    fn socket_lost(&self, class: Class, detail: &str) {
        let site = &self.endpoint.site;
        let mut attempt = site.ledger.take(Lane::Websocket, site.clock.us());
        attempt.connection = self.record.connection;
        attempt.class = class;
        attempt.detail = Some(format!("{detail}{BARE_SOCKET}"));
        self.said.tell(&mut attempt);
        site.ledger.settle(attempt);
    }

    fn lost(&self, mut attempt: Attempt, class: Class, detail: &str) {
        attempt.class = class;
        attempt.detail = Some(detail.to_owned());
        let ledger = &self.endpoint.site.ledger;
        ledger.count(|counts| counts.ws_lost += 1);
        ledger.settle(attempt);
    }

    /// Finishes the closing handshake, whoever began it.
    async fn say_goodbye(&mut self, first: bool) {
        let stream = &mut self.stream;
        let handshake = async {
            if first {
                let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                if stream.close(Some(frame)).await.is_err() {
                    return;
                }
            }
            while let Some(Ok(_)) = stream.next().await {}
        };
        if tokio::time::timeout(GOODBYE, handshake).await.is_err() {
            tracing::debug!("the peer did not finish a closing handshake");
        }
    }
}

fn closed_with(frame: Option<&CloseFrame>) -> String {
    match frame {
        Some(frame) => {
            let reason = text::detail(frame.reason.as_bytes());
            format!("closed by the peer with {} {reason}", u16::from(frame.code)).trim().to_owned()
        }
        None => "closed by the peer without a code".to_owned(),
    }
}

fn dropped() -> Finish {
    Finish::Dropped(Ending::MidAttempt, "ended without a close frame".to_owned())
}

fn finish_of(error: &Error) -> Finish {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
        ) => dropped(),
        Error::Io(error) => {
            Finish::Dropped(Ending::Reset, format!("ended without a close frame: {error}"))
        }
        other => Finish::Broken(text::detail(other.to_string().as_bytes())),
    }
}
