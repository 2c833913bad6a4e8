//! One advisory in the OSV schema, read from JSON or YAML, or made from RustSec's own form.
//!
//! Only what the scanner uses is kept. Records may come from anybody: a record that breaks the schema is an
//! error of that record alone, and ecosystems that the scanner doesn't know are left out.

mod rustsec;
pub mod source;

use jiff::Timestamp;

use crate::ecosystem::Ecosystem;
use crate::located::{Node, SyntaxError, Value, json, yaml};

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OSV's own form.
    Json,
    /// The form in which the Python database keeps its records.
    Yaml,
    /// The form in which the Rust database keeps its own: Markdown that begins with TOML.
    RustSec,
}

/// An OSV record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The record's id, such as `PYSEC-2023-62`.
    pub id: String,
    /// Ids of the same vulnerability in other databases.
    pub aliases: Vec<String>,
    /// One line; where the record has none, the first sentence or so of its details.
    pub summary: String,
    /// When it was published, in seconds since 1970.
    pub published: Option<i64>,
    /// When it last changed, in seconds since 1970.
    pub modified: i64,
    /// Whether its publisher withdrew it: such a record never matches.
    pub withdrawn: bool,
    /// CVSS vectors of any version.
    pub vectors: Vec<String>,
    /// The level that the database states in words.
    pub level: Option<String>,
    /// Weaknesses, such as `CWE-79`.
    pub cwes: Vec<String>,
    /// A page about it.
    pub url: Option<String>,
    /// What it affects, in the ecosystems that the scanner knows.
    pub affected: Vec<Affected>,
    /// Names of ecosystems in it that the scanner doesn't know.
    pub unknown_ecosystems: Vec<String>,
}

/// One affected package.
#[derive(Debug, Clone, PartialEq)]
pub struct Affected {
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// Its name, normalised.
    pub name: String,
    /// Ranges of versions; those over git commits are left out.
    pub ranges: Vec<Range>,
    /// Versions by name.
    pub versions: Vec<String>,
    /// RustSec's mark of advisories that are no vulnerabilities.
    pub informational: Option<Informational>,
    /// Whether ranges over git commits were set aside.
    pub has_git_ranges: bool,
}

/// A range of versions: its events in the order of the record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Range {
    /// The events.
    pub events: Vec<Event>,
}

/// Where a range begins or ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Affected from this version on; `0` is before every version.
    Introduced(String),
    /// Not affected from this version on.
    Fixed(String),
    /// Not affected after this version.
    LastAffected(String),
    /// The range says nothing about this version and later ones; `*` is no limit.
    Limit(String),
}

/// Why RustSec published an advisory that is no vulnerability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Informational {
    /// Something worth knowing.
    Notice,
    /// Nobody maintains the package.
    Unmaintained,
    /// The package's interface can be used to break memory safety.
    Unsound,
}

impl Informational {
    /// RustSec's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Unmaintained => "unmaintained",
            Self::Unsound => "unsound",
        }
    }

    fn from_text(text: &str) -> Self {
        match text {
            "unsound" => Self::Unsound,
            "unmaintained" => Self::Unmaintained,
            _ => Self::Notice,
        }
    }
}

