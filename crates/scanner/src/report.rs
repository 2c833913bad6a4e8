//! The report of a scan: what was read, what was found, what could not be known, and the verdict.
//!
//! [`Report`] is also the JSON output. Its shape is versioned by [`SCHEMA`]: fields are added, never changed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::finding::{Finding, Verdict};
use crate::lockfile::Kind;
use crate::package::{Location, Origin};
use crate::policy::Policy;
use crate::severity::Level;

/// The version of the JSON report.
pub const SCHEMA: &str = "launchway-scan/1";

/// How a scan ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitCode {
    /// Nothing was found that fails the policy.
    Clean = 0,
    /// Findings that fail the policy.
    Findings = 1,
    /// Files that could not be read, so that more may be hidden in them.
    Errors = 2,
    /// An ecosystem in the tree has no advisory data, or data older than the policy allows.
    NoData = 3,
}

impl ExitCode {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// This scanner's version.
    pub scanner_version: &'static str,
    /// When the scan was made.
    pub generated_at: Timestamp,
    /// The project's name.
    pub project: String,
    /// The policy that decided.
    pub policy: Policy,
    /// The verdict.
    pub verdict: ExitCode,
    /// The verdict in words, one sentence a reason.
    pub reasons: Vec<String>,
    /// What advisory data there was for each ecosystem in the tree.
    pub data: Vec<DataState>,
    /// The files that were read.
    pub files: Vec<ScannedFile>,
    /// Every package at every version.
    pub packages: Vec<Component>,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// Requirements without one version.
    pub unresolved: Vec<Open>,
    /// Packages from elsewhere than a registry, which were not matched.
    pub skipped: Vec<Skipped>,
    /// Files and lines that could not be read.
    pub problems: Vec<Problem>,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// The advisory data of one ecosystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataState {
    /// OSV's name of the ecosystem.
    pub ecosystem: String,
    /// How many records there are for it.
    pub records: u32,
    /// How old the data is: when it was last fetched, or its newest record was modified.
    pub as_of: Option<Timestamp>,
    /// Whether it is good enough.
    pub state: DataQuality,
}

/// Whether an ecosystem's data is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataQuality {
    /// It is.
    Usable,
    /// There is none.
    Missing,
    /// It is older than the policy allows.
    TooOld,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScannedFile {
    /// Its path, relative to the scanned folder.
    pub path: Arc<str>,
    /// Its kind; `None` for a file that was only included by another.
    pub kind: Kind,
    /// How many packages it names.
    pub packages: usize,
}

/// A package at a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// OSV's name of the ecosystem.
    pub ecosystem: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its package URL.
    pub purl: String,
    /// Whether only development needs it.
    pub dev: bool,
    /// Where it is named.
    pub locations: Vec<Location>,
}

/// A requirement without one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Open {
    /// Where.
    pub location: Location,
    /// OSV's name of the ecosystem.
    pub ecosystem: String,
    /// Of what.
    pub name: String,
    /// What the file says instead.
    pub requirement: String,
}

/// A package from elsewhere than a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// Where it is named.
    pub location: Location,
    /// OSV's name of the ecosystem.
    pub ecosystem: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// The column, from 1; 0 for the line as a whole.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.line > 0 && self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Report {
    /// Findings that fail the policy.
    pub fn failing(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Fails)
    }

    /// How many failing findings there are of each level, worst first, levels without any left out.
    pub fn failing_by_level(&self) -> Vec<(Level, usize)> {
        let levels = [
            Level::Critical,
            Level::High,
            Level::Medium,
            Level::Low,
            Level::None,
            Level::Unknown,
        ];
        let counts = levels.map(|level| {
            (
                level,
                self.failing()
                    .filter(|finding| finding.severity.level == level)
                    .count(),
            )
        });
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Draws the verdict from what the report holds. Data comes before errors and errors before findings, since
    /// what is unknown weighs more than what is known; the reasons name all of them.
    pub(crate) fn conclude(&mut self) {
        let mut reasons = Vec::new();
        let mut verdict = ExitCode::Clean;
        let failing = self.failing().count();
        if failing > 0 {
            let levels: Vec<String> = self
                .failing_by_level()
                .iter()
                .map(|(level, count)| format!("{count} {level}"))
                .collect();
            let noun = if failing == 1 {
                "finding fails"
            } else {
                "findings fail"
            };
            reasons.push(format!(
                "{failing} {noun} the policy ({}).",
                levels.join(", ")
            ));
            verdict = ExitCode::Findings;
        }
        if !self.problems.is_empty() {
            let places = self.problems.len();
            reasons.push(format!(
                "{places} {} could not be read.",
                if places == 1 { "place" } else { "places" }
            ));
            verdict = ExitCode::Errors;
        }
        for data in &self.data {
            match data.state {
                DataQuality::Usable => continue,
                DataQuality::Missing => reasons.push(format!(
                    "There is no advisory data for {}; nothing can be said about its packages.",
                    data.ecosystem
                )),
                DataQuality::TooOld => {
                    let as_of = data
                        .as_of
                        .map(|time| time.strftime("%Y-%m-%d").to_string())
                        .unwrap_or_default();
                    reasons.push(format!(
                        "The advisory data for {} is of {as_of}, older than the policy allows.",
                        data.ecosystem
                    ));
                }
            }
            verdict = ExitCode::NoData;
        }
        if reasons.is_empty() {
            reasons.push(if self.packages.is_empty() && self.skipped.is_empty() {
                "No packages were found to check.".to_owned()
            } else {
                "Nothing was found that fails the policy.".to_owned()
            });
        }
        self.verdict = verdict;
        self.reasons = reasons;
    }
}

/// A path as reports name it: relative to the root, with `/`.
pub(crate) fn display_path(path: &Path, root: &Path) -> Arc<str> {
    let relative = path
        .strip_prefix(root)
        .ok()
        .filter(|rest| !rest.as_os_str().is_empty());
    let shown = match relative {
        Some(relative) => relative.to_string_lossy().into_owned(),
        // A file that was named outright is its own root.
        None => path.file_name().map_or_else(
            || path.to_string_lossy().into_owned(),
            |name| name.to_string_lossy().into_owned(),
        ),
    };
    Arc::from(if std::path::MAIN_SEPARATOR == '/' {
        shown
    } else {
        shown.replace(std::path::MAIN_SEPARATOR, "/")
    })
}
