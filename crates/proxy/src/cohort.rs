//! Which cohort a client is in: a number for good, from a signed cookie or from a header.
//!
//! A cookie that is forged, too old or no cookie of ours is no cookie. The number is drawn once and
//! then only read; which release it leads to is decided where instances are picked. The key is the
//! same for all proxies of a state directory, also after a restart.

#[cfg(test)]
mod fuzz;

use std::time::{SystemTime, UNIX_EPOCH};

use model::admin::CohortKey;
use model::{AppName, Fault, Routes};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::limits;

/// Cohorts have the numbers below this.
pub(crate) const COHORTS: u32 = 10_000;

/// Longest text that is signed: `cookie`, the name of an app, a number and a time, with what parts them.
const COVERED: usize = 7 + 40 + 1 + 4 + 1 + 16;

/// The key, ready for use.
#[derive(Debug)]
pub(crate) struct Signer(hmac::Key);

impl From<&CohortKey> for Signer {
    fn from(key: &CohortKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key.0))
    }
}

/// A new key. It belongs to the state directory: with another one every client is a new client.
///
/// # Errors
/// The system has no random numbers.
pub fn new_cohort_key() -> Result<CohortKey, Fault> {
    let mut key = [0; 32];
    let filled = SystemRandom::new().fill(&mut key);
    filled.map_err(|_| Fault::environment("the system has no random numbers for a key"))?;
    Ok(CohortKey(key))
}

/// How the clients of an app are told apart.
#[derive(Debug)]
pub(crate) struct Membership {
    header: Option<String>,
    /// Name of the cookie, if there is to be one.
    cookie: Option<String>,
    path: String,
    app: AppName,
}

/// The cohort of one request.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// The number; without one the request is drawn by itself.
    pub(crate) cohort: Option<u32>,
    /// The line that tells the client of it, if it must be told.
    pub(crate) line: Vec<u8>,
}

/// What a cookie of ours says.
struct Said {
    cohort: u32,
    issued_s: u64,
}

impl Membership {
    /// As the routes of an app have it.
    pub(crate) fn of(routes: &Routes) -> Option<Self> {
        let cohorts = routes.spread.cohorts.as_ref()?;
        Some(Self {
            header: cohorts.header.clone(),
            cookie: cohorts.cookie.then(|| format!("cutover-cohort-{}", routes.app)),
            path: routes.path_prefix.clone(),
            app: routes.app.clone(),
        })
    }

