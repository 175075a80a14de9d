//! Which core does what, and how much of the machine others used meanwhile.
//!
//! It keeps nobody else off a core: what others used is only told.

use std::fs;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;

/// One tick of `/proc`, seconds: USER_HZ is 100 on every system we build for.
pub(crate) const TICK: f64 = 0.01;

/// The two cores of a run; on a machine with one they are the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// Where proxies run.
    pub(crate) proxy: usize,
    /// Where client and instance run.
    pub(crate) load: usize,
}

impl Cores {
    /// The first and the last this process may use.
    pub(crate) fn choose() -> Outcome<Self> {
        let may = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|core| may.is_set(*core));
        let proxy = usable.next().ok_or("no core may be used")?;
        Ok(Self { proxy, load: usable.next_back().unwrap_or(proxy) })
    }

    /// True when they are two.
    pub(crate) const fn apart(self) -> bool {
        self.proxy != self.load
    }

    /// Moves this thread, and what it starts from now on.
    pub(crate) fn go_to(core: usize) -> Outcome<()> {
        let mut set = CpuSet::new();
        set.set(core);
        Ok(sched_setaffinity(None, &set)?)
    }
}

/// The machine in words.
pub(crate) fn described() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("CPU");
    format!(
        "{}, {} cores, Linux {}",
        model.trim_start_matches([' ', '\t', ':']),
        info.lines().filter(|line| line.starts_with("processor")).count(),
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

/// The machine's time so far, seconds over all cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    busy: f64,
    stolen: f64,
    all: f64,
}

impl Machine {
    /// Now.
    pub(crate) fn now() -> Outcome<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> =
            line.split_ascii_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        let [user, nice, system, idle, wait, interrupts, soft, stolen, ..] = ticks[..] else {
            return Err("/proc/stat is short".into());
        };
        let busy = (user + nice + system + interrupts + soft) * TICK;
        let stolen = stolen * TICK;
        Ok(Self { busy, stolen, all: busy + stolen + (idle + wait) * TICK })
    }

    /// Shares of the machine since `before`: used by others than those who used `own` seconds, and
    /// taken away by the host.
    pub(crate) fn since(self, before: Self, own: f64) -> (f64, f64) {
        let all = (self.all - before.all).max(TICK);
        let others = (self.busy - before.busy - own).max(0.0) / all;
        (others, (self.stolen - before.stolen) / all)
    }
}

/// What the host has taken of one core so far, seconds; 0 where the kernel does not say.
pub(crate) fn stolen(core: usize) -> f64 {
    stolen_in(&fs::read_to_string("/proc/stat").unwrap_or_default(), core)
}

fn stolen_in(stat: &str, core: usize) -> f64 {
    let name = format!("cpu{core}");
    let mut rows = stat.lines().map(str::split_ascii_whitespace);
    let ticks = rows.find_map(|mut row| (row.next()? == name).then(|| row.nth(7)).flatten());
    ticks.and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0) * TICK
}

#[cfg(test)]
mod tests {
    use super::{Machine, stolen_in};

    #[test]
    fn what_the_host_took_of_one_core_is_the_eighth_figure_of_its_row() {
        let stat =
            "cpu  1 2 3 4 5 6 7 99 9 10\ncpu1 1 2 3 4 5 6 7 50 9 10\ncpu10 1 2 3 4 5 6 7 25 9 10\n";
        let of = |core| format!("{:.2}", stolen_in(stat, core));
        assert_eq!(
            (of(1), of(10), of(2)),
            ("0.50".to_owned(), "0.25".to_owned(), "0.00".to_owned())
        );
    }

    #[test]
    fn what_others_used_is_what_is_left_of_the_busy_time() {
        let before = Machine { busy: 10.0, stolen: 0.0, all: 100.0 };
        let after = Machine { busy: 16.0, stolen: 1.0, all: 120.0 };
        let (others, stolen) = after.since(before, 4.0);
        assert!((others - 0.1).abs() < 1e-9 && (stolen - 0.05).abs() < 1e-9, "{others} {stolen}");
    }
}
