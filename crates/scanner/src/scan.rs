//! One scan: files to packages, packages to findings, all of it into a report.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::database::Database;
use crate::ecosystem::Ecosystem;
use crate::error::ScanError;
use crate::finding::{Finding, Subject, findings};
use crate::index::{Index, PREVIOUS};
use crate::lockfile::{self, Kind};
use crate::package::{Location, Origin};
use crate::policy::Policy;
use crate::policy::rules::Rule;
use crate::report::{
    Component, DataQuality, DataState, ExitCode, Open, Problem, Report, SCHEMA, ScannedFile,
    Skipped, display_path,
};
use crate::walk::{WalkOptions, find};

/// What the files of some trees name.
#[derive(Debug, Default)]
pub struct Inventory {
    files: Vec<ScannedFile>,
    subjects: BTreeMap<(Ecosystem, String, String), Subject>,
    /// The kind of the first file that names a package, for the command that upgrades it.
    kinds: HashMap<Arc<str>, Kind>,
    unresolved: BTreeSet<(Open, Ecosystem)>,
    skipped: BTreeSet<Skipped>,
    problems: BTreeSet<Problem>,
    installed: HashSet<(Ecosystem, String)>,
}

impl Inventory {
    /// Reads every file below the roots that names packages.
    ///
    /// # Errors
    /// Where a root doesn't exist.
    pub fn read(roots: &[PathBuf], options: &WalkOptions) -> Result<Self, ScanError> {
        let mut inventory = Self::default();
        for root in roots {
            std::fs::metadata(root).map_err(|error| ScanError::io("read", root, error))?;
            inventory.read_root(root, options);
        }
        Ok(inventory)
    }

    fn read_root(&mut self, root: &Path, options: &WalkOptions) {
        let walked = find(root, options);
        for (path, message) in walked.problems {
            self.problems.insert(Problem {
                file: display_path(&path, root),
                line: 0,
                column: 0,
                message,
            });
        }
        // Includes may go no further than the scanned folder, or a named file's own.
        let fence = if root.is_file() {
            root.parent().unwrap_or(Path::new(""))
        } else {
            root
        };
        let mut done: HashSet<PathBuf> = HashSet::new();
        for (path, kind) in walked.files {
            if done.contains(&path) {
                continue;
            }
            match lockfile::read(kind, &path, fence) {
                Ok(files) => {
                    for (path, contents) in files {
                        // A file that another includes is read once; the first reading knows its constraints.
                        if done.insert(path.clone()) {
                            self.add(kind, &display_path(&path, root), contents);
                        }
                    }
                }
                Err(error) => {
                    let file = display_path(&path, root);
                    self.problems.insert(Problem {
                        file,
                        line: error.line,
                        column: error.column,
                        message: error.message,
                    });
                }
            }
        }
    }

    fn add(&mut self, kind: Kind, file: &Arc<str>, contents: lockfile::Contents) {
        self.files.push(ScannedFile {
            path: Arc::clone(file),
            kind,
            packages: contents.packages.len(),
        });
        self.kinds.insert(Arc::clone(file), kind);
        for problem in contents.problems {
            self.problems.insert(Problem {
                file: Arc::clone(file),
                line: problem.line,
                column: problem.column,
                message: problem.message,
            });
        }
        for open in contents.unresolved {
            let location = Location {
                file: Arc::clone(file),
                line: open.line,
            };
            let shown = Open {
                location,
                ecosystem: open.ecosystem.to_string(),
                name: open.name,
                requirement: open.requirement,
            };
            self.unresolved.insert((shown, open.ecosystem));
        }
        for package in contents.packages {
            let location = Location {
                file: Arc::clone(file),
                line: package.line,
            };
            if package.origin != Origin::Registry {
                let ecosystem = package.ecosystem.to_string();
                self.skipped.insert(Skipped {
                    location,
                    ecosystem,
                    name: package.name,
                    version: package.version,
                    origin: package.origin,
                });
                continue;
            }
            let name = package.ecosystem.normalize(&package.name).into_owned();
            if kind.is_installed() {
                self.installed
                    .insert((package.ecosystem.clone(), name.clone()));
            }
            let key = (package.ecosystem.clone(), name, package.version.clone());
            let subject = self.subjects.entry(key).or_insert_with(|| Subject {
                ecosystem: package.ecosystem,
                name: package.name,
                version: package.version,
                locations: Vec::new(),
                dev: true,
            });
            subject.dev &= package.dev;
            subject.locations.push(location);
        }
    }

    /// The ecosystems that something must be said about.
    pub fn ecosystems(&self) -> BTreeSet<Ecosystem> {
        let named = self
            .subjects
            .keys()
            .map(|(ecosystem, ..)| ecosystem.clone());
        named
            .chain(
                self.unresolved
                    .iter()
                    .map(|(_, ecosystem)| ecosystem.clone()),
            )
            .collect()
    }
}

