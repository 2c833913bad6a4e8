//! JUnit XML reports, in the dialects that test tools write: one suite or many, nested or not, with or without counts,
//! attributes in any order, CDATA, and encodings other than UTF-8.
//!
//! Counts in a report are not believed: the cases are counted. A report that breaks off keeps what came before.

use launchway_model::build::{TestCase, TestOutcome};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

mod encoding;

/// The most text that is kept of one failure, in bytes.
const MAX_DETAIL: usize = 64 << 10;
/// The most cases of one report.
const MAX_CASES: usize = 500_000;
/// The deepest nesting of elements.
const MAX_DEPTH: usize = 200;

/// Why bytes are not a report.
#[derive(Debug, thiserror::Error)]
pub enum JunitError {
    /// It is XML of another kind, or no XML at all.
    #[error("this is not a JUnit report")]
    NotAReport,
    /// It is broken before its first case.
    #[error("the report is broken at byte {at}: {what}")]
    Broken {
        /// How many bytes of the decoded text are well.
        at: u64,
        /// What the XML reader says.
        what: String,
    },
}

/// Reads a report.
pub fn read(bytes: &[u8]) -> Result<Vec<TestCase>, JunitError> {
    let text = encoding::decode(bytes);
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_end_names = false;
    let mut state = Report::default();
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(_) if !state.cases.is_empty() => break,
            Err(_) if !state.is_report => return Err(JunitError::NotAReport),
            Err(error) => {
                return Err(JunitError::Broken {
                    at: reader.error_position(),
                    what: error.to_string(),
                });
            }
        };
        match event {
            Event::Start(tag) => state.open(&tag)?,
            Event::Empty(tag) => {
                state.open(&tag)?;
                state.close();
            }
            Event::End(_) => state.close(),
            Event::Text(text) => state.text(&text),
            Event::CData(text) => state.text(&text),
            Event::GeneralRef(reference) => state.text(&resolve(&reference)),
            Event::Eof => break,
            _ => {}
        }
        if state.cases.len() >= MAX_CASES {
            break;
        }
    }
    if !state.is_report {
        return Err(JunitError::NotAReport);
    }
    Ok(state.cases)
}

/// What a reader of a report has seen.
#[derive(Debug, Default)]
struct Report {
    is_report: bool,
    /// What each open element is.
    open: Vec<Element>,
    suites: Vec<String>,
    case: Option<TestCase>,
    cases: Vec<TestCase>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Suite,
    Case,
    /// A failure or error of a case: its text is the detail.
    Failure,
    Other,
}

