//! An error as a person or a client sees it at an edge: the API, the command line, a build's result, a refused deploy.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What sort of error it is; each has one HTTP status and one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The request or a file that it names is wrong; sending it again as it is will fail again.
    Invalid,
    /// No valid token came with the request.
    Unauthenticated,
    /// The thing named does not exist.
    NotFound,
    /// The thing exists already, or its state does not allow this now.
    Conflict,
    /// A build, a deploy or one of its checks failed; what was serving goes on serving.
    Failed,
    /// A limit was met: disk, memory, a budget.
    Exhausted,
    /// A part of Launchway cannot be reached.
    Unavailable,
    /// A fault of Launchway itself.
    Internal,
}

impl ProblemKind {
    /// The HTTP status that stands for this kind.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Failed => 422,
            Self::Exhausted => 507,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// The exit code of the command line for this kind, as `launchway help exit-codes` documents it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Unauthenticated => 5,
            Self::Unavailable => 6,
            Self::Exhausted => 7,
            Self::Internal => 70,
        }
    }
}

/// An error with all that helps to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What sort of error it is.
    pub kind: ProblemKind,
    /// What went wrong, in lower case without a full stop.
    pub message: String,
    /// What led to it, innermost last: a command's exit, the probe's answer, a system error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// How to mend it, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The file, line and column that it is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The last lines that the app or the command wrote, oldest first, where that helps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

/// A place in a file of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// The file, relative to the repository.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The line itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Problem {
    /// A problem of a kind with its message.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            place: None,
            output: Vec::new(),
        }
    }

    /// The request or a file is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Invalid, message)
    }

    /// Nothing has that name.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, message)
    }

    /// The state does not allow it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Conflict, message)
    }

    /// A build or deploy failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Failed, message)
    }

    /// A part of Launchway cannot be reached.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Unavailable, message)
    }

    /// A fault of our own.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Internal, message)
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what led to it.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds an error and all its sources as causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds the place in a file.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds the last lines of output.
    #[must_use]
    pub fn output(mut self, lines: Vec<String>) -> Self {
        self.output = lines;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(place) = &self.place {
            write!(f, " ({}:{}:{})", place.file, place.line, place.column)?;
        }
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
