//! TOML by the `toml` crate's spanned tree, with lines.

use std::borrow::Cow;
use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::{Entry, MAX_DEPTH, Node, SyntaxError, Value};

/// The largest document: its parser knows no limit of values, and real lock files of this kind are below 6 MB.
const MAX_TOML_BYTES: usize = 16 << 20;

/// Reads a TOML document.
///
/// # Errors
/// At the first place that is not TOML, and past [`MAX_DEPTH`].
pub fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    if text.len() > MAX_TOML_BYTES {
        return Err(SyntaxError::at_line(
            0,
            format!("the document is larger than {} MiB", MAX_TOML_BYTES >> 20),
        ));
    }
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = lines.position(error.span().unwrap_or_default());
        SyntaxError {
            line,
            column,
            message: error.message().to_owned(),
        }
    })?;
    let value = map(table.into_inner(), &lines, 0)?;
    Ok(Node { line: 1, value })
}

fn map<'a>(table: DeTable<'a>, lines: &Lines<'_>, depth: usize) -> Result<Value<'a>, SyntaxError> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let line = lines.position(key.span()).0;
        let key = key.into_inner();
        entries.push(Entry {
            key,
            line,
            node: node(value, lines, depth + 1)?,
        });
    }
    Ok(Value::Map(entries))
}

fn node<'a>(
    value: Spanned<DeValue<'a>>,
    lines: &Lines<'_>,
    depth: usize,
) -> Result<Node<'a>, SyntaxError> {
    let line = lines.position(value.span()).0;
    if depth > MAX_DEPTH {
        return Err(SyntaxError::at_line(line, "the document nests too deeply"));
    }
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text),
        DeValue::Integer(number) => Value::Text(Cow::Owned(number.as_str().to_owned())),
        DeValue::Float(number) => Value::Text(Cow::Owned(number.as_str().to_owned())),
        DeValue::Boolean(truth) => Value::Bool(truth),
        DeValue::Datetime(time) => Value::Text(Cow::Owned(time.to_string())),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| node(item, lines, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => map(table, lines, depth)?,
    };
    Ok(Node { line, value })
}

/// Where lines begin, to turn byte offsets into lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1))
            .collect();
        Self { text, starts }
    }

    /// Line and column, from 1, of a span's start.
    pub(crate) fn position(&self, span: Range<usize>) -> (u32, u32) {
        let line = self
            .starts
            .partition_point(|start| *start <= span.start)
            .max(1);
        let column = self
            .text
            .get(self.starts[line - 1]..span.start)
            .map_or(0, |before| before.chars().count());
        (
            u32::try_from(line).unwrap_or(u32::MAX),
            u32::try_from(column + 1).unwrap_or(u32::MAX),
        )
    }
}
