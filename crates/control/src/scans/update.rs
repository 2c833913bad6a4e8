//! Has the advisories fetched every so often, once somebody has fetched them for the first time.
//!
//! The fetching is a process of the binary's (`launchway advisories update`), whose memory is given back when it ends, at
//! the lowest priority. Where it fails, the advisories that are there go on being used, and an alert says how old they are.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use launchway_model::alert::{AlertSeverity, NewAlert};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::{Control, alerts};

const KIND: &str = "advisories";
const KEY: &str = "update";
/// How often it is asked whether an update is due.
const LOOK: Duration = Duration::from_secs(60);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(3600);
/// An update that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(1800);

/// Updates until it is cancelled; does nothing where the settings say so.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let Some(every) = control.settings().advisories_every else {
        return;
    };
    let mut not_before = SystemTime::UNIX_EPOCH;
    loop {
        if is_due(&control, every) && SystemTime::now() >= not_before {
            let fetched = tokio::select! {
                () = cancel.cancelled() => return,
                fetched = fetch(&control) => fetched,
            };
            let told = match fetched {
                Ok(()) => {
                    // Where nothing was new the file is as old as before.
                    not_before = SystemTime::now() + every;
                    alerts::clear(&control, KIND, KEY).await.map(|_| ())
                }
                Err(why) => {
                    not_before = SystemTime::now() + AGAIN.min(every);
                    alerts::raise(&control, failed(&why)).await.map(|_| ())
                }
            };
            if let Err(problem) = told {
                tracing::warn!(%problem, "an alert on the advisories cannot be written");
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK.min(every)) => {}
        }
    }
}

/// Whether the advisories are older than they should be. Where there are none, nobody wanted any yet.
fn is_due(control: &Control, every: Duration) -> bool {
    let index = control
        .settings()
        .home
        .advisories()
        .join(launchway_scanner::index::CURRENT);
    std::fs::metadata(index)
        .and_then(|data| data.modified())
        .is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= every))
}

async fn fetch(control: &Control) -> Result<(), String> {
    let settings = control.settings();
    let run = Command::new(&settings.binary)
        .args(["advisories", "update", "--background", "--db"])
        .arg(settings.home.advisories())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(LONGEST, run).await {
        Err(_) => {
            return Err(format!(
                "it took more than {} minutes",
                LONGEST.as_secs() / 60
            ));
        }
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it failed without a word")
        .to_owned())
}

fn failed(why: &str) -> NewAlert {
    NewAlert::new(
        KIND,
        KEY,
        AlertSeverity::Warning,
        "the advisories cannot be updated; newer vulnerabilities are not seen",
    )
    .detail("why", why)
    .hint("Try `launchway advisories update`. A machine without network takes `--advisories-every 0`.")
}
