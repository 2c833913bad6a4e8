//! Control groups: limits on whole trees of processes, and one more way to reach every process of a tree.
//!
//! Version 2 where the host has it with controllers, version 1 else, both on a hybrid host; nothing where this user
//! may write neither. Below systemd with `Delegate=yes`, Launchway's own group is its unit's; root elsewhere takes
//! `launchway` at the top; an ordinary user has only what was delegated to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use launchway_model::app::Limits;

const V1_CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// Launchway's own groups on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Base {
    /// The version 2 group.
    v2: Option<PathBuf>,
    /// The version 1 groups by controller.
    v1: Vec<(&'static str, PathBuf)>,
}

/// The groups of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    v2: Option<PathBuf>,
    v1: Vec<(&'static str, PathBuf)>,
}

impl Base {
    /// Finds the groups; creates nothing.
    pub(crate) fn find() -> Self {
        let root = rustix::process::geteuid().is_root();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let v2 = v2_mount().and_then(|mount| {
            let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
            v2_base(&mount, own, root)
        });
        let mut v1 = Vec::new();
        if root {
            for controller in V1_CONTROLLERS {
                let mount = Path::new("/sys/fs/cgroup").join(controller);
                if mount.join("tasks").exists() {
                    v1.push((controller, mount.join("launchway")));
                }
            }
        }
        Self { v2, v1 }
    }

    /// The controllers of version 2 that can limit an instance.
    pub(crate) fn v2_controllers(&self) -> Vec<String> {
        let Some(base) = &self.v2 else {
            return Vec::new();
        };
        // The group may not exist yet; its parent then says what it would get.
        let text = fs::read_to_string(base.join("cgroup.controllers")).or_else(|_| {
            let parent = base.parent().unwrap_or(base);
            fs::read_to_string(parent.join("cgroup.controllers"))
        });
        let text = text.unwrap_or_default();
        let wanted = |name: &&str| V1_CONTROLLERS.contains(name);
        text.split_whitespace()
            .filter(wanted)
            .map(str::to_owned)
            .collect()
    }

