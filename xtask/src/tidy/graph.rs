//! Who may import whom, from `cargo metadata`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Each crate of ours with those of ours that it may import; `*` is all. Dev-dependencies count too: a test that needs
/// more stands in `e2e`.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("launchway", &["*"]),
    ("launchway-web", &["launchway-control", "launchway-model"]),
    (
        "launchway-control",
        &[
            "launchway-store",
            "launchway-pipeline",
            "launchway-supervisor",
            "launchway-monitor",
            "launchway-scanner",
            "launchway-model",
        ],
    ),
    ("launchway-store", &["launchway-model"]),
    ("launchway-pipeline", &["launchway-model"]),
    ("launchway-supervisor", &["launchway-model"]),
    (
        "launchway-agent",
        &[
            "launchway-pipeline",
            "launchway-supervisor",
            "launchway-model",
        ],
    ),
    ("launchway-proxy", &["launchway-model"]),
    ("launchway-monitor", &[]),
    ("launchway-scanner", &[]),
    ("launchway-model", &[]),
    // These drive the binary from outside; the model tells them what its messages mean.
    ("launchway-e2e", &["launchway-model"]),
    ("launchway-bench", &["launchway-e2e", "launchway-model"]),
    ("launchway-chaos", &["launchway-e2e", "launchway-model"]),
];

/// The faults of the package graph.
pub(super) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--locked",
            "--offline",
        ])
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    faults(&serde_json::from_slice(&output.stdout)?)
}

fn faults(metadata: &Value) -> anyhow::Result<Vec<String>> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?;
    let ours: Vec<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut faults = Vec::new();
    for package in packages {
        let Some(name) = package["name"].as_str() else {
            continue;
        };
        if name == "xtask" {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            faults.push(format!(
                "{name}: a crate that ARCHITECTURE.md and xtask/src/tidy/graph.rs do not know"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(dependency) = dependency["name"].as_str() else {
                continue;
            };
            let allowed = allowed.contains(&"*") || allowed.contains(&dependency);
            // A crate may name itself to switch on its own features in tests.
            if ours.contains(&dependency) && dependency != name && !allowed {
                faults.push(format!("{name}: must not import {dependency} (see ARCHITECTURE.md, \"Allowed imports\")"));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_import_that_is_not_allowed_is_a_fault() {
        let metadata = json!({ "packages": [
            { "name": "launchway-proxy", "dependencies": [{ "name": "launchway-model" }, { "name": "launchway-store" }, { "name": "bytes" }] },
            { "name": "launchway-model", "dependencies": [] },
            { "name": "launchway-store", "dependencies": [{ "name": "launchway-model" }] },
            { "name": "launchway-other", "dependencies": [] },
        ]});
        let faults = faults(&metadata).unwrap();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("launchway-proxy: must not import launchway-store"));
        assert!(faults[1].contains("launchway-other: a crate that"));
    }
}
