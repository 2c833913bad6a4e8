//! What a script computes with.
//!
//! Values are shared between the branches of a `parallel` step, so lists and maps lie behind a lock each. A lock is never
//! held while a script's code runs.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ast::ClosureExpr;
use super::interpreter::Scope;

/// A map that keeps the order in which its keys came, as Groovy's maps do.
#[derive(Debug, Clone, Default)]
pub struct Map {
    entries: Vec<(Value, Value)>,
}

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        self.entries
            .iter()
            .find(|(found, _)| found.equals(key))
            .map(|(_, value)| value)
    }

    /// The value of a text key.
    pub fn get_text(&self, key: &str) -> Option<&Value> {
        self.entries
            .iter()
            .find(|(found, _)| matches!(found, Value::Text(text) if **text == *key))
            .map(|(_, value)| value)
    }

    /// Sets a key's value; gives back the old one.
    pub fn insert(&mut self, key: Value, value: Value) -> Option<Value> {
        match self
            .entries
            .iter_mut()
            .find(|(found, _)| found.equals(&key))
        {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.entries.push((key, value));
                None
            }
        }
    }

    /// Removes a key; gives back its value.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let at = self
            .entries
            .iter()
            .position(|(found, _)| found.equals(key))?;
        Some(self.entries.remove(at).1)
    }

    /// Keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = &(Value, Value)> {
        self.entries.iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromIterator<(Value, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Value, Value)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

/// A closure with the names that it sees.
#[derive(Debug, Clone)]
pub struct Closure {
    /// Its text.
    pub code: Arc<ClosureExpr>,
    pub(super) scope: Scope,
}

/// What a script can catch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The Java class, with its package: `hudson.AbortException`.
    pub class: String,
    /// Its message.
    pub message: Option<String>,
}

/// The result of `text =~ pattern`.
#[derive(Debug)]
pub struct Matcher {
    /// Each match with its groups; group 0 is the whole match.
    pub found: Vec<Vec<Option<Arc<str>>>>,
    /// Whether the pattern matches the whole text.
    pub whole: bool,
    /// The match that `group` speaks of; one more after each `find()`.
    pub at: Mutex<usize>,
}

/// A value.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A decimal number. (Groovy's is a BigDecimal; 15 digits are enough for a pipeline.)
    Decimal(f64),
    /// A text. Interpolation happens when the text is made.
    Text(Arc<str>),
    /// A list; also a range and a set.
    List(Arc<Mutex<Vec<Value>>>),
    /// A map.
    Map(Arc<Mutex<Map>>),
    /// A closure.
    Closure(Arc<Closure>),
    /// An exception.
    Exception(Arc<Exception>),
    /// The result of `=~`.
    Matcher(Arc<Matcher>),
    /// Something of the host's by its name: `env`, `params`, `currentBuild`.
    Host(Arc<str>),
}

/// A list or map nested deeper than this prints as `…`, since a script can put a list into itself.
const MAX_PRINT_DEPTH: usize = 32;

/// Takes a lock; a panic elsewhere leaves the data whole, since no invariant spans two fields.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(Arc::new(Mutex::new(items.into_iter().collect())))
    }

    /// A map.
    pub fn map(entries: impl IntoIterator<Item = (Self, Self)>) -> Self {
        Self::Map(Arc::new(Mutex::new(entries.into_iter().collect())))
    }

    /// Groovy's truth: null, false, 0, empty texts, lists and maps, and a matcher without a match are false.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Decimal(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !locked(items).is_empty(),
            Self::Map(map) => !locked(map).is_empty(),
            Self::Matcher(matcher) => !matcher.found.is_empty(),
            Self::Closure(_) | Self::Exception(_) | Self::Host(_) => true,
        }
    }

    /// Groovy's `==`: numbers by value, lists and maps by their contents.
    pub fn equals(&self, other: &Self) -> bool {
        self.equals_within(other, MAX_PRINT_DEPTH)
    }

    fn equals_within(&self, other: &Self, depth: usize) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Int(_) | Self::Decimal(_), Self::Int(_) | Self::Decimal(_)) => {
                self.as_decimal() == other.as_decimal()
            }
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                if Arc::ptr_eq(a, b) {
                    return true;
                }
                let (a, b) = (locked(a).clone(), locked(b).clone());
                depth > 0
                    && a.len() == b.len()
                    && a.iter().zip(&b).all(|(a, b)| a.equals_within(b, depth - 1))
            }
            (Self::Map(a), Self::Map(b)) => {
                if Arc::ptr_eq(a, b) {
                    return true;
                }
                let (a, b) = (locked(a).clone(), locked(b).clone());
                depth > 0
                    && a.len() == b.len()
                    && a.iter().all(|(key, value)| {
                        b.get(key)
                            .is_some_and(|found| found.equals_within(value, depth - 1))
                    })
            }
            (Self::Closure(a), Self::Closure(b)) => Arc::ptr_eq(a, b),
            (Self::Exception(a), Self::Exception(b)) => a == b,
            (Self::Host(a), Self::Host(b)) => a == b,
            _ => false,
        }
    }

    /// The number as a decimal, where it is one.
    pub fn as_decimal(&self) -> Option<f64> {
        match self {
            #[expect(
                clippy::cast_precision_loss,
                reason = "as Java widens a long to a double"
            )]
            Self::Int(value) => Some(*value as f64),
            Self::Decimal(value) => Some(*value),
            _ => None,
        }
    }

    /// The class's short name, as an error names it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "Boolean",
            Self::Int(_) => "Integer",
            Self::Decimal(_) => "BigDecimal",
            Self::Text(_) => "String",
            Self::List(_) => "List",
            Self::Map(_) => "Map",
            Self::Closure(_) => "Closure",
            Self::Exception(_) => "Exception",
            Self::Matcher(_) => "Matcher",
            Self::Host(_) => "Object",
        }
    }

    /// The text that `toString()` and interpolation give.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.print(&mut out, 0);
        out
    }

    fn print(&self, out: &mut String, depth: usize) {
        if depth > MAX_PRINT_DEPTH {
            out.push('…');
            return;
        }
        // Writing to a String cannot fail.
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => _ = write!(out, "{value}"),
            Self::Int(value) => _ = write!(out, "{value}"),
            Self::Decimal(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                _ = write!(out, "{value:.1}")
            }
            Self::Decimal(value) => _ = write!(out, "{value}"),
            Self::Text(text) => out.push_str(text),
            Self::List(items) => {
                let items = locked(items).clone();
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    item.print(out, depth + 1);
                }
                out.push(']');
            }
            Self::Map(map) => {
                let map = locked(map).clone();
                out.push('[');
                for (at, (key, value)) in map.iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    key.print(out, depth + 1);
                    out.push(':');
                    value.print(out, depth + 1);
                }
                if map.is_empty() {
                    out.push(':');
                }
                out.push(']');
            }
            Self::Closure(_) => out.push_str("Script$_closure"),
            Self::Exception(exception) => {
                out.push_str(&exception.class);
                if let Some(message) = &exception.message {
                    _ = write!(out, ": {message}");
                }
            }
            Self::Matcher(_) => out.push_str("java.util.regex.Matcher"),
            Self::Host(name) => out.push_str(name),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
