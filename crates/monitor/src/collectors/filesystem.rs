//! Mounted file systems: `filesystem`.

use super::{Collected, Host, Out};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a file system elsewhere may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Mounts whose server does not answer; a thread waits for each, and it is not asked again meanwhile.
pub(super) type Hanging = Arc<Mutex<HashSet<PathBuf>>>;

/// Whether a file system may hang because its server is elsewhere.
fn is_remote(kind: &str) -> bool {
    [
        "nfs",
        "cifs",
        "smb",
        "9p",
        "ceph",
        "fuse",
        "afs",
        "glusterfs",
    ]
    .iter()
    .any(|prefix| kind.starts_with(prefix))
}

pub(super) fn filesystem(host: &Host, out: &mut Out) -> Collected {
    // The first process's mounts are the host's; in a container without it, our own.
    let text = host
        .read_proc("1/mounts")
        .or_else(|_| host.read_proc("self/mounts"))?;
    let (points, types) = (
        host.filters.get("filesystem.mount-points-exclude"),
        host.filters.get("filesystem.fs-types-exclude"),
    );
    let root = host.options.root.to_string_lossy().into_owned();
    let mut seen = HashSet::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(point), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (device, point) = (unescape(device), unescape(point));
        let shown = match point.strip_prefix(root.trim_end_matches('/')) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => point.as_str(),
        };
        if points.is_some_and(|points| points.is_match(shown))
            || types.is_some_and(|types| types.is_match(kind))
        {
            continue;
        }
        if !seen.insert((device.clone(), shown.to_owned(), kind.to_owned())) {
            continue;
        }
        let labels = [
            ("device", device.as_str()),
            ("mountpoint", shown),
            ("fstype", kind),
        ];
        let answer = ask(&host.hanging, Path::new(&point), is_remote(kind));
        let help = "Whether an error occurred while getting statistics for the given device.";
        out.gauge(
            "node_filesystem_device_error",
            help,
            &labels,
            f64::from(u8::from(answer.is_none())),
        );
        let Some(statistics) = answer else {
            continue;
        };
        let block = statistics.f_bsize as f64;
        let read_only = options.split(',').any(|option| option == "ro");
        let mut add = |name: &'static str, help: &'static str, value: f64| {
            out.gauge(name, help, &labels, value)
        };
        add(
            "node_filesystem_size_bytes",
            "Filesystem size in bytes.",
            statistics.f_blocks as f64 * block,
        );
        add(
            "node_filesystem_free_bytes",
            "Filesystem free space in bytes.",
            statistics.f_bfree as f64 * block,
        );
        let help = "Filesystem space available to non-root users in bytes.";
        add(
            "node_filesystem_avail_bytes",
            help,
            statistics.f_bavail as f64 * block,
        );
        add(
            "node_filesystem_files",
            "Filesystem total file nodes.",
            statistics.f_files as f64,
        );
        add(
            "node_filesystem_files_free",
            "Filesystem total free file nodes.",
            statistics.f_ffree as f64,
        );
        add(
            "node_filesystem_readonly",
            "Filesystem read-only status.",
            f64::from(u8::from(read_only)),
        );
    }
    Ok(())
}

fn ask(hanging: &Hanging, point: &Path, remote: bool) -> Option<rustix::fs::StatFs> {
    if !remote {
        return rustix::fs::statfs(point).ok();
    }
    let lock = |hanging: &Hanging| {
        hanging
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    };
    if lock(hanging).contains(point) {
        return None;
    }
    let (sender, receiver) = channel();
    let (asked, still) = (point.to_owned(), hanging.clone());
    std::thread::spawn(move || {
        let answer = rustix::fs::statfs(&asked).ok();
        still
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&asked);
        // Nobody waits any more where it took too long.
        let _ = sender.send(answer);
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => {
            hanging
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(point.to_owned());
            None
        }
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// Blanks, tabs, line ends and backslashes stand in mount tables as octal numbers.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}
