//! What a running build asks of control, and the answers.
//!
//! A runner appends [`crate::runner::RunnerEventKind::Asked`] to its spool and waits for the file `answers/NUMBER.json` in the
//! build's folder ([`answer_path`]). Both only ever appear, so that an agent's link carries them like the rest of a build: the event
//! with the spool, the answer the other way. A runner that no longer waits (the stage was stopped, a time limit met) says
//! so with [`crate::runner::RunnerEventKind::Settled`], as it does for an answer that it took.
//!
//! **Invariant:** a number is asked once and answered once; whoever answers writes the file under another name and renames it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::build::StageId;
use crate::names::BuildId;
use crate::problem::Problem;

/// The name of the folder of answers in a build's folder.
pub const ANSWERS_FOLDER: &str = "answers";

/// Where the answer to a request is.
pub fn answer_path(build: &Path, number: u32) -> PathBuf {
    build.join(ANSWERS_FOLDER).join(format!("{number}.json"))
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// A person's word, before the build goes on.
    Input(InputQuestion),
    /// A build of another app.
    Build {
        /// The app, as the pipeline names it.
        job: String,
        /// Its parameters.
        parameters: BTreeMap<String, String>,
        /// Whether its end is awaited, and not only its place in the queue.
        wait: bool,
    },
    /// The deploy of this build as its tree stands now.
    Deploy,
    /// How the app is: for `systemctl is-active` and `systemctl status`.
    AppStatus,
    /// The last lines that the app wrote: for `journalctl`.
    AppLog {
        /// How many.
        lines: u32,
    },
    /// A mail to send.
    Mail(MailRequest),
    /// A message to a chat's incoming webhook.
    Chat(ChatRequest),
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputQuestion {
    /// The stage that waits.
    pub stage: StageId,
    /// What is asked.
    pub message: String,
    /// What the button says that goes on.
    pub ok: String,
    /// Who is asked, as the pipeline says; nobody in particular where empty.
    #[serde(default)]
    pub submitter: Vec<String>,
    /// What is to be filled in.
    #[serde(default)]
    pub parameters: Vec<InputParameter>,
}

/// A field of a form: of an input, or of a build's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputParameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// What may be given.
    #[serde(flatten)]
    pub kind: InputKind,
}

/// What a field takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputKind {
    /// A text of one line, or of several.
    Text {
        /// What stands there at first.
        default: String,
        /// Whether it may have several lines.
        #[serde(default)]
        lines: bool,
    },
    /// Yes or no.
    Bool {
        /// What stands there at first.
        default: bool,
    },
    /// One of some texts.
    Choice {
        /// The texts; the first stands there at first.
        choices: Vec<String>,
    },
    /// A text that is not shown.
    Password {
        /// Its value where none is given.
        #[serde(default)]
        default: String,
    },
}

impl InputParameter {
    /// The value where none is given.
    pub fn default_value(&self) -> String {
        match &self.kind {
            InputKind::Text { default, .. } | InputKind::Password { default } => default.clone(),
            InputKind::Bool { default } => default.to_string(),
            InputKind::Choice { choices } => choices.first().cloned().unwrap_or_default(),
        }
    }

    /// Checks a given value.
    ///
    /// # Errors
    /// It is none of the choices, or neither true nor false.
    pub fn check(&self, value: &str) -> Result<(), Problem> {
        match &self.kind {
            InputKind::Text { .. } | InputKind::Password { .. } => Ok(()),
            InputKind::Bool { .. } if matches!(value, "true" | "false") => Ok(()),
            InputKind::Bool { .. } => Err(Problem::invalid(format!(
                "`{}` is true or false, not `{value}`",
                self.name
            ))),
            InputKind::Choice { choices } if choices.iter().any(|choice| choice == value) => Ok(()),
            InputKind::Choice { choices } => Err(Problem::invalid(format!(
                "`{}` cannot be `{value}`",
                self.name
            ))
            .hint(format!("It is one of {}.", choices.join(", ")))),
        }
    }
}

/// A mail, before control adds what its settings say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct MailRequest {
    /// Addresses, as written: separated by commas, semicolons or blanks, perhaps with `cc:` or `bcc:` before one.
    pub to: String,
    /// The same, for copies.
    #[serde(default)]
    pub cc: String,
    /// The same, for copies that others do not see.
    #[serde(default)]
    pub bcc: String,
    /// The sender; control's own where empty.
    #[serde(default)]
    pub from: String,
    /// Where answers go.
    #[serde(default)]
    pub reply_to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: String,
    /// Whether the text is HTML.
    #[serde(default)]
    pub html: bool,
    /// Files to attach: a name and a path in the build's folder.
    #[serde(default)]
    pub attachments: Vec<(String, String)>,
}

/// A message to a chat.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// The text.
    pub message: String,
    /// The channel; the webhook's own where empty.
    #[serde(default)]
    pub channel: String,
    /// `good`, `warning`, `danger` or `#rrggbb`.
    #[serde(default)]
    pub color: String,
    /// The webhook's address; control's own where empty.
    #[serde(default)]
    pub url: String,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Answer {
    /// How it went.
    pub outcome: AnswerOutcome,
    /// Who answered, where a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Values that came with it: an input's fields, a build's `number` and `result`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// What to show to the one who asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerOutcome {
    /// As asked; a person said yes.
    Done,
    /// A person said no.
    Aborted,
    /// It could not be done.
    Failed,
}

impl Answer {
    /// It was done.
    pub fn done(lines: Vec<String>) -> Self {
        Self {
            outcome: AnswerOutcome::Done,
            by: None,
            values: BTreeMap::new(),
            lines,
            problem: None,
        }
    }

    /// It could not be done.
    pub fn failed(problem: Problem) -> Self {
        Self {
            outcome: AnswerOutcome::Failed,
            problem: Some(problem),
            ..Self::done(Vec::new())
        }
    }

    /// Adds a value.
    #[must_use]
    pub fn value(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }
}

/// A request of a build as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildRequestRecord {
    /// The build.
    pub build: BuildId,
    /// Its number in the build, from 0.
    pub number: u32,
    /// What is asked.
    pub ask: Ask,
    /// When.
    #[schema(value_type = String)]
    pub asked: Timestamp,
    /// The answer, once there is one.
    pub answer: Option<Answer>,
    /// Whether the build waits for it no more.
    pub settled: bool,
}

/// A person's answer to an input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct InputAnswer {
    /// Whether the build goes on.
    pub approve: bool,
    /// The fields; those that are missing take their defaults.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;
