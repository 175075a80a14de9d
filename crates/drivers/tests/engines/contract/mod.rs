//! What every driver keeps, whatever it drives: it converges from any state to any other, settled is
//! quiet, plans are pure, foreign entries stay, what is stale is refused, nonsense never panics, and
//! the original state comes back. A new driver supplies a bed and calls one function.
//!
//! What is asked of one kind only is in `platform` and `router`.

pub(crate) mod platform;
pub(crate) mod router;

use model::Change;

/// Changes no driver can have made.
pub(crate) fn nonsense() -> Vec<Change> {
    let payloads = [
        serde_json::Value::Null,
        serde_json::json!({}),
        serde_json::json!([1, "x", null]),
        serde_json::json!({"step": "start"}),
        serde_json::json!({"step": "no such step", "app": "demo"}),
        serde_json::json!({"step": "publish", "expected": -1, "routes": {}}),
    ];
    let change = |payload| Change { words: "odd".into(), expected_before: "odd".into(), payload };
    payloads.into_iter().map(change).collect()
}
