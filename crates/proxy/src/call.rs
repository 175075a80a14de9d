//! One request as the proxy means to send it: read, checked, routed and rewritten.
//!
//! Everything is done here in one go while the head lies in the buffer, so that the head can be
//! forgotten before anything is awaited. Nothing is sent here.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use model::survey::PROBE_FIELD;
use model::{AppName, ReleaseId};

use crate::buffer::Buffer;
use crate::class::Class;
use crate::clients::Client;
use crate::cohort::Member;
use crate::forwarded::{self, Origin};
use crate::framing::{Body, Connection, Field, Refusal, RequestHead, classify, read_request};
use crate::limits;
use crate::lines::line;
use crate::prober::Stub;
use crate::replay;
use crate::rules::Asked;
use crate::settings::{Patience, Settings};
use crate::space::Share;
use crate::table::{App, Table, Unrouted};
use crate::trail::Trail;

/// A request ready to be sent.
#[derive(Debug)]
pub(crate) struct Call {
    /// The app it belongs to, if any.
    pub(crate) app: Option<Arc<App>>,
    /// Why there is none.
    pub(crate) unrouted: Option<Refusal>,
    /// The release that a rule of the app names for it.
    pub(crate) meant: Option<ReleaseId>,
    /// The cohort of its client.
    pub(crate) member: Member,
    /// The head for the instance.
    pub(crate) head: Vec<u8>,
    /// Where in the head the request's id is.
    pub(crate) id: Range<usize>,
    /// What the client still has to send.
    pub(crate) rest: Rest,
    /// What the answer must heed.
    pub(crate) asks: Asks,
    /// How long instances are waited for.
    pub(crate) patience: Patience,
    /// Why no instance is to be asked, though it is in order.
    pub(crate) refused: Option<Class>,
    /// Its place among what its client has open, where that is counted.
    pub(crate) _place: Option<Client>,
    /// What is remembered of it.
    pub(crate) trail: Trail,
}

impl Call {
    /// The request's id.
    pub(crate) fn id(&self) -> &[u8] {
        &self.head[self.id.clone()]
    }

    /// True when its connection is to carry no other one, for its age.
    pub(crate) fn is_last(&self) -> bool {
        self.trail.origin.age.is_over(self.patience.age)
    }

    /// How much is left of the time that it may take; `Duration::MAX` is no limit.
    pub(crate) fn left(&self) -> Duration {
        match self.patience.whole {
            Duration::MAX => Duration::MAX,
            whole => whole.saturating_sub(self.trail.began.elapsed()),
        }
    }
}

/// The part of a request that has not passed yet.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Its body.
    pub(crate) body: Body,
    /// Bytes at the front of the client's buffer that the body has counted already.
    pub(crate) claimed: usize,
    /// Its client waits for `100 Continue` before it sends any.
    pub(crate) asks_first: bool,
    /// Bytes of content that it may still have.
    pub(crate) room: u64,
    /// All of it, where it is small and came with the head or was gathered: then it can be sent again.
    pub(crate) kept: Box<[u8]>,
    /// The memory that it takes, where it was gathered.
    pub(crate) share: Option<Share>,
}

impl Rest {
    /// True when all of it lies at the front of what has come, and is small.
    pub(crate) fn lies_in(&self, buffer: Option<&Buffer>) -> bool {
        let come = buffer.map_or(0, |buffer| buffer.data().len());
        matches!(self.body, Body::Length(bytes) if bytes <= come.min(limits::KEPT) as u64)
    }

    /// Takes so much content into account.
    pub(crate) fn has_room(&mut self, content: u64) -> Result<(), Refusal> {
        self.room = self.room.checked_sub(content).ok_or(Refusal::BODY_TOO_LARGE)?;
        Ok(())
    }
}

/// What the answer to a request must heed.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one request")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asks {
    /// The method is HEAD: the answer has no body.
    pub(crate) head_only: bool,
    /// It may be sent twice.
    pub(crate) idempotent: bool,
    /// The client speaks HTTP/1.0.
    pub(crate) old_client: bool,
    /// The client means to keep the connection.
    pub(crate) keep: bool,
    /// The client waits for `100 Continue`.
    pub(crate) expects: bool,
    /// It asks for another protocol.
    pub(crate) upgrade: bool,
}

