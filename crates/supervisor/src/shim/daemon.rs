//! From the command that control started to a shim that stands by itself.
//!
//! All that can fail for a reason that a person should read (the specification, the lock, the socket) is done in the
//! command itself, so that its exit code and standard error tell. Then it forks: into the first process of a new
//! process namespace, or into a guard whose child is the shim.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use launchway_model::PROTOCOL;
use launchway_model::shim::{SOCKET_FILE, SPEC_FILE, ShimSpec};
use rustix::fs::{FlockOperation, Mode};
use rustix::process::Signal;

use super::command::{Surroundings, empty_standard_input, pids_can_be_limited};
use super::supervision::{Supervision, Watched};
use super::tree::{self, Identity, Reach};
use super::{ERROR_FILE, LOCK_FILE, READY, TMP_FOLDER};
use crate::cgroup::Base;
use crate::namespaces::{self, IdMaps};
use crate::sys::{self, Forked};

/// The signals that a shim takes: a child's end, the requests to stop, and the guard's end.
const SIGNALS: [i32; 5] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGUSR2,
];

/// How long another shim's lock is waited for: a process that looks whether a shim lives holds it for a moment.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The shim's own file when it has grown beyond this is begun anew.
const LONGEST_ERRORS: u64 = 64 * 1024;

/// What the command prepared, for the process that becomes the shim.
struct Prepared {
    folder: PathBuf,
    spec: ShimSpec,
    /// Held until the shim ends: who gets this lock knows that there is no shim.
    lock: File,
    folder_handle: File,
    listener: UnixListener,
}

/// Prepares and forks; returns in the process that was started by hand or by control.
pub(super) fn start(folder: &Path) -> io::Result<()> {
    let prepared = prepare(folder)?;
    let reach = enter_namespace();
    match sys::fork()? {
        Forked::Parent(_) => Ok(()),
        Forked::Child => {
            let code = match reach {
                Reach::Namespace => become_shim(prepared, reach),
                Reach::Descendants => become_guarded_shim(prepared),
            };
            sys::exit_now(i32::from(code.is_err()))
        }
    }
}

fn prepare(folder: &Path) -> io::Result<Prepared> {
    let folder = folder.canonicalize().map_err(|e| said("find", folder, e))?;
    let spec = read_spec(&folder.join(SPEC_FILE))?;
    let lock = take_lock(&folder.join(LOCK_FILE))?;
    let folder_handle = File::open(&folder).map_err(|e| said("open", &folder, e))?;
    // Reached through its folder's descriptor, the socket may lie deeper than a socket's address can be long.
    let socket = PathBuf::from(format!(
        "/proc/self/fd/{}/{SOCKET_FILE}",
        folder_handle.as_raw_fd()
    ));
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        })
        .map_err(|e| said("listen on", &folder.join(SOCKET_FILE), e))?;
    Ok(Prepared {
        folder,
        spec,
        lock,
        folder_handle,
        listener,
    })
}

fn read_spec(path: &Path) -> io::Result<ShimSpec> {
    let text = fs::read(path).map_err(|e| said("read", path, e))?;
    let spec: ShimSpec =
        serde_json::from_slice(&text).map_err(|e| said("understand", path, e.into()))?;
    if spec.protocol != PROTOCOL && spec.protocol + 1 != PROTOCOL {
        let words = format!(
            "it is written in protocol {}, and this shim speaks {PROTOCOL}",
            spec.protocol
        );
        return Err(said("understand", path, io::Error::other(words)));
    }
    Ok(spec)
}

fn take_lock(path: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| said("open", path, e))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(_) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => {
                let words = io::Error::other("another shim holds it");
                return Err(said("lock", path, words));
            }
        }
    }
}

/// Makes the next child the first process of a process namespace, where the host allows it.
fn enter_namespace() -> Reach {
    if !namespaces::probe().processes {
        return Reach::Descendants;
    }
    match namespaces::enter(libc::CLONE_NEWPID, &IdMaps::of_this_process()) {
        Ok(()) => Reach::Namespace,
        Err(_) => Reach::Descendants,
    }
}

