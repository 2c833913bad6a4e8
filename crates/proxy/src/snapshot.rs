//! The last applied table on disk.
//!
//! **Invariant:** the file is whole or absent: it is replaced by a temporary file, fsync and rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use launchway_model::PROTOCOL;
use launchway_model::route::{RouteTable, Snapshot};

use crate::table;

/// What was found at the start.
#[derive(Debug)]
pub(crate) enum Found {
    /// A table to serve.
    Table(RouteTable),
    /// No snapshot: a first start.
    None,
    /// An unusable file, which was moved aside.
    Unusable {
        reason: String,
        moved_to: Option<PathBuf>,
    },
}

/// Reads the snapshot; what cannot be used is moved aside, so that nobody's evidence is overwritten.
pub(crate) fn load(path: &Path) -> Found {
    let reason = match read(path) {
        Ok(Some(table)) => return Found::Table(table),
        Ok(None) => return Found::None,
        Err(reason) => reason,
    };
    let mut aside = path.as_os_str().to_owned();
    aside.push(".unusable");
    let aside = PathBuf::from(aside);
    let moved_to = fs::rename(path, &aside).is_ok().then_some(aside);
    Found::Unusable { reason, moved_to }
}

fn read(path: &Path) -> Result<Option<RouteTable>, String> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let snapshot: Snapshot =
        serde_json::from_slice(&text).map_err(|error| format!("it is not a snapshot: {error}"))?;
    if snapshot.protocol != PROTOCOL && snapshot.protocol + 1 != PROTOCOL {
        return Err(format!(
            "it has version {}, this proxy speaks {PROTOCOL}",
            snapshot.protocol
        ));
    }
    table::check(&snapshot.table)?;
    Ok(Some(snapshot.table))
}

/// Replaces the snapshot.
pub(crate) fn save(path: &Path, table: &RouteTable) -> io::Result<()> {
    // Borrowing twin of `Snapshot`: the table may be large.
    #[derive(serde::Serialize)]
    struct View<'t> {
        protocol: u32,
        table: &'t RouteTable,
    }
    let view = View {
        protocol: PROTOCOL,
        table,
    };
    let text = serde_json::to_vec(&view).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    // The rules of routes may hold hashes of passwords.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        assert!(matches!(load(&path), Found::None));
        let table = RouteTable {
            number: 7,
            routes: Vec::new(),
        };
        save(&path, &table).unwrap();
        assert!(matches!(load(&path), Found::Table(found) if found == table));
    }

    #[test]
    fn a_corrupt_snapshot_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        for text in [
            "{\"protocol\":1,\"tab",
            "",
            "{\"protocol\":99,\"table\":{\"number\":1,\"routes\":[]}}",
        ] {
            fs::write(&path, text).unwrap();
            let Found::Unusable { moved_to, .. } = load(&path) else {
                panic!("{text} was taken");
            };
            assert_eq!(fs::read_to_string(moved_to.unwrap()).unwrap(), text);
            assert!(!path.exists());
        }
    }
}
