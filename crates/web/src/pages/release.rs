//! One release: what it is made of, and what is known of its dependencies now.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{apps, releases, scans};
use launchway_model::api::App;
use launchway_model::deploy::{Release, ReleaseState};
use launchway_model::scan::ScanReport;
use launchway_model::{AppName, ReleaseNumber};

use super::app::Head;
use super::parts::{self, ReleaseRow};
use super::{Frame, PageProblem, findings};
use crate::Web;
use crate::extract::Params;
use crate::html::Html;

/// The page.
#[derive(Template)]
#[template(path = "release.html")]
pub struct ReleasePage {
    frame: Frame,
    head: Html,
    release: ReleaseRow,
    config: u64,
    processes: Vec<(String, String)>,
    sources: String,
    problem: Option<Html>,
    findings: Option<Html>,
}

impl ReleasePage {
    /// The page of a release with what a scan of its tree found.
    pub fn new(app: &App, release: &Release, scan: Option<&ScanReport>, now: Timestamp) -> Self {
        Self {
            frame: Frame::new(format!("{} {}", app.name, release.number), "apps"),
            head: super::part(&Head::new(app, "history")),
            release: ReleaseRow::new(release, &now),
            config: release.config_version,
            processes: release
                .spec
                .processes
                .iter()
                .map(|(name, process)| (name.to_string(), process.command.clone()))
                .collect(),
            sources: release.spec.sources.join(", "),
            problem: match &release.state {
                ReleaseState::Refused { problem } => Some(parts::problem(problem)),
                _ => None,
            },
            findings: scan.map(|report| findings::panel("Dependencies", report, &now)),
        }
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Params(name, number): Params<AppName, ReleaseNumber>,
) -> Result<Response, PageProblem> {
    let app = apps::get(&web.control, &name).await?;
    let release = releases::get(&web.control, &name, number).await?;
    let scan = scans::of_release(&web.control, &name, number).await?;
    let page = ReleasePage::new(&app, &release, scan.as_ref(), Timestamp::now());
    Ok(super::show(&page))
}
