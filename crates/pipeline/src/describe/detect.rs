//! What an app is, by the files of its language, for a repository that does not say.
//!
//! A detection is a guess that is told in words before it is acted on, and that `launchway init` writes down to be
//! edited. It reads text of bounded size and runs nothing.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::draft::Draft;
use crate::error::DescribeError;
use crate::plan::{Body, Make, Stage, Step};

mod go;
mod node;
mod python;
mod rust;
mod static_site;

/// The files that detection goes by, for people.
pub(crate) const LOOKED_FOR: [&str; 7] = [
    "requirements.txt",
    "pyproject.toml",
    "manage.py",
    "package.json",
    "Cargo.toml",
    "go.mod",
    "index.html",
];

/// The largest source file that is looked into.
const MAX_SOURCE: u64 = 512 << 10;

/// What detection sees: a tree and the commands that the machine has.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) tree: &'a Path,
    pub(crate) path: OsString,
}

impl Sight<'_> {
    pub(crate) fn is_file(&self, name: &str) -> bool {
        self.tree.join(name).is_file()
    }

    /// The text of a file of the tree; `None` where it is missing, too large, outside the tree or not text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let path = self.tree.join(name);
        let found = fs::symlink_metadata(&path).ok()?;
        if !found.is_file() || found.len() > MAX_SOURCE {
            return None;
        }
        let bytes = fs::read(path).ok()?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// The names in a folder of the tree (`""` is the root), in order.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.tree.join(folder))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .take(5_000)
            .collect();
        names.sort();
        names
    }

    /// The folders in a folder of the tree that may hold sources.
    pub(crate) fn folders(&self, folder: &str) -> Vec<String> {
        let skip = [
            "node_modules",
            "venv",
            "env",
            "__pycache__",
            "target",
            "vendor",
            "tests",
            "test",
            "docs",
            "migrations",
        ];
        self.names(folder)
            .into_iter()
            .filter(|name| !name.starts_with('.') && !skip.contains(&name.as_str()))
            .filter(|name| {
                fs::symlink_metadata(self.tree.join(folder).join(name))
                    .is_ok_and(|found| found.is_dir())
            })
            .collect()
    }

    /// Whether the machine has a command.
    pub(crate) fn command(&self, name: &str) -> bool {
        crate::search_path::find(name, &self.path).is_some()
    }
}

/// What the tree seems to be. `given` says that something else says already what runs: then only the stages matter.
pub(crate) fn detect(tree: &Path, given: bool) -> Result<Option<Draft>, DescribeError> {
    let sight = Sight {
        tree,
        path: std::env::var_os("PATH").unwrap_or_default(),
    };
    detect_seen(&sight, given)
}

fn detect_seen(sight: &Sight<'_>, given: bool) -> Result<Option<Draft>, DescribeError> {
    let python = python::detect(sight, given);
    let node = node::detect(sight)?;
    let runs = |draft: &Option<Draft>| draft.as_ref().is_some_and(Draft::runs_something);
    let mut chosen = match (python, node) {
        // A Python application whose pages are built by Node: both install, Python runs.
        (Some(mut python), Some(node)) if given || python.runs_something() => {
            if node.builds_assets {
                let mut stages = node.draft.stages.unwrap_or_default();
                stages.append(&mut python.stages.unwrap_or_default());
                python.stages = Some(stages);
                python.sources.extend(node.draft.sources);
            }
            Some(python)
        }
        (Some(python), Some(node)) => Some(if node.draft.runs_something() {
            node.draft
        } else {
            python
        }),
        (Some(python), None) => Some(python),
        (None, node) => node.map(|node| node.draft),
    };
    if given || runs(&chosen) {
        if chosen.is_none() {
            chosen = rust::detect(sight)?.or_else(|| go::detect(sight));
        }
        return Ok(chosen);
    }
    for other in [
        rust::detect(sight)?,
        go::detect(sight),
        static_site::detect(sight),
    ] {
        if runs(&other) {
            return Ok(other);
        }
    }
    Ok(chosen)
}

impl Draft {
    /// Fills what is open with a detection. Where something says already what runs, only how to build it is taken,
    /// and the command of a `web` that has none.
    pub(crate) fn fill_detected(&mut self, mut detected: Self, given: bool) {
        if given {
            detected.processes.retain(|name, _| {
                self.processes
                    .get(name)
                    .is_some_and(|process| process.command.is_none())
            });
            detected.files = None;
            detected.release = None;
            detected.health = super::draft::HealthDraft::default();
            detected.notes.clear();
            let used = (self.stages.is_none()
                && detected
                    .stages
                    .as_ref()
                    .is_some_and(|stages| !stages.is_empty()))
                || !detected.processes.is_empty();
            if !used {
                detected.sources.clear();
            }
        }
        if let (Some(own), Some(found)) = (&mut self.stages, &mut detected.stages)
            && self.install != Some(false)
        {
            let mut first: Vec<Stage> = std::mem::take(found)
                .into_iter()
                .filter(|stage| {
                    (!given || makes(stage).is_some())
                        && !own.iter().any(|own| does_the_same(own, stage))
                })
                .collect();
            first.append(own);
            *own = first;
        }
        self.fill(detected);
    }
}

/// Whether a stage of the user's stands for a detected one: it has its name or makes the same.
fn does_the_same(own: &Stage, detected: &Stage) -> bool {
    own.name.eq_ignore_ascii_case(&detected.name)
        || makes(detected).is_some_and(|made| {
            makes(own).is_some_and(|own| own.iter().any(|path| made.contains(path)))
        })
        || own
            .children()
            .iter()
            .any(|own| does_the_same(own, detected))
}

fn makes(stage: &Stage) -> Option<&[String]> {
    match &stage.body {
        Body::Steps(steps) => steps.iter().find_map(|step| match step {
            Step::Make(make) => Some(make.makes.as_slice()),
            _ => None,
        }),
        _ => None,
    }
}

/// A stage of one script whose result depends on some files alone.
pub(crate) fn making(
    name: &str,
    script: String,
    makes: &[&str],
    from: &[String],
    tools: &[&str],
) -> Stage {
    let make = Make {
        makes: makes.iter().map(|path| (*path).to_owned()).collect(),
        from: from.to_vec(),
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        steps: vec![Step::run(script)],
    };
    Stage::new(name, vec![Step::Make(make)])
}

/// A word for a shell, quoted where it must be.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=+:,@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
