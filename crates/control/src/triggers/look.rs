//! Compares an app's remote repository with what is known of it, builds what is new, sweeps what is gone.
//!
//! **Invariants:** a commit is built once for each branch, tag or pull request, however often and by whomever we are told of it;
//! what is built is what the remote has, never what a payload says; a remote that cannot be read, or answers that it has nothing,
//! sweeps nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use launchway_model::build::BuildRequest;
use launchway_model::trigger::{
    Branch, BranchKind, Change, Forge, Forks, LookReport, Origin, TriggerSettings,
};
use launchway_model::{AppName, BuildId, Problem};
use launchway_pipeline::glob::Pattern;
use launchway_store::triggers::StoredBranch;

use super::remote::{Refs, Remote};
use super::{forge, is, previews};
use crate::{Control, builds, git, problem, source};

/// Says in a branch's record that it is gone and only its preview is still to be removed.
pub(super) const GONE: &str = "it is gone";

/// What a look found, in words.
pub(super) fn words(looked: &LookReport) -> String {
    let mut words = match &looked.queued[..] {
        [] => "nothing new to build".to_owned(),
        queued => {
            let all: Vec<String> = queued
                .iter()
                .take(10)
                .map(|(branch, build)| format!("{branch} as build {build}"))
                .collect();
            format!("queued {}", all.join(", "))
        }
    };
    if !looked.gone.is_empty() {
        words.push_str(&format!("; gone: {}", looked.gone.join(", ")));
    }
    words
}

/// One branch, tag or pull request as the remote has it.
struct Seen {
    kind: BranchKind,
    name: String,
    head: String,
    change: Option<Change>,
    /// The remote's name and our own for it.
    refs: (String, String),
}

/// Looks at an app's remote. `changes` are pull requests that a webhook told of, each with whether it is closed.
pub(crate) async fn look(
    control: &Control,
    app: &AppName,
    cause: &str,
    changes: &[(Change, bool)],
) -> Result<LookReport, Problem> {
    let lock = control.looking.of(app);
    let _alone = lock.lock().await;
    let looked = look_alone(control, app, cause, changes).await;
    let trouble = looked.as_ref().err().map(ToString::to_string);
    control
        .store
        .set_looked(app, Timestamp::now(), trouble.as_deref())
        .await
        .map_err(problem::store)?;
    control.looking.scheduled.notify_one();
    looked
}

async fn look_alone(
    control: &Control,
    app: &AppName,
    cause: &str,
    changes: &[(Change, bool)],
) -> Result<LookReport, Problem> {
    let stored = super::stored(control, app).await?;
    let settings = &stored.settings;
    let remote = Remote::open(control, app, settings).await?;
    let known = control.store.branches(app).await.map_err(problem::store)?;
    let mut open = open_changes(&known, changes);
    let mut closed: Vec<String> = changes
        .iter()
        .filter(|(_, closed)| *closed)
        .map(|(change, _)| change_name(change))
        .collect();
    if settings.multibranch
        && let Some(listed) = forge::open_changes(control, app, settings, &remote.address).await?
    {
        let listed: BTreeMap<String, Change> = listed
            .into_iter()
            .map(|change| (change_name(&change), change))
            .collect();
        closed.extend(
            open.keys()
                .filter(|name| !listed.contains_key(*name))
                .cloned(),
        );
        open = listed;
    }
    if !settings.multibranch {
        open.clear();
    }
    let change_refs: Vec<String> = open
        .values()
        .filter_map(|change| change_ref(settings.forge, change))
        .collect();
    let refs = remote.list(&change_refs).await?;
    if !refs
        .commits
        .keys()
        .any(|name| name.starts_with("refs/heads/"))
    {
        return Err(Problem::invalid("the remote repository has no branch"));
    }
    let main = control
        .app(app)
        .await?
        .branch
        .or_else(|| refs.head.clone())
        .unwrap_or_else(|| "main".to_owned());
    let seen = seen_of(settings, &refs, &main, open);
    let mut looked = LookReport {
        seen: seen.len() as u64,
        ..LookReport::default()
    };
    let first = stored.looked.is_none();
    let mut candidates = Vec::new();
    for one in &seen {
        let before = known.iter().find(|stored| is(stored, one.kind, &one.name));
        if before.is_some_and(|stored| {
            stored.branch.head == one.head
                && stored.branch.change == one.change
                && (stored.built.as_ref() == Some(&one.head) || !may_change(stored, one, settings))
        }) {
            continue;
        }
        let skipped = reason_to_skip(settings, one, first && before.is_none());
        match skipped {
            Some(reason) => {
                see(control, app, one, Some(reason)).await?;
                // A branch that is left out from now on needs no preview.
                if let Some(stored) = before.filter(|stored| stored.branch.preview.is_some()) {
                    previews::remove(control, stored).await;
                }
            }
            None => candidates.push((one, before)),
        }
    }
    let pairs: Vec<(String, String)> = candidates.iter().map(|(one, _)| one.refs.clone()).collect();
    remote.fetch(&pairs).await?;
    for (one, before) in candidates {
        let queued = build(control, app, settings, &remote, &main, one, before, cause).await?;
        if let Some(build) = queued {
            looked.queued.push((one.name.clone(), build));
        }
    }
    for stored in &known {
        let gone = match stored.branch.kind {
            BranchKind::Change => closed.contains(&stored.branch.name),
            BranchKind::Branch | BranchKind::Tag => {
                !seen.iter().any(|one| is(stored, one.kind, &one.name))
                    && !refs.commits.contains_key(&full_name(stored))
            }
        };
        if gone {
            sweep(control, stored).await?;
            looked.gone.push(stored.branch.name.clone());
        }
    }
    Ok(looked)
}

