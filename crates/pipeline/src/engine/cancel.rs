//! Notices the cancel file of a build.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use launchway_model::runner::CANCEL_FILE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::stop::{Stop, StopReason};

/// Where inotify cannot tell (too many watches, a network file system), the file is looked for this often.
const LOOK_EVERY_MS: i64 = 200;

/// A thread that turns a switch once the file is there.
#[derive(Debug)]
pub(crate) struct CancelWatch {
    end: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl CancelWatch {
    pub(crate) fn start(folder: &Path, stop: Arc<Stop>) -> std::io::Result<Self> {
        let end = Arc::new(Stop::new()?);
        let thread = std::thread::Builder::new()
            .name("cancel".to_owned())
            .spawn({
                let (folder, end) = (folder.to_owned(), Arc::clone(&end));
                move || watch(&folder, &stop, &end)
            })?;
        Ok(Self {
            end,
            thread: Some(thread),
        })
    }
}

impl Drop for CancelWatch {
    fn drop(&mut self) {
        self.end.stop(StopReason::Neighbour(String::new()));
        if let Some(thread) = self.thread.take() {
            // The thread only polls; it cannot panic but by a fault of our own, which the build need not share.
            let _ = thread.join();
        }
    }
}

fn watch(folder: &Path, stop: &Stop, end: &Stop) {
    let file: PathBuf = folder.join(CANCEL_FILE);
    let notify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .ok()
        .and_then(|fd: OwnedFd| {
            let flags = inotify::WatchFlags::CREATE
                | inotify::WatchFlags::MOVED_TO
                | inotify::WatchFlags::CLOSE_WRITE;
            inotify::add_watch(&fd, folder, flags).ok().map(|_| fd)
        });
    loop {
        if file.exists() {
            // Its writer may not have come to the text yet; an empty reason is given a moment.
            let mut reason = String::new();
            for _ in 0..10 {
                reason = fs::read_to_string(&file)
                    .unwrap_or_default()
                    .trim()
                    .to_owned();
                if !reason.is_empty() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            stop.stop(StopReason::Cancelled(reason));
            return;
        }
        let mut fds = vec![PollFd::new(end, PollFlags::IN)];
        if let Some(notify) = &notify {
            fds.push(PollFd::new(notify, PollFlags::IN));
        }
        let wait = Timespec {
            tv_sec: if notify.is_some() { 5 } else { 0 },
            tv_nsec: if notify.is_some() {
                0
            } else {
                LOOK_EVERY_MS * 1_000_000
            },
        };
        let _ = poll(&mut fds, Some(&wait));
        if end.reason().is_some() {
            return;
        }
        if let Some(notify) = &notify {
            let mut buffer = [0_u8; 4096];
            while rustix::io::read(notify, &mut buffer).is_ok_and(|read| read > 0) {}
        }
    }
}
