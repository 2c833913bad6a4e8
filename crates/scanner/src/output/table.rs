//! The table for people: what, where, how bad, the smallest version that mends it, the command to upgrade.

use std::collections::BTreeMap;

use super::Style;
use crate::finding::{Finding, Verdict};
use crate::report::{DataQuality, ExitCode, Report};
use crate::severity::Level;

const RED: &str = "31";
const YELLOW: &str = "33";
const GREEN: &str = "32";
const BOLD: &str = "1";
const DIM: &str = "2";

pub(super) fn render(report: &Report, style: &Style) -> String {
    let mut page = Page {
        text: String::new(),
        style: *style,
    };
    findings(report, &mut page);
    section(
        &mut page,
        "Could not be read",
        report.problems.iter().map(ToString::to_string),
    );
    section(
        &mut page,
        "Not pinned, so not checked",
        report.unresolved.iter().map(|open| {
            format!(
                "{}:{}: {} ({})",
                open.location.file, open.location.line, open.name, open.requirement
            )
        }),
    );
    let skipped = report.skipped.len();
    if skipped > 0 {
        let origins: Vec<&str> = report
            .skipped
            .iter()
            .map(|package| package.name.as_str())
            .take(6)
            .collect();
        let more = if skipped > origins.len() { ", …" } else { "" };
        page.line(
            DIM,
            &format!(
                "{skipped} packages come from no registry and were not checked: {}{more}",
                origins.join(", ")
            ),
        );
    }
    for note in &report.notes {
        page.line(DIM, &format!("note: {note}"));
    }
    for data in report
        .data
        .iter()
        .filter(|data| data.state == DataQuality::Usable)
    {
        let as_of = data
            .as_of
            .map(|time| time.strftime("%Y-%m-%d").to_string())
            .unwrap_or_default();
        page.line(
            DIM,
            &format!(
                "{}: {} advisories, as of {as_of}",
                data.ecosystem, data.records
            ),
        );
    }
    let packages = report.packages.len();
    let files = report.files.len();
    page.line(
        DIM,
        &format!(
            "{packages} {} in {files} {} checked",
            plural(packages, "package", "packages"),
            plural(files, "file", "files")
        ),
    );
    let color = if report.verdict == ExitCode::Clean {
        GREEN
    } else {
        RED
    };
    for reason in &report.reasons {
        page.line(color, reason);
    }
    page.text
}

fn findings(report: &Report, page: &mut Page) {
    let mut packages: BTreeMap<usize, Vec<&Finding>> = BTreeMap::new();
    let mut order: Vec<(&str, &str, &str)> = Vec::new();
    for finding in &report.findings {
        let key = (
            finding.ecosystem.as_str(),
            finding.package.as_str(),
            finding.version.as_str(),
        );
        let place = order
            .iter()
            .position(|known| *known == key)
            .unwrap_or_else(|| {
                order.push(key);
                order.len() - 1
            });
        packages.entry(place).or_default().push(finding);
    }
    for group in packages.values() {
        let first = group[0];
        page.line(
            BOLD,
            &format!("{} {} ({})", first.package, first.version, first.ecosystem),
        );
        for location in first.locations.iter().take(5) {
            page.line(DIM, &format!("  {}:{}", location.file, location.line));
        }
        if first.locations.len() > 5 {
            page.line(
                DIM,
                &format!("  and in {} more places", first.locations.len() - 5),
            );
        }
        let width = group
            .iter()
            .map(|finding| shown_ids(finding).len())
            .max()
            .unwrap_or_default();
        for finding in group {
            page.finding(finding, width);
        }
        match (&first.upgrade, &first.command) {
            (Some(upgrade), Some(command)) => {
                page.line(GREEN, &format!("  upgrade to {upgrade}: {command}"))
            }
            (Some(upgrade), None) => page.line(GREEN, &format!("  upgrade to {upgrade}")),
            _ => page.line(YELLOW, "  no version mends all of these yet"),
        }
        page.text.push('\n');
    }
}

fn section(page: &mut Page, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    page.line(BOLD, title);
    for line in &lines {
        page.line(YELLOW, &format!("  {line}"));
    }
    page.text.push('\n');
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn line(&mut self, color: &str, text: &str) {
        let text = printable(text);
        if self.style.color {
            self.text
                .push_str(&format!("\u{1b}[{color}m{text}\u{1b}[0m\n"));
        } else {
            self.text.push_str(&text);
            self.text.push('\n');
        }
    }

    fn finding(&mut self, finding: &Finding, ids_width: usize) {
        let how_bad = match finding.severity.score {
            _ if finding.kind.is_warning() => finding.kind.as_str().to_owned(),
            Some(score) => format!("{} {score:.1}", finding.severity.level),
            None => finding.severity.level.to_string(),
        };
        let mark = match &finding.verdict {
            Verdict::Fails => "✗",
            Verdict::Passes { .. } => "·",
            Verdict::Ignored { .. } => "–",
        };
        let color = match finding.severity.level {
            _ if finding.verdict != Verdict::Fails => DIM,
            Level::Critical | Level::High | Level::Unknown => RED,
            _ => YELLOW,
        };
        let ids = shown_ids(finding);
        let fixed = finding.fixed.as_ref().map_or_else(
            || "not mended".to_owned(),
            |fixed| format!("mended in {fixed}"),
        );
        self.line(
            color,
            &format!("  {mark} {how_bad:<13} {ids:<ids_width$}  {fixed}"),
        );
        let width = self.style.width.max(40) - 6;
        if !finding.summary.is_empty() {
            self.line(DIM, &format!("      {}", shorten(&finding.summary, width)));
        }
        match &finding.verdict {
            Verdict::Ignored { reason, expires } => {
                let until = expires
                    .as_ref()
                    .map(|day| format!(" until {day}"))
                    .unwrap_or_default();
                self.line(DIM, &format!("      ignored{until}: {reason}"));
            }
            Verdict::Passes { because } if !finding.kind.is_warning() => {
                self.line(DIM, &format!("      passes: {because}"))
            }
            _ => {}
        }
    }
}

/// The ids of the records, and the CVE name that people know it by.
fn shown_ids(finding: &Finding) -> String {
    let cve = finding
        .aliases
        .iter()
        .find(|alias| alias.starts_with("CVE-"));
    finding
        .ids
        .iter()
        .chain(cve)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width - 1).collect();
    short.push('…');
    short
}

/// What lock files and advisories say must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
