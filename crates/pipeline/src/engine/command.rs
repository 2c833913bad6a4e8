//! One command of a build: its shell, its output, its end.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use launchway_model::runner::LogSource;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::environment::Environment;
use super::log::{LineWriter, StageLog};
use super::processes;
use super::stop::{Deadline, Stop, StopReason};

/// Longer scripts are written to a file, since a single argument may have no more than 128 KiB.
const MAX_ARGUMENT: usize = 100_000;
/// How many bytes are taken from a pipe at once; also the size that the pipe is given.
const READ: usize = 256 << 10;
/// The time between TERM and KILL for a command that is stopped.
const GRACE: Duration = Duration::from_secs(3);
/// The most that is kept of a command's standard output for a script.
const MAX_CAPTURED: usize = 16 << 20;

/// A command to run.
#[derive(Debug)]
pub(crate) struct Shell<'a> {
    pub(crate) script: &'a str,
    pub(crate) environment: std::borrow::Cow<'a, Environment>,
    pub(crate) folder: &'a Path,
    /// Where files may be made that only this command needs.
    pub(crate) temporary: &'a Path,
    pub(crate) log: &'a StageLog,
    pub(crate) stops: &'a [Arc<Stop>],
    pub(crate) deadlines: &'a [Deadline],
    /// The user and group to run as, where the runner is root.
    pub(crate) user: Option<(u32, u32)>,
    /// Whether the standard output goes to the caller instead of the log.
    pub(crate) capture: bool,
    /// Whether the shell ends at the first command that fails, and what `-x` says.
    pub(crate) flags: &'a str,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) how: How,
    /// The last lines that it wrote.
    pub(crate) tail: Vec<String>,
    /// The standard output, where it was to be captured.
    pub(crate) captured: Vec<u8>,
}

/// In what way.
#[derive(Debug)]
pub(crate) enum How {
    /// By itself.
    Exited(ExitStatus),
    /// It was stopped.
    Stopped(StopReason),
    /// It met a time limit.
    TimedOut(Deadline),
}

/// Pipes that outlived their command, since something that it started still holds them.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    threads: Vec<JoinHandle<()>>,
}

impl Lingering {
    fn add(&mut self, pipe: OwnedFd, mut lines: LineWriter) {
        let thread = std::thread::Builder::new()
            .name("lingering".to_owned())
            .spawn(move || {
                let mut buffer = vec![0; 16 << 10];
                loop {
                    let mut fds = [PollFd::new(&pipe, PollFlags::IN)];
                    if poll(&mut fds, None).is_err_and(|error| error != Errno::INTR) {
                        break;
                    }
                    match rustix::io::read(&pipe, &mut buffer) {
                        Ok(0) => break,
                        Ok(read) => lines.feed(&buffer[..read]),
                        Err(Errno::INTR | Errno::AGAIN) => {}
                        Err(_) => break,
                    }
                }
                lines.finish();
            });
        // Without a thread the pipe closes, and whoever still writes to it is told so.
        self.threads.extend(thread);
    }

    /// Waits for their ends, once all processes of the build have ended. One that asked to live keeps its pipe; its thread
    /// ends with this process.
    pub(crate) fn join(self) {
        let until = Instant::now() + Duration::from_secs(1);
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

impl Shell<'_> {
    /// Runs it to its end.
    pub(crate) fn run(&self, lingering: &std::sync::Mutex<Lingering>) -> io::Result<Ended> {
        let (pipe, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // A larger pipe lets a command write on while a batch is being looked at; the usual size is well too.
        let _ = fcntl_setpipe_size(&pipe, READ);
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let captured = if self.capture {
            Some(pipe_with(PipeFlags::CLOEXEC)?)
        } else {
            None
        };
        let script_file = self.script_file()?;
        let mut command = self.command(script_file.as_deref());
        command.stderr(Stdio::from(write.try_clone()?));
        let captured = match captured {
            Some((read, captured_write)) => {
                rustix::io::ioctl_fionbio(&read, true)?;
                command.stdout(Stdio::from(captured_write));
                drop(write);
                Some(read)
            }
            None => {
                command.stdout(Stdio::from(write));
                None
            }
        };
        let child = command.spawn();
        // The command holds the writing ends as long as it lives; without them no end of file would come.
        drop(command);
        let ended = self.follow(child?, pipe, captured, lingering);
        if let Some(file) = script_file {
            let _ = fs::remove_file(file);
        }
        ended
    }

    fn script_file(&self) -> io::Result<Option<std::path::PathBuf>> {
        if self.script.len() <= MAX_ARGUMENT && !self.script.starts_with("#!") {
            return Ok(None);
        }
        use std::os::unix::fs::OpenOptionsExt;
        let number = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_nanos());
        let path = self.temporary.join(format!("script-{number}"));
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o700)
            .open(&path)?;
        io::Write::write_all(&mut file, self.script.as_bytes())?;
        Ok(Some(path))
    }

