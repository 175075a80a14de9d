//! Messages of DNS: one question written, and the answer to it read. Pure and strict.
//!
//! A name is kept as people write it, in lower case; one with anything but plain characters makes a whole
//! message unreadable. What is not asked for here (other types, EDNS, several questions) is passed over or
//! refused. Who is asked, how often and what an answer means is `dns`'s affair.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name, bytes on the wire.
const NAME_MAX: usize = 255;
/// Longest part of a name, bytes.
const LABEL_MAX: usize = 63;
/// Bytes of a head.
const HEAD: usize = 12;
/// The class of everything: the internet.
const INTERNET: u16 = 1;

/// What is asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Addresses of version 4.
    A,
    /// Addresses of version 6.
    Aaaa,
    /// Names and ports.
    Srv,
}

impl Wanted {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// What its answer must repeat.
    pub(super) id: u16,
    /// Lower case, without a dot at its end.
    pub(super) name: String,
    pub(super) wanted: Wanted,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Address(IpAddr),
    /// Another name has what is asked for.
    Alias(String),
    Service {
        priority: u16,
        port: u16,
        target: String,
    },
    /// Of a sort that is not used here.
    Other,
}

/// One record that can be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) owner: String,
    pub(super) ttl_s: u32,
    pub(super) data: Data,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It answers something else, or nothing of ours: whoever sent it is not believed.
    Foreign,
    /// It answers the question and cannot be read.
    Odd,
    /// It was cut off: the whole is to be had over TCP.
    Cut,
    /// The server's word for what it did (0: done, 3: no such name), and what it knows: answers, then
    /// what it added.
    Answer { code: u8, records: Vec<Record> },
}

/// True for what can be asked about: labels of letters, digits, `-` and `_`.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(plain);
    name.len() + 2 <= NAME_MAX && name.split('.').all(label)
}

