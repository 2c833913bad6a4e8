//! `launchway deploy`

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use launchway_model::api::{DeployAccepted, DeployRequest};
use launchway_model::{AppName, Problem};

use super::app_path;
use crate::cli::Context;
use crate::client::Client;
use crate::output::Tone;
use crate::repository::{Repository, app_of_address, is_address};
use crate::{progress, words};

/// Build a commit and put it into service.
///
/// Without a source it is the repository around the current folder, at the commit that is checked out. Shows each stage
/// and phase as it happens, and where the app is reached at the end. What serves goes on serving until the new release
/// is healthy.
#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// A folder in a git repository, or an address that git can clone [default: the current folder]
    #[arg(value_name = "PATH|GIT-URL")]
    source: Option<String>,
    /// The app; it is made where it does not exist [default: of the repository]
    #[arg(short, long, value_name = "NAME")]
    app: Option<AppName>,
    /// The branch to deploy [default: the one checked out]
    #[arg(short, long)]
    branch: Option<String>,
    /// The commit to deploy: any name that git resolves [default: the branch's tip]
    #[arg(short, long)]
    commit: Option<String>,
    /// Return once the build is queued
    #[arg(long)]
    no_wait: bool,
    /// Show all log lines of the build
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Deploy) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let source = args.source.as_deref().unwrap_or(".");
    let (app, request) = if is_address(source) {
        let app = args.app.clone().unwrap_or_else(|| app_of_address(source));
        let request = DeployRequest {
            source: Some(source.to_owned()),
            branch: args.branch.clone(),
            commit: args.commit.clone(),
        };
        (app, request)
    } else {
        let repository = local(context, Path::new(source))?;
        let app = match &args.app {
            Some(app) => app.clone(),
            None => repository.app()?,
        };
        if !is_local(&client.server().url) {
            return push(context, &client, &repository, &app, &args);
        }
        let folder = repository
            .folder
            .to_str()
            .context("the repository's path is not UTF-8")?;
        let request = DeployRequest {
            source: Some(folder.to_owned()),
            branch: match (&args.branch, &args.commit) {
                (None, None) => repository.branch()?,
                (branch, _) => branch.clone(),
            },
            commit: match (&args.branch, &args.commit) {
                (None, None) => repository.head()?,
                (_, commit) => commit.clone(),
            },
        };
        (app, request)
    };
    let accepted: DeployAccepted = client.post(&app_path(&app, "deploys"), &request)?;
    if args.no_wait {
        context.output.result(&accepted, |output| {
            Ok(output.line(format!(
                "build {} of {} is queued",
                accepted.build, accepted.app
            ))?)
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if context.output.is_json() {
        context.output.record(&accepted)?;
    } else {
        context.output.note(format!(
            "deploying {} {} {}  {}",
            context.output.note_tone(Tone::Strong, &accepted.app),
            words::short(&accepted.commit),
            accepted.subject,
            context
                .output
                .note_tone(Tone::Faint, format!("build {}", accepted.build)),
        ));
    }
    let outcome = progress::follow_build(context.output, &client, accepted.build, args.verbose)?;
    if let (false, Some(url)) = (context.output.is_json(), outcome.urls.first()) {
        context.output.line(url)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The repository around a folder, with a word on what will not be deployed.
fn local(context: &Context, source: &Path) -> anyhow::Result<Repository> {
    let folder = std::fs::canonicalize(source).map_err(|error| {
        Problem::invalid(format!("cannot deploy from {}", source.display()))
            .cause(error)
            .hint("Give the folder of a git repository, or an address that git can clone.")
    })?;
    let Some(repository) = Repository::around(&folder)? else {
        return Err(
            Problem::invalid(format!("{} is not in a git repository", folder.display()))
                .hint(
                    "Launchway deploys commits: `git init`, `git add .` and `git commit` make one.",
                )
                .into(),
        );
    };
    if repository.head()?.is_none() {
        return Err(
            Problem::invalid(format!("{} has no commit yet", repository.folder.display()))
                .hint("Launchway deploys commits: `git add .` and `git commit` make one.")
                .into(),
        );
    }
    let changed = repository.changed_files()?;
    if changed > 0 && !context.output.is_json() {
        context.output.note(format!(
            "{} not committed: the last commit is deployed, without them",
            context
                .output
                .note_tone(Tone::Warning, words::count(changed as u64, "changed file")),
        ));
    }
    Ok(repository)
}

/// Whether control runs on this machine, and so can read a folder of ours.
fn is_local(url: &str) -> bool {
    let host = url
        .split_once("://")
        .map_or(url, |(_, rest)| rest)
        .split('/')
        .next()
        .unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name == "::1" || name.starts_with("127.")
}

/// A control on another machine cannot read this folder: the commit is pushed to it, and git shows the progress.
fn push(
    context: &Context,
    client: &Client,
    repository: &Repository,
    app: &AppName,
    args: &Deploy,
) -> anyhow::Result<ExitCode> {
    let server = client.server();
    let branch = match &args.branch {
        Some(branch) => branch.clone(),
        None => repository.branch()?.unwrap_or_else(|| "main".to_owned()),
    };
    let revision = args
        .commit
        .as_deref()
        .or(args.branch.as_deref())
        .unwrap_or("HEAD");
    let credentials = base64_of(&format!("launchway:{}", server.token));
    context.output.note(format!("pushing to {}", server.url));
    // The token goes through the environment: arguments can be read by every user of the machine.
    let status = Command::new("git")
        .arg("-C")
        .arg(&repository.folder)
        .arg("push")
        .arg(format!("{}/git/{app}.git", server.url))
        .arg(format!("{revision}:refs/heads/{branch}"))
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "http.extraHeader")
        .env(
            "GIT_CONFIG_VALUE_0",
            format!("Authorization: Basic {credentials}"),
        )
        .status()
        .context("cannot start git")?;
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(
        Problem::failed(format!("git push to {} failed", server.url))
            .hint("The lines above tell why.")
            .into(),
    )
}

/// Base64 with padding (RFC 4648, section 4).
fn base64_of(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().enumerate().fold(0_u32, |bits, (at, byte)| {
            bits | u32::from(*byte) << (16 - 8 * at)
        });
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            encoded.push(if digit <= three.len() {
                char::from(DIGITS[index as usize])
            } else {
                '='
            });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        for local in [
            "http://127.0.0.1:7070",
            "http://localhost",
            "http://[::1]:80",
        ] {
            assert!(is_local(local), "{local}");
        }
        for remote in [
            "https://launchway.example.org",
            "http://10.0.0.1:7070",
            "http://localhost.example.org",
        ] {
            assert!(!is_local(remote), "{remote}");
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        assert_eq!(base64_of(""), "");
        assert_eq!(base64_of("f"), "Zg==");
        assert_eq!(base64_of("fo"), "Zm8=");
        assert_eq!(base64_of("foobar"), "Zm9vYmFy");
    }
}
