//! What the proxy tells of itself beside the admin socket: the access log and the listener for metrics.
//!
//! Both change together or not at all. What is written and told is not known here.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use model::Fault;
use model::admin::Observation;
use tokio::task::{JoinHandle, spawn_local};

use super::Desk;
use crate::log::Log;
use crate::metrics;

/// The listener for metrics.
#[derive(Debug)]
pub(super) struct Telling {
    configured: SocketAddr,
    bound: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Desk {
    /// Takes on what is told and where; what stays the same is left alone.
    pub(super) fn observe(self: &Rc<Self>, wanted: &Observation) -> Result<(), Fault> {
        let shared = &self.shared;
        let present = shared.log.load_full();
        let log = match &wanted.access_log {
            None => None,
            Some(told) => match present.filter(|log| log.told == *told) {
                Some(log) => Some(log),
                None => Some(Arc::new(Log::open(told, &shared.totals)?)),
            },
        };
        let same = self.telling.borrow().as_ref().map(|telling| telling.configured);
        if same != wanted.metrics {
            // The old one stays until the new one is there.
            let telling = wanted.metrics.map(|address| self.tell_on(address)).transpose()?;
            let before = std::mem::replace(&mut *self.telling.borrow_mut(), telling);
            self.left.borrow_mut().extend(before);
        }
        shared.log.store(log);
        Ok(())
    }

    /// Resolves when nobody listens any more where metrics were told before: whoever is answered after it
    /// may listen there at once.
    pub(super) async fn left(&self) {
        let left = std::mem::take(&mut *self.left.borrow_mut());
        for mut telling in left {
            telling.task.abort();
            // An error is its end, as wanted.
            drop((&mut telling.task).await);
        }
    }

    /// Where metrics are told over TCP.
    pub(super) fn tells_on(&self) -> Option<SocketAddr> {
        self.telling.borrow().as_ref().map(|telling| telling.bound)
    }

    fn tell_on(self: &Rc<Self>, configured: SocketAddr) -> Result<Telling, Fault> {
        let listener = metrics::open(configured)?;
        let bound = listener.local_addr().unwrap_or(configured);
        let desk = Rc::downgrade(self);
        let tell =
            move |dialect| desk.upgrade().map(|desk| desk.metrics(dialect)).unwrap_or_default();
        let task = spawn_local(metrics::serve(listener, Rc::new(tell)));
        Ok(Telling { configured, bound, task })
    }
}
