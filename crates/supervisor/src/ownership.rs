//! Handing files to an app's own user, where Launchway is root.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Gives a file, or a folder and all that is in it, to a user and group. No link is followed, not even one laid meanwhile, and
/// no other mount is entered. The folder itself comes last: what has the right owner already has been handed over whole, and
/// is left alone.
///
/// # Errors
/// The path does not exist, or the caller is not root.
pub fn hand_over(path: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    let found = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    if found.st_uid == user && found.st_gid == group {
        return Ok(());
    }
    let owner = (Uid::from_raw(user), Gid::from_raw(group));
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        let folder = rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?;
        below(&folder, owner)?;
    }
    change(CWD, path, owner)
}

fn below(folder: &OwnedFd, owner: (Uid, Gid)) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::openat(folder, name, FOLDER, Mode::empty()) {
            Ok(inner) => below(&inner, owner)?,
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        match change(folder, name, owner) {
            // Whoever else works in the folder may have removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            changed => changed?,
        }
    }
    Ok(())
}

fn change(
    at: impl std::os::fd::AsFd,
    name: impl rustix::path::Arg,
    (user, group): (Uid, Gid),
) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::chownat(
        at,
        name,
        Some(user),
        Some(group),
        flags,
    )?)
}

#[cfg(test)]
mod tests;
