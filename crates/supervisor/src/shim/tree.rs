//! The app's processes as its shim reaches them: all descendants, whatever they forked from or daemonised to.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::observe::Processes;
use crate::sys;

/// How a process reaches all of its descendants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It is the first process of a process namespace: they are all that is in there.
    Namespace,
    /// It is a subreaper: they all stay below it in the tree of parents.
    Descendants,
}

/// The calling process's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its process id as `/proc` (and so control) has it.
    pub(crate) host: u32,
    /// In the list of a process's ids, one for each nested namespace, the place of the one that the caller uses.
    depth: usize,
}

impl Identity {
    pub(crate) fn of_this_process() -> Self {
        let ids = namespace_ids("self");
        Self {
            host: ids.first().copied().unwrap_or_else(std::process::id),
            depth: ids.len().saturating_sub(1),
        }
    }

    /// The caller's own direct children, with the ids that the caller uses: the app's main process, and whatever lost its own parent.
    pub(crate) fn children(self) -> Vec<Pid> {
        let list = fs::read_to_string(format!("/proc/self/task/{}/children", self.host));
        let hosts: Vec<u32> = match list {
            Ok(list) => list
                .split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect(),
            Err(_) => Processes::read().children(self.host),
        };
        hosts
            .into_iter()
            .filter_map(|host| self.local(host))
            .collect()
    }

    /// The id that the caller uses for a process, from that of `/proc`.
    fn local(self, host: u32) -> Option<Pid> {
        let ids = namespace_ids(&host.to_string());
        let id = ids.get(self.depth)?;
        Pid::from_raw(i32::try_from(*id).ok()?)
    }
}

/// The id in `/proc` of a process that the caller knows as `pid`.
pub(crate) fn host_id(pid: Pid) -> Option<u32> {
    let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&handle);
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok()
}

/// A process's ids, from the outermost namespace to its own.
fn namespace_ids(process: &str) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .map(|ids| {
            ids.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect()
        })
        .unwrap_or_default()
}

/// Kills all descendants of the calling process, once; what forks at the same moment may need another call (never in a namespace).
pub(crate) fn kill_all(reach: Reach, own: Identity) {
    match reach {
        Reach::Namespace => {
            // No process at all is the only other answer.
            let _ = sys::signal_whole_namespace(Signal::KILL);
        }
        Reach::Descendants => kill_descendants(own.host),
    }
}

/// Kills what descends from a process. All are stopped first, so that none forks away while others are killed.
fn kill_descendants(root: u32) {
    let mut stopped = Vec::new();
    // Each round finds what was forked before its parent stopped; the bound holds against one that cannot be stopped.
    for _ in 0..50 {
        let mut found = Processes::read().below(root).pids;
        found.retain(|pid| !stopped.contains(pid));
        if found.is_empty() {
            break;
        }
        for pid in found {
            send(pid, Signal::STOP);
            stopped.push(pid);
        }
    }
    for pid in stopped {
        send(pid, Signal::KILL);
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The guard: waits until its only child, the shim, is gone, then kills what the shim left. Whatever the shim's app
/// started belongs to the guard from that moment, since the guard is the next subreaper above.
pub(crate) fn guard(shim: Pid) -> io::Result<()> {
    use rustix::process::{WaitOptions, wait, waitpid};

    while let Err(rustix::io::Errno::INTR) = waitpid(Some(shim), WaitOptions::empty()) {}
    let own = Identity::of_this_process();
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        kill_descendants(own.host);
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return Ok(()),
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(io::ErrorKind::TimedOut.into())
}
