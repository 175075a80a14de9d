//! The report as one self-contained HTML file: no script, no link, nothing loaded.
//!
//! Everything is drawn from the [`Report`] alone, so a saved report gives the same bytes again.
//! It measures and judges nothing.

mod axis;
mod counts;
mod marks;
mod page;
mod rows;
mod share_chart;
mod socket_chart;
mod svg;
mod switch_chart;
mod tables;
mod trust_panel;
mod ttlb_chart;
mod zoom_chart;

pub use page::html;
