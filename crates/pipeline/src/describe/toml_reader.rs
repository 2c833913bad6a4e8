//! Reads the values of a TOML document with their places, so that every complaint can point.
//!
//! A [`Table`] is asked for the keys that it may have; each getter checks the type. What is wrong names what was found,
//! what is expected, and the nearest known word.

use std::collections::BTreeMap;
use std::ops::Range;

use launchway_model::suggest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::quantity;
use crate::error::{DescribeError, FileError};

/// A file's name and text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text }
    }

    /// An error at a span.
    pub(crate) fn error(
        self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> FileError {
        FileError::new(self.file, self.text, span, message, label)
    }

    /// The document, or where its syntax is wrong.
    pub(crate) fn parse(self) -> Result<Spanned<DeTable<'a>>, DescribeError> {
        DeTable::parse(self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().trim().replace('\n', ", ");
            let label = self.syntax_label(&span);
            Box::new(
                self.error(span, message, label)
                    .hint(Some("Text stands in quotes, a list in brackets: `key = \"text\"`, `key = [\"a\", \"b\"]`.".to_owned())),
            )
            .into()
        })
    }

    fn syntax_label(self, span: &Range<usize>) -> String {
        let found = self.text.get(span.clone()).unwrap_or_default();
        let found: String = found.chars().take(24).collect();
        if found.trim().is_empty() {
            "here".to_owned()
        } else {
            format!("found `{}`", found.trim())
        }
    }
}

/// A text with its span.
pub(crate) type Text = (String, Range<usize>);

