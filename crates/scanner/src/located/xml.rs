//! XML by `quick-xml`, as elements that know their lines, for Maven's and Dependency-Check's files.
//!
//! Namespaces are passed over: neither format gives one name two meanings. Document types are passed over too, so
//! that no entity can be declared, and none but the five predefined ones is understood.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::toml::Lines;
use super::{MAX_DEPTH, SyntaxError};

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Its name without prefix.
    pub name: String,
    /// The line on which it begins.
    pub line: u32,
    /// Its attributes, without prefixes.
    pub attributes: Vec<(String, String)>,
    /// Its text, trimmed, without that of its children.
    pub text: String,
    /// Its children.
    pub children: Vec<Element>,
}

impl Element {
    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children of a name.
    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child of a name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Reads a document and gives its root.
///
/// # Errors
/// At the first place that is not well-formed, and past [`MAX_DEPTH`].
pub fn parse(text: &str) -> Result<Element, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::new(text);
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let fail = |message: String| {
            let (line, column) = lines.position(at..at);
            SyntaxError {
                line,
                column,
                message,
            }
        };
        let event = reader
            .read_event()
            .map_err(|error| fail(error.to_string()))?;
        let closed = match event {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(fail("the document nests too deeply".to_owned()));
                }
                open.push(element(&start, lines.position(at..at).0).map_err(fail)?);
                None
            }
            Event::Empty(start) => Some(element(&start, lines.position(at..at).0).map_err(fail)?),
            Event::End(_) => open.pop(),
            Event::Text(content) => {
                if let Some(parent) = open.last_mut() {
                    parent.text.push_str(&content.xml10_content());
                }
                None
            }
            Event::CData(content) => {
                if let Some(parent) = open.last_mut() {
                    parent.text.push_str(&content.xml10_content());
                }
                None
            }
            Event::GeneralRef(reference) => {
                let character = match reference
                    .resolve_char_ref()
                    .map_err(|error| fail(error.to_string()))?
                {
                    Some(character) => character,
                    None => predefined(&reference.into_inner()).ok_or_else(|| {
                        fail("only XML's own five entities are understood".to_owned())
                    })?,
                };
                if let Some(parent) = open.last_mut() {
                    parent.text.push(character);
                }
                None
            }
            Event::Eof => {
                return Err(fail(
                    "the document ends before its root element does".to_owned(),
                ));
            }
            _ => None,
        };
        if let Some(mut element) = closed {
            element.text = element.text.trim().to_owned();
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None => return Ok(element),
            }
        }
    }
}

fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

fn element(start: &BytesStart<'_>, line: u32) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute
            .normalized_value(quick_xml::XmlVersion::Implicit1_0)
            .map_err(|error| error.to_string())?;
        attributes.push((
            attribute.key.local_name().as_ref().to_owned(),
            value.into_owned(),
        ));
    }
    Ok(Element {
        name: start.local_name().as_ref().to_owned(),
        line,
        attributes,
        ..Element::default()
    })
}
