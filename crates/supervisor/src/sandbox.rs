//! What keeps a command apart from the rest of the machine.

use std::io;
use std::path::Path;

use launchway_model::shim::Sandbox;

/// What this host allows the calling user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// Whether a mount namespace can be had, and how.
    pub mounts: Namespaces,
    /// Whether an instance gets a process namespace, in which the kernel ends everything with its shim.
    pub processes: bool,
    /// Whether limits can be set on whole trees of processes.
    pub cgroup: CgroupAbility,
    /// Whether apps can run as users of their own.
    pub users: bool,
}

/// How namespaces can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    /// By the privilege of root.
    Root,
    /// In a user namespace.
    User,
    /// Not at all, with the reason in words.
    None(String),
}

/// What can be done with cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupAbility {
    /// Version 2, with these controllers ("memory").
    V2(Vec<String>),
    /// Version 1, with these controllers.
    V1(Vec<String>),
    /// None that this user may write, with the reason in words.
    None(String),
}

impl Abilities {
    /// Whether [`enter`] can be used.
    pub fn can_mount(&self) -> bool {
        self.mounts != Namespaces::None(String::new()) && !matches!(self.mounts, Namespaces::None(_))
    }

    /// One sentence for each ability, for `launchway doctor`.
    pub fn words(&self) -> Vec<String> {
        unimplemented!()
    }
}

/// Finds out what this host allows, by trying it in a child process: about two milliseconds. It may be called from a
/// process with threads.
pub fn abilities() -> Abilities {
    unimplemented!()
}

/// Moves the calling process into the sandbox: a mount namespace of its own (and a user namespace where it isn't root)
/// with the tree, binds, `/tmp` and hidden folders as asked. The process must have one thread. User, privileges and
/// cgroup are not touched: see [`drop_privileges`]. The working directory is the tree's new place afterwards.
pub fn enter(_sandbox: &Sandbox, _tree: &Path) -> io::Result<()> {
    unimplemented!()
}

/// Gives up all that a command must not have, for good: becomes `user` (user and group) where one is given, drops all
/// capabilities, forbids new privileges. Call it after [`enter`], right before `exec`.
pub fn drop_privileges(_user: Option<(u32, u32)>) -> io::Result<()> {
    unimplemented!()
}
