//! One lease, from its assignment to its last byte delivered.
//!
//! The runner is a process of its own that survives the agent: an agent that is started anew finds the lease's folder, and the
//! runner by its command line, and goes on with both.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::agent::{Assignment, TREE_FILE};
use launchway_model::build::BuildResult;
use launchway_model::credential::RunnerSecrets;
use launchway_model::request::answer_path;
use launchway_model::runner::{
    CANCEL_FILE, EVENTS_FILE, JOB_FILE, RunnerEvent, RunnerEventKind, RunnerJob,
};
use launchway_model::shim::Sandbox;
use launchway_model::{Problem, ProblemKind};
use launchway_pipeline::runner;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::folder::{self, Folder, LeaseFile};
use crate::link::{Lane, Link, LinkError};
use crate::ship::{Passed, ShipError, Shipper};
use crate::{archive, host, source};

/// How often the spool is looked at: often while the build is young, since a short one takes a blink.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));
/// How long a build is young.
const YOUNG: Duration = Duration::from_secs(10);
/// The pauses between two tries of a link that is down.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// How long a dropped build has to end by itself before it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);
/// The file with what the runner itself said, for the case that it dies.
const RUNNER_LOG: &str = "runner.log";

/// What all builds of an agent share.
#[derive(Debug)]
pub struct Bench {
    /// The way to control.
    pub link: Link,
    /// The agent's folder.
    pub folder: Folder,
    /// The binary whose role `runner` is started.
    pub binary: PathBuf,
    /// Whether builds can be shown their tree where the server will have it.
    pub can_mount: bool,
    /// One fetch at a time.
    pub fetching: tokio::sync::Mutex<()>,
}

/// One build of an agent, for those who tell it to end.
#[derive(Debug)]
pub struct Handle {
    /// What it is.
    pub lease: LeaseFile,
    /// Whether it was told to end.
    pub cancelled: AtomicBool,
    /// The requests whose answers it has.
    pub answered: Mutex<BTreeSet<u32>>,
    /// Ends it without a trace.
    pub dropped: CancellationToken,
}

impl Handle {
    /// A build that nobody told to end.
    pub fn new(lease: LeaseFile) -> Arc<Self> {
        Arc::new(Self {
            lease,
            cancelled: AtomicBool::new(false),
            answered: Mutex::default(),
            dropped: CancellationToken::new(),
        })
    }

    /// Gives the runner the answer to what its build asked. One that came twice is the same.
    pub fn answer(&self, folder: &Folder, number: u32, text: &str) {
        let path = answer_path(&folder.lease(self.lease.lease), number);
        let draft = path.with_extension("draft");
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&draft, text))
            .and_then(|()| std::fs::rename(&draft, &path));
        match written {
            Ok(()) => {
                let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
                answered.insert(number);
            }
            Err(error) => {
                tracing::warn!(%error, build = %self.lease.build, "an answer cannot be written");
            }
        }
    }

    /// Tells the runner to end, and why; it ends all that the build started.
    pub fn cancel(&self, folder: &Folder, reason: &str) {
        self.cancelled.store(true, Ordering::Relaxed);
        let folder = folder.lease(self.lease.lease);
        let draft = folder.join("cancel.draft");
        let written = std::fs::write(&draft, reason)
            .and_then(|()| std::fs::rename(&draft, folder.join(CANCEL_FILE)));
        if let Err(error) = written {
            tracing::warn!(%error, build = %self.lease.build, "a build cannot be told to end");
        }
    }
}

/// Why a build is not delivered.
enum Stopped {
    /// The lease is no more, or the agent may not speak any more.
    Dropped,
    /// The agent's machine cannot do it: control is told by the spool.
    Here(Problem),
}

