//! Calls of the system's `git`.

use std::path::Path;
use std::process::{Output, Stdio};

use launchway_model::Problem;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdout;

use super::body::Reader;
use super::git;

/// Refs of ours that no client sees.
const HIDDEN: &str = "transfer.hideRefs=refs/launchway";

/// The refs for a fetch.
pub(super) async fn upload_refs(
    repository: &Path,
    version: Option<&str>,
) -> Result<Vec<u8>, Problem> {
    let mut command = git(repository);
    if let Some(version) = version {
        command.env("GIT_PROTOCOL", version);
    }
    let output = command
        .args([
            "-c",
            HIDDEN,
            "upload-pack",
            "--stateless-rpc",
            "--http-backend-info-refs",
            ".",
        ])
        .stdin(Stdio::null())
        .output()
        .await;
    success(output, "the refs of the repository cannot be listed").map(|output| output.stdout)
}

/// Answers one request of a fetch; the output flows as git makes it.
pub(super) async fn upload(
    repository: &Path,
    version: Option<&str>,
    mut request: Reader,
) -> Result<ChildStdout, Problem> {
    let mut command = git(repository);
    if let Some(version) = version {
        command.env("GIT_PROTOCOL", version);
    }
    let mut child = command
        .args(["-c", HIDDEN, "upload-pack", "--stateless-rpc", "."])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| missing(&error))?;
    let mut input = child.stdin.take().ok_or_else(no_pipe)?;
    let output = child.stdout.take().ok_or_else(no_pipe)?;
    tokio::spawn(async move {
        // An error here is a client that went away; git then meets the end of its input and ends too.
        let _ = tokio::io::copy(&mut request, &mut input).await;
        drop(input);
        let _ = child.wait().await;
    });
    Ok(output)
}

/// Feeds `git receive-pack` with commands and the client's objects. Gives its report and what it said beside it.
pub(super) async fn receive(
    repository: &Path,
    commands: &[u8],
    mut objects: Reader,
) -> Result<Output, Problem> {
    let mut child = git(repository)
        .args(["receive-pack", "--stateless-rpc", "."])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| missing(&error))?;
    let mut input = child.stdin.take().ok_or_else(no_pipe)?;
    let feed = async {
        // Where git ends early (a broken pack), the rest of the request is read all the same: a client that is
        // still writing would not see the answer otherwise.
        let mut fed = input.write_all(commands).await;
        if fed.is_ok() {
            fed = tokio::io::copy(&mut objects, &mut input).await.map(drop);
        }
        drop(input);
        if fed.is_err() {
            let _ = tokio::io::copy(&mut objects, &mut tokio::io::sink()).await;
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    output.map_err(|error| Problem::internal("git cannot be waited for").caused_by(&error))
}

/// All branches and tags with what they point at.
pub(super) async fn branches_and_tags(repository: &Path) -> Result<Vec<(String, String)>, Problem> {
    let mut refs = refs_below(repository, "refs/heads").await?;
    refs.extend(refs_below(repository, "refs/tags").await?);
    Ok(refs)
}

/// The refs below a folder with what they point at.
pub(super) async fn refs_below(
    repository: &Path,
    folder: &str,
) -> Result<Vec<(String, String)>, Problem> {
    let text = run(
        repository,
        &["for-each-ref", "--format=%(objectname) %(refname)", folder],
        "the refs of the repository cannot be listed",
    )
    .await?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(object, name)| (object.to_owned(), name.to_owned()))
        .collect())
}

/// What a ref points at.
pub(super) async fn target(repository: &Path, name: &str) -> Option<String> {
    run(repository, &["rev-parse", "--verify", "--quiet", name], "")
        .await
        .ok()
        .map(|text| text.trim().to_owned())
}

/// Moves a ref from `old` to `new`; forty zeros for `new` remove it. Fails where it is not at `old`.
pub(super) async fn move_ref(
    repository: &Path,
    name: &str,
    new: &str,
    old: &str,
) -> Result<(), Problem> {
    let arguments: &[&str] = if is_zero(new) {
        &["update-ref", "-d", name, old]
    } else {
        &["update-ref", name, new, old]
    };
    run(repository, arguments, "the branch moved meanwhile")
        .await
        .map(drop)
}

/// Whether an object name stands for "none".
pub(super) fn is_zero(object: &str) -> bool {
    object.bytes().all(|b| b == b'0')
}

/// Runs git and gives what it printed.
pub(super) async fn run(
    repository: &Path,
    arguments: &[&str],
    problem: &str,
) -> Result<String, Problem> {
    let output = git(repository)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await;
    let output = success(output, problem)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn success(output: std::io::Result<Output>, problem: &str) -> Result<Output, Problem> {
    let output = output.map_err(|error| missing(&error))?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(Problem::conflict(problem).cause(String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn missing(error: &std::io::Error) -> Problem {
    Problem::unavailable("git cannot be started")
        .caused_by(error)
        .hint("Install it: `apt-get install git`.")
}

fn no_pipe() -> Problem {
    Problem::internal("a pipe to git is missing")
}
