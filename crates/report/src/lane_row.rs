//! One lane as a row of words, as terminal and Markdown show it. The headings are theirs.
//!
//! Nothing is counted here: that is done in `lanes`.

use crate::document::LaneFacts;
use crate::figures::{count, span, span_or_dash};

/// Name, sent, failed, median, 99th percentile and longest time to last byte, longest gap, detection floor.
pub(crate) fn lane_row(lane: &LaneFacts) -> [String; 8] {
    [
        lane.lane.name().to_owned(),
        count(lane.sent),
        count(lane.failed),
        span_or_dash(lane.ttlb_p50_us),
        span_or_dash(lane.ttlb_p99_us),
        span_or_dash(lane.ttlb_max_us),
        span(lane.longest_gap_us),
        span_or_dash(lane.detection_floor_us),
    ]
}
