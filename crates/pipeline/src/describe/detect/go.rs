//! Go: a module with one main package, at its root or under cmd/.

use launchway_model::ProcessType;

use super::super::draft::{Draft, ProcessDraft};
use super::{Sight, quoted};
use crate::plan::{Stage, Step};

pub(super) fn detect(sight: &Sight<'_>) -> Option<Draft> {
    let module = sight.text("go.mod")?;
    let module = module
        .lines()
        .find_map(|line| line.trim().strip_prefix("module "))
        .map(|name| name.trim().trim_matches('"').to_owned())
        .unwrap_or_default();
    let base = module.rsplit('/').next().unwrap_or_default().to_owned();
    let package = main_package(sight, &base)?;
    let script = format!("go build -o bin/server {}", quoted(&package));
    let mut draft = Draft {
        sources: vec![format!("go.mod: the Go program {package} of {module}")],
        stages: Some(vec![Stage::new("Build", vec![Step::run(script)])]),
        ..Draft::default()
    };
    draft
        .processes
        .insert(ProcessType::web(), ProcessDraft::command("bin/server"));
    draft
        .notes
        .push("The program must listen on 127.0.0.1 at the port in $PORT.".to_owned());
    Some(draft)
}

/// The root, the only folder of cmd/, or the one that is named like the module or a server.
fn main_package(sight: &Sight<'_>, module: &str) -> Option<String> {
    if is_main(sight, "") {
        return Some(".".to_owned());
    }
    let mut mains: Vec<String> = sight
        .folders("cmd")
        .into_iter()
        .filter(|name| is_main(sight, &format!("cmd/{name}")))
        .collect();
    if mains.len() > 1 {
        mains.retain(|name| {
            name == module || ["server", "web", "app", "api"].contains(&name.as_str())
        });
    }
    mains.first().map(|name| format!("./cmd/{name}"))
}

fn is_main(sight: &Sight<'_>, folder: &str) -> bool {
    sight
        .names(folder)
        .iter()
        .filter(|name| name.ends_with(".go") && !name.ends_with("_test.go"))
        .filter_map(|name| {
            sight.text(&if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            })
        })
        .any(|text| text.lines().any(|line| line.trim() == "package main"))
}
