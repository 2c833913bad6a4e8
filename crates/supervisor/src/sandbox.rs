//! What keeps a command apart from the rest of the machine: where it sees its tree, what it may write, as whom it runs.
//!
//! Nothing here knows instances or builds. What a host does not allow is an error of [`enter`]; who asks for a sandbox
//! asks [`abilities`] first and leaves that out.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use launchway_model::shim::Sandbox;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::cgroup::Base;
use crate::namespaces::{self, IdMaps};

mod mounts;

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

impl CgroupAbility {
    /// Whether whole trees can be limited by this controller ("memory", "cpu", "pids").
    pub fn limits(&self, controller: &str) -> bool {
        match self {
            Self::V2(names) | Self::V1(names) => names.iter().any(|name| name == controller),
            Self::None(_) => false,
        }
    }
}

impl Abilities {
    /// Whether [`enter`] can be used.
    pub fn can_mount(&self) -> bool {
        !matches!(self.mounts, Namespaces::None(_))
    }

    /// One sentence for each ability, for `launchway doctor`.
    pub fn words(&self) -> Vec<String> {
        let mounts = match &self.mounts {
            Namespaces::Root => {
                "Builds and instances see their tree at /app, in a mount namespace.".to_owned()
            }
            Namespaces::User => {
                "Builds and instances see their tree at /app, in a user namespace.".to_owned()
            }
            Namespaces::None(reason) => {
                format!("Builds and instances stay in the release's own folder: {reason}.")
            }
        };
        let processes = if self.processes {
            "An instance has a process namespace: the kernel ends all of it with its shim."
        } else {
            "An instance has no process namespace: a guard process ends all of it with its shim."
        };
        let cgroup = match &self.cgroup {
            CgroupAbility::V2(names) | CgroupAbility::V1(names) if names.is_empty() => {
                "Control groups hold instances together but limit nothing.".to_owned()
            }
            CgroupAbility::V2(names) => {
                format!("Control groups (version 2) limit {}.", names.join(", "))
            }
            CgroupAbility::V1(names) => {
                format!("Control groups (version 1) limit {}.", names.join(", "))
            }
            CgroupAbility::None(reason) => format!(
                "No control groups: {reason}; memory is limited per process, CPU not at all."
            ),
        };
        let users = if self.users {
            "Apps can run as users of their own."
        } else {
            "Apps run as the user who runs Launchway."
        };
        vec![mounts, processes.to_owned(), cgroup, users.to_owned()]
    }
}

/// Finds out what this host allows, by trying it in a child process: about two milliseconds. It may be called from a
/// process with threads.
pub fn abilities() -> Abilities {
    let found = namespaces::probe();
    let base = Base::find();
    let cgroup = if base.writable() {
        match (base.v1_controllers(), base.v2_controllers()) {
            (v1, v2) if v2.is_empty() && !v1.is_empty() => CgroupAbility::V1(v1),
            (_, v2) => CgroupAbility::V2(v2),
        }
    } else if rustix::process::geteuid().is_root() {
        CgroupAbility::None("root may not write them here (a container?)".to_owned())
    } else {
        CgroupAbility::None("none is delegated to this user".to_owned())
    };
    Abilities {
        mounts: namespaces::describe(found),
        processes: found.processes,
        cgroup,
        users: rustix::process::geteuid().is_root()
            && rustix::thread::capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETUID)),
    }
}

/// Moves the calling process into the sandbox: a mount namespace of its own (and a user namespace where it isn't root)
/// with the tree, binds, `/tmp` and hidden folders as asked. The process must have one thread. User, privileges and
/// cgroup are not touched: see [`drop_privileges`]. The working directory is the tree's new place afterwards.
///
/// With `read_only` everything but the binds, `writable`, `/tmp`, `/dev/shm` and `/proc` can only be read, and `/dev`
/// holds the harmless devices only. Files that are open before stay as they are.
///
/// # Errors
/// What the host refuses, or what does not fit (a bind that leaves the tree), with the step in words.
pub fn enter(sandbox: &Sandbox, tree: &Path) -> io::Result<()> {
    let ids = IdMaps::of_this_process();
    namespaces::enter(libc::CLONE_NEWNS, &ids).map_err(|e| said("get a mount namespace", e))?;
    mounts::arrange(sandbox, tree, false)
}

