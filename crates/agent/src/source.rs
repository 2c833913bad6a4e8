//! The commit to build, fetched from control into a mirror of the agent's own.

use std::io;
use std::path::Path;
use std::process::Stdio;

use http_body_util::BodyExt;
use launchway_model::Problem;
use launchway_model::agent::{LeaseId, SourceHead, SourceRequest};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::link::{Lane, LinkError};

/// Where the commits that were built are kept in the mirror: what the next fetch need not bring.
const BUILT: &str = "refs/launchway/built";
/// How many of them control is told.
const HAVE: usize = 24;
/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 8 << 20;

/// Why the commit is not there.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The link failed: it may be tried again.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This machine cannot keep it.
    #[error("{0}")]
    Here(Problem),
}

/// Brings a commit into the mirror, which is made where it does not exist.
///
/// # Errors
/// As [`SourceError`].
pub async fn fetch(
    lane: &mut Lane,
    lease: LeaseId,
    mirror: &Path,
    commit: &str,
) -> Result<(), SourceError> {
    if !mirror.join("HEAD").exists() {
        let path = mirror.to_string_lossy().into_owned();
        git(Path::new("/"), &["init", "--quiet", "--bare", &path], None).await?;
    }
    let count = format!("--count={HAVE}");
    let listed = git(
        mirror,
        &[
            "for-each-ref",
            "--sort=-committerdate",
            &count,
            "--format=%(objectname)",
            BUILT,
        ],
        None,
    )
    .await?;
    let request = SourceRequest {
        have: listed.lines().map(str::to_owned).collect(),
    };
    let mut body = lane.source(lease, &request).await?;
    let mut command = prepared(mirror);
    command
        .args(["index-pack", "--stdin", "--fix-thin"])
        .stdin(Stdio::piped());
    let mut indexer = command.spawn().map_err(no_git)?;
    let Some(mut input) = indexer.stdin.take() else {
        return Err(no_git(io::Error::other("it has no standard input")));
    };
    let mut head = Vec::new();
    let mut in_head = true;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| LinkError::Unreachable(format!("the source broke off: {error}")))?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if in_head {
            match data.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    head.extend_from_slice(&data.split_to(end));
                    let _ = data.split_to(1);
                    in_head = false;
                }
                None => {
                    head.extend_from_slice(&data);
                    if head.len() > MAX_HEAD {
                        break;
                    }
                    continue;
                }
            }
        }
        if input.write_all(&data).await.is_err() {
            // git ended; it says why below.
            break;
        }
    }
    drop(input);
    let output = indexer.wait_with_output().await.map_err(no_git)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let problem = Problem::failed("the commit cannot be taken into the agent's mirror")
            .output(said.lines().map(str::to_owned).collect());
        return Err(SourceError::Here(problem));
    }
    let head: SourceHead = serde_json::from_slice(&head)
        .map_err(|error| LinkError::Unreachable(format!("the source has no head: {error}")))?;
    let mut updates = format!("update {BUILT}/{commit} {commit}\n");
    for (name, object) in &head.tags {
        if !name.contains(char::is_whitespace) {
            updates.push_str(&format!("update refs/tags/{name} {object}\n"));
        }
    }
    git(mirror, &["update-ref", "--stdin"], Some(&updates)).await?;
    Ok(())
}

async fn git(
    folder: &Path,
    arguments: &[&str],
    input: Option<&str>,
) -> Result<String, SourceError> {
    let mut command = prepared(folder);
    command.args(arguments);
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(no_git)?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        // A git that ended before it read all says why.
        let _ = pipe.write_all(text.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(no_git)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(SourceError::Here(
        Problem::failed(format!("git {} failed on the agent", arguments[0]))
            .output(said.lines().map(str::to_owned).collect()),
    ))
}

fn prepared(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .env("LC_ALL", "C")
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "gc.auto=0",
        ])
        .arg("-C")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn no_git(error: io::Error) -> SourceError {
    SourceError::Here(
        Problem::unavailable("git cannot be started on the agent")
            .cause(error)
            .hint("Install git on the agent's machine: `apt-get install git`."),
    )
}
