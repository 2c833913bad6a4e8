//! The memory cap of a build's processes together, by a control group where the host lets us make one.
//!
//! Both hierarchies are known: the memory controller of version 1, and version 2 where a parent hands its memory controller
//! down. Anywhere else the build runs without a cap, and its log says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use launchway_model::BuildId;

/// The group of one build; dropped, it is removed, and this process goes back to where it was.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    /// The group that this process came from.
    home: PathBuf,
    /// Where the number of processes killed for their memory stands, and the word before it.
    kills: (PathBuf, &'static str),
    limit: u64,
}

impl MemoryGroup {
    /// Puts this process, and so all that it starts, into a group with a limit in bytes.
    /// `known_as` makes the group's name the only one of its kind on this machine.
    pub(crate) fn enter(build: BuildId, known_as: u32, limit: u64) -> io::Result<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let name = format!("launchway-build-{}-{}", build.0, known_as);
        let mut last = io::Error::other("this machine has no memory controller that can be used");
        for (home, version) in homes(&groups) {
            // Version 2 lets no group have both processes and children with controllers, so ours stands beside.
            let parent = if version == 2 {
                home.parent().unwrap_or(&home)
            } else {
                &home
            };
            let folder = parent.join(&name);
            match Self::make(&folder, &home, version, limit) {
                Ok(group) => return Ok(group),
                Err(error) => {
                    let _ = fs::remove_dir(&folder);
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn make(folder: &Path, home: &Path, version: u8, limit: u64) -> io::Result<Self> {
        fs::create_dir(folder)?;
        let (file, kills) = if version == 2 {
            ("memory.max", (folder.join("memory.events"), "oom_kill"))
        } else {
            (
                "memory.limit_in_bytes",
                (folder.join("memory.oom_control"), "oom_kill"),
            )
        };
        fs::write(folder.join(file), limit.to_string())?;
        // Without this, a build over its limit would fill the swap space instead; not every kernel has it.
        let _ = match version {
            2 => fs::write(folder.join("memory.swap.max"), "0"),
            _ => fs::write(
                folder.join("memory.memsw.limit_in_bytes"),
                limit.to_string(),
            ),
        };
        fs::write(folder.join("cgroup.procs"), std::process::id().to_string())?;
        Ok(Self {
            folder: folder.to_owned(),
            home: home.to_owned(),
            kills,
            limit,
        })
    }

    /// Whether a process was killed for the limit.
    pub(crate) fn killed(&self) -> bool {
        let (file, word) = &self.kills;
        fs::read_to_string(file).is_ok_and(|text| {
            text.lines()
                .filter_map(|line| line.split_once(' '))
                .any(|(name, count)| name == *word && count.trim() != "0")
        })
    }

    /// The limit, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let back = fs::write(
            self.home.join("cgroup.procs"),
            std::process::id().to_string(),
        );
        if let Err(error) = back.and_then(|()| fs::remove_dir(&self.folder)) {
            tracing::debug!(%error, folder = %self.folder.display(), "a control group is left behind");
        }
    }
}

/// The groups of this process that may have a memory controller, with their version.
fn homes(groups: &str) -> Vec<(PathBuf, u8)> {
    let mut homes = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if controllers.split(',').any(|name| name == "memory") {
            homes.push((Path::new("/sys/fs/cgroup/memory").join(path), 1));
        } else if controllers.is_empty() && Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
        {
            homes.push((Path::new("/sys/fs/cgroup").join(path), 2));
        }
    }
    homes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_version_1_are_found_by_their_controller() {
        let homes = homes("5:cpu,memory:/a/b\n3:cpu:/c\nnonsense\n");
        assert_eq!(homes, [(PathBuf::from("/sys/fs/cgroup/memory/a/b"), 1)]);
    }
}
