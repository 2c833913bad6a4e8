//! Who may use this installation: tokens, and links that log a browser in.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::auth;
use launchway_model::Problem;
use launchway_model::api::Token;

use super::actions::Posted;
use super::app::Done;
use super::{Frame, PageProblem, see};
use crate::Web;
use crate::extract::Param;
use crate::html::{self, Html};

/// The page.
#[derive(Template)]
#[template(path = "access.html")]
pub struct AccessPage {
    frame: Frame,
    tokens: Vec<(u64, String, Html)>,
    made: Option<(String, String)>,
}

impl AccessPage {
    /// The page with all tokens; `made` is the name and the text of one that was just made.
    pub fn new(tokens: &[Token], made: Option<(String, String)>, now: Timestamp) -> Self {
        Self {
            frame: Frame::new("Access", "access"),
            tokens: tokens
                .iter()
                .map(|token| {
                    (
                        token.id,
                        token.name.clone(),
                        html::ago(&token.created, &now),
                    )
                })
                .collect(),
            made,
        }
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Query(done): Query<Done>,
) -> Result<Response, PageProblem> {
    let tokens = auth::tokens(&web.control).await?;
    let mut page = AccessPage::new(&tokens, None, Timestamp::now());
    page.frame.notice = done.words();
    Ok(super::show(&page))
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct NewName {
    name: String,
}

/// The answer is the page itself, since the token is shown this once.
pub(super) async fn create(
    State(web): State<Web>,
    Posted(NewName { name }): Posted<NewName>,
) -> Result<Response, PageProblem> {
    let name = name.trim().to_owned();
    if name.is_empty() {
        return Err(Problem::invalid("a token needs a name")
            .hint("Name what it is for: `ci`, `laptop`.")
            .into());
    }
    let made = auth::create_token(&web.control, &name).await?;
    let tokens = auth::tokens(&web.control).await?;
    Ok(super::show(&AccessPage::new(
        &tokens,
        Some((name, made.token)),
        Timestamp::now(),
    )))
}

pub(super) async fn revoke(
    State(web): State<Web>,
    Param(id): Param<u64>,
) -> Result<Response, PageProblem> {
    auth::revoke_token(&web.control, id).await?;
    Ok(see("/access?done=revoked"))
}
