//! What forges say in webhooks: their headers and payloads, made one shape.
//!
//! The shapes follow the documentation of GitHub ("Webhook events and payloads"), GitLab ("Webhook events") and Gitea
//! ("Webhooks"). Only names are taken from a payload: which commit a branch is at is asked of the remote repository itself,
//! whose address the app's settings name. So a payload, even a replayed one, can make Launchway look, never build what is not
//! there.

use serde::{Deserialize, Serialize};

use crate::trigger::{Change, Forge};

/// The longest name of a branch or tag that is taken, in bytes; git itself allows little more.
const LONGEST_NAME: usize = 250;

/// A webhook by its headers, before its payload is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The kind of its sender.
    pub forge: Forge,
    /// The sender's word for what happened.
    pub event: String,
    /// The sender's id of this delivery; none where the sender gives none.
    pub delivery: Option<String>,
    /// How it proves that the sender knows the secret.
    pub proof: Proof,
}

/// How a webhook proves who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// HMAC-SHA256 of the body under the secret, in hex.
    Hmac(String),
    /// The secret itself.
    Token(String),
    /// HMAC-SHA256 of `ID.TIMESTAMP.BODY`, in base64, as the specification "Standard Webhooks" has it.
    Signed {
        /// The delivery's id.
        id: String,
        /// Unix time in seconds.
        timestamp: String,
        /// One or more `v1,BASE64`, separated by blanks.
        signatures: String,
    },
    /// Not at all.
    Missing,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "happened", rename_all = "snake_case")]
pub enum HookEvent {
    /// A branch or tag moved, appeared or went away.
    Refs {
        /// Its full name: `refs/heads/main`.
        name: String,
        /// Whether it went away.
        deleted: bool,
    },
    /// A pull request was opened, changed or closed.
    Change {
        /// The pull request.
        change: Change,
        /// Whether it is closed or merged.
        closed: bool,
    },
    /// The sender tries whether anybody listens.
    Ping,
}

