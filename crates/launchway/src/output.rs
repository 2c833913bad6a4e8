//! Standard output and error: lines, tables and JSON for results; progress and problems on standard error.
//!
//! Results go to standard output and nothing else does, so that a script can read them. Colour and moving bars are used
//! only where a person looks: on a terminal, without `NO_COLOR`.

mod problem;
mod table;

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use launchway_model::Problem;
use serde::Serialize;

pub(crate) use table::Table;

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    color_out: bool,
    color_err: bool,
    moving: bool,
}

/// How a text stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A heading.
    Strong,
    /// What matters less.
    Faint,
    /// All is well.
    Good,
    /// Look at this.
    Warning,
    /// It failed.
    Bad,
}

impl Output {
    /// Looks at the terminal once.
    pub(crate) fn new(json: bool) -> Self {
        let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            json,
            color_out: color && !dumb && std::io::stdout().is_terminal(),
            color_err: color && !dumb && std::io::stderr().is_terminal(),
            moving: !json && !dumb && std::io::stderr().is_terminal(),
        }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether standard error is a terminal that can show a moving bar.
    pub(crate) fn is_moving(self) -> bool {
        self.moving
    }

    /// Whether standard output shows colours.
    pub(crate) fn is_colored(self) -> bool {
        self.color_out
    }

    /// One line of the result.
    ///
    /// # Errors
    /// Standard output cannot be written, such as a pipe whose reader went away.
    pub(crate) fn line(self, text: impl Display) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// The result as an indented JSON document.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(crate) fn document(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(serde_json::to_string_pretty(value)?)?;
        Ok(())
    }

    /// One JSON document on one line, for commands that follow something.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(crate) fn record(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(serde_json::to_string(value)?)?;
        Ok(())
    }

    /// A JSON document with `--json`, else what `human` prints.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(crate) fn result(
        self,
        value: &impl Serialize,
        human: impl FnOnce(Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.json {
            self.document(value)
        } else {
            human(self)
        }
    }

    /// A table on standard output.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(crate) fn table(self, table: &Table) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        write!(out, "{}", table.render(self.color_out))?;
        out.flush()
    }

    /// A word to the person, on standard error. It is not part of the result, so a failure to write is ignored.
    pub(crate) fn note(self, text: impl Display) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// A problem on standard error: JSON with `--json`, else for reading.
    pub(crate) fn problem(self, problem: &Problem) {
        let text = if self.json {
            serde_json::to_string(&serde_json::json!({ "problem": problem }))
                .unwrap_or_else(|_| problem.to_string())
        } else {
            problem::render(problem, self.color_err)
        };
        self.note(text.trim_end_matches('\n'));
    }

    /// A text with its tone, for standard output.
    pub(crate) fn tone(self, tone: Tone, text: impl Display) -> String {
        paint(self.color_out, tone, text)
    }

    /// A text with its tone, for standard error.
    pub(crate) fn note_tone(self, tone: Tone, text: impl Display) -> String {
        paint(self.color_err, tone, text)
    }
}

/// The text between the escape sequences of its tone, or plain.
fn paint(color: bool, tone: Tone, text: impl Display) -> String {
    if !color {
        return text.to_string();
    }
    let code = match tone {
        Tone::Strong => "1",
        Tone::Faint => "2",
        Tone::Good => "32",
        Tone::Warning => "33",
        Tone::Bad => "31",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