/// The message that asks it; `None` when the name cannot be asked about.
pub(super) fn write(question: &Question) -> Option<Vec<u8>> {
    if !is_name(&question.name) {
        return None;
    }
    let mut message = Vec::with_capacity(HEAD + NAME_MAX + 4);
    message.extend(question.id.to_be_bytes());
    // Recursion is desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in question.name.split('.') {
        message.push(u8::try_from(label.len()).ok()?);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(question.wanted.number().to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    Some(message)
}

/// Reads what came back on a question.
pub(super) fn read(message: &[u8], question: &Question) -> Read {
    let mut at = Cursor { message, at: 0 };
    let Some(flags) = opening(&mut at, question) else { return Read::Foreign };
    if flags.cut {
        return Read::Cut;
    }
    let mut records = Vec::new();
    for _ in 0..flags.records {
        match at.record() {
            Some(Record { data: Data::Other, .. }) => {}
            Some(record) => records.push(record),
            None => return Read::Odd,
        }
    }
    Read::Answer { code: flags.code, records }
}

struct Flags {
    cut: bool,
    code: u8,
    records: u32,
}

/// The head, and the question that it repeats; `None` when it is another one.
fn opening(at: &mut Cursor<'_>, question: &Question) -> Option<Flags> {
    let (id, high, low) = (at.short()?, at.byte()?, at.byte()?);
    let counts = [at.short()?, at.short()?, at.short()?, at.short()?];
    // An answer (first bit) to a plain question (the next four).
    let answers = id == question.id && high & 0xf8 == 0x80 && counts[0] == 1;
    let same = answers && at.name()? == question.name;
    let same = same && at.short()? == question.wanted.number() && at.short()? == INTERNET;
    let records = counts[1..].iter().map(|count| u32::from(*count)).sum();
    same.then_some(Flags { cut: high & 2 != 0, code: low & 15, records })
}

/// A place in a message.
struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.message.get(self.at..self.at.checked_add(N)?)?;
        self.at += N;
        bytes.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn short(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// A name. Its end may stand elsewhere, always further to the front, so this comes to an end.
    fn name(&mut self) -> Option<String> {
        let (mut name, mut length) = (String::new(), 1);
        let mut reader = Cursor { message: self.message, at: self.at };
        let (mut after, mut front) = (None, self.at);
        loop {
            let first = reader.byte()?;
            match first {
                0 => break,
                1..=63 => {
                    let label = reader.message.get(reader.at..reader.at + usize::from(first))?;
                    length += label.len() + 1;
                    let plain =
                        |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\');
                    if length > NAME_MAX || !label.iter().all(plain) {
                        return None;
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                    reader.at += label.len();
                }
                192.. => {
                    let to = usize::from(u16::from_be_bytes([first & 63, reader.byte()?]));
                    after = after.or(Some(reader.at));
                    if to >= front {
                        return None;
                    }
                    (reader.at, front) = (to, to);
                }
                64..192 => return None,
            }
        }
        self.at = after.unwrap_or(reader.at);
        Some(name)
    }

    /// A record, whatever it says.
    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let (kind, class) = (self.short()?, self.short()?);
        let ttl_s = u32::from_be_bytes(self.take()?);
        let length = usize::from(self.short()?);
        let end = self.at.checked_add(length)?;
        if end > self.message.len() {
            return None;
        }
        // Bits of other classes mean other things, as in EDNS.
        let data = if class == INTERNET { self.data(kind, length)? } else { Data::Other };
        if data != Data::Other && self.at != end {
            return None;
        }
        self.at = end;
        // RFC 2181: a time with its first bit set is none.
        let ttl_s = if ttl_s > i32::MAX.unsigned_abs() { 0 } else { ttl_s };
        Some(Record { owner, ttl_s, data })
    }

    fn data(&mut self, kind: u16, length: usize) -> Option<Data> {
        Some(match (kind, length) {
            (1, 4) => Data::Address(IpAddr::V4(Ipv4Addr::from(self.take::<4>()?))),
            (28, 16) => Data::Address(IpAddr::V6(Ipv6Addr::from(self.take::<16>()?))),
            (1 | 28, _) => return None,
            (5, _) => Data::Alias(self.name()?),
            (33, _) => {
                let (priority, _weight, port) = (self.short()?, self.short()?, self.short()?);
                Data::Service { priority, port, target: self.name()? }
            }
            _ => Data::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Data, Question, Read, Wanted, is_name, read, write};

    fn question(name: &str, wanted: Wanted) -> Question {
        Question { id: 0x1234, name: name.to_owned(), wanted }
    }

    /// The answer of a real server that repeats the question and adds one record.
    fn answer(question: &Question, flags: [u8; 2], record: &[u8]) -> Vec<u8> {
        let mut message = write(question).unwrap();
        message[2..4].copy_from_slice(&flags);
        message[7] = u8::from(!record.is_empty());
        message.extend(record);
        message
    }

    /// `owner` of the question, this type, class IN, 7 s, these data.
    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).unwrap();
        let mut record = vec![0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 7, 0, length];
        record.extend(data);
        record
    }

    #[test]
    fn an_answer_is_read_with_its_names_pressed_together() {
        let asked = question("_shop._tcp.v1.test", Wanted::Srv);
        // Priority 1, weight 2, port 8080, and `a` in front of the question's `v1.test`.
        let data = [0, 1, 0, 2, 0x1f, 0x90, 1, b'A', 0xc0, 12 + 11];
        let said = read(&answer(&asked, [0x85, 0x80], &record(33, &data)), &asked);
        let Read::Answer { code: 0, records } = said else { panic!("{said:?}") };
        let target = "a.v1.test".to_owned();
        assert_eq!(records[0].data, Data::Service { priority: 1, port: 8080, target });
        assert_eq!((&*records[0].owner, records[0].ttl_s), ("_shop._tcp.v1.test", 7));
        let asked = question("a.test", Wanted::A);
        let said = read(&answer(&asked, [0x81, 0x83], &record(1, &[10, 0, 0, 1])), &asked);
        let Read::Answer { code: 3, records } = said else { panic!("{said:?}") };
        assert_eq!(records[0].data, Data::Address([10, 0, 0, 1].into()));
        assert_eq!(read(&answer(&asked, [0x83, 0x80], &[]), &asked), Read::Cut);
    }

    #[test]
    fn what_answers_something_else_is_not_believed_and_what_is_broken_not_read() {
        let asked = question("a.test", Wanted::A);
        let good = answer(&asked, [0x81, 0x80], &record(1, &[10, 0, 0, 1]));
        for other in [
            Question { id: 0x1235, ..asked.clone() },
            question("b.test", Wanted::A),
            question("a.test", Wanted::Aaaa),
        ] {
            assert_eq!(read(&good, &other), Read::Foreign, "{other:?}");
        }
        let asks = write(&asked).unwrap();
        assert_eq!(read(&asks, &asked), Read::Foreign, "a question is no answer");
        for length in 0..good.len() {
            let said = read(&good[..length], &asked);
            assert!(matches!(said, Read::Foreign | Read::Odd), "{length}: {said:?}");
        }
        // A name that points at itself, one that points forward, and an address of three bytes.
        for bad in [&[0xc0, 24, 0, 1][..], &[0xc0, 99, 0, 1], &record(1, &[10, 0, 0])] {
            assert_eq!(read(&answer(&asked, [0x81, 0x80], bad), &asked), Read::Odd, "{bad:?}");
        }
    }

    #[test]
    fn only_names_are_asked_for() {
        for good in ["a", "_shop._tcp.v1.example", "1.2.3.shop"] {
            assert!(is_name(good), "{good}");
        }
        for bad in
            ["", ".", "a..b", "a.", "a b", "é", "1.0+7.x", &"a".repeat(64), &"a.".repeat(200)]
        {
            assert!(!is_name(bad) && write(&question(bad, Wanted::A)).is_none(), "{bad}");
        }
    }
}
