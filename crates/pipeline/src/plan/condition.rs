//! When a stage runs.

use super::{Script, Text};

/// A condition on a build.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// All of them hold.
    All(Vec<Condition>),
    /// One of them holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The branch matches a pattern (`*` within a segment, `**` across).
    Branch(String),
    /// A tag that matches a pattern is built; `None` is any tag.
    Tag(Option<String>),
    /// A pull request is built.
    ChangeRequest,
    /// A variable has a value.
    Environment {
        /// Its name.
        name: String,
        /// The value.
        value: Text,
    },
    /// Two texts are equal.
    Equals {
        /// The one.
        expected: Text,
        /// The other.
        actual: Text,
    },
    /// A file that the commit changed matches a pattern.
    Changed(String),
    /// A file or folder exists in the tree.
    Exists(String),
    /// A shell command succeeds.
    Command(String),
    /// The build was asked for in this way: `deploy`, `push`, `webhook`, `api`, `timer`.
    Cause(String),
    /// An expression is true.
    Script(Script),
}
