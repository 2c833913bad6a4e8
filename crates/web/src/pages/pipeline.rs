//! An app's pipeline: its builds as rows and its stages as columns, each cell with its time, as Jenkins' stage view has it; and
//! the form that builds now.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::{apps, builds, results, source};
use launchway_model::AppName;
use launchway_model::api::App;
use launchway_model::build::{Build, BuildNow, BuildState, Stage, StageState};
use launchway_model::request::{InputKind, InputParameter};
use std::collections::BTreeMap;

use super::app::Head;
use super::{Frame, PageProblem, actions::Posted, parts, see};
use crate::extract::Param;
use crate::html::{self, Html, State as Shown, Tone};
use crate::{Web, format};

/// How many builds the view has.
const ROWS: u32 = 20;

/// One column: a stage by its path.
pub struct Column {
    name: String,
    /// The stage that it is nested in, where it is.
    within: String,
    /// Whether it runs beside its neighbours.
    parallel: bool,
    average: String,
}

/// One cell.
pub struct Cell {
    tone: &'static str,
    time: String,
    word: String,
    link: String,
}

/// One row.
pub struct Row {
    id: u64,
    state: Html,
    subject: String,
    commit: Html,
    branch: String,
    asked: Html,
    cells: Vec<Option<Cell>>,
}

/// A field of a form, ready for a template.
pub struct Field {
    name: String,
    about: String,
    kind: &'static str,
    value: String,
    on: bool,
    choices: Vec<String>,
}

impl Field {
    /// A pipeline's parameter as a field.
    pub fn new(parameter: &InputParameter) -> Self {
        let (kind, choices) = match &parameter.kind {
            InputKind::Text { lines: true, .. } => ("lines", Vec::new()),
            InputKind::Text { .. } => ("text", Vec::new()),
            InputKind::Bool { .. } => ("bool", Vec::new()),
            InputKind::Choice { choices } => ("choice", choices.clone()),
            InputKind::Password { .. } => ("password", Vec::new()),
        };
        let value = match parameter.kind {
            InputKind::Password { .. } => String::new(),
            _ => parameter.default_value(),
        };
        Self {
            name: parameter.name.clone(),
            about: parameter.description.clone(),
            kind,
            on: value == "true",
            value,
            choices,
        }
    }
}

/// Fields of a form; each is sent as `p:NAME`.
#[derive(Template)]
#[template(path = "fields.html")]
pub(super) struct Fields {
    pub(super) fields: Vec<Field>,
}

/// The page.
#[derive(Template)]
#[template(path = "pipeline.html")]
pub struct PipelinePage {
    frame: Frame,
    head: Html,
    name: String,
    branch: String,
    fields: Html,
    columns: Vec<Column>,
    rows: Vec<Row>,
}

/// The stages of a build that hold steps, each with the names of those that it is nested in.
fn lanes(build: &Build) -> Vec<(String, String, bool, &Stage)> {
    let is_group = |stage: &Stage| {
        build
            .stages
            .iter()
            .any(|other| other.info.parent == Some(stage.info.id))
    };
    let parent = |stage: &Stage| {
        let id = stage.info.parent?;
        build.stages.iter().find(|other| other.info.id == id)
    };
    build
        .stages
        .iter()
        .filter(|stage| !is_group(stage))
        .map(|stage| {
            let mut names = Vec::new();
            let mut at = parent(stage);
            let parallel = at.is_some_and(|outer| outer.info.parallel);
            while let Some(outer) = at
                && names.len() < 8
            {
                names.push(outer.info.name.clone());
                at = parent(outer);
            }
            names.reverse();
            (names.join(" › "), stage.info.name.clone(), parallel, stage)
        })
        .collect()
}

fn cell(build: &Build, stage: &Stage, now: Timestamp) -> Cell {
    let state: Shown = parts::stage_state(&stage.status);
    let time = match &stage.status {
        StageState::Waiting => String::new(),
        StageState::Running { since } => format::between(*since, now),
        StageState::Finished { since, at, .. } => format::between(*since, *at),
    };
    Cell {
        tone: state.tone.class(),
        time: if state.tone == Tone::Idle {
            String::new()
        } else {
            time
        },
        word: format!("{}: {}", stage.info.name, state.word),
        link: format!("/builds/{}/stages/{}", build.id.0, stage.info.id.0),
    }
}

