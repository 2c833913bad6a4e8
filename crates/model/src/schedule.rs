//! When something recurs: cron expressions as Jenkins writes them.
//!
//! Five fields (minute, hour, day of the month, month, day of the week) with `*`, lists, ranges, steps and names;
//! `H`, which stands for a value that is drawn from a seed, so that a hundred apps that say `H 4 * * *` do not all
//! start at four; `H/15` and `H(0-29)`; `@daily` and its like; several lines, comments, and a first line
//! `TZ=Europe/London`. As in Jenkins, and unlike in Unix' cron, a day has to match both of its fields:
//! `0 0 13 * 5` is Friday the 13th. The values of `H` are Jenkins' own: a job that moves keeps its minute, where its
//! seed (in Jenkins the job's full name) stays.
//!
//! # The hours in which clocks change
//! - A line that names every hour follows the clock's hand through both passes of a repeated hour.
//! - Any other line runs a repeated time once, the first time that it comes; a time that is skipped runs at the moment
//!   at which the clock jumps. So a nightly job runs each night, once.
//!
//! Nothing here waits or reads a clock; the one thing read is the system's database of time zones.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::problem::Problem;

mod field;
mod hash;
mod parse;
mod walk;

use field::Line;

/// The longest text that is read, in bytes, and the most lines.
const MAX_TEXT: usize = 4096;
const MAX_LINES: usize = 64;

/// A cron expression that was understood, with its `H`s drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    text: String,
    zone: Option<TimeZone>,
    lines: Vec<Line>,
}

/// What is wrong with a cron expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct ScheduleError {
    /// The line within the expression, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What was found, in lower case without a full stop.
    pub message: String,
    /// What to write instead, as a sentence.
    pub hint: String,
}

impl ScheduleError {
    /// The error for a person; a front end that knows the file adds the place.
    pub fn problem(&self) -> Problem {
        Problem::invalid(self.to_string()).hint(self.hint.clone())
    }
}

/// Runs that a stretch of time held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// How many there were, counted up to 1,000.
    pub count: u32,
    /// When the last of them was due.
    pub last: Timestamp,
}

impl Schedule {
    /// Reads an expression of one or more lines. `seed` decides the values of `H`: the same seed gives the same times
    /// for ever, so it should name the thing that recurs (`shop/main`), not the moment.
    ///
    /// # Errors
    /// The expression has no line, a line is not understood, its time zone is not known here, or it names a day that
    /// never comes, such as 30 February.
    pub fn parse(text: &str, seed: &str) -> Result<Self, ScheduleError> {
        parse::schedule(text, seed)
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time zone that the expression itself names.
    pub fn zone(&self) -> Option<&TimeZone> {
        self.zone.as_ref()
    }

    /// The first run strictly after a moment. `zone` counts where the expression names none. `None` only where time as
    /// such ends (the year 9999).
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        self.lines
            .iter()
            .filter_map(|line| walk::next_after(line, after, zone))
            .min()
    }

    /// The last run at or before a moment. `None` where there was none within the 40 years before it.
    pub fn last_until(&self, until: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        const HOUR: i64 = 3600;
        let mut seconds = HOUR;
        // The stretch doubles until it holds a run, so that a stretch that does holds few.
        while seconds < 41 * 366 * 24 * HOUR {
            let from = Timestamp::from_second(until.as_second().saturating_sub(seconds))
                .unwrap_or(Timestamp::MIN);
            let mut last = None;
            let mut at = from;
            while let Some(next) = self.next_after(at, zone).filter(|next| *next <= until) {
                last = Some(next);
                at = next;
            }
            if last.is_some() {
                return last;
            }
            seconds *= 2;
        }
        None
    }

    /// The runs after one moment and up to and with another: what was missed while nobody looked. Who catches up runs
    /// once, however many there were.
    pub fn missed(&self, after: Timestamp, until: Timestamp, zone: &TimeZone) -> Option<Missed> {
        const MOST: u32 = 1_000;
        let mut count = 0;
        let mut at = after;
        while count < MOST
            && let Some(next) = self.next_after(at, zone).filter(|next| *next <= until)
        {
            count += 1;
            at = next;
        }
        if count == 0 {
            return None;
        }
        let last = if count == MOST {
            self.last_until(until, zone).unwrap_or(at)
        } else {
            at
        };
        Some(Missed { count, last })
    }
}

#[cfg(test)]
mod tests;
