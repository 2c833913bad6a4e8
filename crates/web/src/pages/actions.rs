//! What the forms of the pages do: one call of control each, then to the page that shows its effect.

use std::collections::BTreeMap;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, Request, State};
use axum::response::Response;
use launchway_control::{apps, builds, config, cron, deploys, formation, source};
use launchway_model::api::{
    ChangeAccepted, ConfigChange, DeployRequest, RollbackRequest, ScaleRequest,
};
use launchway_model::{AppName, BuildId, DeployId, Problem, ProcessType, ReleaseNumber};
use serde::de::DeserializeOwned;

use super::{PageProblem, see};
use crate::Web;
use crate::extract::{Param, Params};

type Answer = Result<Response, PageProblem>;

/// A form's fields.
pub(super) struct Posted<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Posted<T> {
    type Rejection = PageProblem;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageProblem> {
        match Form::<T>::from_request(request, state).await {
            Ok(Form(fields)) => Ok(Self(fields)),
            Err(error) => Err(not_understood(&error).into()),
        }
    }
}

fn not_understood(error: &FormRejection) -> Problem {
    Problem::invalid("the form is not understood").cause(error.body_text())
}

/// To the deploy that a change began, or back to the app where nothing has to change in what runs.
fn after(app: &AppName, accepted: &ChangeAccepted, done: &str) -> Response {
    match accepted.deploy {
        Some(deploy) => see(&format!("/deploys/{}", deploy.0)),
        None => see(&format!("/apps/{app}?done={done}")),
    }
}

pub(super) async fn restart(State(web): State<Web>, Param(app): Param<AppName>) -> Answer {
    let accepted = formation::restart(&web.control, &app, None).await?;
    Ok(after(&app, &accepted, "restarted"))
}

pub(super) async fn stop(State(web): State<Web>, Param(app): Param<AppName>) -> Answer {
    let accepted = formation::stop(&web.control, &app).await?;
    Ok(after(&app, &accepted, "stopped"))
}

pub(super) async fn start(State(web): State<Web>, Param(app): Param<AppName>) -> Answer {
    let accepted = formation::start(&web.control, &app).await?;
    Ok(after(&app, &accepted, "started"))
}

pub(super) async fn scale(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Posted(fields): Posted<BTreeMap<String, String>>,
) -> Answer {
    let mut wanted = BTreeMap::new();
    for (process, count) in fields {
        let process = process
            .parse()
            .map_err(|error| Problem::invalid("there is no such process type").caused_by(&error))?;
        let count = count
            .trim()
            .parse()
            .map_err(|_| Problem::invalid(format!("`{count}` is not a number of instances")))?;
        wanted.insert(process, count);
    }
    let request = ScaleRequest { formation: wanted };
    let accepted = formation::scale(&web.control, &app, request).await?;
    Ok(after(&app, &accepted, "scaled"))
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Back {
    release: u64,
}

pub(super) async fn rollback(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Posted(Back { release }): Posted<Back>,
) -> Answer {
    let request = RollbackRequest {
        release: Some(ReleaseNumber(release)),
    };
    let accepted = deploys::rollback(&web.control, &app, request).await?;
    Ok(after(&app, &accepted, "started"))
}

pub(super) async fn redeploy(State(web): State<Web>, Param(app): Param<AppName>) -> Answer {
    let request = DeployRequest {
        source: None,
        branch: None,
        commit: None,
    };
    let accepted = source::deploy(&web.control, Some(app), request, "page").await?;
    Ok(see(&format!("/builds/{}", accepted.build.0)))
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Variables {
    key: Option<String>,
    value: Option<String>,
    unset: Option<String>,
}

pub(super) async fn change_config(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Posted(fields): Posted<Variables>,
) -> Answer {
    let mut change = ConfigChange::default();
    if let Some(key) = fields.key {
        change
            .set
            .insert(key.trim().to_owned(), fields.value.unwrap_or_default());
    }
    change.unset.extend(fields.unset);
    let (_, accepted) = config::change(&web.control, &app, change).await?;
    Ok(match accepted.deploy {
        Some(deploy) => see(&format!("/deploys/{}", deploy.0)),
        None => see(&format!("/apps/{app}/settings?done=config")),
    })
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Names {
    add: Option<String>,
    remove: Option<String>,
}

pub(super) async fn change_domains(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Posted(fields): Posted<Names>,
) -> Answer {
    if let Some(domain) = fields.add {
        apps::add_domain(&web.control, &app, domain.trim()).await?;
    }
    if let Some(domain) = fields.remove {
        apps::remove_domain(&web.control, &app, &domain).await?;
    }
    Ok(see(&format!("/apps/{app}/settings?done=domains")))
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Confirmed {
    name: String,
}

pub(super) async fn delete(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Posted(Confirmed { name }): Posted<Confirmed>,
) -> Answer {
    if name.trim() != app.as_str() {
        return Err(Problem::invalid("the name that was typed is not the app's")
            .hint(format!("Type `{app}` to remove it."))
            .into());
    }
    apps::delete(&web.control, &app).await?;
    Ok(see("/"))
}

pub(super) async fn cancel_build(State(web): State<Web>, Param(id): Param<BuildId>) -> Answer {
    builds::cancel(&web.control, id).await?;
    Ok(see(&format!("/builds/{}?done=cancelled", id.0)))
}

pub(super) async fn promote_deploy(State(web): State<Web>, Param(id): Param<DeployId>) -> Answer {
    deploys::promote(&web.control, id).await?;
    Ok(see(&format!("/deploys/{}", id.0)))
}

pub(super) async fn run_job(
    State(web): State<Web>,
    Params(app, job): Params<AppName, ProcessType>,
) -> Answer {
    cron::run_now(&web.control, &app, &job).await?;
    Ok(see(&format!("/apps/{app}/cron")))
}

pub(super) async fn cancel_deploy(State(web): State<Web>, Param(id): Param<DeployId>) -> Answer {
    deploys::cancel(&web.control, id).await?;
    Ok(see(&format!("/deploys/{}?done=cancelled", id.0)))
}
