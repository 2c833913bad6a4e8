//! Makes a tree of a commit, without `.git`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use launchway_model::Problem;
use launchway_model::runner::RunnerJob;

/// Writes the commit's files to the job's tree and gives what a person should know of it.
///
/// One `git read-tree -u` with an index of its own does it: no branch, no working copy, nothing in the mirror changes, and any
/// number of builds may do it at once.
pub(crate) fn checkout(job: &RunnerJob) -> Result<Vec<String>, Problem> {
    let is_commit =
        job.commit.len() == 40 && job.commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_commit {
        return Err(
            Problem::invalid(format!("`{}` is not a commit's id", job.commit))
                .hint("A commit is named by its 40 hexadecimal digits."),
        );
    }
    let cannot = |what: &str, error: &std::io::Error| {
        Problem::internal(format!("cannot {what} {}", job.tree.display())).cause(error)
    };
    fs::create_dir_all(&job.tree).map_err(|error| cannot("make the tree", &error))?;
    let mut entries = fs::read_dir(&job.tree).map_err(|error| cannot("read the tree", &error))?;
    if entries.next().is_some() {
        return Err(Problem::internal(format!(
            "the tree {} is not empty, so another build's files may be in it",
            job.tree.display()
        )));
    }
    let index = job.folder.join("index");
    let _ = fs::remove_file(&index);
    let output = git(job)
        .arg("--work-tree")
        .arg(&job.tree)
        .args([
            "-c",
            "core.bare=false",
            "-c",
            "core.fsync=none",
            "read-tree",
            "-u",
            "--reset",
            &job.commit,
        ])
        .env("GIT_INDEX_FILE", &index)
        .output();
    let _ = fs::remove_file(&index);
    let output = output.map_err(|error| {
        Problem::unavailable("cannot start git")
            .cause(error)
            .hint("Install git, such as with `apt-get install git`.")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<String> = said.lines().map(str::to_owned).collect();
        return Err(refused(job, said));
    }
    Ok(notes(&job.tree))
}

/// The files that the commit changed, compared with its first parent.
pub(crate) fn changed_files(job: &RunnerJob) -> Vec<String> {
    let output = git(job)
        .args([
            "diff-tree",
            "--root",
            "--no-commit-id",
            "--name-only",
            "-r",
            "-m",
            "--first-parent",
            "-z",
            &job.commit,
        ])
        .stderr(Stdio::null())
        .output();
    output
        .map(|output| {
            output
                .stdout
                .split(|byte| *byte == 0)
                .filter(|name| !name.is_empty())
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect()
        })
        .unwrap_or_default()
}

fn git(job: &RunnerJob) -> Command {
    let mut git = Command::new("git");
    // The operator's variables could lead git elsewhere.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            git.env_remove(name);
        }
    }
    git.env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .arg("--git-dir")
        .arg(&job.repository)
        // The mirror is our own; who owns its folder says nothing.
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
        ]);
    git
}

fn refused(job: &RunnerJob, said: Vec<String>) -> Problem {
    let text = said.join("\n");
    let short = &job.commit[..12];
    if !job.repository.exists() {
        return Problem::failed(format!(
            "there is no repository at {}",
            job.repository.display()
        ));
    }
    if text.contains("not a tree object")
        || text.contains("bad object")
        || text.contains("failed to unpack tree")
        || text.contains("unable to read tree")
        || text.contains("Not a valid object")
    {
        return Problem::not_found(format!("the commit {short} is not in the repository"))
            .output(said)
            .hint("It may have been removed by a forced push; deploy a commit that exists.");
    }
    if text.contains("No space left") {
        return Problem::new(launchway_model::ProblemKind::Exhausted, "the disk is full")
            .output(said);
    }
    Problem::failed(format!("cannot check out the commit {short}")).output(said)
}

/// What the tree lacks that a full clone would have.
fn notes(tree: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    if let Ok(text) = fs::read_to_string(tree.join(".gitmodules")) {
        let paths: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("path"))
            .filter_map(|rest| rest.trim().strip_prefix('='))
            .map(str::trim)
            .collect();
        if !paths.is_empty() {
            notes.push(format!(
                "Submodules are not fetched: {} {} empty. Add their files to the repository, or fetch them in a stage.",
                paths.join(", "),
                if paths.len() == 1 { "is" } else { "are" }
            ));
        }
    }
    notes
}
