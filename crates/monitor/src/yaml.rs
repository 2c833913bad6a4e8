//! YAML with places: what rule files and configurations are read from.
//!
//! A [`Node`] knows its line and column, so that whoever checks a file can point at the mistake. Only what such files use
//! is kept: texts, lists, maps, anchors and aliases (bounded, so that a small file cannot unfold into a large one). Tags
//! and more than one document are refused.

use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::HashMap;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Nodes that a file may unfold to.
const MAX_NODES: usize = 500_000;
/// How deep nodes may be nested.
const MAX_DEPTH: usize = 64;

/// A place in a file; both numbers count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a text is not the YAML that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct YamlError {
    /// Where.
    pub place: Place,
    /// What was expected.
    pub message: String,
}

impl YamlError {
    /// An error at a place.
    #[must_use]
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Yaml,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    /// Nothing, `~` or `null`.
    Null,
    /// A text or number as it is written.
    Scalar {
        /// The characters.
        text: String,
        /// Whether it was in quotes, hence is no number, boolean or null.
        quoted: bool,
    },
    /// A list.
    List(Arc<Vec<Node>>),
    /// Pairs in the order of the file, keys unique.
    Map(Arc<Vec<(Node, Node)>>),
}

impl Node {
    /// The text of a scalar, however it is written; the empty text for nothing.
    ///
    /// # Errors
    /// It is a list or map.
    pub fn text(&self) -> Result<&str, YamlError> {
        match &self.value {
            Yaml::Scalar { text, .. } => Ok(text),
            Yaml::Null => Ok(""),
            _ => Err(YamlError::at(
                self.place,
                format!("expected a text, found {}", self.kind()),
            )),
        }
    }

    /// The items of a list; none for nothing.
    ///
    /// # Errors
    /// It is something else.
    pub fn list(&self) -> Result<&[Self], YamlError> {
        match &self.value {
            Yaml::List(items) => Ok(items),
            Yaml::Null => Ok(&[]),
            _ => Err(YamlError::at(
                self.place,
                format!("expected a list, found {}", self.kind()),
            )),
        }
    }

