//! Where a probe that runs alone shows how it goes: in lines, or on the whole terminal; and to whoever asks for
//! its metrics.
//!
//! What is drawn is not worked out here: figures come from `sums`, pictures from `picture`.

use std::cell::RefCell;
use std::io::Stderr;
use std::net::SocketAddr;
use std::rc::Rc;

use ::probe::{Beat, Options};
use model::Fault;
use proxy::exposition;
use tokio::net::TcpListener;

use super::asked::Asked;
use super::picture;
use super::sums::Sums;
use super::teller::{self, Teller};
use super::told;
use crate::clock;
use crate::say::{Whole, redraws};

/// Least time between two pictures, us.
const DRAW_EVERY_US: u64 = 250_000;

/// Where it is shown, and what.
#[derive(Debug)]
pub(super) struct Shown {
    sums: Rc<RefCell<Sums>>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Nowhere,
    Told(Teller<Stderr>),
    All { whole: Whole<Stderr>, asked: Asked, drawn_us: u64, ending: bool },
}

impl Shown {
    /// To nobody.
    pub(super) fn nowhere() -> Self {
        Self { sums: Rc::default(), place: Place::Nowhere }
    }

    /// On stderr: the whole of it when that is wanted and it is a terminal.
    pub(super) fn on_stderr(options: &Options, full_screen: bool, json: bool) -> Self {
        let (rate, stop, url) = (options.rate, options.stop, options.url.to_string());
        let asked = Asked { url, rate, stop, began_unix_ms: clock::unix_ms() };
        let place = if full_screen && redraws() {
            Place::All { whole: Whole::of_stderr(), asked, drawn_us: 0, ending: false }
        } else {
            Place::Told(Teller::new(teller::stderr(json), asked))
        };
        Self { sums: Rc::default(), place }
    }

    /// Answers those who ask for metrics, until it is dropped.
    pub(super) fn serve(
        &self,
        address: SocketAddr,
    ) -> Result<impl Future<Output = ()> + use<>, Fault> {
        let listener: TcpListener = exposition::open(address)?;
        let sums = Rc::clone(&self.sums);
        let tell = Rc::new(move |dialect| told::metrics(dialect, &sums.borrow()));
        Ok(exposition::serve(listener, tell))
    }

    /// Something happened.
    pub(super) fn beat(&mut self, beat: Beat) {
        if let Place::Told(teller) = &mut self.place {
            teller.heed(&beat);
        }
        self.sums.borrow_mut().add(beat);
        if let Place::Told(teller) = &mut self.place {
            teller.tell(&self.sums.borrow());
        }
        self.draw(false);
    }

    /// It was told to end.
    pub(super) fn ending(&mut self) {
        match &mut self.place {
            Place::Nowhere => {}
            Place::Told(teller) => teller.ending(&self.sums.borrow()),
            Place::All { ending, .. } => *ending = true,
        }
        self.draw(true);
    }

    /// Takes away what is only there while it runs.
    pub(super) fn end(self) {
        if let Place::Told(teller) = self.place {
            teller.end(&self.sums.borrow());
        }
    }

    fn draw(&mut self, now: bool) {
        let Place::All { whole, asked, drawn_us, ending } = &mut self.place else { return };
        let sums = self.sums.borrow();
        if now || sums.now_us >= *drawn_us + DRAW_EVERY_US {
            *drawn_us = sums.now_us;
            let lines = picture::lines(asked, &sums, *ending, whole.size());
            whole.draw(lines);
        }
    }
}