/// Matches an inventory against a database and lets a policy decide.
///
/// # Errors
/// None that a scan survives: damage of the index is answered with the last good one, or with missing data.
pub fn check(
    inventory: Inventory,
    database: Database,
    policy: &Policy,
    rules: &[Rule],
    project: String,
    now: Timestamp,
) -> Report {
    let Database {
        mut index,
        mut notes,
    } = database;
    let mut found = Vec::new();
    while let Some(current) = index.take() {
        match match_all(&current, &inventory) {
            Ok(findings) => {
                found = findings;
                index = Some(current);
                break;
            }
            Err(error) => {
                notes.push(error.to_string());
                let previous = current.path().with_file_name(PREVIOUS);
                if current.path() != previous {
                    index = Index::open(&previous).ok();
                }
                if index.is_some() {
                    notes.push("the last good index is used".to_owned());
                }
            }
        }
    }
    let data: Vec<DataState> = inventory
        .ecosystems()
        .iter()
        .map(|ecosystem| data_state(index.as_ref(), ecosystem, policy, now))
        .collect();
    if let Some(hint) = age_note(&data, policy, now) {
        notes.push(hint);
    }
    notes.extend(policy.decide(&mut found, rules, now));
    sort(&mut found);
    let unresolved = inventory
        .unresolved
        .iter()
        .filter(|(open, ecosystem)| {
            !inventory.installed.contains(&(
                ecosystem.clone(),
                ecosystem.normalize(&open.name).into_owned(),
            ))
        })
        .map(|(open, _)| open.clone())
        .collect();
    let mut report = Report {
        schema: SCHEMA,
        scanner_version: env!("CARGO_PKG_VERSION"),
        generated_at: now,
        project,
        policy: policy.clone(),
        verdict: ExitCode::NoData,
        reasons: Vec::new(),
        data,
        files: inventory.files,
        packages: inventory.subjects.into_values().map(component).collect(),
        findings: found,
        unresolved,
        skipped: inventory.skipped.into_iter().collect(),
        problems: inventory.problems.into_iter().collect(),
        notes,
    };
    report.conclude();
    report
}

fn match_all(index: &Index, inventory: &Inventory) -> Result<Vec<Finding>, ScanError> {
    let mut all = Vec::new();
    for subject in inventory.subjects.values() {
        for mut finding in findings(index, subject)? {
            let kind = finding
                .locations
                .first()
                .and_then(|location| inventory.kinds.get(&location.file));
            if let (Some(to), Some(kind)) = (&finding.upgrade, kind) {
                finding.command =
                    Some(kind.upgrade_command(&finding.package, &finding.version, to));
            }
            all.push(finding);
        }
    }
    Ok(all)
}

fn data_state(
    index: Option<&Index>,
    ecosystem: &Ecosystem,
    policy: &Policy,
    now: Timestamp,
) -> DataState {
    let covered = index
        .filter(|index| index.covers(ecosystem).unwrap_or(false))
        .and_then(|index| index.ecosystem(ecosystem));
    let as_of = covered.and_then(|data| Timestamp::from_second(data.as_of()).ok());
    let age_days = as_of.map(|time| (now.as_second() - time.as_second()) / 86_400);
    let state = match (age_days, policy.max_data_age_days) {
        (None, _) => DataQuality::Missing,
        (Some(age), Some(allowed)) if age > i64::from(allowed) => DataQuality::TooOld,
        _ => DataQuality::Usable,
    };
    DataState {
        ecosystem: ecosystem.to_string(),
        records: covered.map_or(0, |data| data.records),
        as_of,
        state,
    }
}

/// Age that the policy allows and a person should still know of.
fn age_note(data: &[DataState], policy: &Policy, now: Timestamp) -> Option<String> {
    const OLD_DAYS: i64 = 30;
    let oldest = data
        .iter()
        .filter_map(|data| data.as_of.map(|time| (time, &data.ecosystem)))
        .min()?;
    let age = (now.as_second() - oldest.0.as_second()) / 86_400;
    let unlimited = policy.max_data_age_days.is_none();
    (unlimited && age > OLD_DAYS).then(|| {
        format!("the advisory data for {} is {age} days old (of {}); newer advisories are not known here", oldest.1, oldest.0.strftime("%Y-%m-%d"))
    })
}

/// Worst first; then by package, so that one package's findings stand together.
fn sort(findings: &mut [Finding]) {
    findings.sort_by(|left, right| {
        let key = |finding: &Finding| {
            let score = finding
                .severity
                .score
                .map_or(0, |score| (score * 10.0) as i32);
            (
                finding.kind.is_warning(),
                std::cmp::Reverse(finding.severity.level),
                std::cmp::Reverse(score),
            )
        };
        key(left).cmp(&key(right)).then_with(|| {
            (&left.ecosystem, &left.package, &left.version, &left.id).cmp(&(
                &right.ecosystem,
                &right.package,
                &right.version,
                &right.id,
            ))
        })
    });
}

fn component(subject: Subject) -> Component {
    Component {
        purl: subject.ecosystem.purl(&subject.name, &subject.version),
        ecosystem: subject.ecosystem.to_string(),
        name: subject.name,
        version: subject.version,
        dev: subject.dev,
        locations: subject.locations,
    }
}
