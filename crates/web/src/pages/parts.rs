//! What several pages show: states in words, rows of builds and deploys, a problem in full.

use askama::Template;
use jiff::Timestamp;
use launchway_model::api::App;
use launchway_model::build::{Build, BuildResult, BuildState, StageState};
use launchway_model::deploy::{Deploy, DeployPhase, DeployState, Release, ReleaseState};
use launchway_model::instance::{Instance, InstanceState};
use launchway_model::{Problem, ProcessType};

use super::part;
use crate::format;
use crate::html::{self, Html, State, Tone};

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemBox<'a> {
    problem: &'a Problem,
    output: Vec<String>,
}

/// A problem with all that helps to mend it.
pub fn problem(problem: &Problem) -> Html {
    let mut ansi = crate::ansi::Ansi::default();
    part(&ProblemBox {
        problem,
        output: problem.output.iter().map(|line| ansi.line(line)).collect(),
    })
}

/// How an app is.
pub fn app_state(app: &App) -> State {
    if app.stopped {
        return State::new(Tone::Idle, "stopped");
    }
    if app.release.is_none() {
        return State::new(Tone::Idle, "not deployed yet");
    }
    let wanted = wanted(app);
    let working = app
        .instances
        .iter()
        .filter(|instance| works(instance))
        .count();
    let crashing = app
        .instances
        .iter()
        .any(|instance| matches!(instance.status, InstanceState::Backoff { .. }));
    if wanted == 0 || working >= wanted {
        State::new(Tone::Good, "serving")
    } else if crashing {
        State::new(
            if working == 0 { Tone::Bad } else { Tone::Warn },
            "crashing",
        )
    } else if working == 0 {
        State::new(Tone::Bad, "not serving")
    } else {
        State::new(Tone::Warn, format!("{working} of {wanted} working"))
    }
}

/// How many instances an app should have.
pub fn wanted(app: &App) -> usize {
    app.formation.values().map(|count| *count as usize).sum()
}

/// Whether an instance does its work: it runs, is not unhealthy, and has its route where it needs one.
pub fn works(instance: &Instance) -> bool {
    matches!(instance.status, InstanceState::Running { .. }) && instance.healthy.unwrap_or(true)
}

/// `2 of 2`, or a dash where none is wanted.
pub fn instance_count(app: &App) -> String {
    let wanted = wanted(app);
    if wanted == 0 && app.instances.is_empty() {
        return "–".to_owned();
    }
    let working = app.instances.iter().filter(|i| works(i)).count();
    format!("{working} of {wanted}")
}

/// How an instance is.
pub fn instance_state(instance: &Instance) -> State {
    match &instance.status {
        InstanceState::Starting => State::new(Tone::Busy, "starting"),
        InstanceState::Running { .. } => match instance.healthy {
            Some(false) => State::new(Tone::Bad, "unhealthy"),
            Some(true) if !instance.routed => State::new(Tone::Busy, "healthy, not routed"),
            Some(true) => State::new(Tone::Good, "healthy"),
            None => State::new(Tone::Good, "running"),
        },
        InstanceState::Backoff { exit, .. } => State::new(Tone::Bad, format!("crashed: {exit}")),
        InstanceState::Stopping { .. } => State::new(Tone::Busy, "stopping"),
        InstanceState::Stopped { exit: Some(exit) } => {
            State::new(Tone::Idle, format!("stopped: {exit}"))
        }
        InstanceState::Stopped { exit: None } => State::new(Tone::Idle, "stopped"),
    }
}

/// A result as a state.
pub fn result_state(result: BuildResult) -> State {
    match result {
        BuildResult::Success => State::new(Tone::Good, "succeeded"),
        BuildResult::Unstable => State::new(Tone::Warn, "unstable"),
        BuildResult::Failure => State::new(Tone::Bad, "failed"),
        BuildResult::NotBuilt => State::new(Tone::Idle, "left out"),
        BuildResult::Aborted => State::new(Tone::Idle, "cancelled"),
    }
}