/// Builds a branch's newest known commit, whether it was built before or not: for schedules and for other apps' builds.
pub(super) async fn build_again(
    control: &Control,
    stored: &StoredBranch,
    cause: &str,
) -> Result<Option<BuildId>, Problem> {
    let (app, branch) = (&stored.app, &stored.branch);
    if branch.skipped.is_some() {
        return Ok(None);
    }
    let settings = super::stored(control, app).await?.settings;
    let mut head = branch.head.clone();
    if settings.remote.is_some() {
        let looked = look(control, app, cause, &[]).await?;
        if let Some((_, build)) = looked.queued.iter().find(|(name, _)| *name == branch.name) {
            return Ok(Some(*build));
        }
        let now = control.store.branches(app).await.map_err(problem::store)?;
        match now
            .into_iter()
            .find(|one| is(one, branch.kind, &branch.name))
        {
            Some(now) => head = now.branch.head,
            // It is gone meanwhile.
            None => return Ok(None),
        }
    }
    let repository = source::repository(control, app).await?;
    let details = source::details_of(&repository, &head)
        .await
        .map_err(|error| error.problem(format!("the commit of {} cannot be read", branch.name)))?;
    let main = control.app(app).await?.branch;
    let origin = Origin {
        url: settings.remote.clone(),
        tag: (branch.kind == BranchKind::Tag).then(|| branch.name.clone()),
        change: branch.change.clone(),
        previous: stored.built.clone(),
        preview_of: branch.preview.as_ref().map(|_| app.clone()),
    };
    let request = BuildRequest {
        parameters: Default::default(),
        app: branch.preview.clone().unwrap_or_else(|| app.clone()),
        commit: details.commit,
        branch: Some(branch.name.clone()),
        subject: details.subject,
        author: details.author,
        cause: cause.to_owned(),
        deploy: branch.preview.is_some()
            || (branch.kind == BranchKind::Branch && main.as_ref() == Some(&branch.name)),
        origin,
    };
    source::queue_request(control, &request).await.map(Some)
}

/// A branch is gone: what waits or runs of it is cancelled, its preview and its record go.
pub(super) async fn sweep(control: &Control, stored: &StoredBranch) -> Result<(), Problem> {
    let branch = &stored.branch;
    let active = control
        .store
        .active_builds()
        .await
        .map_err(problem::store)?;
    for build in active {
        let request = &build.build.request;
        let owner = request.origin.preview_of.as_ref().unwrap_or(&request.app);
        if *owner == stored.app && request.branch.as_ref() == Some(&branch.name) {
            // It may have ended in this moment.
            let _ = builds::cancel(control, build.build.id).await;
        }
    }
    if branch.preview.is_some() && !previews::remove(control, stored).await {
        // Its last build or deploy has not ended yet; it is tried again.
        let mut branch = branch.clone();
        branch.skipped = Some(GONE.to_owned());
        return control
            .store
            .see_branch(&stored.app, &branch)
            .await
            .map_err(problem::store);
    }
    tracing::info!(app = %stored.app, branch = branch.name, "a branch is gone");
    control
        .store
        .forget_branch(&stored.app, branch.kind, &branch.name)
        .await
        .map_err(problem::store)
}

