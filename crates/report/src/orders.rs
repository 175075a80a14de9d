//! Orders that were to be carried out once: what the app says of them, and what is wrong with that.
//!
//! It asks nobody; the prober did, at the end of its run.

use model::Lane;
use model::attempt::OrderCount;

use crate::clean;
use crate::document::Report;
use crate::figures::{count, several};
use crate::run::Run;

/// Doubled orders that are named.
const NAMED: usize = 3;

/// The count, with names made harmless.
pub(crate) fn orders(run: &Run<'_>) -> Option<OrderCount> {
    let told = run.input.footer.as_ref()?.orders.as_ref()?;
    let examples = told.examples.iter().take(100).map(|id| clean::name(id)).collect();
    Some(OrderCount { examples, ..told.clone() })
}

/// Why the verdict is not PASS.
pub(crate) fn reasons(run: &Run<'_>) -> Vec<String> {
    let Some(told) = orders(run) else { return Vec::new() };
    let mut out = Vec::new();
    if told.doubled > 0 {
        let named: Vec<String> = told.examples.into_iter().take(NAMED).collect();
        let such_as =
            if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        let were = if told.doubled == 1 { "was" } else { "were" };
        out.push(format!(
            "{} {were} carried out more than once{such_as}",
            several(told.doubled, "order")
        ));
    }
    if let Some(lost) = told.acknowledged.checked_sub(told.executed).filter(|lost| *lost > 0) {
        let were = if lost == 1 { "was" } else { "were" };
        out.push(format!("{} {were} confirmed and never carried out", several(lost, "order")));
    }
    out
}

/// Why the verdict is no PASS although nothing is known to be wrong: many doubled orders must not hide themselves.
pub(crate) fn doubt(run: &Run<'_>) -> Option<String> {
    let footer = run.input.footer.as_ref()?;
    let placed = run.sent.iter().filter(|a| a.lane == Lane::Orders).count() as u64;
    (placed > 0 && footer.orders.is_none()).then(|| {
        let orders = several(placed, "order");
        format!("{orders} placed, and the app did not say in the end what it carried out")
    })
}

/// What the app says, when all is well.
pub(crate) fn fact(report: &Report) -> Option<String> {
    let told = report.orders.as_ref().filter(|told| told.doubled == 0)?;
    Some(format!(
        "{} confirmed, {} carried out, none twice, as the app says",
        several(told.acknowledged, "order"),
        count(told.executed)
    ))
}
