//! Keeps what builds and ended instances leave within its budget, and never what a rollback needs: the trees of the
//! release that serves, of those that wait, and of the last ones that served.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::{AppName, BuildId, Problem};
use tokio_util::sync::CancellationToken;

use super::needs::{Keep, Needs};
use crate::{Control, logs, problem};

/// How often it is swept, besides once after the start.
const EVERY: Duration = Duration::from_secs(600);
/// The time after the start: not in the way of bringing everything up.
const FIRST: Duration = Duration::from_secs(20);
/// The folder of a build's archived files, below its own.
const ARTIFACTS: &str = "artifacts";
/// How many ended instances of an app keep their log.
const LOGS: usize = 40;

/// Sweeps now and then until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = EVERY;
        if let Err(problem) = once(&control).await {
            tracing::warn!(%problem, "old builds cannot be swept");
        }
    }
}

/// Sweeps all apps once.
pub(crate) async fn once(control: &Control) -> Result<(), Problem> {
    for app in control.store.apps().await.map_err(problem::store)? {
        sweep_builds(control, &app.name).await?;
        let alive: Vec<_> = control
            .observed
            .borrow()
            .instances
            .keys()
            .cloned()
            .collect();
        let folder = control.settings().home.app_logs(&app.name);
        let log_bytes = control.settings().budgets.log_bytes;
        blocking(move || logs::sweep(&folder, LOGS, log_bytes, |id| alive.contains(id))).await?;
    }
    Ok(())
}

async fn sweep_builds(control: &Control, app: &AppName) -> Result<(), Problem> {
    let settings = control.settings();
    let releases = u32::try_from(settings.keep_releases).unwrap_or(u32::MAX);
    let builds = control
        .store
        .sweepable_builds(app, releases)
        .await
        .map_err(problem::store)?;
    let needs: HashMap<BuildId, Needs> = control
        .store
        .needs_of(app)
        .await
        .map_err(problem::store)?
        .into_iter()
        .filter_map(|(id, text)| Some((id, serde_json::from_str(&text).ok()?)))
        .collect();
    // What the newest build of a branch says holds for all of them; with how many of them were met.
    let mut branches: HashMap<Option<String>, (Keep, usize)> = HashMap::new();
    let now = Timestamp::now();
    let mut bytes = 0;
    for (index, (build, needed)) in builds.into_iter().enumerate() {
        let folder = settings.home.build(build);
        let tree = settings.home.tree(app, build);
        let Some(stored) = control.store.build(build).await.map_err(problem::store)? else {
            continue;
        };
        let own = || {
            (
                needs
                    .get(&build)
                    .map_or(Keep::default(), |needs| needs.keep),
                0,
            )
        };
        let (keep, met) = branches
            .entry(stored.build.request.branch.clone())
            .or_insert_with(own);
        let newest = *met == 0;
        let discard = keep.discards(*met, stored.build.created, now);
        *met += 1;
        if discard.artifacts {
            remove(folder.join(ARTIFACTS)).await?;
        }
        if needed {
            continue;
        }
        let measured = folder.clone();
        bytes += blocking(move || Ok(size(&measured))).await?;
        // The tree of a build that no release needs is of use only while one of its stages may be tried again.
        if !newest {
            remove(tree.clone()).await?;
        }
        if discard.build || index >= settings.keep_builds || bytes > settings.build_bytes {
            remove(tree).await?;
            remove(folder).await?;
            control
                .store
                .mark_swept(build)
                .await
                .map_err(problem::store)?;
            tracing::info!(%app, %build, "an old build is removed");
        }
    }
    Ok(())
}

async fn remove(folder: PathBuf) -> Result<(), Problem> {
    blocking(move || match std::fs::remove_dir_all(&folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(problem::file("remove", &folder, &error)),
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Problem::internal("sweeping ended badly").cause(error)),
    }
}

/// The bytes of a folder's files, links not followed.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}
