//! What a person should look at.

use axum::Json;
use axum::extract::State;
use launchway_control::alerts;
use launchway_model::AppName;
use launchway_model::alert::Alert;

use crate::Web;
use crate::extract::Query;
use crate::problem::ApiProblem;

/// `?which=all&app=shop&limit=20`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    #[serde(default)]
    which: Which,
    app: Option<AppName>,
    #[serde(default = "super::fifty")]
    limit: u32,
}

#[derive(Debug, Default, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Which {
    #[default]
    Open,
    All,
}

pub(super) async fn list(
    State(web): State<Web>,
    Query(question): Query<Question>,
) -> Result<Json<Vec<Alert>>, ApiProblem> {
    let which = match question.which {
        Which::Open => alerts::Which::Open,
        Which::All => alerts::Which::All,
    };
    let limit = question.limit.clamp(1, 1000);
    Ok(Json(
        alerts::list(&web.control, which, question.app.as_ref(), limit).await?,
    ))
}
