//! What a tree of processes uses and on which ports it listens, read from `/proc`.

use std::net::SocketAddr;

/// All processes of the machine at one moment: read once, asked for many trees.
#[derive(Debug, Clone, Default)]
pub struct Processes {}

/// What a tree of processes uses, summed up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeUsage {
    /// Its processes, the root excluded where it is a shim.
    pub pids: Vec<u32>,
    /// Resident memory in bytes; pages that processes share count for each.
    pub memory_bytes: u64,
    /// CPU time used so far by the living processes and the ended ones that were waited for, in milliseconds.
    pub cpu_millis: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// Threads.
    pub threads: u64,
}

impl Processes {
    /// Reads `/proc` once.
    pub fn read() -> Self {
        unimplemented!()
    }

    /// The app of a shim: all descendants of the process `shim_pid`, itself excluded.
    pub fn below(&self, _shim_pid: u32) -> TreeUsage {
        unimplemented!()
    }
}

/// What the app of one shim uses: [`Processes::read`] and [`Processes::below`] for callers with one tree only.
pub fn tree(shim_pid: u32) -> TreeUsage {
    Processes::read().below(shim_pid)
}

/// The TCP sockets on which these processes listen, each with its process.
pub fn listening_ports(_pids: &[u32]) -> Vec<(u32, SocketAddr)> {
    unimplemented!()
}
