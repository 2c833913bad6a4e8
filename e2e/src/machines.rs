//! Machines for agents: network namespaces of this one, each with a cable to it that can be pulled.
//!
//! They need root and `ip`; a test asks [`can_be_made`] first and says that it is skipped. Names and addresses are taken from the
//! process's id, so that test processes do not meet; a machine takes its namespace away when it is dropped.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::binary::launchway;
use crate::processes;

/// Another machine, as far as the network goes.
#[derive(Debug)]
pub struct Machine {
    namespace: String,
    cable: String,
    /// This machine's address, as the other one sees it.
    here: Ipv4Addr,
}

/// An agent on a machine: a process of its own with a folder of its own.
#[derive(Debug)]
pub struct Agent {
    folder: TempDir,
    process: Child,
}

/// Whether this user may make machines; says that it may not.
pub fn can_be_made() -> bool {
    let can = rustix::process::geteuid().is_root() && ip(&["netns", "list"]);
    if !can {
        #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
        {
            eprintln!("skipped: network namespaces need root and `ip`");
        }
    }
    can
}

impl Machine {
    /// Makes one.
    ///
    /// # Panics
    /// `ip` fails.
    #[expect(
        clippy::new_without_default,
        reason = "it makes something on this machine"
    )]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let name = format!("lwe{process}n{number}");
        // A network of four addresses, among those that no router forwards.
        let network = 0x0a50_0000 | ((process * 16 + number) % 0x4_0000) << 2;
        let (here, there) = (Ipv4Addr::from(network + 1), Ipv4Addr::from(network + 2));
        let (cable, far) = (
            format!("lw{:x}{number}a", process),
            format!("lw{:x}{number}b", process),
        );
        let machine = Self {
            namespace: name.clone(),
            cable: cable.clone(),
            here,
        };
        let near = format!("{here}/30");
        let remote = format!("{there}/30");
        for arguments in [
            vec!["netns", "add", &name],
            vec![
                "link", "add", &cable, "type", "veth", "peer", "name", &far, "netns", &name,
            ],
            vec!["addr", "add", &near, "dev", &cable],
            vec!["link", "set", &cable, "up"],
            vec!["-n", &name, "addr", "add", &remote, "dev", &far],
            vec!["-n", &name, "link", "set", &far, "up"],
            vec!["-n", &name, "link", "set", "lo", "up"],
        ] {
            assert!(ip(&arguments), "ip {arguments:?} failed");
        }
        machine
    }

    /// This machine's address, as the other one sees it.
    pub fn here(&self) -> Ipv4Addr {
        self.here
    }

    /// Pulls the cable: whatever is sent is lost, and nobody is told.
    pub fn cut(&self) {
        assert!(ip(&["link", "set", &self.cable, "down"]));
    }

    /// Plugs it in again.
    pub fn mend(&self) {
        assert!(ip(&["link", "set", &self.cable, "up"]));
    }

    /// Starts an agent with a token and more options.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn agent(&self, server: &str, token: &str, options: &[&str]) -> Agent {
        let folder = tempfile::Builder::new()
            .prefix("launchway-agent-")
            .tempdir()
            .expect("a temporary folder");
        std::fs::write(folder.path().join("token"), token).expect("our own folder");
        let process = self.start(folder.path(), server, options);
        Agent { folder, process }
    }

    /// Starts an agent's process again in its folder.
    pub fn again(&self, agent: &mut Agent, server: &str, options: &[&str]) {
        agent.process = self.start(agent.folder.path(), server, options);
    }

    fn start(&self, folder: &Path, server: &str, options: &[&str]) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .expect("our own folder");
        Command::new("ip")
            .args(["netns", "exec", &self.namespace])
            .arg(launchway())
            .args(["agent", "--server", server, "--token-file"])
            .arg(folder.join("token"))
            .arg("--folder")
            .arg(folder.join("agent"))
            .args(options)
            .env("LAUNCHWAY_LOG", "debug,hyper=info,rustls=info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("`ip` is installed")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.namespace]);
        ip(&["link", "del", &self.cable]);
    }
}

impl Agent {
    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// Kills the agent's process alone: its runners go on.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The exit code, once it ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.process
            .try_wait()
            .expect("a child can be asked")
            .map(|status| status.code().unwrap_or(-1))
    }

    /// Its runners.
    pub fn runners(&self) -> Vec<processes::Process> {
        processes::of_role("runner", &self.folder())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(
                clippy::print_stderr,
                reason = "a failed test shows what the agent said"
            )]
            for line in self
                .log()
                .lines()
                .rev()
                .take(40)
                .collect::<Vec<_>>()
                .iter()
                .rev()
            {
                eprintln!("agent: {line}");
            }
        }
        self.kill();
        for process in self.runners() {
            processes::kill(process.pid);
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
