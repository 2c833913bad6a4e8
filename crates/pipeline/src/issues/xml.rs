//! Checkstyle XML, which most linters can write.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Issue, IssuesError, Severity};

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Issue>, IssuesError> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(&text);
    let mut issues = Vec::new();
    let mut file = String::new();
    let mut root = false;
    loop {
        let event = reader.read_event().map_err(|error| {
            IssuesError(format!(
                "it is broken XML at byte {}: {error}",
                reader.error_position()
            ))
        })?;
        match event {
            Event::Eof => break,
            Event::Start(start) | Event::Empty(start) => match start.local_name().as_ref() {
                "checkstyle" => root = true,
                "file" if root => file = attribute(&start, "name"),
                "error" if root => {
                    let source = attribute(&start, "source");
                    issues.push(Issue {
                        file: file.clone(),
                        line: attribute(&start, "line").parse().unwrap_or(0),
                        severity: match attribute(&start, "severity").as_str() {
                            "error" => Severity::Error,
                            "warning" => Severity::Normal,
                            _ => Severity::Low,
                        },
                        rule: source.rsplit('.').next().unwrap_or_default().to_owned(),
                        message: attribute(&start, "message"),
                        new: false,
                    });
                    if issues.len() >= super::MAX {
                        break;
                    }
                }
                _ if !root => {
                    return Err(IssuesError("it is XML, but no checkstyle report".into()));
                }
                _ => {}
            },
            _ => {}
        }
    }
    if root {
        Ok(issues)
    } else {
        Err(IssuesError("it is XML, but no checkstyle report".into()))
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> String {
    element
        .attributes()
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name)
        .map(|attribute| {
            let raw = &attribute.value;
            quick_xml::escape::unescape(raw)
                .map_or_else(|_| raw.to_string(), std::borrow::Cow::into_owned)
        })
        .unwrap_or_default()
}