/// Runs a new assignment, or goes on with one that an earlier process of the agent began (`assignment` is none), until it is
/// delivered or dropped. Nothing of it is left then, but for an agent that is told to end by `leave`.
pub async fn run(
    bench: &Bench,
    handle: &Handle,
    assignment: Option<Assignment>,
    leave: &CancellationToken,
) {
    let id = handle.lease.lease;
    let folder = bench.folder.lease(id);
    let mut lane = bench.link.lane();
    let mut child = None;
    let work = async {
        if let Some(assignment) = assignment {
            match begin(bench, &mut lane, &folder, assignment).await {
                Ok(started) => child = Some(started),
                Err(Stopped::Here(problem)) => end_spool(&folder, BuildResult::Failure, problem),
                Err(Stopped::Dropped) => return,
            }
        }
        deliver(bench, handle, &mut lane, &mut child).await;
    };
    let done = tokio::select! {
        () = work => true,
        () = handle.dropped.cancelled() => true,
        () = leave.cancelled() => false,
    };
    if !done {
        // The runner goes on, and the next process of this agent with it.
        return;
    }
    let started = child.as_ref().and_then(Child::id);
    end_runner(&folder, handle, started).await;
    bench.folder.end(id);
    tracing::info!(lease = %id, build = %handle.lease.build, "done with a build");
}

/// Fetches the commit and starts the runner.
async fn begin(
    bench: &Bench,
    lane: &mut Lane,
    folder: &Path,
    assignment: Assignment,
) -> Result<Child, Stopped> {
    let mut job = assignment.job;
    let mirror = bench.folder.repository(&job.app);
    let mut pause = PAUSE.0;
    loop {
        let _turn = bench.fetching.lock().await;
        match source::fetch(lane, assignment.lease, &mirror, &job.commit).await {
            Ok(()) => break,
            Err(source::SourceError::Here(problem)) => return Err(Stopped::Here(problem)),
            Err(source::SourceError::Link(error)) => rest(&error, &mut pause).await?,
        }
    }
    let seen_tree = job.seen_tree().to_owned();
    job.tree = bench.folder.tree(assignment.lease);
    job.repository = mirror;
    job.folder = folder.to_owned();
    job.home = bench.folder.app(&job.app, "home");
    job.cache = bench.folder.app(&job.app, "cache");
    job.persist = bench.folder.app(&job.app, "persist");
    job.memory_bytes = job.memory_bytes.and_then(|_| host::build_memory());
    job.user = None;
    // The advisories are the server's; a step that asks for them says so.
    job.scanner = None;
    for folder in [&job.tree, &job.home, &job.cache, &job.persist] {
        std::fs::create_dir_all(folder)
            .map_err(|error| Stopped::Here(folder::cannot("make", folder, &error)))?;
    }
    // The build sees its tree where the server's instances will, so that absolute paths in it stay true; and no other app's files.
    job.sandbox = bench.can_mount.then(|| Sandbox {
        mount_at: Some(seen_tree),
        tree_writable: true,
        private_tmp: true,
        hide: vec![bench.folder.root().to_owned()],
        readable: vec![job.repository.clone()],
        writable: vec![job.folder.clone(), job.home.clone(), job.cache.clone()],
        ..Sandbox::default()
    });
    job.env.clear();
    job.secrets = true;
    start(bench, folder, &job, &assignment.secrets).map_err(Stopped::Here)
}

/// Starts the runner. What is secret goes to it by its standard input alone.
fn start(
    bench: &Bench,
    folder: &Path,
    job: &RunnerJob,
    secrets: &RunnerSecrets,
) -> Result<Child, Problem> {
    let path = folder.join(JOB_FILE);
    let text = serde_json::to_vec(job)
        .map_err(|error| Problem::internal("cannot encode the job").cause(error))?;
    std::fs::write(&path, text).map_err(|error| folder::cannot("write", &path, &error))?;
    let input = runner::secrets_file(secrets)
        .map_err(|error| Problem::internal("cannot hand secrets to the runner").cause(error))?;
    let log = folder.join(RUNNER_LOG);
    let output =
        std::fs::File::create(&log).map_err(|error| folder::cannot("make", &log, &error))?;
    let errors = output
        .try_clone()
        .map_err(|error| folder::cannot("open", &log, &error))?;
    Command::new(&bench.binary)
        .arg("runner")
        .arg(folder)
        .current_dir("/")
        .stdin(input)
        .stdout(output)
        .stderr(errors)
        // What a terminal sends to the agent must not reach it.
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| {
            Problem::internal(format!(
                "the runner `{}` cannot be started",
                bench.binary.display()
            ))
            .cause(error)
        })
}

