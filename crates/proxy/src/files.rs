//! What the open files of the process are for: clients, connections to instances, and the rest.
//!
//! Numbers only; it opens nothing and counts nothing.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits;

/// How they are shared out. A tunnel takes two, one on each side, so clients and instances are counted
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// Connections of clients that are served and connections to instances, both together.
    pub(crate) carry: u64,
    /// Most connections of clients.
    pub(crate) clients: usize,
    /// Connections that are only told that they are one too many; as many again of clients that have
    /// more than their share.
    pub(crate) told: usize,
}

impl Files {
    /// Raises the limit as far as it goes.
    pub(crate) fn raised(threads: usize) -> Self {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
        Self::of(getrlimit(Resource::Nofile).current.unwrap_or(MANY).min(MANY), threads)
    }

    /// Shares out so many. Some are kept for all else: listeners, the admin socket, logs, runtimes.
    pub(crate) fn of(files: u64, threads: usize) -> Self {
        let kept = limits::FILES + limits::FILES_PER_THREAD * threads as u64;
        let sockets = files.saturating_sub(kept).max(FEW);
        let told =
            usize::try_from(sockets / 8).map_or(limits::OVERFLOW, |s| s.min(limits::OVERFLOW));
        let carry = sockets - 2 * told as u64;
        let clients = usize::try_from(carry - carry / 4).unwrap_or(usize::MAX);
        Self { carry, clients, told }
    }

    /// True while another client may come beside so many that are carried: those that are here shall
    /// reach instances.
    pub(crate) const fn lets_in(&self, carried: u64) -> bool {
        carried < self.carry - self.carry / 8
    }
}

/// More are never counted on.
const MANY: u64 = 1 << 20;
/// Fewer sockets than these are no use to anybody.
const FEW: u64 = 16;

#[cfg(test)]
mod tests {
    use super::Files;

    /// What the benchmark asks for, with the open files that it has.
    #[test]
    fn twenty_thousand_files_are_enough_for_many_clients_or_half_as_many_tunnels() {
        let files = Files::of(20_000, 2);
        assert!(files.clients > 14_000 && files.lets_in(10_000), "{files:?}");
        assert!(files.lets_in(2 * 8_000), "{files:?}");
    }

    #[test]
    fn what_is_counted_on_is_never_more_than_there_is() {
        for limit in [0, 64, 100, 220, 1_024, 4_096, 20_000, 1 << 20] {
            for threads in [1, 2, 8] {
                let Files { carry, clients, told } = Files::of(limit, threads);
                let kept = 64 + 8 * threads as u64;
                let all = carry + 2 * told as u64 + kept;
                assert!(all <= limit.max(kept + 16), "{limit}: {all}");
                assert!(clients >= 1 && clients as u64 <= carry && told >= 1, "{limit}");
            }
        }
    }
}