/// How a build is.
pub fn build_state(build: &Build) -> State {
    match &build.state {
        BuildState::Queued { .. } => State::new(Tone::Idle, "waiting"),
        BuildState::Running { .. } => State::new(Tone::Busy, "running"),
        BuildState::Finished { result, .. } => result_state(*result),
    }
}

/// How a stage is.
pub fn stage_state(state: &StageState) -> State {
    match state {
        StageState::Waiting => State::new(Tone::Idle, "waiting"),
        StageState::Running { .. } => State::new(Tone::Busy, "running"),
        StageState::Finished { result, .. } => result_state(*result),
    }
}

/// How a deploy is.
pub fn deploy_state(deploy: &Deploy) -> State {
    match &deploy.state {
        DeployState::Running { phase } => State::new(Tone::Busy, phase_word(*phase)),
        DeployState::Succeeded => State::new(Tone::Good, "succeeded"),
        DeployState::Failed { .. } => State::new(Tone::Bad, "failed"),
        DeployState::Superseded => State::new(Tone::Idle, "superseded"),
        DeployState::Cancelled => State::new(Tone::Idle, "cancelled"),
    }
}

/// How a release is.
pub fn release_state(release: &Release) -> State {
    match &release.state {
        ReleaseState::Created => State::new(Tone::Busy, "new"),
        ReleaseState::Serving => State::new(Tone::Good, "serving"),
        ReleaseState::Superseded => State::new(Tone::Idle, "superseded"),
        ReleaseState::Refused { .. } => State::new(Tone::Bad, "refused"),
    }
}

/// A phase of a deploy, as what is done in it.
pub fn phase_word(phase: DeployPhase) -> &'static str {
    match phase {
        DeployPhase::Queued => "waiting",
        DeployPhase::Validate => "validating",
        DeployPhase::Release => "release command",
        DeployPhase::Once => "once command",
        DeployPhase::Start => "starting",
        DeployPhase::Ready => "health checks",
        DeployPhase::Canary => "canary",
        DeployPhase::Switch => "switching",
        DeployPhase::Verify => "verifying",
        DeployPhase::Drain => "draining",
    }
}

/// How long a build took, or takes.
pub fn build_time(build: &Build, now: &Timestamp) -> Html {
    match &build.state {
        BuildState::Queued { .. } => Html::text("–"),
        BuildState::Running { since } => html::elapsed(since, now),
        BuildState::Finished { since, at, .. } => Html::text(&format::between(*since, *at)),
    }
}

/// How long a deploy took, or takes: from its request to its last phase's end.
pub fn deploy_time(deploy: &Deploy, now: &Timestamp) -> Html {
    if matches!(deploy.state, DeployState::Running { .. }) {
        return html::elapsed(&deploy.created, now);
    }
    let end = deploy
        .phases
        .last()
        .map(|phase| phase.since.as_millisecond() + phase.millis.unwrap_or(0) as i64);
    match end {
        Some(end) => Html::text(&format::millis(
            u64::try_from(end - deploy.created.as_millisecond()).unwrap_or(0),
        )),
        None => Html::text("–"),
    }
}

/// One row of a list of builds.
pub struct BuildRow {
    /// Its number.
    pub id: u64,
    /// Its app.
    pub app: String,
    /// Its state.
    pub state: Html,
    /// Its commit.
    pub commit: Html,
    /// The commit's first line.
    pub subject: String,
    /// Branch and cause.
    pub origin: String,
    /// How long it took.
    pub time: Html,
    /// When it was asked for.
    pub when: Html,
    /// The failed tests, or how many passed.
    pub tests: String,
}

impl BuildRow {
    /// The row of a build.
    pub fn new(build: &Build, now: &Timestamp) -> Self {
        let request = &build.request;
        Self {
            id: build.id.0,
            app: request.app.to_string(),
            state: build_state(build).badge(),
            commit: html::commit(&request.commit),
            subject: request.subject.clone(),
            origin: match &request.branch {
                Some(branch) => format!("{branch}, by {}", request.cause),
                None => format!("by {}", request.cause),
            },
            time: build_time(build, now),
            when: html::ago(&build.created, now),
            tests: match build.tests {
                None => "–".to_owned(),
                Some(counts) if counts.failed > 0 => {
                    format!("{} of {} failed", counts.failed, counts.total())
                }
                Some(counts) => format!("{} passed", counts.passed),
            },
        }
    }
}

