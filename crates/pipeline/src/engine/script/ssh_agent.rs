//! `sshagent(['key']) { … }`: an agent of the system's own that knows the keys for as long as the block runs.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::credentials::Placed;
use super::super::processes::MARK;
use super::credentials;
use super::host::ScriptHost;
use crate::groovy::{Span, Thrown};

/// How long the agent may take to listen.
const START: Duration = Duration::from_secs(20);

/// A running agent; it ends, and its keys with it, when this is dropped.
pub(super) struct Agent {
    child: Child,
    /// Its folder, with the socket.
    _folder: Placed,
    socket: PathBuf,
}

impl Agent {
    /// Starts an agent with the keys of these credentials.
    pub(super) fn start(host: &ScriptHost<'_>, ids: &[String], span: Span) -> Result<Self, Thrown> {
        let store = &host.context.build.credentials;
        // The program that gives a passphrase lies beside the socket, so that the folder is made as a credential's is.
        let program = b"#!/bin/sh\nprintf '%s\\n' \"$LAUNCHWAY_PASSPHRASE\"\n";
        let folder = store
            .place("askpass", program, 0o700)
            .map_err(|error| host.fail(format!("ssh-agent cannot be prepared: {error}"), span))?;
        let socket = folder.file.with_file_name("agent");
        let missing = |name: &str, error: &std::io::Error| {
            host.fail(
                format!("`{name}` cannot be started: {error}; install openssh-client"),
                span,
            )
        };
        let child = command(host, "ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| missing("ssh-agent", &error))?;
        let mut agent = Self {
            child,
            socket,
            _folder: folder,
        };
        let began = Instant::now();
        while !agent.socket.exists() {
            let ended = !matches!(agent.child.try_wait(), Ok(None));
            if ended || began.elapsed() > START {
                return Err(host.fail("ssh-agent did not start", span));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for id in ids {
            let (key, passphrase) = credentials::key(host, id, span)?;
            let output = command(host, "ssh-add")
                .arg(&key.file)
                .env("SSH_AUTH_SOCK", &agent.socket)
                .env("SSH_ASKPASS", &agent._folder.file)
                .env("SSH_ASKPASS_REQUIRE", "force")
                .env("LAUNCHWAY_PASSPHRASE", passphrase)
                .stdin(Stdio::null())
                .output()
                .map_err(|error| missing("ssh-add", &error))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.lines().last().unwrap_or_default().trim();
                return Err(host.fail(
                    format!("the key `{id}` cannot be used: ssh-add says `{said}`"),
                    span,
                ));
            }
        }
        Ok(agent)
    }

    /// What the block's commands see.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        vec![
            (
                "SSH_AUTH_SOCK".to_owned(),
                self.socket.display().to_string(),
            ),
            ("SSH_AGENT_PID".to_owned(), self.child.id().to_string()),
        ]
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of OpenSSH, marked as the build's, so that it ends with it in any case.
fn command(host: &ScriptHost<'_>, name: &str) -> Command {
    let mut command = Command::new(name);
    command.env_clear();
    for variable in ["PATH", "HOME"] {
        if let Some(value) = host.context.environment.get(variable) {
            command.env(variable, value);
        }
    }
    command.env(MARK, host.context.build.job.folder.as_os_str());
    // An agent answers its own user alone: the one that the block's commands are.
    if let Some(who) = host.context.build.job.user {
        use std::os::unix::process::CommandExt as _;
        command.uid(who.user).gid(who.group);
    }
    command
}
