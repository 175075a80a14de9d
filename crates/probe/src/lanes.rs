//! The lanes of a run: opened once, given attempts in turn, closed at the end.
//!
//! A lane that the target does not serve is found out by trying, and is not run. What a lane does
//! with an attempt is its own affair.

use std::rc::Rc;

use model::attempt::{Attempt, Lane};

use crate::events::Events;
use crate::fresh::Fresh;
use crate::http2::Http2;
use crate::keepalive::KeepAlive;
use crate::options::Options;
use crate::orders::Orders;
use crate::site::Site;
use crate::transfer::Transfer;
use crate::websocket::Websocket;

/// A lane that runs.
#[derive(Debug)]
enum Runner {
    Kept(Rc<KeepAlive>),
    Fresh(Rc<Fresh>),
    Http2(Rc<Http2>),
    Websocket(Websocket),
    Transfer(Rc<Transfer>),
    Events(Rc<Events>),
    Orders(Rc<Orders>),
}

/// The lanes that run.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<(Lane, Runner)>);

/// A lane that does not, and why.
pub(crate) type NotRun = (Lane, String);

impl Lanes {
    /// Opens what was asked for and is served, and says what is not.
    pub(crate) async fn open(site: &Rc<Site>, options: &Options) -> (Self, Vec<NotRun>) {
        let (mut lanes, mut not_run) = (Vec::new(), Vec::new());
        for (lane, share) in &options.lanes {
            let rate = f64::from(options.rate) * share;
            match Runner::open(*lane, site, options, rate).await {
                Ok(runner) => lanes.push((*lane, runner)),
                Err(reason) => not_run.push((*lane, reason)),
            }
        }
        (Self(lanes), not_run)
    }

    /// True when this one runs.
    pub(crate) fn has(&self, lane: Lane) -> bool {
        self.0.iter().any(|(runs, _)| *runs == lane)
    }

    /// Takes one attempt to its end. Gives it back with the reason when it cannot.
    pub(crate) fn carry(&self, attempt: Attempt) -> Option<(Attempt, &'static str)> {
        match self.0.iter().find(|(lane, _)| *lane == attempt.lane) {
            Some((_, runner)) => runner.carry(attempt),
            None => Some((attempt, "its lane does not run")),
        }
    }

    /// Looks after what is idle; for about ten times a second.
    pub(crate) fn sweep(&self) {
        for (_, runner) in &self.0 {
            match runner {
                Runner::Kept(lane) => lane.sweep(),
                Runner::Orders(lane) => lane.pool().sweep(),
                _ => {}
            }
        }
    }

    /// Closes every connection and asks what is to be asked at the end.
    pub(crate) async fn close(&self) {
        for (_, runner) in &self.0 {
            match runner {
                Runner::Kept(lane) => lane.close(),
                Runner::Http2(lane) => lane.close().await,
                Runner::Websocket(lane) => lane.close().await,
                Runner::Orders(lane) => lane.close().await,
                Runner::Fresh(_) | Runner::Transfer(_) | Runner::Events(_) => {}
            }
        }
    }
}

impl Runner {
    async fn open(
        lane: Lane,
        site: &Rc<Site>,
        options: &Options,
        rate: f64,
    ) -> Result<Self, String> {
        let shared = Rc::clone(site);
        Ok(match lane {
            Lane::KeepAlive => Self::Kept(Rc::new(KeepAlive::warm(shared, rate))),
            Lane::Idle => Self::Kept(Rc::new(KeepAlive::resting(shared, options.idle_most))),
            Lane::Fresh => Self::Fresh(Rc::new(Fresh::new(shared))),
            Lane::Http2 => Self::Http2(Rc::new(Http2::start(shared).await?)),
            Lane::Websocket => Self::Websocket(Websocket::start(site, options).await?),
            Lane::Upload => Self::Transfer(Rc::new(Transfer::upload(shared, options).await?)),
            Lane::Download => Self::Transfer(Rc::new(Transfer::download(shared, options).await?)),
            Lane::Events => Self::Events(Rc::new(Events::start(shared, options).await?)),
            Lane::Orders => Self::Orders(Rc::new(Orders::start(shared, options, rate).await?)),
        })
    }

    fn carry(&self, attempt: Attempt) -> Option<(Attempt, &'static str)> {
        /// Lets the lane go on by itself.
        macro_rules! spawn {
            ($lane:expr) => {{
                let lane = Rc::clone($lane);
                tokio::task::spawn_local(async move { lane.carry(attempt).await });
            }};
        }
        match self {
            Self::Kept(lane) => spawn!(lane),
            Self::Fresh(lane) => spawn!(lane),
            Self::Http2(lane) => spawn!(lane),
            Self::Transfer(lane) => spawn!(lane),
            Self::Events(lane) => spawn!(lane),
            Self::Orders(lane) => spawn!(lane),
            Self::Websocket(lane) => {
                let back = lane.carry(attempt)?;
                return Some((back, "the WebSocket lane has ended"));
            }
        }
        None
    }
}
