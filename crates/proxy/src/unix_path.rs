//! Paths of Unix sockets that are too long for an address.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The longest path in an address: `sockaddr_un` has room for 108 bytes, the last of which is 0.
pub(crate) const LONGEST: usize = 107;

/// A path by which a socket can be bound or connected to, as long as this value lives.
#[derive(Debug)]
pub(crate) struct Reach {
    path: PathBuf,
    _folder: Option<File>,
}

impl Reach {
    /// A long path is reached through its opened folder.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self {
                path: path.to_owned(),
                _folder: None,
            });
        }
        let folder = File::open(path.parent().unwrap_or(Path::new(".")))?;
        let short = Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(path.file_name().unwrap_or_default());
        Ok(Self {
            path: short,
            _folder: Some(folder),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Binds a listening socket that only its owner may connect to, over one that was left there.
pub(crate) fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = std::os::unix::net::UnixListener::bind(Reach::new(path)?.path())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects, waiting for it.
pub(crate) fn connect(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    std::os::unix::net::UnixStream::connect(Reach::new(path)?.path())
}
