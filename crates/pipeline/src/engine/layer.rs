//! Layers of the build cache on disk: `files/` with what a stage made, and `manifest.json`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::guise::Doors;
use super::make::Manifest;

/// Larger files are not looked into for the tree's path: nobody writes programs' texts of that size.
const MAX_TEXT: u64 = 1 << 20;

/// Keeps `makes` of a tree as a layer in a folder that does not exist yet.
pub(crate) fn save(
    tree: &Path,
    makes: &[String],
    layer: &Path,
    doors: Option<&Doors>,
) -> io::Result<()> {
    let mut manifest = Manifest {
        tree: tree.to_owned(),
        folders: Vec::new(),
        links: Vec::new(),
        files: Vec::new(),
        with_path: Vec::new(),
    };
    let files = layer.join("files");
    fs::create_dir_all(&files)?;
    for path in makes {
        let relative = PathBuf::from(path.trim_end_matches('/'));
        if let Some(parent) = files.join(&relative).parent() {
            fs::create_dir_all(parent)?;
        }
        save_one(tree, &relative, &files, &mut manifest, doors)?;
    }
    let json = serde_json::to_vec(&manifest).map_err(io::Error::other)?;
    fs::write(layer.join("manifest.json"), json)
}

fn save_one(
    tree: &Path,
    path: &Path,
    files: &Path,
    manifest: &mut Manifest,
    doors: Option<&Doors>,
) -> io::Result<()> {
    let from = tree.join(path);
    let to = files.join(path);
    let data = fs::symlink_metadata(&from)?;
    if data.is_symlink() {
        manifest
            .links
            .push((path.to_owned(), fs::read_link(&from)?));
        return Ok(());
    }
    if data.is_dir() {
        fs::create_dir(&to)?;
        manifest
            .folders
            .push((path.to_owned(), data.mode() & 0o7777));
        for entry in fs::read_dir(&from)? {
            save_one(tree, &path.join(entry?.file_name()), files, manifest, doors)?;
        }
        return Ok(());
    }
    if !data.is_file() {
        // A socket or a pipe is no result.
        return Ok(());
    }
    share(&from, &to, doors)?;
    if data.len() <= MAX_TEXT && is_text_with(&from, tree)? {
        manifest.with_path.push(path.to_owned());
    }
    manifest
        .files
        .push((path.to_owned(), data.len(), modified(&data)));
    Ok(())
}

/// Puts a layer's files into a tree in place of what is there and gives their number. An error means that the layer cannot be
/// used; what was put there until then is the caller's to clear.
pub(crate) fn restore(
    layer: &Path,
    tree: &Path,
    makes: &[String],
    doors: Option<&Doors>,
) -> io::Result<usize> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(layer.join("manifest.json"))?)?;
    let files = layer.join("files");
    // All is looked at before anything is changed: a layer that was written to is of no use.
    for (path, size, time) in &manifest.files {
        let data = fs::symlink_metadata(files.join(path))?;
        if data.len() != *size || modified(&data) != *time {
            return Err(io::Error::other(format!("{} was changed", path.display())));
        }
    }
    for (path, target) in &manifest.links {
        if target.is_absolute() && !target.starts_with(&manifest.tree) && !target.exists() {
            return Err(io::Error::other(format!(
                "{} is gone, to which {} leads",
                target.display(),
                path.display()
            )));
        }
    }
    clear(tree, makes)?;
    for path in makes {
        if let Some(parent) = tree.join(path.trim_end_matches('/')).parent() {
            fs::create_dir_all(parent)?;
        }
    }
    // The manifest is in the order in which the tree was walked, folders before what is in them.
    for (path, mode) in &manifest.folders {
        let folder = tree.join(path);
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode | 0o700))?;
    }
    for (path, target) in &manifest.links {
        let target = match target.strip_prefix(&manifest.tree) {
            Ok(inner) => tree.join(inner),
            Err(_) => target.clone(),
        };
        symlink(target, tree.join(path))?;
    }
    let with_path: BTreeSet<&PathBuf> = manifest.with_path.iter().collect();
    for (path, _, _) in &manifest.files {
        let (from, to) = (files.join(path), tree.join(path));
        if tree != manifest.tree && with_path.contains(path) {
            rewrite(&from, &to, &manifest.tree, tree)?;
        } else {
            share(&from, &to, doors)?;
        }
    }
    Ok(manifest.files.len())
}

/// Removes what a stage makes from a tree.
pub(crate) fn clear(tree: &Path, makes: &[String]) -> io::Result<()> {
    for path in makes {
        let path = tree.join(path.trim_end_matches('/'));
        match fs::symlink_metadata(&path) {
            Ok(data) if data.is_dir() => fs::remove_dir_all(&path)?,
            Ok(_) => fs::remove_file(&path)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Gives a file a second name, or makes a copy of it on another file system (there by reflink, where that can).
fn share(from: &Path, to: &Path, doors: Option<&Doors>) -> io::Result<()> {
    let linked = match doors {
        Some(doors) => fs::hard_link(doors.through(from), doors.through(to)),
        None => fs::hard_link(from, to),
    };
    if linked.is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    let data = fs::metadata(from)?;
    File::options()
        .write(true)
        .open(to)?
        .set_modified(data.modified()?)
}

/// Copies a text file with the old tree's path replaced by the new one's, its mode and time kept.
fn rewrite(from: &Path, to: &Path, old: &Path, new: &Path) -> io::Result<()> {
    let data = fs::metadata(from)?;
    let text = fs::read(from)?;
    let (old, new) = (
        old.as_os_str().as_encoded_bytes(),
        new.as_os_str().as_encoded_bytes(),
    );
    let mut changed = Vec::with_capacity(text.len());
    let mut last = 0;
    for at in memchr::memmem::find_iter(&text, old) {
        changed.extend_from_slice(&text[last..at]);
        last = at + old.len();
        // `/trees/1` must not be found in `/trees/12`, nor `/app` in `lib/app`.
        let ends = text
            .get(last)
            .is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let begins =
            at == 0 || !(text[at - 1].is_ascii_alphanumeric() || b"_-.)}]".contains(&text[at - 1]));
        changed.extend_from_slice(if begins && ends { new } else { old });
    }
    changed.extend_from_slice(&text[last..]);
    fs::write(to, changed)?;
    fs::set_permissions(to, fs::Permissions::from_mode(data.mode()))?;
    File::options()
        .write(true)
        .open(to)?
        .set_modified(data.modified()?)
}

/// Whether a file is text and holds a path.
fn is_text_with(file: &Path, path: &Path) -> io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_TEXT).read_to_end(&mut bytes)?;
    let head = &bytes[..bytes.len().min(8192)];
    Ok(memchr::memchr(0, head).is_none()
        && memchr::memmem::find(&bytes, path.as_os_str().as_encoded_bytes()).is_some())
}

fn modified(data: &fs::Metadata) -> i128 {
    i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec())
}

#[cfg(test)]
mod tests;
