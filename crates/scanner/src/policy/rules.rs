//! Decisions to live with a finding: our ignore file, and Dependency-Check's suppression files.
//!
//! ```toml
//! [[ignore]]
//! id = "PYSEC-2022-42969"      # or an alias of it
//! package = "py"               # optional
//! path = "tools/"              # optional: files that begin so
//! reason = "we never read Subversion paths"
//! expires = 2026-01-31         # the last day on which it holds
//! ```

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};

use crate::error::ScanError;
use crate::finding::Finding;
use crate::located::xml::{self, Element};
use crate::located::{Node, SyntaxError, toml};
use crate::lockfile::load;

/// One decision.
#[derive(Debug, Clone)]
pub struct Rule {
    /// File and line, for messages.
    pub source: String,
    /// Why.
    pub reason: String,
    /// The last day on which it holds, in UTC.
    pub expires: Option<Date>,
    /// Whether it comes from a list for many projects, where being of no use is no news.
    pub is_shared: bool,
    what: What,
    whom: Vec<Whom>,
}

/// Which vulnerabilities: any of these.
#[derive(Debug, Clone, Default)]
struct What {
    names: Vec<Pattern>,
    cwes: Vec<String>,
    below: Option<f64>,
    /// Everything in the package.
    all: bool,
}

/// In which packages: all of these.
#[derive(Debug, Clone)]
enum Whom {
    Package(String),
    PathStart(String),
    Path(Pattern),
    Purl(Pattern),
    Coordinates(Pattern),
}

