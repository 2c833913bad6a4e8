//! The few calls of forges' APIs: tell a commit's status, list open pull requests. Shapes are those of the documentation of
//! GitHub (REST "Commit statuses", "Pulls"), GitLab ("Commits API", "Merge requests API") and Gitea ("repository" in its
//! OpenAPI document).
//!
//! A token goes to the address of the settings alone: redirects are not followed. No answer of a forge reaches a person with
//! the token in it.

use std::time::Duration;

use launchway_model::credential::{CredentialId, Secret};
use launchway_model::hook::{MergeAttributes, PullRequest};
use launchway_model::trigger::{Change, Forge, TriggerSettings};
use launchway_model::{AppName, Problem};
use serde_json::{Value, json};

use super::remote::Address;
use crate::{Control, credentials};

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes.
const ANSWER: u64 = 4 << 20;
/// The most pages of pull requests that are read, of 50 or 100 each.
const PAGES: u32 = 20;

/// How a build stands, for a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Running,
    Success,
    Failure,
    /// Cancelled, or not built after all.
    Aborted,
}

impl State {
    /// The word that is remembered of what was told.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Aborted => "aborted",
        }
    }

    fn is_last(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Whether nothing follows it.
    pub(super) fn ends(self) -> bool {
        self.is_last()
    }

    fn of_forge(self, forge: Forge) -> &'static str {
        match (forge, self) {
            (Forge::Gitlab, Self::Running) => "running",
            (Forge::Gitlab, Self::Failure) => "failed",
            (Forge::Gitlab, Self::Aborted) => "canceled",
            (_, Self::Pending | Self::Running) => "pending",
            (_, Self::Success) => "success",
            (_, Self::Failure) => "failure",
            (_, Self::Aborted) => "error",
        }
    }
}

/// What is told of a commit.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) commit: String,
    pub(super) state: State,
    /// The name of the check: `launchway/shop`.
    pub(super) context: String,
    /// The build's page.
    pub(super) url: String,
    /// One line.
    pub(super) description: String,
    /// The branch.
    pub(super) branch: Option<String>,
}

/// A forge's API with its token.
pub(super) struct Api {
    forge: Forge,
    base: String,
    path: String,
    token: String,
}

impl Api {
    /// The API of an app's forge, with the credential of an id.
    pub(super) async fn open(
        control: &Control,
        app: &AppName,
        settings: &TriggerSettings,
        address: &Address,
        id: &CredentialId,
    ) -> Result<Self, Problem> {
        let token = match credentials::of_app(control, app, id).await? {
            Secret::String { text } => text,
            Secret::UsernamePassword { password, .. } => password,
            other => {
                return Err(Problem::invalid(format!(
                    "the credential `{id}` is a {}, not a token",
                    other.kind().as_str()
                )));
            }
        };
        let base = settings
            .api
            .clone()
            .or_else(|| address.api(settings.forge))
            .ok_or_else(|| {
                Problem::invalid("it is not known where the forge's API is")
                    .hint("Say it with `launchway triggers set --api URL`.")
            })?;
        Ok(Self {
            forge: settings.forge,
            base: base.trim_end_matches('/').to_owned(),
            path: address.path.clone(),
            token,
        })
    }

    /// Tells a status.
    pub(super) async fn tell(&self, status: &Status) -> Result<(), Problem> {
        let description: String = status.description.chars().take(140).collect();
        let state = status.state.of_forge(self.forge);
        let (url, body) = match self.forge {
            Forge::Gitlab => (
                format!(
                    "{}/projects/{}/statuses/{}",
                    self.base,
                    encoded(&self.path),
                    status.commit
                ),
                json!({
                    "state": state,
                    "name": status.context,
                    "target_url": status.url,
                    "description": description,
                    "ref": status.branch,
                }),
            ),
            Forge::Github | Forge::Gitea | Forge::Plain => (
                format!(
                    "{}/repos/{}/statuses/{}",
                    self.base, self.path, status.commit
                ),
                json!({
                    "state": state,
                    "context": status.context,
                    "target_url": status.url,
                    "description": description,
                }),
            ),
        };
        match self.call(&url, Some(body)).await {
            Ok(_) => Ok(()),
            // GitLab refuses a step that changes nothing.
            Err(problem)
                if self.forge == Forge::Gitlab
                    && problem
                        .causes
                        .join(" ")
                        .contains("Cannot transition status") =>
            {
                Ok(())
            }
            Err(problem) => Err(problem),
        }
    }

