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

#[cfg(test)]
mod tests {
    use model::{AppName, Farewell, Generation, HandOver, Hold, Pace, Routes, Spread};

    use super::only_ours;

    #[test]
    fn what_no_other_router_can_is_named_with_what_to_do() {
        let plain = Routes {
            app: AppName::new("demo").unwrap(),
            generation: Generation(1),
            hosts: vec![],
            path_prefix: "/".into(),
            pools: vec![],
            rules: vec![],
            hold: None,
            hand_over: None,
            spread: Spread::default(),
        };
        assert_eq!(only_ours(&plain), None);
        let hold = Some(Hold { wait_ms: 1, requests: 1, bytes: 1 });
        let spread = Spread { slow_start_ms: 1, ..Spread::default() };
        let pace = Pace { farewell: Farewell::Close, per_second: 1, at_once: 1 };
        let hand_over = Some(HandOver { instances: vec![], pace, within_ms: 1 });
        for (routes, why) in [
            (Routes { hand_over, ..plain.clone() }, "a hand-over of tunnels"),
            (Routes { hold, ..plain.clone() }, "a hold"),
            (Routes { spread, ..plain.clone() }, "cohorts or a slow start"),
        ] {
            assert_eq!(only_ours(&routes).unwrap().0, why);
        }
    }
}
