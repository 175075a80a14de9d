//! Metrics, and how they are asked for: `GET /metrics`, on the admin socket or over TCP.
//!
//! A text is made when somebody asks. What is in it stands in `told`, how it is written in `text`, and what other proxies
//! add to it in `together`.

mod asked;
mod text;
mod together;
mod told;

pub(crate) use asked::answer;
pub use asked::{open, serve};
pub use text::{Dialect, Kind, Labels, Text};
pub(crate) use together::{Theirs, lasting, together};

use crate::census::AppCensus;
use crate::life::Shared;

/// Everything that is counted here, as text.
pub(crate) fn tell(dialect: Dialect, shared: &Shared, apps: &[AppCensus]) -> String {
    let mut text = Text::new(dialect);
    told::write(&mut text, shared, apps);
    text.finish()
}
