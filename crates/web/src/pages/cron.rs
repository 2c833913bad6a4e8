//! What an app does by the clock: its jobs, and how their runs went.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{apps, cron};
use launchway_model::AppName;
use launchway_model::api::App;
use launchway_model::cron::{CronJob, CronRun, CronState};

use super::app::Head;
use super::{Frame, PageProblem};
use crate::Web;
use crate::extract::Param;
use crate::format;
use crate::html::{self, Html, State as Word, Tone};

/// How many runs the page shows.
const RUNS: u32 = 50;

struct JobRow {
    name: String,
    schedule: String,
    zone: Option<String>,
    command: String,
    next: String,
    last: Option<Html>,
}

struct RunRow {
    id: u64,
    job: String,
    state: Html,
    detail: String,
    due: Html,
    took: String,
    instance: Option<String>,
}

/// The page.
#[derive(Template)]
#[template(path = "cron.html")]
pub struct CronPage {
    frame: Frame,
    head: Html,
    app: String,
    jobs: Vec<JobRow>,
    runs: Vec<RunRow>,
}

impl CronPage {
    /// The page of an app with its jobs and their runs.
    pub fn new(app: &App, jobs: &[CronJob], runs: &[CronRun], now: Timestamp) -> Self {
        Self {
            frame: Frame::new(format!("{}: jobs", app.name), "apps"),
            head: super::part(&Head::new(app, "cron")),
            app: app.name.to_string(),
            jobs: jobs
                .iter()
                .map(|job| JobRow {
                    name: job.spec.name.to_string(),
                    schedule: job.spec.schedule.clone(),
                    zone: job.spec.time_zone.clone(),
                    command: job.spec.command.clone(),
                    next: job.next.map_or_else(
                        || "never".to_owned(),
                        |next| {
                            let left = next.duration_since(now).unsigned_abs().as_millis();
                            format!("in {}", format::millis(u64::try_from(left).unwrap_or(0)))
                        },
                    ),
                    last: job.last.as_ref().map(|last| word(last.state).badge()),
                })
                .collect(),
            runs: runs
                .iter()
                .map(|run| RunRow {
                    id: run.id,
                    job: run.job.to_string(),
                    state: word(run.state).badge(),
                    detail: run.detail.clone(),
                    due: html::ago(&run.due, &now),
                    took: run.ended.map_or_else(String::new, |ended| {
                        let took = ended.duration_since(run.due).unsigned_abs().as_millis();
                        format::millis(u64::try_from(took).unwrap_or(0))
                    }),
                    instance: run.instance.as_ref().map(ToString::to_string),
                })
                .collect(),
        }
    }
}

fn word(state: CronState) -> Word {
    let tone = match state {
        CronState::Running => Tone::Busy,
        CronState::Succeeded => Tone::Good,
        CronState::Failed | CronState::TimedOut | CronState::Lost => Tone::Bad,
        CronState::Replaced | CronState::Missed => Tone::Warn,
        CronState::Skipped => Tone::Idle,
    };
    Word::new(tone, state.word())
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(name): Param<AppName>,
) -> Result<Response, PageProblem> {
    let app = apps::get(&web.control, &name).await?;
    let jobs = cron::list(&web.control, &name).await?;
    let runs = cron::history(&web.control, &name, None, RUNS).await?;
    let page = CronPage::new(&app, &jobs, &runs, Timestamp::now());
    Ok(super::show(&page))
}
