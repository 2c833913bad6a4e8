//! What people watch: one stream of events from the request to the served release.
//!
//! A stream is read from the records and files alone, from their beginning, so that it can be opened at any time and
//! as often as anybody likes, and a restart of control in between changes nothing but the connection.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::api::Progress;
use launchway_model::build::{BuildState, StageId, StageInfo};
use launchway_model::deploy::{Deploy, DeployPhase, DeployState, Release};
use launchway_model::request::Ask;
use launchway_model::runner::{LogLine, LogSource, RunnerEvent, RunnerEventKind};
use launchway_model::{AppName, BuildId, DeployId, InstanceId, Problem};
use launchway_pipeline::spool::{EventReader, LogReader};
use launchway_store::{DeployWork, StoredDeploy};
use tokio::sync::mpsc;

use crate::{Control, apps, builds, deploys, problem, reconcile, task};

/// How often files that grow are looked at: at first, and once it takes long.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(50));
/// When it takes long.
const LONG: Duration = Duration::from_secs(10);

/// Why a stream ends early: nobody reads it, or it cannot be read.
enum End {
    Unread,
    Broken(Problem),
}

impl From<Problem> for End {
    fn from(problem: Problem) -> Self {
        Self::Broken(problem)
    }
}

/// What is followed.
enum Subject {
    Build(BuildId),
    Deploy(DeployId),
}

/// All that happened and happens to a build and the deploy that follows; ends with [`Progress::Finished`].
///
/// # Errors
/// The build does not exist, or the store fails.
pub async fn of_build(control: &Control, id: BuildId) -> Result<mpsc::Receiver<Progress>, Problem> {
    builds::get(control, id).await?;
    stream(control, Subject::Build(id))
}

/// All that happened and happens to a deploy; ends with [`Progress::Finished`].
///
/// # Errors
/// The deploy does not exist, or the store fails.
pub async fn of_deploy(
    control: &Control,
    id: DeployId,
) -> Result<mpsc::Receiver<Progress>, Problem> {
    deploys::get(control, id).await?;
    stream(control, Subject::Deploy(id))
}

fn stream(control: &Control, subject: Subject) -> Result<mpsc::Receiver<Progress>, Problem> {
    let control: Arc<Control> = control.shared()?;
    let (sender, receiver) = mpsc::channel(256);
    let tasks = control.tasks.clone();
    tasks.spawn(async move {
        let out = Out { sender };
        let follow = async {
            match subject {
                Subject::Build(id) => follow_build(&control, id, &out).await,
                Subject::Deploy(id) => {
                    let since = deploys::get(&control, id).await?.created;
                    follow_deploy(&control, id, since, &out).await
                }
            }
        };
        let ended = tokio::select! {
            () = control.cancel.cancelled() => Err(End::Broken(
                Problem::unavailable("control is ending").hint("What runs goes on; look again in a moment."),
            )),
            () = out.sender.closed() => Err(End::Unread),
            ended = follow => ended,
        };
        if let Err(End::Broken(problem)) = ended {
            let finished = Progress::Finished { urls: Vec::new(), serving: None, problem: Some(problem), millis: 0 };
            // At the end of control a reader that does not read is not waited for.
            let _ = out.sender.try_send(finished);
        }
    });
    Ok(receiver)
}

struct Out {
    sender: mpsc::Sender<Progress>,
}

impl Out {
    async fn send(&self, progress: Progress) -> Result<(), End> {
        self.sender.send(progress).await.map_err(|_| End::Unread)
    }
}

