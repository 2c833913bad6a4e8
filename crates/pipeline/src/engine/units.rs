//! Answers the stand-ins of `systemctl` and `journalctl`: for the units that are the app itself they ask control.
//!
//! A stand-in makes a pipe for its reply, writes one line with the reply's name and what it wants into the pipe `ask`, and
//! prints what comes back. A thread of the runner reads these lines for as long as the plan runs; each question waits in a
//! thread of its own, since a deploy takes seconds and another command may ask meanwhile.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Scope;
use std::time::{Duration, Instant};

use launchway_model::Problem;
use launchway_model::request::{Answer, AnswerOutcome, Ask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};

use super::asking;
use super::build::Build;
use super::stages::stopped_words;
use super::steps::Interrupt;
use super::stop::{Stop, StopReason};

/// How long a stand-in that asked is waited for to take its reply.
const TAKE_WITHIN: Duration = Duration::from_secs(5);

/// The folder of pipes, made before the stand-ins are.
pub(crate) fn make_folder(temporary: &Path) -> io::Result<PathBuf> {
    let folder = temporary.join("units");
    fs::create_dir_all(&folder)?;
    // Commands may run as another user than the runner.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    let pipe = folder.join("ask");
    rustix::fs::mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o622))?;
    fs::set_permissions(&pipe, fs::Permissions::from_mode(0o622))?;
    Ok(folder)
}

/// The thread that answers.
#[derive(Debug)]
pub(crate) struct Desk {
    end: Arc<Stop>,
}

impl Desk {
    /// Answers until [`Desk::close`], in threads of `scope`.
    pub(crate) fn open<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        build: &'env Build<'env>,
        folder: &'env Path,
    ) -> io::Result<Self> {
        let end = Arc::new(Stop::new()?);
        // Opened for both, so that the pipe never ends between two writers.
        let pipe = rustix::fs::open(
            folder.join("ask"),
            OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let ended = Arc::clone(&end);
        std::thread::Builder::new()
            .name("units".to_owned())
            .spawn_scoped(scope, move || serve(scope, build, folder, &pipe, &ended))?;
        Ok(Self { end })
    }

    /// No more questions; those that wait are given up.
    pub(crate) fn close(&self) {
        self.end.stop(StopReason::Neighbour(String::new()));
    }
}

fn serve<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    build: &'env Build<'env>,
    folder: &'env Path,
    pipe: &OwnedFd,
    end: &Arc<Stop>,
) {
    let mut held = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let mut fds = [
            PollFd::new(pipe, PollFlags::IN),
            PollFd::new(&**end, PollFlags::IN),
        ];
        let _ = poll(&mut fds, None);
        if end.reason().is_some() {
            return;
        }
        while let Ok(read @ 1..) = rustix::io::read(pipe, &mut buffer) {
            held.extend_from_slice(&buffer[..read]);
        }
        while let Some(at) = memchr::memchr(b'\n', &held) {
            let line: Vec<u8> = held.drain(..=at).collect();
            let Ok(line) = String::from_utf8(line) else {
                continue;
            };
            let end = Arc::clone(end);
            let spawned = std::thread::Builder::new()
                .name("unit".to_owned())
                .spawn_scoped(scope, move || one(build, folder, line.trim(), &end));
            if let Err(error) = spawned {
                tracing::warn!(%error, "a question of a stand-in cannot be answered");
            }
        }
        // A line is far shorter; whatever else is written there is no question.
        if held.len() > 64 << 10 {
            held.clear();
        }
    }
}

/// One question: `reply.NAME VERB …`.
fn one(build: &Build<'_>, folder: &Path, line: &str, end: &Stop) {
    let mut words = line.split_ascii_whitespace();
    let (Some(reply), Some(verb)) = (words.next(), words.next()) else {
        return;
    };
    if !reply.starts_with("reply.") || !reply[6..].bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return;
    }
    let ask = match verb {
        "deploy" => Ask::Deploy,
        "status" => Ask::AppStatus,
        "log" => Ask::AppLog {
            lines: words
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(20),
        },
        _ => return,
    };
    let deploys = ask == Ask::Deploy;
    if deploys && let Err(error) = build.put_seeds_back() {
        let problem = Problem::failed("the persistent files of the commit cannot be put back");
        write_reply(folder, reply, &Answer::failed(problem.cause(error)), build);
        return;
    }
    let answered: Result<Answer, Interrupt> =
        asking::with(build, ask, |pause| wait(build, end, pause));
    let answer = match answered {
        Ok(answer) => answer,
        Err(Interrupt::Failed(problem) | Interrupt::Aborted(problem)) => Answer::failed(problem),
    };
    if deploys && answer.values.contains_key("release") {
        // The live files are in their place by now.
        build.forget_seeds();
    }
    write_reply(folder, reply, &answer, build);
}

fn wait(build: &Build<'_>, end: &Stop, pause: Duration) -> Result<(), Interrupt> {
    if let Some(reason) = build.stop.reason().or_else(|| end.reason()) {
        return Err(Interrupt::Aborted(stopped_words("deploy", &reason)));
    }
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(pause.subsec_nanos()),
    };
    let mut fds = [
        PollFd::new(&*build.stop, PollFlags::IN),
        PollFd::new(end, PollFlags::IN),
    ];
    let _ = poll(&mut fds, Some(&timeout));
    Ok(())
}

/// Writes `CODE` and the lines to the stand-in's pipe. One that went away meanwhile is not waited for.
fn write_reply(folder: &Path, reply: &str, answer: &Answer, build: &Build<'_>) {
    let code = match (
        answer.outcome,
        answer.values.get("active").map(String::as_str),
    ) {
        (AnswerOutcome::Done, Some("inactive")) => 3,
        (AnswerOutcome::Done, _) => 0,
        (AnswerOutcome::Aborted | AnswerOutcome::Failed, _) => 1,
    };
    let mut text = format!("{code}\n");
    let problem = answer.problem.as_ref().map(|problem| {
        let mut lines = vec![problem.to_string()];
        lines.extend(problem.output.iter().cloned());
        lines.extend(problem.hint.clone());
        lines
    });
    for line in answer.lines.iter().chain(problem.iter().flatten()) {
        text.push_str(&build.mask.text(line));
        text.push('\n');
    }
    let path = folder.join(reply);
    let until = Instant::now() + TAKE_WITHIN;
    let pipe = loop {
        match rustix::fs::open(
            &path,
            OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(pipe) => break pipe,
            Err(rustix::io::Errno::NXIO) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => {
                tracing::debug!(%error, "a stand-in did not wait for its answer");
                return;
            }
        }
    };
    let _ = rustix::io::ioctl_fionbio(&pipe, false);
    if let Err(error) = fs::File::from(pipe).write_all(text.as_bytes()) {
        tracing::debug!(%error, "a stand-in did not take its answer");
    }
}
