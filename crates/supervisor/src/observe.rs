//! What a tree of processes uses and on which ports it listens, read from `/proc`.
//!
//! Everything here is synchronous and short: a machine's processes are read once ([`Processes::read`], some 10
//! microseconds each) and then asked for any number of trees. Processes that end while they are read are left out, and
//! what this user may not see counts as nothing.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::SocketAddr;

mod sockets;

/// All processes of the machine at one moment: read once, asked for many trees.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    by_pid: HashMap<u32, Entry>,
    children: HashMap<u32, Vec<u32>>,
}

/// What a tree of processes uses, summed up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeUsage {
    /// Its processes, the root excluded where it is a shim.
    pub pids: Vec<u32>,
    /// Resident memory in bytes; pages that processes share count for each. The kernel's quick count, which may lag behind by
    /// some 100 KiB per process.
    pub memory_bytes: u64,
    /// CPU time used so far by the living processes and the ended ones that were waited for, in milliseconds.
    pub cpu_millis: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// Threads.
    pub threads: u64,
}

/// One process, from `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    parent: u32,
    dead: bool,
    cpu_ticks: u64,
    threads: u64,
    resident_pages: u64,
}

impl Processes {
    /// Reads `/proc` once.
    pub fn read() -> Self {
        let mut processes = Self::default();
        let Ok(folder) = fs::read_dir("/proc") else {
            return processes;
        };
        for entry in folder.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
                continue;
            };
            if let Some(entry) = Entry::parse(&String::from_utf8_lossy(&stat)) {
                processes
                    .children
                    .entry(entry.parent)
                    .or_default()
                    .push(pid);
                processes.by_pid.insert(pid, entry);
            }
        }
        processes
    }

    /// The app of a shim: all living descendants of the process `shim_pid`, itself excluded.
    pub fn below(&self, shim_pid: u32) -> TreeUsage {
        let mut usage = TreeUsage::default();
        let page = rustix::param::page_size() as u64;
        let mut ticks = 0;
        let mut waiting = self.children(shim_pid);
        while let Some(pid) = waiting.pop() {
            waiting.extend(self.children(pid));
            let Some(entry) = self.by_pid.get(&pid) else {
                continue;
            };
            ticks += entry.cpu_ticks;
            if entry.dead {
                continue;
            }
            usage.pids.push(pid);
            usage.memory_bytes += entry.resident_pages * page;
            usage.threads += entry.threads;
            usage.open_files += open_files(pid);
        }
        usage.cpu_millis = ticks * 1000 / rustix::param::clock_ticks_per_second().max(1);
        usage.pids.sort_unstable();
        usage
    }

    /// The direct children of a process.
    pub(crate) fn children(&self, pid: u32) -> Vec<u32> {
        self.children.get(&pid).cloned().unwrap_or_default()
    }

    /// All processes.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.by_pid
            .iter()
            .filter(|(_, entry)| !entry.dead)
            .map(|(pid, _)| *pid)
    }
}

impl Entry {
    /// Reads the line of `/proc/PID/stat` (proc(5)). The name, in brackets, may itself hold brackets and spaces.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The third field of the manual's numbering, the state, is the first here.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(4)?).ok()?,
            dead: matches!(fields.first(), Some(&("Z" | "X"))),
            // User and system time of its own, then of the children that it waited for.
            cpu_ticks: (14..=17).map(|field| number(field).unwrap_or(0)).sum(),
            threads: number(20)?,
            resident_pages: number(24)?,
        })
    }
}

/// What the app of one shim uses: [`Processes::read`] and [`Processes::below`] for callers with one tree only.
pub fn tree(shim_pid: u32) -> TreeUsage {
    Processes::read().below(shim_pid)
}

/// The TCP sockets on which these processes listen, each with its process, in order.
///
/// The processes may be in network namespaces of their own. A socket that several processes share (a server's workers) is given
/// once for each.
pub fn listening_ports(pids: &[u32]) -> Vec<(u32, SocketAddr)> {
    let mut found = Vec::new();
    let mut by_namespace: HashMap<Option<std::path::PathBuf>, HashMap<u64, SocketAddr>> =
        HashMap::new();
    for &pid in pids {
        let held: HashSet<u64> = sockets::held_by(pid);
        if held.is_empty() {
            continue;
        }
        let namespace = fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let listening = by_namespace
            .entry(namespace)
            .or_insert_with(|| sockets::listening_as_seen_by(pid));
        for inode in held {
            if let Some(address) = listening.get(&inode) {
                found.push((pid, *address));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The port on which the app of one shim listens, where it is one alone.
pub fn only_port(shim_pid: u32) -> Option<u16> {
    let mut ports: Vec<u16> = listening_ports(&tree(shim_pid).pids)
        .into_iter()
        .map(|(_, address)| address.port())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    match ports.as_slice() {
        [port] => Some(*port),
        _ => None,
    }
}

fn open_files(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |folder| folder.count() as u64)
}

#[cfg(test)]
mod tests;
