//! Keeping build caches and repositories within their budgets.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use launchway_model::{AppName, Problem};

use super::{blocking, usage};
use crate::{Control, git, problem};

/// Sweeps all apps once. `cache_bytes` is what each app's build cache may take.
pub(crate) async fn once(control: &Control, cache_bytes: u64) -> Result<(), Problem> {
    for app in control.store.apps().await.map_err(problem::store)? {
        let cache = control.settings().home.app_cache(&app.name);
        let removed = blocking(move || Ok(sweep_cache(&cache, cache_bytes))).await?;
        if removed > 0 {
            tracing::info!(app = %app.name, removed, "layers of the build cache are removed");
        }
        pack_repository(control, &app.name).await?;
    }
    Ok(())
}

/// Removes the layers that were used longest ago until the cache is within its bytes; gives how many.
pub(super) fn sweep_cache(cache: &Path, most: u64) -> usize {
    let mut layers: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
    for set in folders(&cache.join("layers")) {
        for layer in folders(&set) {
            let used = std::fs::metadata(layer.join("used")).and_then(|data| data.modified());
            let bytes = usage::size(&layer);
            layers.push((used.unwrap_or(SystemTime::UNIX_EPOCH), layer, bytes));
        }
    }
    // What tools keep beside our layers (pip's, npm's, cargo's caches) counts too: it is what makes a cache grow.
    let mut bytes = usage::size(cache);
    layers.sort();
    let mut removed = 0;
    for (_, layer, size) in layers {
        if bytes <= most {
            return removed;
        }
        let Some(set) = layer.parent() else { continue };
        // A build that reads or writes this set holds its lock; it is left to the next sweep.
        let Ok(lock) = File::options().write(true).open(set.join("lock")) else {
            continue;
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => continue,
        }
        if std::fs::remove_dir_all(&layer).is_ok() {
            bytes = bytes.saturating_sub(size);
            removed += 1;
        }
    }
    removed
}

fn folders(of: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(of)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Packs a mirror that has grown over its budget; commits that a branch or a release names stay.
async fn pack_repository(control: &Control, app: &AppName) -> Result<(), Problem> {
    let repository = control.settings().home.repository(app);
    let budget = control.settings().budgets.repository_bytes;
    let measured = repository.clone();
    let bytes = blocking(move || Ok(usage::size(&measured))).await?;
    if bytes <= budget {
        return Ok(());
    }
    let packed = git::run(
        &repository,
        ["gc", "--quiet", "--prune=2.weeks.ago"],
        git::LONG,
    )
    .await;
    if let Err(error) = packed {
        tracing::warn!(%app, %error, "the repository cannot be packed");
    }
    Ok(())
}
