//! Findings: the advisories that affect one package at one version, one finding per vulnerability.
//!
//! Databases overlap: a GHSA, a CVE, a PYSEC and a RUSTSEC record may describe one flaw. Records that share an
//! id or an alias become one finding, which keeps every id.

use serde::Serialize;

use crate::advisory::Informational;
use crate::ecosystem::Ecosystem;
use crate::error::ScanError;
use crate::index::{Index, RecordData};
use crate::matching::{Hit, match_package};
use crate::package::Location;
use crate::severity::Severity;

/// One vulnerability, or one warning, in one package at one version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The id that names it: the first of [`Finding::ids`].
    pub id: String,
    /// The ids of the records that matched, the package's own database first.
    pub ids: Vec<String>,
    /// Other ids of the same vulnerability.
    pub aliases: Vec<String>,
    /// Whether it is a vulnerability, or RustSec's kind of warning.
    pub kind: Kind,
    /// OSV's name of the ecosystem.
    pub ecosystem: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its package URL.
    pub purl: String,
    /// One line about it.
    pub summary: String,
    /// How bad it is.
    pub severity: Severity,
    /// Weaknesses, such as `CWE-79`.
    pub cwes: Vec<String>,
    /// When it was published, in seconds since 1970.
    pub published: i64,
    /// When it last changed, in seconds since 1970.
    pub modified: i64,
    /// A page about it.
    pub url: String,
    /// Where the package is named.
    pub locations: Vec<Location>,
    /// Whether only development needs the package.
    pub dev: bool,
    /// The smallest version that mends this finding.
    pub fixed: Option<String>,
    /// The smallest version that mends every finding of the package.
    pub upgrade: Option<String>,
    /// The command that upgrades it, for the first file that names it.
    pub command: Option<String>,
    /// What the policy says of it.
    pub verdict: Verdict,
}

/// Whether a finding is a vulnerability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A vulnerability.
    Vulnerability,
    /// Worth knowing.
    Notice,
    /// Nobody maintains the package.
    Unmaintained,
    /// The package's interface can be used to break memory safety.
    Unsound,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vulnerability => "vulnerability",
            Self::Notice => "notice",
            Self::Unmaintained => "unmaintained",
            Self::Unsound => "unsound",
        }
    }

    /// Whether it is less than a vulnerability.
    pub fn is_warning(self) -> bool {
        self != Self::Vulnerability
    }
}

/// What a policy decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Verdict {
    /// It fails the scan.
    Fails,
    /// It is shown and doesn't fail the scan.
    Passes {
        /// Why not.
        because: String,
    },
    /// Somebody decided to live with it.
    Ignored {
        /// Their reason.
        reason: String,
        /// The last day on which the decision holds, `YYYY-MM-DD`.
        expires: Option<String>,
    },
}

impl Verdict {
    /// Whether it was ignored by a person's decision.
    pub fn is_ignored(&self) -> bool {
        matches!(self, Self::Ignored { .. })
    }
}

impl Finding {
    /// What makes it the same finding in another scan: ecosystem, package, version and id. A scan after new
    /// advisories has new findings where its keys are not among those of the scan before.
    pub fn key(&self) -> String {
        format!(
            "{}|{}|{}|{}",
            self.ecosystem, self.package, self.version, self.id
        )
    }
}

/// A package at a version with all its places, as findings are made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// Its name, as first seen.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is named.
    pub locations: Vec<Location>,
    /// Whether every place says that only development needs it.
    pub dev: bool,
}

/// The findings of one package at one version. Their verdict is `Fails` until a policy decides.
///
/// # Errors
/// Where the index is damaged.
pub fn findings(index: &Index, subject: &Subject) -> Result<Vec<Finding>, ScanError> {
    let matched = match_package(index, &subject.ecosystem, &subject.name, &subject.version)?;
    let mut records = Vec::with_capacity(matched.hits.len());
    for hit in matched.hits {
        records.push((index.record(hit.entry.record)?, hit));
    }
    let groups = group_by_alias(records);
    Ok(groups
        .into_iter()
        .map(|group| finding(subject, group, matched.upgrade.clone()))
        .collect())
}

type Match<'i> = (RecordData<'i>, Hit);

