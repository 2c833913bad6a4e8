//! The binary under test: the one that the same `cargo test --workspace` has built, or `LAUNCHWAY_BINARY`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// The path of the binary.
///
/// # Panics
/// There is none, or it is older than the sources: a test of yesterday's program proves nothing.
pub fn launchway() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if let Some(given) = std::env::var_os("LAUNCHWAY_BINARY") {
            return PathBuf::from(given);
        }
        let this = std::env::current_exe().expect("a process knows its own binary");
        // A bench lies beside it, a test in `deps` one folder below.
        let folder = this.parent().expect("a binary lies in a folder");
        let folder = if folder.ends_with("deps") {
            folder.parent().expect("deps lies in target/PROFILE")
        } else {
            folder
        };
        let binary = folder.join("launchway");
        let built = std::fs::metadata(&binary).and_then(|file| file.modified());
        let Ok(built) = built else {
            panic!(
                "{} does not exist: run `cargo test --workspace`, or `cargo build` first",
                binary.display()
            );
        };
        let newest = newest_source(&root().join("crates"));
        assert!(
            newest <= built,
            "{} is older than the sources: run `cargo test --workspace`, or `cargo build` first",
            binary.display()
        );
        binary
    })
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e lies in the repository's root")
        .to_owned()
}

/// When the newest file below `src` of any crate was changed.
fn newest_source(crates: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(crates)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                // Tests of a crate are not part of its program.
                if path.file_name().is_some_and(|name| name != "tests") {
                    folders.push(path);
                }
            } else if path.file_name().is_some_and(|name| {
                // Nor are hidden files: a failed snapshot test leaves one.
                name != "tests.rs" && !name.as_encoded_bytes().starts_with(b".")
            }) && let Ok(changed) = entry.metadata().and_then(|file| file.modified())
            {
                newest = newest.max(changed);
            }
        }
    }
    newest
}
