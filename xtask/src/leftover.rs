//! Finds processes that tests started and forgot, and ends them.
//!
//! They are recognised by a variable in their environment, so a process that cleared its
//! environment escapes. Linux only (`/proc`); elsewhere nothing is ever found.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may take to end by itself after the tests are over.
const GRACE: Duration = Duration::from_secs(5);

/// Waits for every process whose environment holds `name=value` to end, kills what is left after
/// the grace time, and says what that was (pid and command line).
pub(crate) fn end_marked(name: &str, value: &str) -> Vec<String> {
    end_within(&format!("{name}={value}"), GRACE)
}

fn end_within(mark: &str, grace: Duration) -> Vec<String> {
    let deadline = Instant::now() + grace;
    let mut left = marked(mark);
    while !left.is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50)); // not our children: can be looked at only
        left = marked(mark);
    }
    left.into_iter()
        .map(|pid| {
            let words = format!("{pid} ({})", command_line(pid));
            println!("!!! still running after the tests, killed: {words}");
            // The shell's own, because a bare machine has no program of that name. An error means
            // that it ended by itself meanwhile.
            let kill = ["-c", "kill -KILL \"$0\"", &pid.to_string()].map(ToOwned::to_owned);
            let _ = Command::new("sh").args(kill).stderr(Stdio::null()).status();
            words
        })
        .collect()
}

fn marked(mark: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let mut found: Vec<u32> = pids.filter(|pid| carries(*pid, mark)).collect();
    found.sort_unstable();
    found
}

/// False for zombies, whose environment is gone, and for processes of other users.
fn carries(pid: u32, mark: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|all| all.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()))
}

fn command_line(pid: u32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).trim_end_matches('\0').replace('\0', " ")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn a_forgotten_process_is_named_and_killed() {
        let mark = format!("forgotten-{}", std::process::id());
        let mut child =
            Command::new("sleep").arg("600").env("CUTOVER_XTASK_UNIT", &mark).spawn().unwrap();
        let entry = format!("CUTOVER_XTASK_UNIT={mark}");
        // Between fork and exec the child still shows our environment.
        let deadline = Instant::now() + Duration::from_secs(10);
        while marked(&entry).is_empty() && Instant::now() < deadline {
            thread::yield_now();
        }
        let left = end_within(&entry, Duration::ZERO);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert_eq!(left, [format!("{} (sleep 600)", child.id())]);
    }

    #[test]
    fn nothing_is_found_where_nothing_was_left() {
        assert!(end_within("CUTOVER_XTASK_UNIT=never-set", Duration::ZERO).is_empty());
    }
}
