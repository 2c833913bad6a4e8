//! What one `launchway up` leaves to the next one in the same process: an upgrade replaces the program by `exec`, so that
//! the listening sockets, the lock and the children stay where they are.
//!
//! The proxy goes on serving meanwhile, and hands over to its successor by itself. Control is stopped before and started
//! after; connections to the API wait in their socket's queue.

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};

/// The variable that carries it.
pub(super) const VARIABLE: &str = "LAUNCHWAY_SUCCESSION";

/// What is written into the variable.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Will {
    /// The process that it is for: an `exec` keeps the number, a child that inherits the variable has another.
    pid: u32,
    apps: RawFd,
    api: RawFd,
    lock: RawFd,
    /// The proxy that serves and is to be succeeded.
    proxy: Option<i32>,
    /// Whether the program before this one was put back since the newer one failed.
    gone_back: bool,
}

/// What the predecessor left.
#[derive(Debug)]
pub(super) struct Succession {
    pub(super) apps: TcpListener,
    pub(super) api: TcpListener,
    pub(super) lock: std::fs::File,
    pub(super) proxy: Option<i32>,
    pub(super) gone_back: bool,
}

/// Takes what a predecessor in this process left; nothing at a usual start.
///
/// # Errors
/// What it left is not to be understood.
pub(super) fn inherited() -> anyhow::Result<Option<Succession>> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Ok(None);
    };
    let will: Will = serde_json::from_str(&text)
        .with_context(|| format!("{VARIABLE} is not what a Launchway before this one left"))?;
    if will.pid != std::process::id() {
        return Ok(None);
    }
    Ok(Some(Succession {
        apps: TcpListener::from(take(will.apps)?),
        api: TcpListener::from(take(will.api)?),
        lock: std::fs::File::from(take(will.lock)?),
        proxy: will.proxy,
        gone_back: will.gone_back,
    }))
}

fn take(number: RawFd) -> anyhow::Result<OwnedFd> {
    anyhow::ensure!(number > 2, "descriptor {number} is no socket of ours");
    #[expect(
        unsafe_code,
        reason = "a descriptor that lived through an exec has only its number"
    )]
    // SAFETY: the predecessor in this very process left it open for us, and named each number once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC)
        .context("the predecessor left no descriptor")?;
    Ok(descriptor)
}

/// Replaces this program by the one at `binary`, with the same arguments. Comes back only where that failed.
pub(super) fn replace(
    binary: &Path,
    (apps, api, lock): (&TcpListener, &TcpListener, &std::fs::File),
    proxy: Option<i32>,
    gone_back: bool,
) -> anyhow::Error {
    let keep = |descriptor: BorrowedFd<'_>| -> anyhow::Result<RawFd> {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        Ok(descriptor.as_raw_fd())
    };
    let will = || -> anyhow::Result<String> {
        let will = Will {
            pid: std::process::id(),
            apps: keep(apps.as_fd())?,
            api: keep(api.as_fd())?,
            lock: keep(lock.as_fd())?,
            proxy,
            gone_back,
        };
        Ok(serde_json::to_string(&will)?)
    };
    let failed = match will() {
        Ok(will) => anyhow::Error::from(
            Command::new(binary)
                .args(std::env::args_os().skip(1))
                .env(VARIABLE, will)
                .exec(),
        ),
        Err(error) => error,
    };
    for descriptor in [apps.as_fd(), api.as_fd(), lock.as_fd()] {
        let _ = rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC);
    }
    failed
}

/// Waits, at the side, for the end of a child that another program in this process started.
pub(super) fn reap(child: i32) {
    let Some(pid) = rustix::process::Pid::from_raw(child) else {
        return;
    };
    std::thread::spawn(move || {
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    });
}
