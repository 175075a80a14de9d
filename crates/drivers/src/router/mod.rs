//! What carries users' requests to instances: one trait, and the slice that names every driver.
//!
//! A router brings the routes of an app to what is wanted of them, and says what is open. It starts
//! nothing and does not decide who gets traffic.

pub mod consul;
mod driver;
mod fenced;
mod finding;
pub mod follower;
pub mod haproxy;
mod moment;
pub mod nginx;
mod only_ours;
mod open;
pub mod proxy;
mod reachable;
mod replace;
mod sockets;

use std::path::Path;
use std::sync::Arc;

pub use driver::{ChangeKind, Drain, Evidence, Open, Router, RouterCapabilities, RoutesHave};
pub use finding::{At, Finding, Severity};
pub use reachable::reachable;

/// A driver by its name: help, completion and reference documents come from here.
#[derive(Clone, Copy, Debug)]
pub struct RouterEntry {
    /// The name in configuration files.
    pub name: &'static str,
    /// One line for help.
    pub summary: &'static str,
    /// Opens it on the path of its admin socket, or of its directory; nothing is connected yet.
    pub open: fn(&Path) -> Arc<dyn Router>,
}

/// Every router.
pub const ROUTERS: &[RouterEntry] = &[
    RouterEntry {
        name: "proxy",
        summary: "Cutover's own proxy",
        open: |socket| Arc::new(proxy::Proxy::new(socket)),
    },
    RouterEntry {
        name: "haproxy",
        summary: "HAProxy 2.6 or newer, over its runtime API",
        open: |socket| Arc::new(haproxy::HaProxy::new(haproxy::Address::Unix(socket.to_owned()))),
    },
    RouterEntry {
        name: "consul",
        summary: "a HAProxy, or whatever else, that follows Consul, where instances are registered",
        open: |socket| {
            let address = haproxy::Address::Unix(socket.to_owned());
            let consul = consul::Consul::new(consul::Setup::local());
            Arc::new(haproxy::HaProxy::new(address).following(Arc::new(consul)))
        },
    },
    RouterEntry {
        name: "nginx",
        summary: "nginx, by generated files and reloads that are observed",
        open: |directory| Arc::new(nginx::Nginx::new(nginx::Setup::within(directory))),
    },
];
