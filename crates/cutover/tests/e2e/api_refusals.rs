//! What the API cannot read is refused as everything else is: by a `Fault` of its document, with the status
//! that says why, and nothing is done.
//!
//! What is well-formed and refused all the same is in `api`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::api::{Document, PATIENCE};
use crate::world::{World, beside};

/// Bytes that a body may have, and one.
const TOO_LONG: usize = 64 * 1024 + 1;

const JSON: &str = "Content-Type: application/json\r\n";

/// Writes a request as it stands; the answer's head, and its body.
fn raw(world: &World, (method, path): (&str, &str), kind: &str, body: &str) -> (String, String) {
    let mut stream = UnixStream::connect(world.state().join("api.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}");
    let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    // It may be answered, and the connection closed, before all of it was read.
    let _cut = stream.write_all(request.as_bytes());
    let mut reader = BufReader::new(stream);
    let lines = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let head = lines.collect::<Vec<_>>().join("\n").to_ascii_lowercase();
    let mut body = String::new();
    let _cut = reader.read_to_string(&mut body);
    (head, body)
}

/// Somebody who asks what cannot be read.
struct Asker {
    world: World,
    document: Document,
    /// That of a `Fault`.
    schema: Value,
}

impl Asker {
    fn new() -> Self {
        let mut world = World::patient(1);
        world.up();
        let document = Document::read();
        let fault = &document.whole["components"]["responses"]["Fault"]["content"];
        let schema = fault["application/json"]["schema"].clone();
        assert!(schema.is_object(), "the document has no Fault");
        Self { world, document, schema }
    }

    /// The answer is a fault: its status, its sentence, and the answer's head.
    fn refused(&self, what: (&str, &str), kind: &str, body: &str) -> (u16, String, String) {
        let (head, body) = raw(&self.world, what, kind, body);
        let status = head.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
        assert!(head.contains("content-type: application/json"), "{what:?}: {head}\n{body}");
        let fault: Value = serde_json::from_str(&body).unwrap();
        self.document.fits(&self.schema, &fault, what.1);
        (status, fault["what"].as_str().unwrap().to_owned(), head)
    }

    /// Every operation with a body, and every way in which it may be none.
    fn bodies(&self) {
        let long = format!("\"{}\"", "x".repeat(TOO_LONG - 2));
        let mut tried = 0;
        for (path, item) in self.document.whole["paths"].as_object().unwrap() {
            let operation = &item["post"];
            if !operation["requestBody"].is_object() {
                continue;
            }
            let at = path.replace("{app}", "demo").replace("{name}", "both");
            for (kind, body, status, words) in [
                (JSON, "{", 400, "the body is no JSON: EOF while parsing"),
                (JSON, "", 400, "the body is no JSON: EOF while parsing"),
                (JSON, "{\"x\": 1,}", 400, "the body is no"),
                (JSON, "17", 400, "the body is not what is asked for here: it is no object"),
                (JSON, "[\"v1\"]", 400, "the body is not what is asked for here: it is no object"),
                (JSON, &long, 413, "the body has more than 65536 bytes"),
                ("", "{}", 415, "the body is not said to be JSON"),
                ("Content-Type: text/plain\r\n", "{}", 415, "the body is not said to be JSON"),
            ] {
                let (got, what, _) = self.refused(("POST", &at), kind, body);
                assert!(got == status && what.starts_with(words), "{path} {body:.9}: {got} {what}");
                let known = operation["responses"][status.to_string()].is_object();
                assert!(known, "{path} answers {status}, undocumented");
            }
            tried += 1;
        }
        assert!(tried >= 13, "the operations were not found: {tried}");
    }

    /// Fields that are missing, or of another type.
    fn fields(&self) {
        for (path, body, words) in [
            ("/v1/apps/demo/deploy", json!({}), "missing field `version`"),
            ("/v1/apps/demo/deploy", json!({ "version": 2 }), "expected a string at line 1 column"),
            ("/v1/apps/demo/weight", json!({ "weight": 10_001 }), "asked for here: "),
            ("/v1/apps/demo/weight", json!({ "weight": -1 }), "asked for here: "),
            ("/v1/apps/demo/promote", json!({ "full": "yes" }), "expected a boolean"),
            ("/v1/upgrade", json!({ "program": "/bin/true" }), "missing field `within_ms`"),
        ] {
            let (status, what, _) = self.refused(("POST", path), JSON, &body.to_string());
            assert!(status == 400 && what.contains(words), "{path} {body}: {status} {what}");
        }
    }

    /// Paths, methods and queries.
    fn places(&self) {
        for (what, status, words) in [
            (("GET", "/"), 404, "the API has no `/`"),
            (("POST", "/v1/apps/demo/ship"), 404, "the API has no `/v1/apps/demo/ship`"),
            (("GET", "/v2/status"), 404, "the API has no `/v2/status`"),
            (("GET", "/v1/apps/%ff/events"), 400, "the path cannot be read: "),
            (("GET", "/v1/history?limit=all"), 400, "the query cannot be read: "),
            (("GET", "/v1/history?limit=-1"), 400, "the query cannot be read: "),
            (("DELETE", "/v1/status"), 405, "`/v1/status` is not asked with DELETE"),
            (("GET", "/v1/apps/demo/deploy"), 405, "`/v1/apps/demo/deploy` is not asked with GET"),
        ] {
            let (got, said, head) = self.refused(what, "", "");
            assert!(got == status && said.starts_with(words), "{what:?}: {got} {said}");
            let allow = if what.0 == "DELETE" { "allow: get,head" } else { "allow: post" };
            assert!(status != 405 || head.contains(allow), "{what:?}: {head}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_a_fault_with_its_status() {
    let _turn = beside();
    let mut asker = Asker::new();
    asker.bodies();
    asker.fields();
    asker.places();
    // Nothing of it was done.
    let status = asker.world.status().unwrap();
    assert!(status["apps"][0]["rollout"].is_null() && status["upgrading"].is_null(), "{status}");
    asker.world.expect(0, &["down", "--now"]);
    assert_eq!(asker.world.ended_up(), Some(0));
}
