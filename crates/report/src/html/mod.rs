//! The report as one self-contained HTML file: no link, nothing loaded, and nothing said by its script alone.
//!
//! Everything is drawn from the [`Report`] alone, so a saved report gives the same bytes again.
//! It measures and judges nothing.

mod axis;
mod compare_page;
mod connection_chart;
mod counts;
mod era_chart;
mod ledger;
mod lifelines;
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

pub use compare_page::compare_html;
pub use page::html;
