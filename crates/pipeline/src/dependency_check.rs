//! Reports of OWASP Dependency-Check in XML, and the thresholds that its Jenkins plugin has for them.
//!
//! A report may come from our own scanner or from Dependency-Check itself: what counts is read alone, which is each
//! dependency's vulnerabilities that nobody suppressed, with their severity. Sources: the published schemas 2.0 to 4.0, and
//! the plugin's documentation for what a threshold means.
//!
//! **Invariant:** a severity that is not known counts in no level, as in the plugin, but is shown.

use launchway_model::build::BuildResult;
use launchway_model::scan::{FindingCounts, FindingLevel, ScanFinding};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::junit;

/// The most findings of one report.
const MAX_FINDINGS: usize = 100_000;
/// The deepest nesting of elements.
const MAX_DEPTH: usize = 100;
/// Where a report has what counts, below its list of dependencies.
const VULNERABILITY: &str = "dependency/vulnerabilities/vulnerability";
/// The most of one text that is kept, in bytes.
const MAX_TEXT: usize = 16 << 10;

/// Why bytes are not a report.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReportError {
    /// It is XML of another kind, or no XML at all.
    #[error("this is not a report of Dependency-Check")]
    NotAReport,
    /// It breaks off, or is no XML from somewhere on.
    #[error("the report is broken at byte {at}: {what}")]
    Broken {
        /// Where.
        at: u64,
        /// What the XML reader says.
        what: String,
    },
    /// It names more than a report can.
    #[error(
        "the report names more than {MAX_FINDINGS} vulnerabilities, or nests deeper than {MAX_DEPTH} elements"
    )]
    TooLarge,
}

/// Reads a report: its findings in its own order.
///
/// # Errors
/// The bytes are no whole report. Half of one is an error too, since the missing half may hold what counts.
pub fn read(bytes: &[u8]) -> Result<Vec<ScanFinding>, ReportError> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader::from_str(text);
    let mut state = State::default();
    loop {
        let event = reader.read_event().map_err(|error| {
            if state.is_report {
                ReportError::Broken {
                    at: reader.error_position(),
                    what: error.to_string(),
                }
            } else {
                ReportError::NotAReport
            }
        })?;
        match event {
            Event::Start(tag) => state.open(&tag)?,
            Event::Empty(tag) => {
                state.open(&tag)?;
                state.close()?;
            }
            Event::End(_) => state.close()?,
            Event::Text(text) => state.text(&text),
            Event::CData(text) => state.text(&text),
            Event::GeneralRef(reference) => state.text(&junit::resolve(&reference)),
            Event::Eof if !state.is_report => return Err(ReportError::NotAReport),
            Event::Eof if !state.path.is_empty() => {
                return Err(ReportError::Broken {
                    at: text.len() as u64,
                    what: format!("it ends within `{}`", state.path.join("/")),
                });
            }
            Event::Eof => return Ok(state.findings),
            _ => {}
        }
    }
}

#[derive(Default)]
struct State {
    is_report: bool,
    path: Vec<String>,
    text: String,
    findings: Vec<ScanFinding>,
    dependency: Dependency,
    open: Option<ScanFinding>,
}

/// What a report says of the dependency that is being read.
#[derive(Default)]
struct Dependency {
    file: String,
    place: String,
    purl: String,
}