/// Queues the build of what a look found, unless nothing says how to build it.
#[expect(
    clippy::too_many_arguments,
    reason = "one step of a look, with all that the look knows"
)]
async fn build(
    control: &Control,
    app: &AppName,
    settings: &TriggerSettings,
    remote: &Remote,
    main: &str,
    one: &Seen,
    before: Option<&StoredBranch>,
    cause: &str,
) -> Result<Option<BuildId>, Problem> {
    let repository = remote.repository();
    // Between the listing and the fetch it may have moved on.
    let details = source::details_of(repository, &one.refs.1)
        .await
        .map_err(|error| error.problem(format!("the commit of {} cannot be read", one.name)))?;
    let one = &Seen {
        head: details.commit.clone(),
        change: one.change.clone(),
        name: one.name.clone(),
        refs: one.refs.clone(),
        kind: one.kind,
    };
    if before.is_some_and(|stored| stored.built.as_ref() == Some(&one.head)) {
        // Only its title or target changed.
        see(control, app, one, None).await?;
        return Ok(None);
    }
    let is_main = one.kind == BranchKind::Branch && one.name == main;
    if !is_main && !has_pipeline(control, app, repository, &one.head).await? {
        see(
            control,
            app,
            one,
            Some("it has neither a Jenkinsfile nor a launchway.toml"),
        )
        .await?;
        return Ok(None);
    }
    let previous = match before.and_then(|stored| stored.built.clone()) {
        Some(previous) => Some(previous),
        None => fork_point(repository, one).await,
    };
    let mut origin = Origin {
        url: Some(remote.address.url.clone()),
        tag: (one.kind == BranchKind::Tag).then(|| one.name.clone()),
        change: one.change.clone(),
        previous,
        preview_of: None,
    };
    see(control, app, one, None).await?;
    if is_main {
        control
            .store
            .adopt_branch(app, main)
            .await
            .map_err(problem::store)?;
    }
    let mut target = app.clone();
    if !is_main && !origin.is_foreign() && previews::wanted(settings, one.kind, &one.name) {
        target =
            previews::prepare(control, app, settings, one.kind, &one.name, &one.refs.1).await?;
        origin.preview_of = Some(app.clone());
    }
    let request = BuildRequest {
        parameters: Default::default(),
        deploy: is_main || target != *app,
        app: target,
        commit: details.commit,
        branch: Some(one.name.clone()),
        subject: details.subject,
        author: details.author,
        cause: cause.to_owned(),
        origin,
    };
    source::queue_request(control, &request).await.map(Some)
}

/// Writes what is known of it.
async fn see(
    control: &Control,
    app: &AppName,
    one: &Seen,
    skipped: Option<&str>,
) -> Result<(), Problem> {
    let branch = Branch {
        name: one.name.clone(),
        kind: one.kind,
        head: one.head.clone(),
        change: one.change.clone(),
        build: None,
        result: None,
        skipped: skipped.map(str::to_owned),
        preview: None,
        triggers: Vec::new(),
        next: None,
        changed: Timestamp::now(),
    };
    control
        .store
        .see_branch(app, &branch)
        .await
        .map_err(problem::store)
}

/// The pull requests that are open as far as is known: those of before, and what a webhook says now.
fn open_changes(known: &[StoredBranch], changes: &[(Change, bool)]) -> BTreeMap<String, Change> {
    let mut open: BTreeMap<String, Change> = known
        .iter()
        .filter(|stored| stored.branch.skipped.as_deref() != Some(GONE))
        .filter_map(|stored| Some((stored.branch.name.clone(), stored.branch.change.clone()?)))
        .collect();
    for (change, closed) in changes {
        let name = change_name(change);
        // Deliveries may come out of order.
        if open
            .get(&name)
            .is_some_and(|before| !change.updated.is_empty() && before.updated > change.updated)
        {
            continue;
        }
        if *closed {
            open.remove(&name);
        } else {
            open.insert(name, change.clone());
        }
    }
    open
}

