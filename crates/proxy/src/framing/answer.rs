//! The head of an instance's answer, read as strictly as a client's request.
//!
//! What of it a client gets to see is in `said`; nothing is sent again because of it here.

use httparse::{Header, Status};

use super::fields::{Connection, Field, announced, classify};
use super::{Body, Refusal};
use crate::limits;

/// An answer head that was found correct.
#[derive(Debug)]
pub(crate) struct AnswerHead<'h, 'b> {
    /// Status.
    pub(crate) status: u16,
    /// Reason phrase.
    pub(crate) reason: &'b str,
    /// What its `Connection` fields say.
    pub(crate) connection: Connection<'b>,
    /// The instance's connection can carry another request afterwards.
    pub(crate) reusable: bool,
    /// Its body.
    pub(crate) body: Body,
    /// All fields.
    pub(crate) fields: &'h [Header<'b>],
}

impl AnswerHead<'_, '_> {
    /// True for 1xx other than 101: another answer follows.
    pub(crate) const fn interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// True for server-sent events without an announced length: nobody knows when they end.
    pub(crate) fn streams_events(&self) -> bool {
        let is_events = |field: &Header<'_>| {
            let kind = field.value.split(|&byte| byte == b';').next().unwrap_or_default();
            field.name.eq_ignore_ascii_case("content-type")
                && kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
        };
        !matches!(self.body, Body::Length(_)) && self.fields.iter().any(is_events)
    }
}

/// Reads a whole head; `head_only` says that the request was HEAD.
pub(crate) fn read_answer<'h, 'b>(
    head: &'b [u8],
    room: &'h mut [Header<'b>; limits::FIELDS],
    head_only: bool,
) -> Result<AnswerHead<'h, 'b>, Refusal> {
    let mut answer = httparse::Response::new(room);
    match answer.parse(head) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refusal::bad("malformed head")),
        Err(error) => return Err(Refusal::of(error)),
    }
    let (status, minor) = (answer.code.unwrap_or(0), answer.version.unwrap_or(0));
    if !(100..=599).contains(&status) || !head.starts_with(b"HTTP/") {
        return Err(Refusal::bad("malformed status line"));
    }
    let fields = &*answer.headers;
    let mut connection = Connection::default();
    for field in fields.iter().filter(|field| classify(field.name) == Field::Connection) {
        connection.add(field.value)?;
    }
    let announced = announced(fields, minor)?;
    let bodiless = head_only || status < 200 || status == 204 || status == 304;
    let body = if bodiless { Body::EMPTY } else { Body::of_answer(announced) };
    // A 204 that announces a body may well send one.
    let trusted = status != 204 || Body::of_request(announced).done();
    Ok(AnswerHead {
        status,
        reason: answer.reason.unwrap_or(""),
        reusable: minor == 1 && !connection.close && trusted && status != 101,
        connection,
        body,
        fields,
    })
}
