//! One of the two children: a role of this binary with its listening socket, started again when it dies.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A child that lived this long is taken to be sound: its next death is followed by a start at once.
const SOUND_AFTER: Duration = Duration::from_secs(10);
/// The first pause after a second death in a row; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A role, its socket, and the process that plays it now.
pub(super) struct Child {
    role: &'static str,
    binary: PathBuf,
    home: PathBuf,
    listener: TcpListener,
    address: SocketAddr,
    arguments: Vec<String>,
    process: Option<tokio::process::Child>,
    since: Instant,
    deaths: u32,
    restart_at: Option<tokio::time::Instant>,
}

impl Child {
    /// Nothing is started yet.
    pub(super) fn new(
        role: &'static str,
        home: &Path,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            role,
            binary: std::env::current_exe().context("cannot tell where this binary lies")?,
            home: home.to_owned(),
            address: listener.local_addr()?,
            listener,
            arguments: Vec::new(),
            process: None,
            since: Instant::now(),
            deaths: 0,
            restart_at: None,
        })
    }

    /// Gives the role more arguments.
    pub(super) fn with(mut self, arguments: &[String]) -> Self {
        self.arguments = arguments.to_vec();
        self
    }

    /// The role's name.
    pub(super) fn role(&self) -> &'static str {
        self.role
    }

    /// The binary that it is started from.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The process that plays it now.
    pub(super) fn pid(&self) -> Option<i32> {
        Some(self.process.as_ref()?.id()?.cast_signed())
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the process. Its standard input is the listening socket; it ends when this process does.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let listener = OwnedFd::from(self.listener.try_clone()?);
        let mut command = tokio::process::Command::new(&self.binary);
        command
            .arg(self.role)
            .arg("--home")
            .arg(&self.home)
            .arg("--listen")
            .arg(self.address.to_string())
            .arg("--listener-is-stdin")
            .arg("--parent")
            .arg(std::process::id().to_string())
            .env_remove(super::succession::VARIABLE)
            .args(&self.arguments)
            .stdin(Stdio::from(listener));
        if self.role == "proxy" {
            // One that still runs hands its connections' queue over; without one this changes nothing.
            command.arg("--take-over");
        }
        let process = command
            // A group of its own: Ctrl-C reaches this process alone, which then stops the children in their order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.role))?;
        self.process = Some(process);
        self.since = Instant::now();
        self.restart_at = None;
        Ok(())
    }

    /// Waits for the process to end and says how; starts it first where a restart is due. Cancelling the wait loses
    /// nothing.
    pub(super) async fn ended(&mut self) -> String {
        if let Some(at) = self.restart_at {
            tokio::time::sleep_until(at).await;
            if let Err(error) = self.start() {
                self.restart_at = None;
                return format!("an error: {error:#}");
            }
        }
        match &mut self.process {
            Some(process) => {
                let ended = process.wait().await;
                self.process = None;
                ended.map_or_else(|error| error.to_string(), |status| status.to_string())
            }
            None => std::future::pending().await,
        }
    }

    /// Plans the next start after a death, and gives the pause until then.
    pub(super) fn plan_restart(&mut self) -> Duration {
        if self.since.elapsed() >= SOUND_AFTER {
            self.deaths = 0;
        }
        let pause = match self.deaths {
            0 => Duration::ZERO,
            deaths => FIRST_PAUSE
                .saturating_mul(1 << (deaths - 1).min(10))
                .min(LONGEST_PAUSE),
        };
        self.deaths += 1;
        self.restart_at = Some(tokio::time::Instant::now() + pause);
        pause
    }

    /// Asks the process to end, and kills it where it does not within `limit`.
    pub(super) async fn stop(&mut self, limit: Duration) {
        self.restart_at = None;
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Some(pid) = process
            .id()
            .and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()))
        {
            // The process is not reaped yet, so its id is still its own.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(limit, process.wait()).await.is_err() {
            let _ = process.kill().await;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.start_kill();
        }
    }
}
