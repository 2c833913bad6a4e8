//! One build: its stages as a timeline, their logs, its tests; and the list of all builds.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{builds, deploys, scans};
use launchway_model::build::{
    Build, BuildResult, BuildState, Stage, StageId, StageState, TestCase, TestOutcome,
};
use launchway_model::deploy::Deploy;
use launchway_model::results::FailureKind;
use launchway_model::scan::ScanReport;
use launchway_model::{BuildId, ReleaseNumber};

use super::app::Done;
use super::parts::{self, BuildRow, BuildTable};
use super::{Frame, PageProblem, build_results, findings, log};
use crate::Web;
use crate::extract::Param;
use crate::format;
use crate::html::{self, Html, Tone};

/// How many failed tests are shown in full.
const FAILED_SHOWN: usize = 50;
/// How many builds the list of all has.
const ALL: u32 = 100;

/// One stage with what is shown of its log.
pub struct StageView {
    id: u32,
    depth: usize,
    head: Html,
    log: Html,
    cut: bool,
    open: bool,
    /// A stage that only holds others has no log of its own.
    group: bool,
}

/// The heading of a stage: state, name, its place in time, how long it took.
#[derive(Template)]
#[template(path = "stage_head.html")]
struct StageHead<'a> {
    name: &'a str,
    state: Html,
    bar: Html,
    time: Html,
}

/// The heading of a stage, also pushed to pages when it changes.
pub(super) fn stage_head(build: &Build, stage: &Stage, now: &Timestamp) -> Html {
    let state = parts::stage_state(&stage.status);
    let (begin, end) = span(build, now);
    let whole = (end - begin).max(1) as f64;
    let place = |from: &Timestamp, to: &Timestamp, tone: Tone| {
        let from = from.as_millisecond();
        html::bar(
            (from - begin) as f64 / whole,
            (to.as_millisecond() - from) as f64 / whole,
            tone,
        )
    };
    let (bar, time) = match &stage.status {
        StageState::Waiting => (html::bar(0.0, 0.0, Tone::Idle), Html::default()),
        StageState::Running { since } => (place(since, now, Tone::Busy), html::elapsed(since, now)),
        StageState::Finished { result, .. } if *result == BuildResult::NotBuilt => {
            (html::bar(0.0, 0.0, Tone::Idle), Html::default())
        }
        StageState::Finished { since, at, .. } => (
            place(since, at, state.tone),
            Html::text(&format::between(*since, *at)),
        ),
    };
    super::part(&StageHead {
        name: &stage.info.name,
        state: state.mark(),
        bar,
        time,
    })
}

/// From when to when a build's timeline goes, in Unix milliseconds.
fn span(build: &Build, now: &Timestamp) -> (i64, i64) {
    match &build.state {
        BuildState::Queued { .. } => (now.as_millisecond(), now.as_millisecond() + 1),
        BuildState::Running { since } => (since.as_millisecond(), now.as_millisecond()),
        BuildState::Finished { since, at, .. } => (since.as_millisecond(), at.as_millisecond()),
    }
}

/// Whether a stage holds others.
fn is_group(build: &Build, id: StageId) -> bool {
    build
        .stages
        .iter()
        .any(|stage| stage.info.parent == Some(id))
}

/// How deep a stage is nested; a plan nests by a few levels at most.
fn depth(build: &Build, stage: &Stage) -> usize {
    let mut depth = 0;
    let mut parent = stage.info.parent;
    while let Some(id) = parent
        && depth < 5
    {
        depth += 1;
        parent = build
            .stages
            .iter()
            .find(|stage| stage.info.id == id)
            .and_then(|stage| stage.info.parent);
    }
    depth
}

/// A stage whose log is worth reading at once: the one that runs, and the one that failed.
pub(super) fn is_open(stage: &Stage) -> bool {
    match &stage.status {
        StageState::Waiting => false,
        StageState::Running { .. } => true,
        StageState::Finished { result, .. } => {
            matches!(result, BuildResult::Failure | BuildResult::Unstable)
        }
    }
}

/// The stages of a build, each with its log, in order.
#[derive(Template)]
#[template(path = "stages.html")]
pub(super) struct Stages {
    build: u64,
    stages: Vec<StageView>,
    waiting: bool,
}