/// Reads a whole head and prepares what will be sent.
pub(crate) fn prepare(
    head: &[u8],
    origin: Origin,
    (table, settings): (&Table, &Settings),
) -> Result<Call, Refusal> {
    let mut room = [httparse::EMPTY_HEADER; limits::FIELDS];
    let request = read_request(head, &mut room)?;
    if request.fields.len() > settings.fields {
        return Err(Refusal::with(431, "too many header fields"));
    }
    let Connection { close, keep_alive, .. } = request.connection;
    let mut sent = Vec::with_capacity(head.len() + 256);
    let found = table.find(request.host, request.target);
    let app = found.ok().cloned();
    let mut trail = Trail::new(origin);
    if let Some(survey) = app.as_ref().and_then(|app| app.lasting.survey.load_full()) {
        let fields = request.fields.iter().map(|field| (field.name, field.value));
        let client = || forwarded::client(&request, origin, |sender| settings.trusts(sender));
        trail.unit = survey.asked(fields, client);
    }
    let trusted = settings.trusts(origin.peer);
    if trusted {
        trail.client = forwarded::client(&request, origin, |sender| settings.trusts(sender));
    }
    let known = settings.probers.as_ref().and_then(|probers| probers.which(request.fields));
    trail.stub = known.and_then(Stub::of);
    let id = rewrite(&request, origin, trusted, &mut sent);
    let unrouted = found.err().map(|missing| nowhere(missing, origin));
    let name = app.as_ref().map(|app| &app.name);
    let (patience, room) = settings.terms(name);
    let asks_first = request.expects;
    let rest = Rest {
        body: request.body,
        asks_first,
        claimed: 0,
        room,
        kept: Box::default(),
        share: None,
    };
    let (refused, place) = match admit(&request, origin, (settings, name), &rest) {
        Ok(place) => (None, place),
        Err(class) => (Some(class), None),
    };
    let (meant, member) = match &app {
        Some(app) => {
            (meant(app, &request, origin, settings), member(app, &request, origin, settings))
        }
        None => (None, Member::default()),
    };
    Ok(Call {
        app,
        unrouted,
        meant,
        member,
        head: sent,
        id,
        rest,
        patience,
        refused,
        _place: place,
        trail,
        asks: Asks {
            head_only: request.method == "HEAD",
            idempotent: replay::idempotent(request.method) || request.keyed,
            old_client: request.minor == 0,
            keep: !close && (request.minor > 0 || keep_alive),
            expects: request.expects,
            upgrade: request.upgrade,
        },
    })
}

/// Whether an instance may be asked at all; if so, its place among what its client has open.
fn admit(
    request: &RequestHead<'_, '_>,
    origin: Origin,
    (settings, app): (&Settings, Option<&AppName>),
    rest: &Rest,
) -> Result<Option<Client>, Class> {
    if let Some(class) = origin.over {
        return Err(class);
    }
    let place = if settings.share.of_requests() {
        let trusts = |sender: IpAddr| settings.trusts(sender);
        let client = forwarded::client(request, origin, trusts);
        // One that is trusted speaks for many.
        if trusts(client) { None } else { settings.share.request(client)? }
    } else {
        None
    };
    if settings.pages.closes(app) {
        return Err(Class::Maintenance);
    }
    match rest.body {
        Body::Length(length) if length > rest.room => Err(Class::BodyTooLarge),
        _ => Ok(place),
    }
}

/// The release that a rule of the app names.
fn meant(
    app: &App,
    request: &RequestHead<'_, '_>,
    origin: Origin,
    settings: &Settings,
) -> Option<ReleaseId> {
    if app.rules.is_empty() {
        return None;
    }
    let client = forwarded::client(request, origin, |sender| settings.trusts(sender));
    let fields = request.fields.iter().map(|field| (field.name, field.value));
    app.rules.choose(&Asked { fields, target: request.target, client })
}

/// The cohort of the client, where the app has cohorts.
fn member(app: &App, request: &RequestHead<'_, '_>, origin: Origin, settings: &Settings) -> Member {
    let (Some(membership), Some(signer)) = (&app.membership, &settings.signer) else {
        return Member::default();
    };
    let secure = forwarded::secure(request, origin, settings.trusts(origin.peer));
    let fields = request.fields.iter().map(|field| (field.name, field.value));
    membership.find(signer, fields, secure)
}

