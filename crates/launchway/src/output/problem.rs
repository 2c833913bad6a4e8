//! A [`Problem`] for reading: the message, its causes, the place in the file with the line itself, the last output, the
//! way to mend it.

use std::fmt;
use std::fmt::Write as _;

use launchway_model::Problem;
use launchway_model::problem::Place;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};

/// The problem as text with its last line end.
pub(super) fn render(problem: &Problem, color: bool) -> String {
    let theme = if color {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(100)
        .with_context_lines(1);
    let report = Report::new(problem);
    let mut text = String::new();
    if handler.render_report(&mut text, &report).is_err() {
        text = format!("error: {problem}\n");
    }
    let mut text = text.trim_start_matches('\n').to_owned();
    if !problem.output.is_empty() {
        text.push_str("  the last output:\n");
        for line in &problem.output {
            let _ = writeln!(text, "    │ {line}");
        }
    }
    text
}

/// A problem as miette reads it.
#[derive(Debug)]
struct Report {
    message: String,
    cause: Option<Cause>,
    help: Option<String>,
    source: Option<OneLine>,
    label: Option<LabeledSpan>,
}

impl Report {
    fn new(problem: &Problem) -> Self {
        let (source, label) = match &problem.place {
            Some(place) => snippet(place),
            None => (None, None),
        };
        let mut message = problem.message.clone();
        if let (Some(place), None) = (&problem.place, &source) {
            let _ = write!(message, " ({}:{}:{})", place.file, place.line, place.column);
        }
        Self {
            message,
            cause: Cause::chain(&problem.causes),
            help: problem.hint.clone(),
            source,
            label,
        }
    }
}

/// The one line that is known of a file, as a source for miette, with the word at the column as its label.
fn snippet(place: &Place) -> (Option<OneLine>, Option<LabeledSpan>) {
    let Some(text) = place.text.clone() else {
        return (None, None);
    };
    let characters = place.column.saturating_sub(1) as usize;
    let column = text
        .char_indices()
        .nth(characters)
        .map_or(text.len(), |(at, _)| at);
    let word = text[column..]
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
        .unwrap_or(text.len() - column);
    let length = word.max(1).min(text.len() - column);
    let label = LabeledSpan::new(Some("here".to_owned()), column, length);
    (
        Some(OneLine {
            file: place.file.clone(),
            number: place.line.saturating_sub(1) as usize,
            text,
        }),
        Some(label),
    )
}

/// A line of a file whose other lines are not known.
#[derive(Debug)]
struct OneLine {
    file: String,
    /// Counts from 0.
    number: usize,
    text: String,
}

impl SourceCode for OneLine {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let whole = SourceSpan::from((0, self.text.len()));
        // Without lines around it, it is asked where the span begins, for the heading; else for the lines to print.
        let column = match (lines_before, self.text.get(..span.offset())) {
            (0, Some(before)) => before.chars().count(),
            _ => 0,
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.file.clone(),
            self.text.as_bytes(),
            whole,
            self.number,
            column,
            1,
        )))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

impl Diagnostic for Report {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.label
            .clone()
            .map(|label| Box::new(std::iter::once(label)) as _)
    }
}

/// One of the causes, with the one below it.
#[derive(Debug)]
struct Cause {
    message: String,
    below: Option<Box<Cause>>,
}

impl Cause {
    fn chain(causes: &[String]) -> Option<Self> {
        causes.iter().rev().fold(None, |below, message| {
            Some(Self {
                message: message.clone(),
                below: below.map(Box::new),
            })
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.below.as_deref().map(|below| below as _)
    }
}

#[cfg(test)]
mod tests;
