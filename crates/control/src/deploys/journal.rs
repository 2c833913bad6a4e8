//! What a deploy writes down: its phases, and what happened in them.
//!
//! A line that cannot be stored is lost with a warning: a full disk must not fail a deploy that goes well.

use std::path::Path;

use jiff::Timestamp;
use launchway_model::DeployId;
use launchway_model::deploy::{DeployPhase, PhaseLine};
use launchway_model::runner::{LogLine, LogSource};

use crate::{Control, problem};

/// The most lines of a command that are kept with the deploy; the newest.
const LINES: usize = 1_000;
/// The longest line that is kept, in bytes.
const LONGEST: usize = 4_096;

/// Writes one line of Launchway's own.
pub(super) async fn say(
    control: &Control,
    deploy: DeployId,
    phase: DeployPhase,
    text: impl Into<String>,
) {
    let line = PhaseLine {
        phase,
        at: Timestamp::now(),
        source: LogSource::Launchway,
        text: text.into(),
    };
    keep(control, deploy, &[line]).await;
}

/// Keeps what a command of a phase wrote.
pub(super) async fn keep_output(
    control: &Control,
    deploy: DeployId,
    phase: DeployPhase,
    log: &Path,
) {
    let log = log.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..]
            .iter()
            .map(|line| LogLine::parse(line))
            .filter(|line| line.source != LogSource::Launchway)
            .map(|line| PhaseLine {
                phase,
                at: Timestamp::from_millisecond(line.millis).unwrap_or_else(|_| Timestamp::now()),
                source: line.source,
                text: line.text.chars().take(LONGEST).collect(),
            })
            .collect::<Vec<_>>()
    });
    keep(control, deploy, &read.await.unwrap_or_default()).await;
}

async fn keep(control: &Control, deploy: DeployId, lines: &[PhaseLine]) {
    if let Err(error) = control.store.append_deploy_log(deploy, lines).await {
        tracing::warn!(%deploy, error = %problem::store(error), "a line of a deploy's log is lost");
        return;
    }
    control.wake.changed();
}
