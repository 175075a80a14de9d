//! Findings as JSON. Nothing is rounded.

use serde_json::{Value, json};

use super::Findings;
use super::alone::Bare;
use super::marks::marks;
use super::paced::Paced;
use super::tools::Sent;

/// All of them.
pub(crate) fn json(findings: &Findings) -> Value {
    let paced = |paced: &Paced| {
        json!({
            "asked": paced.asked, "pace": paced.pace.to_string(), "error_ppm": paced.error_ppm, "late_us": paced.late_us,
            "own_late_us": paced.own_us, "dispersion": paced.dispersion,
            "cpu_us": paced.cpu_us, "bytes": paced.bytes, "sent": paced.counts[0],
            "failed": paced.counts[1], "not_sent": paced.counts[2], "blind": paced.blind,
            "off_by_others_ms_s": paced.away.others, "off_by_host_ms_s": paced.away.host,
            "server_off_by_host_ms_s": paced.server_away,
        })
    };
    let bare = |bare: Bare| {
        json!({
            "late_us": bare.late_us, "dispersion": bare.dispersion,
            "off_by_others_ms_s": bare.away.others, "off_by_host_ms_s": bare.away.host,
        })
    };
    let sent = |sent: Sent| {
        json!({
            "rate": sent.rate, "cpu_us": sent.cpu_us, "error_ppm": sent.error_ppm,
            "dispersion": sent.dispersion,
        })
    };
    let counts = findings.faults.iter().map(|counts| {
        let rows = counts.classes.iter().map(|(class, wanted, is)| {
            json!({ "class": class.name(), "played": wanted, "counted": is })
        });
        json!({ "story": counts.story, "wrong": counts.wrong(), "classes": rows.collect::<Vec<_>>() })
    });
    json!({
        "machine": findings.machine, "window_s": findings.window.as_secs(),
        "others_share": findings.noise.0, "stolen_share": findings.noise.1,
        "rates": findings.rates.iter().map(paced).collect::<Vec<_>>(),
        "alone": findings.alone.iter().map(|alone| json!({
            "asked": alone.asked, "asleep": bare(alone.asleep), "awake": bare(alone.awake),
        })).collect::<Vec<_>>(),
        "memory": findings.memory.iter().map(|of| json!({
            "lane": of.lane.name(), "bytes": of.bytes,
        })).collect::<Vec<_>>(),
        "highest": findings.highest.as_ref().map(paced),
        "beside": findings.beside.iter().map(|tool| json!({
            "name": tool.name, "fast": sent(tool.fast), "paced": tool.paced.map(sent),
        })).collect::<Vec<_>>(),
        "faults": counts.collect::<Vec<_>>(),
        "freeze": findings.freeze.as_ref().map(|freeze| json!({
            "frozen_s": freeze.frozen_s, "quantiles": freeze.quantiles, "error": freeze.error(),
        })),
        "stopped": findings.standstill.as_ref().map(|stood| json!({
            "stopped_ms": stood.stopped_ms, "said_ms": stood.said_ms, "blamed": stood.blamed,
        })),
        "marks": marks(findings).iter().map(|mark| json!({
            "mark": mark.words, "is": mark.is, "most": mark.most, "met": mark.met(),
            "alone": mark.alone,
        })).collect::<Vec<_>>(),
        "skipped": findings.skipped,
    })
}