impl State {
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), ReportError> {
        let name = tag.local_name().as_ref().to_owned();
        if self.path.is_empty() {
            if self.is_report || name != "analysis" {
                return Err(ReportError::NotAReport);
            }
            self.is_report = true;
        }
        if self.path.len() >= MAX_DEPTH {
            return Err(ReportError::TooLarge);
        }
        self.path.push(name);
        self.text.clear();
        match self.below().as_str() {
            "dependency" => self.dependency = Dependency::default(),
            VULNERABILITY => {
                self.open = Some(ScanFinding {
                    id: String::new(),
                    aliases: Vec::new(),
                    ecosystem: String::new(),
                    package: String::new(),
                    version: String::new(),
                    level: FindingLevel::Unknown,
                    score: None,
                    summary: String::new(),
                    url: String::new(),
                    place: String::new(),
                    fixed: None,
                    command: None,
                    fails: false,
                    warning: false,
                    ignored: None,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Where it reads, below the list of dependencies: `dependency/fileName`.
    fn below(&self) -> String {
        match self.path.as_slice() {
            [first, second, rest @ ..] if first == "analysis" && second == "dependencies" => {
                rest.join("/")
            }
            _ => String::new(),
        }
    }

    fn text(&mut self, text: &str) {
        if self.text.len() + text.len() <= MAX_TEXT {
            self.text.push_str(text);
        }
    }

    fn close(&mut self) -> Result<(), ReportError> {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        match (self.below().as_str(), &mut self.open) {
            ("dependency/fileName", _) => self.dependency.file = text,
            ("dependency/filePath", _) => self.dependency.place = text,
            ("dependency/identifiers/package/id", _) if self.dependency.purl.is_empty() => {
                self.dependency.purl = text;
            }
            (VULNERABILITY, open) => {
                if let Some(finding) = open.take() {
                    self.finish(finding)?;
                }
            }
            (path, Some(open)) => match path
                .strip_prefix(VULNERABILITY)
                .and_then(|rest| rest.strip_prefix('/'))
            {
                Some("name") => open.id = text,
                Some("severity") => open.level = level(&text),
                Some("description") => open.summary = first_sentence(&text),
                Some("cvssV3/baseScore" | "cvssV4/baseScore") => open.score = score(&text),
                Some("cvssV2/score") if open.score.is_none() => open.score = score(&text),
                Some("references/reference/url") if open.url.is_empty() => open.url = text,
                _ => {}
            },
            _ => {}
        }
        self.path.pop();
        Ok(())
    }

    fn finish(&mut self, mut finding: ScanFinding) -> Result<(), ReportError> {
        if self.findings.len() >= MAX_FINDINGS {
            return Err(ReportError::TooLarge);
        }
        let Dependency { file, place, purl } = &self.dependency;
        // `pkg:pypi/requests@2.30.0`, else the file's name.
        let (ecosystem, package) = purl
            .strip_prefix("pkg:")
            .and_then(|rest| rest.split_once('/'))
            .unwrap_or(("", file.as_str()));
        let (package, version) = package.rsplit_once('@').unwrap_or((package, ""));
        finding.ecosystem = ecosystem.to_owned();
        finding.package = package.to_owned();
        finding.version = version.split(['?', '#']).next().unwrap_or("").to_owned();
        finding.place = place.split('?').next().unwrap_or("").to_owned();
        if !finding.url.starts_with("https://") && !finding.url.starts_with("http://") {
            finding.url = String::new();
        }
        self.findings.push(finding);
        Ok(())
    }
}

fn score(text: &str) -> Option<f64> {
    text.parse()
        .ok()
        .filter(|score| (0.0..=10.0).contains(score))
}

fn first_sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}

fn level(word: &str) -> FindingLevel {
    match word.to_ascii_uppercase().as_str() {
        "CRITICAL" => FindingLevel::Critical,
        "HIGH" => FindingLevel::High,
        "MEDIUM" | "MODERATE" => FindingLevel::Medium,
        "LOW" => FindingLevel::Low,
        "NONE" | "INFO" | "INFORMATIONAL" => FindingLevel::None,
        _ => FindingLevel::Unknown,
    }
}

/// How many findings of one level make the build unstable or fail it; `None` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// From this many critical ones on.
    pub critical: Option<u64>,
    /// From this many high ones on.
    pub high: Option<u64>,
    /// From this many medium ones on.
    pub medium: Option<u64>,
    /// From this many low ones on.
    pub low: Option<u64>,
}

impl Limits {
    /// The first level that meets its limit, in words. A limit of 0 is met by the first finding: without any, nothing is
    /// exceeded.
    fn met(&self, now: &FindingCounts, before: &FindingCounts) -> Option<String> {
        let levels = [
            (self.critical, now.critical, before.critical, "critical"),
            (self.high, now.high, before.high, "high"),
            (self.medium, now.medium, before.medium, "medium"),
            (self.low, now.low, before.low, "low"),
        ];
        levels.into_iter().find_map(|(limit, now, before, word)| {
            let limit = limit?;
            (now > 0 && now >= before.saturating_add(limit)).then(|| {
                if before == 0 {
                    format!("{now} {word}, and the limit is {limit}")
                } else {
                    format!("{now} {word} after {before}, and the limit of new ones is {limit}")
                }
            })
        })
    }
}

/// The thresholds of `dependencyCheckPublisher`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// All findings: these fail the build.
    pub failed_total: Limits,
    /// All findings: these make it unstable.
    pub unstable_total: Limits,
    /// More than in the build before: these fail the build.
    pub failed_new: Limits,
    /// More than in the build before: these make it unstable.
    pub unstable_new: Limits,
}

impl Thresholds {
    /// The result, and which threshold was met. New findings count only where a build before is known.
    pub fn judge(
        &self,
        now: &FindingCounts,
        before: Option<&FindingCounts>,
    ) -> (BuildResult, Option<String>) {
        let none = FindingCounts::default();
        let failed = self
            .failed_total
            .met(now, &none)
            .or_else(|| self.failed_new.met(now, before?));
        if failed.is_some() {
            return (BuildResult::Failure, failed);
        }
        let unstable = self
            .unstable_total
            .met(now, &none)
            .or_else(|| self.unstable_new.met(now, before?));
        match unstable {
            Some(why) => (BuildResult::Unstable, Some(why)),
            None => (BuildResult::Success, None),
        }
    }
}

#[cfg(test)]
mod tests;
