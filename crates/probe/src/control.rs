//! What a controller and a prober say to each other over the prober's unix socket.
//!
//! Newline-delimited JSON, one message per line, in both directions. The prober listens; one controller
//! speaks with it at a time, may vanish and come back. Types only: the prober's end is in `post`, the
//! controller's in `client`.

use model::attempt::{RunFooter, RunHeader};
use model::window::Window;
use serde::{Deserialize, Serialize};

/// From the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ToProbe {
    /// Get ready for the switch and say `Armed`.
    Arm,
    /// Send nothing more, wait for what is in flight, say `Ended` and end.
    Stop,
}

/// From the prober.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", content = "what", rename_all = "snake_case")]
pub enum FromProbe {
    /// The first message on each connection.
    Hello(RunHeader),
    /// What ended since the window before; about every 100 ms. The first window after a controller
    /// was away covers the time of its absence.
    Window(Window),
    /// Every lane works, the sockets stand, a connection rests, and what is slow on purpose has just begun.
    /// Said again on each connection.
    Armed,
    /// The run is over; nothing follows.
    Ended(RunFooter),
}
