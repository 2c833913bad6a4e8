//! What apps do by the clock: commands (`[[cron]]`) and numbers of instances (`[[scale]]`).
//!
//! One task looks at the clocks of all apps that serve. What became due since it last looked is written down together with
//! the new position of the clock before anything is started, so that a run is neither begun twice nor forgotten: a
//! control that dies in between leaves a run that is lost, and says so. Runs go on when control ends; the next one follows
//! them to their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use launchway_model::alert::{AlertSeverity, NewAlert};
use launchway_model::api::ScaleRequest;
use launchway_model::app::{CronSpec, Missed, Overlap};
use launchway_model::cron::{CronJob, CronRun, CronState};
use launchway_model::deploy::Release;
use launchway_model::instance::Exit;
use launchway_model::schedule::Schedule;
use launchway_model::suggest::did_you_mean;
use launchway_model::{AppName, Problem, ProcessType};
use launchway_store::cron::NewRun;
use launchway_supervisor::ShimHandle;
use tokio_util::sync::CancellationToken;

use crate::{Control, alerts, formation, problem, recipe, task};

/// How often the clocks are looked at when nothing is due before: a clock that jumps is noticed that soon.
const LOOK: Duration = Duration::from_secs(15);
/// A run that begins this much after it was due was missed.
const LATE: Duration = Duration::from_secs(60);
/// The kind of alert of jobs that fail.
const ALERT: &str = "cron";

/// The jobs of the serving release of an app, with when they run next.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn list(control: &Control, app: &AppName) -> Result<Vec<CronJob>, Problem> {
    let stored = control.app(app).await?;
    let Some(release) = serving(control, app).await? else {
        return Ok(Vec::new());
    };
    let now = Timestamp::now();
    let mut jobs = Vec::new();
    for spec in release.spec.cron {
        let runs = control
            .store
            .runs(app, Some(&spec.name), 1)
            .await
            .map_err(problem::store)?;
        let schedule = schedule(app, spec.name.as_str(), &spec.schedule);
        jobs.push(CronJob {
            next: schedule
                .filter(|_| !stored.stopped)
                .and_then(|schedule| schedule.next_after(now, &zone(spec.time_zone.as_deref()))),
            last: runs.into_iter().next(),
            spec,
        });
    }
    Ok(jobs)
}

/// Runs of an app's jobs or of one of them, newest first.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn history(
    control: &Control,
    app: &AppName,
    job: Option<&ProcessType>,
    limit: u32,
) -> Result<Vec<CronRun>, Problem> {
    control.app(app).await?;
    control
        .store
        .runs(app, job, limit)
        .await
        .map_err(problem::store)
}

/// Runs a job now, whatever its schedule says; its overlap policy holds.
///
/// # Errors
/// The app or the job does not exist, the one before still runs and the job forbids that, or it cannot be started.
pub async fn run_now(
    control: &Control,
    app: &AppName,
    job: &ProcessType,
) -> Result<CronRun, Problem> {
    let release = serving(control, app).await?;
    let release = release.ok_or_else(|| {
        Problem::conflict(format!("{app} has no release yet")).hint("`launchway deploy` makes one.")
    })?;
    let known = &release.spec.cron;
    let Some(spec) = known.iter().find(|spec| spec.name == *job) else {
        let names: Vec<&str> = known.iter().map(|spec| spec.name.as_str()).collect();
        let hint = did_you_mean(job.as_str(), names.iter().copied()).unwrap_or_else(|| match names
            .as_slice()
        {
            [] => "Write `[[cron]]` in launchway.toml and deploy.".to_owned(),
            names => format!("Its jobs are {}.", names.join(", ")),
        });
        return Err(Problem::not_found(format!("{app} has no job `{job}`")).hint(hint));
    };
    let now = Timestamp::now();
    let mark = control
        .store
        .clock(app, job.as_str(), now)
        .await
        .map_err(problem::store)?;
    begin(control, &release, spec, now, mark, "asked by a person").await?;
    let runs = control
        .store
        .runs(app, Some(job), 1)
        .await
        .map_err(problem::store)?;
    match runs.into_iter().next() {
        Some(run) if run.state == CronState::Skipped => Err(Problem::conflict(format!(
            "the run of `{job}` before still runs"
        ))
        .hint("Its `overlap` policy forbids two at once.")),
        Some(run) => Ok(run),
        None => Err(Problem::internal("the run was not recorded")),
    }
}

