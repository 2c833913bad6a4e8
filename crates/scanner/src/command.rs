//! `launchway scan` as a function: plain options in, a report and an exit code out.
//!
//! The binary maps its arguments onto [`Options`], prints [`Outcome::stdout`] and exits with [`Outcome::exit`]. A
//! [`ScanError`] means that there is no verdict at all; its exit code is that of unreadable files, 2.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::database::{Database, default_cache};
use crate::ecosystem::Ecosystem;
use crate::error::ScanError;
use crate::output::{self, Format, Style};
use crate::policy::Policy;
use crate::policy::rules::{Rule, read_ignore_file, read_suppressions};
use crate::report::{ExitCode, Report};
use crate::scan::{Inventory, check};
use crate::walk::{WalkOptions, excluded};

/// The ignore file that is read where it lies at the top of a scanned folder.
pub const IGNORE_FILE: &str = "launchway-ignore.toml";

/// What to scan, against what, and what to write.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folders and files to scan.
    pub paths: Vec<PathBuf>,
    /// The advisory data: a database folder, an index, an archive, or a folder of records.
    pub database: PathBuf,
    /// Where indexes of raw records are kept; `None` for [`default_cache`].
    pub cache: Option<PathBuf>,
    /// How trees are walked.
    pub walk: WalkOptions,
    /// What fails.
    pub policy: Policy,
    /// Ignore files besides the [`IGNORE_FILE`] of each scanned folder.
    pub ignore_files: Vec<PathBuf>,
    /// Dependency-Check suppression files.
    pub suppressions: Vec<PathBuf>,
    /// The project's name; `None` for that of the first path.
    pub project: Option<String>,
    /// What to write.
    pub outputs: Vec<Output>,
    /// How the table is drawn.
    pub style: Style,
    /// The time of the scan; `None` for now.
    pub now: Option<Timestamp>,
}

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// In which format.
    pub format: Format,
    /// Where to; `None` for standard output.
    pub path: Option<PathBuf>,
}

impl Options {
    /// A scan of one path with everything else as usual and a table on standard output.
    pub fn new(path: impl Into<PathBuf>, database: impl Into<PathBuf>) -> Self {
        Self {
            paths: vec![path.into()],
            database: database.into(),
            cache: None,
            walk: WalkOptions::default(),
            policy: Policy::default(),
            ignore_files: Vec::new(),
            suppressions: Vec::new(),
            project: None,
            outputs: vec![Output {
                format: Format::Table,
                path: None,
            }],
            style: Style::default(),
            now: None,
        }
    }
}

/// What a scan came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The report.
    pub report: Report,
    /// The exit code.
    pub exit: ExitCode,
    /// What to print.
    pub stdout: String,
    /// The files that were written.
    pub written: Vec<PathBuf>,
}

/// Scans, decides, writes.
///
/// # Errors
/// Where a path to scan doesn't exist, a file that steers the scan is wrong, or an output can't be written.
pub fn run(options: &Options) -> Result<Outcome, ScanError> {
    let report = scan(options)?;
    let mut stdout = String::new();
    let mut written = Vec::new();
    for output in &options.outputs {
        let text = output::render(&report, output.format, &options.style);
        match &output.path {
            None => stdout.push_str(&text),
            Some(path) => {
                write(path, &text)?;
                written.push(path.clone());
            }
        }
    }
    Ok(Outcome {
        exit: report.verdict,
        report,
        stdout,
        written,
    })
}

/// Scans and decides, and writes nothing.
///
/// # Errors
/// As [`run`].
pub fn scan(options: &Options) -> Result<Report, ScanError> {
    let now = options.now.unwrap_or_else(Timestamp::now);
    if options.paths.is_empty() {
        return Err(ScanError::BadArgument(
            "there is no path to scan".to_owned(),
        ));
    }
    excluded(&options.paths[0], &options.walk.exclude)?;
    let (rules, rule_notes) = rules(options)?;
    let inventory = Inventory::read(&options.paths, &options.walk)?;
    let cache = options.cache.clone().or_else(default_cache);
    let mut database = Database::open(&options.database, cache.as_deref(), now.as_second());
    database.notes.extend(rule_notes);
    let project = options
        .project
        .clone()
        .unwrap_or_else(|| name_of(&options.paths[0]));
    Ok(check(
        inventory,
        database,
        &options.policy,
        &rules,
        project,
        now,
    ))
}

/// The ecosystems that trees need advisory data for, to be given to an update.
///
/// # Errors
/// Where a path doesn't exist.
pub fn ecosystems(paths: &[PathBuf], walk: &WalkOptions) -> Result<Vec<Ecosystem>, ScanError> {
    Ok(Inventory::read(paths, walk)?
        .ecosystems()
        .into_iter()
        .collect())
}

fn rules(options: &Options) -> Result<(Vec<Rule>, Vec<String>), ScanError> {
    let (mut rules, mut notes) = (Vec::new(), Vec::new());
    let beside = options
        .paths
        .iter()
        .map(|path| path.join(IGNORE_FILE))
        .filter(|path| path.is_file());
    let mut files: Vec<PathBuf> = options.ignore_files.iter().cloned().chain(beside).collect();
    let mut seen = Vec::new();
    files.retain(|file| {
        let known = fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        let fresh = !seen.contains(&known);
        seen.push(known);
        fresh
    });
    for file in files {
        rules.extend(read_ignore_file(&file)?);
    }
    for file in &options.suppressions {
        let (more, more_notes) = read_suppressions(file)?;
        rules.extend(more);
        notes.extend(more_notes);
    }
    Ok((rules, notes))
}

fn name_of(path: &Path) -> String {
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    full.file_name().map_or_else(
        || "project".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Writes a report under another name first, so that a reader never meets half of one.
fn write(path: &Path, text: &str) -> Result<(), ScanError> {
    let failed = |error| ScanError::io("write", path, error);
    let Some(name) = path.file_name() else {
        return Err(ScanError::BadArgument(format!(
            "{} is no name for an output file",
            path.display()
        )));
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let fresh = path.with_file_name(format!(
        ".{}.{}.new",
        name.to_string_lossy(),
        std::process::id()
    ));
    let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        failed(error)
    })
}
