//! The order in which a sandbox's mounts are made.
//!
//! What must stay reachable (tree, binds, writable folders) is first cloned into mounts that hang nowhere yet; then the
//! system around is made read-only and covered; last the clones are put in their places. So no later step can hide or
//! lock what an earlier one placed. Paths inside the tree come from a repository: they are walked one component at a time
//! without following links, so that a link in a tree never leads a mount (or a new folder) outside it.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use launchway_model::shim::Sandbox;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, unmount};

use super::said;
use crate::{namespaces, sys};

/// The devices that a command needs and that harm nobody.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// The links that a `/dev` has.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// A mount that hangs nowhere yet.
struct Detached {
    mount: OwnedFd,
    is_folder: bool,
}

/// Arranges all mounts of the calling process's own mount namespace.
pub(super) fn arrange(sandbox: &Sandbox, tree: &Path, own_processes: bool) -> io::Result<()> {
    namespaces::keep_mounts_private().map_err(|e| said("keep mounts private", e))?;

    let tree_mount = clone(tree)?;
    let binds = clone_binds(sandbox, &tree_mount)?;
    let kept = Kept::take(sandbox)?;
    let tmp = sandbox
        .private_tmp
        .then(|| TmpClones::take(sandbox))
        .transpose()?;
    let devices = sandbox.read_only.then(clone_devices).transpose()?;

    let place = super::place_of(sandbox, tree);
    if let Some(mount_at) = &sandbox.mount_at
        && !mount_at.is_dir()
    {
        rebuild_root(mount_at)?;
    }
    if sandbox.read_only {
        set_read_only(CWD, "/", true).map_err(|e| said("make the system read-only", e))?;
        if !sandbox.tree_writable {
            set_read_only(tree_mount.mount.as_fd(), "", true)
                .map_err(|e| said("make the tree read-only", e))?;
        }
    }
    if own_processes {
        namespaces::mount_proc().map_err(|e| said("mount /proc", e))?;
    } else if sandbox.read_only {
        // Programs write about themselves there (`/proc/self/oom_score_adj`).
        set_writable(CWD, "/proc").map_err(|e| said("keep /proc writable", e))?;
    }
    if let Some(devices) = devices {
        place_devices(devices)?;
    }
    let mut covers: Vec<PathBuf> = Vec::new();
    if let Some(tmp) = tmp {
        tmp.place()?;
        covers.extend(TmpClones::places().map(Path::to_path_buf));
    }
    let hidden = hide(&sandbox.hide)?;
    covers.extend(hidden.iter().cloned());
    let covered = covers.iter().any(|folder| tree.starts_with(folder));
    if sandbox.mount_at.is_some() || covered || sandbox.read_only || !binds.is_empty() {
        place_at(&tree_mount, &place)?;
        place_binds(binds, &place)?;
    }
    kept.place()?;
    for folder in &hidden {
        if !sandbox.writable.contains(folder) {
            set_read_only(CWD, folder, false)
                .map_err(|e| said(&format!("hide `{}`", folder.display()), e))?;
        }
    }
    rustix::process::chdir(&place).map_err(|e| said(&format!("enter `{}`", place.display()), e))
}