/// Looks at the clocks until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut records = control.wake.records();
    if let Err(problem) = resume(&control).await {
        tracing::warn!(%problem, "runs of the control before are not followed");
    }
    loop {
        records.mark_unchanged();
        let pause = match look(&control).await {
            Ok(pause) => pause,
            Err(problem) => {
                tracing::warn!(%problem, "the clocks of apps cannot be read");
                LOOK
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            // A deploy that ended may have brought other schedules; the many changes before that are not worth a look.
            Ok(()) = records.changed() => {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1).min(pause)) => {}
                }
            }
        }
    }
}

/// Follows the runs that outlived the control before, and gives up those that did not.
async fn resume(control: &Arc<Control>) -> Result<(), Problem> {
    let mut kept: BTreeMap<String, ShimHandle> = BTreeMap::new();
    for shim in control.take_outliving() {
        kept.insert(shim.instance().to_string(), shim);
    }
    for run in control.store.open_runs().await.map_err(problem::store)? {
        let name = run.instance.as_ref().map(ToString::to_string);
        let shim = name.and_then(|name| kept.remove(&name));
        let spec = match serving(control, &run.app).await? {
            Some(release) => release
                .spec
                .cron
                .into_iter()
                .find(|spec| spec.name == run.job),
            None => None,
        };
        match shim {
            Some(shim) => {
                let limit = spec.map_or(LATE, |spec| Duration::from_millis(spec.timeout_ms));
                let since = Timestamp::now().duration_since(run.due).unsigned_abs();
                follow(
                    control,
                    run.app,
                    run.job,
                    run.id,
                    shim,
                    limit.saturating_sub(since),
                );
            }
            None => {
                let words = "it ended while no control was there";
                control
                    .store
                    .run_ended(run.id, CronState::Lost, words, Timestamp::now())
                    .await
                    .map_err(problem::store)?;
            }
        }
    }
    // Detached commands of people: they end when they end.
    for shim in kept.into_values() {
        let shared = control.clone();
        control.tasks.spawn(async move {
            tokio::select! {
                () = shared.cancel.cancelled() => {}
                _ = task::finished(&shared, &shim) => {}
            }
        });
    }
    Ok(())
}

/// Looks at all clocks; gives the time until the next is due.
async fn look(control: &Arc<Control>) -> Result<Duration, Problem> {
    let now = Timestamp::now();
    let mut next = now + LOOK;
    let releases = control
        .store
        .serving_releases()
        .await
        .map_err(problem::store)?;
    for release in releases {
        if release.spec.cron.is_empty() && release.spec.scaling.is_empty() {
            continue;
        }
        if control.app(&release.app).await?.stopped {
            continue;
        }
        for spec in &release.spec.cron {
            if let Some(due) = look_at_job(control, &release, spec, now).await? {
                next = next.min(due);
            }
        }
        if let Some(due) = look_at_scaling(control, &release, now).await? {
            next = next.min(due);
        }
    }
    let pause = next.duration_since(Timestamp::now()).unsigned_abs();
    // A moment more, so that what is due is due.
    Ok((pause + Duration::from_millis(5)).min(LOOK))
}

/// Looks at one job: runs what is due, and says when it is due next.
async fn look_at_job(
    control: &Arc<Control>,
    release: &Release,
    spec: &CronSpec,
    now: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    let app = &release.app;
    let Some(schedule) = schedule(app, spec.name.as_str(), &spec.schedule) else {
        return Ok(None);
    };
    let zone = zone(spec.time_zone.as_deref());
    let mark = control
        .store
        .clock(app, spec.name.as_str(), now)
        .await
        .map_err(problem::store)?;
    if let Some(missed) = schedule.missed(mark, now, &zone) {
        let late = now.duration_since(missed.last).unsigned_abs() > LATE;
        match (late, spec.missed) {
            (true, Missed::Skip) => {
                let run = NewRun {
                    app: app.clone(),
                    job: spec.name.clone(),
                    due: missed.last,
                    state: CronState::Missed,
                    detail: match missed.count {
                        1 => "Launchway was not there".to_owned(),
                        count => format!("Launchway was not there for {count} runs"),
                    },
                    release: release.number,
                };
                control
                    .store
                    .move_clock(app, spec.name.as_str(), now, &[run])
                    .await
                    .map_err(problem::store)?;
            }
            (late, _) => {
                let detail = match (late, missed.count) {
                    (true, count) => format!("makes up for {count} missed"),
                    (false, _) => String::new(),
                };
                if let Err(problem) = begin(control, release, spec, missed.last, now, &detail).await
                {
                    tracing::error!(%app, job = %spec.name, %problem, "a run could not be started");
                }
            }
        }
    }
    Ok(schedule.next_after(now, &zone))
}

