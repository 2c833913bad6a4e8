//! The report itself as JSON; its shape is [`crate::report::SCHEMA`].

use crate::report::Report;

pub(super) fn render(report: &Report) -> String {
    serde_json::to_string_pretty(report).expect("a report holds only text keys and finite numbers")
}
