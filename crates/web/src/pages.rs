//! The pages for people: rendered here, readable without a script, kept up to date by one where there is one.
//!
//! Each page is a struct made from the model's types alone, so that it can be rendered with sample data; the handlers
//! at the end of each module ask control for the data. Forms post to the same addresses and answer with a redirect.

pub mod access;
pub mod agents;
pub mod alerts;
pub mod app;
pub mod big_log;
pub mod branches;
pub mod build;
pub mod build_results;
pub mod credentials;
pub mod cron;
pub mod deploy;
pub mod findings;
pub mod log;
pub mod login;
pub mod overview;
pub mod parts;
pub mod pipeline;
pub mod release;
pub mod settings;
pub mod tests_page;

mod actions;
mod live;

use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use launchway_model::{Problem, ProblemKind};

use crate::html::Html;
use crate::{Web, assets, auth};

pub use launchway_control::monitoring::Sample;

/// What the frame around every page needs.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// The title in the browser's tab.
    pub title: String,
    /// Which part of the navigation is marked: `apps`, `builds`, `alerts`, `credentials`, `access`, or none.
    pub section: &'static str,
    /// A line on what was just done.
    pub notice: Option<String>,
    /// After how many seconds the page loads itself anew where there is no script.
    pub refresh: Option<u32>,
    /// The address of the stream that keeps the page up to date.
    pub stream: Option<String>,
    /// Whether somebody is logged in.
    pub known: bool,
}

impl Frame {
    /// A frame for somebody who is logged in.
    pub fn new(title: impl Into<String>, section: &'static str) -> Self {
        Self {
            title: title.into(),
            section,
            known: true,
            ..Self::default()
        }
    }

    /// The address of a file of ours.
    pub(crate) fn asset(&self, name: &str) -> &'static str {
        assets::address(name)
    }

    /// Launchway's version.
    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// The page for what went wrong.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// The frame.
    pub frame: Frame,
    /// The status, as a heading.
    pub status: u16,
    /// What went wrong.
    pub problem: Html,
}

impl ErrorPage {
    /// The page for a problem.
    pub fn new(problem: &Problem) -> Self {
        let title = match problem.kind {
            ProblemKind::NotFound => "Not found",
            ProblemKind::Unauthenticated => "Not allowed",
            ProblemKind::Unavailable => "Not available",
            ProblemKind::Internal => "A fault of our own",
            _ => "That did not work",
        };
        Self {
            frame: Frame::new(title, ""),
            status: problem.kind.status(),
            problem: parts::problem(problem),
        }
    }
}

/// Answers with the page for a problem.
pub(crate) fn error(problem: &Problem) -> Response {
    crate::problem::note(problem);
    let mut response = show(&ErrorPage::new(problem));
    *response.status_mut() = crate::problem::status(problem.kind);
    response
}

/// A problem on its way to a person.
#[derive(Debug)]
pub(crate) struct PageProblem(Problem);

impl From<Problem> for PageProblem {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<crate::problem::ApiProblem> for PageProblem {
    fn from(problem: crate::problem::ApiProblem) -> Self {
        Self(problem.0)
    }
}

impl IntoResponse for PageProblem {
    fn into_response(self) -> Response {
        error(&self.0)
    }
}

/// Answers with a page.
pub(crate) fn show(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            )],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Renders a part of a page; a template that fails leaves it empty and a line in our log.
pub(crate) fn part(template: &impl Template) -> Html {
    match template.render() {
        Ok(text) => Html::trusted(text),
        Err(error) => {
            tracing::error!(%error, "a part of a page cannot be rendered");
            Html::default()
        }
    }
}