/// The longest summary that is kept, in bytes; more is cut at a word.
const SUMMARY_BYTES: usize = 240;

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// Where the text isn't UTF-8, JSON or YAML, or lacks what the OSV schema requires.
    pub fn parse(bytes: &[u8], format: Format) -> Result<Self, SyntaxError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| SyntaxError::at_line(0, "the record is not UTF-8"))?;
        let node = match format {
            Format::Json => json::parse(text)?,
            Format::Yaml => yaml::parse(text)?,
            Format::RustSec => return rustsec::parse(text),
        };
        Self::from_node(&node)
    }

    fn from_node(node: &Node<'_>) -> Result<Self, SyntaxError> {
        node.expect_map("an OSV record")?;
        let id = node.text("id").filter(|id| is_id(id));
        let id = id.ok_or_else(|| {
            SyntaxError::at_line(
                node.line,
                "the record needs an `id` of letters, digits, '-', '.', '_' and ':'",
            )
        })?;
        let modified = node
            .text("modified")
            .ok_or_else(|| SyntaxError::at_line(node.line, "the record has no `modified`"))?;
        let modified = seconds(modified)
            .ok_or_else(|| SyntaxError::at_line(node.line, "`modified` is no RFC 3339 time"))?;
        let specific = node.get("database_specific");
        let mut record = Self {
            id: id.to_owned(),
            aliases: texts(node.get("aliases"))
                .filter(|alias| is_id(alias))
                .map(str::to_owned)
                .collect(),
            summary: summary(node),
            published: node.text("published").and_then(seconds),
            modified,
            withdrawn: matches!(
                node.get("withdrawn"),
                Some(Node {
                    value: Value::Text(_),
                    ..
                })
            ),
            vectors: vectors(node.get("severity")),
            level: specific
                .and_then(|specific| specific.text("severity"))
                .map(str::to_owned),
            cwes: texts(specific.and_then(|specific| specific.get("cwe_ids")))
                .map(str::to_owned)
                .collect(),
            url: reference(node.get("references")),
            affected: Vec::new(),
            unknown_ecosystems: Vec::new(),
        };
        if let Some(affected) = node
            .get("affected")
            .filter(|affected| affected.value != Value::Null)
        {
            for item in affected.expect_list("`affected`")? {
                record.add_affected(item)?;
            }
        }
        Ok(record)
    }

    fn add_affected(&mut self, node: &Node<'_>) -> Result<(), SyntaxError> {
        // A record over git commits alone names no package.
        let Some(package) = node
            .get("package")
            .filter(|package| package.value != Value::Null)
        else {
            return Ok(());
        };
        let (Some(ecosystem), Some(name)) = (package.text("ecosystem"), package.text("name"))
        else {
            return Err(SyntaxError::at_line(
                package.line,
                "a package needs `ecosystem` and `name`",
            ));
        };
        let Some(ecosystem) = Ecosystem::from_osv(ecosystem) else {
            self.unknown_ecosystems.push(ecosystem.to_owned());
            return Ok(());
        };
        let specific = node.get("database_specific");
        let mut affected = Affected {
            name: ecosystem.normalize(name).into_owned(),
            ecosystem,
            ranges: Vec::new(),
            versions: texts(node.get("versions")).map(str::to_owned).collect(),
            informational: specific
                .and_then(|specific| specific.text("informational"))
                .map(Informational::from_text),
            has_git_ranges: false,
        };
        for range in node.get("ranges").map_or(&[][..], Node::items) {
            match range.text("type") {
                Some("SEMVER" | "ECOSYSTEM") => affected.ranges.push(Range::from_node(range)?),
                Some("GIT") => affected.has_git_ranges = true,
                _ => {
                    return Err(SyntaxError::at_line(
                        range.line,
                        "a range's `type` must be SEMVER, ECOSYSTEM or GIT",
                    ));
                }
            }
        }
        if self.vectors.is_empty() {
            self.vectors = vectors(node.get("severity"));
        }
        if self.vectors.is_empty() {
            self.vectors.extend(
                specific
                    .and_then(|specific| specific.text("cvss"))
                    .map(str::to_owned),
            );
        }
        self.affected.push(affected);
        Ok(())
    }
}

impl Range {
    fn from_node(node: &Node<'_>) -> Result<Self, SyntaxError> {
        let mut range = Self::default();
        for event in node.get("events").map_or(&[][..], Node::items) {
            for entry in event.entries() {
                let Some(version) = entry.node.as_text().map(str::to_owned) else {
                    continue;
                };
                range.events.push(match entry.key.as_ref() {
                    "introduced" => Event::Introduced(version),
                    "fixed" => Event::Fixed(version),
                    "last_affected" => Event::LastAffected(version),
                    "limit" => Event::Limit(version),
                    other => {
                        return Err(SyntaxError::at_line(
                            entry.line,
                            format!("`{other}` is no event of a range"),
                        ));
                    }
                });
            }
        }
        Ok(range)
    }
}

/// Ids become file names and page addresses, so they are held to a safe alphabet.
pub(crate) fn is_id(id: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    (1..=100).contains(&id.len()) && id.bytes().all(safe) && !id.starts_with('.')
}

fn texts<'n>(node: Option<&'n Node<'_>>) -> impl Iterator<Item = &'n str> {
    node.map_or(&[][..], Node::items)
        .iter()
        .filter_map(Node::as_text)
}

fn vectors(node: Option<&Node<'_>>) -> Vec<String> {
    node.map_or(&[][..], Node::items)
        .iter()
        .filter_map(|item| item.text("score"))
        .map(str::to_owned)
        .collect()
}

fn reference(node: Option<&Node<'_>>) -> Option<String> {
    let references = node?.items();
    let of_kind = |kind: &str| {
        references
            .iter()
            .find(|item| item.text("type") == Some(kind))
    };
    let chosen = of_kind("ADVISORY")
        .or_else(|| of_kind("WEB"))
        .or_else(|| references.first())?;
    // Pages are linked from HTML reports: only web addresses may pass.
    chosen
        .text("url")
        .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
        .map(str::to_owned)
}

fn summary(node: &Node<'_>) -> String {
    let text = match node.text("summary").map(str::trim) {
        Some(summary) if !summary.is_empty() => summary,
        _ => node.text("details").unwrap_or_default().trim(),
    };
    shorten_summary(text)
}

/// One line of a bounded length, cut at a word.
fn shorten_summary(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if line.len() + word.len() > SUMMARY_BYTES {
            // A single endless word is cut inside, at a character's boundary.
            if line.is_empty() {
                line.extend(word.chars().take(SUMMARY_BYTES / 4));
            }
            line.push('…');
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Reads RFC 3339, and YAML's looser timestamp with a blank for the `T` and UTC understood.
pub(crate) fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let joined = text.replacen(' ', "T", 1);
    let zoned = if joined.len() == 10 {
        format!("{joined}T00:00:00Z")
    } else {
        format!("{joined}Z")
    };
    zoned.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests;
