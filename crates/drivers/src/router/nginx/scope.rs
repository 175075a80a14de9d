//! What holds where: the directives that nginx goes by in a block, by its own rules of inheritance. Pure.
//!
//! What the value of one means is not known here.

use super::written::Directive;

/// Directives of a name that hold beside `place`: those of the innermost block around it that has any. What
/// stands further out does not hold then, of lists (`add_header`, `proxy_set_header`) neither.
pub(super) fn in_force<'a>(
    all: &'a [Directive],
    place: &Directive,
    name: &str,
) -> Vec<&'a Directive> {
    let around = around(all, place, name);
    let innermost = around.iter().map(|one| one.within.len()).max();
    around.into_iter().filter(|one| Some(one.within.len()) == innermost).collect()
}

/// The one that holds of a directive that stands once in a block.
pub(super) fn holds<'a>(
    all: &'a [Directive],
    place: &Directive,
    name: &str,
) -> Option<&'a Directive> {
    in_force(all, place, name).pop()
}

/// All of a name in the blocks around `place`, whether they hold or not.
pub(super) fn around<'a>(
    all: &'a [Directive],
    place: &Directive,
    name: &str,
) -> Vec<&'a Directive> {
    let fits = |one: &&Directive| one.name() == name && place.within.starts_with(&one.within);
    all.iter().filter(fits).collect()
}

/// The innermost block of a name around `place`, as its index.
pub(super) fn block(all: &[Directive], place: &Directive, name: &str) -> Option<usize> {
    let named = |block: &&usize| all.get(**block).is_some_and(|one| one.name() == name);
    place.within.iter().rfind(named).copied()
}

/// True of what stands in the block with that index.
pub(super) fn inside(one: &Directive, block: usize) -> bool {
    one.within.contains(&block)
}

/// Where users' requests are passed on; connections that are no HTTP (`stream`) are not.
pub(super) fn passes(all: &[Directive]) -> impl Iterator<Item = &Directive> {
    let http = |one: &&Directive| block(all, one, "stream").is_none();
    all.iter().filter(|one| one.name() == "proxy_pass").filter(http)
}