impl Stages {
    /// The stages with their logs: for each stage what is rendered, and whether its beginning was left out.
    pub(super) fn new(build: &Build, logs: Vec<(Html, bool)>, now: &Timestamp) -> Self {
        let mut logs = logs.into_iter();
        Self {
            build: build.id.0,
            stages: build
                .stages
                .iter()
                .map(|stage| {
                    let (log, cut) = logs.next().unwrap_or_default();
                    StageView {
                        id: stage.info.id.0,
                        depth: depth(build, stage),
                        head: stage_head(build, stage, now),
                        log,
                        cut,
                        open: is_open(stage),
                        group: is_group(build, stage.info.id),
                    }
                })
                .collect(),
            waiting: !matches!(build.state, BuildState::Finished { .. }),
        }
    }
}

struct TestsView {
    summary: String,
    failed: Vec<(String, String, String, String)>,
    more: usize,
    others: Vec<(String, Html, String)>,
}

impl TestsView {
    fn new(build: &Build, tests: &[TestCase]) -> Option<Self> {
        let counts = build.tests?;
        let mut summary = vec![format!("{} passed", counts.passed)];
        if counts.failed > 0 {
            summary.insert(0, format!("{} failed", counts.failed));
        }
        if counts.skipped > 0 {
            summary.push(format!("{} skipped", counts.skipped));
        }
        let seconds = |test: &TestCase| {
            format::duration(std::time::Duration::from_secs_f64(
                test.seconds.clamp(0.0, 1e6),
            ))
        };
        let failed: Vec<_> = tests
            .iter()
            .filter(|test| test.outcome == TestOutcome::Failed)
            .collect();
        Some(Self {
            summary: summary.join(", "),
            more: failed.len().saturating_sub(FAILED_SHOWN),
            failed: failed
                .iter()
                .take(FAILED_SHOWN)
                .map(|test| {
                    (
                        test.suite.clone(),
                        test.name.clone(),
                        test.detail.clone().unwrap_or_default(),
                        seconds(test),
                    )
                })
                .collect(),
            others: tests
                .iter()
                .filter(|test| test.outcome != TestOutcome::Failed)
                .map(|test| {
                    let state = match test.outcome {
                        TestOutcome::Passed => html::State::new(Tone::Good, "passed"),
                        TestOutcome::Failed => html::State::new(Tone::Bad, "failed"),
                        TestOutcome::Skipped => html::State::new(Tone::Idle, "skipped"),
                    };
                    (
                        format!("{} · {}", test.suite, test.name),
                        state.mark(),
                        seconds(test),
                    )
                })
                .collect(),
        })
    }
}

/// The page of one build.
#[derive(Template)]
#[template(path = "build.html")]
pub struct BuildPage {
    frame: Frame,
    id: u64,
    app: String,
    state: Html,
    commit: Html,
    subject: String,
    author: String,
    author_name: String,
    origin: String,
    asked: Html,
    time: Html,
    waits: Option<String>,
    problem: Option<Html>,
    stages: Html,
    results: Html,
    tests: Option<TestsView>,
    findings: Html,
    deploys: Vec<(u64, String, Html)>,
    live: bool,
}

impl BuildPage {
    /// The page of a build with its stages' logs, its tests, and the deploys that it led to.
    pub fn new(
        build: &Build,
        logs: Vec<(Html, bool)>,
        tests: &[TestCase],
        deploys: &[Deploy],
        now: Timestamp,
    ) -> Self {
        let request = &build.request;
        let finished = matches!(build.state, BuildState::Finished { .. });
        let under_way = deploys.iter().any(|deploy| {
            matches!(
                deploy.state,
                launchway_model::deploy::DeployState::Running { .. }
            )
        });
        let live = !finished || under_way;
        Self {
            frame: Frame {
                refresh: live.then_some(3),
                stream: live
                    .then(|| format!("/builds/{}/live?stages={}", build.id.0, build.stages.len())),
                ..Frame::new(format!("Build {} of {}", build.id, request.app), "builds")
            },
            id: build.id.0,
            app: request.app.to_string(),
            state: parts::build_state(build).badge(),
            commit: html::commit(&request.commit),
            subject: request.subject.clone(),
            author: request.author.clone(),
            author_name: request
                .author
                .split(" <")
                .next()
                .unwrap_or_default()
                .to_owned(),
            origin: match &request.branch {
                Some(branch) => format!("{branch}, by {}", request.cause),
                None => format!("by {}", request.cause),
            },
            asked: html::ago(&build.created, &now),
            time: parts::build_time(build, &now),
            waits: match &build.state {
                BuildState::Queued { reason } => Some(reason.clone()),
                _ => None,
            },
            problem: match &build.state {
                BuildState::Finished {
                    problem: Some(problem),
                    ..
                } => Some(parts::problem(problem)),
                _ => None,
            },
            stages: super::part(&Stages::new(build, logs, &now)),
            results: Html::default(),
            tests: TestsView::new(build, tests),
            findings: Html::default(),
            deploys: deploys
                .iter()
                .map(|deploy| {
                    (
                        deploy.id.0,
                        deploy.release.to_string(),
                        parts::deploy_state(deploy).badge(),
                    )
                })
                .collect(),
            live: !finished,
        }
    }

