//! The settings of one app: variables, host names, description, removal.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use launchway_control::{apps, config};
use launchway_model::AppName;
use launchway_model::api::{App, Config, Description};

use super::app::{Done, Head};
use super::{Frame, PageProblem};
use crate::Web;
use crate::extract::Param;
use crate::html::Html;

/// The page.
#[derive(Template)]
#[template(path = "settings.html")]
pub struct SettingsPage {
    frame: Frame,
    name: String,
    head: Html,
    version: u64,
    variables: Vec<String>,
    missing: Vec<(String, String)>,
    domains: Vec<String>,
    description: String,
}

impl SettingsPage {
    /// The page of an app. Of its configuration, names alone are shown: a page is easily seen by others.
    pub fn new(app: &App, config: &Config, description: &Description) -> Self {
        let required = app.release.as_ref().map(|release| &release.spec);
        Self {
            frame: Frame::new(format!("{}: settings", app.name), "apps"),
            name: app.name.to_string(),
            head: super::part(&Head::new(app, "settings")),
            version: config.version,
            variables: config.vars.keys().cloned().collect(),
            missing: required
                .into_iter()
                .flat_map(|spec| {
                    spec.required_env
                        .iter()
                        .filter(|(name, _)| !spec.env.contains_key(*name))
                })
                .filter(|(name, _)| !config.vars.contains_key(*name))
                .map(|(name, why)| (name.clone(), why.clone()))
                .collect(),
            domains: app.domains.clone(),
            description: description.toml.clone(),
        }
    }

    fn notice(mut self, notice: Option<String>) -> Self {
        self.frame.notice = notice;
        self
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(name): Param<AppName>,
    Query(done): Query<Done>,
) -> Result<Response, PageProblem> {
    let control = &web.control;
    let app = apps::get(control, &name).await?;
    let config = config::get(control, &name).await?;
    let description = apps::description(control, &name).await?;
    let page = SettingsPage::new(&app, &config, &description);
    Ok(super::show(&page.notice(done.words())))
}
