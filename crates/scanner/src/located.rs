//! One shape for JSON, YAML and TOML documents in which every value knows its line.
//!
//! Findings name file and line, which the usual deserialisers don't keep. All three readers share the same
//! limits, so that a hostile document ends in an error and never in an exhausted stack or memory.

pub mod json;
pub mod toml;
pub mod xml;
pub mod yaml;

use std::borrow::Cow;
use std::fmt;

/// How deep values may nest. Real lock files stay below 30; npm's first format nests by dependency.
pub const MAX_DEPTH: usize = 200;

/// The largest document that is read, in bytes. The largest real lock files are below 40 MB.
pub const MAX_BYTES: u64 = 64 << 20;

/// The most values that a document may hold: a small text of many empty lists would else fill the memory of a small
/// machine.
pub const MAX_VALUES: usize = 4_000_000;

/// A value and the line, counted from 1, on which it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node<'a> {
    /// The line of its first character.
    pub line: u32,
    /// What it is.
    pub value: Value<'a>,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// JSON's and YAML's null.
    Null,
    /// A truth value.
    Bool(bool),
    /// Text; a number is kept as it was written, since `1.10` is a version and not 1.1.
    Text(Cow<'a, str>),
    /// A sequence.
    List(Vec<Node<'a>>),
    /// A mapping in the order of the document; a repeated key appears twice and the last one counts.
    Map(Vec<Entry<'a>>),
}

/// A key, its line, and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// The line of the key.
    pub line: u32,
    /// The value.
    pub node: Node<'a>,
}

/// Why a document can't be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1; 0 where no line can be told.
    pub line: u32,
    /// Column in characters, from 1; 0 where none can be told.
    pub column: u32,
    /// What was wrong, and what was expected.
    pub message: String,
}

impl SyntaxError {
    /// An error that concerns a line as a whole, or with 0 the whole file.
    pub fn at_line(line: u32, message: impl Into<String>) -> Self {
        Self {
            line,
            column: 0,
            message: message.into(),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.message),
            (line, 0) => write!(f, "line {line}: {}", self.message),
            (line, column) => write!(f, "line {line}, column {column}: {}", self.message),
        }
    }
}

impl std::error::Error for SyntaxError {}

impl<'a> Node<'a> {
    /// The value under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.entries()
            .iter()
            .rev()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// The text under a key of a mapping.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::as_text)
    }

    /// This value, if it is text or a number.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this value is `true`.
    pub fn is_true(&self) -> bool {
        self.value == Value::Bool(true)
    }

    /// The elements of a sequence; empty for everything else.
    pub fn items(&self) -> &[Node<'a>] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping; empty for everything else.
    pub fn entries(&self) -> &[Entry<'a>] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What kind of value this is, in the words of a message.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a truth value",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The entries of what must be a mapping.
    ///
    /// # Errors
    /// Where it is something else; `what` names it.
    pub fn expect_map(&self, what: &str) -> Result<&[Entry<'a>], SyntaxError> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(SyntaxError::at_line(
                self.line,
                format!("{what} must be a mapping, found {}", self.kind()),
            )),
        }
    }

    /// The elements of what must be a list.
    ///
    /// # Errors
    /// Where it is something else; `what` names it.
    pub fn expect_list(&self, what: &str) -> Result<&[Node<'a>], SyntaxError> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(SyntaxError::at_line(
                self.line,
                format!("{what} must be a list, found {}", self.kind()),
            )),
        }
    }
}

#[cfg(test)]
mod tests;
