//! Errors in the files that describe an app, each with its place.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use launchway_model::problem::{Place, Problem};
use miette::{Diagnostic, LabeledSpan, SourceCode};

/// Why a tree could not be described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// A file says something that it may not say.
    #[error(transparent)]
    File(#[from] Box<FileError>),
    /// No file of the tree says what to run.
    #[error("nothing in this repository says what to run")]
    Nothing {
        /// The files that were looked for, in order.
        looked_for: Vec<&'static str>,
        /// The files and folders that are at the root, for the person to compare.
        found: Vec<String>,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DescribeError {
    /// The error as it is shown at an edge.
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::File(error) => error.to_problem(),
            Self::Nothing { looked_for, found } => {
                let there = if found.is_empty() {
                    "the tree is empty".to_owned()
                } else {
                    format!("the root holds {}", found.join(", "))
                };
                Problem::invalid(self.to_string())
                    .cause(format!("looked for {}", looked_for.join(", ")))
                    .cause(there)
                    .hint(
                        "Write a Procfile with a line such as `web: python app.py`, or run \
                         `launchway init` for a launchway.toml to edit.",
                    )
            }
            Self::Unreadable { source, .. } => Problem::invalid(self.to_string()).cause(source),
        }
    }
}

impl From<DescribeError> for Problem {
    fn from(error: DescribeError) -> Self {
        error.to_problem()
    }
}

impl Diagnostic for DescribeError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self {
            Self::File(error) => error.help(),
            other => other
                .to_problem()
                .hint
                .map(|hint| Box::new(hint) as Box<dyn fmt::Display>),
        }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match self {
            Self::File(error) => error.source_code(),
            _ => None,
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        match self {
            Self::File(error) => error.labels(),
            _ => None,
        }
    }
}

/// One wrong thing at one place of one file.
#[derive(Debug)]
pub struct FileError {
    message: String,
    label: String,
    hint: Option<String>,
    place: Place,
    span: Range<usize>,
    source: miette::NamedSource<String>,
}

impl FileError {
    /// An error at a span (bytes) of a file's text. `label` says in a few words what is expected there.
    pub fn new(
        file: &str,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        let start = floor_boundary(text, span.start);
        let end = floor_boundary(text, span.end.max(start));
        Self {
            message: message.into(),
            label: label.into(),
            hint: None,
            place: place_of(file, text, start),
            span: start..end,
            source: miette::NamedSource::new(file, text.to_owned()),
        }
    }

    /// Adds how to mend it, as a sentence.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Adds another sentence to the hint.
    #[must_use]
    pub fn or_else(mut self, sentence: &str) -> Self {
        self.hint = Some(match self.hint {
            Some(hint) => format!("{hint} {sentence}"),
            None => sentence.to_owned(),
        });
        self
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is wrong, in words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error as it is shown at an edge.
    pub fn to_problem(&self) -> Problem {
        let mut problem = Problem::invalid(&self.message).at(self.place.clone());
        if !self.label.is_empty() {
            problem = problem.cause(&self.label);
        }
        problem.hint.clone_from(&self.hint);
        problem
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            file, line, column, ..
        } = &self.place;
        write!(f, "{file}:{line}:{column}: {}", self.message)
    }
}

impl std::error::Error for FileError {}

impl Diagnostic for FileError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint
            .as_ref()
            .map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new(
            Some(self.label.clone()),
            self.span.start,
            self.span.len(),
        ))))
    }
}

/// The place of a byte offset in a file's text: lines and columns from 1, columns in characters.
pub fn place_of(file: &str, text: &str, offset: usize) -> Place {
    let offset = floor_boundary(text, offset);
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let end = text[offset..]
        .find('\n')
        .map_or(text.len(), |at| offset + at);
    let line = text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1;
    let shown: String = text[start..end]
        .trim_end_matches('\r')
        .chars()
        .take(400)
        .collect();
    Place {
        file: file.to_owned(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(text[start..offset].chars().count() + 1).unwrap_or(u32::MAX),
        text: Some(shown),
    }
}

/// The nearest offset at or before `offset` that lies between characters.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests;
