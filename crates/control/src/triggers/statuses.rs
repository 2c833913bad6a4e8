//! Tells forges how builds stand, and tells again until they took it.
//!
//! That a build's status is to be told is written in the transaction that queues the build, and the row stays until the forge took
//! the last state: so none is lost, whoever dies in between. States that a build passed while the forge was away are not told late;
//! only how it stands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use launchway_model::alert::{AlertSeverity, NewAlert};
use launchway_model::build::{BuildResult, BuildState};
use launchway_model::{AppName, Problem};
use launchway_store::triggers::WaitingStatus;
use tokio_util::sync::CancellationToken;

use super::forge::{Api, State, Status};
use super::remote::Address;
use crate::{Control, alerts, problem};

/// The longest time between two tries.
const LONGEST: i64 = 1800;
/// How long after a build's end its status is still worth a try.
const WORTH: SignedDuration = SignedDuration::from_hours(24 * 7);
/// From how many failures in a row on somebody should know.
const ALERT_AFTER: u32 = 5;
/// The kind of the alert.
const ALERT: &str = "commit_statuses";

/// Tells statuses until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut records = control.wake.records();
    loop {
        let next = tokio::select! {
            () = cancel.cancelled() => return,
            next = once(&control) => next,
        };
        let next = next.unwrap_or_else(|problem| {
            tracing::error!(%problem, "commit statuses cannot be read");
            Some(Timestamp::now() + SignedDuration::from_secs(30))
        });
        let pause = next.map_or(Duration::from_secs(600), |next| {
            Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default()
        });
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause.max(Duration::from_millis(100))) => {}
            changed = records.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Tells what is due, and says when the next try is.
async fn once(control: &Control) -> Result<Option<Timestamp>, Problem> {
    let waiting = control
        .store
        .waiting_statuses()
        .await
        .map_err(problem::store)?;
    let now = Timestamp::now();
    let mut next: Option<Timestamp> = None;
    let mut apis: BTreeMap<AppName, Result<Option<Api>, Problem>> = BTreeMap::new();
    for one in waiting {
        let state = state_of(&one.state);
        if one.told.as_deref() == Some(state.word()) {
            continue;
        }
        if one.due > now {
            next = Some(next.map_or(one.due, |next| next.min(one.due)));
            continue;
        }
        if !apis.contains_key(&one.app) {
            apis.insert(one.app.clone(), api_of(control, &one.app).await);
        }
        let told = match &apis[&one.app] {
            Ok(Some(api)) => api.tell(&status_of(control, &one, state)).await,
            // The settings want no statuses any more.
            Ok(None) => Ok(()),
            Err(problem) => Err(problem.clone()),
        };
        match told {
            Ok(()) => {
                control
                    .store
                    .status_told(one.build, state.word(), state.ends())
                    .await
                    .map_err(problem::store)?;
                if one.attempts >= ALERT_AFTER {
                    alerts::clear(control, ALERT, one.app.as_str()).await?;
                }
            }
            Err(problem) => {
                let due = failed(control, &one, now, problem).await?;
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
    }
    Ok(next)
}

/// Notes a failure, and says when it is tried again.
async fn failed(
    control: &Control,
    one: &WaitingStatus,
    now: Timestamp,
    problem: Problem,
) -> Result<Timestamp, Problem> {
    let trouble = match problem.causes.first() {
        Some(cause) if !cause.is_empty() => format!("{}: {cause}", problem.message),
        _ => problem.message.clone(),
    };
    tracing::warn!(build = %one.build, app = %one.app, trouble, "a commit status was not taken");
    if let BuildState::Finished { at, .. } = &one.state
        && now.duration_since(*at) > WORTH
    {
        control
            .store
            .status_told(one.build, "", true)
            .await
            .map_err(problem::store)?;
        return Ok(now);
    }
    let seconds = (1_i64 << one.attempts.min(16)).min(LONGEST);
    let due = now + SignedDuration::from_secs(seconds);
    control
        .store
        .status_failed(one.build, due, &trouble)
        .await
        .map_err(problem::store)?;
    if one.attempts + 1 == ALERT_AFTER {
        let mut alert = NewAlert::new(
            ALERT,
            one.app.as_str(),
            AlertSeverity::Warning,
            format!(
                "the forge of {} takes no commit statuses: {trouble}",
                one.app
            ),
        );
        alert.app = Some(one.app.clone());
        alerts::raise(control, alert).await?;
    }
    Ok(due)
}

async fn api_of(control: &Control, app: &AppName) -> Result<Option<Api>, Problem> {
    let settings = super::stored(control, app).await?.settings;
    let (Some(id), Some(remote)) = (&settings.status_credential, &settings.remote) else {
        return Ok(None);
    };
    let address = Address::parse(remote)?;
    Api::open(control, app, &settings, &address, id)
        .await
        .map(Some)
}

fn status_of(control: &Control, one: &WaitingStatus, state: State) -> Status {
    let description = match &one.state {
        BuildState::Queued { .. } => "waits for its build".to_owned(),
        BuildState::Running { .. } => "is being built".to_owned(),
        BuildState::Finished {
            result,
            since,
            at,
            problem,
        } => {
            let seconds = at.duration_since(*since).as_secs();
            let result = match result {
                BuildResult::Success => "succeeded",
                BuildResult::Unstable => "is unstable",
                BuildResult::Failure => "failed",
                BuildResult::NotBuilt => "was not built",
                BuildResult::Aborted => "was cancelled",
            };
            match problem {
                Some(problem) => format!("{result} after {seconds} s: {}", problem.message),
                None => format!("{result} in {seconds} s"),
            }
        }
    };
    let change = one.request.origin.change.as_ref();
    Status {
        commit: one.request.commit.clone(),
        state,
        context: format!("launchway/{}", one.app),
        url: format!("{}/builds/{}", control.settings().url, one.build),
        description,
        branch: change
            .map(|change| change.branch.clone())
            .or_else(|| one.request.branch.clone()),
    }
}

fn state_of(state: &BuildState) -> State {
    match state {
        BuildState::Queued { .. } => State::Pending,
        BuildState::Running { .. } => State::Running,
        BuildState::Finished { result, .. } => match result {
            BuildResult::Success => State::Success,
            BuildResult::Unstable | BuildResult::Failure => State::Failure,
            BuildResult::NotBuilt | BuildResult::Aborted => State::Aborted,
        },
    }
}
