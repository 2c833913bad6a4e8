//! `launchway scan`

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use launchway_model::Problem;
use launchway_scanner::command::{self, Options, Output as Written};
use launchway_scanner::ecosystem::Ecosystem;
use launchway_scanner::output::Format;
use launchway_scanner::policy::Threshold;
use launchway_scanner::severity::Level;
use launchway_scanner::update::{UpdateOptions, update};
use launchway_scanner::{ExitCode as Verdict, ScanError};

use crate::cli::Context;
use crate::output::Tone;

/// Check the dependencies of folders against known vulnerabilities, offline.
///
/// Reads lock files, manifests and, with --installed, what is installed. `--update` fetches advisories first; a scan
/// itself never uses the network.
///
/// Exits with 0 where nothing fails the policy, 1 for findings, 2 for files that cannot be read, and 3 where an
/// ecosystem has no advisory data, or data that is too old: what cannot be known is never called clean.
#[derive(Debug, clap::Args)]
pub(crate) struct Scan {
    /// Folders and lock files
    #[arg(default_value = ".", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The advisories: a folder that --update keeps, an archive, or a folder of OSV records [default: advisories/ in the
    /// installation's folder]
    #[arg(long, value_name = "PATH")]
    db: Option<PathBuf>,
    /// Fetch advisories before the scan
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    fetch: Fetch,
    /// The report's format: table, json, sarif, cyclonedx, junit, html or dependency-check
    #[arg(short, long, default_value = "table")]
    format: Format,
    /// Write the report to this file; may be given several times, the format is that of `FORMAT=FILE`
    #[arg(short, long, value_name = "FORMAT=FILE")]
    output: Vec<OutputFile>,
    /// What fails: any, low, medium, high, critical, a CVSS score such as 7.5, or never
    #[arg(long, default_value = "any", value_name = "LEVEL")]
    fail_on: FailOn,
    /// Only findings that some version mends fail
    #[arg(long)]
    fixable_only: bool,
    /// Findings fail only when they have been public for this many days
    #[arg(long, value_name = "DAYS")]
    grace_days: Option<u32>,
    /// Unmaintained and unsound packages fail too
    #[arg(long)]
    warnings: bool,
    /// Findings in what only development needs do not fail
    #[arg(long)]
    no_dev: bool,
    /// The greatest age of advisories
    #[arg(long, value_name = "DAYS")]
    max_data_age: Option<u32>,
    /// An ignore file, besides the launchway-ignore.toml of each folder
    #[arg(long, value_name = "FILE")]
    ignore_file: Vec<PathBuf>,
    /// A suppression file of OWASP Dependency-Check
    #[arg(long, value_name = "FILE")]
    suppression: Vec<PathBuf>,
    /// The project's name in reports
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Also look at what is installed: node_modules and virtual environments
    #[arg(long)]
    installed: bool,
    /// Also look at what .gitignore leaves out
    #[arg(long)]
    no_ignore: bool,
    /// Leave files and folders out, by patterns as in a .gitignore; may be given several times
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
}

/// Which advisories are fetched, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    /// The ecosystems to fetch, by OSV's names, beside those that are there
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "PyPI,npm,crates.io,Go"
    )]
    ecosystems: Vec<String>,
    /// Where advisories are fetched, instead of OSV's own address
    #[arg(
        long,
        value_name = "URL",
        env = "LAUNCHWAY_ADVISORIES_MIRROR",
        hide_env_values = true
    )]
    mirror: Option<String>,
}

/// A report's file with its format.
#[derive(Debug, Clone)]
struct OutputFile {
    format: Format,
    path: PathBuf,
}

