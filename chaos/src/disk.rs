//! A small disk of its own for the installation, so that it can be filled: a tmpfs, which needs root.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// Room for a few dozen releases.
const SIZE: &str = "size=1g,mode=0755";

/// The disk; unmounted when it goes.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Mounts one.
    ///
    /// # Errors
    /// This user may not mount, in words.
    pub(crate) fn mount() -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("launchway-chaos-disk-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let options = std::ffi::CString::new(SIZE).map_err(|error| error.to_string())?;
        mount(
            "launchway-chaos",
            folder.path(),
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            options.as_c_str(),
        )
        .map_err(|error| format!("a tmpfs cannot be mounted here: {error}"))?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).unwrap();
        for size in [1 << 20, 4096, 1] {
            let piece = vec![b'x'; size];
            while file.write_all(&piece).is_ok() {}
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still looks at it keeps it until he is gone.
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}
