//! What a scan of an app's dependencies found, as it is stored, shown and sent; the scanner's own report has more.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::BuildId;

/// The most findings that one report keeps; [`ScanReport::more`] counts the rest.
pub const MOST_FINDINGS: usize = 1000;

/// How a scan ended. Only the first of them means that nothing stands against a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScanVerdict {
    /// Nothing was found that breaks the policy.
    Clean,
    /// Findings break the policy.
    Findings,
    /// A file could not be read, so that more may be hidden in it.
    Unreadable,
    /// There are no advisories for an ecosystem, or they are older than the policy allows.
    Unknown,
}

/// How bad a finding is, from best to worst; what nobody rated counts as the worst.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// No harm.
    None,
    /// CVSS 0.1 to 3.9.
    Low,
    /// CVSS 4.0 to 6.9.
    Medium,
    /// CVSS 7.0 to 8.9.
    High,
    /// CVSS 9.0 to 10.
    Critical,
    /// Nobody rated it.
    Unknown,
}

impl FindingLevel {
    /// The word that stands for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
            Self::Unknown => "unrated",
        }
    }
}

/// One vulnerability, or one warning, in one package at one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScanFinding {
    /// The advisory: `PYSEC-2023-74`.
    pub id: String,
    /// Other ids of the same vulnerability.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// OSV's name of the ecosystem.
    pub ecosystem: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// How bad it is.
    pub level: FindingLevel,
    /// Its CVSS score, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// One line about it.
    pub summary: String,
    /// A page about it.
    pub url: String,
    /// The file and line that name the package: `requirements.txt:3`.
    pub place: String,
    /// The smallest version that mends every finding of the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// The command that upgrades the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether it breaks the policy.
    pub fails: bool,
    /// Whether it is a warning (unmaintained, unsound) rather than a vulnerability.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    /// Why somebody decided to live with it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

impl ScanFinding {
    /// What makes it the same finding in another scan of the app.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.ecosystem, self.package, self.id)
    }

    /// Whether it counts: a vulnerability that nobody decided to live with.
    pub fn counts(&self) -> bool {
        !self.warning && self.ignored.is_none()
    }

    /// It in one line: `PYSEC-2023-74 (medium) in requests 2.30.0 (requirements.txt:3): upgrade to 2.31.0`.
    pub fn line(&self) -> String {
        let mend = match &self.fixed {
            Some(fixed) => format!("upgrade to {fixed}"),
            None => "no version mends it yet".to_owned(),
        };
        format!(
            "{} ({}) in {} {} ({}): {mend}",
            self.id,
            self.level.word(),
            self.package,
            self.version,
            self.place
        )
    }
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScanReport {
    /// When it was made.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// How it ended.
    pub verdict: ScanVerdict,
    /// The verdict in words, a sentence a reason.
    pub reasons: Vec<String>,
    /// How many packages were looked at.
    pub packages: u64,
    /// Of when the oldest advisories are that it needed.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advisories: Option<Timestamp>,
    /// What was found, worst first.
    pub findings: Vec<ScanFinding>,
    /// How many findings were left out for their number.
    #[serde(default)]
    pub more: u64,
    /// What else a person should know: files that could not be read, rules without use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a scan leaves for the step that started it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanSummary {
    /// What was found.
    pub report: ScanReport,
    /// The reports that were written, as they were named.
    pub written: Vec<String>,
}

/// A scan in short, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScanBrief {
    /// The build whose tree was scanned.
    pub build: BuildId,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// How it ended.
    pub verdict: ScanVerdict,
    /// How many findings there are.
    pub counts: FindingCounts,
    /// In a few words: `1 critical, 2 medium`, `none known`.
    pub words: String,
}

