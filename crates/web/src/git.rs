//! Git's smart HTTP protocol below `/git/APP.git`, served over the system's `git`.
//!
//! Fetching is `git upload-pack`, passed through. A push is taken apart: its objects go in by `git receive-pack` under
//! refs of our own, its branches move only once their build and deploy went well, and meanwhile the pusher's terminal
//! shows what happens (`remote: …`). A push whose build fails is refused, with the reason, and moves nothing.
//!
//! The protocol is described in git's own `gitprotocol-http`, `gitprotocol-pack` and `gitprotocol-common`.

mod announce;
mod body;
mod command;
mod packet;
mod receive;
mod terminal;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use launchway_control::{apps, progress, source};
use launchway_model::{AppName, Problem, ProblemKind};
use tokio_util::io::ReaderStream;

use crate::Web;
use crate::auth;
use crate::extract::{Param, Query};
use crate::problem::status;

/// Git's own name for a repository in an address: `shop.git`, or `shop`.
struct Repository(AppName);

impl std::str::FromStr for Repository {
    type Err = launchway_model::names::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim_end_matches(".git").parse().map(Self)
    }
}

/// What git shows to its user in place of an answer.
struct GitProblem(Problem);

impl From<Problem> for GitProblem {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for GitProblem {
    fn into_response(self) -> Response {
        crate::problem::note(&self.0);
        let mut words = format!("{}\n", self.0);
        if let Some(hint) = &self.0.hint {
            words.push_str(hint);
            words.push('\n');
        }
        (
            status(self.0.kind),
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            words,
        )
            .into_response()
    }
}

/// The routes, to be nested at `/git`.
pub(crate) fn routes(web: &Web) -> Router<Web> {
    Router::new()
        .route("/{repository}/info/refs", get(refs))
        .route("/{repository}/git-upload-pack", post(upload))
        .route("/{repository}/git-receive-pack", post(push))
        .layer(middleware::from_fn_with_state(web.clone(), auth::for_git))
}

#[derive(Debug, serde::Deserialize)]
struct Service {
    service: Option<String>,
}

/// The refs that a client starts from.
async fn refs(
    State(web): State<Web>,
    Param(Repository(app)): Param<Repository>,
    Query(Service { service }): Query<Service>,
    headers: HeaderMap,
) -> Result<Response, GitProblem> {
    match service.as_deref() {
        Some("git-receive-pack") => {
            let repository = existing(&web, &app).await?;
            let advertised = receive::advertise(repository.as_deref()).await?;
            Ok(answer(
                "git-receive-pack-advertisement",
                Body::from(advertised),
            ))
        }
        Some("git-upload-pack") => {
            let repository = needed(&web, &app).await?;
            let version = protocol(&headers);
            let listed = command::upload_refs(&repository, version).await?;
            let mut body = Vec::new();
            if version != Some("version=2") {
                packet::text(&mut body, b"# service=git-upload-pack\n");
                packet::flush(&mut body);
            }
            body.extend(listed);
            Ok(answer("git-upload-pack-advertisement", Body::from(body)))
        }
        _ => {
            Err(Problem::invalid("this repository is served by git's smart protocol alone").into())
        }
    }
}

/// A fetch or a clone.
async fn upload(
    State(web): State<Web>,
    Param(Repository(app)): Param<Repository>,
    request: Request,
) -> Result<Response, GitProblem> {
    let repository = needed(&web, &app).await?;
    let version = protocol(request.headers()).map(str::to_owned);
    let reader = body::read(request);
    let output = command::upload(&repository, version.as_deref(), reader).await?;
    Ok(answer(
        "git-upload-pack-result",
        Body::from_stream(ReaderStream::with_capacity(output, 64 * 1024)),
    ))
}

/// A push: its objects are taken in before the answer begins, the rest happens while it is written.
async fn push(
    State(web): State<Web>,
    Param(Repository(app)): Param<Repository>,
    request: Request,
) -> Result<Response, GitProblem> {
    let Some(taken) = receive::commands(body::read(request)).await? else {
        // Git asks with an empty request first whether it may send a large one.
        return Ok(answer("git-receive-pack-result", Body::empty()));
    };
    let branch = match apps::get(&web.control, &app).await {
        Ok(app) => app.release.is_some().then_some(app.branch),
        Err(problem) if problem.kind == ProblemKind::NotFound => None,
        Err(problem) => return Err(problem.into()),
    };
    let repository = source::repository(&web.control, &app).await?;
    let push = taken.unpack(&repository).await?;
    let (terminal, body) = terminal::open(push.side_band);
    let cancel = web.cancel.clone();
    let pushes = web.pushes.clone();
    // The build goes on where the pusher goes away, and its branch moves all the same.
    pushes.spawn(async move {
        let control = web.control;
        let build = move |branch: String, commit: String| {
            let (control, app) = (Arc::clone(&control), app.clone());
            async move {
                let accepted = source::pushed(&control, &app, &branch, &commit).await?;
                let events = progress::of_build(&control, accepted.build).await?;
                Ok((accepted, events))
            }
        };
        push.land(terminal, branch.as_deref(), build, cancel).await;
    });
    Ok(answer("git-receive-pack-result", body))
}

fn answer(kind: &str, body: Body) -> Response {
    (
        StatusCode::OK,
        [
            (header::CONTENT_TYPE, format!("application/x-{kind}")),
            (header::CACHE_CONTROL, "no-cache".to_owned()),
        ],
        body,
    )
        .into_response()
}

/// The version of git's protocol that a client asks for, where it is one that we pass on.
fn protocol(headers: &HeaderMap) -> Option<&str> {
    let asked = headers.get("git-protocol")?.to_str().ok()?;
    ["version=2", "version=1"]
        .into_iter()
        .find(|version| asked.split(':').any(|part| part == *version))
}

/// The repository of an app, if there is one; a push to a new app starts from nothing.
async fn existing(web: &Web, app: &AppName) -> Result<Option<PathBuf>, Problem> {
    match apps::get(&web.control, app).await {
        Ok(_) => source::repository(&web.control, app).await.map(Some),
        Err(problem) if problem.kind == ProblemKind::NotFound => Ok(None),
        Err(problem) => Err(problem),
    }
}

async fn needed(web: &Web, app: &AppName) -> Result<PathBuf, Problem> {
    existing(web, app)
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no app `{app}`")))
}

/// What every call of git is given: our own hooks and settings, none of the machine's.
fn git(repository: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "gc.auto=0",
            "-c",
            "receive.autogc=false",
        ])
        .current_dir(repository)
        .kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests;
