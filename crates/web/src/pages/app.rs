//! One app: how it is, what runs, what was released, deployed and built.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{apps, builds, deploys, monitoring, releases};
use launchway_model::api::App;
use launchway_model::build::Build;
use launchway_model::deploy::{Deploy, DeployState, Release};
use launchway_model::{AppName, alert};

use super::parts::{self, BuildRow, BuildTable, DeployRow, InstanceRow, ReleaseRow, ScaleRow};
use super::{Frame, PageProblem, Sample, alerts};
use crate::Web;
use crate::extract::Param;
use crate::format;
use crate::html::{self, Html};

/// How many releases, deploys and builds the first page of an app shows.
const FEW: u32 = 5;
/// How many its history shows.
const MANY: u32 = 50;

/// The heading that all pages of an app share.
#[derive(Template)]
#[template(path = "app_head.html")]
pub(super) struct Head {
    name: String,
    state: Html,
    urls: Vec<String>,
    branch: String,
    stopped: bool,
    deployed: bool,
    tab: &'static str,
}

impl Head {
    /// The heading of an app; `tab` is the page of the app that is shown.
    pub(super) fn new(app: &App, tab: &'static str) -> Self {
        Self {
            name: app.name.to_string(),
            state: parts::app_state(app).badge(),
            urls: app.urls.clone(),
            branch: app.branch.clone(),
            stopped: app.stopped,
            deployed: app.release.is_some(),
            tab,
        }
    }
}

/// The numbers of an app, with their graphs.
#[derive(Template)]
#[template(path = "app_stats.html")]
struct Stats {
    stats: Vec<Stat>,
}

struct Stat {
    name: &'static str,
    value: String,
    unit: &'static str,
    note: Html,
    graph: Html,
}

impl Stats {
    fn new(app: &App, samples: &[Sample], now: &Timestamp) -> Self {
        let last = Sample::of(app);
        let graph = |name: &str, of: fn(&Sample) -> f64| {
            let values: Vec<f64> = samples.iter().map(of).collect();
            html::sparkline(&values, &format!("{name} over the last ten minutes"))
        };
        let in_flight = app.traffic.map_or(0, |traffic| traffic.in_flight);
        let known = app.traffic.is_some();
        let or_dash = |text: String| if known { text } else { "–".to_owned() };
        let mut stats = vec![Stat {
            name: "Release",
            value: app
                .release
                .as_ref()
                .map_or_else(|| "–".to_owned(), |r| r.number.to_string()),
            unit: "",
            note: app.release.as_ref().map_or_else(Html::default, |release| {
                Html::trusted(format!(
                    "{} {}",
                    html::commit(&release.commit),
                    html::ago(&release.created, now)
                ))
            }),
            graph: Html::default(),
        }];
        stats.extend([
            Stat {
                name: "Requests",
                value: or_dash(format::rate(last.requests_per_second)),
                unit: "/s",
                note: Html::text(&format!("{in_flight} in flight")),
                graph: graph("Requests per second", |s| s.requests_per_second),
            },
            Stat {
                name: "Errors",
                value: or_dash(format::percent(last.error_ratio)),
                unit: "",
                note: Html::text("answers of status 5xx"),
                graph: graph("Share of errors", |s| s.error_ratio),
            },
            Stat {
                name: "Mean time",
                value: or_dash(format::rate(last.mean_ms)),
                unit: " ms",
                note: Html::text("per request"),
                graph: graph("Mean time", |s| s.mean_ms),
            },
            Stat {
                name: "Memory",
                value: match last.memory_bytes {
                    0 => "–".to_owned(),
                    bytes => format::bytes(bytes),
                },
                unit: "",
                note: Html::text(&format!("{} instances", parts::instance_count(app))),
                graph: graph("Memory", |s| s.memory_bytes as f64),
            },
        ]);
        Self { stats }
    }
}

#[derive(Template)]
#[template(path = "instances_table.html")]
struct Instances {
    name: String,
    instances: Vec<InstanceRow>,
    stopped: bool,
    deployed: bool,
    files: bool,
}

