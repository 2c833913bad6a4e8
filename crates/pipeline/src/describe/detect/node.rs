//! Node: package.json says what to build and start, the lock file which package manager installs.

use launchway_model::ProcessType;
use launchway_model::app::FilesSpec;
use serde_json::{Map, Value};

use super::super::draft::{Draft, ProcessDraft};
use super::{Sight, making};
use crate::error::{DescribeError, FileError};
use crate::plan::{Stage, Step};

/// What a Node tree seems to be.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) draft: Draft,
    /// Whether it has a build script, so that another language's pages may need it.
    pub(super) builds_assets: bool,
}

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}

pub(super) fn detect(sight: &Sight<'_>) -> Result<Option<Node>, DescribeError> {
    let Some(text) = sight.text("package.json") else {
        return Ok(None);
    };
    let package: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
        let start: usize = text
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1))
            .map(str::len)
            .sum();
        let at = start + error.column().saturating_sub(1);
        let message = error.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(message, _)| message);
        DescribeError::from(Box::new(FileError::new(
            "package.json",
            &text,
            at..at + 1,
            message,
            "here",
        )))
    })?;
    let script = |name: &str| {
        package
            .get("scripts")
            .and_then(|scripts| scripts.get(name))
            .and_then(Value::as_str)
            .filter(|script| !script.trim().is_empty())
    };
    let (manager, lock) = manager(sight, &package);
    let mut draft = Draft {
        sources: vec![format!(
            "package.json: a Node application, {}",
            match lock {
                Some(lock) => format!("installed by {} ({lock})", manager.name()),
                None => "installed by npm, with no lock file".to_owned(),
            }
        )],
        ..Draft::default()
    };
    let mut stages = Vec::new();
    let has_dependencies = ["dependencies", "devDependencies", "optionalDependencies"]
        .iter()
        .any(|key| {
            package
                .get(*key)
                .and_then(Value::as_object)
                .is_some_and(|map| !map.is_empty())
        });
    if has_dependencies {
        stages.push(install(sight, manager, lock));
    }
    let build = script("build");
    if build.is_some() {
        stages.push(Stage::new(
            "Build",
            vec![Step::run(format!("{} run build", manager.name()))],
        ));
    }
    draft.stages = Some(stages);
    if let Some(command) = start(sight, &package, manager, &script) {
        draft
            .env
            .insert("NODE_ENV".to_owned(), "production".to_owned());
        draft
            .processes
            .insert(ProcessType::web(), ProcessDraft::command(command));
    } else if build.is_some() {
        draft.files = built_site(&package).map(|folder| FilesSpec {
            folder: folder.to_owned(),
            fallback: Some("index.html".to_owned()),
        });
    }
    Ok(Some(Node {
        draft,
        builds_assets: build.is_some(),
    }))
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Bun => "bun",
        }
    }
}

/// The lock file decides; `packageManager` where there is none.
fn manager(sight: &Sight<'_>, package: &Map<String, Value>) -> (Manager, Option<&'static str>) {
    const LOCKS: [(&str, Manager); 6] = [
        ("package-lock.json", Manager::Npm),
        ("npm-shrinkwrap.json", Manager::Npm),
        ("pnpm-lock.yaml", Manager::Pnpm),
        ("yarn.lock", Manager::Yarn),
        ("bun.lock", Manager::Bun),
        ("bun.lockb", Manager::Bun),
    ];
    let named = package
        .get("packageManager")
        .and_then(Value::as_str)
        .and_then(|text| match text.split('@').next() {
            Some("pnpm") => Some(Manager::Pnpm),
            Some("yarn") => Some(Manager::Yarn),
            Some("npm") => Some(Manager::Npm),
            Some("bun") => Some(Manager::Bun),
            _ => None,
        });
    let mut locks = LOCKS.iter().filter(|(lock, _)| sight.is_file(lock));
    let lock = match named {
        // With two lock files there, the one of the named manager is meant.
        Some(named) => locks
            .clone()
            .find(|(_, manager)| *manager == named)
            .or_else(|| locks.next()),
        None => locks.next(),
    };
    match lock {
        Some((lock, manager)) => (*manager, Some(lock)),
        None => (named.unwrap_or(Manager::Npm), None),
    }
}

