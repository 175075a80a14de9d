//! What a router has been waited for, for so long that people should know. Decides nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::hands::Way;

/// Longer than what is usual.
const LONG: Duration = Duration::from_secs(2);

/// What is waited for.
#[derive(Debug, Default)]
pub(super) struct Waits {
    since: Option<Instant>,
    words: String,
    told: bool,
}

impl Waits {
    /// Takes down how far the router is; answers what to say of it, once for each wait that is long.
    pub(super) fn heard(&mut self, way: &Way, now: Instant) -> Option<String> {
        let Way::Waiting(words) = way else {
            *self = Self::default();
            return None;
        };
        self.since.get_or_insert(now);
        self.words.clone_from(words);
        let long = self.long(now).filter(|_| !self.told)?;
        self.told = true;
        Some(long)
    }

    /// What is waited for, if that lasts.
    pub(super) fn long(&self, now: Instant) -> Option<String> {
        let since = self.since.filter(|_| !self.words.is_empty())?;
        let lasts = now.saturating_duration_since(since) >= LONG;
        lasts.then(|| format!("waits for {}", self.words))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Waits;
    use crate::server::hands::Way;

    #[test]
    fn a_long_wait_is_told_once_and_shown_as_long_as_it_lasts() {
        let (mut waits, begun) = (Waits::default(), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        let way = || Way::Waiting("it".to_owned());
        assert_eq!(waits.heard(&way(), at(0)), None);
        assert_eq!((waits.heard(&way(), at(1_999)), waits.long(at(1_999))), (None, None));
        assert_eq!(waits.heard(&way(), at(2_000)).as_deref(), Some("waits for it"));
        assert_eq!(waits.heard(&way(), at(2_100)), None);
        assert_eq!(waits.long(at(2_100)).as_deref(), Some("waits for it"));
        assert_eq!(waits.heard(&Way::Changed, at(2_200)), None);
        assert_eq!((waits.long(at(2_200)), waits.heard(&way(), at(2_300))), (None, None));
        assert_eq!(waits.heard(&Way::Waiting(String::new()), at(9_000)), None, "nobody says what");
    }
}
