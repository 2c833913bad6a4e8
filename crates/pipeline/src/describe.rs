//! From the files of a tree to what to run and how to build it.
//!
//! In this order, each filling in what the ones before left open: a description kept outside the repository or else
//! `launchway.toml`; `Procfile` and `app.json`; detection by the files of a language. Only the tree is read; of the machine
//! only which commands are on its PATH.

use std::path::Path;

use launchway_model::AppName;
use launchway_model::app::AppSpec;

use crate::error::DescribeError;
use crate::plan::Plan;

/// A tree, described.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// What to run.
    pub spec: AppSpec,
    /// How to build it.
    pub plan: Plan,
    /// Both in words, a line each, for people.
    pub words: Vec<String>,
    /// The app's name, where a file says it.
    pub name: Option<AppName>,
    /// The branch that is deployed, where a file says it.
    pub branch: Option<String>,
    /// The text of a launchway.toml that says the same.
    pub toml: String,
}

/// Describes a tree. `outside` is the text of a description kept outside the repository (in the form of a
/// launchway.toml), which wins over the repository's files key by key.
pub fn read(tree: &Path, outside: Option<&str>) -> Result<Described, DescribeError> {
    let _ = (tree, outside);
    Err(DescribeError::Nothing {
        looked_for: Vec::new(),
        found: Vec::new(),
    })
}

/// Checks the text of a launchway.toml (or of a description outside the repository) by itself. `file` is its name in
/// errors.
pub fn check(file: &str, text: &str) -> Result<(), DescribeError> {
    let _ = (file, text);
    Ok(())
}