fn install(sight: &Sight<'_>, manager: Manager, lock: Option<&str>) -> Stage {
    let script = match (manager, lock.is_some()) {
        (Manager::Npm, true) => "npm ci --no-audit --no-fund",
        (Manager::Npm, false) => "npm install --no-audit --no-fund",
        (Manager::Pnpm, true) => "pnpm install --frozen-lockfile",
        (Manager::Pnpm, false) => "pnpm install",
        (Manager::Yarn, true) if sight.is_file(".yarnrc.yml") => "yarn install --immutable",
        (Manager::Yarn, true) => "yarn install --frozen-lockfile",
        (Manager::Yarn, false) => "yarn install",
        (Manager::Bun, true) => "bun install --frozen-lockfile",
        (Manager::Bun, false) => "bun install",
    };
    let mut from = vec!["package.json".to_owned()];
    let also = [".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml"];
    from.extend(
        lock.into_iter()
            .chain(also.into_iter().filter(|file| sight.is_file(file)))
            .map(str::to_owned),
    );
    // The package manager's own version changes nothing of what a lock file gives, and asking it takes longer than the cache.
    making(
        "Install",
        script.to_owned(),
        &["node_modules"],
        &from,
        &["node --version"],
    )
}

/// The command that starts the server: the start script's own text where that means the same, since a package manager
/// in between costs memory and does not pass signals on.
fn start<'a>(
    sight: &Sight<'_>,
    package: &Map<String, Value>,
    manager: Manager,
    script: &dyn Fn(&str) -> Option<&'a str>,
) -> Option<String> {
    if let Some(start) = script("start") {
        if start.trim_start().starts_with("react-scripts")
            || start.trim_start().starts_with("ng serve")
        {
            return None;
        }
        let hooks = script("prestart").is_some() || script("poststart").is_some();
        let plain = !hooks
            && !["npm ", "npm_", "pnpm ", "yarn ", "bun "]
                .iter()
                .any(|word| start.contains(word));
        return Some(if plain {
            start.trim().to_owned()
        } else {
            format!("{} start", manager.name())
        });
    }
    let main = package.get("main").and_then(Value::as_str);
    let depends = |name: &str| {
        package
            .get("dependencies")
            .and_then(|all| all.get(name))
            .is_some()
    };
    if depends("next") {
        return Some("next start -H 127.0.0.1 -p $PORT".to_owned());
    }
    main.into_iter()
        .chain([
            "server.js",
            "server.mjs",
            "app.js",
            "index.js",
            "index.mjs",
            "src/server.js",
            "src/index.js",
        ])
        .map(|file| file.trim_start_matches("./"))
        .find(|file| {
            crate::persist::is_inside(file)
                && sight.text(file).is_some_and(|text| {
                    // A library's entry point listens to nothing.
                    text.contains("listen(")
                        || text.contains("createServer")
                        || text.contains("PORT")
                })
        })
        .map(|file| format!("node {}", super::quoted(file)))
}

/// The folder that a site's builder writes.
fn built_site(package: &Map<String, Value>) -> Option<&'static str> {
    const BUILDERS: [(&str, &str); 9] = [
        ("react-scripts", "build"),
        ("vite", "dist"),
        ("astro", "dist"),
        ("parcel", "dist"),
        ("@vue/cli-service", "dist"),
        ("gatsby", "public"),
        ("@11ty/eleventy", "_site"),
        ("@docusaurus/core", "build"),
        ("webpack", "dist"),
    ];
    let depends = |name: &str| {
        ["dependencies", "devDependencies"]
            .iter()
            .any(|key| package.get(*key).and_then(|all| all.get(name)).is_some())
    };
    BUILDERS
        .iter()
        .find(|(builder, _)| depends(builder))
        .map(|(_, folder)| *folder)
}