/// As [`enter`], for the first command of a process namespace, which also gets a `/proc` that shows this namespace.
pub(crate) fn enter_with_processes(sandbox: &Sandbox, tree: &Path) -> io::Result<()> {
    let ids = IdMaps::of_this_process();
    namespaces::enter(libc::CLONE_NEWNS, &ids).map_err(|e| said("get a mount namespace", e))?;
    mounts::arrange(sandbox, tree, true)
}

/// Whether a sandbox asks for anything that needs a mount namespace.
pub(crate) fn needs_mounts(sandbox: &Sandbox) -> bool {
    sandbox.mount_at.is_some()
        || sandbox.read_only
        || sandbox.private_tmp
        || !sandbox.binds.is_empty()
        || !sandbox.hide.is_empty()
        || !sandbox.readable.is_empty()
        || !sandbox.replaced.is_empty()
}

/// Where the command sees the tree.
pub(crate) fn place_of(sandbox: &Sandbox, tree: &Path) -> PathBuf {
    sandbox
        .mount_at
        .clone()
        .unwrap_or_else(|| tree.to_path_buf())
}

/// Moves the calling process into the network namespace of a sandbox, where it has one: before its mounts are arranged,
/// which may hide the namespace's file.
pub(crate) fn enter_network(sandbox: &Sandbox) -> io::Result<()> {
    let Some(seat) = &sandbox.network else {
        return Ok(());
    };
    let path = &seat.namespace;
    let step =
        |error: io::Error| said(&format!("enter the network of `{}`", path.display()), error);
    let file = std::fs::File::open(path).map_err(step)?;
    let kind = rustix::thread::LinkNameSpaceType::Network;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(kind))
        .map_err(|error| step(error.into()))
}

/// Gives up all that a command must not have, for good: becomes `user` (user and group) where one is given, drops all
/// capabilities, forbids new privileges. Call it after [`enter`], right before `exec`.
pub fn drop_privileges(user: Option<(u32, u32)>) -> io::Result<()> {
    drop_bounding_set_but(CapabilitySet::empty())?;
    if let Some((user, group)) = user {
        let user = Uid::from_raw(user);
        let group = Gid::from_raw(group);
        rustix::thread::set_thread_groups(&[]).map_err(|e| said("give up groups", e))?;
        rustix::thread::set_thread_res_gid(group, group, group)
            .map_err(|e| said("change the group", e))?;
        rustix::thread::set_thread_res_uid(user, user, user)
            .map_err(|e| said("change the user", e))?;
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::clear_ambient_capability_set().map_err(|e| said("drop capabilities", e))?;
    rustix::thread::set_capabilities(None, none).map_err(|e| said("drop capabilities", e))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| said("forbid new privileges", e))
}

/// For a process that stays root: keeps these capabilities alone, for itself and all that it starts, for good.
pub(crate) fn keep_capabilities(kept: CapabilitySet) -> io::Result<()> {
    drop_bounding_set_but(kept)?;
    let current = rustix::thread::capabilities(None).map_err(|e| said("read capabilities", e))?;
    let sets = CapabilitySets {
        effective: current.effective & kept,
        permitted: current.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::clear_ambient_capability_set().map_err(|e| said("drop capabilities", e))?;
    rustix::thread::set_capabilities(None, sets).map_err(|e| said("drop capabilities", e))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| said("forbid new privileges", e))
}

/// Without this, a command that runs as root would get all capabilities back when it executes.
fn drop_bounding_set_but(kept: CapabilitySet) -> io::Result<()> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if kept.contains(capability) {
            continue;
        }
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(true) => {}
            Ok(false) => continue,
            // The first number beyond the kernel's last capability.
            Err(_) => break,
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Who may not drop them has none to give up; no_new_privs keeps it so.
            Ok(()) | Err(rustix::io::Errno::PERM) => {}
            Err(error) => return Err(said("drop capabilities", error)),
        }
    }
    Ok(())
}

/// An error with the step that failed.
fn said(step: &str, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("cannot {step}: {error}"))
}

#[cfg(test)]
mod tests;
