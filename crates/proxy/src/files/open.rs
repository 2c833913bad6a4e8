//! Opening a file below a root and nowhere else.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A regular file, opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) modified: SystemTime,
    pub(super) modified_nanos: i128,
}

/// The relative name that a path of a request means; `None` for one that cannot name a file: a broken escape, a NUL, a hidden
/// or dot segment, a backslash (which some clients take for a slash).
pub(super) fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let (byte, escaped) = match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                (u8::try_from(value).ok()?, true)
            }
            byte => (byte, false),
        };
        // An escaped slash would make one segment two.
        if matches!(byte, 0 | b'\\') || (escaped && byte == b'/') {
            return None;
        }
        bytes.push(byte);
    }
    let name = String::from_utf8(bytes).ok()?;
    let name = name.strip_prefix('/').unwrap_or(&name);
    let mut segments = name.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        // `.well-known` is the one hidden name that the web gave a meaning (RFC 8615).
        let hidden = segment.starts_with('.') && segment != ".well-known";
        if hidden || (segment.is_empty() && !last) {
            return None;
        }
    }
    Some(name.to_owned())
}

/// Opens a regular file below `root`; `None` where there is none, or only one that must not be seen.
pub(super) fn beneath(root: &Path, name: &str) -> io::Result<Option<Opened>> {
    let Some(fd) = open(root, name, OFlags::empty())? else {
        return Ok(None);
    };
    let file = File::from(fd);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    Ok(Some(Opened {
        length: metadata.len(),
        modified: metadata.modified()?,
        modified_nanos: i128::from(metadata.mtime()) * 1_000_000_000
            + i128::from(metadata.mtime_nsec()),
        file,
    }))
}

/// Whether the name is a folder below `root`.
pub(super) fn is_folder(root: &Path, name: &str) -> bool {
    matches!(open(root, name, OFlags::DIRECTORY), Ok(Some(_)))
}

fn open(root: &Path, name: &str, more: OFlags) -> io::Result<Option<OwnedFd>> {
    // A FIFO must not hold the worker until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | more;
    let root = match rustix::fs::open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(root) => root,
        Err(error) => return absent(error),
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, name, flags, Mode::empty(), resolve) {
        Ok(fd) => Ok(Some(fd)),
        // An old kernel, or a sandbox that forbids the call.
        Err(Errno::NOSYS | Errno::PERM) => open_step_by_step(root, name, flags),
        Err(error) => absent(error),
    }
}

/// Walks down segment by segment and follows no link at all.
fn open_step_by_step(root: OwnedFd, name: &str, flags: OFlags) -> io::Result<Option<OwnedFd>> {
    let mut folder = root;
    let mut segments = name.split('/').peekable();
    while let Some(segment) = segments.next() {
        let flags = match segments.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            None => flags | OFlags::NOFOLLOW,
        };
        match rustix::fs::openat(&folder, segment, flags, Mode::empty()) {
            Ok(fd) => folder = fd,
            Err(error) => return absent(error),
        }
    }
    Ok(Some(folder))
}

fn absent(error: Errno) -> io::Result<Option<OwnedFd>> {
    match error {
        // XDEV: a link leads out. LOOP: a link where none may be. NXIO: a socket.
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::XDEV
        | Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::NXIO
        | Errno::ACCESS => Ok(None),
        error => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn names_are_decoded_once_and_stay_below() {
        assert_eq!(decoded("/a/b%20c.txt").as_deref(), Some("a/b c.txt"));
        assert_eq!(decoded("/a/%252e").as_deref(), Some("a/%2e"));
        assert_eq!(decoded("/").as_deref(), Some(""));
        assert_eq!(decoded("/a/").as_deref(), Some("a/"));
        assert_eq!(decoded("/.well-known/x").as_deref(), Some(".well-known/x"));
        for path in [
            "/../x",
            "/a/../x",
            "/%2e%2e/x",
            "/a/%2E./x",
            "/.env",
            "/a/.git/x",
            "/a%2fb",
            "/a\\b",
            "/a%5c..",
            "/%00",
            "/%",
            "/%zz",
            "/%ff",
            "//x",
            "/a//b",
            "/.",
        ] {
            assert_eq!(decoded(path), None, "{path}");
        }
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("d/f"), "x").unwrap();
        std::os::unix::fs::symlink("d", folder.path().join("l")).unwrap();
        let walk = |name| {
            let root = rustix::fs::openat(CWD, folder.path(), OFlags::PATH, Mode::empty()).unwrap();
            open_step_by_step(root, name, OFlags::RDONLY).unwrap()
        };
        assert!(walk("d/f").is_some());
        assert!(walk("l/f").is_none());
        assert!(walk("d/none").is_none());
    }
}