impl Report {
    /// Takes a tag; an error where the first one is not a report's.
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), JunitError> {
        let name = tag.name();
        let name = local(name.as_ref());
        if !self.is_report {
            // A single case without a suite is met too.
            self.is_report = matches!(name, "testsuites" | "testsuite" | "testcase" | "testrun");
            if !self.is_report {
                return Err(JunitError::NotAReport);
            }
        }
        if self.open.len() >= MAX_DEPTH {
            // Deeper elements are of no interest, but their ends must find a partner.
            self.open.push(Element::Other);
            return Ok(());
        }
        let element = match name {
            "testsuite" if self.case.is_none() => {
                self.suites.push(attribute(tag, "name").unwrap_or_default());
                Element::Suite
            }
            "testcase" if self.case.is_none() => {
                self.case = Some(self.new_case(tag));
                Element::Case
            }
            "failure" | "error" | "rerunFailure" | "flakyFailure" | "flakyError" | "rerunError" => {
                self.failure(name, tag)
            }
            "skipped" | "ignored" | "disabled" => {
                if let Some(case) = self
                    .case
                    .as_mut()
                    .filter(|case| case.outcome == TestOutcome::Passed)
                {
                    case.outcome = TestOutcome::Skipped;
                    case.detail = attribute(tag, "message").filter(|message| !message.is_empty());
                }
                Element::Other
            }
            _ => Element::Other,
        };
        self.open.push(element);
        Ok(())
    }

    fn new_case(&self, tag: &BytesStart<'_>) -> TestCase {
        let suite = attribute(tag, "classname")
            .or_else(|| attribute(tag, "class"))
            .filter(|name| !name.is_empty())
            .or_else(|| {
                self.suites
                    .iter()
                    .rev()
                    .find(|name| !name.is_empty())
                    .cloned()
            })
            .unwrap_or_default();
        let skipped = attribute(tag, "status").is_some_and(|status| {
            matches!(
                status.to_ascii_lowercase().as_str(),
                "skipped" | "disabled" | "notrun" | "ignored"
            )
        });
        TestCase {
            suite,
            name: attribute(tag, "name").unwrap_or_else(|| "(without a name)".to_owned()),
            outcome: if skipped {
                TestOutcome::Skipped
            } else {
                TestOutcome::Passed
            },
            seconds: attribute(tag, "time").map_or(0.0, |time| seconds(&time)),
            detail: None,
        }
    }

    /// A failure of a case. Surefire's reruns that passed in the end (`flaky…`) do not make it fail.
    fn failure(&mut self, name: &str, tag: &BytesStart<'_>) -> Element {
        let Some(case) = &mut self.case else {
            // A suite that failed as a whole, such as in its set-up, counts as a failed case of its name.
            if matches!(name, "failure" | "error") && !self.suites.is_empty() {
                let mut case = TestCase {
                    suite: self.suites.last().cloned().unwrap_or_default(),
                    name: "(suite)".to_owned(),
                    outcome: TestOutcome::Failed,
                    seconds: 0.0,
                    detail: None,
                };
                case.detail = attribute(tag, "message");
                self.cases.push(case);
            }
            return Element::Other;
        };
        if !matches!(name, "failure" | "error") {
            return Element::Other;
        }
        let kind = attribute(tag, "type").unwrap_or_default();
        let message = attribute(tag, "message").unwrap_or_default();
        let head = match (kind.is_empty(), message.is_empty()) {
            (false, false) if !message.contains(&kind) => format!("{kind}: {message}"),
            (false, true) => kind,
            _ => message,
        };
        let detail = case.detail.get_or_insert_default();
        if case.outcome == TestOutcome::Failed && !detail.is_empty() {
            append(detail, "\n\n");
        } else {
            detail.clear();
        }
        append(detail, &head);
        case.outcome = TestOutcome::Failed;
        Element::Failure
    }

    fn text(&mut self, text: &str) {
        if self.open.last() != Some(&Element::Failure) {
            return;
        }
        let Some(detail) = self.case.as_mut().and_then(|case| case.detail.as_mut()) else {
            return;
        };
        if detail.is_empty() {
            append(detail, text.trim_start());
        } else if !text.trim().is_empty() || detail.ends_with(|c: char| !c.is_whitespace()) {
            append(detail, text);
        }
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Element::Suite) => drop(self.suites.pop()),
            Some(Element::Case) => {
                if let Some(mut case) = self.case.take() {
                    case.detail = case
                        .detail
                        .map(|detail| detail.trim_end().to_owned())
                        .filter(|detail| !detail.is_empty());
                    self.cases.push(case);
                }
            }
            // The message and the trace that follows it stand on lines of their own.
            _ => {}
        }
    }
}

/// A name without its namespace.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    tag.attributes()
        .with_checks(false)
        .flatten()
        .find(|attribute| local(attribute.key.as_ref()) == name)
        .map(
            |attribute| match attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0) {
                Ok(value) => cut(&value),
                Err(_) => cut(&attribute.value),
            },
        )
}

/// The character that a reference stands for; an unknown one is shown as it is written.
pub(crate) fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> String {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return c.to_string();
    }
    match &**reference {
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "amp" => "&".to_owned(),
        "apos" => "'".to_owned(),
        "quot" => "\"".to_owned(),
        other => format!("&{other};"),
    }
}

/// Seconds as tools write them: `1.5`, `1,234.5`, `0,5`, with or without an `s`.
fn seconds(text: &str) -> f64 {
    let text = text.trim().trim_end_matches('s').trim();
    let number = if text.contains('.') {
        text.replace(',', "")
    } else {
        text.replace(',', ".")
    };
    number
        .parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
        .unwrap_or(0.0)
}

fn cut(text: &str) -> String {
    let mut short = String::new();
    append(&mut short, text);
    short
}

/// Appends as much as there is room for.
fn append(text: &mut String, more: &str) {
    let room = MAX_DETAIL.saturating_sub(text.len());
    let mut end = more.len().min(room);
    while !more.is_char_boundary(end) {
        end -= 1;
    }
    text.push_str(&more[..end]);
}

#[cfg(test)]
mod tests;