impl Instances {
    fn new(app: &App, now: &Timestamp) -> Self {
        Self {
            name: app.name.to_string(),
            instances: app
                .instances
                .iter()
                .map(|instance| InstanceRow::new(instance, now))
                .collect(),
            stopped: app.stopped,
            deployed: app.release.is_some(),
            files: app
                .release
                .as_ref()
                .is_some_and(|release| release.spec.files.is_some()),
        }
    }
}

/// A table of releases, with a way back to each.
#[derive(Template)]
#[template(path = "releases_table.html")]
struct ReleaseTable<'a> {
    app: &'a str,
    releases: &'a [ReleaseRow],
}

/// A table of deploys.
#[derive(Template)]
#[template(path = "deploys_table.html")]
struct DeployTable<'a> {
    deploys: &'a [DeployRow],
}

/// What a person should see first: a deploy that is under way, or the last one where it failed.
#[derive(Template)]
#[template(path = "app_alert.html")]
struct Alert {
    running: Option<(u64, Html)>,
    failed: Option<(u64, String, Html)>,
    deployed: bool,
}

impl Alert {
    fn new(app: &App, newest: Option<&Deploy>) -> Self {
        Self {
            running: newest
                .filter(|deploy| matches!(deploy.state, DeployState::Running { .. }))
                .map(|deploy| (deploy.id.0, parts::deploy_state(deploy).badge())),
            failed: newest.and_then(|deploy| match &deploy.state {
                DeployState::Failed { problem, .. } => Some((
                    deploy.id.0,
                    deploy.release.to_string(),
                    parts::problem(problem),
                )),
                _ => None,
            }),
            deployed: app.release.is_some(),
        }
    }
}

/// The first page of an app.
#[derive(Template)]
#[template(path = "app.html")]
pub struct AppPage {
    frame: Frame,
    name: String,
    head: Html,
    state: Html,
    alerts: Html,
    alert: Html,
    stats: Html,
    instances: Html,
    scale: Vec<ScaleRow>,
    releases: Html,
    deploys: Html,
    builds: Html,
    deployed: bool,
}

impl AppPage {
    /// The page of an app with its newest releases, deploys and builds.
    pub fn new(
        app: &App,
        releases: &[Release],
        deploys: &[Deploy],
        builds: &[Build],
        samples: &[Sample],
        now: Timestamp,
    ) -> Self {
        let name = app.name.to_string();
        Self {
            frame: Frame {
                refresh: Some(15),
                stream: Some(format!("/apps/{name}/live")),
                ..Frame::new(name.clone(), "apps")
            },
            head: super::part(&Head::new(app, "overview")),
            state: parts::app_state(app).badge(),
            alerts: Html::default(),
            alert: super::part(&Alert::new(app, deploys.first())),
            stats: super::part(&Stats::new(app, samples, &now)),
            instances: super::part(&Instances::new(app, &now)),
            scale: app
                .formation
                .iter()
                .map(|(process, wanted)| ScaleRow {
                    process: process.clone(),
                    wanted: *wanted,
                })
                .collect(),
            releases: release_table(&name, releases, &now),
            deploys: deploy_table(deploys, &now),
            builds: build_table(builds, true, &now),
            deployed: app.release.is_some(),
            name,
        }
    }

    /// Shows the alerts of the app that are open.
    #[must_use]
    pub fn with_alerts(mut self, open: &[alert::Alert], now: &Timestamp) -> Self {
        self.alerts = alerts::banner(open, false, now);
        self
    }

    /// Says what was just done.
    fn notice(mut self, notice: Option<String>) -> Self {
        self.frame.notice = notice;
        self
    }

    /// The parts that change by themselves, by the id of their element.
    pub(super) fn fragments(self) -> Vec<(String, Html)> {
        [
            ("app-state", self.state),
            ("alerts", self.alerts),
            ("app-alert", self.alert),
            ("app-stats", self.stats),
            ("app-instances", self.instances),
            ("app-releases", self.releases),
            ("app-deploys", self.deploys),
            ("app-builds", self.builds),
        ]
        .map(|(id, html)| (id.to_owned(), html))
        .to_vec()
    }
}

