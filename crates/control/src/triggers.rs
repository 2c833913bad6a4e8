//! What starts builds by itself: webhooks, polls, schedules, builds of other apps.
//!
//! - [`hooks`] takes a webhook in: proves its sender, refuses replays, writes it down, and is done; [`deliveries`] acts on it.
//! - [`look`] compares an app's remote repository with what is known of its branches, tags and pull requests, queues builds of
//!   what is new, and sweeps what is gone. Everything that only says "something happened" ends here, so that a payload
//!   is never believed about commits.
//! - [`clock`] starts what is due by a schedule: polls, and the cron lines of pipelines.
//! - [`upstream`] starts builds after builds of other apps.
//! - [`statuses`] tells a forge how builds stand, until it took it.
//! - [`previews`] gives a branch a deploy of its own, as an app of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use launchway_model::schedule::Schedule;
use launchway_model::trigger::{
    Branch, BranchKind, Delivery, Forge, HookSecret, LookReport, TriggerSettings, TriggerSpec,
    Triggers,
};
use launchway_model::{AppName, Problem};
use launchway_store::triggers::{StoredBranch, StoredTriggers};
use tokio::sync::Notify;

use crate::{Control, problem, secrets};

pub(crate) mod clock;
pub(crate) mod deliveries;
mod forge;
mod hooks;
mod look;
mod previews;
mod remote;
pub(crate) mod statuses;
pub(crate) mod upstream;

pub use hooks::{HookAnswer, take_hook};

/// What the parts of this module share.
#[derive(Default)]
pub(crate) struct Looking {
    /// A lock for each app: its remote is looked at by one at a time.
    apps: Mutex<BTreeMap<AppName, Arc<tokio::sync::Mutex<()>>>>,
    /// A delivery came.
    pub(crate) delivered: Notify,
    /// Schedules changed.
    pub(crate) scheduled: Notify,
}

impl Looking {
    fn of(&self, app: &AppName) -> Arc<tokio::sync::Mutex<()>> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(apps.entry(app.clone()).or_default())
    }
}

/// An app's trigger settings.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn get(control: &Control, app: &AppName) -> Result<Triggers, Problem> {
    control.app(app).await?;
    let stored = stored(control, app).await?;
    let (statuses_waiting, status_trouble) = control
        .store
        .status_trouble(app)
        .await
        .map_err(problem::store)?;
    Ok(Triggers {
        has_secret: stored.secret.is_some(),
        settings: stored.settings,
        hook: hook_path(app),
        looked: stored.looked,
        trouble: stored.trouble,
        statuses_waiting,
        status_trouble,
    })
}

/// Replaces an app's trigger settings.
///
/// # Errors
/// A setting is not what it should be, the app does not exist, or the store fails.
pub async fn set(
    control: &Control,
    app: &AppName,
    mut settings: TriggerSettings,
) -> Result<Triggers, Problem> {
    control.app(app).await?;
    check(app, &mut settings)?;
    control
        .store
        .set_triggers(app, &settings)
        .await
        .map_err(problem::store)?;
    control.looking.scheduled.notify_one();
    get(control, app).await
}

/// Makes a new secret for an app's webhooks; one before it is worth nothing from now on. This is the only time that it is
/// shown.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn new_secret(control: &Control, app: &AppName) -> Result<HookSecret, Problem> {
    control.app(app).await?;
    let random: [u8; 24] = secrets::random()?;
    let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let _storing = control.vault.storing.read().await;
    let sealed = control
        .vault
        .seal_bytes(&secret_context(app), secret.as_bytes())?;
    control
        .store
        .set_hook_secret(app, &sealed)
        .await
        .map_err(problem::store)?;
    Ok(HookSecret {
        hook: hook_path(app),
        secret,
    })
}

/// The branches, tags and pull requests of an app, the last changed first.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn branches(control: &Control, app: &AppName) -> Result<Vec<Branch>, Problem> {
    control.app(app).await?;
    let stored = control.store.branches(app).await.map_err(problem::store)?;
    let now = Timestamp::now();
    Ok(stored
        .into_iter()
        .map(|stored| {
            let next = next_of(&stored, now);
            Branch {
                next,
                ..stored.branch
            }
        })
        .collect())
}

/// The last deliveries of an app's webhooks, newest first.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn deliveries(
    control: &Control,
    app: &AppName,
    limit: u32,
) -> Result<Vec<Delivery>, Problem> {
    control.app(app).await?;
    control
        .store
        .deliveries(app, limit)
        .await
        .map_err(problem::store)
}