async fn follow_build(control: &Control, id: BuildId, out: &Out) -> Result<(), End> {
    let mut records = control.wake.records();
    let mut said = None;
    let build = loop {
        records.mark_unchanged();
        let build = builds::get(control, id).await?;
        let BuildState::Queued { reason } = &build.state else {
            break build;
        };
        if said.as_ref() != Some(reason) {
            out.send(Progress::Queued {
                reason: reason.clone(),
            })
            .await?;
            said = Some(reason.clone());
        }
        changed(&mut records).await?;
    };
    let folder = control.settings().home.build(id);
    let mut reader = BuildReader::new(&folder);
    let began = tokio::time::Instant::now();
    let mut state = build.state.clone();
    let (result, since, at, problem) = loop {
        // The state was read before the spool: where it says that the build has ended, the spool has all that there
        // will be.
        reader.read(out).await?;
        if let BuildState::Finished {
            result,
            since,
            at,
            problem,
        } = state
        {
            break (result, since, at, problem);
        }
        let pause = if began.elapsed() < LONG {
            LOOK.0
        } else {
            LOOK.1
        };
        tokio::select! {
            changed = changed(&mut records) => {
                changed?;
                state = builds::get(control, id).await?.state;
            }
            () = tokio::time::sleep(pause) => {}
        }
    };
    out.send(Progress::Built {
        result,
        millis: millis_between(since, at),
    })
    .await?;
    match control
        .store
        .deploy_of_build(id)
        .await
        .map_err(problem::store)?
    {
        Some(deploy) => follow_deploy(control, deploy.deploy.id, build.created, out).await,
        None => finish(control, &build.request.app, problem, build.created, at, out).await,
    }
}

/// Reads a build's events and logs in an order that people can follow: a stage's lines before its end.
struct BuildReader {
    folder: std::path::PathBuf,
    events: EventReader,
    stages: Vec<StageInfo>,
    started: BTreeMap<StageId, Timestamp>,
    logs: BTreeMap<StageId, LogReader>,
}

impl BuildReader {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            events: EventReader::new(folder, 0),
            stages: Vec::new(),
            started: BTreeMap::new(),
            logs: BTreeMap::new(),
        }
    }

    async fn read(&mut self, out: &Out) -> Result<(), End> {
        let events = self.events.read().map_err(|error| {
            Problem::internal("the build's events cannot be read").caused_by(&error)
        })?;
        for event in events {
            self.tell(event, out).await?;
        }
        let running: Vec<StageId> = self.logs.keys().copied().collect();
        for stage in running {
            self.tell_log(stage, out).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, event: RunnerEvent, out: &Out) -> Result<(), End> {
        match event.kind {
            RunnerEventKind::Planned { words, stages, .. } => {
                self.stages.clone_from(&stages);
                out.send(Progress::Planned { words, stages }).await
            }
            RunnerEventKind::StageStarted { stage } => {
                self.started.insert(stage, event.at);
                self.logs
                    .insert(stage, LogReader::new(&self.folder, stage, 0));
                out.send(Progress::StageStarted {
                    stage,
                    name: self.name(stage),
                })
                .await
            }
            RunnerEventKind::StageFinished { stage, result } => {
                self.tell_log(stage, out).await?;
                self.logs.remove(&stage);
                let since = self.started.remove(&stage).unwrap_or(event.at);
                let millis = millis_between(since, event.at);
                out.send(Progress::StageFinished {
                    stage,
                    name: self.name(stage),
                    result,
                    millis,
                })
                .await
            }
            RunnerEventKind::Tests { counts } => out.send(Progress::Tests { counts }).await,
            RunnerEventKind::Asked { number, ask } => match *ask {
                Ask::Input(question) => out.send(Progress::Input { number, question }).await,
                _ => Ok(()),
            },
            RunnerEventKind::Started { .. }
            | RunnerEventKind::Artifact { .. }
            | RunnerEventKind::Scanned { .. }
            | RunnerEventKind::Report(_)
            | RunnerEventKind::Settled { .. }
            | RunnerEventKind::Finished { .. } => Ok(()),
        }
    }

    async fn tell_log(&mut self, stage: StageId, out: &Out) -> Result<(), End> {
        let Some(log) = self.logs.get_mut(&stage) else {
            return Ok(());
        };
        loop {
            let lines = log.read().map_err(|error| {
                Problem::internal("a stage's log cannot be read").caused_by(&error)
            })?;
            if lines.is_empty() {
                return Ok(());
            }
            for LogLine {
                millis,
                source,
                text,
            } in lines
            {
                out.send(Progress::Log {
                    stage,
                    millis,
                    source,
                    text: text.into_owned(),
                })
                .await?;
            }
        }
    }

    fn name(&self, stage: StageId) -> String {
        self.stages
            .iter()
            .find(|info| info.id == stage)
            .map(|info| info.name.clone())
            .unwrap_or_default()
    }
}