/// After a form: to the page that shows its effect.
pub(crate) fn see(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// The assets and the pages' style and script alone, for showing pages without a control.
pub fn asset_routes() -> Router {
    Router::new().route("/assets/{file}", get(assets::serve))
}

/// All routes of pages.
pub(crate) fn routes(web: &Web) -> Router<Web> {
    let people = Router::new()
        .route("/", get(overview::show))
        .route("/live", get(live::all))
        .route("/alerts", get(alerts::show))
        .route("/alerts/live", get(live::alerts))
        .route("/apps", get(|| async { Redirect::permanent("/") }))
        .route("/apps/{app}", get(app::show))
        .route("/apps/{app}/live", get(live::app))
        .route("/apps/{app}/history", get(app::show_history))
        .route("/apps/{app}/releases/{release}", get(release::show))
        .route("/apps/{app}/branches", get(branches::show))
        .route("/apps/{app}/branches/look", post(branches::look))
        .route("/apps/{app}/pipeline", get(pipeline::show))
        .route("/apps/{app}/builds", post(pipeline::build_now))
        .route("/apps/{app}/tests", get(tests_page::show))
        .route("/apps/{app}/logs", get(log::show))
        .route("/apps/{app}/logs/live", get(live::logs))
        .route("/apps/{app}/settings", get(settings::show))
        .route("/apps/{app}/restart", post(actions::restart))
        .route("/apps/{app}/stop", post(actions::stop))
        .route("/apps/{app}/start", post(actions::start))
        .route("/apps/{app}/scale", post(actions::scale))
        .route("/apps/{app}/rollback", post(actions::rollback))
        .route("/apps/{app}/redeploy", post(actions::redeploy))
        .route("/apps/{app}/config", post(actions::change_config))
        .route("/apps/{app}/domains", post(actions::change_domains))
        .route("/apps/{app}/delete", post(actions::delete))
        .route("/builds", get(build::show_all))
        .route("/builds/{build}", get(build::show))
        .route("/builds/{build}/live", get(live::build))
        .route("/builds/{build}/cancel", post(actions::cancel_build))
        .route("/builds/{build}/stages/{stage}/log", get(log::show_stage))
        .route("/builds/{build}/stages/{stage}", get(big_log::show))
        .route("/builds/{build}/results", get(build_results::live_panel))
        .route(
            "/builds/{build}/requests/{request}",
            post(build_results::answer),
        )
        .route(
            "/builds/{build}/artifacts/{*path}",
            get(build_results::artifact),
        )
        .route(
            "/builds/{build}/reports/{key}",
            get(build_results::open_report),
        )
        .route("/deploys/{deploy}", get(deploy::show))
        .route("/deploys/{deploy}/live", get(live::deploy))
        .route("/deploys/{deploy}/cancel", post(actions::cancel_deploy))
        .route("/agents", get(agents::show).post(agents::create))
        .route("/agents/{agent}/switch", post(agents::switch))
        .route("/agents/{agent}/revoke", post(agents::revoke))
        .route(
            "/credentials",
            get(credentials::show).post(credentials::set),
        )
        .route("/credentials/remove", post(credentials::remove))
        .route("/deploys/{deploy}/promote", post(actions::promote_deploy))
        .route("/apps/{app}/cron", get(cron::show))
        .route("/apps/{app}/cron/{job}/run", post(actions::run_job))
        .route("/access", get(access::show))
        .route("/access/tokens", post(access::create))
        .route("/access/tokens/{token}/revoke", post(access::revoke))
        .route("/logout", post(login::logout))
        .layer(middleware::from_fn_with_state(
            web.clone(),
            auth::for_people,
        ));
    Router::new()
        .merge(people)
        .route(
            "/reports/{build}/{key}/{seal}/{*path}",
            get(build_results::report),
        )
        .route("/login", get(login::show).post(login::enter))
        .route("/assets/{file}", get(assets::serve))
        .fallback(unknown)
}

async fn unknown(uri: Uri) -> PageProblem {
    Problem::not_found(format!("there is no page at {}", uri.path()))
        .hint("All apps are listed on the first page.")
        .into()
}

#[cfg(test)]
mod tests;