/// Why a payload is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payload of `{event}` is not understood: {reason}")]
pub struct HookError {
    /// The sender's word for what happened.
    pub event: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Recognises a webhook by its headers; `header` gives a header's value by its name in lower case.
pub fn recognise(header: impl Fn(&str) -> Option<String>) -> Option<Hook> {
    // Gitea and Forgejo send GitHub's headers too, so theirs are looked for first.
    let (forge, event, delivery) = if let Some(event) = header("x-gitea-event") {
        (Forge::Gitea, event, header("x-gitea-delivery"))
    } else if let Some(event) = header("x-forgejo-event") {
        (Forge::Gitea, event, header("x-forgejo-delivery"))
    } else if let Some(event) = header("x-gitlab-event") {
        let delivery = header("idempotency-key")
            .or_else(|| header("x-gitlab-webhook-uuid"))
            .or_else(|| header("x-gitlab-event-uuid"));
        (Forge::Gitlab, event, delivery)
    } else {
        let event = header("x-github-event")?;
        (Forge::Github, event, header("x-github-delivery"))
    };
    let signed = || {
        Some(Proof::Signed {
            id: header("webhook-id")?,
            timestamp: header("webhook-timestamp")?,
            signatures: header("webhook-signature")?,
        })
    };
    let proof = match forge {
        Forge::Gitlab => signed().or_else(|| header("x-gitlab-token").map(Proof::Token)),
        Forge::Gitea => header("x-gitea-signature")
            .or_else(|| header("x-forgejo-signature"))
            .map(Proof::Hmac),
        Forge::Github | Forge::Plain => header("x-hub-signature-256")
            .and_then(|value| value.strip_prefix("sha256=").map(str::to_owned))
            .map(Proof::Hmac),
    };
    let delivery = match &proof {
        Some(Proof::Signed { id, .. }) => Some(id.clone()),
        _ => delivery,
    };
    Some(Hook {
        forge,
        event: event.chars().filter(|c| !c.is_control()).take(60).collect(),
        delivery: delivery
            .map(|id| {
                id.chars()
                    .filter(|c| c.is_ascii_graphic())
                    .take(100)
                    .collect()
            })
            .filter(|id: &String| !id.is_empty()),
        proof: proof.unwrap_or(Proof::Missing),
    })
}

/// Reads a payload, JSON or a form with the JSON in its field `payload`. An event that says nothing of branches, tags or
/// pull requests gives `None`.
///
/// # Errors
/// The payload is no JSON, or lacks what such an event has.
pub fn read(hook: &Hook, body: &[u8]) -> Result<Option<HookEvent>, HookError> {
    let error = |reason: String| HookError {
        event: hook.event.clone(),
        reason,
    };
    let decoded;
    let body = match body.strip_prefix(b"payload=") {
        Some(form) => {
            decoded = decode_form(form);
            &decoded
        }
        None => body,
    };
    let event = match (hook.forge, hook.event.as_str()) {
        (_, "ping") => return Ok(Some(HookEvent::Ping)),
        (Forge::Gitlab, "Push Hook" | "Tag Push Hook") | (_, "push") => {
            let push: Push = parse(body).map_err(error)?;
            let deleted = push.deleted
                || push
                    .after
                    .as_ref()
                    .is_some_and(|after| !after.is_empty() && after.bytes().all(|b| b == b'0'));
            HookEvent::Refs {
                name: push.reference,
                deleted,
            }
        }
        (Forge::Gitlab, "Merge Request Hook") => {
            let merge: MergeRequest = parse(body).map_err(error)?;
            merge.event()
        }
        (_, "create" | "delete") => {
            let named: Named = parse(body).map_err(error)?;
            let kind = match named.ref_type.as_str() {
                "branch" => "heads",
                "tag" => "tags",
                // A repository itself.
                _ => return Ok(None),
            };
            HookEvent::Refs {
                name: match named.reference.strip_prefix("refs/") {
                    Some(_) => named.reference,
                    None => format!("refs/{kind}/{}", named.reference),
                },
                deleted: hook.event == "delete",
            }
        }
        (_, "pull_request" | "pull_request_sync") => {
            let pull: PullRequestEvent = parse(body).map_err(error)?;
            pull.event()
        }
        _ => return Ok(None),
    };
    match &event {
        HookEvent::Refs { name, .. } => {
            let plain = name
                .strip_prefix("refs/heads/")
                .or_else(|| name.strip_prefix("refs/tags/"));
            match plain {
                // Notes and the like.
                None if name.starts_with("refs/") => return Ok(None),
                Some(plain) if is_name(plain) => {}
                _ => return Err(error("it names no branch or tag".to_owned())),
            }
        }
        HookEvent::Change { change, .. } => {
            if change.id.is_empty() || change.id == "0" {
                return Err(error("the pull request has no number".to_owned()));
            }
            if !is_name(&change.target) || !is_name(&change.branch) {
                return Err(error("the pull request names no branches".to_owned()));
            }
        }
        HookEvent::Ping => {}
    }
    Ok(Some(event))
}

/// Whether a text can be the name of a branch or tag, by the rules of `git check-ref-format`.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with(['-', '/'])
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("//")
        && !name.contains("@{")
        && name != "@"
        && !name
            .split('/')
            .any(|part| part.starts_with('.') || part.ends_with(".lock"))
        && !name
            .chars()
            .any(|c| c.is_control() || " ~^:?*[\\".contains(c))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "ref")]
    reference: String,
    ref_type: String,
}

#[derive(Deserialize)]
struct PullRequestEvent {
    #[serde(default)]
    action: String,
    pull_request: PullRequest,
}

/// A pull request, as GitHub and Gitea write it in events and in lists.
#[derive(Debug, Deserialize)]
pub struct PullRequest {
    number: u64,
    #[serde(default)]
    title: String,
    #[serde(default)]
    html_url: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    updated_at: String,
    #[serde(default)]
    user: Option<User>,
    head: Side,
    base: Side,
}

