//! The system calls that have no safe wrapper elsewhere: the only unsafe code of this crate.
//!
//! Each function is as narrow as its one use, so that what makes it sound can be read here.

#![expect(
    unsafe_code,
    reason = "fork, signal masks, signalfd, unshare and mount_setattr have no safe wrapper"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{Pid, Signal};

/// On which side of a fork the caller is.
pub(crate) enum Forked {
    /// In the new process.
    Child,
    /// In the old process; the new one's id, as the caller's process namespace has it.
    Parent(Pid),
}

/// Forks. In a process with several threads, the child may only make system calls until it ends or executes.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the callers either have one thread (shim, sandboxed command), or make only system calls in the child
    // (the probe of namespaces).
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(
            Pid::from_raw(pid).expect("fork gives its parent a positive id"),
        )),
    }
}

/// Ends the process at once, without running what the parent registered for its own exit.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Moves the calling process into new namespaces (`CLONE_NEWNS` and its like).
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    debug_assert_eq!(flags & libc::CLONE_FILES, 0);
    // SAFETY: namespaces do not touch memory or file descriptors of this process.
    result(unsafe { libc::unshare(flags) })
}

/// Sets every signal back to its default action, but SIGPIPE, which stays ignored so that a write fails instead.
pub(crate) fn default_signal_actions() {
    for signal in 1..=64 {
        if signal != libc::SIGPIPE {
            // SAFETY: the default action needs no handler; numbers that cannot be set are refused by the system.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// Blocks these signals and gives a descriptor from which they are read instead.
pub(crate) fn signals_as_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: the set is initialised and outlives both calls; the descriptor is new and owned by nobody else.
    unsafe {
        result(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const set,
            std::ptr::null_mut(),
        ))?;
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        result(descriptor)?;
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Blocks all signals that can be blocked.
pub(crate) fn block_all_signals() {
    // SAFETY: the set is filled before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// What a program expects to find when it starts: no signal is blocked, none is ignored.
pub(crate) fn signals_as_at_start() {
    let none = signal_set(&[]);
    // SAFETY: the default action needs no handler, and the set is initialised.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// The next signal of a [`signals_as_descriptor`] descriptor, if one waits.
pub(crate) fn next_signal(descriptor: BorrowedFd<'_>) -> Option<i32> {
    // SAFETY: the structure is plain data, and the kernel writes whole ones only.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        let read = libc::read(descriptor.as_raw_fd(), (&raw mut info).cast(), size);
        (usize::try_from(read) == Ok(size))
            .then(|| i32::try_from(info.ssi_signo).unwrap_or_default())
    }
}

/// Sends a signal to every process that the caller may reach but itself: only for the first process of a process
/// namespace, for which these are exactly its descendants.
pub(crate) fn signal_whole_namespace(signal: Signal) -> io::Result<()> {
    assert_eq!(
        rustix::process::getpid().as_raw_nonzero().get(),
        1,
        "outside a namespace of its own this would end everything of the user"
    );
    // SAFETY: kill touches no memory.
    result(unsafe { libc::kill(-1, signal.as_raw()) })
}

/// Sets (`set`) and clears (`clear`) attributes (`MOUNT_ATTR_*`) of a mount, and with `recursive` of all below it.
pub(crate) fn mount_attributes(
    folder: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    set: u64,
    clear: u64,
) -> io::Result<()> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: path and attributes outlive the call; the size is the structure's own.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            folder.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Gives freed memory back to the system, and lets go of the pages of program code that are resident only because the
/// past needed them. What the future needs comes back by itself from the system's cache of files, page by page.
pub(crate) fn forget_the_past() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
    let Ok(file) = std::fs::File::open("/proc/self/smaps") else {
        return;
    };
    let mut code = Vec::new();
    let mut last = None;
    for line in io::BufRead::lines(io::BufReader::with_capacity(4096, file)).map_while(Result::ok) {
        if let Some(mapping) = code_mapping(&line) {
            last = mapping;
        } else if line.split_whitespace().eq(["Anonymous:", "0", "kB"]) {
            code.extend(last.take());
        }
    }
    // Only now, for the reading above needs much of that code itself.
    for (start, length) in code {
        // SAFETY: the mapping is of a file, cannot be written, and none of its pages differs from the file, so that each
        // comes back as it was.
        unsafe {
            libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED);
        }
    }
}

/// Reads the head of a mapping in `/proc/self/smaps` (proc(5)), `START-END MODE OFFSET DEVICE INODE PATH`: start and length where
/// it is program code of a file. Nothing for the other lines.
fn code_mapping(line: &str) -> Option<Option<(usize, usize)>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let mode = fields.next()?;
    let is_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
    let is_code = is_file && matches!(mode, "r-xp" | "r--p");
    Some(is_code.then_some((start, end - start)))
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: the set is emptied before it is used, and each number is one of libc's constants.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

fn result(answer: i32) -> io::Result<()> {
    if answer == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