/// Looks at an app's remote repository now.
///
/// # Errors
/// The app does not exist or has no remote, the remote cannot be reached, or the store fails.
pub async fn look_now(control: &Control, app: &AppName) -> Result<LookReport, Problem> {
    control.app(app).await?;
    look::look(control, app, "poll", &[]).await
}

/// What the secret of an app's webhooks is authenticated with.
pub(crate) fn secret_context(app: &AppName) -> String {
    format!("launchway hook {app}")
}

/// The path that an app's webhooks go to.
fn hook_path(app: &AppName) -> String {
    format!("/hooks/{app}")
}

async fn stored(control: &Control, app: &AppName) -> Result<StoredTriggers, Problem> {
    let mut found = control
        .store
        .triggers(Some(app))
        .await
        .map_err(problem::store)?;
    Ok(found.pop().unwrap_or_else(|| StoredTriggers {
        app: app.clone(),
        settings: TriggerSettings::default(),
        secret: None,
        looked: None,
        trouble: None,
    }))
}

/// The seed of a branch's `H`: the full name that Jenkins gives such a job.
fn seed(app: &AppName, branch: &str) -> String {
    format!("{app}/{branch}")
}

/// A branch's schedules, each with whether it is a poll.
fn schedules(stored: &StoredBranch) -> impl Iterator<Item = (bool, Schedule)> {
    let seed = seed(&stored.app, &stored.branch.name);
    stored.branch.triggers.iter().filter_map(move |trigger| {
        let (poll, text) = match trigger {
            TriggerSpec::Cron { schedule } => (false, schedule),
            TriggerSpec::Poll { schedule } => (true, schedule),
            TriggerSpec::Upstream { .. } => return None,
        };
        // A pipeline may turn its schedule off by an empty one.
        Some((poll, Schedule::parse(text, &seed).ok()?))
    })
}

/// When a branch's schedule next starts a build.
fn next_of(stored: &StoredBranch, now: Timestamp) -> Option<Timestamp> {
    let zone = TimeZone::system();
    schedules(stored)
        .filter(|(poll, _)| !poll)
        .filter_map(|(_, schedule)| schedule.next_after(now, &zone))
        .min()
}

/// Checks settings, and fills in what the remote's address tells.
fn check(app: &AppName, settings: &mut TriggerSettings) -> Result<(), Problem> {
    if let Some(remote) = &settings.remote {
        let parsed = remote::Address::parse(remote)?;
        if settings.forge == Forge::Plain {
            settings.forge = parsed.known_forge();
        }
    } else if settings.multibranch || settings.poll.is_some() {
        return Err(
            Problem::invalid("there is no remote repository to look at").hint(format!(
                "Name it: `launchway triggers set --app {app} --remote https://…`."
            )),
        );
    }
    if let Some(poll) = &settings.poll
        && let Err(error) = Schedule::parse(poll, app.as_str())
    {
        return Err(error.problem());
    }
    if let Some(api) = &settings.api {
        let good = (api.starts_with("https://") || api.starts_with("http://"))
            && !api.contains(['@', ' ', '?', '#'])
            && api.len() <= 300;
        if !good {
            return Err(
                Problem::invalid(format!("`{api}` is not the address of an API")).hint(
                    "It reads like https://git.example.org/api/v4, without a user or password.",
                ),
            );
        }
    }
    if settings.status_credential.is_some() && settings.forge == Forge::Plain {
        return Err(
            Problem::invalid("a plain git server takes no commit statuses")
                .hint("Say which forge it is: `--forge github`, `gitlab` or `gitea`."),
        );
    }
    let patterns = [&settings.include, &settings.exclude, &settings.previews];
    if patterns
        .iter()
        .any(|all| all.len() > 100 || all.iter().any(|one| one.is_empty() || one.len() > 200))
    {
        return Err(Problem::invalid(
            "there may be at most 100 patterns, each of 1 to 200 characters",
        ));
    }
    if !settings.previews.is_empty() && !settings.multibranch {
        return Err(Problem::invalid(
            "previews are of branches, which are not built by themselves",
        )
        .hint("Add `--multibranch on`."));
    }
    if let Some(domain) = &settings.preview_domain {
        crate::apps::check_domain(domain)?;
    }
    settings.preview_limit = settings.preview_limit.clamp(1, 100);
    Ok(())
}

/// Whether a kind and name are those of a stored branch.
fn is(stored: &StoredBranch, kind: BranchKind, name: &str) -> bool {
    stored.branch.kind == kind && stored.branch.name == name
}

#[cfg(test)]
mod tests;