    /// The open pull requests.
    async fn changes(&self) -> Result<Vec<Change>, Problem> {
        let mut changes = Vec::new();
        for page in 1..=PAGES {
            let url = match self.forge {
                Forge::Gitlab => format!(
                    "{}/projects/{}/merge_requests?state=opened&per_page=100&page={page}",
                    self.base,
                    encoded(&self.path)
                ),
                Forge::Gitea => format!(
                    "{}/repos/{}/pulls?state=open&limit=50&page={page}",
                    self.base, self.path
                ),
                Forge::Github | Forge::Plain => format!(
                    "{}/repos/{}/pulls?state=open&per_page=100&page={page}",
                    self.base, self.path
                ),
            };
            let found = self.call(&url, None).await?;
            let unreadable = |error: serde_json::Error| {
                Problem::failed("the forge's list of pull requests cannot be read").cause(error)
            };
            let page: Vec<Change> = match self.forge {
                Forge::Gitlab => serde_json::from_value::<Vec<MergeAttributes>>(found)
                    .map_err(unreadable)?
                    .into_iter()
                    .map(MergeAttributes::change)
                    .collect(),
                _ => serde_json::from_value::<Vec<PullRequest>>(found)
                    .map_err(unreadable)?
                    .into_iter()
                    .map(PullRequest::change)
                    .collect(),
            };
            let last = page.len() < 50;
            changes.extend(page);
            if last {
                break;
            }
        }
        Ok(changes)
    }

    /// One call; an answer that is no success is a problem with the forge's words.
    async fn call(&self, url: &str, body: Option<Value>) -> Result<Value, Problem> {
        let (name, value) = match self.forge {
            Forge::Gitlab => ("private-token", self.token.clone()),
            Forge::Gitea => ("authorization", format!("token {}", self.token)),
            Forge::Github | Forge::Plain => ("authorization", format!("Bearer {}", self.token)),
        };
        let (url, token) = (url.to_owned(), self.token.clone());
        let done = tokio::task::spawn_blocking(move || send(&url, name, &value, body))
            .await
            .map_err(|error| Problem::internal("a call to a forge ended badly").cause(error))?;
        done.map_err(|mut problem| {
            for cause in &mut problem.causes {
                *cause = cause.replace(&token, "****");
            }
            problem
        })
    }
}

/// The open pull requests of an app's forge; `None` where no token says that they may be asked for.
pub(super) async fn open_changes(
    control: &Control,
    app: &AppName,
    settings: &TriggerSettings,
    address: &Address,
) -> Result<Option<Vec<Change>>, Problem> {
    let Some(id) = &settings.status_credential else {
        return Ok(None);
    };
    let api = Api::open(control, app, settings, address, id).await?;
    match api.changes().await {
        Ok(changes) => Ok(Some(changes)),
        Err(problem) => {
            // A token that may only write statuses is a good token; webhooks tell of pull requests then.
            tracing::debug!(%app, %problem, "open pull requests cannot be listed");
            Ok(None)
        }
    }
}

fn send(url: &str, name: &str, value: &str, body: Option<Value>) -> Result<Value, Problem> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(LIMIT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("launchway/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let answer = match body {
        None => agent
            .get(url)
            .header(name, value)
            .header("accept", "application/json")
            .call(),
        Some(body) => agent
            .post(url)
            .header(name, value)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .send(body.to_string()),
    };
    let host = url.split('/').nth(2).unwrap_or_default();
    let mut answer = answer
        .map_err(|error| Problem::unavailable(format!("{host} cannot be reached")).cause(error))?;
    let status = answer.status();
    let text = answer
        .body_mut()
        .with_config()
        .limit(ANSWER)
        .lossy_utf8(true)
        .read_to_string()
        .unwrap_or_default();
    if status.is_success() {
        return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
    }
    let problem = Problem::failed(format!("{host} answered {}", status.as_u16()))
        .cause(text.trim().chars().take(300).collect::<String>());
    Err(match status.as_u16() {
        401 | 403 => problem.hint("Does the token have the right to write commit statuses?"),
        404 => problem.hint("Is the repository's address right, and may the token see it?"),
        _ => problem,
    })
}

/// A path as one segment of an address.
fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