async fn follow_deploy(
    control: &Control,
    id: DeployId,
    since: Timestamp,
    out: &Out,
) -> Result<(), End> {
    let mut records = control.wake.records();
    let mut told = 0;
    let mut read = 0;
    let mut release_log = None;
    let mut released = false;
    loop {
        records.mark_unchanged();
        let stored = stored(control, id).await?;
        let deploy = &stored.deploy;
        if !std::mem::replace(&mut released, true) && stored.work == DeployWork::Release {
            out.send(Progress::Released {
                release: deploy.release,
                deploy: id,
            })
            .await?;
        }
        for (place, record) in deploy.phases.iter().enumerate().skip(told) {
            if record.phase == DeployPhase::Queued {
                let over = place + 1 < deploy.phases.len();
                if !over && !waits_for_another(control, deploy).await? {
                    // It is about to begin: nothing worth a word.
                    break;
                }
                if over {
                    told = place + 1;
                    continue;
                }
            }
            // What was said in the phases before comes before what follows it.
            if record.phase > DeployPhase::Release {
                tell_command_log(control, deploy, &mut release_log, out).await?;
            }
            read = tell_phase_log(control, id, Some(record.phase), read, out).await?;
            let detail = detail(control, &stored, record.phase).await?;
            out.send(Progress::Phase {
                phase: record.phase,
                detail,
            })
            .await?;
            told = place + 1;
        }
        let running = matches!(
            deploy.state,
            DeployState::Running {
                phase: DeployPhase::Release
            }
        );
        tell_command_log(control, deploy, &mut release_log, out).await?;
        read = tell_phase_log(control, id, None, read, out).await?;
        let problem = match &deploy.state {
            DeployState::Running { .. } => {
                tokio::select! {
                    changed = changed(&mut records) => changed?,
                    () = tokio::time::sleep(LOOK.1), if running => {}
                }
                continue;
            }
            DeployState::Succeeded => None,
            DeployState::Failed { problem, .. } => Some(problem.clone()),
            DeployState::Superseded => Some(Problem::conflict(
                "a newer release took its place before it began",
            )),
            DeployState::Cancelled => Some(Problem::conflict(
                "the deploy was cancelled; what served goes on serving",
            )),
        };
        let at = stored.ended.unwrap_or(since);
        return finish(control, &deploy.app, problem, since, at, out).await;
    }
}

/// Whether an older deploy of the app has not ended.
async fn waits_for_another(control: &Control, deploy: &Deploy) -> Result<bool, Problem> {
    let active = control
        .store
        .active_deploys()
        .await
        .map_err(problem::store)?;
    Ok(active
        .iter()
        .any(|other| other.deploy.app == deploy.app && other.deploy.id < deploy.id))
}

async fn stored(control: &Control, id: DeployId) -> Result<StoredDeploy, Problem> {
    let stored = control.store.deploy(id).await.map_err(problem::store)?;
    stored.ok_or_else(|| Problem::not_found(format!("there is no deploy {id}")))
}

/// A word on a phase.
async fn detail(
    control: &Control,
    stored: &StoredDeploy,
    phase: DeployPhase,
) -> Result<String, Problem> {
    let app = &stored.deploy.app;
    let release = control
        .store
        .release(app, stored.deploy.release)
        .await
        .map_err(problem::store)?;
    let Some(release) = release else {
        return Ok(String::new());
    };
    Ok(match phase {
        DeployPhase::Queued => format!("another deploy of {app} runs"),
        DeployPhase::Validate => format!("{} of {app}", release.number),
        DeployPhase::Release => release
            .spec
            .release
            .as_ref()
            .map(|command| command.command.clone())
            .unwrap_or_default(),
        DeployPhase::Once => release
            .spec
            .once
            .as_ref()
            .map(|command| command.command.clone())
            .unwrap_or_default(),
        DeployPhase::Start => instances(control, stored, &release).await?,
        DeployPhase::Ready if release.spec.processes.is_empty() => "files".to_owned(),
        DeployPhase::Ready => release.spec.health.in_words(),
        DeployPhase::Canary => "a part of the requests first".to_owned(),
        DeployPhase::Verify => match &release.spec.rollout.verify.command {
            Some(command) => command.command.clone(),
            None => "the proxy's counters".to_owned(),
        },
        DeployPhase::Switch => format!("the proxy takes the routes of {app}"),
        DeployPhase::Drain => "requests in flight end".to_owned(),
    })
}

