//! From the files of a tree to what to run and how to build it.
//!
//! In this order, each filling in what the ones before left open: a description kept outside the repository,
//! `launchway.toml`, `Procfile` and `app.json`, a `Jenkinsfile` (for the stages alone), detection by the files of a language. Only the tree is read; of the machine
//! only which commands are on its PATH.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use launchway_model::AppName;
use launchway_model::app::AppSpec;
use launchway_model::trigger::TriggerSpec;

use crate::error::DescribeError;
use crate::jenkinsfile::{self, Jenkinsfile};
use crate::plan::{Body, Options, Plan, Stage};

mod app_json;
mod convert;
mod detect;
mod draft;
mod health;
mod launchway_toml;
mod procfile;
pub mod quantity;
mod rollout;
mod routing;
mod scan;
mod services;
mod stages;
mod timed;
mod toml_reader;
mod triggers;
mod words;
mod writer;

use draft::Draft;

/// What a description kept outside the repository is called in errors.
pub const OUTSIDE: &str = "description";

/// The largest description that is read.
const MAX_FILE: u64 = 4 << 20;

/// A tree, described.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// What to run.
    pub spec: AppSpec,
    /// How to build it.
    pub plan: Plan,
    /// Both in words, a line each, for people.
    pub words: Vec<String>,
    /// The app's name, where a file says it.
    pub name: Option<AppName>,
    /// The branch that is deployed, where a file says it.
    pub branch: Option<String>,
    /// The text of a launchway.toml that says the same.
    pub toml: String,
    /// The Jenkinsfile that the plan's stages are from, where they are.
    pub jenkinsfile: Option<Arc<Jenkinsfile>>,
    /// What starts builds beside commits.
    pub triggers: Vec<TriggerSpec>,
}

/// Describes a tree. `outside` is the text of a description kept outside the repository (in the form of a
/// launchway.toml), which wins over the repository's files key by key.
pub fn read(tree: &Path, outside: Option<&str>) -> Result<Described, DescribeError> {
    let mut draft = match outside {
        Some(text) => launchway_toml::read(OUTSIDE, text)?,
        None => Draft::default(),
    };
    if let Some(text) = file(tree, launchway_toml::FILE)? {
        draft.fill(launchway_toml::read(launchway_toml::FILE, &text)?);
    }
    let procfile = file(tree, procfile::FILE)?;
    if let Some(text) = &procfile {
        draft.fill(procfile::read(text)?);
        let serves = draft.files.is_some()
            || draft
                .spec()
                .processes
                .keys()
                .any(launchway_model::ProcessType::is_web);
        if !serves {
            procfile::require_web(text, &draft)?;
        }
    }
    if let Some(text) = file(tree, app_json::FILE)? {
        draft.fill(app_json::read(&text)?);
    }
    let mut pipeline = None;
    if draft.jenkinsfile == Some(false) {
        // Somebody said that it is not for us, however it looks.
    } else if draft.stages.is_some() {
        if tree.join(jenkinsfile::FILE).is_file() {
            draft
                .notes
                .push("The Jenkinsfile is not run, since launchway.toml has stages.".to_owned());
        }
    } else if let Some(text) = file(tree, jenkinsfile::FILE)? {
        let mut read = jenkinsfile::read(jenkinsfile::FILE, &text).map_err(can_be_left_alone)?;
        draft.stages = Some(std::mem::take(&mut read.plan.stages));
        draft.more_stages.clear();
        draft.sources.push(jenkinsfile::FILE.to_owned());
        draft.notes.append(&mut read.notes);
        pipeline = Some(read);
    }
    let given = draft.runs_something();
    if let Some(detected) = detect::detect(tree, given)? {
        draft.fill_detected(detected, given);
    }
    if !draft.runs_something() {
        return Err(nothing(tree, &draft));
    }
    draft.note_commandless();
    draft.check_expected()?;
    Ok(finish(draft, pipeline))
}

/// What the texts of a commit's own pipeline files ask for before anything is checked out: the plan's labels and options. The
/// stages that detection would add ask for nothing, so they are missing.
pub fn wishes(
    toml: Option<&str>,
    pipeline: Option<&str>,
    outside: Option<&str>,
) -> Result<Plan, DescribeError> {
    let mut draft = match outside {
        Some(text) => launchway_toml::read(OUTSIDE, text)?,
        None => Draft::default(),
    };
    if let Some(text) = toml {
        draft.fill(launchway_toml::read(launchway_toml::FILE, text)?);
    }
    let mut read = None;
    if let Some(text) = pipeline
        && draft.jenkinsfile != Some(false)
        && draft.stages.is_none()
    {
        let mut jenkinsfile = jenkinsfile::read(jenkinsfile::FILE, text)?;
        draft.stages = Some(std::mem::take(&mut jenkinsfile.plan.stages));
        read = Some(jenkinsfile);
    }
    Ok(finish(draft, read).plan)
}

/// A Jenkinsfile that cannot be run as it stands need not keep an app from being deployed.
fn can_be_left_alone(error: DescribeError) -> DescribeError {
    match error {
        DescribeError::File(error) => DescribeError::File(Box::new(error.or_else(
            "To build without the Jenkinsfile, set `jenkinsfile = false` in launchway.toml or in a description outside the repository.",
        ))),
        other => other,
    }
}