/// How many findings there are of each level; those that somebody ignored, and warnings, stand apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct FindingCounts {
    /// Critical ones.
    pub critical: u64,
    /// High ones.
    pub high: u64,
    /// Medium ones.
    pub medium: u64,
    /// Low ones, and those of no harm.
    pub low: u64,
    /// Those that nobody rated.
    pub unknown: u64,
    /// Warnings.
    pub warnings: u64,
    /// Those that somebody decided to live with.
    pub ignored: u64,
}

impl FindingCounts {
    /// All vulnerabilities that nobody ignored.
    pub fn total(self) -> u64 {
        self.critical + self.high + self.medium + self.low + self.unknown
    }

    /// In words, worst first: `1 critical, 2 medium`; empty where there is none.
    pub fn words(self) -> String {
        [
            (self.critical, "critical"),
            (self.high, "high"),
            (self.medium, "medium"),
            (self.low, "low"),
            (self.unknown, "unrated"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect::<Vec<_>>()
        .join(", ")
    }
}

impl ScanReport {
    /// How many there are of each level.
    pub fn counts(&self) -> FindingCounts {
        let mut counts = FindingCounts::default();
        for finding in &self.findings {
            let place = match (&finding.ignored, finding.warning, finding.level) {
                (Some(_), ..) => &mut counts.ignored,
                (None, true, _) => &mut counts.warnings,
                (None, false, FindingLevel::Critical) => &mut counts.critical,
                (None, false, FindingLevel::High) => &mut counts.high,
                (None, false, FindingLevel::Medium) => &mut counts.medium,
                (None, false, FindingLevel::Low | FindingLevel::None) => &mut counts.low,
                (None, false, FindingLevel::Unknown) => &mut counts.unknown,
            };
            *place += 1;
        }
        counts
    }

    /// It in short.
    pub fn brief(&self, build: BuildId) -> ScanBrief {
        ScanBrief {
            build,
            at: self.at,
            verdict: self.verdict,
            counts: self.counts(),
            words: self.words(),
        }
    }

    /// The findings that break the policy.
    pub fn failing(&self) -> impl Iterator<Item = &ScanFinding> {
        self.findings.iter().filter(|finding| finding.fails)
    }

    /// The report in a few words: `1 critical, 2 medium`, `none known`, `not known: no advisories for PyPI`.
    pub fn words(&self) -> String {
        let counts = self.counts().words();
        match (self.verdict, counts.is_empty()) {
            (ScanVerdict::Unknown, true) => "not known".to_owned(),
            (ScanVerdict::Unreadable, true) => "unreadable".to_owned(),
            (_, true) => "none known".to_owned(),
            (_, false) => counts,
        }
    }
}

/// When a green build becomes a release although its dependencies have known vulnerabilities, and what counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ScanPolicy {
    /// Findings this bad keep a build from becoming a release: `any`, `low`, `medium`, `high`, `critical`, a CVSS score
    /// such as `7.5`, or `never`.
    pub fail_on: String,
    /// Only findings that some version mends.
    pub fixable_only: bool,
    /// Only findings that have been public for this many days.
    pub grace_days: Option<u32>,
    /// Unmaintained and unsound packages as well.
    pub warnings: bool,
    /// What only development needs as well.
    pub dev: bool,
    /// The greatest age of the advisories in days.
    pub max_data_age_days: Option<u32>,
    /// Folders and files to scan, relative to the tree.
    pub paths: Vec<String>,
    /// Patterns of files to leave out.
    pub exclude: Vec<String>,
    /// A file of decisions to live with a finding, beside `launchway-ignore.toml`.
    pub ignore_file: Option<String>,
}

impl Default for ScanPolicy {
    fn default() -> Self {
        Self {
            fail_on: "never".to_owned(),
            fixable_only: false,
            grace_days: None,
            warnings: false,
            dev: true,
            max_data_age_days: None,
            paths: vec![".".to_owned()],
            exclude: Vec::new(),
            ignore_file: None,
        }
    }
}

impl ScanPolicy {
    /// Whether it may refuse a release.
    pub fn is_gate(&self) -> bool {
        self.fail_on != "never"
    }
}
