//! What a build does, whichever file says so: the one shape that every front end lowers to and the engine runs.
//!
//! # How a front end lowers
//! - The front end does everything that can be known before the build: a matrix becomes the stages of its cells
//!   ([`Matrix::expand`]), an alias its command, a default its value. The engine meets no syntax.
//! - A stage is one of four bodies: steps, stages one after the other, stages side by side. Its `when` is asked
//!   before it starts, its environment made, its steps run, then its `post` in the order of [`PostWhen::ORDER`].
//! - Text that is only known while the build runs (a GString of a Jenkinsfile, `credentials()`) is [`Text::Script`];
//!   everything from launchway.toml is [`Text::Plain`].
//! - A step that a script decides on (`script { … }`, a call of a helper function) is [`Step::Script`]: the
//!   interpreter runs in the engine's thread of that stage and hands each step that it reaches to the engine as a
//!   [`Step`], so that steps mean the same whoever calls them.
//! - What cannot be honoured is the front end's error, before the build starts, never the engine's.
//!
//! Nothing here does I/O; a plan is data.

use std::collections::BTreeMap;

use launchway_model::build::{BuildResult, StageId, StageInfo};
use launchway_model::problem::Place;
use launchway_model::request::InputParameter;

mod condition;
mod matrix;
mod service;
mod step;

pub use condition::Condition;
pub use matrix::Matrix;
pub use service::Service;
pub use step::{Make, Script, Step};

/// All that a build does.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Its stages, one after the other.
    pub stages: Vec<Stage>,
    /// Variables for all of its commands, in order: a later one may use an earlier one.
    pub env: Vec<Variable>,
    /// How it runs.
    pub options: Options,
    /// Where it runs.
    pub agent: Agent,
    /// What follows its stages.
    pub post: Vec<Post>,
    /// Names of systemd units that mean the app itself.
    pub units: Vec<String>,
    /// Commands by another name than the machine has: the name, and the machine's command.
    pub aliases: BTreeMap<String, String>,
    /// Patterns of test reports that are read after the last stage; empty where the stages name their own.
    pub reports: Vec<String>,
}

impl Plan {
    /// All stages, numbered in the order in which they are written, parents before children.
    pub fn infos(&self) -> Vec<StageInfo> {
        fn walk(stages: &[Stage], parent: Option<StageId>, infos: &mut Vec<StageInfo>) {
            for stage in stages {
                let id = StageId(u32::try_from(infos.len()).unwrap_or(u32::MAX));
                infos.push(StageInfo {
                    id,
                    parent,
                    name: stage.name.clone(),
                    parallel: matches!(stage.body, Body::Parallel { .. }),
                });
                walk(stage.children(), Some(id), infos);
            }
        }
        let mut infos = Vec::new();
        walk(&self.stages, None, &mut infos);
        infos
    }
}

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name for people; unique among its siblings is usual but not needed.
    pub name: String,
    /// What it does.
    pub body: Body,
    /// Variables for its commands, over the plan's.
    pub env: Vec<Variable>,
    /// How it runs.
    pub options: Options,
    /// Where it runs; `None` is where its parent runs.
    pub agent: Option<Agent>,
    /// Whether it runs; `None` is always.
    pub when: Option<Condition>,
    /// What runs beside it.
    pub services: Vec<Service>,
    /// What a person is asked before it runs.
    pub input: Option<Input>,
    /// What follows it.
    pub post: Vec<Post>,
    /// Where it is written, for errors.
    pub place: Option<Place>,
}

impl Stage {
    /// A stage of steps and nothing else.
    pub fn new(name: impl Into<String>, steps: Vec<Step>) -> Self {
        Self {
            name: name.into(),
            body: Body::Steps(steps),
            env: Vec::new(),
            options: Options::default(),
            agent: None,
            when: None,
            services: Vec::new(),
            input: None,
            post: Vec::new(),
            place: None,
        }
    }

    /// The stages within it.
    pub fn children(&self) -> &[Stage] {
        match &self.body {
            Body::Steps(_) => &[],
            Body::Stages(stages) | Body::Parallel { stages, .. } => stages,
        }
    }

