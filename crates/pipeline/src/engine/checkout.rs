//! Makes a tree of a commit. While the build runs, the tree has a small repository; a release has none.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
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
    let cannot = |what: &str, error: &io::Error| {
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
    let index = job.folder.join("tmp/index");
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
    let output = output.map_err(|error| {
        Problem::unavailable("cannot start git")
            .cause(error)
            .hint("Install git, such as with `apt-get install git`.")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<String> = said.lines().map(str::to_owned).collect();
        let _ = fs::remove_file(&index);
        return Err(refused(job, said));
    }
    // Without it, only commands of the build that ask git would fail; a tree that has a `.git` of its own keeps it.
    if let Err(error) = lend_repository(job, &index) {
        tracing::debug!(%error, "the build sees no repository");
    }
    let _ = fs::remove_file(&index);
    Ok(notes(&job.tree))
}

/// Makes a small repository in the tree, for commands of the build that ask git: `git rev-parse`, `git describe`, versions
/// made of tags. Its objects are the mirror's, by reference; what the build commits stays in it.
fn lend_repository(job: &RunnerJob, index: &Path) -> io::Result<()> {
    let git = job.tree.join(".git");
    fs::create_dir(&git)?;
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        fs::create_dir_all(git.join(folder))?;
    }
    let objects = fs::canonicalize(job.repository.join("objects"))?;
    fs::write(
        git.join("objects/info/alternates"),
        format!("{}\n", objects.display()),
    )?;
    let origin = job.repository.display();
    fs::write(
        git.join("config"),
        format!(
            "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[remote \"origin\"]\n\turl = {origin}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
        ),
    )?;
    fs::write(git.join("HEAD"), format!("{}\n", job.commit))?;
    if let Some(branch) = job.branch.as_ref().filter(|branch| is_branch(branch)) {
        let reference = git.join("refs/remotes/origin").join(branch);
        if let Some(parent) = reference.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(reference, format!("{}\n", job.commit))?;
    }
    if let Ok(packed) = fs::read_to_string(job.repository.join("packed-refs")) {
        let mut tags = String::from("# pack-refs with: peeled fully-peeled sorted \n");
        let mut kept = false;
        for line in packed.lines().filter(|line| !line.starts_with('#')) {
            // A line with `^` tells what the tag above it leads to.
            kept = if line.starts_with('^') {
                kept
            } else {
                line.contains(" refs/tags/")
            };
            if kept {
                tags.push_str(line);
                tags.push('\n');
            }
        }
        fs::write(git.join("packed-refs"), tags)?;
    }
    copy_references(&job.repository.join("refs/tags"), &git.join("refs/tags"), 0)?;
    fs::rename(index, git.join("index")).or_else(|_| fs::copy(index, git.join("index")).map(|_| ()))
}

/// Takes the repository of [`lend_repository`] away, so that no release has one.
pub(crate) fn take_repository_back(job: &RunnerJob) {
    let git = job.tree.join(".git");
    if git.is_dir() {
        let _ = fs::remove_dir_all(git);
    }
}

fn copy_references(from: &Path, to: &Path, depth: u32) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            if depth < 16 {
                fs::create_dir_all(&target)?;
                copy_references(&entry.path(), &target, depth + 1)?;
            }
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Whether a text can be a branch's name as part of a path.
fn is_branch(name: &str) -> bool {
    crate::persist::is_inside(name) && !name.contains("..") && !name.contains('\0')
}

/// The files that changed since the branch's last build, or, where there was none, in the commit alone.
pub(crate) fn changed_files(job: &RunnerJob) -> Vec<String> {
    let names = |output: std::process::Output| -> Vec<String> {
        let names = output.stdout.split(|byte| *byte == 0);
        names
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    };
    // Since a forced push the last build's commit may be gone.
    if let Some(previous) = job
        .origin
        .previous
        .as_ref()
        .filter(|previous| **previous != job.commit)
        && let Ok(output) = git(job)
            .args(["diff-tree", "-r", "-z", "--name-only", "--end-of-options"])
            .args([previous, &job.commit])
            .stderr(Stdio::null())
            .output()
        && output.status.success()
    {
        return names(output);
    }
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
    output.map(names).unwrap_or_default()
}

fn git(job: &RunnerJob) -> Command {
    let mut git = Command::new("git");
    if let Some(who) = job.user {
        git.uid(who.user).gid(who.group);
    }
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
