//! Keys of session tickets: a client that comes back resumes its session, also at a successor.
//!
//! Tickets are stateless: what rustls wants to remember, sealed with ChaCha20-Poly1305 under a key
//! that only this proxy and its successors know. Keys are made anew every few hours; those before
//! are kept for as long as their tickets live. The keys can be exported and adopted, so that they
//! travel with the listening sockets.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use model::admin::TicketKey;
use model::{Fault, Kind};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

use crate::limits;

/// A ticket is the name of its key, the nonce, and the sealed content.
const NAME: usize = 16;

/// The keys of now, newest first; the first one seals.
#[derive(Debug)]
pub(super) struct Tickets {
    keys: ArcSwap<Vec<Key>>,
    random: SystemRandom,
}

#[derive(Clone, Debug)]
struct Key {
    told: TicketKey,
    seal: Arc<LessSafeKey>,
}

impl Key {
    fn new(told: TicketKey) -> Option<Self> {
        let seal = UnboundKey::new(&CHACHA20_POLY1305, &told.secret).ok()?;
        Some(Self { told, seal: Arc::new(LessSafeKey::new(seal)) })
    }

    fn make(random: &SystemRandom) -> Option<Self> {
        let (mut name, mut secret) = ([0; NAME], [0; 32]);
        random.fill(&mut name).ok()?;
        random.fill(&mut secret).ok()?;
        Self::new(TicketKey { name, secret, made_unix_s: now() })
    }

    fn age(&self) -> u64 {
        now().saturating_sub(self.told.made_unix_s)
    }

    fn opens(&self) -> bool {
        self.age() < limits::TICKET_KEY_AGE.as_secs() + u64::from(lifetime())
    }
}

impl Tickets {
    /// With a key of its own.
    pub(super) fn new() -> Result<Self, Fault> {
        let random = SystemRandom::new();
        let key = Key::make(&random)
            .ok_or_else(|| Fault::environment("the kernel gives no random numbers"))?;
        Ok(Self { keys: ArcSwap::from_pointee(vec![key]), random })
    }

    pub(super) fn export(&self) -> Vec<TicketKey> {
        self.keys.load().iter().map(|key| key.told.clone()).collect()
    }

    pub(super) fn adopt(&self, keys: &[TicketKey]) -> Result<(), Fault> {
        let mut adopted: Vec<_> =
            keys.iter().cloned().filter_map(Key::new).filter(Key::opens).collect();
        if adopted.is_empty() {
            return Err(Fault::new(Kind::Usage, "none of the ticket keys is in use any more"));
        }
        adopted.sort_by_key(Key::age);
        adopted.truncate(limits::TICKET_KEYS);
        self.keys.store(Arc::new(adopted));
        Ok(())
    }

    /// Makes a new key when the present one is old. Of threads that see it at once, one succeeds.
    fn rotate(&self) {
        let old = |keys: &[Key]| {
            keys.first().is_none_or(|key| key.age() >= limits::TICKET_KEY_AGE.as_secs())
        };
        if !old(&self.keys.load()) {
            return;
        }
        self.keys.rcu(|keys| match Key::make(&self.random).filter(|_| old(keys)) {
            Some(key) => {
                let before = keys.iter().filter(|key| key.opens()).cloned();
                let keys = std::iter::once(key).chain(before).take(limits::TICKET_KEYS);
                Arc::new(keys.collect::<Vec<_>>())
            }
            None => Arc::clone(keys),
        });
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.rotate();
        let keys = self.keys.load();
        let key = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut content = plain.to_vec();
        let sealing = Nonce::assume_unique_for_key(nonce);
        key.seal.seal_in_place_append_tag(sealing, Aad::from(&key.told.name), &mut content).ok()?;
        Some([&key.told.name[..], &nonce, &content].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, content) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.load();
        // A key's name is no secret.
        let key = keys.iter().find(|key| key.told.name == *name && key.opens())?;
        let mut content = content.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.seal.open_in_place(nonce, Aad::from(name), &mut content).ok()?;
        Some(plain.to_vec())
    }
}

fn lifetime() -> u32 {
    u32::try_from(limits::TICKET_LIFE.as_secs()).unwrap_or(u32::MAX)
}

/// Seconds since 1970: keys travel between processes.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use rustls::server::ProducesTickets;

    use super::{Tickets, now};
    use crate::limits;

    #[test]
    fn only_who_knows_the_key_opens_a_whole_ticket() {
        let (one, other) = (Tickets::new().unwrap(), Tickets::new().unwrap());
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(one.decrypt(&ticket).unwrap(), b"session");
        assert!(other.decrypt(&ticket).is_none());
        other.adopt(&one.export()).unwrap();
        assert_eq!(other.decrypt(&ticket).unwrap(), b"session");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert!(one.decrypt(&changed).is_none(), "byte {at}");
            assert!(one.decrypt(&ticket[..at]).is_none(), "{at} bytes");
        }
    }

    #[test]
    fn keys_are_made_anew_and_the_old_ones_open_until_their_tickets_have_ended() {
        let tickets = Tickets::new().unwrap();
        let mut keys = tickets.export();
        keys[0].made_unix_s = now() - limits::TICKET_KEY_AGE.as_secs();
        tickets.adopt(&keys).unwrap();
        let name = keys[0].name;
        let first = tickets.encrypt(b"x").unwrap();
        assert_ne!(first[..16], name, "a new key seals");
        let names: Vec<_> = tickets.export().iter().map(|key| key.name).collect();
        assert_eq!((names.len(), names[1]), (2, name));
        keys[0].made_unix_s = 0;
        assert!(tickets.adopt(&keys).is_err());
        assert_eq!(tickets.export().len(), 2, "nothing was changed");
    }
}