/// What stays reachable outside the tree, where it lies.
struct Kept<'a> {
    readable: Vec<(&'a Path, Detached)>,
    writable: Vec<(&'a Path, Detached)>,
    replaced: Vec<(&'a Path, Detached)>,
}

impl<'a> Kept<'a> {
    fn take(sandbox: &'a Sandbox) -> io::Result<Self> {
        let mut readable = Vec::new();
        for path in &sandbox.readable {
            // A tool that was there when the sandbox was made may be gone by now: the command does without.
            match clone(path) {
                Ok(mount) => readable.push((path.as_path(), mount)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut writable = Vec::new();
        for path in &sandbox.writable {
            writable.push((path.as_path(), clone(path)?));
        }
        let mut replaced = Vec::new();
        for (path, source) in &sandbox.replaced {
            replaced.push((path.as_path(), clone(source)?));
        }
        // What lies above comes first, so that it does not cover what lies below.
        readable.sort_by_key(|(path, _)| path.components().count());
        writable.sort_by_key(|(path, _)| path.components().count());
        Ok(Self {
            readable,
            writable,
            replaced,
        })
    }

    fn place(&self) -> io::Result<()> {
        for (path, mount) in &self.readable {
            set_read_only(mount.mount.as_fd(), "", true)
                .map_err(|e| said(&format!("protect `{}`", path.display()), e))?;
            place_at(mount, path)?;
        }
        for (path, mount) in &self.writable {
            place_at(mount, path)?;
        }
        for (path, mount) in &self.replaced {
            set_read_only(mount.mount.as_fd(), "", false)
                .map_err(|e| said(&format!("protect `{}`", path.display()), e))?;
            place_at(mount, path)?;
        }
        Ok(())
    }
}

/// Clones a file or folder with all that is mounted below it.
fn clone(path: &Path) -> io::Result<Detached> {
    clone_from(CWD, path).map_err(|e| said(&format!("bind `{}`", path.display()), e))
}

fn clone_from(folder: BorrowedFd<'_>, path: &Path) -> io::Result<Detached> {
    let is_folder =
        FileType::from_raw_mode(rustix::fs::statat(folder, path, AtFlags::empty())?.st_mode)
            == FileType::Directory;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if is_folder {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let mount = rustix::mount::open_tree(folder, path, flags)?;
    Ok(Detached { mount, is_folder })
}

/// Clones what is bound below the tree, and makes the mount points in the tree where they are missing.
fn clone_binds<'a>(sandbox: &'a Sandbox, tree: &Detached) -> io::Result<Vec<(&'a Path, Detached)>> {
    let mut binds = Vec::new();
    for (path, source) in &sandbox.binds {
        let source = clone(source)?;
        let path = Path::new(path.as_str());
        mount_point(tree.mount.as_fd(), path, source.is_folder).map_err(|e| {
            said(
                &format!("make room for `{}` in the tree", path.display()),
                e,
            )
        })?;
        binds.push((path, source));
    }
    Ok(binds)
}

/// Makes a file or folder at a path below `root`, where there is none, and opens it. No link is followed.
fn mount_point(root: BorrowedFd<'_>, path: &Path, is_folder: bool) -> io::Result<OwnedFd> {
    let names: Vec<&OsStr> = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path leaves the tree",
            )),
        })
        .collect::<Result<_, _>>()?;
    let Some((last, above)) = names.split_last() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path is the tree itself",
        ));
    };
    let open = |at: BorrowedFd<'_>, name: &OsStr, flags: OFlags| {
        let flags = flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(at, name, flags, Mode::empty())
    };
    let mut at = open(root, OsStr::new("."), OFlags::DIRECTORY)?;
    for name in above {
        make_folder(at.as_fd(), name)?;
        at = open(at.as_fd(), name, OFlags::DIRECTORY)?;
    }
    if is_folder {
        make_folder(at.as_fd(), last)?;
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&at, *last, flags, Mode::from_raw_mode(0o644)) {
            Ok(_) | Err(Errno::EXIST | Errno::ROFS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let point = open(at.as_fd(), last, OFlags::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&point)?.st_mode) {
        FileType::Symlink => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a symbolic link",
        )),
        FileType::Directory if !is_folder => Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a folder, and what is bound is a file",
        )),
        FileType::Directory => Ok(point),
        _ if is_folder => Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "it is a file, and what is bound is a folder",
        )),
        _ => Ok(point),
    }
}

fn make_folder(at: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST | Errno::ROFS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn place_binds(binds: Vec<(&Path, Detached)>, place: &Path) -> io::Result<()> {
    if binds.is_empty() {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let tree = rustix::fs::openat(CWD, place, flags, Mode::empty())?;
    for (path, source) in binds {
        mount_point(tree.as_fd(), path, source.is_folder)
            .and_then(|point| move_onto(&source, point.as_fd()))
            .map_err(|e| said(&format!("bind `{}` in the tree", path.display()), e))?;
    }
    Ok(())
}

/// Puts a clone at an absolute path, which is made where it is missing.
fn place_at(clone: &Detached, path: &Path) -> io::Result<()> {
    let put = || {
        if clone.is_folder {
            if !path.is_dir() {
                fs::create_dir_all(path)?;
            }
        } else if !path.exists() {
            if let Some(above) = path.parent() {
                fs::create_dir_all(above)?;
            }
            fs::write(path, "")?;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let point = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        move_onto(clone, point.as_fd())
    };
    put().map_err(|e| said(&format!("mount at `{}`", path.display()), e))
}

fn move_onto(clone: &Detached, point: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&clone.mount, "", point, "", flags)?;
    Ok(())
}

/// Gives the namespace a root of its own, in memory, that shows all of the old root and has room for `mount_at`, so that
/// nothing is made in the host's root.
fn rebuild_root(mount_at: &Path) -> io::Result<()> {
    let step = |e: io::Error| said(&format!("make `{}`", mount_at.display()), e);
    let mut folders = Vec::new();
    let mut links = Vec::new();
    for entry in fs::read_dir("/").map_err(step)? {
        let entry = entry.map_err(step)?;
        let kind = entry.file_type().map_err(step)?;
        if kind.is_symlink() {
            links.push((
                entry.file_name(),
                fs::read_link(entry.path()).map_err(step)?,
            ));
        } else if kind.is_dir() {
            folders.push((entry.file_name(), clone(&entry.path())?));
        }
    }
    let size = Some(c"mode=0755,size=1m");
    mount(c"root", c"/tmp", c"tmpfs", MountFlags::NOSUID, size).map_err(|e| step(e.into()))?;
    let build = || -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, "/tmp", flags, Mode::empty())?;
        for (name, folder) in &folders {
            let point = mount_point(root.as_fd(), Path::new(name), true)?;
            move_onto(folder, point.as_fd())?;
        }
        for (name, target) in &links {
            rustix::fs::symlinkat(target, &root, name)?;
        }
        let below = mount_at.strip_prefix("/").map_err(io::Error::other)?;
        mount_point(root.as_fd(), below, true)?;
        rustix::process::chdir("/tmp")?;
        // With both paths the same, the old root lies under the new one, and is taken away from there.
        rustix::process::pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")?;
        set_read_only(CWD, "/", false)
    };
    build().map_err(step)
}

