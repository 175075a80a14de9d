//! Which cases of a matrix a run takes: a few that the day chooses, all of them with `CUTOVER_FULL=1`.
//!
//! `CUTOVER_SEED` repeats a day's choice. What is done with the cases is the test's affair.

/// True when a run takes everything.
pub(crate) fn whole() -> bool {
    std::env::var_os("CUTOVER_FULL").is_some()
}

/// What chooses; said, so that the choice can be repeated.
pub(crate) fn seed() -> usize {
    let day = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    let told = std::env::var("CUTOVER_SEED").ok().and_then(|text| text.parse().ok());
    let seed = told.unwrap_or(day);
    println!("CUTOVER_SEED={seed}");
    usize::try_from(seed).unwrap()
}

/// `count` of them, far apart and in their order; the next days take the others.
pub(crate) fn of<T>(all: impl IntoIterator<Item = T>, count: usize) -> Vec<T> {
    let all: Vec<T> = all.into_iter().collect();
    if whole() || all.len() <= count {
        return all;
    }
    let (first, number) = (seed() % all.len(), all.len());
    let taken: Vec<usize> = (0..count).map(|at| (first + at * number / count) % number).collect();
    let kept = all.into_iter().enumerate().filter(|(at, _)| taken.contains(at));
    kept.map(|(_, one)| one).collect()
}
