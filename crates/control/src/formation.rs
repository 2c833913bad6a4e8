//! How many instances run, and starting, stopping and restarting them. Each change is a deploy of its own, so that it is
//! watched, serialised and drained like any other.

use jiff::Timestamp;
use launchway_model::api::{ChangeAccepted, ScaleRequest};
use launchway_model::instance::Instance;
use launchway_model::{AppName, Problem, ProcessType, ReleaseNumber};
use launchway_store::{DeployWork, StoredApp};

use crate::{Control, deploys, problem, releases, samples};

/// The most instances of one process type: beyond it is a slip of the finger.
const MOST: u32 = 500;

/// Changes how many instances of some process types run; the numbers outlive releases.
///
/// # Errors
/// The app does not exist or has no release, a process type does not exist, or a number is too large.
pub async fn scale(
    control: &Control,
    app: &AppName,
    request: ScaleRequest,
) -> Result<ChangeAccepted, Problem> {
    let (stored, number) = serving(control, app).await?;
    let release = releases::get(control, app, number).await?;
    let mut changes = false;
    for (process, count) in &request.formation {
        let Some(spec) = release.spec.processes.get(process) else {
            return Err(deploys::unknown_process(&release, process));
        };
        if *count > MOST {
            return Err(Problem::invalid(format!(
                "{count} instances of `{process}` are more than {MOST}"
            )));
        }
        changes |= stored
            .formation
            .get(process)
            .copied()
            .unwrap_or(spec.instances)
            != *count;
    }
    if !changes {
        return Ok(ChangeAccepted {
            deploy: None,
            release: Some(number),
        });
    }
    queue(
        control,
        app,
        number,
        DeployWork::Scale {
            formation: request.formation,
        },
    )
    .await
}

/// Replaces the instances of one process type or all by fresh ones, with no request lost.
///
/// # Errors
/// The app does not exist, has no release or is stopped, or the process type does not exist.
pub async fn restart(
    control: &Control,
    app: &AppName,
    process: Option<&ProcessType>,
) -> Result<ChangeAccepted, Problem> {
    let (stored, number) = serving(control, app).await?;
    if stored.stopped {
        return Err(
            Problem::conflict(format!("{app} is stopped")).hint("`launchway start` starts it.")
        );
    }
    if let Some(process) = process {
        let release = releases::get(control, app, number).await?;
        if !release.spec.processes.contains_key(process) {
            return Err(deploys::unknown_process(&release, process));
        }
    }
    queue(
        control,
        app,
        number,
        DeployWork::Restart {
            process: process.cloned(),
        },
    )
    .await
}

/// Stops an app; its routes answer 503 until it is started.
///
/// # Errors
/// The app does not exist or has no release.
pub async fn stop(control: &Control, app: &AppName) -> Result<ChangeAccepted, Problem> {
    let (stored, number) = serving(control, app).await?;
    if stored.stopped {
        return Ok(ChangeAccepted {
            deploy: None,
            release: Some(number),
        });
    }
    queue(control, app, number, DeployWork::Stop).await
}

/// Starts a stopped app.
///
/// # Errors
/// The app does not exist or has no release.
pub async fn start(control: &Control, app: &AppName) -> Result<ChangeAccepted, Problem> {
    let (stored, number) = serving(control, app).await?;
    if !stored.stopped {
        return Ok(ChangeAccepted {
            deploy: None,
            release: Some(number),
        });
    }
    queue(control, app, number, DeployWork::Start).await
}

/// The instances of an app, as `launchway ps` shows them.
///
/// # Errors
/// The app does not exist.
pub async fn instances(control: &Control, app: &AppName) -> Result<Vec<Instance>, Problem> {
    control.app(app).await?;
    Ok(samples::instances(control, app))
}

async fn serving(control: &Control, app: &AppName) -> Result<(StoredApp, ReleaseNumber), Problem> {
    let stored = control.app(app).await?;
    match stored.serving {
        Some(number) => Ok((stored, number)),
        None => Err(Problem::conflict(format!("{app} has no release yet"))
            .hint("`launchway deploy` makes one.")),
    }
}

async fn queue(
    control: &Control,
    app: &AppName,
    release: ReleaseNumber,
    work: DeployWork,
) -> Result<ChangeAccepted, Problem> {
    let deploy = control
        .store
        .queue_deploy(app, release, &work, Timestamp::now())
        .await
        .map_err(problem::store)?;
    control.wake.deploys.notify_one();
    control.wake.changed();
    Ok(ChangeAccepted {
        deploy: Some(deploy),
        release: Some(release),
    })
}
