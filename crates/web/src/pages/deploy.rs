//! One deploy: its phases, and why it failed where it did.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{deploys, releases};
use launchway_model::DeployId;
use launchway_model::deploy::{Deploy, DeployPhase, DeployState, Release};

use super::app::Done;
use super::{Frame, PageProblem, parts};
use crate::Web;
use crate::extract::Param;
use crate::format;
use crate::html::{self, Html, Tone};

const PHASES: [(DeployPhase, &str, &str); 7] = [
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
        DeployPhase::Switch,
        "Switch",
        "the proxy takes the new table",
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
    command: Option<String>,
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
            command: release
                .and_then(|release| release.spec.release.as_ref())
                .map(|release| release.command.clone()),
        }
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
    let deploy = deploys::get(&web.control, id).await?;
    let release = releases::get(&web.control, &deploy.app, deploy.release)
        .await
        .ok();
    let page = DeployPage::new(&deploy, release.as_ref(), Timestamp::now());
    Ok(super::show(&page.notice(done.words())))
}
