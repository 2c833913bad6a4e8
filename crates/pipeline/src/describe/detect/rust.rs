//! Rust: a package with one binary, built with a target folder that outlives the build.

use launchway_model::ProcessType;

use super::super::draft::{Draft, ProcessDraft};
use super::super::toml_reader::Source;
use super::{Sight, quoted};
use crate::error::DescribeError;
use crate::plan::{Stage, Step};

pub(super) fn detect(sight: &Sight<'_>) -> Result<Option<Draft>, DescribeError> {
    let Some(text) = sight.text("Cargo.toml") else {
        return Ok(None);
    };
    Source::new("Cargo.toml", &text).parse()?;
    let Ok(manifest) = text.parse::<toml::Table>() else {
        return Ok(None);
    };
    let Some((package, binary)) = binary(sight, &manifest) else {
        return Ok(None);
    };
    let locked = if sight.is_file("Cargo.lock") {
        " --locked"
    } else {
        ""
    };
    let (package, name) = (quoted(&package), quoted(&binary));
    let script = format!(
        "cargo build --release{locked} --package {package} --bin {name} --target-dir \"$LAUNCHWAY_CACHE/cargo-target\"\n\
         mkdir -p bin\n\
         cp \"$LAUNCHWAY_CACHE/cargo-target/release/\"{name} bin/{name}"
    );
    let mut draft = Draft {
        sources: vec![format!("Cargo.toml: the Rust program {binary}")],
        stages: Some(vec![Stage::new("Build", vec![Step::run(script)])]),
        ..Draft::default()
    };
    draft.processes.insert(
        ProcessType::web(),
        ProcessDraft::command(format!("bin/{name}")),
    );
    draft
        .notes
        .push("The program must listen on 127.0.0.1 at the port in $PORT.".to_owned());
    Ok(Some(draft))
}

/// The package and the name of its binary: the one that there is, the default one, or the one named like the package.
fn binary(sight: &Sight<'_>, manifest: &toml::Table) -> Option<(String, String)> {
    if manifest.contains_key("package") {
        return of_package(sight, manifest, "");
    }
    let members = manifest.get("workspace")?.get("members")?.as_array()?;
    let mut found = Vec::new();
    for member in members.iter().filter_map(toml::Value::as_str).take(200) {
        let folders = match member.strip_suffix("/*") {
            Some(parent) => sight
                .folders(parent)
                .into_iter()
                .map(|name| format!("{parent}/{name}"))
                .collect(),
            None => vec![member.to_owned()],
        };
        for folder in folders
            .into_iter()
            .filter(|folder| crate::persist::is_inside(folder))
        {
            let inner = sight
                .text(&format!("{folder}/Cargo.toml"))
                .and_then(|text| text.parse::<toml::Table>().ok());
            found.extend(inner.and_then(|inner| of_package(sight, &inner, &format!("{folder}/"))));
        }
    }
    // Several programs: one called server or web is meant, else nobody can tell.
    match found.len() {
        1 => found.pop(),
        _ => found.into_iter().find(|(_, binary)| {
            ["server", "web", "app"]
                .iter()
                .any(|word| binary.ends_with(word))
        }),
    }
}

fn of_package(sight: &Sight<'_>, manifest: &toml::Table, folder: &str) -> Option<(String, String)> {
    let package = manifest.get("package")?;
    let name = package.get("name")?.as_str()?.to_owned();
    if let Some(run) = package.get("default-run").and_then(toml::Value::as_str) {
        return Some((name, run.to_owned()));
    }
    let named: Vec<&str> = manifest
        .get("bin")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name")?.as_str())
        .collect();
    if let [only] = named.as_slice() {
        return Some((name, (*only).to_owned()));
    }
    if named.contains(&name.as_str()) || sight.is_file(&format!("{folder}src/main.rs")) {
        return Some((name.clone(), name));
    }
    let mut bins = sight
        .names(&format!("{folder}src/bin"))
        .into_iter()
        .filter_map(|file| file.strip_suffix(".rs").map(str::to_owned));
    match (bins.next(), bins.next()) {
        (Some(only), None) => Some((name, only)),
        _ => None,
    }
}
