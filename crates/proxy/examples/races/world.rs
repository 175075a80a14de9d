//! Who serves which app: instances as a peer is told of them. No peer is started here.

use crate::instance::Instance;
use crate::peers::Apps;

/// These serve `a.test`, those `b.test`.
pub(crate) fn world(a: &[&Instance], b: &[&Instance]) -> Apps {
    let addresses = |instances: &[&Instance]| instances.iter().map(|one| one.address).collect();
    Apps { a: addresses(a), b: addresses(b), ..Apps::default() }
}