/// One row of a list of deploys.
pub struct DeployRow {
    /// Its number.
    pub id: u64,
    /// Its release.
    pub release: String,
    /// Its state.
    pub state: Html,
    /// Why it failed, in one line.
    pub reason: Option<String>,
    /// How long it took.
    pub time: Html,
    /// When it was asked for.
    pub when: Html,
}

impl DeployRow {
    /// The row of a deploy.
    pub fn new(deploy: &Deploy, now: &Timestamp) -> Self {
        Self {
            id: deploy.id.0,
            release: deploy.release.to_string(),
            state: deploy_state(deploy).badge(),
            reason: match &deploy.state {
                DeployState::Failed { problem, .. } => Some(problem.message.clone()),
                _ => None,
            },
            time: deploy_time(deploy, now),
            when: html::ago(&deploy.created, now),
        }
    }
}

/// One row of a list of releases.
pub struct ReleaseRow {
    /// Its number, `v12`.
    pub number: String,
    /// The same as a plain number.
    pub value: u64,
    /// Its state.
    pub state: Html,
    /// Its commit.
    pub commit: Html,
    /// The commit's first line.
    pub subject: String,
    /// Why it was made.
    pub cause: String,
    /// The build whose tree it runs.
    pub build: u64,
    /// When it was made.
    pub when: Html,
    /// Whether a rollback can bring it back.
    pub can_return: bool,
}

impl ReleaseRow {
    /// The row of a release.
    pub fn new(release: &Release, now: &Timestamp) -> Self {
        Self {
            number: release.number.to_string(),
            value: release.number.0,
            state: release_state(release).badge(),
            commit: html::commit(&release.commit),
            subject: release.subject.clone(),
            cause: release.cause.clone(),
            build: release.build.0,
            when: html::ago(&release.created, now),
            can_return: release.state == ReleaseState::Superseded,
        }
    }
}

/// One row of a table of instances.
pub struct InstanceRow {
    /// Process type and serial number: `web.7`.
    pub name: String,
    /// The full id.
    pub id: String,
    /// Its release.
    pub release: String,
    /// Its state.
    pub state: Html,
    /// Where it takes requests.
    pub address: String,
    /// CPU in percent of a core.
    pub cpu: String,
    /// Resident memory.
    pub memory: String,
    /// Requests per second.
    pub rate: String,
    /// How often it was started again.
    pub restarts: u64,
    /// Since when it runs.
    pub since: Html,
}

impl InstanceRow {
    /// The row of an instance.
    pub fn new(instance: &Instance, now: &Timestamp) -> Self {
        let id = &instance.id;
        let dash = || "–".to_owned();
        Self {
            name: format!("{}.{}", id.process(), id.serial()),
            id: id.to_string(),
            release: id.release().to_string(),
            state: instance_state(instance).badge(),
            address: instance
                .address
                .as_ref()
                .map_or_else(dash, ToString::to_string),
            cpu: instance
                .cpu_millis
                .map_or_else(dash, |cpu| format::percent(f64::from(cpu) / 1000.0)),
            memory: instance.memory_bytes.map_or_else(dash, format::bytes),
            rate: instance.requests_per_second.map_or_else(dash, format::rate),
            restarts: instance.restarts,
            since: match &instance.status {
                InstanceState::Running { since, .. } => html::ago(since, now),
                _ => Html::text("–"),
            },
        }
    }
}

/// One row of the form that scales an app.
pub struct ScaleRow {
    /// The process type.
    pub process: ProcessType,
    /// How many instances are wanted.
    pub wanted: u32,
}

/// A table of builds.
#[derive(Template)]
#[template(path = "builds_table.html")]
pub(super) struct BuildTable<'a> {
    pub(super) builds: &'a [BuildRow],
    pub(super) with_app: bool,
    /// Whether room is scarce.
    pub(super) brief: bool,
}
