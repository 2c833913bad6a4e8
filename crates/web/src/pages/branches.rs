//! The branches, tags and pull requests of one app, with what starts their builds.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{apps, triggers};
use launchway_model::AppName;
use launchway_model::api::App;
use launchway_model::trigger::{Branch, BranchKind, Delivery, Triggers};

use super::app::{Done, Head};
use super::{Frame, PageProblem, see};
use crate::Web;
use crate::extract::Param;
use crate::html::{self, Html, State as Shown, Tone};

/// How many deliveries are shown.
const DELIVERIES: u32 = 15;

/// The page.
#[derive(Template)]
#[template(path = "branches.html")]
pub struct BranchesPage {
    frame: Frame,
    name: String,
    head: Html,
    remote: Option<String>,
    multibranch: bool,
    poll: Option<String>,
    hook: Option<String>,
    looked: Html,
    troubles: Vec<String>,
    branches: Vec<Row>,
    deliveries: Vec<(Html, String, String)>,
}

struct Row {
    name: String,
    kind: &'static str,
    title: String,
    link: Option<String>,
    fork: Option<String>,
    head: Html,
    build: Option<u64>,
    state: Html,
    skipped: Option<String>,
    preview: Option<String>,
    next: Option<String>,
    changed: Html,
}

impl BranchesPage {
    /// The page of an app.
    pub fn new(
        app: &App,
        triggers: &Triggers,
        branches: &[Branch],
        deliveries: &[Delivery],
        now: Timestamp,
    ) -> Self {
        let settings = &triggers.settings;
        let looking = triggers
            .trouble
            .iter()
            .map(|trouble| format!("The remote could not be read: {trouble}."));
        let telling = triggers.status_trouble.iter().map(|trouble| {
            format!(
                "{} commit statuses wait for the forge: {trouble}.",
                triggers.statuses_waiting
            )
        });
        Self {
            frame: Frame::new(format!("{}: branches", app.name), "apps"),
            name: app.name.to_string(),
            head: super::part(&Head::new(app, "branches")),
            remote: settings.remote.clone(),
            multibranch: settings.multibranch,
            poll: settings.poll.clone(),
            hook: triggers.has_secret.then(|| triggers.hook.clone()),
            looked: triggers
                .looked
                .map_or_else(|| Html::text("never"), |at| html::ago(&at, &now)),
            troubles: looking.chain(telling).collect(),
            branches: branches
                .iter()
                .map(|branch| Row::new(branch, now))
                .collect(),
            deliveries: deliveries
                .iter()
                .map(|one| {
                    (
                        html::ago(&one.at, &now),
                        one.event.clone(),
                        one.outcome.clone(),
                    )
                })
                .collect(),
        }
    }
}

impl Row {
    fn new(branch: &Branch, now: Timestamp) -> Self {
        let change = branch.change.as_ref();
        Self {
            name: branch.name.clone(),
            kind: match branch.kind {
                BranchKind::Branch => "branch",
                BranchKind::Change => "pull request",
                BranchKind::Tag => "tag",
            },
            title: change
                .map(|change| format!("{} → {}: {}", change.branch, change.target, change.title))
                .unwrap_or_default(),
            // An address of a stranger's is no link unless it is one of the web.
            link: change
                .map(|change| change.url.clone())
                .filter(|url| url.starts_with("https://") || url.starts_with("http://")),
            fork: change.and_then(|change| change.fork.clone()),
            head: html::commit(&branch.head),
            build: branch.build.map(|build| build.0),
            state: state(branch.result.as_deref()).badge(),
            skipped: branch.skipped.clone(),
            preview: branch.preview.as_ref().map(ToString::to_string),
            next: branch
                .next
                .map(|next| next.strftime("%F %H:%M UTC").to_string()),
            changed: html::ago(&branch.changed, &now),
        }
    }
}

fn state(result: Option<&str>) -> Shown {
    match result {
        None => Shown::new(Tone::Idle, "not built"),
        Some("queued") => Shown::new(Tone::Busy, "waits"),
        Some("running") => Shown::new(Tone::Busy, "running"),
        Some("success") => Shown::new(Tone::Good, "success"),
        Some("unstable") => Shown::new(Tone::Warn, "unstable"),
        Some("failure") => Shown::new(Tone::Bad, "failed"),
        Some("not_built") => Shown::new(Tone::Idle, "not built"),
        Some(_) => Shown::new(Tone::Idle, "cancelled"),
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(name): Param<AppName>,
    Query(done): Query<Done>,
) -> Result<Response, PageProblem> {
    let control = &web.control;
    let app = apps::get(control, &name).await?;
    let settings = triggers::get(control, &name).await?;
    let branches = triggers::branches(control, &name).await?;
    let deliveries = triggers::deliveries(control, &name, DELIVERIES).await?;
    let mut page = BranchesPage::new(&app, &settings, &branches, &deliveries, Timestamp::now());
    page.frame.notice = done.words();
    Ok(super::show(&page))
}

pub(super) async fn look(
    State(web): State<Web>,
    Param(name): Param<AppName>,
) -> Result<Response, PageProblem> {
    triggers::look_now(&web.control, &name).await?;
    Ok(see(&format!("/apps/{name}/branches?done=looked")))
}
