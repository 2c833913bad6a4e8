//! Starts what is due: polls of settings, and the cron and poll lines of pipelines.
//!
//! Up to when a schedule was looked at is stored, so that a run that came due while control was being replaced is made up for.
//! One that is more than an hour late is not: a nightly build that starts at noon surprises more than it helps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use launchway_model::schedule::Schedule;
use launchway_model::{AppName, Problem};
use launchway_store::triggers::StoredBranch;
use tokio_util::sync::CancellationToken;

use super::look;
use crate::{Control, problem};

/// How late a run may be.
const LATE: SignedDuration = SignedDuration::from_hours(1);
/// The longest sleep: clocks are set, and previews that are gone want another try.
const LONGEST: Duration = Duration::from_secs(60);
/// The shortest, so that a fault cannot make it spin.
const SHORTEST: Duration = Duration::from_millis(50);

/// Starts what is due until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    // Polls of settings count from the start of control: one that was missed finds the same at the next.
    let mut polled: BTreeMap<AppName, Timestamp> = BTreeMap::new();
    let began = Timestamp::now();
    loop {
        let next = match once(&control, &mut polled, began).await {
            Ok(next) => next,
            Err(problem) => {
                tracing::error!(%problem, "what is due cannot be started");
                None
            }
        };
        let pause = next.map_or(LONGEST, |next| {
            let until = next.duration_since(Timestamp::now());
            Duration::try_from(until).unwrap_or_default()
        });
        tokio::select! {
            () = cancel.cancelled() => return,
            () = control.looking.scheduled.notified() => {}
            () = tokio::time::sleep(pause.clamp(SHORTEST, LONGEST)) => {}
        }
    }
}

/// Starts what is due now, and says when the next is.
async fn once(
    control: &Arc<Control>,
    polled: &mut BTreeMap<AppName, Timestamp>,
    began: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    let zone = TimeZone::system();
    let now = Timestamp::now();
    let mut nexts: Vec<Timestamp> = Vec::new();
    for stored in control.store.triggers(None).await.map_err(problem::store)? {
        let Some(poll) = stored.settings.poll.as_ref() else {
            continue;
        };
        let Ok(schedule) = Schedule::parse(poll, stored.app.as_str()) else {
            continue;
        };
        let since = polled.get(&stored.app).copied().unwrap_or(began);
        if schedule
            .next_after(since, &zone)
            .is_some_and(|due| due <= now)
        {
            polled.insert(stored.app.clone(), now);
            start(control, stored.app.clone(), None);
        }
        nexts.extend(schedule.next_after(now, &zone));
    }
    for stored in control
        .store
        .triggered_branches()
        .await
        .map_err(problem::store)?
    {
        let since = stored.checked.unwrap_or(now);
        let mut polls = false;
        let mut builds = false;
        let mut passed = false;
        for (poll, schedule) in super::schedules(&stored) {
            if let Some(missed) = schedule.missed(since, now, &zone) {
                passed = true;
                if now.duration_since(missed.last) <= LATE {
                    polls |= poll;
                    builds |= !poll;
                }
            }
            nexts.extend(schedule.next_after(now, &zone));
        }
        if passed {
            control
                .store
                .set_branch_checked(&stored, now)
                .await
                .map_err(problem::store)?;
        }
        if builds {
            start(control, stored.app.clone(), Some(stored));
        } else if polls {
            start(control, stored.app.clone(), None);
        }
    }
    sweep_the_gone(control).await?;
    Ok(nexts.into_iter().min())
}

/// Looks at an app's remote, or builds one of its branches, beside everything else.
fn start(control: &Arc<Control>, app: AppName, branch: Option<StoredBranch>) {
    let cancel = control.cancel.clone();
    let tasks = control.tasks.clone();
    let control = Arc::clone(control);
    tasks.spawn(async move {
        let work = async {
            match &branch {
                None => look::look(&control, &app, "poll", &[]).await.map(drop),
                Some(stored) => look::build_again(&control, stored, "timer").await.map(drop),
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            done = work => if let Err(problem) = done {
                tracing::warn!(%app, %problem, "what was due could not be done");
            }
        }
    });
}

/// Removes the previews of branches that are gone, which something still used before.
async fn sweep_the_gone(control: &Control) -> Result<(), Problem> {
    for stored in control.store.triggers(None).await.map_err(problem::store)? {
        let branches = control
            .store
            .branches(&stored.app)
            .await
            .map_err(problem::store)?;
        for branch in branches {
            if branch.branch.skipped.as_deref() == Some(look::GONE) {
                look::sweep(control, &branch).await?;
            }
        }
    }
    Ok(())
}