/// Checks the text of one file by itself: `Procfile`, `app.json` and `Jenkinsfile` by their names, any other as a
/// launchway.toml (or a description kept outside a repository). `file` is its name in errors.
pub fn check(file: &str, text: &str) -> Result<(), DescribeError> {
    match file.rsplit('/').next().unwrap_or(file) {
        procfile::FILE => procfile::read(text).map(|_| ()),
        app_json::FILE => app_json::read(text).map(|_| ()),
        jenkinsfile::FILE => jenkinsfile::read(file, text).map(|_| ()),
        _ => launchway_toml::read(file, text).map(|_| ()),
    }
}

/// The name and branch that the text of a launchway.toml gives, for a client that must know them before it deploys.
pub fn name_and_branch(
    file: &str,
    text: &str,
) -> Result<(Option<AppName>, Option<String>), DescribeError> {
    launchway_toml::read(file, text).map(|draft| (draft.name, draft.branch))
}

/// The text of a launchway.toml whose stages do what those of a Jenkinsfile do; what cannot be said there stands in it as
/// comments. `file` is the Jenkinsfile's name in errors.
pub fn convert(file: &str, text: &str) -> Result<String, DescribeError> {
    let mut read = jenkinsfile::read(file, text)?;
    let draft = Draft {
        sources: vec![file.to_owned()],
        stages: Some(std::mem::take(&mut read.plan.stages)),
        notes: std::mem::take(&mut read.notes),
        ..Draft::default()
    };
    Ok(finish(draft, Some(read)).toml)
}

fn finish(mut draft: Draft, pipeline: Option<Jenkinsfile>) -> Described {
    let mut stages = draft.stages.take().unwrap_or_default();
    stages.append(&mut draft.more_stages);
    if let Some(skip) = &draft.skip_stages {
        for name in skip {
            if !leave_out(&mut stages, name) {
                draft.notes.push(format!(
                    "No stage is called `{name}`, which skip_stages names."
                ));
            }
        }
    }
    let spec = draft.spec();
    let mut plan = Plan {
        stages,
        options: Options {
            timeout_ms: draft.timeout_ms,
            ..Options::default()
        },
        agent: draft.agent.clone().unwrap_or_default(),
        post: draft.post.clone(),
        units: draft.units.clone().unwrap_or_default(),
        aliases: draft.aliases.clone(),
        ..Plan::default()
    };
    if let Some(read) = &pipeline {
        let given = plan.options.timeout_ms;
        plan.options = read.plan.options.clone();
        plan.options.timeout_ms = given.or(plan.options.timeout_ms);
        plan.env.clone_from(&read.plan.env);
        plan.agent = draft
            .agent
            .clone()
            .unwrap_or_else(|| read.plan.agent.clone());
        plan.post.splice(0..0, read.plan.post.iter().cloned());
    }
    Described {
        words: words::of(&spec, &plan, &draft.notes),
        toml: writer::write(&draft, &spec, &plan),
        triggers: draft.triggers.unwrap_or_else(|| {
            pipeline
                .as_ref()
                .map(|read| read.triggers.clone())
                .unwrap_or_default()
        }),
        name: draft.name,
        branch: draft.branch,
        spec,
        plan,
        jenkinsfile: pipeline.map(Arc::new),
    }
}

/// Removes all stages of a name, however deep; whether there was one.
fn leave_out(stages: &mut Vec<Stage>, name: &str) -> bool {
    let before = stages.len();
    stages.retain(|stage| stage.name != name);
    let mut found = stages.len() < before;
    for stage in stages {
        if let Body::Stages(inner) | Body::Parallel { stages: inner, .. } = &mut stage.body {
            found |= leave_out(inner, name);
        }
    }
    found
}

fn nothing(tree: &Path, draft: &Draft) -> DescribeError {
    let mut looked_for = vec![launchway_toml::FILE, procfile::FILE];
    looked_for.extend(detect::LOOKED_FOR);
    if draft
        .sources
        .iter()
        .any(|source| source == launchway_toml::FILE)
    {
        // The file is there but says nothing of what to run; detection did not either.
        looked_for[0] = "[process.web] or [static] in launchway.toml";
    }
    let mut found: Vec<String> = fs::read_dir(tree)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != ".git")
        .take(200)
        .collect();
    found.sort();
    if found.len() > 12 {
        found.truncate(12);
        found.push("…".to_owned());
    }
    DescribeError::Nothing { looked_for, found }
}

/// The text of a file at the root of a tree, if there is one.
fn file(tree: &Path, name: &str) -> Result<Option<String>, DescribeError> {
    let path = tree.join(name);
    let unreadable = |source| DescribeError::Unreadable {
        path: name.into(),
        source,
    };
    match fs::symlink_metadata(&path) {
        Err(_) => return Ok(None),
        // A link could lead out of the tree; a description has no need of one.
        Ok(found) if found.is_symlink() => {
            let inside = fs::canonicalize(&path)
                .ok()
                .zip(fs::canonicalize(tree).ok());
            if !inside.is_some_and(|(file, tree)| file.starts_with(tree)) {
                return Err(unreadable(io::Error::other(
                    "it is a link that leads out of the tree",
                )));
            }
        }
        Ok(found) if found.is_dir() => return Ok(None),
        Ok(_) => {}
    }
    if fs::metadata(&path).is_ok_and(|found| found.len() > MAX_FILE) {
        return Err(unreadable(io::Error::other("it is larger than 4 MiB")));
    }
    let bytes = fs::read(&path).map_err(unreadable)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => {
            let text = String::from_utf8_lossy(bytes);
            let at = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).len();
            let source = toml_reader::Source::new(name, &text);
            Err(Box::new(
                source
                    .error(at..at + 1, "a byte that is not UTF-8", "here")
                    .hint(Some("Save the file as UTF-8.".to_owned())),
            )
            .into())
        }
    }
}

#[cfg(test)]
mod tests;
