//! The roles that are not commands for people: shim, runner, and what control and proxy have in common.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use launchway_model::ProblemKind;
use launchway_pipeline::runner;
use tracing_subscriber::EnvFilter;

/// `launchway shim FOLDER`: one per app instance.
pub(crate) fn shim(folder: Option<OsString>) -> ExitCode {
    with_folder("shim", folder, launchway_supervisor::shim::run)
}

/// `launchway runner FOLDER`: one per build.
pub(crate) fn runner(folder: Option<OsString>) -> ExitCode {
    with_folder("runner", folder, |folder| {
        launchway_supervisor::room::run(folder, |folder, inside| {
            let outside = inside
                .outside
                .map(|(tree, cache)| runner::Outside { tree, cache });
            let surroundings = runner::Surroundings {
                known_as: inside.known_as,
                outside,
            };
            runner::run(folder, surroundings)
        })
    })
}

fn with_folder(role: &str, folder: Option<OsString>, run: fn(&Path) -> ExitCode) -> ExitCode {
    match folder {
        Some(folder) => run(Path::new(&folder)),
        None => {
            use std::io::Write as _;
            let _ = writeln!(
                std::io::stderr(),
                "launchway {role} FOLDER: control starts this role; it is not meant to be typed"
            );
            ExitCode::from(ProblemKind::Invalid.exit_code())
        }
    }
}

/// Whose end is this process's end.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Parent {
    /// The process whose end is this one's end
    #[arg(long, hide = true)]
    parent: Option<i32>,
}

impl Parent {
    /// Ties this process's life to its parent's: it is told to stop when the parent ends, however that ends.
    ///
    /// # Errors
    /// The parent ended already.
    pub(crate) fn tie(&self) -> anyhow::Result<()> {
        let Some(parent) = self.parent else {
            return Ok(());
        };
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        // The parent may have ended before the line above.
        let still =
            rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent);
        anyhow::ensure!(still, "the process that started this one ended");
        Ok(())
    }
}

/// How `launchway up` starts control and proxy; a service manager leaves these out.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FromParent {
    #[command(flatten)]
    parent: Parent,
    /// Standard input is the listening socket
    #[arg(long, hide = true)]
    listener_is_stdin: bool,
}

impl FromParent {
    /// As [`Parent::tie`].
    ///
    /// # Errors
    /// The parent ended already.
    pub(crate) fn tie(&self) -> anyhow::Result<()> {
        self.parent.tie()
    }

    /// Whether a parent keeps this process.
    pub(crate) fn is_tied(&self) -> bool {
        self.parent.parent.is_some()
    }

    /// The listening socket that the parent handed over, if it did.
    ///
    /// # Errors
    /// Standard input is no listening socket.
    pub(crate) fn listener(&self) -> anyhow::Result<Option<TcpListener>> {
        if !self.listener_is_stdin {
            return Ok(None);
        }
        let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
        let listener = TcpListener::from(socket);
        listener
            .local_addr()
            .context("standard input is no listening socket")?;
        listener.set_nonblocking(true)?;
        Ok(Some(listener))
    }
}

/// Where builds run: how many here, and how agents on other machines may connect.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct BuildPlaces {
    /// Listen for agents at this address, with TLS: 0.0.0.0:7071
    #[arg(long, value_name = "ADDRESS", env = "LAUNCHWAY_AGENTS")]
    pub(crate) agents: Option<SocketAddr>,
    /// The address that agents are told, where it is not the one listened on
    #[arg(long, value_name = "URL", env = "LAUNCHWAY_AGENTS_URL")]
    pub(crate) agents_url: Option<String>,
    /// How many seconds an agent that builds may be silent before its build is given up
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        env = "LAUNCHWAY_AGENT_DEADLINE"
    )]
    pub(crate) agent_deadline: u64,
    /// How many builds run at once on this machine; 0 leaves all to agents
    #[arg(
        long,
        default_value_t = 2,
        value_name = "NUMBER",
        env = "LAUNCHWAY_BUILDS"
    )]
    pub(crate) builds: usize,
}

impl BuildPlaces {
    /// The same as arguments of another role of this binary.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--agent-deadline".to_owned(),
            self.agent_deadline.to_string(),
            "--builds".to_owned(),
            self.builds.to_string(),
        ];
        for (name, value) in [
            ("--agents", self.agents.map(|listen| listen.to_string())),
            ("--agents-url", self.agents_url.clone()),
        ] {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value]);
            }
        }
        arguments
    }
}

/// Log lines of a long-lived role go to standard error; `LAUNCHWAY_LOG` chooses them (`debug`, `launchway_control=trace`).
pub(crate) fn log_to_stderr() {
    use std::io::IsTerminal as _;
    let filter =
        EnvFilter::try_from_env("LAUNCHWAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
}

/// Resolves at the first signal that asks this process to stop.
pub(crate) async fn asked_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
