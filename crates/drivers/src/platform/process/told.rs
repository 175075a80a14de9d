//! When an instance counts as told to end, and when it is told again. Pure.
//!
//! Many servers take a first SIGTERM as "finish what is open" and a second one as "exit now", so one
//! is sent. But a signal and a record cannot be written in one stroke. The record comes first: it
//! says that the instance is being told, then the signal is sent, then the record says that it was
//! told. Whoever finds the first without the last (we died in between, or the disk was full) does
//! not know whether the signal arrived, and both guesses have a price: to tell it at once cuts off
//! one that heard; never to tell it kills one that did not hear without warning. So it counts as
//! told at that time, and is told again only if it still lives when half of its stop timeout is
//! over: one that heard has half its time undisturbed, one that did not has half its time left. It
//! is never killed before; who finds it late gives it that half from then on.
//!
//! Dying again in the second attempt leaves the same question, and half of what is left to it.

use super::record::Entry;

/// Enters that an instance is being told at `now_ms`, for the first time or again. It may be killed
/// `limit_ms` after what then counts as the time at which it was told.
pub(super) fn being_told(entry: &mut Entry, now_ms: u64, limit_ms: u64) {
    let half_left = now_ms.saturating_sub(limit_ms / 2);
    entry.told_at_ms = Some(entry.told_at_ms.map_or(now_ms, |told| told.max(half_left)));
    entry.telling_ms = Some(now_ms);
}

/// When it must be told again before anything else happens to it, on the clock of both; `None` when
/// it is known to have been told.
pub(super) fn again_at_ms(told_ms: u64, telling_ms: Option<u64>, limit_ms: u64) -> Option<u64> {
    Some(telling_ms?.midpoint(told_ms.saturating_add(limit_ms)))
}

#[cfg(test)]
mod tests {
    use super::{again_at_ms, being_told};
    use crate::platform::process::record::Entry;

    fn told(entry: &mut Entry, now_ms: u64) -> (Option<u64>, Option<u64>) {
        being_told(entry, now_ms, 1_000);
        let told = entry.told_at_ms;
        (told, again_at_ms(told.unwrap(), entry.telling_ms, 1_000))
    }

    fn entry() -> Entry {
        let text = r#"{"number":1,"port":1,"begun_ms":0,"process":null,"ready_before":true,
            "told_at_ms":null,"killed":false}"#;
        serde_json::from_str(text).expect("a record from before there was such a field")
    }

    #[test]
    fn it_is_told_again_at_half_of_its_time_and_at_half_of_what_is_left() {
        let mut entry = entry();
        assert_eq!(told(&mut entry, 5_000), (Some(5_000), Some(5_500)));
        assert_eq!(told(&mut entry, 5_500), (Some(5_000), Some(5_750)), "died again");
    }

    #[test]
    fn whoever_comes_late_leaves_it_half_of_its_time() {
        let mut entry = entry();
        told(&mut entry, 5_000);
        assert_eq!(told(&mut entry, 60_000), (Some(59_500), Some(60_250)));
        entry.telling_ms = None;
        assert_eq!(again_at_ms(59_500, entry.telling_ms, 1_000), None);
    }
}
