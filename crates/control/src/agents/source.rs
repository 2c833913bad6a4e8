//! The commit that an agent builds, as a git pack without what the agent has.

use std::process::Stdio;

use launchway_model::Problem;
use launchway_model::agent::{LeaseId, SourceHead, SourceRequest};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdout};

use super::AgentId;
use crate::{Control, git, problem};

/// How many commits of an agent are looked at.
const MAX_HAVE: usize = 64;

/// A pack while git writes it. Dropping it ends git.
pub struct Source {
    /// What the pack cannot say.
    pub head: SourceHead,
    /// The pack.
    pub pack: ChildStdout,
    /// git, which ends with it.
    pub writer: Child,
}

/// The commit of a lease's build, with its history and the tags in it.
///
/// # Errors
/// The lease is no more, or git fails.
pub async fn source(
    control: &Control,
    agent: AgentId,
    lease: LeaseId,
    request: &SourceRequest,
) -> Result<Source, Problem> {
    let (build, ..) = control.agents.delivering(agent, lease)?;
    let request_of = crate::builds::stored(control, build).await?.build.request;
    let folder = control.settings().home.repository(&request_of.app);
    let unreadable = |error: git::GitError| error.problem("the repository cannot be read");
    let tags = git::run(
        &folder,
        [
            "for-each-ref",
            "--format=%(objectname) %(refname:strip=2)",
            &format!("--merged={}", request_of.commit),
            "refs/tags",
        ],
        git::QUICK,
    )
    .await
    .map_err(unreadable)?;
    let tags: Vec<(String, String)> = tags
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(object, name)| (name.to_owned(), object.to_owned()))
        .collect();
    let mut revisions = format!("{}\n", request_of.commit);
    for (_, object) in &tags {
        revisions.push_str(object);
        revisions.push('\n');
    }
    for commit in request.have.iter().take(MAX_HAVE) {
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        // One that we do not have (a branch that was removed) would end git.
        if is_commit
            && git::run(&folder, ["cat-file", "-e", commit], git::QUICK)
                .await
                .is_ok()
        {
            revisions.push_str(&format!("^{commit}\n"));
        }
    }
    let mut writer = git::command(&folder)
        .args([
            "pack-objects",
            "--revs",
            "--stdout",
            "--thin",
            "--delta-base-offset",
            "--quiet",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| unreadable(git::GitError::Spawn(error)))?;
    let broken = || Problem::internal("git has no pipe");
    let mut input = writer.stdin.take().ok_or_else(broken)?;
    let pack = writer.stdout.take().ok_or_else(broken)?;
    // git reads all revisions before it writes.
    input
        .write_all(revisions.as_bytes())
        .await
        .map_err(|error| problem::file("write the revisions for", &folder, &error))?;
    drop(input);
    Ok(Source {
        head: SourceHead { tags },
        pack,
        writer,
    })
}