    /// The cohort of a request with these fields; a client that has none is given one.
    pub(crate) fn find<'f>(
        &self,
        signer: &Signer,
        fields: impl Iterator<Item = (&'f str, &'f [u8])> + Clone,
        secure: bool,
    ) -> Member {
        if let Some(wanted) = &self.header {
            let mut own = fields.clone().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            if let Some((_, value)) = own.next() {
                let cohort = Some(self.hashed(signer, value.trim_ascii()));
                return Member { cohort, line: Vec::new() };
            }
        }
        let Some(name) = &self.cookie else { return Member::default() };
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let known = cookies(fields, name).filter_map(|value| self.read(signer, value));
        // Of several the newest: a client may have one of each path it was given one for.
        let known = known
            .filter(|said| now_s.saturating_sub(said.issued_s) < limits::COHORT_LIFE.as_secs())
            .max_by_key(|said| said.issued_s);
        let cohort = known.as_ref().map_or_else(|| fastrand::u32(..COHORTS), |said| said.cohort);
        let young =
            |said: &Said| now_s.saturating_sub(said.issued_s) < limits::COHORT_LIFE.as_secs() / 2;
        let line = match known.filter(young) {
            Some(_) => Vec::new(),
            None => self.line(signer, name, &Said { cohort, issued_s: now_s }, secure),
        };
        Member { cohort: Some(cohort), line }
    }

    /// The same value is always in the same cohort, and nobody can tell in which without the key.
    fn hashed(&self, signer: &Signer, value: &[u8]) -> u32 {
        let mut context = hmac::Context::with_key(&signer.0);
        for part in [b"header\0", self.app.as_str().as_bytes(), b"\0", value] {
            context.update(part);
        }
        let tag = context.sign();
        let first = tag.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        u32::try_from(first % u64::from(COHORTS)).unwrap_or_default()
    }

    /// `NUMBER.TIME.SIGNATURE`, all hexadecimal but the number.
    fn read(&self, signer: &Signer, value: &[u8]) -> Option<Said> {
        let text = std::str::from_utf8(value).ok()?;
        let (claim, tag) = text.rsplit_once('.')?;
        let (cohort, issued) = claim.split_once('.')?;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let cohort = Some(cohort).filter(|text| text.len() <= 4 && plain(text))?.parse().ok()?;
        let issued = Some(issued).filter(|text| text.len() <= 16 && plain(text))?;
        let issued_s = u64::from_str_radix(issued, 16).ok()?;
        let tag = unhex(tag)?;
        hmac::verify(&signer.0, self.covered(claim, &mut [0; COVERED]), &tag).ok()?;
        Some(Said { cohort, issued_s })
    }

    /// The signature is over the app too: a cookie of one means nothing to another. Nothing is allocated:
    /// this is done for each request.
    fn covered<'r>(&self, claim: &str, room: &'r mut [u8; COVERED]) -> &'r [u8] {
        let parts = [b"cookie\0", self.app.as_str().as_bytes(), b"\0", claim.as_bytes()];
        let mut length = 0;
        for (place, byte) in room.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
            length += 1;
        }
        &room[..length]
    }

    fn line(&self, signer: &Signer, name: &str, said: &Said, secure: bool) -> Vec<u8> {
        let claim = format!("{}.{:x}", said.cohort, said.issued_s);
        let tag = hmac::sign(&signer.0, self.covered(&claim, &mut [0; COVERED]));
        // A `;` would end the attribute; who has one in the prefix gets the cookie everywhere.
        let path = if self.path.contains(';') { "/" } else { &self.path };
        let mut line = Vec::with_capacity(192 + name.len() + path.len());
        for part in ["set-cookie: ", name, "=", &claim, "."] {
            line.extend_from_slice(part.as_bytes());
        }
        for byte in tag.as_ref() {
            line.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
        }
        let mut seconds = itoa::Buffer::new();
        let seconds = seconds.format(limits::COHORT_LIFE.as_secs());
        let ends = if secure { "; Secure\r\n" } else { "\r\n" };
        for part in ["; Path=", path, "; Max-Age=", seconds, "; HttpOnly; SameSite=Lax", ends] {
            line.extend_from_slice(part.as_bytes());
        }
        line
    }
}

