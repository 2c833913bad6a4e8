//! What a release writes into its tree, where the next release will not find it: noticed, and named in an alert.
//!
//! Only what changed after the release command counts (a build and a release command may write what they like), and
//! not what lies at a persistent path. It is looked for by the time of change of files, soon after a switch and now and then
//! afterwards; nothing is watched, so that an app that writes much costs no more than one that writes nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use launchway_model::alert::{AlertSeverity, NewAlert};
use launchway_model::deploy::Release;
use launchway_model::{BuildId, Problem};
use tokio_util::sync::CancellationToken;

use crate::{Control, alerts, problem};

/// The kind of the alerts.
pub const KIND: &str = "tree-write";
/// How often all apps are looked at.
const EVERY: Duration = Duration::from_secs(60);
/// The file in a build's folder whose time says when the tree was done.
const MARK: &str = "tree.done";
/// The most files of a tree that are looked at.
const MOST_FILES: usize = 200_000;
/// The most places that an alert names.
const MOST_PLACES: usize = 8;
/// A folder with more new files than this is named instead of them.
const FEW: usize = 3;

/// Caches that lose nothing with a release, by the name of a folder.
const CACHES: [&str; 10] = [
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".cache",
    ".parcel-cache",
    ".vite",
    ".turbo",
    ".sass-cache",
    "node_modules",
];

/// Notes that a build's tree is done, before its first instance starts; after a release command it is done anew.
pub(crate) fn mark(control: &Control, build: BuildId, again: bool) {
    let path = control.settings().home.build(build).join(MARK);
    // Without the mark nothing is noticed, which is not worth a failed deploy.
    if (again || !path.exists())
        && let Err(error) = fs::write(&path, "")
    {
        tracing::debug!(%error, path = %path.display(), "the tree's time cannot be noted");
    }
}

/// Looks now and then until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(problem) = once(&control).await {
            tracing::warn!(%problem, "what releases write into their trees cannot be looked for");
        }
    }
}

/// Looks at all apps once, and raises or ends their alerts.
///
/// # Errors
/// The store fails.
pub async fn once(control: &Control) -> Result<(), Problem> {
    let serving = control
        .store
        .serving_releases()
        .await
        .map_err(problem::store)?;
    for release in serving {
        look(control, &release).await?;
    }
    Ok(())
}

async fn look(control: &Control, release: &Release) -> Result<(), Problem> {
    let home = &control.settings().home;
    let tree = home.tree(&release.app, release.build);
    let mark = home.build(release.build).join(MARK);
    let persist = release.spec.persist.clone();
    let found = tokio::task::spawn_blocking(move || {
        let done = fs::metadata(mark).and_then(|mark| mark.modified()).ok()?;
        Some(scan(&tree, &persist, done))
    });
    let Ok(Some(places)) = found.await else {
        return Ok(());
    };
    let app = &release.app;
    if places.is_empty() {
        alerts::clear(control, KIND, app.as_str()).await?;
        return Ok(());
    }
    let more = places.len().saturating_sub(MOST_PLACES);
    let mut named = places[..places.len().min(MOST_PLACES)].join(", ");
    if more > 0 {
        named += &format!(" and {more} more");
    }
    let list: Vec<String> = places
        .iter()
        .take(MOST_PLACES)
        .map(|place| format!("\"{place}\""))
        .collect();
    let alert = NewAlert::new(
        KIND,
        app.as_str(),
        AlertSeverity::Warning,
        format!(
            "{app} {} writes into its tree: {named}",
            release.number
        ),
    )
    .of(app.clone())
    .hint(format!(
        "The next release will not have it. To keep it, write persist = [{}] in launchway.toml; what is only a cache belongs below /tmp or $HOME.",
        list.join(", ")
    ));
    alerts::raise(control, alert).await?;
    Ok(())
}

/// The places of a tree that changed after a moment, outside the persistent paths, in order. A folder with many is named alone,
/// with a slash.
fn scan(tree: &Path, persist: &[String], done: SystemTime) -> Vec<String> {
    let kept: Vec<&Path> = persist
        .iter()
        .map(|path| Path::new(path.trim_end_matches('/').trim_start_matches("./")))
        .collect();
    let mut by_folder: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut budget = MOST_FILES;
    walk(
        tree,
        Path::new(""),
        &kept,
        done,
        &mut budget,
        &mut by_folder,
    );
    let mut places = Vec::new();
    for (folder, files) in by_folder {
        if folder.is_empty() || files.len() <= FEW {
            places.extend(files);
        } else {
            places.push(format!("{folder}/"));
        }
    }
    places.sort();
    places.dedup();
    places
}

fn walk(
    tree: &Path,
    below: &Path,
    kept: &[&Path],
    done: SystemTime,
    budget: &mut usize,
    found: &mut BTreeMap<String, Vec<String>>,
) {
    for entry in fs::read_dir(tree.join(below))
        .into_iter()
        .flatten()
        .flatten()
    {
        let Some(left) = budget.checked_sub(1) else {
            return;
        };
        *budget = left;
        let name = entry.file_name();
        let path = below.join(&name);
        if kept.contains(&path.as_path()) || is_cache(&name) {
            continue;
        }
        let Ok(data) = entry.metadata() else { continue };
        if data.is_dir() {
            walk(tree, &path, kept, done, budget, found);
        } else if data.modified().is_ok_and(|time| time > done) {
            let folder = below.to_string_lossy().into_owned();
            let path = path.to_string_lossy().into_owned();
            found.entry(folder).or_default().push(path);
        }
    }
}

fn is_cache(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    CACHES.contains(&&*name)
        || name.ends_with(".pyc")
        || name.ends_with("-journal")
        || name.ends_with("-wal")
        || name.ends_with("-shm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_outside_the_persistent_paths_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path();
        let write = |path: &str, ago: i64| {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(&path).unwrap();
            let now = SystemTime::now();
            let seconds = Duration::from_secs(ago.unsigned_abs());
            let time = if ago < 0 {
                now + seconds
            } else {
                now - seconds
            };
            file.set_modified(time).unwrap();
        };
        write("app.py", 100);
        write("app.db", -5);
        write("instance/kept.db", -5);
        write("instance/lost.db", -5);
        write("__pycache__/app.cpython.pyc", -5);
        for number in 0..5 {
            write(&format!("logs/{number}.log"), -5);
        }
        let persist = ["./instance/kept.db".to_owned(), "uploads/".to_owned()];
        write("uploads/picture", -5);
        let places = scan(tree, &persist, SystemTime::now());
        assert_eq!(places, ["app.db", "instance/lost.db", "logs/"]);
    }
}
