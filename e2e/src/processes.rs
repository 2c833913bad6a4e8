//! Processes of an installation, read from `/proc`, and ended by their ids alone.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process and its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Its command line.
    pub arguments: Vec<String>,
}

/// All processes that can be seen.
pub fn all() -> Vec<Process> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(command) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let arguments = command
            .split(|byte| *byte == 0)
            .filter(|part| !part.is_empty())
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect();
        let parent = std::fs::read_to_string(entry.path().join("stat"))
            .ok()
            .and_then(|stat| {
                stat.rsplit_once(')')
                    .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok())
            })
            .unwrap_or(0);
        found.push(Process {
            pid,
            parent,
            arguments,
        });
    }
    found
}

/// The processes of one role (`control`, `proxy`, `shim`, `runner`) of one home.
pub fn of_role(role: &str, home: &Path) -> Vec<Process> {
    let home = home.to_string_lossy().into_owned();
    all()
        .into_iter()
        .filter(|process| process.arguments.get(1).is_some_and(|first| first == role))
        .filter(|process| {
            process
                .arguments
                .iter()
                .any(|argument| argument.starts_with(&home))
        })
        .collect()
}

/// All descendants of a process.
pub fn below(pid: i32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// Whether a process is there (and no zombie).
pub fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(')')
                .map(|(_, rest)| !rest.trim_start().starts_with('Z'))
        })
        .unwrap_or(false)
}

/// Sends SIGKILL.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Sends SIGTERM.
pub fn terminate(pid: i32) {
    signal(pid, Signal::TERM);
}

/// Sends SIGSTOP: the process does nothing until [`go_on`].
pub fn halt(pid: i32) {
    signal(pid, Signal::STOP);
}

/// Sends SIGCONT.
pub fn go_on(pid: i32) {
    signal(pid, Signal::CONT);
}

/// The resident memory of a process in bytes, and how many files it has open; none where it is gone.
pub fn size(pid: i32) -> Option<(u64, usize)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some((kib * 1024, open))
}

fn signal(pid: i32, signal: Signal) {
    assert!(pid > 1, "{pid} is no process of a test's");
    if let Some(pid) = Pid::from_raw(pid) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}
