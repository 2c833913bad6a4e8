//! The first page: all apps, and what was built last.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{apps, builds, monitoring, status};
use launchway_model::AppName;
use launchway_model::alert::Alert;
use launchway_model::api::{App, Status};
use launchway_model::build::Build;

use super::parts::{self, BuildRow};
use super::{Frame, PageProblem, Sample, alerts};
use crate::Web;
use crate::format;
use crate::html::{self, Html};

/// How many builds are shown.
const BUILDS: u32 = 8;

/// The page.
#[derive(Template)]
#[template(path = "overview.html")]
pub struct Overview {
    frame: Frame,
    apps: Vec<AppRow>,
    builds: Vec<BuildRow>,
    git: String,
    alerts: Html,
    proxy_missing: bool,
}

struct AppRow {
    name: String,
    state: Html,
    url: Option<String>,
    release: Option<(String, Html, String, Html)>,
    instances: String,
    rate: String,
    graph: Html,
    mean: String,
    memory: String,
}

impl AppRow {
    fn new(app: &App, samples: &[Sample], now: &Timestamp) -> Self {
        let sample = Sample::of(app);
        let rates: Vec<f64> = samples.iter().map(|s| s.requests_per_second).collect();
        Self {
            name: app.name.to_string(),
            state: parts::app_state(app).badge(),
            url: app.urls.first().cloned(),
            release: app.release.as_ref().map(|release| {
                (
                    release.number.to_string(),
                    html::commit(&release.commit),
                    release.subject.clone(),
                    html::ago(&release.created, now),
                )
            }),
            instances: parts::instance_count(app),
            rate: app
                .traffic
                .map_or_else(|| "–".to_owned(), |t| format::rate(t.requests_per_second)),
            graph: html::sparkline(&rates, "Requests per second over the last ten minutes"),
            mean: match app.traffic {
                Some(traffic) if traffic.requests_per_second > 0.0 => {
                    format!("{} ms", format::rate(traffic.mean_ms))
                }
                _ => "–".to_owned(),
            },
            memory: match sample.memory_bytes {
                0 => "–".to_owned(),
                bytes => format::bytes(bytes),
            },
        }
    }
}

impl Overview {
    /// The page of an installation's state.
    pub fn new(
        status: &Status,
        apps: &[App],
        builds: &[Build],
        samples: &HashMap<AppName, Vec<Sample>>,
        now: Timestamp,
    ) -> Self {
        let none = Vec::new();
        Self {
            frame: Frame {
                refresh: Some(30),
                stream: Some("/live".to_owned()),
                ..Frame::new("Apps", "apps")
            },
            apps: apps
                .iter()
                .map(|app| AppRow::new(app, samples.get(&app.name).unwrap_or(&none), &now))
                .collect(),
            builds: builds
                .iter()
                .map(|build| BuildRow::new(build, &now))
                .collect(),
            git: format!("{}/git/NAME.git", status.url),
            alerts: Html::default(),
            proxy_missing: status.proxy.is_empty(),
        }
    }

    /// Shows the alerts that are open.
    #[must_use]
    pub fn with_alerts(mut self, open: &[Alert], now: &Timestamp) -> Self {
        self.alerts = alerts::banner(open, true, now);
        self
    }

    /// The parts that change by themselves, by the id of their element.
    pub(super) fn fragments(&self) -> Vec<(String, Html)> {
        vec![
            ("alerts".to_owned(), self.alerts.clone()),
            (
                "apps".to_owned(),
                super::part(&AppTable { apps: &self.apps }),
            ),
            (
                "builds".to_owned(),
                super::part(&parts::BuildTable {
                    builds: &self.builds,
                    with_app: true,
                    brief: false,
                }),
            ),
        ]
    }

    fn app_table(&self) -> Html {
        super::part(&AppTable { apps: &self.apps })
    }

    fn build_table(&self) -> Html {
        super::part(&parts::BuildTable {
            builds: &self.builds,
            with_app: true,
            brief: false,
        })
    }
}

#[derive(Template)]
#[template(path = "apps_table.html")]
struct AppTable<'a> {
    apps: &'a [AppRow],
}

/// Asks control for the page's data.
pub(super) async fn load(web: &Web) -> Result<Overview, PageProblem> {
    let status = status::get(&web.control).await?;
    let apps = apps::list(&web.control).await?;
    let builds = builds::list(&web.control, None, BUILDS).await?;
    let samples = monitoring::history(&web.control).await?;
    let open = alerts::open(web, None).await?;
    let now = Timestamp::now();
    Ok(Overview::new(&status, &apps, &builds, &samples, now).with_alerts(&open, &now))
}

pub(super) async fn show(State(web): State<Web>) -> Result<Response, PageProblem> {
    Ok(super::show(&load(&web).await?))
}