impl PipelinePage {
    /// The page of an app with its newest builds.
    pub fn new(app: &App, builds: &[Build], parameters: &[InputParameter], now: Timestamp) -> Self {
        let mut columns: Vec<(String, String, bool, Vec<i64>)> = Vec::new();
        for build in builds {
            let mut at = 0;
            for (within, name, parallel, stage) in lanes(build) {
                let took = match &stage.status {
                    StageState::Finished { since, at, .. } => {
                        Some(at.as_millisecond() - since.as_millisecond())
                    }
                    _ => None,
                };
                let known = columns
                    .iter()
                    .position(|(outer, known, _, _)| *outer == within && *known == name);
                let place = known.unwrap_or_else(|| {
                    // A stage that newer builds lack stands where its own build has it.
                    let place = at.min(columns.len());
                    columns.insert(place, (within, name, parallel, Vec::new()));
                    place
                });
                columns[place].3.extend(took);
                at = place + 1;
            }
        }
        let rows = builds
            .iter()
            .map(|build| {
                let lanes = lanes(build);
                Row {
                    id: build.id.0,
                    state: parts::build_state(build).mark(),
                    subject: build.request.subject.clone(),
                    commit: html::commit(&build.request.commit),
                    branch: build.request.branch.clone().unwrap_or_default(),
                    asked: html::ago(&build.created, &now),
                    cells: columns
                        .iter()
                        .map(|(within, name, _, _)| {
                            lanes
                                .iter()
                                .find(|(outer, own, _, _)| outer == within && own == name)
                                .map(|(_, _, _, stage)| cell(build, stage, now))
                        })
                        .collect(),
                }
            })
            .collect();
        let columns = columns
            .into_iter()
            .map(|(within, name, parallel, took)| Column {
                name,
                within,
                parallel,
                average: match took.len() {
                    0 => String::new(),
                    many => {
                        let sum: i64 = took.iter().sum();
                        format::millis(u64::try_from(sum).unwrap_or(0) / many as u64)
                    }
                },
            })
            .collect();
        let live = builds
            .iter()
            .any(|build| !matches!(build.state, BuildState::Finished { .. }));
        Self {
            frame: Frame {
                refresh: Some(if live { 3 } else { 15 }),
                ..Frame::new(format!("{}: pipeline", app.name), "apps")
            },
            head: super::part(&Head::new(app, "pipeline")),
            name: app.name.to_string(),
            branch: app.branch.clone(),
            fields: super::part(&Fields {
                fields: parameters.iter().map(Field::new).collect(),
            }),
            columns,
            rows,
        }
    }
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Branch {
    branch: Option<String>,
}

pub(super) async fn show(
    State(web): State<Web>,
    Param(name): Param<AppName>,
    Query(chosen): Query<Branch>,
) -> Result<Response, PageProblem> {
    let control = &web.control;
    let app = apps::get(control, &name).await?;
    let builds = builds::list(control, Some(&name), ROWS).await?;
    let parameters = results::parameters(control, &name, chosen.branch.as_deref()).await?;
    Ok(super::show(&PipelinePage::new(
        &app,
        &builds,
        &parameters,
        Timestamp::now(),
    )))
}

/// The fields `p:NAME` of a form. A box that is not ticked is not sent: `b:NAME` says that there was one.
pub(super) fn given(fields: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = fields
        .keys()
        .filter_map(|key| key.strip_prefix("b:"))
        .map(|name| (name.to_owned(), "false".to_owned()))
        .collect();
    for (key, value) in fields {
        if let Some(name) = key.strip_prefix("p:") {
            values.insert(name.to_owned(), value.replace("\r\n", "\n"));
        }
    }
    values
}

pub(super) async fn build_now(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Posted(fields): Posted<BTreeMap<String, String>>,
) -> Result<Response, PageProblem> {
    let branch = fields.get("branch").map(|branch| branch.trim().to_owned());
    let request = BuildNow {
        branch: branch.filter(|branch| !branch.is_empty()),
        commit: None,
        deploy: (!fields.contains_key("deploy")).then_some(false),
        parameters: given(&fields),
    };
    let accepted = source::build(&web.control, &app, request, "page").await?;
    Ok(see(&format!("/builds/{}", accepted.build.0)))
}