/// Begins a run, or notes why there is none.
async fn begin(
    control: &Control,
    release: &Release,
    spec: &CronSpec,
    due: Timestamp,
    mark: Timestamp,
    detail: &str,
) -> Result<(), Problem> {
    let (app, job) = (&release.app, &spec.name);
    let open = control.store.open_runs().await.map_err(problem::store)?;
    let running: Vec<CronRun> = open
        .into_iter()
        .filter(|run| run.app == *app && run.job == *job)
        .collect();
    let skipped = !running.is_empty() && spec.overlap == Overlap::Forbid;
    let run = NewRun {
        app: app.clone(),
        job: job.clone(),
        due,
        state: if skipped {
            CronState::Skipped
        } else {
            CronState::Running
        },
        detail: if skipped {
            "the run before still ran".to_owned()
        } else {
            detail.to_owned()
        },
        release: release.number,
    };
    let ids = control
        .store
        .move_clock(app, job.as_str(), mark, &[run])
        .await
        .map_err(problem::store)?;
    control.wake.changed();
    let (Some(id), false) = (ids.first().copied(), skipped) else {
        return Ok(());
    };
    if spec.overlap == Overlap::Replace {
        for old in running {
            end(
                control,
                old.id,
                CronState::Replaced,
                "the next run took its place",
            )
            .await;
            control.cron.stop(old.id);
        }
    }
    match start(control, release, spec, id).await {
        Ok(shim) => {
            control
                .store
                .run_started(id, shim.instance())
                .await
                .map_err(problem::store)?;
            let limit = Duration::from_millis(spec.timeout_ms);
            let shared = control.shared()?;
            follow(&shared, app.clone(), job.clone(), id, shim, limit);
            Ok(())
        }
        Err(problem) => {
            end(control, id, CronState::Failed, &problem.message).await;
            Err(problem)
        }
    }
}

async fn start(
    control: &Control,
    release: &Release,
    spec: &CronSpec,
    id: u64,
) -> Result<ShimHandle, Problem> {
    let mut recipe = recipe::of_release(control, release)
        .await?
        .bare
        .once(spec.name.clone(), spec.command.clone());
    recipe.folder.clone_from(&spec.folder);
    recipe.env.insert(task::OUTLIVES.to_owned(), id.to_string());
    task::start(control, &recipe).await
}

/// Follows a run to its end, at the side.
fn follow(
    control: &Arc<Control>,
    app: AppName,
    job: ProcessType,
    id: u64,
    shim: ShimHandle,
    limit: Duration,
) {
    let stop = control.cron.begin(id);
    let shared = control.clone();
    control.tasks.spawn(async move {
        let exit = tokio::select! {
            // It goes on; the next control follows it.
            () = shared.cancel.cancelled() => return,
            () = stop.cancelled() => {
                task::stop(&shared, &shim).await;
                None
            }
            exit = tokio::time::timeout(limit, task::finished(&shared, &shim)) => Some(exit),
        };
        shared.cron.ended(id);
        let (state, detail) = match exit {
            // Whoever stopped it has said why.
            None => return,
            Some(Ok(Some(Exit::Code(0)))) => (CronState::Succeeded, "exit code 0".to_owned()),
            Some(Ok(Some(exit))) => (CronState::Failed, exit.to_string()),
            Some(Ok(None)) => (CronState::Failed, "it was killed".to_owned()),
            Some(Err(_)) => {
                task::stop(&shared, &shim).await;
                let words = format!(
                    "it did not end within {} s and was stopped",
                    limit.as_secs()
                );
                (CronState::TimedOut, words)
            }
        };
        end(&shared, id, state, &detail).await;
        tell(&shared, &app, &job, state, &detail).await;
    });
}