/// Sends all that the runner writes until its last event is acknowledged, or the lease is no more.
async fn deliver(bench: &Bench, handle: &Handle, lane: &mut Lane, child: &mut Option<Child>) {
    let folder = bench.folder.lease(handle.lease.lease);
    let mut shipper = Shipper::new(handle.lease.lease, &folder);
    let began = tokio::time::Instant::now();
    let mut pause = PAUSE.0;
    let mut pid = None;
    let mut packed = false;
    loop {
        // The order matters: a runner that is gone before its spool is read has written all that it will.
        let gone = !is_alive(child, pid, &folder);
        let passed = match shipper.pass(lane).await {
            Ok(passed) => passed,
            Err(error) => match after(&folder, error, &mut pause).await {
                Ok(()) => continue,
                Err(Stopped::Dropped | Stopped::Here(_)) => return,
            },
        };
        pause = PAUSE.0;
        pid = passed.pid.or(pid);
        let Passed { finished, news, .. } = passed;
        if let Some(end) = finished {
            let delivered = finish(bench, handle, &mut shipper, lane, &end, &mut packed).await;
            match delivered {
                Ok(()) => return,
                Err(error) => match after(&folder, error, &mut pause).await {
                    Ok(()) => continue,
                    Err(Stopped::Dropped | Stopped::Here(_)) => return,
                },
            }
        }
        if gone && !news {
            end_spool(&folder, BuildResult::Aborted, died(&folder, child));
            continue;
        }
        let young = began.elapsed() < YOUNG;
        tokio::time::sleep(if young { LOOK.0 } else { LOOK.1 }).await;
    }
}

/// Sends the tree, where one is wanted, then the rest.
async fn finish(
    bench: &Bench,
    handle: &Handle,
    shipper: &mut Shipper,
    lane: &mut Lane,
    end: &RunnerEventKind,
    packed: &mut bool,
) -> Result<(), ShipError> {
    let green = matches!(
        end,
        RunnerEventKind::Finished {
            result: BuildResult::Success,
            ..
        }
    );
    if handle.lease.deliver_tree && green {
        let archive = bench.folder.lease(handle.lease.lease).join(TREE_FILE);
        if !*packed {
            let (tree, to) = (bench.folder.tree(handle.lease.lease), archive.clone());
            let done = tokio::task::spawn_blocking(move || archive::pack(&tree, &to)).await;
            let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            done.map_err(|source| ShipError::File {
                path: archive.clone(),
                source,
            })?;
            *packed = true;
        }
        shipper.whole(lane, TREE_FILE).await?;
        let _ = std::fs::remove_file(&archive);
        *packed = false;
    }
    shipper.finish(lane).await
}

/// What follows an error of a delivery: a pause, or the end.
async fn after(folder: &Path, error: ShipError, pause: &mut Duration) -> Result<(), Stopped> {
    match error {
        ShipError::Link(error) => rest(&error, pause).await,
        ShipError::Behind(name) => {
            tracing::error!(
                name,
                "the server has more of a file than this agent; the build is given up"
            );
            Err(Stopped::Dropped)
        }
        error @ ShipError::File { .. } => {
            tracing::error!(%error, folder = %folder.display(), "a build cannot be delivered");
            rest(&LinkError::Unreachable(error.to_string()), pause).await
        }
    }
}

/// Waits before the next try of a link, unless there is none.
async fn rest(error: &LinkError, pause: &mut Duration) -> Result<(), Stopped> {
    match error {
        LinkError::Refused(problem)
            if matches!(
                problem.kind,
                ProblemKind::NotFound | ProblemKind::Unauthenticated
            ) =>
        {
            return Err(Stopped::Dropped);
        }
        LinkError::Refused(problem) => tracing::warn!(%problem, "the server refuses a delivery"),
        LinkError::Unreachable(words) | LinkError::Stranger(words) => {
            tracing::debug!(words, "a delivery waits for the link");
        }
    }
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(PAUSE.1);
    Ok(())
}

fn is_alive(child: &mut Option<Child>, pid: Option<u32>, folder: &Path) -> bool {
    match (child, pid) {
        (Some(child), _) => matches!(child.try_wait(), Ok(None)),
        (None, Some(pid)) => runner::lives(folder, pid),
        (None, None) => false,
    }
}

