//! `launchway builds tests|artifacts|fingerprint`: what builds left.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use launchway_model::results::{Artifact, FailureKind, Fingerprint, TestHistory, TestReport};
use launchway_model::{AppName, BuildId, Problem};
use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::commands::app_path;
use crate::output::{Output, Table, Tone};

/// Tests of a build, or of an app over its builds.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TestsArgs {
    /// The build's number
    #[arg(required_unless_present = "app")]
    build: Option<BuildId>,
    /// The history of this app's tests instead
    #[arg(short, long, value_name = "NAME", conflicts_with = "build")]
    app: Option<AppName>,
    /// Of this branch; the app's own where none is named
    #[arg(short, long, requires = "app")]
    branch: Option<String>,
}

/// Files that a build kept.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ArtifactsArgs {
    /// The build's number
    build: BuildId,
    /// Write this file to the working folder
    #[arg(short, long, value_name = "PATH")]
    get: Option<String>,
    /// Write it there instead
    #[arg(short, long, value_name = "FILE", requires = "get")]
    output: Option<PathBuf>,
}

pub(super) fn tests(output: Output, client: &Client, args: &TestsArgs) -> anyhow::Result<()> {
    match (&args.app, args.build) {
        (Some(app), _) => {
            let query = args
                .branch
                .as_ref()
                .map(|branch| format!("?branch={}", encoded(branch)))
                .unwrap_or_default();
            let history: TestHistory = client.get(&app_path(app, &format!("tests{query}")))?;
            output.result(&history, |output| {
                let mut table = Table::new(&["build", "passed", "failed", "skipped"]);
                for point in &history.points {
                    let counts = point.counts;
                    table.row([
                        point.build.to_string(),
                        counts.passed.to_string(),
                        counts.failed.to_string(),
                        counts.skipped.to_string(),
                    ]);
                }
                output.table(&table)?;
                match &history.newest {
                    Some(report) => show(output, report),
                    None => Ok(()),
                }
            })
        }
        (None, Some(build)) => {
            let report: TestReport = client.get(&format!("/builds/{}/test-report", build.0))?;
            output.result(&report, |output| {
                output.line(format!(
                    "{} passed, {} failed, {} skipped",
                    report.counts.passed, report.counts.failed, report.counts.skipped
                ))?;
                show(output, &report)
            })
        }
        (None, None) => Err(Problem::invalid("neither a build nor an app is named").into()),
    }
}

fn show(output: Output, report: &TestReport) -> anyhow::Result<()> {
    for test in &report.failed {
        let word = match test.kind {
            FailureKind::New => "newly failing".to_owned(),
            FailureKind::Still => format!("failing since build {}", test.since),
            FailureKind::Flaky => format!(
                "flaky: failed in {} of {} builds",
                test.failed, report.looked_at
            ),
        };
        let mark = output.tone(Tone::Bad, "✘");
        output.line(format!("  {mark} {}: {} ({word})", test.suite, test.name))?;
    }
    for (suite, name) in &report.fixed {
        output.line(format!(
            "  {} {suite}: {name} (fixed)",
            output.tone(Tone::Good, "✔")
        ))?;
    }
    for (suite, name) in &report.flaky {
        output.line(format!(
            "  {} {suite}: {name} (flaky)",
            output.tone(Tone::Warning, "~")
        ))?;
    }
    Ok(())
}

pub(super) fn artifacts(
    output: Output,
    client: &Client,
    args: &ArtifactsArgs,
) -> anyhow::Result<()> {
    let id = args.build.0;
    if let Some(path) = &args.get {
        let bytes = client.bytes(&format!("/builds/{id}/artifact?path={}", encoded(path)))?;
        let name = Path::new(path)
            .file_name()
            .map_or_else(|| PathBuf::from("artifact"), PathBuf::from);
        let file = args.output.clone().unwrap_or(name);
        std::fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        output.note(format!("wrote {}", file.display()));
        return Ok(());
    }
    let files: Vec<Artifact> = client.get(&format!("/builds/{id}/artifacts"))?;
    output.result(&files, |output| {
        let mut table = Table::new(&["file", "bytes", "sha256"]);
        for file in &files {
            table.row([
                file.path.clone(),
                file.size.to_string(),
                file.sha256.clone(),
            ]);
        }
        Ok(output.table(&table)?)
    })
}

/// Which builds kept a file: by the file itself, or by its SHA-256.
pub(super) fn fingerprint(output: Output, client: &Client, what: &str) -> anyhow::Result<()> {
    let is_hash = what.len() == 64 && what.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = if is_hash {
        what.to_ascii_lowercase()
    } else {
        let bytes = std::fs::read(what).with_context(|| format!("cannot read {what}"))?;
        format!("{:x}", Sha256::digest(bytes))
    };
    let found: Vec<Fingerprint> = client.get(&format!("/fingerprints/{hash}"))?;
    output.result(&found, |output| {
        let mut table = Table::new(&["app", "build", "file"]);
        for one in &found {
            table.row([one.app.to_string(), one.build.to_string(), one.path.clone()]);
        }
        output.table(&table)?;
        if found.is_empty() {
            output.line("no build kept it")?;
        }
        Ok(())
    })
}

/// A value for a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
