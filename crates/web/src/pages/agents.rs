//! The page of agents: which there are, what they can, what they do.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use launchway_control::agents;
use launchway_model::agent::{Agent, AgentState, CreateAgent, NewAgent};

use super::actions::Posted;
use super::app::Done;
use super::{Frame, PageProblem, see};
use crate::Web;
use crate::extract::Param;
use crate::html::{self, Html};

/// The page.
#[derive(Template)]
#[template(path = "agents.html")]
pub struct AgentsPage {
    frame: Frame,
    rows: Vec<Row>,
    made: Option<Made>,
}

/// One agent's row.
struct Row {
    name: String,
    state: Html,
    labels: Vec<String>,
    free: String,
    version: String,
    host: String,
    seen: Option<Html>,
    builds: Vec<u64>,
    drained: bool,
}

/// A token that was just made, with the command that uses it.
struct Made {
    name: String,
    token: String,
    command: String,
}

impl AgentsPage {
    /// The page with all agents; `made` is one whose token was just made.
    pub fn new(agents: &[Agent], made: Option<NewAgent>, now: Timestamp) -> Self {
        let rows = agents.iter().map(|agent| Row::new(agent, now)).collect();
        let mut frame = Frame::new("Agents", "agents");
        frame.refresh = Some(10);
        Self {
            frame,
            rows,
            made: made.map(|made| Made {
                command: format!(
                    "launchway agent --server {} --token-file agent.token",
                    made.server
                        .unwrap_or_else(|| "https://THIS-MACHINE:7071".to_owned())
                ),
                name: made.name,
                token: made.token,
            }),
        }
    }
}

impl Row {
    fn new(agent: &Agent, now: Timestamp) -> Self {
        let (tone, word) = match agent.state {
            AgentState::Online if agent.builds.is_empty() => (html::Tone::Good, "free"),
            AgentState::Online => (html::Tone::Busy, "builds"),
            AgentState::Drained => (html::Tone::Idle, "drained"),
            AgentState::Away => (html::Tone::Idle, "away"),
        };
        Self {
            name: agent.name.clone(),
            state: html::State::new(tone, word).badge(),
            labels: agent.labels.iter().cloned().collect(),
            free: match agent.executors {
                0 => "–".to_owned(),
                all => format!("{} of {all}", agent.builds.len()),
            },
            version: agent.version.clone().unwrap_or_default(),
            host: agent.host.clone().unwrap_or_default(),
            seen: agent.seen.as_ref().map(|seen| html::ago(seen, &now)),
            builds: agent.builds.iter().map(|build| build.0).collect(),
            drained: agent.state == AgentState::Drained,
        }
    }
}

pub(super) async fn show(
    State(web): State<Web>,
    Query(done): Query<Done>,
) -> Result<Response, PageProblem> {
    let agents = agents::list(&web.control).await?;
    let mut page = AgentsPage::new(&agents, None, Timestamp::now());
    page.frame.notice = done.words();
    Ok(super::show(&page))
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct NewOne {
    name: String,
    #[serde(default)]
    labels: String,
}

/// The answer is the page itself, since the token is shown this once.
pub(super) async fn create(
    State(web): State<Web>,
    Posted(new): Posted<NewOne>,
) -> Result<Response, PageProblem> {
    let request = CreateAgent {
        name: new.name.trim().to_owned(),
        labels: new
            .labels
            .split([' ', ','])
            .filter(|label| !label.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    let made = agents::create(&web.control, request).await?;
    let agents = agents::list(&web.control).await?;
    Ok(super::show(&AgentsPage::new(
        &agents,
        Some(made),
        Timestamp::now(),
    )))
}

pub(super) async fn revoke(
    State(web): State<Web>,
    Param(name): Param<String>,
) -> Result<Response, PageProblem> {
    agents::revoke(&web.control, &name).await?;
    Ok(see("/agents?done=revoked"))
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Switch {
    online: bool,
}

pub(super) async fn switch(
    State(web): State<Web>,
    Param(name): Param<String>,
    Posted(to): Posted<Switch>,
) -> Result<Response, PageProblem> {
    agents::switch(&web.control, &name, to.online).await?;
    Ok(see("/agents"))
}