/// The words for a runner that died without its last event.
fn died(folder: &Path, child: &mut Option<Child>) -> Problem {
    let words = match child.as_mut().map(Child::try_wait) {
        Some(Ok(Some(status))) => format!("it ended with {status}"),
        Some(_) => "it did not end".to_owned(),
        None => "it was gone when the agent came back".to_owned(),
    };
    let said = std::fs::read_to_string(folder.join(RUNNER_LOG)).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    let output = lines[lines.len().saturating_sub(20)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect();
    let killed = runner::end_leftovers(folder);
    let problem = Problem::failed("the build's runner died before the build ended")
        .cause(words)
        .output(output);
    let problem = if killed > 0 {
        problem.cause(format!(
            "{killed} of its processes were still there and were ended"
        ))
    } else {
        problem
    };
    problem.hint("It may have been killed for want of memory: see `dmesg` on the agent's machine.")
}

/// Writes the last event of a spool in the place of a runner that cannot. A line that the runner did not end is taken away.
fn end_spool(folder: &Path, result: BuildResult, problem: Problem) {
    let path = folder.join(EVENTS_FILE);
    let text = std::fs::read(&path).unwrap_or_default();
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let seq = text[..whole].iter().filter(|byte| **byte == b'\n').count() as u64;
    let event = RunnerEvent {
        seq,
        at: Timestamp::now(),
        kind: RunnerEventKind::Finished {
            result,
            problem: Some(problem),
        },
    };
    let written = std::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .and_then(|mut file| {
            file.set_len(whole as u64)?;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
            let mut line = serde_json::to_vec(&event)?;
            line.push(b'\n');
            file.write_all(&line)?;
            file.sync_data()
        });
    if let Err(error) = written {
        tracing::error!(%error, folder = %folder.display(), "the end of a build cannot be written");
    }
}

/// Ends a runner that may still be there, and all that it started.
async fn end_runner(folder: &Path, handle: &Handle, started: Option<u32>) {
    let marked = folder.to_owned();
    let alive = || {
        let text = std::fs::read_to_string(folder.join(EVENTS_FILE)).unwrap_or_default();
        let first = text
            .lines()
            .next()
            .and_then(|line| serde_json::from_str(line).ok());
        match first {
            Some(RunnerEvent {
                kind: RunnerEventKind::Started { pid, .. },
                ..
            }) => runner::lives(&marked, pid).then_some(pid),
            // It may not have come to its first word yet.
            _ => started.filter(|pid| runner::lives(&marked, *pid)),
        }
    };
    if alive().is_some() {
        let draft = folder.join("cancel.draft");
        let _ = std::fs::write(&draft, "the server gave the build up")
            .and_then(|()| std::fs::rename(&draft, folder.join(CANCEL_FILE)));
        let deadline = tokio::time::Instant::now() + END_WITHIN;
        while let Some(pid) = alive() {
            if tokio::time::Instant::now() >= deadline {
                tracing::warn!(build = %handle.lease.build, "a runner does not end and is killed");
                if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                break;
            }
            tokio::time::sleep(LOOK.0).await;
        }
    }
    let folder = folder.to_owned();
    let _ = tokio::task::spawn_blocking(move || runner::end_leftovers(&folder)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_spool_gets_its_last_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVENTS_FILE);
        let first =
            r#"{"seq":0,"at":"2026-01-01T00:00:00Z","event":"started","pid":1,"protocol":1}"#;
        std::fs::write(&path, format!("{first}\n{{\"seq\":1,\"at\"")).unwrap();
        end_spool(folder.path(), BuildResult::Aborted, Problem::failed("gone"));
        let mut reader = launchway_pipeline::spool::EventReader::new(folder.path(), 0);
        let events = reader.read().unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].seq, 1);
        assert!(reader.finished());
    }

    #[test]
    fn a_tree_is_packed_with_its_links_and_without_its_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("bin")).unwrap();
        std::fs::write(tree.join("bin/run"), "x").unwrap();
        std::os::unix::fs::symlink("/nowhere", tree.join("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
        let packed = folder.path().join("packed");
        archive::pack(&tree, &packed).unwrap();
        let reader = zstd::Decoder::new(std::fs::File::open(&packed).unwrap()).unwrap();
        let names: Vec<String> = tar::Archive::new(reader)
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        // Whether a folder's name ends in a slash is the reader's way to show it.
        let names: Vec<&str> = names
            .iter()
            .map(|name| name.trim_end_matches('/'))
            .collect();
        assert_eq!(names, ["bin", "bin/run", "dangling"]);
    }
}
