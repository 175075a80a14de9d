//! Somebody who asks for metrics again and again, over upgrades too: no total may fall, whoever tells it.
//!
//! What must be in them is judged by the test alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::traffic::get;

/// Between two looks: no less than whoever collects metrics takes. What the new proxy knows of the old one is up to a quarter
/// of a second old, so a look before and one after a change of proxies, closer than that, may see a total fall.
const PACE: Duration = Duration::from_secs(1);

/// One that asks.
pub(crate) struct Totals {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<u32, String>>,
    port: u16,
}

impl Totals {
    /// At that port.
    pub(crate) fn at(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut last, mut looks) = (BTreeMap::new(), 0);
            while !until.load(Ordering::Relaxed) {
                // For an instant one proxy has left the address and the next does not have it yet.
                for (name, now) in told(port).unwrap_or_default() {
                    let before = last.insert(name.clone(), now).unwrap_or_default();
                    if now < before {
                        return Err(format!("{name} fell from {before} to {now} in look {looks}"));
                    }
                }
                looks += 1;
                std::thread::sleep(PACE);
            }
            Ok(looks)
        });
        Self { over, thread, port }
    }

    /// None has fallen; answers what is told now.
    pub(crate) fn expect_none_fell(self) -> BTreeMap<String, u64> {
        self.over.store(true, Ordering::Relaxed);
        let looks =
            self.thread.join().expect("a thread ends").unwrap_or_else(|fell| panic!("{fell}"));
        println!("no total fell in {looks} looks");
        told(self.port).expect("the proxy that stays tells its metrics")
    }
}

/// Everything that can only grow, by name and labels.
fn told(port: u16) -> Option<BTreeMap<String, u64>> {
    let answer = get(port, "x", "/metrics").ok()?;
    let (head, text) = answer.split_once("\r\n\r\n")?;
    let length = head.split("content-length: ").nth(1)?.lines().next()?.parse::<usize>().ok()?;
    if text.len() != length {
        return None;
    }
    let grows = |name: &str| ["_total", "_bucket", "_count"].iter().any(|end| name.ends_with(*end));
    let sample = |line: &str| {
        let (key, value) = line.rsplit_once(' ')?;
        let name = key.split('{').next()?;
        Some((key.to_owned(), value.parse().ok()?)).filter(|_| grows(name))
    };
    Some(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
}
