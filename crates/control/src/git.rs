//! The system's git, run with an environment in which it neither asks, nor runs hooks, nor speaks odd protocols.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use launchway_model::Problem;
use tokio::process::Command;

/// For what only reads a local repository.
pub(crate) const QUICK: Duration = Duration::from_secs(30);
/// For what goes over a network.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Lets git serve a repository of another owner, and any commit of it, to our own fetch. (`-c` for the fetch itself
/// does not reach this side.)
pub(crate) const LOCAL_UPLOAD_PACK: &str =
    "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true upload-pack";

/// Why a git command did not give its output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// There is no git, or it cannot be started.
    #[error("git cannot be started")]
    Spawn(#[source] std::io::Error),
    /// It did not end in time.
    #[error("git did not end within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It failed, with its last words.
    #[error("{words}")]
    Failed {
        /// What it wrote on its standard error, without `fatal: `.
        words: String,
    },
}

impl GitError {
    /// The error as a problem of its own.
    pub(crate) fn problem(self, message: impl Into<String>) -> Problem {
        let problem = match &self {
            Self::Spawn(_) => {
                Problem::unavailable(message).hint("Install git: `apt-get install git`.")
            }
            Self::TimedOut(_) => Problem::unavailable(message),
            Self::Failed { .. } => Problem::failed(message),
        };
        problem.caused_by(&self)
    }
}

/// Runs git in `folder` and gives its standard output.
pub(crate) async fn run<I, S>(
    folder: &Path,
    arguments: I,
    limit: Duration,
) -> Result<String, GitError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    run_with(folder, arguments, limit, &[]).await
}

/// The same with further variables, which win over ours.
pub(crate) async fn run_with<I, S>(
    folder: &Path,
    arguments: I,
    limit: Duration,
    env: &[(String, String)],
) -> Result<String, GitError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = command(folder);
    command
        .envs(env.iter().map(|(name, value)| (name, value)))
        .args(arguments);
    let child = command.spawn().map_err(GitError::Spawn)?;
    let output = tokio::time::timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| GitError::TimedOut(limit))?
        .map_err(GitError::Spawn)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words: Vec<&str> = words
        .lines()
        .map(|line| {
            line.trim()
                .trim_start_matches("fatal: ")
                .trim_start_matches("error: ")
        })
        .filter(|line| !line.is_empty())
        .take(5)
        .collect();
    let words = if words.is_empty() {
        format!("git ended with {}", output.status)
    } else {
        words.join("; ")
    };
    Err(GitError::Failed { words })
}

/// git in `folder`, to be given its arguments.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    // HOME gives ssh its keys and git its credential helpers; the rest of our environment is nothing to a fetch.
    for name in [
        "PATH",
        "HOME",
        "SSH_AUTH_SOCK",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
    ] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env(
            "GIT_SSH_COMMAND",
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
        )
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "gc.auto=0",
        ])
        .args([
            "-c",
            "protocol.allow=never",
            "-c",
            "protocol.file.allow=always",
            "-c",
            "protocol.https.allow=always",
        ])
        .args([
            "-c",
            "protocol.http.allow=always",
            "-c",
            "protocol.ssh.allow=always",
            "-c",
            "protocol.git.allow=always",
        ])
        .arg("-C")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}