async fn end(control: &Control, id: u64, state: CronState, detail: &str) {
    if let Err(error) = control
        .store
        .run_ended(id, state, detail, Timestamp::now())
        .await
    {
        tracing::error!(run = id, error = %problem::store(error), "the end of a run cannot be stored");
    }
    control.wake.changed();
}

/// An alert while a job's last run failed.
async fn tell(control: &Control, app: &AppName, job: &ProcessType, state: CronState, detail: &str) {
    let key = format!("{app}/{job}");
    let told = if state == CronState::Succeeded {
        alerts::clear(control, ALERT, &key).await.map(|_| ())
    } else {
        let summary = format!("the last run of `{job}` of {app} failed: {detail}");
        let alert = NewAlert::new(ALERT, key, AlertSeverity::Warning, summary)
            .of(app.clone())
            .hint(format!(
                "`launchway cron history {job} --app {app}` names the run's log."
            ));
        alerts::raise(control, alert).await.map(|_| ())
    };
    if let Err(problem) = told {
        tracing::warn!(%app, %job, %problem, "an alert cannot be stored");
    }
}

/// Changes numbers of instances that are due: of each process type the newest rule.
async fn look_at_scaling(
    control: &Control,
    release: &Release,
    now: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    let app = &release.app;
    let mut next: Option<Timestamp> = None;
    let mut due: BTreeMap<ProcessType, (Timestamp, u32)> = BTreeMap::new();
    if release.spec.scaling.is_empty() {
        return Ok(None);
    }
    let mark = control
        .store
        .clock(app, ":scale", now)
        .await
        .map_err(problem::store)?;
    for rule in &release.spec.scaling {
        let Some(schedule) = schedule(app, rule.process.as_str(), &rule.schedule) else {
            continue;
        };
        let zone = zone(rule.time_zone.as_deref());
        if let Some(missed) = schedule.missed(mark, now, &zone)
            && due
                .get(&rule.process)
                .is_none_or(|(at, _)| *at <= missed.last)
        {
            due.insert(rule.process.clone(), (missed.last, rule.instances));
        }
        if let Some(then) = schedule.next_after(now, &zone) {
            next = Some(next.map_or(then, |next| next.min(then)));
        }
    }
    if due.is_empty() {
        return Ok(next);
    }
    let formation = due
        .into_iter()
        .filter(|(process, _)| release.spec.processes.contains_key(process))
        .map(|(process, (_, count))| (process, count))
        .collect();
    control
        .store
        .move_clock(app, ":scale", now, &[])
        .await
        .map_err(problem::store)?;
    tracing::info!(%app, ?formation, "instances change by the clock");
    if let Err(problem) = formation::scale(control, app, ScaleRequest { formation }).await {
        tracing::warn!(%app, %problem, "instances could not be changed by the clock");
    }
    Ok(next)
}

async fn serving(control: &Control, app: &AppName) -> Result<Option<Release>, Problem> {
    let Some(number) = control.app(app).await?.serving else {
        return Ok(None);
    };
    control
        .store
        .release(app, number)
        .await
        .map_err(problem::store)
}

/// A schedule that was checked when the release was made.
fn schedule(app: &AppName, name: &str, text: &str) -> Option<Schedule> {
    match Schedule::parse(text, &format!("{app}/{name}")) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            tracing::warn!(%app, name, %error, "a schedule cannot be read");
            None
        }
    }
}

fn zone(name: Option<&str>) -> TimeZone {
    name.and_then(|name| TimeZone::get(name).ok())
        .unwrap_or_else(TimeZone::system)
}

/// The runs that are followed, and how to stop them.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    running: std::sync::Mutex<BTreeMap<u64, CancellationToken>>,
}

impl Runs {
    fn begin(&self, id: u64) -> CancellationToken {
        let stop = CancellationToken::new();
        self.locked().insert(id, stop.clone());
        stop
    }

    fn ended(&self, id: u64) {
        self.locked().remove(&id);
    }

    fn stop(&self, id: u64) {
        if let Some(stop) = self.locked().remove(&id) {
            stop.cancel();
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
