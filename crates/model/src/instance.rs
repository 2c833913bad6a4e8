//! An instance as control and people see it.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::InstanceId;

/// Where an instance takes its requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetAddress {
    /// A TCP address, `127.0.0.1:PORT`.
    #[schema(value_type = String)]
    Tcp(SocketAddr),
    /// A Unix socket.
    #[schema(value_type = String)]
    Unix(PathBuf),
}

impl std::fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal of this number ended it.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "signal {number} ({name})"),
                None => write!(f, "signal {number}"),
            },
        }
    }
}

/// The name of a signal that people meet, by its number on Linux.
fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// What a shim says of its app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum InstanceState {
    /// The shim is up and has not started the app yet.
    Starting,
    /// The app's main process runs.
    Running {
        /// Its process id.
        pid: u32,
        /// When it was started.
        #[schema(value_type = String)]
        since: Timestamp,
    },
    /// The app ended and is started again after a pause.
    Backoff {
        /// How it ended.
        exit: Exit,
        /// When it is started again.
        #[schema(value_type = String)]
        until: Timestamp,
    },
    /// The app was told to stop.
    Stopping {
        /// When it is killed.
        #[schema(value_type = String)]
        until: Timestamp,
    },
    /// The app and all its descendants are gone, and the shim is about to go.
    Stopped {
        /// How the main process ended.
        exit: Option<Exit>,
    },
}

/// An instance for people and clients: `launchway ps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Which.
    pub id: InstanceId,
    /// What its shim says.
    pub status: InstanceState,
    /// Whether its health check passes; absent for process types without a route.
    pub healthy: Option<bool>,
    /// Whether it is in the route table.
    pub routed: bool,
    /// Where it takes requests.
    pub address: Option<TargetAddress>,
    /// How often its app was started again.
    pub restarts: u64,
    /// Resident memory of the app's process tree in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU in thousandths of a core, over the last sampling interval.
    pub cpu_millis: Option<u32>,
    /// Requests per second, over the last sampling interval.
    pub requests_per_second: Option<f64>,
}
