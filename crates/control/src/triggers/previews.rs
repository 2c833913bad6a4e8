//! Previews: a deploy of a branch or pull request under a host name of its own.
//!
//! A preview is an app of its own (`shop-pr-12`), so that everything that is true of apps is true of it: its instances,
//! its user, its health, its address `shop-pr-12.localhost`. It has the commits of its app's repository, and of its app's
//! variables those alone that the settings name: a preview that writes to the real database by accident is the one thing
//! that must not happen. It goes with its branch.
//!
//! No pull request of a fork ever gets one.

use std::collections::BTreeMap;

use launchway_model::api::ConfigChange;
use launchway_model::trigger::{BranchKind, TriggerSettings};
use launchway_model::{AppName, Problem, ProblemKind};
use launchway_pipeline::glob::Pattern;
use launchway_store::triggers::StoredBranch;
use sha2::{Digest, Sha256};

use crate::{Control, apps, config, git, problem, source};

/// Where a preview's repository keeps the commit that it is built of.
const COMMIT: &str = "refs/launchway/preview";

/// Whether a branch gets a preview.
pub(super) fn wanted(settings: &TriggerSettings, kind: BranchKind, name: &str) -> bool {
    kind != BranchKind::Tag
        && settings
            .previews
            .iter()
            .any(|pattern| Pattern::new(pattern).matches(name))
}

/// The name of a branch's preview. Two branches never share one: where the name had to be changed to be a host's, it ends with
/// a few digits of its hash.
pub(super) fn name_of(app: &AppName, branch: &str) -> AppName {
    let plain = format!("{app}-{}", branch.to_ascii_lowercase());
    let is_plain = branch
        .chars()
        .all(|c| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '-')
        || branch.starts_with("PR-");
    if is_plain
        && plain.len() <= 40
        && let Ok(name) = plain.parse()
    {
        return name;
    }
    let hash = format!("{:x}", Sha256::digest(branch.as_bytes()));
    let mut short: String = AppName::from_any(&plain).to_string();
    short.truncate(40);
    AppName::from_any(&format!("{}-{}", short.trim_end_matches('-'), &hash[..6]))
}

/// Makes a branch's preview ready to be built: the app, its commit (`reference` in the app's repository), its variables, its
/// host name. Where there are too many, the ones that were not touched the longest go.
pub(super) async fn prepare(
    control: &Control,
    app: &AppName,
    settings: &TriggerSettings,
    kind: BranchKind,
    branch: &str,
    reference: &str,
) -> Result<AppName, Problem> {
    let name = name_of(app, branch);
    let branches = control.store.branches(app).await.map_err(problem::store)?;
    let known = branches
        .iter()
        .any(|stored| stored.branch.preview.as_ref() == Some(&name));
    if !known
        && control
            .store
            .app(&name)
            .await
            .map_err(problem::store)?
            .is_some()
    {
        return Err(Problem::conflict(format!(
            "the preview of {branch} would be called `{name}`, which is another app"
        ))
        .hint("Rename the branch or the app."));
    }
    // The last changed come first; the new one needs a place too.
    let others: Vec<&StoredBranch> = branches
        .iter()
        .filter(|stored| {
            stored
                .branch
                .preview
                .as_ref()
                .is_some_and(|preview| *preview != name)
        })
        .collect();
    let places = usize::try_from(settings.preview_limit).unwrap_or(1).max(1) - 1;
    for oldest in others.iter().skip(places) {
        tracing::info!(%app, branch = oldest.branch.name, "a preview makes room for a newer one");
        remove(control, oldest).await;
    }
    let folder = source::repository(control, &name).await?;
    // From here on it is known whose preview it is, so that it goes with the branch, whatever fails below.
    if let Some(mut stored) = branches
        .into_iter()
        .chain(control.store.branches(app).await.map_err(problem::store)?)
        .find(|stored| super::is(stored, kind, branch))
    {
        stored.branch.preview = Some(name.clone());
        control
            .store
            .see_branch(app, &stored.branch)
            .await
            .map_err(problem::store)?;
    }
    let parent = source::repository(control, app).await?;
    let spec = format!("+{reference}:{COMMIT}");
    let parent = parent.to_string_lossy();
    git::run(
        &folder,
        [
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--upload-pack",
            git::LOCAL_UPLOAD_PACK,
            "--end-of-options",
            parent.as_ref(),
            &spec,
        ],
        git::LONG,
    )
    .await
    .map_err(|error| error.problem("the preview's commit cannot be copied"))?;
    let of_app = config::get(control, app).await?.vars;
    let mut set: BTreeMap<String, String> = of_app
        .into_iter()
        .filter(|(variable, _)| settings.preview_vars.contains(variable))
        .collect();
    set.insert("LAUNCHWAY_PREVIEW_OF".to_owned(), app.to_string());
    set.insert("LAUNCHWAY_PREVIEW_BRANCH".to_owned(), branch.to_owned());
    let change = ConfigChange {
        set,
        unset: Vec::new(),
    };
    config::change(control, &name, change).await?;
    if let Some(description) = control.app(app).await?.description {
        apps::describe(control, &name, &description).await?;
    }
    if let Some(domain) = &settings.preview_domain {
        let label = name
            .as_str()
            .strip_prefix(app.as_str())
            .unwrap_or(name.as_str());
        let host = format!("{}.{domain}", label.trim_start_matches('-'));
        if let Err(problem) = apps::add_domain(control, &name, &host).await {
            tracing::warn!(%app, %problem, "a preview has no host name but its own");
        }
    }
    Ok(name)
}

/// Removes a branch's preview; false where something still uses it, or it cannot be removed now.
pub(super) async fn remove(control: &Control, stored: &StoredBranch) -> bool {
    let Some(preview) = &stored.branch.preview else {
        return true;
    };
    match apps::delete(control, preview).await {
        Ok(()) => {}
        Err(problem) if problem.kind == ProblemKind::NotFound => {}
        Err(problem) => {
            tracing::info!(%preview, %problem, "a preview is removed later");
            return false;
        }
    }
    if let Err(error) = control.store.forget_preview(&stored.app, preview).await {
        tracing::error!(error = %problem::store(error), "a preview's record cannot be changed");
        return false;
    }
    true
}