/// What lies behind a private `/tmp` and `/var/tmp`.
enum TmpClones {
    Folder(Vec<(&'static Path, Detached)>),
    Memory,
}

impl TmpClones {
    fn take(sandbox: &Sandbox) -> io::Result<Self> {
        let Some(folder) = &sandbox.tmp else {
            return Ok(Self::Memory);
        };
        let mut clones = Vec::new();
        for place in Self::places() {
            clones.push((place, clone(folder)?));
        }
        Ok(Self::Folder(clones))
    }

    fn places() -> impl Iterator<Item = &'static Path> {
        ["/tmp", "/var/tmp"]
            .into_iter()
            .map(Path::new)
            .filter(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()))
    }

    fn place(self) -> io::Result<()> {
        match self {
            Self::Folder(clones) => {
                for (place, clone) in &clones {
                    place_at(clone, place)?;
                }
            }
            Self::Memory => {
                for place in Self::places() {
                    let flags = MountFlags::NOSUID | MountFlags::NODEV;
                    mount("tmp", place, "tmpfs", flags, Some(c"mode=1777"))
                        .map_err(|e| said("mount /tmp", e))?;
                }
            }
        }
        Ok(())
    }
}

/// Clones the devices that a command may have; those that the host lacks are left out.
fn clone_devices() -> io::Result<Vec<(&'static str, Detached)>> {
    let mut devices = Vec::new();
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        if path.exists() {
            devices.push((name, clone(&path)?));
        }
    }
    Ok(devices)
}

fn place_devices(devices: Vec<(&'static str, Detached)>) -> io::Result<()> {
    let put = || -> io::Result<()> {
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        mount(c"dev", c"/dev", c"tmpfs", flags, Some(c"mode=0755,size=1m"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, "/dev", flags, Mode::empty())?;
        for (name, device) in &devices {
            let point = mount_point(folder.as_fd(), Path::new(name), device.is_folder)?;
            move_onto(device, point.as_fd())?;
        }
        for (target, name) in DEVICE_LINKS {
            rustix::fs::symlinkat(target, &folder, name)?;
        }
        // Terminals of its own: those of the host are nobody's business here, and their ptmx may be closed to users.
        fs::create_dir("/dev/pts")?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        let options = c"newinstance,ptmxmode=0666,mode=0620";
        // A host that allows none leaves commands without a terminal, which is no reason not to run them.
        let _ = mount(c"devpts", c"/dev/pts", c"devpts", flags, Some(options));
        fs::create_dir("/dev/shm")?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount(c"shm", c"/dev/shm", c"tmpfs", flags, Some(c"mode=1777"))?;
        set_read_only(CWD, "/dev", false)
    };
    put().map_err(|e| said("make /dev", e))
}

/// Covers folders with empty ones and files with nothing; gives the folders that were covered. What does not exist, or
/// lies in a folder covered before, needs no cover.
fn hide(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<&PathBuf> = paths.iter().collect();
    paths.sort();
    let mut hidden = Vec::new();
    for path in paths {
        let step = |e: io::Error| said(&format!("hide `{}`", path.display()), e);
        let Ok(found) = fs::metadata(path) else {
            continue;
        };
        if found.is_dir() {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mount("hidden", path, "tmpfs", flags, Some(c"mode=0755,size=1m"))
                .map_err(|e| step(e.into()))?;
            hidden.push(path.clone());
        } else {
            place_at(&clone(Path::new("/dev/null"))?, path).map_err(step)?;
        }
    }
    Ok(hidden)
}

fn set_read_only(
    folder: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    recursive: bool,
) -> io::Result<()> {
    let path = CString::new(path.as_ref().as_os_str().as_bytes())?;
    sys::mount_attributes(folder, &path, recursive, libc::MOUNT_ATTR_RDONLY, 0)
}

fn set_writable(folder: BorrowedFd<'_>, path: impl AsRef<Path>) -> io::Result<()> {
    let path = CString::new(path.as_ref().as_os_str().as_bytes())?;
    sys::mount_attributes(folder, &path, false, 0, libc::MOUNT_ATTR_RDONLY)
}
