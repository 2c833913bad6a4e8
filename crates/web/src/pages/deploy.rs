//! One deploy: its phases, and why it failed where it did.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{deploys, releases};
use launchway_model::DeployId;
use launchway_model::deploy::{Deploy, DeployPhase, DeployState, PhaseLine, Release};

use super::app::Done;
use super::{Frame, PageProblem, parts};
use crate::Web;
use crate::extract::Param;
use crate::format;
use crate::html::{self, Html, Tone};

const PHASES: [(DeployPhase, &str, &str); 10] = [
    (
        DeployPhase::Queued,
        "Queue",
        "waits for the app's running deploy",
    ),
    (
        DeployPhase::Validate,
        "Validate",
        "variables, ports and tree are checked",
    ),
    (
        DeployPhase::Release,
        "Release command",
        "runs once, before new instances",
    ),
    (
        DeployPhase::Once,
        "Once command",
        "runs once in the app's life, such as a seed",
    ),
    (
        DeployPhase::Start,
        "Start",
        "new instances, beside the old ones",
    ),
    (
        DeployPhase::Ready,
        "Health checks",
        "the new instances must answer",
    ),
    (
        DeployPhase::Canary,
        "Canary",
        "a part of the requests, step by step",
    ),
    (
        DeployPhase::Switch,
        "Switch",
        "the proxy takes the new table",
    ),
    (
        DeployPhase::Verify,
        "Verify",
        "a command and the proxy's counters, while the old ones still run",
    ),
    (
        DeployPhase::Drain,
        "Drain",
        "old instances end their requests and stop",
    ),
];

/// The phases of a deploy as steps.
#[derive(Template)]
#[template(path = "phases.html")]
struct Phases {
    phases: Vec<PhaseView>,
}

struct PhaseView {
    name: &'static str,
    what: &'static str,
    class: &'static str,
    mark: Html,
    time: Html,
}

/// The phases of a deploy, also pushed to pages when they change.
pub(super) fn phases(deploy: &Deploy, now: &Timestamp) -> Html {
    let failed_in = match &deploy.state {
        DeployState::Failed { phase, .. } => Some(*phase),
        _ => None,
    };
    let running_in = match &deploy.state {
        DeployState::Running { phase } => Some(*phase),
        _ => None,
    };
    let phases = PHASES
        .into_iter()
        .map(|(phase, name, what)| {
            let record = deploy.phases.iter().find(|record| record.phase == phase);
            let (tone, word) = match record {
                _ if failed_in == Some(phase) => (Tone::Bad, "failed"),
                _ if running_in == Some(phase) => (Tone::Busy, "under way"),
                Some(_) => (Tone::Good, "done"),
                None if deploy.state == DeployState::Succeeded => (Tone::Idle, "not needed"),
                None => (Tone::Idle, "not begun"),
            };
            PhaseView {
                name,
                what,
                class: tone.class(),
                mark: html::State::new(tone, word).mark(),
                time: match record {
                    Some(record) => match record.millis {
                        Some(millis) => Html::text(&format::millis(millis)),
                        None if running_in == Some(phase) => html::elapsed(&record.since, now),
                        None => Html::default(),
                    },
                    None => Html::default(),
                },
            }
        })
        .collect();
    super::part(&Phases { phases })
}

/// A line of the log of the phases.
pub(super) fn line(phase: Option<DeployPhase>, text: &str) -> String {
    let phase = phase.unwrap_or(DeployPhase::Release);
    let name = PHASES
        .iter()
        .find(|(known, ..)| *known == phase)
        .map_or("", |(_, name, _)| name);
    let text = crate::ansi::Ansi::default().line(text);
    format!("<div class=\"ln\"><span><b class=\"muted\">{name}</b> {text}</span></div>")
}

/// The page of one deploy.
#[derive(Template)]
#[template(path = "deploy.html")]
pub struct DeployPage {
    frame: Frame,
    id: u64,
    app: String,
    state: Html,
    release: String,
    build: Option<u64>,
    commit: Html,
    subject: String,
    cause: String,
    asked: Html,
    time: Html,
    phases: Html,
    problem: Option<Html>,
    live: bool,
    /// Whether it can be promoted.
    canary: bool,
    log: Html,
}

impl DeployPage {
    /// The page of a deploy with its release.
    pub fn new(deploy: &Deploy, release: Option<&Release>, now: Timestamp) -> Self {
        let live = matches!(deploy.state, DeployState::Running { .. });
        Self {
            frame: Frame {
                refresh: live.then_some(2),
                stream: live.then(|| format!("/deploys/{}/live", deploy.id.0)),
                ..Frame::new(format!("Deploy {} of {}", deploy.id, deploy.app), "apps")
            },
            id: deploy.id.0,
            app: deploy.app.to_string(),
            state: parts::deploy_state(deploy).badge(),
            release: deploy.release.to_string(),
            build: release.map(|release| release.build.0),
            commit: release.map_or_else(Html::default, |release| html::commit(&release.commit)),
            subject: release.map_or_else(String::new, |release| release.subject.clone()),
            cause: release.map_or_else(String::new, |release| release.cause.clone()),
            asked: html::ago(&deploy.created, &now),
            time: parts::deploy_time(deploy, &now),
            phases: phases(deploy, &now),
            problem: match &deploy.state {
                DeployState::Failed { problem, .. } => Some(parts::problem(problem)),
                _ => None,
            },
            live,
            canary: matches!(
                deploy.state,
                DeployState::Running {
                    phase: DeployPhase::Canary
                }
            ),
            log: Html::default(),
        }
    }

    /// With what was written down of its phases.
    #[must_use]
    pub fn log(mut self, lines: &[PhaseLine]) -> Self {
        // A page that is live gets all lines by its stream.
        if !self.live {
            let lines: String = lines
                .iter()
                .map(|written| line(Some(written.phase), &written.text))
                .collect();
            self.log = Html::trusted(lines);
        }
        self
    }

    fn notice(mut self, notice: Option<String>) -> Self {
        self.frame.notice = notice;
        self
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(id): Param<DeployId>,
    Query(done): Query<Done>,
) -> Result<Response, PageProblem> {
    let report = deploys::report(&web.control, id).await?;
    let deploy = report.deploy;
    let release = releases::get(&web.control, &deploy.app, deploy.release)
        .await
        .ok();
    let page = DeployPage::new(&deploy, release.as_ref(), Timestamp::now()).log(&report.log);
    Ok(super::show(&page.notice(done.words())))
}
