//! Process trees, by what /proc says: who belongs to whom, and the end of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// The variable that marks every process of a build with the build's folder.
pub(crate) const MARK: &str = "LAUNCHWAY_BUILD_FOLDER";

/// How long killed processes are waited for. One that sleeps in the kernel longer is left behind.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A process as /proc tells of it.
#[derive(Debug, Clone, Copy)]
struct Process {
    parent: i32,
    group: i32,
    dead: bool,
}

/// All processes by id.
fn all() -> BTreeMap<i32, Process> {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(process) = stat(pid) {
            processes.insert(pid, process);
        }
    }
    processes
}

fn stat(pid: i32) -> Option<Process> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name stands in parentheses and may hold anything, parentheses too.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Process {
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        dead: matches!(state, "Z" | "X"),
    })
}

/// The descendants of a process that live, and all that are in its process group.
fn tree_of(root: i32, with_group: bool) -> BTreeSet<i32> {
    let processes = all();
    let mut tree = BTreeSet::new();
    for (pid, process) in &processes {
        let mut at = *process;
        let mut steps = 0;
        let below = loop {
            if at.parent == root {
                break true;
            }
            steps += 1;
            match processes.get(&at.parent) {
                Some(parent) if steps < 10_000 && at.parent > 1 => at = *parent,
                _ => break false,
            }
        };
        if !process.dead && (below || (with_group && (process.group == root || *pid == root))) {
            tree.insert(*pid);
        }
    }
    tree
}

/// Sends a signal to a command, its descendants and its process group.
pub(crate) fn signal_tree(root: i32, signal: Signal) {
    for pid in tree_of(root, true) {
        send(pid, signal);
    }
}

/// Kills a command's whole tree, again and again until nothing new is found.
pub(crate) fn kill_tree(root: i32) {
    for _ in 0..20 {
        let tree = tree_of(root, true);
        if tree.is_empty() {
            return;
        }
        for pid in tree {
            send(pid, Signal::KILL);
        }
    }
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended in between, or belong to another user by now.
        let _ = kill_process(pid, signal);
    }
}

/// Ends all that this process and its descendants started, but what asked to live. Only for the time when nobody else
/// waits for a child. Gives the number of those that were killed.
pub(crate) fn end_all() -> usize {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let until = Instant::now() + END_WITHIN;
    let mut killed = BTreeSet::new();
    let mut round = 0_u32;
    loop {
        if reap() {
            return killed.len();
        }
        let tree: Vec<(i32, Wish)> = tree_of(own, false)
            .into_iter()
            .map(|pid| (pid, wish(pid)))
            .filter(|(_, wish)| *wish != Wish::Live)
            .collect();
        if tree.is_empty() || Instant::now() > until {
            reap();
            return killed.len();
        }
        round += 1;
        for (pid, wish) in tree {
            if wish == Wish::Unknown && round <= PATIENT_ROUNDS {
                continue;
            }
            send(pid, Signal::KILL);
            killed.insert(pid);
        }
        // A kill takes effect within microseconds; this is a pause between looks, not a wait for an event.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Takes the exit states of all children that ended; whether there are no children at all.
fn reap() -> bool {
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// For how many rounds, a millisecond each, a process whose wish is unknown is given time.
const PATIENT_ROUNDS: u32 = 50;

/// What a process wants at the end of its build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Live,
    Die,
    /// It is just becoming another program, so that its environment cannot be read.
    Unknown,
}

fn wish(pid: i32) -> Wish {
    match environment(pid) {
        Some(environment) if environment.is_empty() => Wish::Unknown,
        Some(_) if asked_to_live(pid) => Wish::Live,
        _ => Wish::Die,
    }
}

/// Whether a process was started with Jenkins' word for "leave me running".
fn asked_to_live(pid: i32) -> bool {
    environment(pid).is_some_and(|environment| {
        environment.split(|byte| *byte == 0).any(|variable| {
            variable == b"JENKINS_NODE_COOKIE=dontKillMe" || variable == b"BUILD_ID=dontKillMe"
        })
    })
}

fn environment(pid: i32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
}

/// Kills every process that is marked with a build's folder, and what they started. Gives their number.
pub(crate) fn end_marked(folder: &Path) -> usize {
    let mut mark = MARK.as_bytes().to_vec();
    mark.push(b'=');
    mark.extend_from_slice(folder.as_os_str().as_bytes());
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut killed = BTreeSet::new();
    // In the moment in which a process becomes another program its environment cannot be read: only when several looks
    // in a row find nobody is nobody there.
    let mut quiet = 0;
    for _ in 0..200 {
        let marked: Vec<i32> = all()
            .into_iter()
            .filter(|(pid, process)| !process.dead && *pid != own)
            .map(|(pid, _)| pid)
            .filter(|pid| {
                environment(*pid).is_some_and(|environment| {
                    environment
                        .split(|byte| *byte == 0)
                        .any(|variable| variable == mark)
                }) && !asked_to_live(*pid)
            })
            .collect();
        quiet = if marked.is_empty() { quiet + 1 } else { 0 };
        if quiet > 3 {
            break;
        }
        for pid in marked {
            send(pid, Signal::KILL);
            killed.insert(pid);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.len()
}
