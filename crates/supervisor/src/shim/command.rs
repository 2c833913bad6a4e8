//! From the fork to the app's first instruction.
//!
//! The new process tells what goes wrong on a pipe that closes by itself when the command starts, so that the shim knows both
//! the failure's words and the moment of success.

use std::borrow::Cow;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use launchway_model::app::Limits;
use launchway_model::runner::LogSource;
use launchway_model::shim::ShimSpec;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::FOLDER_VARIABLE;
use super::log::Stream;
use super::tree::{Identity, Reach};
use crate::cgroup::Group;
use crate::sandbox;
use crate::sys::{self, Forked};

/// The exit code of a command that could not be set up, as shells have it for commands that cannot be run.
pub(super) const CANNOT_RUN: i32 = 126;

/// What every start of the app shares.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The instance's folder, absolute.
    pub(super) folder: PathBuf,
    /// How the shim reaches the app's processes.
    pub(super) reach: Reach,
    /// The shim's ids.
    pub(super) own: Identity,
    /// Its control group.
    pub(super) group: Group,
    /// The limits that the control group did not take.
    pub(super) limits: Limits,
}

/// A command that was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) main: Pid,
    pub(super) out: Stream,
    pub(super) err: Stream,
    /// Closes without a word when the command runs.
    pub(super) setup: Stream,
}

/// Starts the app's command.
pub(super) fn start(spec: &ShimSpec, around: &Surroundings) -> io::Result<Started> {
    let (out, out_end) = log_pipe()?;
    let (err, err_end) = log_pipe()?;
    let (setup, setup_end) = log_pipe()?;
    match sys::fork()? {
        Forked::Parent(main) => Ok(Started {
            main,
            out: Stream::new(out, LogSource::Out),
            err: Stream::new(err, LogSource::Err),
            setup: Stream::new(setup, LogSource::Launchway),
        }),
        Forked::Child => {
            let error = become_command(spec, around, &out_end, &err_end);
            let _ = writeln!(std::fs::File::from(setup_end), "cannot start: {error}");
            sys::exit_now(CANNOT_RUN)
        }
    }
}

/// A pipe whose reading end does not block. It is made large where the system allows, so that a shim that is held up for a
/// moment holds up nobody.
fn log_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    let _ = rustix::pipe::fcntl_setpipe_size(&read, 256 * 1024);
    Ok((read, write))
}

/// Turns the forked process into the command; returns only the reason why it could not.
fn become_command(
    spec: &ShimSpec,
    around: &Surroundings,
    out: &OwnedFd,
    err: &OwnedFd,
) -> io::Error {
    match prepare(spec, around, out, err) {
        Err(error) => error,
        Ok(()) => Command::new("/bin/sh")
            .arg("-c")
            .arg(&*shell_line(&spec.command))
            .env_clear()
            .envs(&spec.env)
            .env(FOLDER_VARIABLE, &around.folder)
            .exec(),
    }
}

fn prepare(spec: &ShimSpec, around: &Surroundings, out: &OwnedFd, err: &OwnedFd) -> io::Result<()> {
    let root = rustix::process::geteuid().is_root();
    rustix::process::setsid()?;
    die_with_shim(around)?;
    around.group.enter()?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // The shim protects itself from the kernel's choice of a victim; the app must not inherit that.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    set_limits(&around.limits, spec, around.reach, root)?;

    sandbox::enter_network(&spec.sandbox)?;
    match around.reach {
        Reach::Namespace => sandbox::enter_with_processes(&spec.sandbox, &spec.tree)?,
        Reach::Descendants if sandbox::needs_mounts(&spec.sandbox) => {
            sandbox::enter(&spec.sandbox, &spec.tree)?;
        }
        Reach::Descendants => enter_folder(&spec.tree)?,
    }
    if let Some(folder) = &spec.folder {
        enter_folder(&sandbox::place_of(&spec.sandbox, &spec.tree).join(folder))?;
    }
    sandbox::drop_privileges(spec.sandbox.user.filter(|_| root))?;
    // A change of user cancels this, so it is asked for again.
    die_with_shim(around)?;
    rustix::stdio::dup2_stdout(out)?;
    rustix::stdio::dup2_stderr(err)?;
    sys::signals_as_at_start();
    Ok(())
}

fn enter_folder(folder: &std::path::Path) -> io::Result<()> {
    rustix::process::chdir(folder).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot enter `{}`: {error}", folder.display()),
        )
    })
}

