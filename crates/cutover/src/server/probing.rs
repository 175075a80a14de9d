//! One rollout's prober, from its start to its end.
//!
//! It obeys what the machine wants of the prober. What the prober says is heard elsewhere.

use model::Fault;
use probe::control::ToProbe;
use rollout::ProbeWant;
use tokio::sync::mpsc;

use super::layout::Layout;
use super::prober::{Heard, Prober};
use super::tools::Tools;
use crate::config::AppConfig;

/// The prober, as far as this rollout knows it.
#[derive(Debug, Default)]
enum Link {
    #[default]
    NotYet,
    Live(Prober),
    /// It has told its end.
    Ended(Prober),
    Lost,
}

/// One rollout's prober.
#[derive(Debug, Default)]
pub(super) struct Probing {
    link: Link,
    armed: bool,
}

impl Probing {
    /// Reaches the prober of `run` if it is wanted, and arms it. An error means that it is lost.
    pub(super) async fn keep(
        &mut self,
        (tools, run): (&Tools, &str),
        asked: (&AppConfig, &str),
        want: ProbeWant,
        heard: mpsc::Sender<Heard>,
    ) -> Result<(), Fault> {
        if matches!(self.link, Link::NotYet) && want != ProbeWant::Off {
            self.link = Link::Lost;
            self.link = Link::Live(Prober::reach(tools, run, asked, heard).await?);
        }
        // Each switch has something placed across it anew.
        self.armed &= want == ProbeWant::Armed;
        if want == ProbeWant::Armed
            && !self.armed
            && let Link::Live(prober) = &self.link
        {
            self.armed = true;
            prober.tell(ToProbe::Arm).await;
        }
        Ok(())
    }

    /// Finds a prober that an earlier controller started and that this one has not met yet.
    pub(super) async fn find(&mut self, layout: &Layout, run: &str, heard: mpsc::Sender<Heard>) {
        if matches!(self.link, Link::NotYet)
            && let Ok(prober) = Prober::attach(&layout.probe_socket(run), heard).await
        {
            self.link = Link::Live(prober);
        }
    }

    /// Tells it to send nothing more and to write its account.
    pub(super) async fn stop(&self) {
        if let Link::Live(prober) = &self.link {
            prober.tell(ToProbe::Stop).await;
        }
    }

    /// It has told its end.
    pub(super) fn ended(&mut self) {
        self.link = match std::mem::take(&mut self.link) {
            Link::Live(prober) => Link::Ended(prober),
            other => other,
        };
    }

    /// It cannot be reached any more. False when it had told its end.
    pub(super) fn lost(&mut self) -> bool {
        let early = !matches!(self.link, Link::Ended(_));
        if early {
            self.link = Link::Lost;
        }
        early
    }

    /// True while it watches.
    pub(super) const fn live(&self) -> bool {
        matches!(self.link, Link::Live(_))
    }

    /// Resolves when its process has ended.
    pub(super) async fn gone(&mut self) {
        if let Link::Live(prober) | Link::Ended(prober) = &mut self.link {
            prober.gone().await;
        }
    }
}
