//! Acts on webhooks that were taken in: those of one app together, of several apps at once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use launchway_model::AppName;
use launchway_model::hook::HookEvent;
use launchway_model::trigger::Change;
use launchway_store::triggers::WaitingDelivery;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::look;
use crate::{Control, problem};

/// How many apps' remotes are looked at at once.
const AT_ONCE: usize = 4;
/// How often old deliveries are forgotten, and waiting ones looked for in any case.
const EVERY: Duration = Duration::from_secs(60);
/// How long a delivery is remembered. After that a captured body about a pull request would count again.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 400);

/// Acts on deliveries until the end; what waits then is acted on by the next control.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut busy: HashSet<AppName> = HashSet::new();
    let mut running: JoinSet<AppName> = JoinSet::new();
    loop {
        match control.store.waiting_deliveries().await {
            Ok(waiting) => {
                let mut of_apps: BTreeMap<AppName, Vec<WaitingDelivery>> = BTreeMap::new();
                for delivery in waiting {
                    of_apps
                        .entry(delivery.app.clone())
                        .or_default()
                        .push(delivery);
                }
                for (app, deliveries) in of_apps {
                    if running.len() < AT_ONCE && busy.insert(app.clone()) {
                        running.spawn(of_app(control.clone(), app, deliveries));
                    }
                }
            }
            Err(error) => {
                tracing::error!(error = %problem::store(error), "waiting webhooks cannot be read");
            }
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = control.looking.delivered.notified() => {}
            () = tokio::time::sleep(EVERY) => {
                let before = Timestamp::now() - REMEMBERED;
                if let Err(error) = control.store.sweep_deliveries(before).await {
                    tracing::warn!(error = %problem::store(error), "old webhooks cannot be forgotten");
                }
            }
            Some(ended) = running.join_next() => match ended {
                Ok(app) => {
                    busy.remove(&app);
                }
                Err(error) => {
                    tracing::error!(%error, "acting on a webhook ended badly");
                    busy.clear();
                    running.shutdown().await;
                }
            }
        }
    }
    running.shutdown().await;
}

/// Acts on all that waits of one app by one look.
async fn of_app(control: Arc<Control>, app: AppName, deliveries: Vec<WaitingDelivery>) -> AppName {
    let mut changes: Vec<(Change, bool)> = Vec::new();
    for delivery in &deliveries {
        if let Ok(HookEvent::Change { change, closed }) = serde_json::from_str(&delivery.payload) {
            changes.push((change, closed));
        }
    }
    let outcome = match look::look(&control, &app, "webhook", &changes).await {
        Ok(looked) => look::words(&looked),
        Err(problem) => {
            tracing::warn!(%app, %problem, "a webhook could not be acted on");
            problem.to_string()
        }
    };
    for delivery in &deliveries {
        if let Err(error) = control.store.end_delivery(delivery.serial, &outcome).await {
            tracing::error!(error = %problem::store(error), "a webhook's end cannot be written");
        }
    }
    app
}
