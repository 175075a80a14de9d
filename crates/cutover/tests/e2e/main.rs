//! End to end: the real binary, real processes, real traffic on loopback.
//!
//! One test binary, so that it is linked once. Tests take turns (`world::turn`): on two cores, two
//! rollouts that are judged at once would starve each other's probers, and an honest prober then says
//! so. What is not judged by a prober goes on beside them (`world::beside`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail, also in what its tests share"
)]

mod aa;
mod api;
mod api_refusals;
mod api_renewed;
mod asking;
#[path = "../../../drivers/tests/engines/common/authority.rs"]
mod authority;
mod bad_input;
mod browser;
mod checked_again;
#[path = "../../../report/tests/it/chromium/mod.rs"]
#[allow(dead_code, reason = "the tests of the report use more of it")]
mod chromium;
mod cli;
mod consul;
#[path = "../../../drivers/tests/engines/common/consul.rs"]
#[allow(dead_code, reason = "the tests of the driver use more of it")]
mod consul_bed;
mod counted;
mod crash;
mod crowd;
mod deadline;
mod demo;
mod discovered;
mod disk;
mod doctor;
mod echo;
mod elsewhere;
mod endless;
mod endless_server;
mod events;
mod example;
mod example_consul;
mod example_haproxy;
mod example_nginx;
mod far;
mod files;
mod followed;
#[path = "../../../drivers/tests/engines/common/followers.rs"]
#[allow(dead_code, reason = "the tests of the driver use more of it")]
mod followers;
mod foreign;
mod foretold;
mod full_screen;
mod guards;
mod handover;
mod haproxy;
mod haproxy_bed;
mod haproxy_dying;
mod haproxy_judged;
mod haproxy_timed;
mod hooks;
mod interrupt;
mod judging;
mod kept;
mod kinds;
mod knocks;
mod limits;
mod listening;
mod load;
mod locked;
mod looking;
mod mute;
mod neighbours;
mod nginx;
mod nginx_bed;
mod nobody;
mod notified;
mod operate;
mod outages;
mod parts;
mod past;
mod placed;
mod plan;
mod probed_over_tls;
mod programs;
mod prometheus;
mod reached;
mod records;
mod recreate;
mod reload;
mod repeat;
mod router_contract;
mod sample;
mod scale;
mod scene;
mod secrets;
mod silent;
mod sticky;
mod stop;
mod strategies;
mod supervised;
mod target;
mod telling;
mod terminal;
mod tls;
mod tls_client;
mod together;
mod totals;
mod traffic;
mod two_controllers;
mod untold;
mod upgrade;
mod watch_screen;
mod watching;
mod wire;
mod world;