/// Puts records that share an id or alias together; a package has few, so each is compared with each.
fn group_by_alias(records: Vec<Match<'_>>) -> Vec<Vec<Match<'_>>> {
    let mut groups: Vec<Vec<Match<'_>>> = Vec::new();
    for record in records {
        let (mut joined, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| {
            group
                .iter()
                .any(|other| same_vulnerability(&other.0, &record.0))
        });
        groups = apart;
        let mut group: Vec<Match<'_>> = joined.drain(..).flatten().collect();
        group.push(record);
        groups.push(group);
    }
    groups
}

fn same_vulnerability(left: &RecordData<'_>, right: &RecordData<'_>) -> bool {
    let ids = |record: &RecordData<'_>, id: &str| record.id == id || record.aliases.contains(&id);
    ids(right, left.id) || left.aliases.iter().any(|alias| ids(right, alias))
}

/// The package's own database speaks first, then GitHub's, then the rest, CVE last.
fn rank(id: &str) -> u8 {
    match id.split('-').next() {
        Some("PYSEC" | "RUSTSEC" | "GO" | "DSA" | "DLA" | "MAL") => 0,
        Some("GHSA") => 1,
        Some("CVE") => 3,
        _ => 2,
    }
}

fn finding(subject: &Subject, mut group: Vec<Match<'_>>, upgrade: Option<String>) -> Finding {
    group.sort_by(|left, right| (rank(left.0.id), left.0.id).cmp(&(rank(right.0.id), right.0.id)));
    let ids: Vec<String> = group
        .iter()
        .map(|(record, _)| record.id.to_owned())
        .collect();
    let mut aliases: Vec<String> = group
        .iter()
        .flat_map(|(record, _)| &record.aliases)
        .map(|alias| (*alias).to_owned())
        .collect();
    aliases.retain(|alias| !ids.contains(alias));
    aliases.sort_by(|left, right| {
        (std::cmp::Reverse(rank(left)), left).cmp(&(std::cmp::Reverse(rank(right)), right))
    });
    aliases.dedup();
    let severity = group
        .iter()
        .map(|(record, _)| {
            Severity::choose(
                record.vectors.iter().copied(),
                (!record.level.is_empty()).then_some(record.level),
            )
        })
        .reduce(Severity::worse)
        .unwrap_or_default();
    // If one database calls it a vulnerability, it is one.
    let kind = group
        .iter()
        .map(|(_, hit)| kind_of(hit))
        .min()
        .unwrap_or(Kind::Vulnerability);
    let mut cwes: Vec<String> = group
        .iter()
        .flat_map(|(record, _)| &record.cwes)
        .map(|cwe| (*cwe).to_owned())
        .collect();
    cwes.sort();
    cwes.dedup();
    let id = ids.first().cloned().unwrap_or_default();
    let fixed = group
        .iter()
        .filter_map(|(_, hit)| hit.fixed.clone())
        .max_by(|left, right| crate::version::compare(subject.ecosystem.scheme(), left, right));
    let first = |text: fn(&RecordData<'_>) -> String| {
        group
            .iter()
            .map(|(record, _)| text(record))
            .find(|text| !text.is_empty())
    };
    Finding {
        url: first(|record| record.url.to_owned())
            .unwrap_or_else(|| format!("https://osv.dev/vulnerability/{id}")),
        summary: first(|record| record.summary.to_owned()).unwrap_or_default(),
        published: group
            .iter()
            .map(|(record, _)| record.published)
            .min()
            .unwrap_or_default(),
        modified: group
            .iter()
            .map(|(record, _)| record.modified)
            .max()
            .unwrap_or_default(),
        id,
        ids,
        aliases,
        kind,
        ecosystem: subject.ecosystem.to_string(),
        package: subject.name.clone(),
        version: subject.version.clone(),
        purl: subject.ecosystem.purl(&subject.name, &subject.version),
        severity,
        cwes,
        locations: subject.locations.clone(),
        dev: subject.dev,
        fixed,
        upgrade,
        command: None,
        verdict: Verdict::Fails,
    }
}

fn kind_of(hit: &Hit) -> Kind {
    match hit.entry.informational {
        None => Kind::Vulnerability,
        Some(Informational::Notice) => Kind::Notice,
        Some(Informational::Unmaintained) => Kind::Unmaintained,
        Some(Informational::Unsound) => Kind::Unsound,
    }
}