fn seen_of(
    settings: &TriggerSettings,
    refs: &Refs,
    main: &str,
    open: BTreeMap<String, Change>,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    for (full, head) in &refs.commits {
        if let Some(name) = full.strip_prefix("refs/heads/") {
            if settings.multibranch || name == main {
                seen.push(Seen {
                    kind: BranchKind::Branch,
                    name: name.to_owned(),
                    head: head.clone(),
                    change: None,
                    refs: (full.clone(), source::source_ref(name)),
                });
            }
        } else if let Some(name) = full.strip_prefix("refs/tags/")
            && settings.multibranch
            && settings.tags
        {
            seen.push(Seen {
                kind: BranchKind::Tag,
                name: name.to_owned(),
                head: head.clone(),
                change: None,
                refs: (full.clone(), full.clone()),
            });
        }
    }
    for (name, change) in open {
        let Some(theirs) = change_ref(settings.forge, &change) else {
            continue;
        };
        let Some(head) = refs.commits.get(&theirs) else {
            continue;
        };
        seen.push(Seen {
            kind: BranchKind::Change,
            name,
            head: head.clone(),
            refs: (theirs, format!("refs/launchway/changes/{}", change.id)),
            change: Some(change),
        });
    }
    seen
}

/// Why something is not built, before it is fetched.
fn reason_to_skip(
    settings: &TriggerSettings,
    one: &Seen,
    was_before: bool,
) -> Option<&'static str> {
    let any = |patterns: &[String]| {
        patterns
            .iter()
            .any(|pattern| Pattern::new(pattern).matches(&one.name))
    };
    let foreign = one
        .change
        .as_ref()
        .is_some_and(|change| change.fork.is_some());
    if one.kind == BranchKind::Tag && was_before {
        return Some("it was there before Launchway looked");
    }
    if one.kind != BranchKind::Change && is_change_name(&one.name) {
        return Some("names such as PR-1 are kept for pull requests");
    }
    if !settings.include.is_empty() && !any(&settings.include) {
        return Some("no pattern includes it");
    }
    if any(&settings.exclude) {
        return Some("a pattern excludes it");
    }
    if foreign && settings.forks == Forks::Never {
        return Some("pull requests of forks are not built");
    }
    None
}

/// Whether what was left out before may be built now that nothing of it changed: settings may have.
fn may_change(stored: &StoredBranch, one: &Seen, settings: &TriggerSettings) -> bool {
    let now = reason_to_skip(settings, one, false);
    match (&stored.branch.skipped, now) {
        (Some(before), None) => {
            !before.starts_with("it has neither") && !before.starts_with("it was there before")
        }
        (None, _) => true,
        (Some(before), Some(now)) => before != now,
    }
}

/// The name of a pull request among branches.
fn change_name(change: &Change) -> String {
    format!("PR-{}", change.id)
}

fn is_change_name(name: &str) -> bool {
    name.strip_prefix("PR-").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Where a forge keeps the newest commit of a pull request, in the repository that it is for.
fn change_ref(forge: Forge, change: &Change) -> Option<String> {
    if !change.id.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match forge {
        Forge::Github | Forge::Gitea => Some(format!("refs/pull/{}/head", change.id)),
        Forge::Gitlab => Some(format!("refs/merge-requests/{}/head", change.id)),
        Forge::Plain => None,
    }
}

fn full_name(stored: &StoredBranch) -> String {
    let folder = match stored.branch.kind {
        BranchKind::Tag => "tags",
        BranchKind::Branch | BranchKind::Change => "heads",
    };
    format!("refs/{folder}/{}", stored.branch.name)
}

/// Whether a commit says how it is built: by its files, or by a description outside the repository.
async fn has_pipeline(
    control: &Control,
    app: &AppName,
    repository: &std::path::Path,
    commit: &str,
) -> Result<bool, Problem> {
    if control.app(app).await?.description.is_some() {
        return Ok(true);
    }
    let listed = git::run(
        repository,
        [
            "ls-tree",
            "--name-only",
            "--end-of-options",
            commit,
            "Jenkinsfile",
            "launchway.toml",
        ],
        git::QUICK,
    )
    .await
    .map_err(|error| error.problem("the commit's files cannot be listed"))?;
    Ok(!listed.trim().is_empty())
}

/// Where a pull request left its target: what it changes counts from there.
async fn fork_point(repository: &std::path::Path, one: &Seen) -> Option<String> {
    let target = source::source_ref(&one.change.as_ref()?.target);
    git::run(
        repository,
        ["merge-base", "--end-of-options", &target, &one.head],
        git::QUICK,
    )
    .await
    .ok()
}
