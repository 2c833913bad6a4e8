//! Ends what dead shims left of their apps.
//!
//! A process namespace or the guard has ended all of it in nearly every case; what is looked for here is left where both
//! the shim and its guard were killed at once. Such processes are known by the instance's folder in their environment and by
//! their control group.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cgroup::Base;
use crate::observe::Processes;
use crate::shim::FOLDER_VARIABLE;
use crate::shim::tree::send;

/// How long the kernel, or the guard, has to do it by itself.
const OTHERS_TURN: Duration = Duration::from_millis(300);
/// How long processes may take to die.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(3);

/// Kills the processes of the apps whose instances have these folders, and returns when they are gone. Gives how many had
/// to be killed, by folder.
pub(super) fn end(folders: &[PathBuf]) -> HashMap<PathBuf, usize> {
    let markers: HashMap<Vec<u8>, &Path> = folders
        .iter()
        .map(|folder| (marker(folder), folder.as_path()))
        .collect();
    let began = Instant::now();
    let mut killed = HashSet::new();
    let mut counts = HashMap::new();
    while began.elapsed() < PATIENCE {
        let left = carrying(&markers);
        if left.is_empty() {
            break;
        }
        if began.elapsed() >= OTHERS_TURN {
            for (pid, folder) in left {
                send(pid, Signal::KILL);
                if killed.insert(pid) {
                    *counts.entry(folder.to_path_buf()).or_default() += 1;
                }
            }
        }
        sleep(PAUSE);
    }
    counts
}

/// Kills whatever is in these instances' control groups, and removes them.
pub(super) fn end_groups(names: &[String]) {
    let base = Base::find();
    for name in names {
        let group = base.of(name);
        let began = Instant::now();
        while !group.pids().is_empty() && began.elapsed() < PATIENCE {
            group.kill();
            sleep(PAUSE);
        }
        group.remove();
    }
}

fn marker(folder: &Path) -> Vec<u8> {
    [
        FOLDER_VARIABLE.as_bytes(),
        b"=",
        folder.as_os_str().as_bytes(),
    ]
    .concat()
}

/// The living processes whose environment holds one of these.
fn carrying<'a>(markers: &HashMap<Vec<u8>, &'a Path>) -> Vec<(u32, &'a Path)> {
    Processes::read()
        .pids()
        .filter_map(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let folder = environment
                .split(|&byte| byte == 0)
                .find_map(|variable| markers.get(variable))?;
            Some((pid, *folder))
        })
        .collect()
}
