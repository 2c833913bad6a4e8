//! YAML by `saphyr-parser`'s events, with lines.
//!
//! Plain scalars stay text, so that the version `1.10` and an unquoted timestamp keep their spelling; only
//! `null`, `~`, `true` and `false` are read as what they are. Aliases are refused: no lock file or advisory
//! needs them, and nested ones are YAML's own zip bomb. Only the first document of a stream is read.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{Entry, MAX_DEPTH, MAX_VALUES, Node, SyntaxError, Value};

/// Reads the first document of a YAML stream.
///
/// # Errors
/// At the first place that is not YAML, at an alias, at a key that is not a scalar, and past [`MAX_DEPTH`] or
/// [`MAX_VALUES`].
pub fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    // Containers under construction, with the key that waits for its value.
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut values = 0_usize;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            position(
                error.marker().line(),
                error.marker().col() + 1,
                error.info(),
            )
        })?;
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        let fail = |message: &str| Err(position(span.start.line(), span.start.col() + 1, message));
        values += 1;
        if values > MAX_VALUES {
            return fail("the document holds too many values");
        }
        let finished = match event {
            Event::Alias(_) => return fail("aliases are not accepted here"),
            Event::Scalar(text, style, _, _) => {
                let waits_for_key = matches!(
                    open.last(),
                    Some(Open {
                        key: None,
                        value: Value::Map(_),
                        ..
                    })
                );
                if waits_for_key {
                    if let Some(container) = open.last_mut() {
                        container.key = Some((text, line));
                    }
                    continue;
                }
                Some(Node {
                    line,
                    value: scalar(text, style),
                })
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if matches!(
                    open.last(),
                    Some(Open {
                        key: None,
                        value: Value::Map(_),
                        ..
                    })
                ) {
                    return fail("a key must be a plain scalar");
                }
                if open.len() >= MAX_DEPTH {
                    return fail("the document nests too deeply");
                }
                let value = if matches!(event, Event::SequenceStart(..)) {
                    Value::List(Vec::new())
                } else {
                    Value::Map(Vec::new())
                };
                open.push(Open {
                    line,
                    key: None,
                    value,
                });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|container| Node {
                line: container.line,
                value: container.value,
            }),
            Event::DocumentEnd | Event::StreamEnd => {
                return Ok(Node {
                    line: 1,
                    value: Value::Null,
                });
            }
            _ => None,
        };
        let Some(node) = finished else { continue };
        match open.last_mut() {
            None => return Ok(node),
            Some(Open {
                value: Value::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                key,
                value: Value::Map(entries),
                ..
            }) => {
                if let Some((key, line)) = key.take() {
                    entries.push(Entry { key, line, node });
                }
            }
            Some(_) => {}
        }
    }
    Ok(Node {
        line: 1,
        value: Value::Null,
    })
}

struct Open<'a> {
    line: u32,
    key: Option<(Cow<'a, str>, u32)>,
    value: Value<'a>,
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value<'_> {
    if style == ScalarStyle::Plain {
        match text.as_ref() {
            "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
            "true" | "True" | "TRUE" => return Value::Bool(true),
            "false" | "False" | "FALSE" => return Value::Bool(false),
            _ => {}
        }
    }
    Value::Text(text)
}

fn position(line: usize, column: usize, message: &str) -> SyntaxError {
    SyntaxError {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        message: message.to_owned(),
    }
}
