//! Namespaces: which can be had, and how one is entered.
//!
//! Root has them by privilege; an ordinary user first needs a user namespace, in which it keeps its own user and group
//! ids, so that files look and belong as before.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use crate::sandbox::Namespaces;
use crate::sys::{self, Forked};

/// What a try in a child process found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// A mount namespace can be had and used.
    pub(crate) mounts: bool,
    /// A process namespace with a `/proc` of its own can be had.
    pub(crate) processes: bool,
}

/// Tries in a child process; the caller may have threads.
pub(crate) fn probe() -> Found {
    // The child's exit code: one bit for each finding.
    let maps = IdMaps::of_this_process();
    let Ok(Forked::Parent(child)) = sys::fork().map(|side| match side {
        Forked::Child => sys::exit_now(probe_in_child(&maps)),
        parent => parent,
    }) else {
        return Found {
            mounts: false,
            processes: false,
        };
    };
    let code = wait_for(child).unwrap_or(0);
    Found {
        mounts: code & 1 != 0,
        processes: code & 2 != 0,
    }
}

/// Only system calls from here on, and no allocation: another thread of the parent may have held the allocator's lock.
fn probe_in_child(maps: &IdMaps) -> i32 {
    let all = libc::CLONE_NEWNS | libc::CLONE_NEWPID;
    if enter(all, maps).is_err() {
        // A host may allow the one and not the other.
        return i32::from(enter(libc::CLONE_NEWNS, maps).is_ok() && try_mount().is_ok());
    }
    if try_mount().is_err() {
        return 0;
    }
    match sys::fork() {
        Ok(Forked::Child) => sys::exit_now(i32::from(mount_proc().is_err())),
        Ok(Forked::Parent(child)) => match wait_for(child) {
            Some(0) => 3,
            _ => 1,
        },
        Err(_) => 1,
    }
}

fn try_mount() -> io::Result<()> {
    keep_mounts_private()?;
    mount(c"tmpfs", c"/tmp", c"tmpfs", MountFlags::NOSUID, None)?;
    // The youngest of the calls that a sandbox needs (Linux 5.12).
    sys::mount_attributes(rustix::fs::CWD, c"/tmp", true, libc::MOUNT_ATTR_RDONLY, 0)
}

/// Enters new namespaces, by privilege for root and through a user namespace for others.
pub(crate) fn enter(flags: i32, maps: &IdMaps) -> io::Result<()> {
    match sys::unshare(flags) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && !maps.root => {
            sys::unshare(flags | libc::CLONE_NEWUSER)?;
            maps.write()
        }
        result => result,
    }
}

/// Stops mounts made here from appearing outside, while those made outside still appear here.
pub(crate) fn keep_mounts_private() -> rustix::io::Result<()> {
    mount_change(
        c"/",
        MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM,
    )
}

/// Covers `/proc` with one that shows the caller's process namespace.
pub(crate) fn mount_proc() -> rustix::io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"proc", c"/proc", c"proc", flags, None)
}

/// The contents of a new user namespace's id maps: both ids stay what they are.
pub(crate) struct IdMaps {
    root: bool,
    user: String,
    group: String,
}

impl IdMaps {
    pub(crate) fn of_this_process() -> Self {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        Self {
            root: user == 0,
            user: format!("{user} {user} 1"),
            group: format!("{group} {group} 1"),
        }
    }

    fn write(&self) -> io::Result<()> {
        // A process without privilege must give up setgroups before it may map a group.
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", &self.user)?;
        std::fs::write("/proc/self/gid_map", &self.group)
    }
}

/// Waits for one child and gives its exit code.
fn wait_for(child: rustix::process::Pid) -> Option<i32> {
    loop {
        match rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()) {
            Ok(Some((_, status))) => return status.exit_status(),
            Err(Errno::INTR) => {}
            _ => return None,
        }
    }
}

/// Puts a finding into words and says, where it can be told, what forbids the rest.
pub(crate) fn describe(found: Found) -> Namespaces {
    if found.mounts {
        return if rustix::process::geteuid().is_root() {
            Namespaces::Root
        } else {
            Namespaces::User
        };
    }
    Namespaces::None(reason().to_owned())
}

fn reason() -> &'static str {
    let setting = |path: &str| {
        std::fs::read_to_string(Path::new("/proc/sys").join(path))
            .ok()
            .map(|text| text.trim().to_owned())
    };
    if rustix::process::geteuid().is_root() {
        "root lacks the capability CAP_SYS_ADMIN here (a container?)"
    } else if setting("user/max_user_namespaces").as_deref() == Some("0") {
        "user namespaces are turned off (sysctl user.max_user_namespaces is 0)"
    } else if setting("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        "user namespaces are for root only (sysctl kernel.unprivileged_userns_clone is 0)"
    } else if setting("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        "AppArmor restricts user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns is 1)"
    } else {
        "the system refuses a user namespace"
    }
}
