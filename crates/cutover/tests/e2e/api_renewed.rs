//! The API over TCP gets another certificate and another token by a reload, while it is in use; those that
//! are not in order are refused, and the old ones stay.
//!
//! That nobody is served without them is in `api`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::api::{PATIENCE, TOKEN, over_tls, remote};
use crate::tls_client::{Identity, Kept};
use crate::world::{World, beside, free_port, said, wait_for};

const OTHER: &str = "another-token-of-the-tests-0123456789-abc";
const STATUS: (&str, &str) = ("get", "/v1/status");

/// The words of a refusal, and what is done for it.
type Spoil<'a> = (&'a str, &'a dyn Fn());
type Line = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// The API of a world over TCP.
struct Api {
    world: World,
    port: u16,
}

impl Api {
    fn new() -> Self {
        let (port, world) = (free_port(), World::patient(1));
        remote(&world, port, "{ file = \"api.token\" }");
        let api = Self { world, port };
        api.token(TOKEN, 0o600);
        api
    }

    fn file(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    fn identity(&self) -> Identity {
        Identity::write(self.world.path(), "api", "localhost")
    }

    fn token(&self, token: &str, mode: u32) {
        std::fs::write(self.file("api.token"), format!("{token}\n")).unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.file("api.token"), mode).unwrap();
    }

    /// Status of an answer to who trusts this certificate and sends this token.
    fn asked(&self, identity: &Identity, token: &str) -> u16 {
        over_tls(self.port, identity, STATUS, &bearer(token)).status
    }

    /// True when who trusts this certificate alone is not shown it.
    fn hides(&self, identity: &Identity) -> bool {
        Kept::within(PATIENCE, self.port, identity).is_err()
    }

    /// A connection that stays open.
    fn line(&self, identity: &Identity) -> Line {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(identity.remembers(), name).unwrap();
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(StreamOwned::new(session, socket))
    }

    /// Edits the file.
    fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file("cutover.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(self.file("cutover.toml"), text.replacen(from, to, 1)).unwrap();
    }

    /// A reload comes to nothing, for this reason.
    fn refused(&self, words: &str) {
        let told = said(&self.world.expect(2, &["reload", "--yes"]));
        assert!(told.contains(words), "`{words}` is missing: {told}");
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Asks on a connection; the status. A body with a length is read, too.
fn ask(line: &mut Line, path: &str, token: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{}\r\n", bearer(token));
    line.get_mut().write_all(request.as_bytes()).unwrap();
    let lines = line.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let head: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    line.read_exact(&mut body).unwrap();
    head[0].split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_reload_takes_up_certificate_and_token_while_streams_stay_open() {
    let _turn = beside();
    let mut api = Api::new();
    let old = api.identity();
    api.world.up();
    wait_for("the API listens", 10, || TcpStream::connect(("127.0.0.1", api.port)).ok());
    let mut stream = api.line(&old);
    assert_eq!(ask(&mut stream, "/v1/apps/demo/events", TOKEN), 200);

    let new = api.identity();
    api.token(OTHER, 0o600);
    assert_eq!(api.asked(&old, TOKEN), 200, "nobody has reloaded");
    let mut kept = api.line(&old);
    assert_eq!(ask(&mut kept, "/v1/status", TOKEN), 200);
    let done = said(&api.world.expect(0, &["reload", "--yes"]));
    assert!(done.contains("in effect: 0 changes, 1 certificate"), "{done}");
    assert_eq!(ask(&mut kept, "/v1/status", TOKEN), 401, "the old token goes on");
    assert_eq!(api.asked(&new, OTHER), 200);
    assert_eq!(api.asked(&new, TOKEN), 401, "the old token is taken");
    assert!(api.hides(&old), "the old certificate is shown");
    // The stream goes on.
    api.world.expect(0, &["deploy", "demo", "v1"]);
    let told = stream.lines().map_while(Result::ok).find(|line| line.contains("\"ended\""));
    assert!(told.is_some_and(|told| told.contains("promoted")));

    // Others in other places.
    let third = Identity::write(api.world.path(), "third", "localhost");
    std::fs::copy(api.file("api.token"), api.file("third.token")).unwrap();
    api.token(TOKEN, 0o600);
    for (from, to) in
        [("api.crt", "third.crt"), ("api.key", "third.key"), ("api.token", "third.token")]
    {
        api.edit(from, to);
    }
    let done = said(&api.world.expect(0, &["reload", "--yes"]));
    for words in ["[api] chain: ", "[api] key: ", "[api] token: ", "in effect: 3 changes"] {
        assert!(done.contains(words), "`{words}` is missing: {done}");
    }
    assert_eq!((api.asked(&third, OTHER), api.asked(&third, TOKEN)), (200, 401));
    let log = api.world.said();
    assert!(!log.contains(TOKEN) && !log.contains(OTHER), "a token was logged");
    api.world.expect(0, &["down", "--now"]);
    assert_eq!(api.world.ended_up(), Some(0));
}

#[test]
fn what_is_not_in_order_is_refused_and_the_old_stays_and_a_bad_start_is_mended() {
    let _turn = beside();
    let mut api = Api::new();
    let none = std::fs::write(api.file("api.crt"), "").and(std::fs::write(api.file("api.key"), ""));
    none.unwrap();
    api.world.up();
    assert!(TcpStream::connect(("127.0.0.1", api.port)).is_err(), "without TLS nobody listens");
    api.refused("api.crt");
    let good = api.identity();
    api.world.expect(0, &["reload", "--yes"]);
    wait_for("the API listens", 10, || TcpStream::connect(("127.0.0.1", api.port)).ok());
    assert_eq!(api.asked(&good, TOKEN), 200);
    let pair = ["api.crt", "api.key"].map(|name| std::fs::read(api.file(name)).unwrap());
    let mend = || {
        for (name, bytes) in ["api.crt", "api.key"].iter().zip(&pair) {
            std::fs::write(api.file(name), bytes).unwrap();
        }
        api.token(TOKEN, 0o600);
    };
    let faults: [Spoil<'_>; 7] = [
        ("api.key does not belong to the certificate", &|| {
            Identity::write(api.world.path(), "wrong", "localhost");
            std::fs::copy(api.file("wrong.key"), api.file("api.key")).unwrap();
        }),
        ("has expired", &|| {
            Identity::valid(api.world.path(), "api", "localhost", (2001, 2002));
        }),
        ("api.crt cannot be read", &|| std::fs::remove_file(api.file("api.crt")).unwrap()),
        ("others can read the API's token", &|| api.token(OTHER, 0o644)),
        ("holds no token of 32 characters", &|| api.token("short", 0o600)),
        ("the API's token cannot be read", &|| {
            std::fs::remove_file(api.file("api.token")).unwrap();
        }),
        ("[api] listen: ", &|| {
            api.edit(
                &format!("[api]\nlisten = \"127.0.0.1:{}\"", api.port),
                "[api]\nlisten = \"127.0.0.1:1\"",
            );
        }),
    ];
    for (words, spoil) in faults {
        spoil();
        api.refused(words);
        assert_eq!(api.asked(&good, TOKEN), 200, "{words}");
        assert_eq!(api.asked(&good, OTHER), 401, "{words}");
        mend();
    }
    let log = api.world.said();
    assert!(!log.contains(TOKEN) && !log.contains(OTHER), "a token was logged");
    api.world.expect(0, &["down", "--now"]);
    assert_eq!(api.world.ended_up(), Some(0));
}
