//! Steps: the smallest things that a build does.

use std::sync::Arc;

use launchway_model::build::BuildResult;
use launchway_model::problem::Place;

use crate::groovy::Stmt;

use super::{Text, Variable};

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A shell script. `sh -e` runs it, or the interpreter that its first line names after `#!`.
    Run {
        /// The script.
        script: Text,
        /// What to call it in the log and in errors, instead of its first line.
        label: Option<String>,
    },
    /// Steps whose result is known by the files that they read: where the same result was made before, it is taken
    /// from the cache and the steps are left out.
    Make(Make),
    /// Counts the test cases of JUnit XML reports; failed tests make the stage unstable.
    Tests {
        /// Patterns of the reports, relative to the tree.
        reports: Vec<String>,
        /// Whether it is well to find no report.
        allow_empty: bool,
    },
    /// Keeps files with the build.
    Archive {
        /// Patterns of the files, relative to the tree.
        files: Vec<String>,
        /// Patterns of files to leave out.
        except: Vec<String>,
        /// Whether it is well to find no file.
        allow_empty: bool,
    },
    /// Writes a line to the log.
    Echo(Text),
    /// Fails.
    Fail(Text),
    /// Goes on, but unstable.
    Unstable(Text),
    /// Waits, for a number of milliseconds.
    Sleep(u64),
    /// Steps that are tried again when they fail.
    Retry {
        /// How often in all.
        attempts: u32,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Steps with a time limit.
    Timeout {
        /// The limit in milliseconds.
        ms: u64,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Steps with further variables.
    WithEnv {
        /// The variables.
        env: Vec<Variable>,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Steps in a folder below the present one.
    InFolder {
        /// The folder; it is made where it is missing.
        folder: Text,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Steps whose failure has a lesser result and does not end the stage.
    CatchError {
        /// The steps.
        steps: Vec<Step>,
        /// The result of the build when they fail.
        build: BuildResult,
        /// The result of the stage when they fail.
        stage: BuildResult,
        /// What to write to the log when they fail.
        message: Option<Text>,
    },
    /// Empties the present folder.
    DeleteFolder,
    /// What a script decides.
    Script(Script),
}

impl Step {
    /// A shell script that is known now.
    pub fn run(script: impl Into<String>) -> Self {
        Self::Run {
            script: Text::Plain(script.into()),
            label: None,
        }
    }
}

/// What [`Step::Make`] makes and of what.
#[derive(Debug, Clone, PartialEq)]
pub struct Make {
    /// The files and folders that the steps make, relative to the tree.
    pub makes: Vec<String>,
    /// The files that decide the result, relative to the tree, as patterns: lock files.
    pub from: Vec<String>,
    /// Commands whose output decides the result too, such as `python3 --version`.
    pub tools: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A piece of Groovy, kept as its text and place; the front end for Jenkinsfiles interprets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The text.
    pub text: String,
    /// Where it starts.
    pub place: Place,
    /// The statements, parsed; their spans point into the whole file.
    pub code: Arc<[Stmt]>,
}
