//! Tells how a probe goes, in lines: on a terminal a few that are drawn again in place with what happened above them,
//! elsewhere plain lines or JSON.
//!
//! The whole of a terminal is not drawn here, but in `shown`; words come from `words`.

use std::fmt;
use std::io::{self, Write};

use ::probe::Beat;

use super::asked::Asked;
use super::happened::Happened;
use super::step::Step;
use super::sums::Sums;
use super::words;
use crate::say::{Look, Screen, json_line, redraws};

/// Least time between two drawings in place, us.
const DRAW_EVERY_US: u64 = 250_000;
/// Least time between two lines on how it stands, us: for people who read a log, and for programs.
const PLAIN_EVERY_US: u64 = 5_000_000;
const JSON_EVERY_US: u64 = 1_000_000;

/// Where it is told.
pub(super) enum Place<W> {
    /// At the bottom of a terminal.
    Screen(Screen<W>),
    /// In lines that stay.
    Lines(W),
    /// One object a line.
    Json(W),
}

/// What stderr is.
pub(super) fn stderr(json: bool) -> Place<io::Stderr> {
    match (json, redraws()) {
        (true, _) => Place::Json(io::stderr()),
        (_, true) => Place::Screen(Screen::new(io::stderr(), Look::of_stderr())),
        _ => Place::Lines(io::stderr()),
    }
}

/// Tells what happens.
pub(super) struct Teller<W> {
    place: Place<W>,
    asked: Asked,
    happened: Happened,
    drawn_us: u64,
}

impl<W> fmt::Debug for Teller<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").field("happened", &self.happened).finish_non_exhaustive()
    }
}

impl<W: Write> Teller<W> {
    /// Nothing was told yet.
    pub(super) fn new(place: Place<W>, asked: Asked) -> Self {
        let every = match &place {
            Place::Screen(_) => None,
            Place::Lines(_) => Some(PLAIN_EVERY_US),
            Place::Json(_) => Some(JSON_EVERY_US),
        };
        Self { place, asked, happened: Happened::new(every), drawn_us: 0 }
    }

    /// Takes a beat; its sums are told with the next call.
    pub(super) fn heed(&mut self, beat: &Beat) {
        if let Some(header) = &beat.header {
            self.asked.began_unix_ms = header.t0_unix_ms;
        }
        self.happened.heed(beat);
    }

    /// Tells what happened, and how it stands.
    pub(super) fn tell(&mut self, sums: &Sums) {
        let steps = self.happened.steps(sums);
        if matches!(self.place, Place::Screen(_)) {
            let due = sums.now_us >= self.drawn_us + DRAW_EVERY_US;
            if due || !steps.is_empty() {
                self.drawn_us = sums.now_us;
                self.draw(&steps, Some(sums));
            }
        } else {
            self.write(&steps);
        }
    }

    /// Tells that it was told to end.
    pub(super) fn ending(&mut self, sums: &Sums) {
        let step = Step::Ending { at_ms: sums.now_us / 1_000, in_flight: sums.in_flight };
        self.draw(std::slice::from_ref(&step), Some(sums));
        self.write(&[step]);
    }

    /// Tells the rest, and takes away what is only there while it runs.
    pub(super) fn end(mut self, sums: &Sums) {
        let rest = self.happened.rest(sums);
        self.draw(&rest, None);
        self.write(&rest);
    }

    /// On a terminal.
    fn draw(&mut self, steps: &[Step], sums: Option<&Sums>) {
        let Place::Screen(screen) = &mut self.place else { return };
        let began = self.asked.began_unix_ms;
        let stays: Vec<_> = steps.iter().filter_map(|step| words::stays(began, step)).collect();
        let live = sums.map_or_else(Vec::new, |sums| words::status(&self.asked, sums));
        screen.draw(&stays, live);
    }

    /// Elsewhere.
    fn write(&mut self, steps: &[Step]) {
        let began = self.asked.began_unix_ms;
        let plain = matches!(self.place, Place::Lines(_));
        let (Place::Lines(out) | Place::Json(out)) = &mut self.place else { return };
        for step in steps {
            let line = if plain { words::plain(began, step) } else { json_line(step) };
            let Some(line) = line else { continue };
            // When stderr is gone there is nobody left to tell.
            let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
        }
    }
}