    /// How many numbers it and all stages within it take.
    pub fn size(&self) -> u32 {
        1 + self.children().iter().map(Self::size).sum::<u32>()
    }
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// What is asked.
    pub message: Text,
    /// What the button says that goes on.
    pub ok: Option<String>,
    /// Who is asked, separated by commas.
    pub submitter: Option<Text>,
    /// The variable that gets the name of the one who answered.
    pub submitter_parameter: Option<String>,
    /// What is to be filled in; each field becomes a variable of the stage.
    pub parameters: Vec<InputParameter>,
    /// Whether the stage's condition is asked first.
    pub after_when: bool,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Steps, one after the other, until one fails.
    Steps(Vec<Step>),
    /// Stages, one after the other, until one fails.
    Stages(Vec<Stage>),
    /// Stages side by side.
    Parallel {
        /// The stages.
        stages: Vec<Stage>,
        /// Whether the first failure ends the others.
        fail_fast: bool,
    },
}

/// A variable and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Text,
}

impl Variable {
    /// A variable with a value that is known.
    pub fn plain(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: Text::Plain(value.into()),
        }
    }
}

/// A text, known now or only when it is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Text {
    /// As it stands.
    Plain(String),
    /// The value of an expression, as text.
    Script(Script),
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

/// How a plan or a stage runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// The longest that it may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How often it is tried in all; `None` and 1 are the same.
    pub attempts: Option<u32>,
    /// Whether an unstable stage ends the plan.
    pub stop_on_unstable: bool,
    /// Whether every parallel body fails fast.
    pub fail_fast: bool,
    /// Options that the engine's owner acts on, by their Jenkins name: `buildDiscarder`, `disableConcurrentBuilds`.
    pub noted: BTreeMap<String, String>,
}

/// Where something runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Agent {
    /// Anywhere.
    #[default]
    Any,
    /// Nowhere by itself: each stage says.
    None,
    /// On an agent whose labels satisfy an expression such as `linux && !arm`.
    Label(String),
}

/// Steps that follow a stage or a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// When they run.
    pub when: PostWhen,
    /// The steps.
    pub steps: Vec<Step>,
}

/// When post steps run, by the result so far (and, for the first four after `Always`, by the last build's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostWhen {
    /// In any case.
    Always,
    /// The result differs from the last build's.
    Changed,
    /// The last build failed or was unstable, this one succeeded.
    Fixed,
    /// The last build was better than this one.
    Regression,
    /// It was cancelled or met its time limit.
    Aborted,
    /// It failed.
    Failure,
    /// It succeeded.
    Success,
    /// It is unstable.
    Unstable,
    /// It is anything but a success.
    Unsuccessful,
    /// In any case, after all others.
    Cleanup,
}

impl PostWhen {
    /// The order in which post steps run, as Jenkins has it.
    pub const ORDER: [Self; 10] = [
        Self::Always,
        Self::Changed,
        Self::Fixed,
        Self::Regression,
        Self::Aborted,
        Self::Failure,
        Self::Success,
        Self::Unstable,
        Self::Unsuccessful,
        Self::Cleanup,
    ];

    /// Whether it applies to a result, given the last build's.
    pub fn applies(self, result: BuildResult, last: Option<BuildResult>) -> bool {
        match self {
            Self::Always | Self::Cleanup => true,
            Self::Changed => last != Some(result),
            Self::Fixed => {
                result == BuildResult::Success
                    && matches!(last, Some(BuildResult::Failure | BuildResult::Unstable))
            }
            Self::Regression => last.is_some_and(|last| last < result),
            Self::Aborted => result == BuildResult::Aborted,
            Self::Failure => result == BuildResult::Failure,
            Self::Success => result == BuildResult::Success,
            Self::Unstable => result == BuildResult::Unstable,
            Self::Unsuccessful => result != BuildResult::Success,
        }
    }
}

#[cfg(test)]
mod tests;
