//! The role `launchway runner FOLDER`: one build, from `job.json` to the last event of the spool.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use launchway_model::credential::RunnerSecrets;

/// Runs the build whose folder this is (see [`launchway_model::runner`] for its files) and gives the process's exit
/// code: 0 if and only if the spool's last event was written, however the build itself ended.
///
/// Takes over the process: it lowers its priority, makes itself the reaper of all that the build starts, and ends all
/// of it before it returns. Call it first thing in `main`, before any other thread exists.
pub fn run(folder: &Path, surroundings: Surroundings) -> ExitCode {
    crate::engine::run_build(folder, surroundings)
}

/// What a runner is told by the process that made its room.
#[derive(Debug)]
pub struct Surroundings {
    /// The process id by which control knows the runner: its own, or that of the process outside its room.
    pub known_as: u32,
    /// Where the runner works in a room: the tree's and the cache's folders as they are outside it.
    pub outside: Option<Outside>,
}

/// Folders as they are outside a runner's room.
#[derive(Debug)]
pub struct Outside {
    /// The tree.
    pub tree: OwnedFd,
    /// The app's build cache.
    pub cache: OwnedFd,
}

impl Default for Surroundings {
    /// Those of a runner without a room.
    fn default() -> Self {
        Self {
            known_as: std::process::id(),
            outside: None,
        }
    }
}

/// Ends what a runner that died left running: every process whose environment names the build's folder. Gives their
/// number.
pub fn end_leftovers(folder: &Path) -> usize {
    crate::engine::processes::end_marked(folder)
}

/// A file of memory alone with a job's secrets, to be a runner's standard input. It outlives who made it for as long as the
/// runner reads it, and no disk ever holds it.
///
/// # Errors
/// The system has no such file to give, or its memory is full.
pub fn secrets_file(secrets: &RunnerSecrets) -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let mut file = File::from(memfd_create("launchway-secrets", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(secrets).map_err(io::Error::other)?)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Reads the secrets from standard input, and closes it: nothing that the build starts finds them there.
pub(crate) fn read_secrets() -> io::Result<RunnerSecrets> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    // The process that made the runner's room may have the file open too; a pipe has nothing to cut off.
    let _ = rustix::fs::ftruncate(io::stdin(), 0);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

/// Whether a process is the runner of this folder: it lives, and its command line names the folder.
pub fn lives(folder: &Path, pid: u32) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let folder = folder.as_os_str().as_encoded_bytes();
    line.split(|byte| *byte == 0)
        .any(|argument| argument == folder)
}
