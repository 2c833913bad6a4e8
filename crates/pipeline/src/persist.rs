//! Files and folders that outlive releases: `persist = ["app.db", "uploads"]`.
//!
//! A build sees its own copy of them, as the commit has them; [`link`] puts the live ones in their place once the build
//! is done and the tree becomes a release. The first release gives them their content.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Why a path cannot be persistent.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// It would lie outside the tree.
    #[error("the persistent path `{0}` is not inside the tree")]
    Outside(String),
    /// On its way there lies a link, which could lead anywhere.
    #[error("the persistent path `{path}` passes through the link {}", link.display())]
    Link {
        /// The persistent path.
        path: String,
        /// The link.
        link: PathBuf,
    },
    /// The file system said no.
    #[error("cannot make `{path}` persistent at {}", at.display())]
    Io {
        /// The persistent path.
        path: String,
        /// The file or folder that was touched.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whether a path names something inside a tree: relative, with no `..`, and not the tree itself.
pub fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    let mut named = false;
    for part in &mut parts {
        match part {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            _ => return false,
        }
    }
    named
}

/// Replaces each persistent path of a tree by a link to the live file or folder below `live`, which is made where it
/// does not exist: with what the tree has at that path, or else as an empty folder (as nothing, for a name with an
/// extension: the link then points to the file that the app will make). May be repeated; a tree that is linked already is left alone.
///
/// Gives the paths for which the tree brought content that was not taken, since there is a live one already.
pub fn link(tree: &Path, live: &Path, paths: &[String]) -> Result<Vec<String>, PersistError> {
    let mut kept = Vec::new();
    for path in paths {
        let clean = path.trim_end_matches('/').trim_start_matches("./");
        if !is_inside(clean) {
            return Err(PersistError::Outside(path.clone()));
        }
        let at = tree.join(clean);
        let target = live.join(clean);
        for root in [tree, live] {
            if let Some(link) = link_above(root, clean) {
                return Err(PersistError::Link {
                    path: path.clone(),
                    link,
                });
            }
        }
        link_one(&at, &target, path.ends_with('/'), &mut || {
            kept.push(path.clone())
        })
        .map_err(|source| PersistError::Io {
            path: path.clone(),
            at: at.clone(),
            source,
        })?;
    }
    Ok(kept)
}

/// The first link on the way from a root to what a path names. A repository must not lead us out of its tree, where we may
/// have more rights than its commands.
fn link_above(root: &Path, path: &str) -> Option<PathBuf> {
    let mut at = root.to_owned();
    let mut parts: Vec<Component<'_>> = Path::new(path).components().collect();
    parts.pop();
    parts.into_iter().find_map(|part| {
        at.push(part);
        at.is_symlink().then(|| at.clone())
    })
}

fn link_one(at: &Path, target: &Path, folder: bool, not_taken: &mut dyn FnMut()) -> io::Result<()> {
    if fs::read_link(at).is_ok_and(|existing| existing == target) {
        return Ok(());
    }
    for side in [at, target] {
        if let Some(parent) = side.parent() {
            fs::create_dir_all(parent)?;
        }
    }
    let in_tree = fs::symlink_metadata(at).ok();
    match (in_tree, target.exists()) {
        (Some(found), true) => {
            not_taken();
            remove(at, &found)?;
        }
        (Some(found), false) => {
            // A copy under another name first: a live path is whole or not there at all.
            let half = target.with_file_name(format!(
                ".{}.new",
                target.file_name().unwrap_or_default().to_string_lossy()
            ));
            if let Ok(old) = fs::symlink_metadata(&half) {
                remove(&half, &old)?;
            }
            copy(at, &half)?;
            fs::rename(&half, target)?;
            remove(at, &found)?;
        }
        (None, true) => {}
        (None, false) => {
            let is_file = !folder && target.extension().is_some();
            if !is_file {
                fs::create_dir_all(target)?;
            }
        }
    }
    std::os::unix::fs::symlink(target, at)
}

/// The persistent paths of a tree as its commit has them, kept aside while a build works on them: what its tests write must not
/// become the first content of the live ones.
#[derive(Debug)]
pub(crate) struct Seeds {
    folder: PathBuf,
    /// Each path, and whether the commit has it.
    paths: Vec<(String, bool)>,
}

impl Seeds {
    /// Copies the persistent paths of a tree to a folder.
    pub(crate) fn keep(tree: &Path, folder: &Path, paths: &[String]) -> io::Result<Self> {
        let mut kept = Vec::new();
        for (number, path) in paths.iter().filter(|path| is_inside(path)).enumerate() {
            let from = tree.join(path.trim_end_matches('/'));
            let there = fs::symlink_metadata(&from).is_ok();
            if there {
                fs::create_dir_all(folder)?;
                copy(&from, &folder.join(number.to_string()))?;
            }
            kept.push((path.clone(), there));
        }
        Ok(Self {
            folder: folder.to_owned(),
            paths: kept,
        })
    }

    /// Puts the tree's persistent paths back to what the commit has.
    pub(crate) fn put_back(&self, tree: &Path) -> io::Result<()> {
        for (number, (path, there)) in self.paths.iter().enumerate() {
            let at = tree.join(path.trim_end_matches('/'));
            if let Ok(found) = fs::symlink_metadata(&at) {
                remove(&at, &found)?;
            }
            if *there {
                if let Some(parent) = at.parent() {
                    fs::create_dir_all(parent)?;
                }
                copy(&self.folder.join(number.to_string()), &at)?;
            }
        }
        Ok(())
    }
}

fn remove(at: &Path, found: &fs::Metadata) -> io::Result<()> {
    if found.is_dir() {
        fs::remove_dir_all(at)
    } else {
        fs::remove_file(at)
    }
}

/// Copies a file, a link or a folder with all that is in it. Never shares blocks in a way that a write would show.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(from)?;
    if found.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !found.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, found.permissions())
}

#[cfg(test)]
mod tests;