/// The values of all cookies of a name.
fn cookies<'f>(
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    name: &str,
) -> impl Iterator<Item = &'f [u8]> {
    let lines = fields.filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let pairs = lines.flat_map(|(_, line)| crate::rules::cookies(line));
    pairs.filter_map(move |(is, value)| (is == name.as_bytes()).then_some(value))
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The bytes of a signature.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        for digit in pair {
            let digit =
                char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())?;
            *byte = *byte << 4 | digit;
        }
    }
    Some(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use model::admin::CohortKey;
    use model::{AppName, Cohorts, Generation, Routes, Spread};

    use super::{Membership, Said, Signer};
    use crate::limits;

    pub(crate) fn membership(app: &str, header: Option<&str>, cookie: bool) -> Membership {
        let cohorts = Cohorts { header: header.map(str::to_owned), cookie };
        let routes = Routes {
            app: AppName::new(app).unwrap(),
            generation: Generation(1),
            hosts: Vec::new(),
            path_prefix: "/shop".into(),
            pools: Vec::new(),
            rules: Vec::new(),
            spread: Spread { cohorts: Some(cohorts), ..Spread::default() },
            hold: None,
            hand_over: None,
        };
        Membership::of(&routes).unwrap()
    }

    fn signer(byte: u8) -> Signer {
        Signer::from(&CohortKey([byte; 32]))
    }

    /// The value that a client sends back.
    fn value(line: &[u8]) -> String {
        let line = std::str::from_utf8(line).unwrap();
        line.split_once('=').unwrap().1.split_once(';').unwrap().0.to_owned()
    }

    fn now_s() -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    }

    fn ask(of: &Membership, signer: &Signer, cookie: &str) -> (u32, Vec<u8>) {
        let fields = [("Cookie", cookie.as_bytes())];
        let member = of.find(signer, fields.into_iter(), false);
        (member.cohort.unwrap(), member.line)
    }

    #[test]
    fn a_client_keeps_its_number_and_is_told_it_once() {
        let (shop, key) = (membership("shop", None, true), signer(1));
        let first = shop.find(&key, [].into_iter(), true);
        let line = String::from_utf8(first.line.clone()).unwrap();
        assert!(line.starts_with("set-cookie: cutover-cohort-shop="), "{line}");
        let attributes = "; Path=/shop; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure\r\n";
        assert!(line.ends_with(attributes), "{line}");
        let sent = format!("a=b; cutover-cohort-shop={}; c", value(&first.line));
        for _ in 0..20 {
            assert_eq!(ask(&shop, &key, &sent), (first.cohort.unwrap(), Vec::new()));
        }
    }

    #[test]
    fn half_its_life_renews_a_cookie_and_its_whole_life_ends_it() {
        let (shop, key) = (membership("shop", None, true), signer(1));
        let life = limits::COHORT_LIFE.as_secs();
        let aged = |age: u64| {
            let said = Said { cohort: 4_321, issued_s: now_s() - age };
            let told = shop.line(&key, "cutover-cohort-shop", &said, false);
            let sent = format!("cutover-cohort-shop={}", value(&told));
            (0..8).map(|_| ask(&shop, &key, &sent)).collect::<Vec<_>>()
        };
        assert!(aged(life / 2 - 9).iter().all(|one| *one == (4_321, Vec::new())));
        assert!(aged(life / 2 + 9).iter().all(|(n, line)| *n == 4_321 && !line.is_empty()));
        let ended = aged(life + 9);
        assert!(
            ended.iter().any(|(n, _)| *n != 4_321) && ended.iter().all(|one| !one.1.is_empty())
        );
    }

    #[test]
    fn what_is_not_signed_for_this_app_makes_a_new_client() {
        let (shop, key) = (membership("shop", None, true), signer(1));
        let good = value(&shop.find(&key, [].into_iter(), false).line);
        let of =
            |shop: &Membership, key: &Signer| value(&shop.find(key, [].into_iter(), false).line);
        let (number, rest) = good.split_once('.').unwrap();
        let other = (number.parse::<u32>().unwrap() + 1) % 10_000;
        let mut bent = good.clone();
        bent.replace_range(good.len() - 1.., if good.ends_with('0') { "1" } else { "0" });
        for cookie in [
            String::new(),
            "1".into(),
            "..".into(),
            "9999999999.1.00".into(),
            format!("{other}.{rest}"),
            format!("+{number}.{rest}"),
            bent,
            good[..good.len() - 2].to_owned(),
            format!("{good}00"),
            good.to_uppercase().replace('.', "é."),
            of(&shop, &signer(2)),
            of(&membership("web", None, true), &key),
        ] {
            let (_, line) = ask(&shop, &key, &format!("cutover-cohort-shop={cookie}"));
            assert!(!line.is_empty(), "{cookie} was believed");
        }
        let sent = format!("cutover-cohort-shop=junk; cutover-cohort-shop={good}");
        assert_eq!(ask(&shop, &key, &sent).1, b"", "a good one beside garbage");
    }

    #[test]
    fn the_value_of_a_header_makes_a_number_without_a_cookie() {
        let (only, both) =
            (membership("shop", Some("x-user"), false), membership("shop", Some("x-user"), true));
        let key = signer(1);
        let ask = |of: &Membership, key: &Signer, user: &str| {
            let member = of.find(key, [("X-User", user.as_bytes())].into_iter(), false);
            assert_eq!(member.line, b"");
            member.cohort.unwrap()
        };
        let numbers: Vec<u32> = (0..500).map(|n| ask(&only, &key, &format!("user-{n}"))).collect();
        for (n, number) in numbers.iter().enumerate() {
            assert_eq!(ask(&both, &key, &format!(" user-{n} ")), *number);
        }
        assert!(numbers.iter().all(|number| *number < 10_000));
        let low = numbers.iter().filter(|number| **number < 5_000).count();
        assert!((180..320).contains(&low), "{low} of 500 in the lower half");
        let elsewhere =
            (0..500).filter(|n| ask(&only, &signer(2), &format!("user-{n}")) == numbers[*n]);
        assert!(elsewhere.count() < 10, "the key does not matter");
        assert_eq!(only.find(&key, [].into_iter(), false).cohort, None);
        assert!(!both.find(&key, [].into_iter(), false).line.is_empty());
    }
}
