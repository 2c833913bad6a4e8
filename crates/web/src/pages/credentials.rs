//! Credentials: what there is, whom it is for; set and removed here, never shown.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::credentials;
use launchway_model::Problem;
use launchway_model::credential::{
    Credential, CredentialId, RemoveCredential, Secret, SetCredential,
};

use super::actions::Posted;
use super::app::Done;
use super::{Frame, PageProblem, see};
use crate::Web;
use crate::html::{self, Html};

/// The page.
#[derive(Template)]
#[template(path = "credentials.html")]
pub struct CredentialsPage {
    frame: Frame,
    rows: Vec<Row>,
}

struct Row {
    id: String,
    kind: &'static str,
    public: String,
    app: String,
    branches: String,
    description: String,
    changed: Html,
}

impl CredentialsPage {
    /// The page with all credentials.
    pub fn new(all: &[Credential], now: Timestamp) -> Self {
        Self {
            frame: Frame::new("Credentials", "credentials"),
            rows: all
                .iter()
                .map(|one| Row {
                    id: one.id.to_string(),
                    kind: one.kind.as_str(),
                    public: one.public.clone().unwrap_or_default(),
                    app: one
                        .app
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    branches: one.branches.join(" "),
                    description: one.description.clone(),
                    changed: html::ago(&one.changed, &now),
                })
                .collect(),
        }
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Query(done): Query<Done>,
) -> Result<Response, PageProblem> {
    let all = credentials::list(&web.control, None).await?;
    let mut page = CredentialsPage::new(&all, Timestamp::now());
    page.frame.notice = done.words();
    Ok(super::show(&page))
}

/// The form's fields; a password makes it one of a user, without one it is a text.
#[derive(serde::Deserialize)]
pub(super) struct Fields {
    id: String,
    #[serde(default)]
    app: String,
    #[serde(default)]
    branches: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    description: String,
}

fn id(text: &str) -> Result<CredentialId, Problem> {
    text.trim()
        .parse()
        .map_err(|error| Problem::invalid("the credential needs an id").caused_by(&error))
}

fn app(text: &str) -> Result<Option<launchway_model::AppName>, Problem> {
    match text.trim() {
        "" => Ok(None),
        name => name
            .parse()
            .map(Some)
            .map_err(|error| Problem::invalid("there is no such app").caused_by(&error)),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

pub(super) async fn set(
    State(web): State<Web>,
    Posted(fields): Posted<Fields>,
) -> Result<Response, PageProblem> {
    let secret = match fields.username.trim() {
        "" => Secret::String {
            text: fields.secret,
        },
        username => Secret::UsernamePassword {
            username: username.to_owned(),
            password: fields.secret,
        },
    };
    let request = SetCredential {
        id: id(&fields.id)?,
        app: app(&fields.app)?,
        branches: words(&fields.branches),
        description: fields.description,
        secret,
        short: false,
    };
    credentials::set(&web.control, request).await?;
    Ok(see("/credentials?done=credential"))
}

pub(super) async fn remove(
    State(web): State<Web>,
    Posted(fields): Posted<Fields>,
) -> Result<Response, PageProblem> {
    let request = RemoveCredential {
        id: id(&fields.id)?,
        app: app(&fields.app)?,
        branches: words(&fields.branches),
    };
    credentials::remove(&web.control, &request).await?;
    Ok(see("/credentials?done=forgotten"))
}
