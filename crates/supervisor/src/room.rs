//! The room of a build: the sandbox in which its runner works, and everything that it starts.
//!
//! The process that control started stays outside and waits; its child is the runner, the first process of a process
//! namespace where the host gives one. So a build sees its tree at the path where its release will see it, no build
//! reaches a process that serves, and whatever a build leaves running ends with its runner. Where the runner is root it
//! stays root in here, without the capabilities that lead out, and starts its commands as the app's own user.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

use launchway_model::runner::{JOB_FILE, RunnerJob};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, WaitOptions, waitpid};
use rustix::thread::CapabilitySet;

use crate::namespaces::{self, IdMaps};
use crate::sandbox;
use crate::sys::{self, Forked};

/// The folder in a build's folder that lies behind its private `/tmp`.
const TMP_FOLDER: &str = "private-tmp";

/// What a runner that is root needs for its work: to hand files to the app's user, to read them, to become that user and
/// to end its processes. Nothing that mounts, traces or changes the machine.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP);

/// What a runner is told of where it works.
#[derive(Debug)]
pub struct Inside {
    /// The process id by which control knows the runner.
    pub known_as: u32,
    /// In a room: the folders of the tree and of the cache as they are outside it.
    pub outside: Option<(OwnedFd, OwnedFd)>,
}

/// Does `work` (a runner) in the room that the job in `folder` asks for, and gives its exit code; without a room in the
/// job, in the calling process. That must have one thread.
#[expect(
    clippy::print_stderr,
    reason = "control keeps a runner's standard error for the case that it dies"
)]
pub fn run(folder: &Path, work: impl FnOnce(&Path, Inside) -> ExitCode) -> ExitCode {
    let Some(job) =
        job(folder).filter(|job| job.sandbox.as_ref().is_some_and(sandbox::needs_mounts))
    else {
        return work(
            folder,
            Inside {
                known_as: std::process::id(),
                outside: None,
            },
        );
    };
    match enter(folder, &job, work) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: the build's room cannot be made: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The job, where it can be read. What is wrong with it is the runner's to say.
fn job(folder: &Path) -> Option<RunnerJob> {
    serde_json::from_slice(&fs::read(folder.join(JOB_FILE)).ok()?).ok()
}

fn enter(
    folder: &Path,
    job: &RunnerJob,
    work: impl FnOnce(&Path, Inside) -> ExitCode,
) -> io::Result<ExitCode> {
    let mut room = job.sandbox.clone().unwrap_or_default();
    fs::create_dir_all(&job.tree)?;
    if room.private_tmp && room.tmp.is_none() {
        let path = folder.join(TMP_FOLDER);
        if !path.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(&path)?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777))?;
        room.tmp = Some(path);
    }
    let inside = Inside {
        known_as: std::process::id(),
        outside: Some((folder_handle(&job.tree)?, folder_handle(&job.cache)?)),
    };
    let own_processes = namespaces::probe().processes
        && namespaces::enter(libc::CLONE_NEWPID, &IdMaps::of_this_process()).is_ok();
    let child = match sys::fork()? {
        Forked::Parent(child) => child,
        Forked::Child => {
            let code = match furnish(&room, &job.tree, own_processes) {
                Ok(()) => work(folder, inside),
                Err(error) => {
                    use std::io::Write as _;
                    let _ = writeln!(
                        io::stderr(),
                        "error: the build's room cannot be made: {error}"
                    );
                    ExitCode::FAILURE
                }
            };
            sys::exit_now(i32::from(code != ExitCode::SUCCESS))
        }
    };
    let status = loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => break status,
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(path) = &room.tmp {
        let _ = fs::remove_dir_all(path);
    }
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => 128 | u8::try_from(signal).unwrap_or(9),
        (None, None) => 1,
    };
    Ok(ExitCode::from(code))
}

fn folder_handle(path: &Path) -> io::Result<OwnedFd> {
    fs::create_dir_all(path)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn furnish(
    room: &launchway_model::shim::Sandbox,
    tree: &Path,
    own_processes: bool,
) -> io::Result<()> {
    // Whoever kills the process that control knows ends the build.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if own_processes {
        sandbox::enter_with_processes(room, tree)?;
    } else {
        sandbox::enter(room, tree)?;
    }
    // The folder of the tree may be gone from view, and a runner works from the root anyway.
    rustix::process::chdir("/")?;
    if rustix::process::geteuid().is_root() {
        sandbox::keep_capabilities(KEPT)
    } else {
        sandbox::drop_privileges(None)
    }
}
