//! Which processes of an installation run now, and how they are told to take a new binary up.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use launchway_model::PROTOCOL;
use launchway_model::api::Status;
use launchway_model::home::Home;
use launchway_model::route::{ProxyReply, ProxyRequest};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::client::Client;

/// How long a running process may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Who runs control and proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// `launchway up`, with this process id.
    Up(i32),
    /// A service manager or a script, which starts again what ends.
    Other,
}

/// The processes of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// Who runs them.
    pub(crate) keeper: Keeper,
    /// Control.
    pub(crate) control: i32,
    /// The proxy, where it answers.
    pub(crate) proxy: Option<i32>,
    /// The binary's path.
    pub(crate) installed: PathBuf,
}

impl Running {
    /// Looks.
    ///
    /// # Errors
    /// Control does not answer.
    pub(crate) fn find(home: &Home, client: &Client) -> anyhow::Result<Self> {
        let status: Status = client.get("/status")?;
        let control = status.pid.cast_signed();
        let keeper = up_of(home).map_or(Keeper::Other, Keeper::Up);
        let program = match keeper {
            Keeper::Up(up) => up,
            Keeper::Other => control,
        };
        let link = std::fs::read_link(format!("/proc/{program}/exe"))?;
        Ok(Self {
            keeper,
            control,
            proxy: proxy_of(home),
            installed: without_deleted(&link),
        })
    }

    /// Tells them that another binary lies at their path.
    pub(crate) fn renew(&self) {
        match self.keeper {
            Keeper::Up(up) => send(up, Signal::USR2),
            Keeper::Other => {
                if let Some(proxy) = self.proxy {
                    send(proxy, Signal::HUP);
                }
                send(self.control, Signal::TERM);
            }
        }
    }
}

/// Whether a process runs the very file that lies at a path.
pub(crate) fn runs(pid: i32, installed: &Path) -> bool {
    let (Ok(program), Ok(file)) = (
        std::fs::metadata(format!("/proc/{pid}/exe")),
        std::fs::metadata(installed),
    ) else {
        return false;
    };
    (program.dev(), program.ino()) == (file.dev(), file.ino())
}

/// Whether a process is there.
pub(crate) fn lives(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended meanwhile; whoever waits for its successor will see.
        let _ = kill_process(pid, signal);
    }
}

/// The process id of the `launchway up` that holds a home.
fn up_of(home: &Home) -> Option<i32> {
    let path = home.root().join("up.lock");
    let file = std::fs::File::open(&path).ok()?;
    // Whoever gets the lock is alone.
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    std::fs::read_to_string(&path).ok()?.trim().parse().ok()
}

/// The process id that the proxy of a home says it has.
pub(crate) fn proxy_of(home: &Home) -> Option<i32> {
    // A socket's path may be longer than an address can be; the folder's descriptor makes it short.
    let folder = std::fs::File::open(home.proxy()).ok()?;
    let name = home.proxy_socket();
    let short = format!(
        "/proc/self/fd/{}/{}",
        std::os::fd::AsRawFd::as_raw_fd(&folder),
        name.file_name()?.to_str()?
    );
    let mut stream = UnixStream::connect(short).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.set_write_timeout(Some(ANSWER)).ok()?;
    let mut hello = serde_json::to_vec(&ProxyRequest::Hello { protocol: PROTOCOL }).ok()?;
    hello.push(b'\n');
    stream.write_all(&hello).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    match serde_json::from_str(&line).ok()? {
        ProxyReply::Hello { pid, .. } => Some(pid.cast_signed()),
        _ => None,
    }
}

/// The path of a program's file, though another lies there now.
fn without_deleted(link: &Path) -> PathBuf {
    let text = link.as_os_str().to_string_lossy();
    PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text))
}
