//! An instance's folder as control sees it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use launchway_model::InstanceId;
use launchway_model::shim::{SOCKET_FILE, SPEC_FILE, STATE_FILE, ShimSpec, ShimStatus};
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use tokio::net::UnixStream;

use super::folder_error;
use crate::SupervisorError;
use crate::shim::{ERROR_FILE, LOCK_FILE};

/// The most that is quoted of a shim's last words, in bytes.
const LONGEST_WORDS: usize = 2000;

/// The lock on an instance's folder. It is given back by word, not by closing the file alone: a process that is being started at
/// the same moment may hold a copy of the descriptor until it executes.
pub(super) struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // It can only fail for a descriptor that is none.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// The folder of one instance.
#[derive(Debug, Clone)]
pub(super) struct InstanceFolder {
    path: PathBuf,
}

impl InstanceFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// All folders whose name is an instance's.
    pub(super) fn all_in(instances: &Path) -> Vec<(InstanceId, Self)> {
        let Ok(entries) = fs::read_dir(instances) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| {
                let instance = entry.file_name().to_str()?.parse().ok()?;
                Some((instance, Self::new(entry.path())))
            })
            .collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path as the app's processes carry it in their environment.
    pub(super) fn marker(&self) -> PathBuf {
        self.path
            .canonicalize()
            .unwrap_or_else(|_| self.path.clone())
    }

    /// Makes the folder, for its owner alone, and writes the specification, which holds secrets. Nothing is forced to the
    /// disk: after a power cut there is no shim that it could belong to.
    pub(super) fn make(&self, spec: &ShimSpec) -> Result<(), SupervisorError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(folder_error("create", &self.path))?;
        let Some(_lock) = self.lock() else {
            return Err(SupervisorError::StillLives {
                instance: spec.instance.clone(),
            });
        };
        // The state of a former life is not that of the new one.
        let _ = fs::remove_file(self.path.join(STATE_FILE));
        let path = self.path.join(SPEC_FILE);
        let temp = self.path.join("spec.json.new");
        let write = || {
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temp)?;
            file.write_all(&serde_json::to_vec(spec)?)?;
            fs::rename(&temp, &path)
        };
        write().map_err(folder_error("write", &path))
    }

    pub(super) fn spec(&self) -> Option<ShimSpec> {
        serde_json::from_slice(&fs::read(self.path.join(SPEC_FILE)).ok()?).ok()
    }

    pub(super) fn state(&self) -> Option<ShimStatus> {
        serde_json::from_slice(&fs::read(self.path.join(STATE_FILE)).ok()?).ok()
    }

    /// The lock that a living shim holds, unless one does. Keep it for a moment only: a shim that starts waits for it.
    pub(super) fn lock(&self) -> Option<FolderLock> {
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.path.join(LOCK_FILE))
            .ok()?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(FolderLock(file))
    }

    /// Whether a shim lives in it. Several may look at once.
    pub(super) fn has_shim(&self) -> bool {
        // Without the file, none has ever started; it is not made by looking.
        let Ok(file) = File::open(self.path.join(LOCK_FILE)) else {
            return false;
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                drop(FolderLock(file));
                false
            }
            Err(_) => true,
        }
    }

    /// Connects to the shim's socket, however long the folder's path is. Does not wait for an answer, but waits while more
    /// callers stand in line than the system allows: the caller sets a limit.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        let folder = File::open(&self.path)?;
        let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", folder.as_raw_fd());
        loop {
            match UnixStream::connect(&path).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                result => return result,
            }
        }
    }

    /// Signals the shim, provided that this process is the one of this folder.
    pub(super) fn signal_shim(&self, pid: u32, signal: Signal) {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let folder = self.path.as_os_str().as_bytes();
        if command.split(|&byte| byte == 0).any(|word| word == folder) {
            crate::shim::tree::send(pid, signal);
        }
    }

    /// Why a shim did not start: what it said, else what it wrote to its own file.
    pub(super) fn last_words(&self, said: &str) -> String {
        let said = said.trim().trim_start_matches("error: ");
        if !said.is_empty() {
            return said.to_owned();
        }
        let written = fs::read(self.path.join(ERROR_FILE)).unwrap_or_default();
        let tail = written.len().saturating_sub(LONGEST_WORDS);
        let words = String::from_utf8_lossy(&written[tail..]).trim().to_owned();
        if words.is_empty() {
            "it ended without a word".to_owned()
        } else {
            words
        }
    }

    pub(super) fn remove(&self) -> Result<(), SupervisorError> {
        fs::remove_dir_all(&self.path).map_err(folder_error("remove", &self.path))
    }
}
