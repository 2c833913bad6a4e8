//! What of a home goes into a backup.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use launchway_model::Problem;
use launchway_model::home::Home;

use crate::problem;

/// Names in the home that are made again by themselves, or are of this run alone. Everything else goes in, so that what a
/// later version keeps is not forgotten.
const LEFT_OUT: [&str; 12] = [
    "builds",
    "instances",
    "logs",
    "backups",
    "releases",
    "reserve",
    "control.lock",
    "up.lock",
    "client.json",
    "bin",
    "apps",
    "proxy",
];

/// One thing to put into the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its path below the home.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Link,
    File,
}

/// Lists all, folders before what is in them. `trees` are releases' trees to take along.
pub(super) fn list(home: &Home, trees: &[PathBuf]) -> Result<Vec<Item>, Problem> {
    let mut items = Vec::new();
    let root = home.root();
    for name in names(root)? {
        let left_out = LEFT_OUT.iter().any(|left| name == *left)
            || is_beside_database(home, &name)
            || name.as_encoded_bytes().starts_with(b".")
            || name.as_encoded_bytes().starts_with(b"before-restore-");
        if !left_out {
            walk(root, Path::new(&name), &mut items)?;
        }
    }
    for top in ["apps", "releases"] {
        if root.join(top).is_dir() {
            items.push(folder(top));
        }
    }
    if root.join("apps").is_dir() {
        for app in names(&root.join("apps"))? {
            let of_app = Path::new("apps").join(app);
            let persist = of_app.join("persist");
            if root.join(&persist).is_dir() {
                items.push(folder(of_app));
                walk(root, &persist, &mut items)?;
            }
        }
    }
    for tree in trees {
        let Ok(below) = tree.strip_prefix(root) else {
            continue;
        };
        if let Some(parent) = below.parent() {
            items.push(folder(parent));
        }
        if root.join(below).exists() {
            walk(root, below, &mut items)?;
        }
    }
    Ok(items)
}

fn folder(path: impl Into<PathBuf>) -> Item {
    Item {
        path: path.into(),
        kind: Kind::Folder,
    }
}

/// SQLite's own files beside the database, and copies from before a migration: the database itself goes in as a copy.
fn is_beside_database(home: &Home, name: &std::ffi::OsStr) -> bool {
    let database = home.database();
    let Some(own) = database.file_name() else {
        return false;
    };
    name != own && name.as_encoded_bytes().starts_with(own.as_encoded_bytes())
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>, Problem> {
    let failed = |error| problem::file("read", folder, &error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort();
    Ok(names)
}

fn walk(root: &Path, path: &Path, items: &mut Vec<Item>) -> Result<(), Problem> {
    let whole = root.join(path);
    let data = match std::fs::symlink_metadata(&whole) {
        Ok(data) => data,
        // An app removes files of its own as it likes.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(problem::file("look at", &whole, &error)),
    };
    let Some(kind) = kind_of(data.file_type()) else {
        return Ok(());
    };
    items.push(Item {
        path: path.to_owned(),
        kind,
    });
    if kind == Kind::Folder {
        for name in names(&whole)? {
            // Beside a database these belong to it, and the copy has what they hold.
            let text = name.to_string_lossy();
            let of_database = ["-wal", "-shm", "-journal"].iter().any(|suffix| {
                text.strip_suffix(suffix)
                    .is_some_and(|main| launchway_store::copy::is_sqlite(&whole.join(main)))
            });
            if !of_database {
                walk(root, &path.join(&name), items)?;
            }
        }
    }
    Ok(())
}

/// Sockets, pipes and devices are no content.
fn kind_of(of: FileType) -> Option<Kind> {
    if of.is_dir() {
        Some(Kind::Folder)
    } else if of.is_symlink() {
        Some(Kind::Link)
    } else if of.is_file() {
        Some(Kind::File)
    } else {
        debug_assert!(
            of.is_socket() || of.is_fifo() || of.is_char_device() || of.is_block_device()
        );
        None
    }
}
