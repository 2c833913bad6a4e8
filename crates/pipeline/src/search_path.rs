//! The PATH that an app's commands see, in builds and in instances alike.
//!
//! An app's own tools come first: what a virtual environment or npm installed in the tree is found without `.venv/bin/`
//! being written before each command, as on the platforms that Procfiles come from.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Folders below the tree that come first, in this order.
pub const TREE_FOLDERS: [&str; 3] = [".venv/bin", "venv/bin", "node_modules/.bin"];

/// The folder below the tree that comes last: what a repository keeps there is found, but stands for no command of the machine.
pub const LAST_FOLDER: &str = "bin";

/// What a command falls back to where the process itself has no PATH.
const STANDARD: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The PATH for a command of the app whose tree this is: the tree's own folders around what this process sees. The
/// folders need not exist yet. Set it for builds, instances, release commands and one-off commands alike.
pub fn for_tree(tree: &Path, inherited: Option<&OsStr>) -> OsString {
    let mut path = OsString::new();
    for folder in TREE_FOLDERS {
        path.push(tree.join(folder));
        path.push(":");
    }
    match inherited {
        Some(inherited) if !inherited.is_empty() => path.push(inherited),
        _ => path.push(STANDARD),
    }
    path.push(":");
    path.push(tree.join(LAST_FOLDER));
    path
}

/// The file that a command's name stands for on a PATH, if it can be run.
pub fn find(name: &str, path: &OsStr) -> Option<std::path::PathBuf> {
    if name.is_empty() || name.contains('/') {
        return None;
    }
    std::env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// Whether a file is there and may be run by somebody.
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