/// In the first child where there is no namespace: becomes the guard, and its child the shim.
fn become_guarded_shim(prepared: Prepared) -> io::Result<()> {
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let guard = rustix::process::getpid();
    match sys::fork()? {
        Forked::Child => {
            rustix::process::set_parent_process_death_signal(Some(Signal::USR2))?;
            if rustix::process::getppid() != Some(guard) {
                return Err(io::Error::other("the guard is gone"));
            }
            become_shim(prepared, Reach::Descendants)
        }
        Forked::Parent(shim) => {
            drop(prepared);
            sys::block_all_signals();
            stand_apart()?;
            empty_standard_output()?;
            empty_standard_error()?;
            tree::guard(shim)
        }
    }
}

fn become_shim(prepared: Prepared, reach: Reach) -> io::Result<()> {
    let Prepared {
        folder,
        mut spec,
        lock,
        folder_handle,
        listener,
    } = prepared;
    let _ = rustix::process::setsid();
    if reach == Reach::Descendants {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    }
    sys::default_signal_actions();
    let signals = sys::signals_as_descriptor(&SIGNALS)?;
    stand_apart()?;
    errors_into(&folder.join(ERROR_FILE))?;
    // Where this is allowed, the kernel takes anything else before a shim when memory runs out.
    let _ = fs::write("/proc/self/oom_score_adj", "-900");

    let root = rustix::process::geteuid().is_root();
    if spec.sandbox.private_tmp && spec.sandbox.tmp.is_none() {
        spec.sandbox.tmp = Some(make_tmp(&folder)?);
    }
    let (group, limits) = match &spec.sandbox.cgroup {
        Some(name) => Base::find().make(name, &spec.limits),
        None => Default::default(),
    };
    let limits = if spec.sandbox.cgroup.is_some() {
        limits
    } else {
        spec.limits.clone()
    };
    let mut unmet = Vec::new();
    if limits.cpu_millis.is_some() {
        unmet.push("the limit of CPU time is left out: this host gives no control group for it");
    }
    if limits.pids.is_some() && !pids_can_be_limited(&spec, reach, root) {
        unmet.push("the limit of processes is left out: this host gives no control group for it");
    }
    let around = Surroundings {
        folder,
        reach,
        own: Identity::of_this_process(),
        group,
        limits,
    };
    let mut supervision = Supervision::new(
        spec,
        around,
        Watched {
            signals,
            listener,
            folder: folder_handle,
        },
    );
    for words in unmet {
        supervision.say(words);
    }
    supervision.start();
    // Whoever waits for this line may be gone; then nobody needs it.
    let _ = rustix::io::write(rustix::stdio::stdout(), format!("{READY}\n").as_bytes());
    empty_standard_output()?;
    supervision.run();
    drop(lock);
    Ok(())
}

/// Lets go of what would tie the process to whoever started it.
fn stand_apart() -> io::Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::chdir("/")?;
    empty_standard_input()
}

fn empty_standard_output() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdout(rustix::stdio::stdin())?)
}

fn empty_standard_error() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(rustix::stdio::stdin())?)
}

/// Sends the shim's own words, if it ever has any, into a file. A full disk leaves it without.
fn errors_into(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LONGEST_ERRORS) {
        let _ = fs::remove_file(path);
    }
    match File::options().create(true).append(true).open(path) {
        Ok(file) => Ok(rustix::stdio::dup2_stderr(file.as_fd())?),
        Err(_) => empty_standard_error(),
    }
}

fn make_tmp(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join(TMP_FOLDER);
    if !path.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(&path)?;
    }
    // As any /tmp: the app's user is not the shim's. The folder around it is closed to others.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1777))?;
    Ok(path)
}

fn said(what: &str, path: &Path, error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot {what} `{}`: {error}", path.display()),
    )
}
