//! A build without a server: the job for a runner on a laptop, of a working copy as it stands.
//!
//! What is not committed yet is built too: the working copy becomes a commit that no branch knows. The caller writes the job as
//! `job.json`, starts `launchway runner FOLDER` and follows the spool with [`crate::spool`].

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use launchway_model::runner::RunnerJob;
use launchway_model::trigger::Origin;
use launchway_model::{AppName, BuildId, PROTOCOL, Problem};

/// The job that builds the working copy of `repository` (any folder in it) below the empty folder `scratch`. The cache lies in
/// `cache` and is best kept for the next time. Nothing of the working copy, its index or its branches changes.
///
/// A `pipeline`, the name and text of a file at the root, is built in place of the working copy's own: a Jenkinsfile that lies
/// elsewhere, or is not saved yet.
pub fn job(
    repository: &Path,
    scratch: &Path,
    cache: &Path,
    pipeline: Option<(&str, &str)>,
) -> Result<RunnerJob, Problem> {
    let repository = repository.canonicalize().map_err(|error| {
        Problem::not_found(format!("there is no folder {}", repository.display())).cause(error)
    })?;
    let top = git(&repository, &[], &["rev-parse", "--show-toplevel"])
        .map_err(|problem| problem.hint("A build needs a git repository: `git init` makes one."))?;
    let top = Path::new(&top);
    // The objects are the repository's even where the working copy is a linked one.
    let git_folder = git(
        top,
        &[],
        &["rev-parse", "--path-format=absolute", "--git-common-dir"],
    )?;
    fs::create_dir_all(scratch).map_err(|error| {
        Problem::internal(format!("cannot make {}", scratch.display())).cause(error)
    })?;
    let commit = commit_of_working_copy(top, scratch, pipeline)?;
    let branch = git(top, &[], &["symbolic-ref", "--short", "HEAD"]).ok();
    let name = top.file_name().and_then(OsStr::to_str).unwrap_or("app");
    Ok(RunnerJob {
        sandbox: None,
        user: None,
        protocol: PROTOCOL,
        build: BuildId(1),
        app: AppName::from_any(name),
        repository: git_folder.into(),
        commit,
        branch,
        folder: scratch.join("build"),
        tree: scratch.join("tree"),
        home: scratch.join("home"),
        cache: cache.to_owned(),
        persist: scratch.join("persist"),
        description: None,
        env: BTreeMap::new(),
        secrets: false,
        origin: Origin::default(),
        cause: "local".to_owned(),
        parameters: BTreeMap::new(),
        timeout_ms: 24 * 3_600_000,
        memory_bytes: None,
        parallel: std::thread::available_parallelism()
            .map_or(2, |cores| u32::try_from(cores.get()).unwrap_or(2)),
        scanner: None,
    })
}

/// The working copy, with all that is neither committed nor ignored, as a commit.
fn commit_of_working_copy(
    top: &Path,
    scratch: &Path,
    pipeline: Option<(&str, &str)>,
) -> Result<String, Problem> {
    let index = scratch.join("index");
    let index = [("GIT_INDEX_FILE", index.as_os_str())];
    let head = git(
        top,
        &[],
        &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
    )
    .ok();
    if let Some(head) = &head {
        git(top, &index, &["read-tree", head])?;
    }
    git(top, &index, &["add", "--all", "--", "."])?;
    if let Some((name, text)) = pipeline {
        let copy = scratch.join("pipeline");
        fs::write(&copy, text).map_err(|error| {
            Problem::internal(format!("cannot write {}", copy.display())).cause(error)
        })?;
        let copy = copy.to_string_lossy();
        let blob = git(
            top,
            &[],
            &["hash-object", "-w", "--no-filters", "--", &copy],
        )?;
        let entry = format!("100644,{blob},{name}");
        git(
            top,
            &index,
            &["update-index", "--add", "--cacheinfo", &entry],
        )?;
    }
    let tree = git(top, &index, &["write-tree"])?;
    if let Some(head) = &head
        && git(top, &[], &["rev-parse", &format!("{head}^{{tree}}")])? == tree
    {
        return Ok(head.clone());
    }
    let mut arguments = vec![
        "-c",
        "user.name=Launchway",
        "-c",
        "user.email=launchway@localhost",
        "-c",
        "commit.gpgSign=false",
        "commit-tree",
        &tree,
        "-m",
        "The working copy",
    ];
    if let Some(head) = &head {
        arguments.extend(["-p", head]);
    }
    git(top, &[], &arguments)
}

fn git(folder: &Path, variables: &[(&str, &OsStr)], arguments: &[&str]) -> Result<String, Problem> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .envs(variables.iter().copied())
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| {
            Problem::unavailable("cannot start git")
                .cause(error)
                .hint("Install git, such as with `apt-get install git`.")
        })?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        let what = arguments
            .iter()
            .find(|argument| !argument.starts_with('-') && !argument.contains('='));
        let message = format!(
            "`git {}` failed in {}",
            what.unwrap_or(&""),
            folder.display()
        );
        return Err(Problem::invalid(message).cause(said(&output.stderr)));
    }
    Ok(said(&output.stdout))
}