impl FromStr for OutputFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` must read FORMAT=FILE, such as sarif=report.sarif"))?;
        Ok(Self {
            format: format.parse()?,
            path: PathBuf::from(path),
        })
    }
}

/// How bad a finding must be to fail.
#[derive(Debug, Clone, Copy)]
struct FailOn(Threshold);

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let threshold = match text {
            "any" => Threshold::Any,
            "never" => Threshold::Never,
            _ => match text.parse::<f64>() {
                Ok(score) if (0.0..=11.0).contains(&score) => Threshold::Score(score),
                Ok(_) => return Err(format!("`{text}` is no CVSS score; scores go from 0 to 10")),
                Err(_) => Threshold::Level(text.parse::<Level>()?),
            },
        };
        Ok(Self(threshold))
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Scan) -> anyhow::Result<ExitCode> {
    let database = match &args.db {
        Some(database) => database.clone(),
        None => context.settings()?.home().advisories(),
    };
    if args.update {
        fetch(context, &args.fetch, database.clone())?;
    }
    let Some(first) = args.paths.first() else {
        return Err(Problem::invalid("there is no path to scan").into());
    };
    let mut options = Options::new(first, database);
    options.paths.clone_from(&args.paths);
    options.walk.installed = args.installed;
    options.walk.no_ignore = args.no_ignore;
    options.walk.exclude.clone_from(&args.exclude);
    options.policy.fail_on = args.fail_on.0;
    options.policy.fixable_only = args.fixable_only;
    options.policy.grace_days = args.grace_days;
    options.policy.warnings = args.warnings;
    options.policy.dev = !args.no_dev;
    options.policy.max_data_age_days = args.max_data_age;
    options.ignore_files = args.ignore_file;
    options.suppressions = args.suppression;
    options.project = args.project;
    let format = if context.output.is_json() {
        Format::Json
    } else {
        args.format
    };
    options.outputs = vec![Written { format, path: None }];
    options
        .outputs
        .extend(args.output.into_iter().map(|file| Written {
            format: file.format,
            path: Some(file.path),
        }));
    options.style.color = context.output.is_colored();
    let outcome = command::run(&options).map_err(|error| no_verdict(&error))?;
    context.output.line(outcome.stdout.trim_end_matches('\n'))?;
    if outcome.exit == Verdict::NoData && !context.output.is_json() {
        context.output.note("`launchway scan --update` fetches advisories; `--db PATH` names some that are here already.");
    }
    Ok(ExitCode::from(outcome.exit.code()))
}

/// Fetches advisories and gives the number of ecosystems that could not be fetched: it is said, and a scan judges by the age
/// of what is there.
pub(crate) fn fetch(context: &Context, args: &Fetch, database: PathBuf) -> anyhow::Result<usize> {
    let ecosystems = args
        .ecosystems
        .iter()
        .map(|name| {
            Ecosystem::from_osv(name.trim()).ok_or_else(|| {
                Problem::invalid(format!("`{name}` is no ecosystem"))
                    .hint("Known are PyPI, npm, crates.io, Go, Maven, RubyGems, Packagist, NuGet and Debian:12.")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut options = UpdateOptions::new(database, ecosystems);
    if let Some(mirror) = &args.mirror {
        options.base_url = mirror.trim_end_matches('/').to_owned();
    }
    let output = context.output;
    let report = update(&options, &mut |step| {
        output.note(output.note_tone(Tone::Faint, step));
    })
    .map_err(|error| no_verdict(&error))?;
    for (ecosystem, error) in &report.failed {
        output.note(format!(
            "{} {error}",
            output.note_tone(Tone::Warning, format!("{ecosystem} is not up to date:"))
        ));
    }
    Ok(report.failed.len())
}

/// A scan that cannot judge at all ends like one of unreadable files, with 2.
pub(crate) fn no_verdict(error: &ScanError) -> Problem {
    let problem = Problem::invalid(error.to_string());
    match error {
        ScanError::NoDatabase { .. } => problem.hint(
            "`launchway scan --update` fetches advisories; `--db PATH` names some that are here already.",
        ),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_a_level_a_score_or_a_word() {
        assert_eq!(
            "high".parse::<FailOn>().unwrap().0,
            Threshold::Level(Level::High)
        );
        assert_eq!("7.5".parse::<FailOn>().unwrap().0, Threshold::Score(7.5));
        assert_eq!("never".parse::<FailOn>().unwrap().0, Threshold::Never);
        assert!("worst".parse::<FailOn>().is_err());
        assert!("70".parse::<FailOn>().is_err());
    }

    #[test]
    fn a_file_needs_its_format() {
        assert_eq!(
            "sarif=a=b".parse::<OutputFile>().unwrap().path,
            PathBuf::from("a=b")
        );
        assert!("report.sarif".parse::<OutputFile>().is_err());
        assert!("pdf=report".parse::<OutputFile>().is_err());
    }
}