/// A table of the document, with the words for it in errors.
#[derive(Debug, Clone)]
pub(crate) struct Table<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) table: &'a DeTable<'a>,
    /// Where it starts.
    pub(crate) span: Range<usize>,
    /// What it is called: "launchway.toml", "[process.web]".
    pub(crate) title: String,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Table<'a> {
    pub(crate) fn error(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> DescribeError {
        Box::new(self.source.error(span, message, label)).into()
    }

    pub(crate) fn error_hint(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        hint: impl Into<String>,
    ) -> DescribeError {
        Box::new(
            self.source
                .error(span, message, label)
                .hint(Some(hint.into())),
        )
        .into()
    }

    /// Refuses the first key that is not one of `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), DescribeError> {
        let unknown = self
            .table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        let Some(key) = unknown else { return Ok(()) };
        let name = key.get_ref();
        let hint = suggest::did_you_mean(name, known.iter().copied())
            .unwrap_or_else(|| format!("{} may have: {}.", self.title, known.join(", ")));
        Err(self.error_hint(
            key.span(),
            format!("{} has no key `{name}`", self.title),
            "unknown key",
            hint,
        ))
    }

    /// The keys with their spans, in the order in which they are written.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Range<usize>, &'a Value<'a>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
            .collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.table.get(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The span of a key's value, or of the table.
    pub(crate) fn span_of(&self, key: &str) -> Range<usize> {
        self.get(key).map_or(self.span.clone(), Spanned::span)
    }

    fn wrong_type(&self, key: &str, value: &Value<'_>, expected: &str) -> DescribeError {
        self.error(
            value.span(),
            format!(
                "`{key}` in {} must be {expected}, not {}",
                self.title,
                found(value.get_ref())
            ),
            format!("expected {expected}"),
        )
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<Text>, DescribeError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => Err(self.error(
                value.span(),
                format!("`{key}` holds a zero character"),
                "a text without it",
            )),
            DeValue::String(text) => Ok(Some((text.clone().into_owned(), value.span()))),
            _ => Err(self.wrong_type(key, value, "a text")),
        }
    }

    /// A text that is not empty.
    pub(crate) fn word(&self, key: &str) -> Result<Option<Text>, DescribeError> {
        match self.text(key)? {
            Some((text, span)) if text.trim().is_empty() => Err(self.error(
                span,
                format!("`{key}` in {} is empty", self.title),
                "a text",
            )),
            other => Ok(other),
        }
    }

    /// A text or a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<Text>>, DescribeError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::String(_) => Ok(self.word(key)?.map(|text| vec![text])),
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) if text.trim().is_empty() => Err(self.error(
                        item.span(),
                        format!("`{key}` in {} has an empty entry", self.title),
                        "a text",
                    )),
                    DeValue::String(text) => Ok((text.replace('\0', ""), item.span())),
                    _ => Err(self.wrong_type(key, item, "a list of texts")),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            _ => Err(self.wrong_type(key, value, "a text or a list of texts")),
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, DescribeError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.get_ref() {
                DeValue::Boolean(flag) => Ok(Some(*flag)),
                _ => Err(self.wrong_type(key, value, "true or false")),
            },
        }
    }

    /// A whole number within bounds.
    pub(crate) fn count(
        &self,
        key: &str,
        bounds: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<u32>, DescribeError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(number) = value.get_ref() else {
            return Err(self.wrong_type(key, value, &expected));
        };
        u32::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| bounds.contains(number))
            .map(Some)
            .ok_or_else(|| {
                self.error(
                    value.span(),
                    format!("`{key}` in {} is out of bounds", self.title),
                    format!("expected {expected}"),
                )
            })
    }

    /// A number of at least 0, as thousandths.
    pub(crate) fn thousandths(&self, key: &str) -> Result<Option<u32>, DescribeError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number: Option<f64> = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (0.001..=1024.0).contains(&number) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the bounds above keep it within 1 to 1,024,000"
                )]
                let thousandths = (number * 1000.0).round() as u32;
                Ok(Some(thousandths))
            }
            _ => Err(self.wrong_type(key, value, "a number such as 0.5")),
        }
    }

    /// A time such as `"90s"`, in milliseconds.
    pub(crate) fn duration(&self, key: &str) -> Result<Option<u64>, DescribeError> {
        self.quantity(
            key,
            "a time",
            "\"10s\", \"5m\" or \"1h30m\"",
            quantity::duration_ms,
        )
    }

    /// A size such as `"256M"`, in bytes.
    pub(crate) fn size(&self, key: &str) -> Result<Option<u64>, DescribeError> {
        self.quantity(
            key,
            "a size",
            "\"512K\", \"256M\" or \"1G\"",
            quantity::size_bytes,
        )
    }

    fn quantity(
        &self,
        key: &str,
        what: &str,
        examples: &str,
        read: fn(&str) -> Option<u64>,
    ) -> Result<Option<u64>, DescribeError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::String(text) => read(text).map(Some).ok_or_else(|| {
                self.error_hint(
                    value.span(),
                    format!("`{key}` in {} is not {what}: `{text}`", self.title),
                    format!("expected {what}"),
                    format!("Write a number with its unit, such as {examples}."),
                )
            }),
            DeValue::Integer(number) => Err(self.error_hint(
                value.span(),
                format!("`{key}` in {} has no unit", self.title),
                format!("expected {what} in quotes"),
                format!("Write the unit: {examples}; found {}.", number.as_str()),
            )),
            _ => Err(self.wrong_type(key, value, &format!("{what} such as {examples}"))),
        }
    }

    /// A table below this one.
    pub(crate) fn table(&self, key: &str) -> Result<Option<Self>, DescribeError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => Ok(Some(self.below(key, table, value.span()))),
                _ => Err(self.wrong_type(key, value, &format!("a table, `[{key}]`"))),
            },
        }
    }

    /// The tables of a list of tables, `[[key]]`.
    pub(crate) fn tables(&self, key: &str) -> Result<Vec<Self>, DescribeError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let items: Vec<&Value<'a>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::Table(table) => {
                return Err(self.error_hint(
                    value.span(),
                    format!(
                        "`{key}` in {} is one table, not a list of tables",
                        self.title
                    ),
                    format!("expected [[{key}]]"),
                    format!(
                        "Write `[[{key}]]` with two brackets on each side{}.",
                        if key == "route" || table.contains_key("name") {
                            ""
                        } else {
                            ", and give it a `name`"
                        }
                    ),
                ));
            }
            _ => {
                return Err(self.wrong_type(key, value, &format!("a list of tables, `[[{key}]]`")));
            }
        };
        items
            .into_iter()
            .map(|item| match item.get_ref() {
                DeValue::Table(table) => {
                    let mut below = self.below(key, table, item.span());
                    below.title = format!("[[{key}]]");
                    Ok(below)
                }
                _ => Err(self.wrong_type(key, item, &format!("a list of tables, `[[{key}]]`"))),
            })
            .collect()
    }

    /// A value that is a table, as one with this title.
    pub(crate) fn below(&self, key: &str, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        let title = match self.title.strip_prefix('[') {
            Some(title) if !self.title.starts_with("[[") => {
                format!("[{}.{key}]", title.trim_end_matches(']'))
            }
            _ => format!("[{key}]"),
        };
        Self {
            source: self.source,
            table,
            span,
            title,
        }
    }

    /// A table of names and texts (numbers and booleans are taken as text).
    pub(crate) fn variables(&self, key: &str) -> Result<BTreeMap<String, String>, DescribeError> {
        let Some(table) = self.table(key)? else {
            return Ok(BTreeMap::new());
        };
        let mut variables = BTreeMap::new();
        for (name, span, value) in table.entries() {
            check_variable(&table, name, span)?;
            let text = match value.get_ref() {
                DeValue::String(text) => text.replace('\0', ""),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                _ => return Err(table.wrong_type(name, value, "a text")),
            };
            variables.insert(name.to_owned(), text);
        }
        Ok(variables)
    }
}

/// Refuses a name that no shell takes for a variable.
pub(crate) fn check_variable(
    table: &Table<'_>,
    name: &str,
    span: Range<usize>,
) -> Result<(), DescribeError> {
    if is_variable(name) {
        return Ok(());
    }
    Err(table.error_hint(
        span,
        format!("`{name}` is not the name of a variable"),
        "a name",
        "A variable's name has letters, digits and underscores, and does not start with a digit.",
    ))
}

/// Whether a shell takes a text for a variable's name.
pub(crate) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What a value is, in words.
pub(crate) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => {
            let shown: String = text.chars().take(32).collect();
            format!("the text \"{shown}\"")
        }
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