#[derive(Debug, Deserialize)]
struct User {
    #[serde(default, alias = "username")]
    login: String,
}

#[derive(Debug, Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    repo: Option<Repository>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    #[serde(default)]
    full_name: String,
}

impl PullRequest {
    /// The pull request in our shape.
    pub fn change(self) -> Change {
        let name = |side: &Side| side.repo.as_ref().map(|repo| repo.full_name.clone());
        let (head, base) = (name(&self.head), name(&self.base));
        let fork = match (head, base) {
            (Some(head), Some(base)) if !head.is_empty() && head == base => None,
            // The fork was deleted, or nothing is said: it counts as foreign, which is the safe reading.
            (head, _) => Some(
                head.filter(|name| !name.is_empty())
                    .unwrap_or_else(|| "unknown".to_owned()),
            ),
        };
        Change {
            id: self.number.to_string(),
            title: cut(&self.title),
            url: cut(&self.html_url),
            author: cut(&self.user.map(|user| user.login).unwrap_or_default()),
            branch: self.head.reference,
            target: self.base.reference,
            fork: fork.map(|fork| cut(&fork)),
            updated: cut(&self.updated_at),
        }
    }
}

impl PullRequestEvent {
    fn event(self) -> HookEvent {
        let closed = self.action == "closed" || self.pull_request.state == "closed";
        HookEvent::Change {
            change: self.pull_request.change(),
            closed,
        }
    }
}

#[derive(Deserialize)]
struct MergeRequest {
    #[serde(default)]
    user: Option<GitlabUser>,
    object_attributes: MergeAttributes,
}

#[derive(Debug, Deserialize)]
struct GitlabUser {
    #[serde(default)]
    username: String,
}

/// A merge request, as GitLab writes it in events and in lists.
#[derive(Debug, Deserialize)]
pub struct MergeAttributes {
    iid: u64,
    #[serde(default)]
    title: String,
    #[serde(default, alias = "web_url")]
    url: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    updated_at: String,
    source_branch: String,
    target_branch: String,
    #[serde(default)]
    source_project_id: Option<u64>,
    #[serde(default)]
    target_project_id: Option<u64>,
    #[serde(default)]
    source: Option<Project>,
    #[serde(default)]
    author: Option<GitlabUser>,
}

#[derive(Debug, Deserialize)]
struct Project {
    #[serde(default)]
    path_with_namespace: String,
}

impl MergeAttributes {
    /// The merge request in our shape.
    pub fn change(self) -> Change {
        let own =
            self.source_project_id.is_some() && self.source_project_id == self.target_project_id;
        let fork = (!own).then(|| {
            self.source
                .map(|source| cut(&source.path_with_namespace))
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "unknown".to_owned())
        });
        Change {
            id: self.iid.to_string(),
            title: cut(&self.title),
            url: cut(&self.url),
            author: cut(&self.author.map(|user| user.username).unwrap_or_default()),
            branch: self.source_branch,
            target: self.target_branch,
            fork,
            updated: cut(&self.updated_at),
        }
    }
}

impl MergeRequest {
    fn event(self) -> HookEvent {
        let closed = matches!(self.object_attributes.state.as_str(), "closed" | "merged");
        let mut change = self.object_attributes.change();
        if change.author.is_empty() {
            // Who acted is the best that older versions say.
            change.author = cut(&self.user.map(|user| user.username).unwrap_or_default());
        }
        HookEvent::Change { change, closed }
    }
}

/// Text of strangers, kept to what one reads.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The value of a form's first field.
fn decode_form(form: &[u8]) -> Vec<u8> {
    let form = form.split(|byte| *byte == b'&').next().unwrap_or_default();
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(form.len());
    let mut at = 0;
    while let Some(byte) = form.get(at) {
        match (byte, digit(form.get(at + 1)), digit(form.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    decoded
}

#[cfg(test)]
mod tests;
