//! Finds the files that name packages in a tree, quickly: git's ignore rules count, `.git`, `node_modules` and
//! virtual environments are passed over unless asked for, links to folders are not followed.
//!
//! One thread walks: a scan must not take the machine from the apps that it serves. Files are told by name alone
//! and never opened here.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::overrides::{Override, OverrideBuilder};

use crate::error::ScanError;
use crate::lockfile::{Kind, go_mod_is_complete};

/// What a walk looks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalkOptions {
    /// Also what is installed: `node_modules` and virtual environments.
    pub installed: bool,
    /// Also what git's ignore files leave out.
    pub no_ignore: bool,
    /// Patterns of files and folders to leave out, as in a `.gitignore` at the root of each tree: `tests/`, `**/old/**`.
    pub exclude: Vec<String>,
}

/// The patterns as one matcher, in which what matches is left out. A pattern below the root's own path is taken as one
/// that is anchored at the root.
///
/// # Errors
/// Where one of them is no pattern.
pub fn excluded(root: &Path, patterns: &[String]) -> Result<Override, ScanError> {
    let mut builder = OverrideBuilder::new(root);
    let full = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    for pattern in patterns {
        let wrong = |error: ignore::Error| {
            ScanError::BadArgument(format!("`{pattern}` is no pattern of files: {error}"))
        };
        // An override takes; with `!` it leaves out, and where nothing is taken outright all else stays.
        let anchored = Path::new(pattern)
            .strip_prefix(&full)
            .map(|rest| format!("/{}", rest.display()));
        let pattern = anchored.as_deref().unwrap_or(pattern);
        builder
            .add(&format!("!{}", pattern.trim_start_matches('!')))
            .map_err(wrong)?;
    }
    builder
        .build()
        .map_err(|error| ScanError::BadArgument(format!("the patterns cannot be read: {error}")))
}

/// What a walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walked {
    /// Files that name packages, sorted by path.
    pub files: Vec<(PathBuf, Kind)>,
    /// Folders that could not be read, and why.
    pub problems: Vec<(PathBuf, String)>,
    /// How many files and folders were passed.
    pub seen: u64,
}

/// Finds the files in a tree. A path that is itself a file is taken as what its name says.
pub fn find(root: &Path, options: &WalkOptions) -> Walked {
    let mut walked = Walked::default();
    if root.is_file() {
        match Kind::of_named(root) {
            Some(kind) => walked.files.push((root.to_owned(), kind)),
            None => walked.problems.push((
                root.to_owned(),
                "this file's name is that of no lock file or manifest that the scanner reads"
                    .to_owned(),
            )),
        }
        return walked;
    }
    // Somebody who names an environment means what is in it.
    let installed = options.installed || is_environment(root);
    let exclude = excluded(root, &options.exclude).unwrap_or_else(|error| {
        walked.problems.push((root.to_owned(), error.to_string()));
        Override::empty()
    });
    let walker = WalkBuilder::new(root)
        .standard_filters(false)
        .overrides(exclude)
        .git_ignore(!options.no_ignore)
        .git_exclude(!options.no_ignore)
        .git_global(false)
        .parents(!options.no_ignore)
        .require_git(false)
        .filter_entry(move |entry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            entry.depth() == 0
                || !is_folder
                || (entry.file_name() != ".git" && (installed || !is_environment(entry.path())))
        })
        .build();
    for entry in walker {
        walked.seen += 1;
        match entry {
            Ok(entry) => {
                let wanted =
                    |kind: &Kind| installed || !matches!(kind, Kind::DistInfo | Kind::NodeModule);
                let Some(kind) = Kind::of(entry.path()).filter(wanted) else {
                    continue;
                };
                let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
                if is_file || (entry.path_is_symlink() && leads_inside(root, entry.path())) {
                    walked.files.push((entry.into_path(), kind));
                }
            }
            Err(error) => {
                let path = error_path(&error).unwrap_or(root).to_owned();
                walked.problems.push((path, error.to_string()));
            }
        }
    }
    walked.files.sort();
    drop_redundant(&mut walked.files);
    walked
}

/// Whether a link leads to a file of the same tree: only that one is the project's own.
fn leads_inside(root: &Path, link: &Path) -> bool {
    let (Ok(root), Ok(target)) = (root.canonicalize(), link.canonicalize()) else {
        return false;
    };
    target.is_file() && target.starts_with(root)
}

/// Whether a folder holds installed packages: `node_modules`, or a Python environment by PEP 405's mark.
fn is_environment(folder: &Path) -> bool {
    let Some(name) = folder.file_name() else {
        return false;
    };
    if name == "node_modules" || name == "site-packages" || name == "__pypackages__" {
        return true;
    }
    // Looking for the mark in every folder would double the work; environments carry one of a few names, or `bin`.
    let name = name.to_string_lossy();
    (name.contains("env") || name.starts_with('.')) && folder.join("pyvenv.cfg").is_file()
}

/// `go.sum` says nothing more than a complete `go.mod` beside it, and lists versions that are not built.
fn drop_redundant(files: &mut Vec<(PathBuf, Kind)>) {
    let complete: HashSet<PathBuf> = files
        .iter()
        .filter(|(path, kind)| *kind == Kind::GoMod && go_mod_is_complete(path))
        .filter_map(|(path, _)| path.parent().map(Path::to_owned))
        .collect();
    files.retain(|(path, kind)| {
        *kind != Kind::GoSum
            || !path
                .parent()
                .is_some_and(|folder| complete.contains(folder))
    });
}

fn error_path(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            error_path(err)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
