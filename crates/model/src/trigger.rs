//! What starts builds: an app's remote repository, its branches and pull requests, webhooks, schedules, other builds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::build::BuildResult;
use crate::credential::CredentialId;
use crate::names::{AppName, BuildId};

/// Where a build's commit came from, beyond branch and hash; a build of a plain push has nothing here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    /// The remote repository's address, without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The tag that is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The pull request that is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The commit of the branch that was built before, for `changeset` and `GIT_PREVIOUS_COMMIT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The app whose branch this is, where the build belongs to a preview of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_of: Option<AppName>,
}

impl Origin {
    /// Whether the commit is by somebody who may not write to the repository: then a build gets no secret at all.
    pub fn is_foreign(&self) -> bool {
        self.change
            .as_ref()
            .is_some_and(|change| change.fork.is_some())
    }
}

/// A pull request (in GitLab's words a merge request).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Its number, as text.
    pub id: String,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Its page.
    #[serde(default)]
    pub url: String,
    /// Who opened it.
    #[serde(default)]
    pub author: String,
    /// The branch that it brings.
    #[serde(default)]
    pub branch: String,
    /// The branch that it is for.
    #[serde(default)]
    pub target: String,
    /// The repository that it comes from (`user/repository`), where that is not the app's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<String>,
    /// When the forge last changed it, in the forge's own words, which sort by time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub updated: String,
}

/// A trigger that a pipeline names for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "trigger", rename_all = "snake_case")]
pub enum TriggerSpec {
    /// A build at given times, whether anything changed or not.
    Cron {
        /// A cron expression (see [`crate::schedule`]).
        schedule: String,
    },
    /// A look at the remote repository at given times.
    Poll {
        /// A cron expression.
        schedule: String,
    },
    /// A build after a build of another app.
    Upstream {
        /// The other apps: `shop`, or `shop/main` for one branch alone.
        projects: Vec<String>,
        /// The worst result of theirs that counts.
        #[serde(default = "success")]
        threshold: BuildResult,
    },
}

fn success() -> BuildResult {
    BuildResult::Success
}

/// Which kind of server the remote repository is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forge {
    /// GitHub, or GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea or Forgejo.
    Gitea,
    /// Any git server: it is polled, and has neither pull requests nor statuses.
    #[default]
    Plain,
}

/// What is done with pull requests of forks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Forks {
    /// They are listed, not built: whoever opens one could run what they like on this machine.
    #[default]
    Never,
    /// They are built, with neither credentials nor configuration nor the app's caches.
    WithoutCredentials,
}

/// What makes an app's builds start by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TriggerSettings {
    /// The remote repository's address.
    pub remote: Option<String>,
    /// The kind of its server.
    pub forge: Forge,
    /// The address of the server's API, where it is not the usual one.
    pub api: Option<String>,
    /// The credential that the remote is fetched with, where it needs one.
    pub credential: Option<CredentialId>,
    /// Whether every branch, tag and pull request builds by itself; otherwise only the app's own branch does.
    pub multibranch: bool,
    /// Only branches that match one of these patterns; all where there are none.
    pub include: Vec<String>,
    /// No branches that match one of these.
    pub exclude: Vec<String>,
    /// Whether new tags are built.
    pub tags: bool,
    /// What is done with pull requests of forks.
    pub forks: Forks,
    /// When the remote is looked at, as a cron expression; never by itself where absent.
    pub poll: Option<String>,
    /// The credential whose token reports builds as commit statuses, and lists open pull requests; no statuses where
    /// absent.
    pub status_credential: Option<CredentialId>,
    /// Branches and pull requests (`PR-*`) that get a preview: a deploy of their own under their own host name.
    pub previews: Vec<String>,
    /// The domain below which previews have their names; `APP-BRANCH.localhost` alone where absent.
    pub preview_domain: Option<String>,
    /// The names of the app's variables that its previews get too.
    pub preview_vars: Vec<String>,
    /// How many previews there may be at once; the oldest makes room.
    pub preview_limit: u32,
}

impl Default for TriggerSettings {
    fn default() -> Self {
        Self {
            remote: None,
            forge: Forge::Plain,
            api: None,
            credential: None,
            multibranch: false,
            include: Vec::new(),
            exclude: Vec::new(),
            tags: true,
            forks: Forks::Never,
            poll: None,
            status_credential: None,
            previews: Vec::new(),
            preview_domain: None,
            preview_vars: Vec::new(),
            preview_limit: 5,
        }
    }
}

/// An app's trigger settings with what belongs to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Triggers {
    /// The settings.
    pub settings: TriggerSettings,
    /// The path below Launchway's own address that webhooks go to.
    pub hook: String,
    /// Whether there is a secret for webhooks; without one none is taken.
    pub has_secret: bool,
    /// When the remote was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub looked: Option<Timestamp>,
    /// Why the last look failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How many commit statuses wait to be taken by the forge.
    #[serde(default)]
    pub statuses_waiting: u64,
    /// Why the last of them was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_trouble: Option<String>,
}

/// The secret for an app's webhooks, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookSecret {
    /// The path below Launchway's own address that webhooks go to.
    pub hook: String,
    /// The secret to enter at the forge.
    pub secret: String,
}

/// What a branch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BranchKind {
    /// A branch.
    Branch,
    /// A pull request, named `PR-` and its number.
    Change,
    /// A tag.
    Tag,
}

/// A branch, tag or pull request of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Branch {
    /// Its name; of a pull request `PR-` and its number.
    pub name: String,
    /// What it is.
    pub kind: BranchKind,
    /// Its newest commit that is known, 40 hex digits.
    pub head: String,
    /// The pull request, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Its last build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildId>,
    /// How the last build stands: `queued`, `running`, or the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Why it is not built, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// The app that is its preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<AppName>,
    /// What starts its builds beside commits, as its pipeline said in its last build.
    #[serde(default)]
    pub triggers: Vec<TriggerSpec>,
    /// When its schedule next starts something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<Timestamp>,
    /// When it was last seen to change.
    #[schema(value_type = String)]
    pub changed: Timestamp,
}

/// A webhook's delivery, as it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The id that the forge gave it.
    pub id: String,
    /// The forge's word for what happened.
    pub event: String,
    /// When it came.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// What came of it.
    pub outcome: String,
}

/// What a look at a remote repository found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct LookReport {
    /// The builds that it queued, with their branches.
    #[schema(value_type = Vec<(String, u64)>)]
    pub queued: Vec<(String, BuildId)>,
    /// Branches that are gone.
    pub gone: Vec<String>,
    /// How many branches, tags and pull requests there are.
    pub seen: u64,
}