    /// The controllers of version 1 that can limit an instance.
    pub(crate) fn v1_controllers(&self) -> Vec<String> {
        self.v1.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Whether groups can be made; tries it.
    pub(crate) fn writable(&self) -> bool {
        if self.v2.is_none() && self.v1.is_empty() {
            return false;
        }
        let name = format!("probe-{}", std::process::id());
        let (group, _) = self.make(&name, &Limits::default());
        let made = group != Group::default();
        group.remove();
        made
    }

    /// Makes the groups of one instance and sets its limits, as far as the host allows. Second: the limits that no
    /// group took.
    pub(crate) fn make(&self, name: &str, limits: &Limits) -> (Group, Limits) {
        let mut group = Group::default();
        let mut left = limits.clone();
        if let Some(base) = &self.v2 {
            let folder = base.join(name);
            delegate_controllers(base);
            if fs::create_dir_all(&folder).is_ok() {
                set_v2(&folder, &mut left);
                group.v2 = Some(folder);
            }
        }
        for (controller, base) in &self.v1 {
            let folder = base.join(name);
            if fs::create_dir_all(&folder).is_ok() {
                set_v1(controller, &folder, &mut left);
                group.v1.push((controller, folder));
            }
        }
        (group, left)
    }

    /// The groups of one instance, whether or not they exist.
    pub(crate) fn of(&self, name: &str) -> Group {
        Group {
            v2: self.v2.as_ref().map(|base| base.join(name)),
            v1: self
                .v1
                .iter()
                .map(|(controller, base)| (*controller, base.join(name)))
                .collect(),
        }
    }

    /// Makes room for instances below a group that was delegated to us: version 2 allows limits only in groups
    /// whose parent holds no process itself, so Launchway's own processes move into a group `main`.
    pub(crate) fn settle(&self) {
        let Some(base) = &self.v2 else { return };
        let Ok(pids) = fs::read_to_string(base.join("cgroup.procs")) else {
            return;
        };
        if pids.trim().is_empty() {
            return;
        }
        let main = base.join("main");
        if fs::create_dir_all(&main).is_err() {
            return;
        }
        for pid in pids.lines() {
            // A process that ended meanwhile cannot move, and need not.
            let _ = fs::write(main.join("cgroup.procs"), pid);
        }
        delegate_controllers(base);
    }
}

impl Group {
    /// Moves the calling process in.
    pub(crate) fn enter(&self) -> io::Result<()> {
        for folder in self.folders() {
            fs::write(folder.join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    /// Kills every process in the group, in one step where the kernel can.
    pub(crate) fn kill(&self) {
        if let Some(folder) = &self.v2
            && fs::write(folder.join("cgroup.kill"), "1").is_ok()
        {
            return;
        }
        for pid in self.pids() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }

    /// The processes in the group.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let Some(folder) = self.folders().next() else {
            return Vec::new();
        };
        fs::read_to_string(folder.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .filter(|&pid| pid > 0)
            .collect()
    }

    /// How many of its processes the kernel has killed for the group's memory limit, since the group was made.
    pub(crate) fn memory_kills(&self) -> u64 {
        let v1 = self.v1.iter().find(|(name, _)| *name == "memory");
        let files = [
            self.v2.as_ref().map(|folder| folder.join("memory.events")),
            v1.map(|(_, folder)| folder.join("memory.oom_control")),
        ];
        files
            .into_iter()
            .flatten()
            .filter_map(|path| fs::read_to_string(path).ok())
            .filter_map(|text| memory_kills(&text))
            .sum()
    }

    /// Removes the group; one that still holds processes stays.
    pub(crate) fn remove(&self) {
        for folder in self.folders() {
            let _ = fs::remove_dir(folder);
        }
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        let v1 = self.v1.iter().map(|(_, folder)| folder.as_path());
        self.v2.as_deref().into_iter().chain(v1)
    }
}

/// The count in `memory.events` (version 2) or `memory.oom_control` (version 1).
fn memory_kills(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?
        .trim()
        .parse()
        .ok()
}

fn v2_mount() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|mount| mount.join("cgroup.controllers").exists())
}

/// Where instances' groups go, given the caller's own group.
fn v2_base(mount: &Path, own: &str, root: bool) -> Option<PathBuf> {
    let parts: Vec<&str> = own.split('/').filter(|part| !part.is_empty()).collect();
    if let Some(unit) = parts.iter().position(|part| *part == "launchway.service") {
        return Some(mount.join(parts[..=unit].join("/")));
    }
    if root {
        return Some(mount.join("launchway"));
    }
    // A process that has settled already stands in `main`.
    let parts = match parts.split_last() {
        Some((&"main", above)) => above,
        _ => &parts[..],
    };
    let folder = mount.join(parts.join("/"));
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    (writable(&folder) && writable(&folder.join("cgroup.procs"))).then_some(folder)
}

/// Hands the controllers down from the parent and to the children, each by itself: one that is missing must not stop the others.
fn delegate_controllers(base: &Path) {
    let _ = fs::create_dir_all(base);
    for folder in [base.parent().unwrap_or(base), base] {
        for controller in V1_CONTROLLERS {
            let _ = fs::write(
                folder.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
    }
}

/// The period over which CPU time is shared out, in microseconds; the kernel's own default.
const CPU_PERIOD_MICROS: u64 = 100_000;

fn set_v2(folder: &Path, left: &mut Limits) {
    take(&mut left.memory_bytes, |bytes| {
        fs::write(folder.join("memory.max"), bytes.to_string())?;
        // Without this an app over its limit would fill the swap space instead of ending; not every kernel has it.
        let _ = fs::write(folder.join("memory.swap.max"), "0");
        Ok(())
    });
    take(&mut left.pids, |pids| {
        fs::write(folder.join("pids.max"), pids.to_string())
    });
    take(&mut left.cpu_millis, |millis| {
        let quota = cpu_quota(millis);
        fs::write(
            folder.join("cpu.max"),
            format!("{quota} {CPU_PERIOD_MICROS}"),
        )
    });
}

fn set_v1(controller: &str, folder: &Path, left: &mut Limits) {
    match controller {
        "memory" => take(&mut left.memory_bytes, |bytes| {
            fs::write(folder.join("memory.limit_in_bytes"), bytes.to_string())?;
            let _ = fs::write(
                folder.join("memory.memsw.limit_in_bytes"),
                bytes.to_string(),
            );
            Ok(())
        }),
        "pids" => take(&mut left.pids, |pids| {
            fs::write(folder.join("pids.max"), pids.to_string())
        }),
        "cpu" => take(&mut left.cpu_millis, |millis| {
            fs::write(
                folder.join("cpu.cfs_period_us"),
                CPU_PERIOD_MICROS.to_string(),
            )?;
            fs::write(
                folder.join("cpu.cfs_quota_us"),
                cpu_quota(millis).to_string(),
            )
        }),
        _ => {}
    }
}

/// Microseconds of CPU in each period; the kernel refuses less than a millisecond.
fn cpu_quota(millis: u32) -> u64 {
    (u64::from(millis) * CPU_PERIOD_MICROS / 1000).max(1000)
}

/// Sets a limit and forgets it once it is set.
fn take<T: Copy>(limit: &mut Option<T>, set: impl FnOnce(T) -> io::Result<()>) {
    if let Some(value) = *limit
        && set(value).is_ok()
    {
        *limit = None;
    }
}

#[cfg(test)]
mod tests;
