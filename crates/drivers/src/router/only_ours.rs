//! What of wanted routes Cutover's own proxy alone can carry. Pure: what a driver cannot for reasons of its
//! own is not here, but in its plan.

use model::Routes;

/// The first such thing, and what to do; `None` when there is none.
pub(super) fn only_ours(want: &Routes) -> Option<(String, &'static str)> {
    let (why, help) = if want.hand_over.is_some() {
        ("a hand-over of tunnels", "remove `handover` from cutover.toml")
    } else if want.hold.is_some() {
        ("a hold", "let Cutover's own proxy carry it")
    } else if want.spread.cohorts.is_some() || want.spread.slow_start_ms > 0 {
        ("cohorts or a slow start", "remove `sticky` and `slow_start` from cutover.toml")
    } else {
        return None;
    };
    Some((why.to_owned(), help))
}
