//! Repositories made with the real git.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::binary::root;

/// A working tree of its own in a temporary folder.
#[derive(Debug)]
pub struct Repository {
    _folder: TempDir,
    path: PathBuf,
}

impl Repository {
    /// An empty repository in a folder called `name`.
    ///
    /// # Panics
    /// git fails.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("launchway-e2e-")
            .tempdir()
            .expect("a temporary folder");
        let path = folder.path().join(name);
        std::fs::create_dir(&path).expect("a fresh folder");
        let repository = Self {
            _folder: folder,
            path,
        };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["config", "user.name", "A Person"]);
        repository.git(&["config", "user.email", "person@example.org"]);
        repository
    }

    /// One of `examples/`, committed, in a folder called `name`.
    pub fn of_example(example: &str, name: &str) -> Self {
        let repository = Self::new(name);
        copy(&root().join("examples").join(example), &repository.path);
        repository.commit(&format!("the example {example}"));
        repository
    }

    /// Files, committed.
    pub fn of_files(name: &str, files: &[(&str, &str)]) -> Self {
        let repository = Self::new(name);
        for (path, text) in files {
            repository.write(path, text);
        }
        repository.commit("the first");
        repository
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("a folder in the repository");
        std::fs::write(path, text).expect("a file in the repository");
    }

    /// Replaces a text in a file.
    ///
    /// # Panics
    /// The text is not there: the change would change nothing.
    pub fn replace(&self, path: &str, old: &str, new: &str) {
        let text = std::fs::read_to_string(self.path.join(path)).expect("a file of the repository");
        assert!(text.contains(old), "{path} does not contain `{old}`");
        self.write(path, &text.replace(old, new));
    }

    /// Commits all that changed and gives the commit.
    pub fn commit(&self, subject: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs git, which must succeed, and gives what it printed.
    ///
    /// # Panics
    /// It fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.try_git(arguments);
        assert!(
            output.status.success(),
            "git {arguments:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs git, whatever comes of it.
    ///
    /// # Panics
    /// There is no git.
    pub fn try_git(&self, arguments: &[&str]) -> Output {
        Command::new("git")
            .arg("-C")
            .arg(&self.path)
            .args(arguments)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .expect("git is installed")
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from)
        .expect("an example's folder")
        .flatten()
    {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            // What a run of the example by hand leaves behind is no part of it.
            if [
                "__pycache__",
                ".venv",
                "data",
                "reports",
                "node_modules",
                ".pytest_cache",
            ]
            .iter()
            .any(|name| entry.file_name() == *name)
            {
                continue;
            }
            std::fs::create_dir_all(&target).expect("a folder in the repository");
            copy(&source, &target);
        } else {
            std::fs::copy(&source, &target).expect("a file of the example");
        }
    }
}
