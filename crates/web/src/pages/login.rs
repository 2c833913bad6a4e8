//! Logging in, by a one-time link or with a token, and logging out.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use launchway_control::auth as access;
use launchway_model::{Problem, ProblemKind};

use super::actions::Posted;
use super::{Frame, PageProblem, see};
use crate::{Web, auth};

/// The page that asks for a token.
#[derive(Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    frame: Frame,
    next: String,
    error: Option<String>,
}

impl LoginPage {
    /// The page; `next` is the path to go to afterwards.
    pub fn new(next: &str, error: Option<String>) -> Self {
        Self {
            frame: Frame {
                known: false,
                ..Frame::new("Log in", "")
            },
            next: next.to_owned(),
            error,
        }
    }
}

/// `?code=CODE`, `?next=PATH`
#[derive(Debug, serde::Deserialize)]
pub(super) struct Arrival {
    code: Option<String>,
    next: Option<String>,
}

pub(super) async fn show(
    State(web): State<Web>,
    Query(arrival): Query<Arrival>,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    let next = auth::own_path(arrival.next.as_deref());
    if let Some(code) = &arrival.code {
        return Ok(match access::redeem(&web.control, code).await {
            Ok(session) => welcome(&headers, &session, next),
            // A link opened twice by somebody who is logged in by its first use is no reason to stop them.
            Err(_) if logged_in(&web, &headers).await? => see(next),
            Err(problem)
                if matches!(
                    problem.kind,
                    ProblemKind::Internal | ProblemKind::Unavailable
                ) =>
            {
                return Err(problem.into());
            }
            Err(_) => refuse(
                next,
                "This link was used already or is too old. `launchway open` prints a new one.",
            ),
        });
    }
    if logged_in(&web, &headers).await? {
        return Ok(see(next));
    }
    Ok(super::show(&LoginPage::new(next, None)))
}

async fn logged_in(web: &Web, headers: &HeaderMap) -> Result<bool, Problem> {
    match auth::session(headers) {
        Some(secret) => access::verify_session(&web.control, &secret).await,
        None => Ok(false),
    }
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Entry {
    token: String,
    next: Option<String>,
}

pub(super) async fn enter(
    State(web): State<Web>,
    headers: HeaderMap,
    Posted(entry): Posted<Entry>,
) -> Result<Response, PageProblem> {
    let next = auth::own_path(entry.next.as_deref());
    if !auth::from_own_page(&headers) {
        return Ok(refuse(
            next,
            "The login must come from this page. Try again.",
        ));
    }
    let known = access::verify_token(&web.control, entry.token.trim()).await?;
    if known.is_none() {
        return Ok(refuse(next, "This token is not valid."));
    }
    let link = access::create_login_link(&web.control).await?;
    let code = link
        .url
        .split_once("code=")
        .map(|(_, code)| code)
        .ok_or_else(|| Problem::internal("a login link has no code"))?;
    let session = access::redeem(&web.control, code).await?;
    Ok(welcome(&headers, &session, next))
}

pub(super) async fn logout(
    State(web): State<Web>,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    if let Some(secret) = auth::session(&headers) {
        access::end_session(&web.control, &secret).await?;
    }
    let mut response = see("/login");
    response
        .headers_mut()
        .insert(header::SET_COOKIE, auth::clear_cookie(&headers));
    Ok(response)
}

fn welcome(headers: &HeaderMap, session: &access::Session, next: &str) -> Response {
    let mut response = see(next);
    response
        .headers_mut()
        .insert(header::SET_COOKIE, auth::set_cookie(headers, session));
    response
}

fn refuse(next: &str, words: &str) -> Response {
    let mut response = super::show(&LoginPage::new(next, Some(words.to_owned()))).into_response();
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}
