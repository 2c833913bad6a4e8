//! Keeps a folder of files for people with the build; pages show it under an origin policy of its own.

use std::fs;
use std::io;

use launchway_model::Problem;
use launchway_model::runner::{REPORTS_FOLDER, Report, RunnerEventKind};

use super::stages::Context;
use super::steps::Interrupt;
use crate::glob::Patterns;

/// The most that one report may hold.
const MAX_BYTES: u64 = 1 << 30;
const MAX_FILES: usize = 50_000;

/// A report to keep.
#[derive(Debug)]
pub(crate) struct HtmlReport {
    pub(crate) folder: String,
    /// The files to begin with, separated by commas.
    pub(crate) files: String,
    /// A pattern of the files to keep.
    pub(crate) includes: String,
    pub(crate) title: String,
    pub(crate) allow_missing: bool,
}

/// The name of a report's folder: letters and digits of its title.
pub(crate) fn key_of(title: &str) -> String {
    let mut key: String = title
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(60)
        .collect();
    while key.contains("--") {
        key = key.replace("--", "-");
    }
    match key.trim_matches('-') {
        "" => "report".to_owned(),
        key => key.to_owned(),
    }
}

pub(crate) fn keep(context: &Context<'_>, report: &HtmlReport) -> Result<(), Interrupt> {
    let inner = super::steps::in_folder(
        context,
        if report.folder.is_empty() {
            "."
        } else {
            &report.folder
        },
    )?;
    let names: Vec<&str> = report
        .files
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    // A pattern such as `*.html` begins with the first file that matches.
    let index = names.iter().find_map(|name| {
        if inner.folder.join(name).is_file() {
            return Some((*name).to_owned());
        }
        Patterns::new(&[(*name).to_owned()], &[])
            .files(&inner.folder, &[])
            .into_iter()
            .next()
    });
    let Some(index) = index else {
        let missing = format!(
            "the report `{}` is not there: no {} in {}",
            report.title, report.files, report.folder
        );
        if report.allow_missing {
            context.log.say(&missing);
            return Ok(());
        }
        return Err(Interrupt::Failed(
            Problem::failed(missing).hint("Write `allowMissing: true` where that is well."),
        ));
    };
    let key = key_of(&report.title);
    let target = context.build.job.folder.join(REPORTS_FOLDER).join(&key);
    let kept = copy(&inner.folder, &target, &report.includes).map_err(|error| {
        Interrupt::Failed(
            Problem::failed(format!("the report `{}` cannot be kept", report.title)).cause(error),
        )
    })?;
    context
        .log
        .say(&format!("Kept the report `{}`: {kept} files", report.title));
    context.build.spool.emit(RunnerEventKind::Report(Report {
        key,
        title: context.log.mask().text(&report.title),
        index,
    }));
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path, includes: &str) -> io::Result<usize> {
    let _ = fs::remove_dir_all(to);
    let files = Patterns::new(&[includes.to_owned()], &[]).files(from, &[".git"]);
    let mut bytes = 0;
    for file in files.iter().take(MAX_FILES) {
        let source = from.join(file);
        // A link may lead to what is nobody's business.
        if !fs::symlink_metadata(&source)?.is_file() {
            continue;
        }
        let target = to.join(file);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        bytes += fs::copy(&source, &target)?;
        if bytes > MAX_BYTES {
            return Err(io::Error::other("it holds more than 1 GiB"));
        }
    }
    Ok(files.len().min(MAX_FILES))
}