#[derive(Debug, Clone)]
enum Pattern {
    Exact(String),
    Regex(Regex),
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact.eq_ignore_ascii_case(text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl Rule {
    /// Whether it speaks of a finding, expired or not.
    pub fn matches(&self, finding: &Finding) -> bool {
        let ids = || finding.ids.iter().chain(&finding.aliases);
        let what = &self.what;
        let named = what.all
            || what
                .names
                .iter()
                .any(|name| ids().any(|id| name.matches(id)))
            || what.cwes.iter().any(|cwe| finding.cwes.contains(cwe))
            || what
                .below
                .is_some_and(|below| finding.severity.score.is_some_and(|score| score < below));
        named && self.whom.iter().all(|whom| whom.matches(finding))
    }

    /// Whether its last day is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires
            .is_some_and(|last| now.to_zoned(TimeZone::UTC).date() > last)
    }
}

impl Whom {
    fn matches(&self, finding: &Finding) -> bool {
        match self {
            Self::Package(name) => {
                let normal = crate::ecosystem::Ecosystem::from_osv(&finding.ecosystem).is_some_and(
                    |ecosystem| ecosystem.normalize(name) == ecosystem.normalize(&finding.package),
                );
                normal || name.eq_ignore_ascii_case(&finding.package)
            }
            // A decision for one place must not hide the same finding elsewhere.
            Self::PathStart(start) => finding
                .locations
                .iter()
                .all(|location| location.file.starts_with(start.as_str())),
            Self::Path(pattern) => finding
                .locations
                .iter()
                .all(|location| pattern.matches(&location.file)),
            Self::Purl(pattern) => pattern.matches(&finding.purl),
            Self::Coordinates(pattern) => {
                pattern.matches(&format!("{}:{}", finding.package, finding.version))
            }
        }
    }
}

/// Reads an ignore file.
///
/// # Errors
/// Where it can't be read, or a rule lacks its id, reason or expiry: such a rule would hide what nobody decided.
pub fn read_ignore_file(path: &Path) -> Result<Vec<Rule>, ScanError> {
    let wrong = |error: SyntaxError| ScanError::BadConfig {
        path: path.to_owned(),
        message: error.to_string(),
    };
    let text = load(path).map_err(wrong)?;
    parse_ignore(&text, &path.display().to_string()).map_err(wrong)
}

fn parse_ignore(text: &str, source: &str) -> Result<Vec<Rule>, SyntaxError> {
    let document = toml::parse(text)?;
    for entry in document.entries() {
        if entry.key != "ignore" {
            return Err(SyntaxError::at_line(
                entry.line,
                format!("`{}` is not known; expected `[[ignore]]`", entry.key),
            ));
        }
    }
    let Some(list) = document.get("ignore") else {
        return Ok(Vec::new());
    };
    list.expect_list("`ignore`")?
        .iter()
        .map(|table| ignore_rule(table, source))
        .collect()
}

fn ignore_rule(table: &Node<'_>, source: &str) -> Result<Rule, SyntaxError> {
    for entry in table.expect_map("an ignore rule")? {
        if !matches!(
            entry.key.as_ref(),
            "id" | "package" | "path" | "reason" | "expires"
        ) {
            return Err(SyntaxError::at_line(
                entry.line,
                format!(
                    "`{}` is not known; expected id, package, path, reason or expires",
                    entry.key
                ),
            ));
        }
    }
    let line = table
        .entries()
        .first()
        .map_or(table.line, |entry| entry.line);
    let need = |key: &str| {
        let text = table
            .text(key)
            .map(str::trim)
            .filter(|text| !text.is_empty());
        text.ok_or_else(|| SyntaxError::at_line(line, format!("an ignore rule needs `{key}`")))
    };
    let expires = need("expires")?;
    let expires: Date = expires.parse().map_err(|_| {
        SyntaxError::at_line(line, format!("`{expires}` is no date such as 2026-01-31"))
    })?;
    let mut whom = Vec::new();
    whom.extend(
        table
            .text("package")
            .map(|name| Whom::Package(name.to_owned())),
    );
    whom.extend(
        table
            .text("path")
            .map(|path| Whom::PathStart(path.to_owned())),
    );
    Ok(Rule {
        source: format!("{source}:{line}"),
        reason: need("reason")?.to_owned(),
        expires: Some(expires),
        is_shared: false,
        what: What {
            names: vec![Pattern::Exact(need("id")?.to_owned())],
            ..What::default()
        },
        whom,
    })
}

/// Reads a Dependency-Check suppression file. What can't be carried over is told in the notes: rules by file hash
/// or CPE mean nothing where packages are matched by name.
///
/// # Errors
/// Where it can't be read or is no suppression file.
pub fn read_suppressions(path: &Path) -> Result<(Vec<Rule>, Vec<String>), ScanError> {
    let wrong = |error: SyntaxError| ScanError::BadConfig {
        path: path.to_owned(),
        message: error.to_string(),
    };
    let text = load(path).map_err(wrong)?;
    parse_suppressions(&text, &path.display().to_string()).map_err(wrong)
}

fn parse_suppressions(text: &str, source: &str) -> Result<(Vec<Rule>, Vec<String>), SyntaxError> {
    let root = xml::parse(text)?;
    if root.name != "suppressions" {
        return Err(SyntaxError::at_line(
            root.line,
            format!("expected the element `suppressions`, found `{}`", root.name),
        ));
    }
    let (mut rules, mut notes) = (Vec::new(), Vec::new());
    for element in root.children_named("suppress") {
        match suppression(element, source)? {
            Ok(rule) => rules.push(rule),
            Err(reason) => notes.push(format!("{source}:{}: {reason}", element.line)),
        }
    }
    Ok((rules, notes))
}

fn suppression(element: &Element, source: &str) -> Result<Result<Rule, String>, SyntaxError> {
    let mut what = What::default();
    let mut whom = Vec::new();
    let mut reason = String::new();
    let mut foreign = None;
    for child in &element.children {
        match child.name.as_str() {
            "notes" => reason = child.text.split_whitespace().collect::<Vec<_>>().join(" "),
            "packageUrl" => whom.push(Whom::Purl(pattern(child)?)),
            "gav" => whom.push(Whom::Coordinates(pattern(child)?)),
            "filePath" => whom.push(Whom::Path(pattern(child)?)),
            "cve" => what.names.push(Pattern::Exact(child.text.clone())),
            "vulnerabilityName" => what.names.push(pattern(child)?),
            "cwe" => what
                .cwes
                .push(format!("CWE-{}", child.text.trim_start_matches("CWE-"))),
            "cvssBelow" | "cvssV2Below" | "cvssV3Below" | "cvssV4Below" => {
                let below: f64 = child.text.parse().map_err(|_| {
                    SyntaxError::at_line(child.line, format!("`{}` is no score", child.text))
                })?;
                what.below = Some(what.below.map_or(below, |other| other.max(below)));
            }
            other => {
                foreign = Some(format!(
                    "rules by `{other}` mean nothing here, where packages are matched by name; this one is not applied"
                ))
            }
        }
    }
    if let Some(foreign) = foreign {
        return Ok(Err(foreign));
    }
    let names_something = !what.names.is_empty() || !what.cwes.is_empty() || what.below.is_some();
    if !names_something {
        return Ok(Err(
            "this rule names no vulnerability and is not applied".to_owned()
        ));
    }
    // `2025-01-31Z` and full times are both written.
    let expires =
        match element.attribute("until") {
            Some(until) => {
                let day: String = until.chars().take(10).collect();
                Some(day.parse().map_err(|_| {
                    SyntaxError::at_line(element.line, format!("`{until}` is no date"))
                })?)
            }
            None => None,
        };
    if reason.is_empty() {
        reason = "suppressed without a note".to_owned();
    }
    let is_shared = element.attribute("base") == Some("true");
    Ok(Ok(Rule {
        source: format!("{source}:{}", element.line),
        reason,
        expires,
        is_shared,
        what,
        whom,
    }))
}

fn pattern(element: &Element) -> Result<Pattern, SyntaxError> {
    if element.attribute("regex") != Some("true") {
        return Ok(Pattern::Exact(element.text.clone()));
    }
    let sensitive = element.attribute("caseSensitive") == Some("true");
    let regex = RegexBuilder::new(&format!("^(?:{})$", element.text))
        .case_insensitive(!sensitive)
        .size_limit(1 << 20)
        .build();
    regex.map(Pattern::Regex).map_err(|error| {
        SyntaxError::at_line(
            element.line,
            format!("this expression is not understood: {error}"),
        )
    })
}

#[cfg(test)]
mod tests;
