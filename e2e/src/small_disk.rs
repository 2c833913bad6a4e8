//! A small disk of its own for the installation, so that it can be filled: a tmpfs, which needs root.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// The disk; unmounted when it goes.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many MiB.
    ///
    /// # Errors
    /// This user may not mount, in words.
    pub fn mount(mebibytes: u32) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("launchway-disk-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let options = std::ffi::CString::new(format!("size={mebibytes}m,mode=0755"))
            .map_err(|error| error.to_string())?;
        mount(
            "launchway-small-disk",
            folder.path(),
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            options.as_c_str(),
        )
        .map_err(|error| format!("a tmpfs cannot be mounted here: {error}"))?;
        Ok(Self { folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves no byte free.
    ///
    /// # Panics
    /// The file that fills it cannot be made.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).expect("a file on our own disk");
        for size in [1 << 20, 4096, 1] {
            let piece = vec![b'x'; size];
            while file.write_all(&piece).is_ok() {}
        }
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// It was not filled.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the disk was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still looks at it keeps it until he is gone.
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}