/// Asks the kernel to kill this process when the shim dies, and makes sure that it has not died already.
fn die_with_shim(around: &Surroundings) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if around.reach == Reach::Descendants {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        if parent != i32::try_from(around.own.host).ok() {
            sys::exit_now(CANNOT_RUN);
        }
    }
    Ok(())
}

/// Sets, per process, what no control group limits.
fn set_limits(limits: &Limits, spec: &ShimSpec, reach: Reach, root: bool) -> io::Result<()> {
    if let Some(bytes) = limits.memory_bytes {
        // Not the address space: runtimes reserve far more of that than they use.
        lower(Resource::Data, bytes)?;
    }
    if let Some(pids) = limits.pids
        && pids_can_be_limited(spec, reach, root)
    {
        lower(Resource::Nproc, pids.into())?;
    }
    if let Some(files) = limits.open_files {
        lower(Resource::Nofile, files.into())?;
    }
    Ok(())
}

/// The system counts processes per user: a limit makes sense only where the app is alone with its user, or in a user
/// namespace that counts by itself.
pub(super) fn pids_can_be_limited(spec: &ShimSpec, reach: Reach, root: bool) -> bool {
    if root {
        spec.sandbox.user.is_some_and(|(user, _)| user != 0)
    } else {
        reach == Reach::Namespace
    }
}

fn lower(resource: Resource, value: u64) -> io::Result<()> {
    let highest = rustix::process::getrlimit(resource).maximum;
    let value = highest.map_or(value, |highest| value.min(highest));
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    Ok(rustix::process::setrlimit(resource, limit)?)
}

/// Makes standard input empty for this process and what it starts.
pub(super) fn empty_standard_input() -> io::Result<()> {
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::stdio::dup2_stdin(null.as_fd())?)
}

/// Words that the shell itself understands, so that no program of that name could replace it.
const SHELL_WORDS: [&str; 33] = [
    "!", "{", "}", ".", ":", "alias", "bg", "break", "case", "cd", "command", "continue", "do",
    "eval", "exec", "exit", "export", "fg", "for", "function", "if", "local", "read", "readonly",
    "return", "set", "source", "time", "trap", "ulimit", "umask", "until", "while",
];

/// The command as it is given to the shell: a simple one replaces the shell, so that signals reach the program itself. Anything
/// that may be more than one simple command stays as it is.
fn shell_line(command: &str) -> Cow<'_, str> {
    let command = command.trim();
    if is_simple(command) {
        Cow::Owned(with_exec(command))
    } else {
        Cow::Borrowed(command)
    }
}

/// Puts `exec` before the program, after variables that are set for it.
fn with_exec(command: &str) -> String {
    let mut rest = command;
    while let Some(after) = without_assignment(rest) {
        rest = after;
    }
    let assignments = &command[..command.len() - rest.len()];
    format!("{assignments}exec {rest}")
}

/// What follows one plain assignment and its spaces. One whose value is quoted is not taken apart.
fn without_assignment(text: &str) -> Option<&str> {
    let (word, rest) = text.split_once([' ', '\t'])?;
    let (name, value) = word.split_once('=')?;
    let plain = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !value.contains(['\'', '"', '\\']);
    plain.then(|| rest.trim_start())
}

fn is_simple(command: &str) -> bool {
    let mut program = command;
    while let Some(after) = without_assignment(program) {
        program = after;
    }
    let first = program.split([' ', '\t']).next().unwrap_or_default();
    if first.is_empty() || first.contains('=') || SHELL_WORDS.contains(&first) {
        return false;
    }
    let mut characters = command.chars().peekable();
    let mut before = ' ';
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            '\'' => while characters.next().is_some_and(|c| c != '\'') {},
            '"' => loop {
                match characters.next() {
                    Some('\\') => {
                        characters.next();
                    }
                    // What is substituted may itself hold quotes: too much for this small reader.
                    Some('`') => return false,
                    Some('$') if characters.peek() == Some(&'(') => return false,
                    Some('"') | None => break,
                    Some(_) => {}
                }
            },
            '&' if matches!(before, '>' | '<') => {}
            ';' | '|' | '&' | '(' | ')' | '`' | '\n' | '#' => return false,
            _ => {}
        }
        before = c;
    }
    true
}

#[cfg(test)]
mod tests;