    /// The pairs of a map; none for nothing.
    ///
    /// # Errors
    /// It is something else.
    pub fn map(&self) -> Result<&[(Self, Self)], YamlError> {
        match &self.value {
            Yaml::Map(pairs) => Ok(pairs),
            Yaml::Null => Ok(&[]),
            _ => Err(YamlError::at(
                self.place,
                format!("expected a map, found {}", self.kind()),
            )),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// It is something else, or a number of another kind.
    pub fn number<T: std::str::FromStr>(&self) -> Result<T, YamlError> {
        self.text()?.parse().map_err(|_| {
            YamlError::at(
                self.place,
                format!("expected a number, found {}", self.kind()),
            )
        })
    }

    /// A boolean: `true` or `false`.
    ///
    /// # Errors
    /// It is something else.
    pub fn boolean(&self) -> Result<bool, YamlError> {
        match &self.value {
            Yaml::Scalar {
                text,
                quoted: false,
            } if text.eq_ignore_ascii_case("true") => Ok(true),
            Yaml::Scalar {
                text,
                quoted: false,
            } if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(YamlError::at(
                self.place,
                format!("expected true or false, found {}", self.kind()),
            )),
        }
    }

    /// A duration such as `1h30m`, in ms.
    ///
    /// # Errors
    /// It is something else.
    pub fn duration(&self) -> Result<i64, YamlError> {
        let text = self.text()?;
        // Without a unit only zero is a duration in such files.
        let plain_number = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        match crate::api::parse_duration(text) {
            Some(0) => Ok(0),
            Some(milliseconds) if !plain_number => Ok(milliseconds),
            _ => Err(YamlError::at(
                self.place,
                format!(
                    "not a valid duration string: {}",
                    crate::labels::quoted(text)
                ),
            )),
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn kind(&self) -> String {
        match &self.value {
            Yaml::Null => "nothing".to_owned(),
            Yaml::Scalar { text, .. } => crate::labels::quoted(text),
            Yaml::List(_) => "a list".to_owned(),
            Yaml::Map(_) => "a map".to_owned(),
        }
    }
}

/// The error for a key that `of` (such as "a rule file") does not have.
pub(crate) fn unknown(key: &Node, of: &str, known: &[&str]) -> YamlError {
    YamlError::at(
        key.place,
        format!(
            "{} is no field of {of}; it has {}",
            key.kind(),
            known.join(", ")
        ),
    )
}

/// Notes an error and goes on without the value.
pub(crate) fn noted<T>(errors: &mut Vec<YamlError>, result: Result<T, YamlError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

/// A map of texts.
pub(crate) fn text_pairs(node: &Node, errors: &mut Vec<YamlError>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (key, value) in noted(errors, node.map()).unwrap_or(&[]) {
        if let (Ok(key), Some(value)) = (key.text(), noted(errors, value.text())) {
            pairs.push((key.to_owned(), value.to_owned()));
        }
    }
    pairs
}

/// Reads one document. An empty text is [`Yaml::Null`].
///
/// # Errors
/// It is not YAML, or too large or deep.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut document = None;
    loop {
        let (event, place) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) => {
                if document.is_some() {
                    return Err(YamlError::at(
                        place,
                        "expected one document, found a second one",
                    ));
                }
                let (event, place) = reader.next()?;
                document = Some(if event == Event::DocumentEnd {
                    Node {
                        place,
                        value: Yaml::Null,
                    }
                } else {
                    reader.node(event, place, 0)?
                });
            }
            _ => {}
        }
    }
    Ok(document.unwrap_or(Node {
        place: Place { line: 1, column: 1 },
        value: Yaml::Null,
    }))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), YamlError> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((
                event,
                Place {
                    line: span.start.line(),
                    column: span.start.col() + 1,
                },
            )),
            Some(Err(error)) => {
                let place = Place {
                    line: error.marker().line(),
                    column: error.marker().col() + 1,
                };
                Err(YamlError::at(place, error.info()))
            }
            None => Ok((Event::StreamEnd, Place::default())),
        }
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), YamlError> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(YamlError::at(
                place,
                format!("the file has more than {MAX_NODES} values"),
            ));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, YamlError> {
        self.count(1, place)?;
        if depth > MAX_DEPTH {
            return Err(YamlError::at(
                place,
                format!("values are nested more than {MAX_DEPTH} deep"),
            ));
        }
        let before = self.nodes;
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(YamlError::at(
                        place,
                        "expected an anchor that was defined before",
                    ));
                };
                // Shared, but whoever walks the tree sees it again, so it counts again.
                self.count(size, place)?;
                return Ok(node);
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(YamlError::at(place, "tags are not supported"));
            }
            Event::Scalar(text, style, anchor, None) => {
                let quoted = style != ScalarStyle::Plain;
                let null = !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null {
                    Yaml::Null
                } else {
                    Yaml::Scalar {
                        text: text.into_owned(),
                        quoted,
                    }
                };
                (anchor, value)
            }
            Event::SequenceStart(anchor, None) => {
                let mut items = Vec::new();
                loop {
                    let (event, place) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, place, depth + 1)?);
                }
                (anchor, Yaml::List(items.into()))
            }
            Event::MappingStart(anchor, None) => (anchor, self.map(depth)?),
            _ => return Err(YamlError::at(place, "expected a value")),
        };
        let node = Node { place, value };
        if anchor > 0 {
            self.anchors
                .insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Yaml, YamlError> {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        let mut known = std::collections::HashSet::new();
        loop {
            let (event, place) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Yaml::Map(pairs.into()));
            }
            let key = self.node(event, place, depth + 1)?;
            if !known.insert(key.text()?.to_owned()) {
                return Err(YamlError::at(
                    key.place,
                    format!("{} is given twice", key.kind()),
                ));
            }
            let (event, place) = self.next()?;
            let value = self.node(event, place, depth + 1)?;
            pairs.push((key, value));
        }
    }
}