    fn command(&self, script_file: Option<&Path>) -> Command {
        let mut command = match script_file {
            Some(file) if self.script.starts_with("#!") => Command::new(file),
            Some(file) => {
                let mut command = Command::new("/bin/sh");
                if !self.flags.is_empty() {
                    command.arg(self.flags);
                }
                command.arg(file);
                command
            }
            None => {
                let mut command = Command::new("/bin/sh");
                if !self.flags.is_empty() {
                    command.arg(self.flags);
                }
                command.arg("-c").arg(self.script);
                command
            }
        };
        command
            .env_clear()
            .envs(&*self.environment)
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .process_group(0);
        if let Some((user, group)) = self.user {
            // Of the runner's groups none is left either, and with the user all capabilities go.
            command.uid(user).gid(group);
        }
        command
    }

    fn follow(
        &self,
        mut child: Child,
        pipe: OwnedFd,
        captured_pipe: Option<OwnedFd>,
        lingering: &std::sync::Mutex<Lingering>,
    ) -> io::Result<Ended> {
        let id = i32::try_from(child.id()).unwrap_or(0);
        let pid =
            Pid::from_raw(id).ok_or_else(|| io::Error::other("the child has no process id"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let mut lines = LineWriter::new(self.log.clone(), LogSource::Out);
        let mut buffer = vec![0; READ];
        let mut captured = Vec::new();
        let mut open = true;
        let mut captured_open = captured_pipe.is_some();
        let mut stopped: Option<How> = None;
        let mut kill_at: Option<Instant> = None;
        let mut killed = false;
        let status = loop {
            let nearest = self.deadlines.iter().min_by_key(|deadline| deadline.at);
            let wake = if stopped.is_some() {
                kill_at.filter(|_| !killed)
            } else {
                nearest.map(|deadline| deadline.at)
            };
            let timeout = wake.map(|at| timespec(at.saturating_duration_since(Instant::now())));
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
            if open {
                fds.push(PollFd::new(&pipe, PollFlags::IN));
            }
            if let Some(pipe) = captured_pipe.as_ref().filter(|_| captured_open) {
                fds.push(PollFd::new(pipe, PollFlags::IN));
            }
            if stopped.is_none() {
                fds.extend(
                    self.stops
                        .iter()
                        .map(|stop| PollFd::new(stop, PollFlags::IN)),
                );
            }
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let exited = fds[0].revents().contains(PollFlags::IN);
            drop(fds);
            if open {
                open = drain(&pipe, &mut buffer, |bytes| lines.feed(bytes));
            }
            if let Some(pipe) = captured_pipe.as_ref().filter(|_| captured_open) {
                captured_open = drain(pipe, &mut buffer, |bytes| {
                    let room = MAX_CAPTURED.saturating_sub(captured.len());
                    captured.extend_from_slice(&bytes[..bytes.len().min(room)]);
                });
            }
            if exited {
                if stopped.is_some() {
                    processes::kill_tree(id);
                }
                break child.wait()?;
            }
            let now = Instant::now();
            if stopped.is_none() {
                let reason = self.stops.iter().find_map(|stop| stop.reason());
                let met = nearest.filter(|deadline| deadline.at <= now);
                stopped = reason
                    .map(How::Stopped)
                    .or_else(|| met.cloned().map(How::TimedOut));
                if stopped.is_some() {
                    kill_at = Some(now + GRACE);
                    processes::signal_tree(id, Signal::TERM);
                }
            } else if !killed && kill_at.is_some_and(|at| at <= now) {
                killed = true;
                processes::kill_tree(id);
            }
        };
        // What was written before the end is in the pipe by now.
        if open {
            open = drain(&pipe, &mut buffer, |bytes| lines.feed(bytes));
        }
        let tail = lines.tail(30);
        if open {
            lingering
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .add(pipe, lines);
        } else {
            lines.finish();
        }
        let tail = if tail.is_empty() && !open {
            Vec::new()
        } else {
            tail
        };
        Ok(Ended {
            how: stopped.unwrap_or(How::Exited(status)),
            tail,
            captured,
        })
    }
}

/// Reads what is there; false at the end of the file. Stops after a few rounds, so that a command that writes without end
/// does not keep a time limit from being seen.
fn drain(pipe: &OwnedFd, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> bool {
    for _ in 0..16 {
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => return false,
            Ok(read) => take(&buffer[..read]),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// A status in words: "exited with 1", "was killed by signal 9".
pub(crate) fn status_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => match signal_name(signal) {
            Some(name) => format!("was killed by signal {signal} ({name})"),
            None => format!("was killed by signal {signal}"),
        },
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "HUP",
        2 => "INT",
        4 => "ILL: an instruction that this processor lacks",
        6 => "ABRT: it aborted by itself",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL: perhaps the machine ran out of memory",
        11 => "SEGV: it touched memory that is not its own",
        13 => "PIPE",
        15 => "TERM",
        _ => return None,
    })
}