/// Asks control for the page's data.
pub(super) async fn load(web: &Web, name: &AppName) -> Result<AppPage, PageProblem> {
    let control = &web.control;
    let app = apps::get(control, name).await?;
    let releases = releases::list(control, name, FEW).await?;
    let deploys = deploys::list(control, name, FEW).await?;
    let builds = builds::list(control, Some(name), FEW).await?;
    let history = monitoring::history(control).await?;
    let mut samples = history.get(name).cloned().unwrap_or_default();
    samples.push(Sample::of(&app));
    let open = alerts::open(web, Some(name)).await?;
    let now = Timestamp::now();
    let page = AppPage::new(&app, &releases, &deploys, &builds, &samples, now);
    Ok(page.with_alerts(&open, &now))
}

fn release_table(app: &str, releases: &[Release], now: &Timestamp) -> Html {
    let rows: Vec<ReleaseRow> = releases.iter().map(|r| ReleaseRow::new(r, now)).collect();
    super::part(&ReleaseTable {
        app,
        releases: &rows,
    })
}

fn deploy_table(deploys: &[Deploy], now: &Timestamp) -> Html {
    let rows: Vec<DeployRow> = deploys.iter().map(|d| DeployRow::new(d, now)).collect();
    super::part(&DeployTable { deploys: &rows })
}

fn build_table(builds: &[Build], brief: bool, now: &Timestamp) -> Html {
    let rows: Vec<BuildRow> = builds.iter().map(|b| BuildRow::new(b, now)).collect();
    super::part(&BuildTable {
        builds: &rows,
        with_app: false,
        brief,
    })
}

/// All that an app went through.
#[derive(Template)]
#[template(path = "history.html")]
pub struct HistoryPage {
    frame: Frame,
    head: Html,
    releases: Html,
    deploys: Html,
    builds: Html,
}

impl HistoryPage {
    /// The page of an app with many releases, deploys and builds.
    pub fn new(
        app: &App,
        releases: &[Release],
        deploys: &[Deploy],
        builds: &[Build],
        now: Timestamp,
    ) -> Self {
        Self {
            frame: Frame::new(format!("{}: history", app.name), "apps"),
            head: super::part(&Head::new(app, "history")),
            releases: release_table(app.name.as_str(), releases, &now),
            deploys: deploy_table(deploys, &now),
            builds: build_table(builds, false, &now),
        }
    }
}

/// `?done=WORD`: what a form did before it led here.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Done {
    done: Option<String>,
}

impl Done {
    /// In words; only words of ours are ever shown.
    pub(super) fn words(&self) -> Option<String> {
        let words = match self.done.as_deref()? {
            "stopped" => "The app was stopped. Its addresses answer 503 until it is started.",
            "started" => "The app was started.",
            "restarted" => "The instances are being replaced.",
            "scaled" => "The number of instances was changed.",
            "config" => "The configuration was changed.",
            "domains" => "The host names were changed.",
            "cancelled" => "It was cancelled.",
            "revoked" => "The token is not valid any more.",
            "looked" => "The remote was looked at.",
            "credential" => "The credential is stored.",
            "forgotten" => "The credential is removed.",
            _ => return None,
        };
        Some(words.to_owned())
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(name): Param<AppName>,
    Query(done): Query<Done>,
) -> Result<Response, PageProblem> {
    let page = load(&web, &name).await?;
    Ok(super::show(&page.notice(done.words())))
}

pub(super) async fn show_history(
    State(web): State<Web>,
    Param(name): Param<AppName>,
) -> Result<Response, PageProblem> {
    let control = &web.control;
    let app = apps::get(control, &name).await?;
    let releases = releases::list(control, &name, MANY).await?;
    let deploys = deploys::list(control, &name, MANY).await?;
    let builds = builds::list(control, Some(&name), MANY).await?;
    let page = HistoryPage::new(&app, &releases, &deploys, &builds, Timestamp::now());
    Ok(super::show(&page))
}