    /// Shows what a scan of the build's dependencies found.
    #[must_use]
    pub fn with_scan(mut self, report: Option<&ScanReport>, now: &Timestamp) -> Self {
        if let Some(report) = report {
            self.findings = findings::panel("Dependencies", report, now);
        }
        self
    }

    /// With what it asks and kept, and what its failed tests are over its branch's builds.
    fn with_results(
        mut self,
        results: Html,
        kinds: &BTreeMap<(String, String), (FailureKind, u64)>,
    ) -> Self {
        self.results = results;
        for test in self.tests.iter_mut().flat_map(|tests| &mut tests.failed) {
            if let Some((kind, since)) = kinds.get(&(test.0.clone(), test.1.clone())) {
                let word = super::tests_page::kind_state(*kind).word;
                test.0 = format!("{} · {word}, since #{since}", test.0);
            }
        }
        self
    }

    fn notice(mut self, notice: Option<String>) -> Self {
        self.frame.notice = notice;
        self
    }
}

/// The list of all builds.
#[derive(Template)]
#[template(path = "builds.html")]
pub struct BuildsPage {
    frame: Frame,
    builds: Html,
}

impl BuildsPage {
    /// The page of many builds.
    pub fn new(builds: &[Build], now: Timestamp) -> Self {
        let rows: Vec<BuildRow> = builds
            .iter()
            .map(|build| BuildRow::new(build, &now))
            .collect();
        Self {
            frame: Frame {
                refresh: Some(10),
                ..Frame::new("Builds", "builds")
            },
            builds: super::part(&BuildTable {
                builds: &rows,
                with_app: true,
                brief: false,
            }),
        }
    }
}

pub(super) async fn show_all(State(web): State<Web>) -> Result<Response, PageProblem> {
    let builds = builds::list(&web.control, None, ALL).await?;
    Ok(super::show(&BuildsPage::new(&builds, Timestamp::now())))
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
    Query(done): Query<Done>,
) -> Result<Response, PageProblem> {
    let control = &web.control;
    let build = builds::get(control, id).await?;
    let tests = match build.tests {
        Some(_) => builds::tests(control, id).await?,
        None => Vec::new(),
    };
    let mut logs = Vec::new();
    for stage in &build.stages {
        let begin = match &stage.status {
            StageState::Waiting => None,
            StageState::Running { since } | StageState::Finished { since, .. } => {
                Some(since.as_millisecond())
            }
        };
        let path = builds::stage_log(control, id, stage.info.id).await?;
        logs.push(log::tail(&path, begin).await);
    }
    let deploys = deploys_of(&web, &build).await?;
    let scan = scans::of_build(control, id).await?;
    let now = Timestamp::now();
    let page = BuildPage::new(&build, logs, &tests, &deploys, now).with_scan(scan.as_ref(), &now);
    let kinds = match build.tests {
        Some(tests) if tests.failed > 0 => build_results::kinds(&web, id).await?,
        _ => BTreeMap::new(),
    };
    let page = page.with_results(build_results::panel(&web, &build).await?, &kinds);
    Ok(super::show(&page.notice(done.words())))
}

/// The deploys of the releases that a build made.
pub(super) async fn deploys_of(web: &Web, build: &Build) -> Result<Vec<Deploy>, PageProblem> {
    let app = &build.request.app;
    let made: Vec<ReleaseNumber> = launchway_control::releases::list(&web.control, app, 20)
        .await?
        .into_iter()
        .filter(|release| release.build == build.id)
        .map(|release| release.number)
        .collect();
    if made.is_empty() {
        return Ok(Vec::new());
    }
    let mut deploys = deploys::list(&web.control, app, 20).await?;
    deploys.retain(|deploy| made.contains(&deploy.release));
    Ok(deploys)
}
