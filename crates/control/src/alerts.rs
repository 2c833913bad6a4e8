//! Alerts: what a person should look at, raised by whichever part sees the trouble, and ended by the same part.
//!
//! Nothing is sent from here. Who passes alerts on keeps the highest revision that it has seen, waits with [`changes`],
//! and asks [`changed_since`]: so it misses none, whatever dies in between.
//!
//! **Invariant:** at most one alert of a kind and key is open.

use jiff::Timestamp;
use launchway_model::alert::{Alert, NewAlert};
use launchway_model::{AppName, Problem};
use launchway_store::Raised;
pub use launchway_store::Which;
use tokio::sync::watch;

use crate::{Control, problem};

/// How many alerts one answer holds at most.
const MOST: u32 = 1000;

/// Raises an alert. Where one of its kind and key is open, that one takes the new severity, summary and details, and
/// keeps the moment when it began.
///
/// # Errors
/// The alert's app does not exist, or the store fails.
pub async fn raise(control: &Control, alert: NewAlert) -> Result<Alert, Problem> {
    if let Some(app) = &alert.app {
        control.app(app).await?;
    }
    let raised = control
        .store
        .raise_alert(&alert, Timestamp::now())
        .await
        .map_err(problem::store)?;
    Ok(match raised {
        Raised::New(alert) => {
            tracing::warn!(
                kind = alert.kind,
                key = alert.key,
                summary = alert.summary,
                "an alert was raised"
            );
            control.wake.alerted(alert.revision);
            alert
        }
        Raised::Changed(alert) => {
            control.wake.alerted(alert.revision);
            alert
        }
        Raised::Same(alert) => alert,
    })
}

/// Ends the open alert of a kind and key; gives it where there was one.
///
/// # Errors
/// The store fails.
pub async fn clear(control: &Control, kind: &str, key: &str) -> Result<Option<Alert>, Problem> {
    let ended = control
        .store
        .end_alert(kind, key, Timestamp::now())
        .await
        .map_err(problem::store)?;
    if let Some(alert) = &ended {
        tracing::info!(kind, key, "an alert is over");
        control.wake.alerted(alert.revision);
    }
    Ok(ended)
}

/// Alerts, open ones first, the newest first among each; of one app where it is given.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn list(
    control: &Control,
    which: Which,
    app: Option<&AppName>,
    limit: u32,
) -> Result<Vec<Alert>, Problem> {
    if let Some(app) = app {
        control.app(app).await?;
    }
    control
        .store
        .alerts(which, app, limit.min(MOST))
        .await
        .map_err(problem::store)
}

/// Alerts that were raised, changed or ended after a revision, in the order of these changes; one that changed more than
/// once is there once, as it is now. At most a thousand: ask again with the last one's revision.
///
/// # Errors
/// The store fails.
pub async fn changed_since(control: &Control, revision: u64) -> Result<Vec<Alert>, Problem> {
    control
        .store
        .alerts_since(revision, MOST)
        .await
        .map_err(problem::store)
}

/// The revision of the newest change, now.
///
/// # Errors
/// The store fails.
pub async fn revision(control: &Control) -> Result<u64, Problem> {
    control.store.alert_revision().await.map_err(problem::store)
}

/// Wakes whoever waits whenever an alert is raised, changed or ended. The value is that change's revision, or 0 before
/// the first one since control's start.
pub fn changes(control: &Control) -> watch::Receiver<u64> {
    control.wake.alerts()
}
