//! Builds that still run when all is stopped.
//!
//! A runner survives control by design, so a clean stop has to end it: the build is cancelled with its reason, as
//! `launchway builds cancel` would, and control reads at its next start how it ended.

use std::path::PathBuf;
use std::time::Duration;

use launchway_model::home::Home;
use launchway_model::runner::CANCEL_FILE;
use rustix::process::{Pid, Signal, kill_process};

/// What the build's page says.
const REASON: &str = "Launchway was stopped";

/// A runner of this home.
struct Runner {
    pid: i32,
    folder: PathBuf,
}

/// Cancels all running builds of a home and waits for their runners; one that does not end is killed, and with it what
/// it left.
pub(super) async fn cancel(home: &Home, limit: Duration) {
    for runner in running(home) {
        // The runner looks as soon as the file is there, so it appears with its text. A build that ended meanwhile has
        // no use for it, and a runner without it is killed below.
        let draft = runner.folder.join("cancel.draft");
        let _ = std::fs::write(&draft, REASON)
            .and_then(|()| std::fs::rename(&draft, runner.folder.join(CANCEL_FILE)));
    }
    let deadline = tokio::time::Instant::now() + limit;
    while !running(home).is_empty() {
        if tokio::time::Instant::now() >= deadline {
            for runner in running(home) {
                if let Some(pid) = Pid::from_raw(runner.pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                launchway_pipeline::runner::end_leftovers(&runner.folder);
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The runners of a home, by their command lines: `BINARY runner HOME/builds/N`.
fn running(home: &Home) -> Vec<Runner> {
    let builds = home.root().join("builds");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(command) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let mut arguments = command.split(|byte| *byte == 0).skip(1);
        if arguments.next() != Some(b"runner") {
            continue;
        }
        let folder = arguments
            .next()
            .map(|folder| PathBuf::from(String::from_utf8_lossy(folder).into_owned()));
        if let Some(folder) = folder.filter(|folder| folder.starts_with(&builds)) {
            found.push(Runner { pid, folder });
        }
    }
    found
}
