//! Watches for the version to change for good: the first one answered no more, another one did. Pure.
//!
//! It knows nothing of deploys: two versions that share the requests for good never end the watch.

/// What answers said so far.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    first: Option<String>,
    /// When the last request that the first version answered was sent, us.
    last_old_us: u64,
    /// Another version has answered.
    changed: bool,
}

impl Switch {
    /// A request sent at `sent_us` was answered by `version`.
    pub(crate) fn answered(&mut self, version: &str, sent_us: u64) {
        match &self.first {
            None => {
                self.first = Some(version.to_owned());
                self.last_old_us = sent_us;
            }
            Some(first) if first == version => self.last_old_us = self.last_old_us.max(sent_us),
            Some(_) => self.changed = true,
        }
    }

    /// True when only other versions answered what was sent in the last `settle_us`.
    pub(crate) fn over(&self, now_us: u64, settle_us: u64) -> bool {
        self.changed && now_us.saturating_sub(self.last_old_us) >= settle_us
    }
}

#[cfg(test)]
mod tests {
    use super::Switch;

    #[test]
    fn a_change_counts_when_the_first_version_has_been_silent() {
        let mut switch = Switch::default();
        assert!(!switch.over(u64::MAX, 0), "nobody answered");
        switch.answered("v1", 10);
        assert!(!switch.over(1_000_000, 100), "nobody else answered");
        switch.answered("v2", 20);
        switch.answered("v1", 50);
        assert!(!switch.over(149, 100) && switch.over(150, 100));
        switch.answered("v1", 40);
        assert!(switch.over(150, 100), "an answer that was asked for earlier is no return");
        switch.answered("v1", 60);
        assert!(!switch.over(150, 100));
    }
}
