//! The scanner from files to reports, with real records and real lock files.
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "a test ends where its premise fails")]

mod cases;
mod ecosystems;
mod grammar;
mod outputs;
mod robustness;

use std::fs;
use std::path::{Path, PathBuf};

use launchway_scanner::command::{Options, Outcome, run};

/// The folder with this crate's own test data.
pub(crate) fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(path)
}

/// A folder for a test's files, with a cache of its own.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Puts a file into the tree that is scanned.
    pub(crate) fn file(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path("tree").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Options to scan the tree against this crate's own records.
    pub(crate) fn options(&self) -> Options {
        self.options_for(&data("advisories"))
    }

    pub(crate) fn options_for(&self, database: &Path) -> Options {
        let mut options = Options::new(self.path("tree"), database);
        options.cache = Some(self.path("cache"));
        options.now = Some("2024-12-01T00:00:00Z".parse().unwrap());
        options.project = Some("shop".to_owned());
        options
    }

    pub(crate) fn run(&self) -> Outcome {
        run(&self.options()).unwrap()
    }
}
