//! `checkout` and `git`: the build's own commit is there already; another repository is cloned.

use std::sync::PoisonError;

use super::super::stages::Context;
use super::super::steps as engine;
use super::credentials;
use super::host::ScriptHost;
use super::steps::list;
use crate::groovy::{Args, Map, Span, Thrown, Value};
use crate::plan::Step;

/// What is to be checked out.
#[derive(Debug, Default)]
struct Wanted {
    url: Option<String>,
    branch: Option<String>,
    credential: Option<String>,
    folder: Option<String>,
    shallow: bool,
    submodules: bool,
}

/// `git url: '…', branch: '…', credentialsId: '…'`, `git '…'`.
pub(super) fn git(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let text = |name: &str| args.get(name).map(Value::to_text);
    let wanted = Wanted {
        url: args.main("url").map(Value::to_text),
        branch: text("branch"),
        credential: text("credentialsId"),
        ..Wanted::default()
    };
    run(host, &wanted, span)
}

/// `checkout scm`, `checkout([$class: 'GitSCM', …])`, `checkout scmGit(…)`.
pub(super) fn checkout(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let mut wanted = Wanted::default();
    let map = match args.main("scm") {
        Some(Value::Map(map)) => Some(map.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        _ if args.get("userRemoteConfigs").is_some() => {
            let mut map = Map::default();
            for (name, value) in &args.named {
                map.insert(name.as_str().into(), value.clone());
            }
            Some(map)
        }
        _ => None,
    };
    if let Some(map) = map {
        each_map(map.get_text("userRemoteConfigs"), |remote| {
            let text = |key: &str| remote.get_text(key).map(Value::to_text);
            wanted.url = wanted.url.take().or_else(|| text("url"));
            wanted.credential = wanted.credential.take().or_else(|| text("credentialsId"));
        });
        each_map(map.get_text("branches"), |branch| {
            wanted.branch = branch.get_text("name").map(Value::to_text);
        });
        each_map(map.get_text("extensions"), |extension| {
            let text = |key: &str| {
                extension
                    .get_text(key)
                    .map(Value::to_text)
                    .unwrap_or_default()
            };
            match text("$class").as_str() {
                "RelativeTargetDirectory" | "relativeTargetDirectory" => {
                    wanted.folder = extension
                        .get_text("relativeTargetDir")
                        .or_else(|| extension.get_text("value"))
                        .map(Value::to_text);
                }
                "CloneOption" | "cloneOption" => wanted.shallow = text("shallow") == "true",
                "SubmoduleOption" | "submodule" => wanted.submodules = true,
                _ => {}
            }
        });
    }
    run(host, &wanted, span)
}

fn each_map(value: Option<&Value>, mut each: impl FnMut(&Map)) {
    for item in list(value) {
        if let Value::Map(map) = &item {
            each(&map.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn run(host: &ScriptHost<'_>, wanted: &Wanted, span: Span) -> Result<Value, Thrown> {
    let context = host.context;
    let inner = match &wanted.folder {
        Some(folder) => Some(
            engine::in_folder(context, folder).map_err(|interrupt| host.throw(interrupt, span))?,
        ),
        None => None,
    };
    let place = inner.as_ref().unwrap_or(context);
    match &wanted.url {
        Some(url) if place.folder != context.build.job.tree => {
            clone(host, place, url, wanted, span)?;
        }
        Some(url) => context.log.say(&format!(
            "The commit is checked out already; {url} is not fetched again. (Another repository goes into a folder: dir('x') {{ git … }})"
        )),
        None => context.log.say("The commit is checked out already"),
    }
    let job = context.build.job;
    let branch = job.branch.clone().unwrap_or_default();
    Ok(Value::map([
        ("GIT_COMMIT".into(), job.commit.as_str().into()),
        ("GIT_BRANCH".into(), branch.as_str().into()),
        ("GIT_LOCAL_BRANCH".into(), branch.as_str().into()),
        (
            "GIT_URL".into(),
            wanted.url.clone().unwrap_or_default().into(),
        ),
    ]))
}

fn clone(
    host: &ScriptHost<'_>,
    place: &Context<'_>,
    url: &str,
    wanted: &Wanted,
    span: Span,
) -> Result<(), Thrown> {
    let mut inner = place.clone();
    // Its files are there for as long as git runs.
    let bound = match &wanted.credential {
        Some(id) => credentials::for_git(host, id, span)?,
        None => credentials::Bound::default(),
    };
    inner.environment.extend(bound.variables);
    inner
        .environment
        .insert("GIT_TERMINAL_PROMPT".into(), "0".into());
    let branch = wanted
        .branch
        .as_deref()
        .map(|branch| {
            branch
                .trim_start_matches("refs/heads/")
                .trim_start_matches("*/")
                .trim_start_matches("origin/")
        })
        .filter(|branch| !branch.is_empty() && *branch != "**");
    let commit = branch
        .filter(|branch| branch.len() == 40 && branch.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let depth = if wanted.shallow || commit.is_none() {
        " --depth 1"
    } else {
        ""
    };
    let named = branch
        .filter(|_| commit.is_none())
        .map(|branch| format!(" --branch {}", quoted(branch)))
        .unwrap_or_default();
    let submodules = if wanted.submodules {
        " --recurse-submodules"
    } else {
        ""
    };
    let mut script = format!(
        "find . -mindepth 1 -maxdepth 1 -exec rm -rf {{}} +\ngit clone -q{depth}{named}{submodules} -- {} .",
        quoted(url)
    );
    if let Some(commit) = commit {
        script.push_str(&format!("\ngit checkout -q {commit}"));
    }
    let step = Step::Run {
        script: script.into(),
        label: Some(format!("git clone{named} {url}")),
    };
    let done = host.done(engine::run(&inner, host.outcome, &step), span);
    drop(bound.files);
    done.map(|_| ())
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