/// "2 instances of web, 1 of worker".
async fn instances(
    control: &Control,
    stored: &StoredDeploy,
    release: &Release,
) -> Result<String, Problem> {
    let app = control.app(&stored.deploy.app).await?;
    let mut formation = reconcile::formation(&release.spec, &app.formation);
    if let DeployWork::Scale { formation: wanted } = &stored.work {
        formation.extend(wanted.clone());
    }
    let stops = matches!(stored.work, DeployWork::Stop)
        || (app.stopped && stored.work != DeployWork::Start);
    if stops || formation.is_empty() {
        return Ok("nothing to start".to_owned());
    }
    let mut words = Vec::new();
    for (process, count) in formation {
        let noun = if count == 1 { "instance" } else { "instances" };
        words.push(format!("{count} {noun} of {process}"));
    }
    Ok(words.join(", "))
}

/// Tells what the release command says, while it runs.
async fn tell_command_log(
    control: &Control,
    deploy: &Deploy,
    log: &mut Option<LogReader>,
    out: &Out,
) -> Result<(), End> {
    let ran = deploy
        .phases
        .iter()
        .any(|record| record.phase == DeployPhase::Release);
    if !ran {
        return Ok(());
    }
    if log.is_none() {
        *log = find_release_log(control, deploy);
    }
    tell_release_log(log, out).await
}

/// Tells what was written down of the phases, up to the line before a phase's first; the release command's lines were
/// told while it ran. Gives the last line's number.
async fn tell_phase_log(
    control: &Control,
    id: DeployId,
    before: Option<DeployPhase>,
    after: i64,
    out: &Out,
) -> Result<i64, End> {
    let lines = control
        .store
        .deploy_log(id, after)
        .await
        .map_err(problem::store)?;
    let mut last = after;
    for (number, line) in lines {
        if before.is_some_and(|before| line.phase >= before) {
            break;
        }
        last = number;
        if line.phase == DeployPhase::Release && line.source != LogSource::Launchway {
            continue;
        }
        out.send(Progress::PhaseLog { line }).await?;
    }
    Ok(last)
}

/// The log of the newest run of a deploy's release command.
fn find_release_log(control: &Control, deploy: &Deploy) -> Option<LogReader> {
    let folder = control.settings().home.app_logs(&deploy.app);
    let newest = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let id: InstanceId = name.to_str()?.strip_suffix(".log")?.parse().ok()?;
            let ours = id.process().as_str() == task::RELEASE && id.release() == deploy.release;
            ours.then(|| (id.serial(), entry.path()))
        })
        .max()?;
    Some(LogReader::of_file(newest.1, 0))
}

async fn tell_release_log(log: &mut Option<LogReader>, out: &Out) -> Result<(), End> {
    let Some(log) = log else { return Ok(()) };
    loop {
        let lines = log.read().map_err(|error| {
            Problem::internal("the release command's log cannot be read").caused_by(&error)
        })?;
        if lines.is_empty() {
            return Ok(());
        }
        for line in lines {
            if line.source != LogSource::Launchway {
                out.send(Progress::ReleaseLog {
                    text: line.text.into_owned(),
                })
                .await?;
            }
        }
    }
}

async fn finish(
    control: &Control,
    app: &AppName,
    problem: Option<Problem>,
    since: Timestamp,
    at: Timestamp,
    out: &Out,
) -> Result<(), End> {
    let stored = control.store.app(app).await.map_err(problem::store)?;
    let serving = stored.as_ref().and_then(|app| app.serving);
    let release = match serving {
        Some(number) => control
            .store
            .release(app, number)
            .await
            .map_err(problem::store)?,
        None => None,
    };
    let urls = match (&stored, &release) {
        (Some(stored), Some(release)) if !stored.stopped => {
            apps::urls(control, stored, Some(release))
        }
        _ => Vec::new(),
    };
    out.send(Progress::Finished {
        urls,
        serving,
        problem,
        millis: millis_between(since, at),
    })
    .await
}

async fn changed(records: &mut tokio::sync::watch::Receiver<u64>) -> Result<(), Problem> {
    records
        .changed()
        .await
        .map_err(|_| Problem::unavailable("control is ending"))
}

fn millis_between(since: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(at.duration_since(since).as_millis()).unwrap_or(0)
}
