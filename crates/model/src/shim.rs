//! What control and a shim say to each other.
//!
//! Control makes the instance's folder, writes a [`ShimSpec`] as `spec.json` into it and starts `launchway shim FOLDER`.
//! The shim listens on `shim.sock` in that folder; each line of JSON is one [`ShimRequest`] or [`ShimReply`]. It also
//! keeps its last [`ShimStatus`] in `state.json` (temp, rename), for a control that finds no shim any more. The socket's path can be
//! longer than a Unix socket's address may be: both sides reach it through the folder's file descriptor.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::app::Limits;
use crate::instance::{Exit, InstanceState};
use crate::names::InstanceId;

/// The name of the specification in an instance's folder.
pub const SPEC_FILE: &str = "spec.json";
/// The name of the last state in an instance's folder.
pub const STATE_FILE: &str = "state.json";
/// The name of the socket in an instance's folder.
pub const SOCKET_FILE: &str = "shim.sock";

/// All that a shim needs to know; it never changes while the shim lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimSpec {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The instance.
    pub instance: InstanceId,
    /// The command line, run by `sh -c`; the shell is replaced by the command where it is a simple one.
    pub command: String,
    /// The whole environment: nothing is inherited from the shim.
    pub env: BTreeMap<String, String>,
    /// The release's tree.
    pub tree: PathBuf,
    /// The folder below the tree where the command runs.
    pub folder: Option<String>,
    /// How it is kept apart.
    pub sandbox: Sandbox,
    /// Limits.
    pub limits: Limits,
    /// The log file; rotated to `.1`, `.2` …
    pub log: PathBuf,
    /// The size at which the log is rotated, in bytes.
    pub log_bytes: u64,
    /// How many rotated files are kept.
    pub log_files: u32,
    /// The time between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    /// Whether the app is started again when it ends (false for one-off commands).
    pub restart: bool,
}

/// How a command is kept apart from the rest of the machine. What the host does not allow is left out by whoever makes
/// the sandbox, after asking `supervisor::sandbox::abilities`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// The path at which the command sees the tree (`/app`), in a mount namespace of its own; without one the tree is
    /// seen where it lies.
    #[serde(default)]
    pub mount_at: Option<PathBuf>,
    /// Whether the tree and the rest of the system are read-only for the command.
    #[serde(default)]
    pub read_only: bool,
    /// Paths below the tree that are bound to files or folders outside it: (path below the tree, source).
    #[serde(default)]
    pub binds: Vec<(String, PathBuf)>,
    /// Whether the command gets a `/tmp` of its own.
    #[serde(default)]
    pub private_tmp: bool,
    /// The folder that lies behind that `/tmp`; without one it lies in memory. (A shim fills in its own.)
    #[serde(default)]
    pub tmp: Option<PathBuf>,
    /// Folders that are hidden from the command (Launchway's own home, other apps').
    #[serde(default)]
    pub hide: Vec<PathBuf>,
    /// Folders outside the tree that the command sees where they lie and may write, whatever `read_only` and `hide` say:
    /// the app's HOME.
    #[serde(default)]
    pub writable: Vec<PathBuf>,
    /// Whether the tree itself can be written though `read_only` is asked: apps write into their folder, and that is told
    /// rather than forbidden.
    #[serde(default)]
    pub tree_writable: bool,
    /// Files and folders outside the tree that the command sees where they lie and may only read, whatever `hide` says:
    /// language tools in the operator's home.
    #[serde(default)]
    pub readable: Vec<PathBuf>,
    /// Files that stand in the place of the system's for the command: (absolute path, source), such as `/etc/passwd`.
    #[serde(default)]
    pub replaced: Vec<(PathBuf, PathBuf)>,
    /// The place in the private network, when the shim is root; the host's network without one.
    #[serde(default)]
    pub network: Option<Seat>,
    /// The user and group to run as, when the shim is root.
    #[serde(default)]
    pub user: Option<(u32, u32)>,
    /// The cgroup folder name below Launchway's own cgroup, where the host gives one.
    #[serde(default)]
    pub cgroup: Option<String>,
}

/// A place in the private network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The number of its network namespace.
    pub number: u64,
    /// The file of its network namespace.
    pub namespace: PathBuf,
    /// Its address.
    pub address: Ipv4Addr,
    /// Who may reach it, as launchway.toml says it: `web`, `APP/PROCESS`, `APP/*`.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Whether it may reach what the host itself listens on.
    #[serde(default)]
    pub reaches_host: bool,
}

/// What control asks of a shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum ShimRequest {
    /// Answer with the status now, and again at each change, until the connection ends.
    Watch,
    /// Answer with the status once.
    Status,
    /// Stop the app, then end.
    Stop {
        /// The time between TERM and KILL, in milliseconds; the specification's where absent.
        grace_ms: Option<u64>,
    },
    /// Stop the app and start it again at once.
    Restart,
}

/// What a shim answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum ShimReply {
    /// The status, as asked.
    Status(ShimStatus),
    /// The request was not understood.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A shim and its app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimStatus {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The instance.
    pub instance: InstanceId,
    /// The shim's own process id.
    pub shim_pid: u32,
    /// The app's state.
    #[serde(flatten)]
    pub state: InstanceState,
    /// How often the app was started again.
    pub restarts: u64,
    /// How the app's main process last ended.
    pub last_exit: Option<Exit>,
}
