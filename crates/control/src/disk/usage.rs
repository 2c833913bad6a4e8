//! Measuring: a walk over the home, a file with several links counted once.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use launchway_model::disk::{DiskUsage, KindUsage};
use launchway_model::home::Home;
use launchway_model::{AppName, Problem};

use super::{blocking, room, watch};
use crate::{Control, Settings, problem};

pub(super) async fn get(control: &Control) -> Result<DiskUsage, Problem> {
    let apps = control.store.apps().await.map_err(problem::store)?;
    let apps: Vec<AppName> = apps.into_iter().map(|app| app.name).collect();
    let mut builds = BTreeMap::new();
    for app in &apps {
        let of_app = control
            .store
            .builds(Some(app), 10_000)
            .await
            .map_err(problem::store)?;
        for build in of_app {
            builds.insert(build.id, app.clone());
        }
    }
    let settings = control.settings().clone();
    blocking(move || {
        let home = &settings.home;
        let (free_bytes, total_bytes) =
            room(home.root()).map_err(|error| problem::file("look at", home.root(), &error))?;
        let mut of_builds = BTreeMap::<AppName, u64>::new();
        for (build, app) in builds {
            *of_builds.entry(app).or_default() += size(&home.build(build));
        }
        let mut kinds = kinds(&settings, &apps);
        kinds.push(by_app("builds", Some(settings.build_bytes), of_builds));
        kinds.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.kind.cmp(&b.kind)));
        Ok(DiskUsage {
            total_bytes,
            free_bytes,
            reserve_bytes: size(&watch::reserve(home)),
            kinds,
        })
    })
    .await
}

fn kinds(settings: &Settings, apps: &[AppName]) -> Vec<KindUsage> {
    let home = &settings.home;
    let each = |kind: &str, budget: Option<u64>, place: &dyn Fn(&AppName) -> PathBuf| {
        let sizes = apps
            .iter()
            .map(|app| (app.clone(), size(&place(app))))
            .collect();
        by_app(kind, budget, sizes)
    };
    let budgets = &settings.budgets;
    vec![
        each("releases", None, &|app| home.trees(app)),
        each("logs", Some(budgets.log_bytes), &|app| home.app_logs(app)),
        each("caches", Some(budgets.cache_bytes), &|app| {
            home.app_cache(app)
        }),
        each("persistent", None, &|app| home.app_persist(app)),
        each("repositories", Some(budgets.repository_bytes), &|app| {
            home.repository(app)
        }),
        whole("metrics", None, &[home.metrics()]),
        whole("database", None, &database_files(home)),
        whole("backups", None, &[home.root().join("backups")]),
        whole("proxy", None, &[home.proxy()]),
    ]
}

/// The database, what SQLite keeps beside it, and the copies of earlier schemas.
fn database_files(home: &Home) -> Vec<PathBuf> {
    let database = home.database();
    let Some(name) = database.file_name().map(|name| name.to_owned()) else {
        return Vec::new();
    };
    std::fs::read_dir(home.root())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(name.as_encoded_bytes())
        })
        .map(|entry| entry.path())
        .collect()
}

fn by_app(kind: &str, budget_bytes: Option<u64>, apps: BTreeMap<AppName, u64>) -> KindUsage {
    KindUsage {
        kind: kind.to_owned(),
        bytes: apps.values().sum(),
        budget_bytes,
        apps,
    }
}

fn whole(kind: &str, budget_bytes: Option<u64>, places: &[PathBuf]) -> KindUsage {
    KindUsage {
        kind: kind.to_owned(),
        bytes: places.iter().map(|place| size(place)).sum(),
        budget_bytes,
        apps: BTreeMap::new(),
    }
}

/// The bytes that a file or a folder takes on the disk; links are not followed.
pub(super) fn size(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(data) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if data.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path()));
        } else if data.nlink() > 1 && !seen.insert((data.dev(), data.ino())) {
            continue;
        }
        bytes += data.blocks() * 512;
    }
    bytes
}