/// Over TLS a client may have come by a connection that was opened for another host (RFC 9113 section
/// 9.1.1), and 421 lets it try one of its own; everywhere else there is nothing to try.
const fn nowhere(missing: Unrouted, origin: Origin) -> Refusal {
    match missing {
        Unrouted::Host if origin.secure => Refusal::with(421, "no app answers for this host"),
        Unrouted::Host => Refusal::with(404, "no app answers for this host"),
        Unrouted::Path => Refusal::with(404, "no app is routed here"),
    }
}

/// Writes the head as the instance shall see it: hop-by-hop fields removed (and of the prober its key),
/// framing said anew, and who asked. Gives the place of the request's id.
fn rewrite(
    request: &RequestHead<'_, '_>,
    origin: Origin,
    trusted: bool,
    out: &mut Vec<u8>,
) -> Range<usize> {
    for part in [request.method, " ", request.target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    line(out, "host", &[request.host.as_bytes()]);
    for field in request.fields {
        match classify(field.name) {
            Field::Upgrade if request.upgrade => line(out, field.name, &[field.value]),
            Field::Expect if request.expects => line(out, field.name, &[field.value]),
            Field::IdempotencyKey => line(out, field.name, &[field.value]),
            Field::Other if field.name.eq_ignore_ascii_case(PROBE_FIELD) => {}
            Field::Other | Field::Stamp if !request.connection.drops(field.name) => {
                line(out, field.name, &[field.value]);
            }
            _ => {}
        }
    }
    match request.body {
        Body::Chunked(_) => line(out, "transfer-encoding", &[b"chunked"]),
        Body::Length(length) if length > 0 || announces_nothing(request) => {
            line(out, "content-length", &[itoa::Buffer::new().format(length).as_bytes()]);
        }
        _ => {}
    }
    if request.upgrade {
        line(out, "connection", &[b"Upgrade"]);
    }
    let id = forwarded::write(request, origin, trusted, out);
    out.extend_from_slice(b"\r\n");
    id
}

/// True when an empty body was announced as such (`Content-Length: 0`).
fn announces_nothing(request: &RequestHead<'_, '_>) -> bool {
    request.fields.iter().any(|field| classify(field.name) == Field::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::prepare;
    use crate::age::Age;
    use crate::forwarded::Origin;
    use crate::settings::Settings;
    use crate::table::Table;

    fn sent(head: &str) -> String {
        let table = Table::default();
        let told = (&table, &Settings::default());
        let origin = Origin {
            peer: "10.0.0.9".parse().unwrap(),
            secure: false,
            over: None,
            age: Age::begins(),
        };
        let call = prepare(head.as_bytes(), origin, told).unwrap();
        String::from_utf8(call.head).unwrap()
    }

    #[test]
    fn hop_by_hop_fields_stay_behind_and_the_client_is_named() {
        let sent = sent(
            "GET http://a.test:8080/x?y HTTP/1.1\r\nHost: other\r\nConnection: close, x-mine, Cookie\r\n\
             X-Mine: 1\r\nCookie: c\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: p\r\n\
             Upgrade: foo\r\nX_Forwarded_For: 6.6.6.6\r\nx_real-ip: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
             X-Request-Id: abc-1\r\n\r\n",
        );
        assert_eq!(
            sent,
            "GET /x?y HTTP/1.1\r\nhost: a.test:8080\r\nCookie: c\r\n\
             x-forwarded-for: 10.0.0.9\r\nx-forwarded-proto: http\r\n\
             x-forwarded-host: a.test:8080\r\n\
             forwarded: for=10.0.0.9;host=\"a.test:8080\";proto=http\r\nx-request-id: abc-1\r\n\r\n"
        );
    }

    #[test]
    fn an_upgrade_keeps_its_fields_except_to_h2c() {
        let head = |protocol: &str| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            )
        };
        let websocket = sent(&head("websocket"));
        assert!(websocket.contains("Upgrade: websocket\r\nconnection: Upgrade\r\n"), "{websocket}");
        assert!(!sent(&head("h2c")).to_lowercase().contains("upgrade"));
    }
}
