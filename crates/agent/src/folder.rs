//! Where everything of an agent lies, below its one folder.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use launchway_model::agent::LeaseId;
use launchway_model::{AppName, BuildId, Problem};
use serde::{Deserialize, Serialize};

/// The file of a lease's folder that tells a later start of the agent what it was. It holds no secret.
const LEASE_FILE: &str = "lease.json";

/// The agent's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

/// What outlives the agent's process of one lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseFile {
    /// The lease.
    pub lease: LeaseId,
    /// Its build.
    pub build: BuildId,
    /// The app.
    pub app: AppName,
    /// Whether the tree is to be delivered.
    pub deliver_tree: bool,
}

impl Folder {
    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(root: &Path) -> Result<Self, Problem> {
        let folder = Self {
            root: root.to_owned(),
        };
        for part in ["", "repos", "leases", "trees", "apps"] {
            let path = folder.root.join(part);
            make(&path).map_err(|error| cannot("make", &path, &error))?;
        }
        Ok(folder)
    }

    /// Takes the folder for one process.
    ///
    /// # Errors
    /// Another agent has it.
    pub fn lock(&self) -> Result<fs::File, Problem> {
        let path = self.root.join("agent.lock");
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| cannot("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(Problem::conflict(format!(
                "another agent runs in {}",
                self.root.display()
            ))
            .hint("Stop it, or give this one another --folder.")),
            Err(fs::TryLockError::Error(error)) => Err(cannot("lock", &path, &error)),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bare mirror of an app.
    pub fn repository(&self, app: &AppName) -> PathBuf {
        self.root.join("repos").join(format!("{app}.git"))
    }

    /// The build's folder of a lease: the runner's spool and logs.
    pub fn lease(&self, lease: LeaseId) -> PathBuf {
        self.root.join("leases").join(lease.to_string())
    }

    /// The tree of a lease.
    pub fn tree(&self, lease: LeaseId) -> PathBuf {
        self.root.join("trees").join(lease.to_string())
    }

    /// A folder of an app that its builds share: `home`, `cache`, `persist`.
    pub fn app(&self, app: &AppName, part: &str) -> PathBuf {
        self.root.join("apps").join(app.as_str()).join(part)
    }

    /// Makes a lease's folder and writes what it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, lease: &LeaseFile) -> Result<(), Problem> {
        let folder = self.lease(lease.lease);
        make(&folder).map_err(|error| cannot("make", &folder, &error))?;
        let path = folder.join(LEASE_FILE);
        let text = serde_json::to_vec(lease)
            .map_err(|error| Problem::internal("cannot encode a lease").cause(error))?;
        let draft = path.with_extension("new");
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|error| cannot("write", &path, &error))
    }

    /// Removes all that a lease left.
    pub fn end(&self, lease: LeaseId) {
        for folder in [self.tree(lease), self.lease(lease)] {
            if let Err(error) = fs::remove_dir_all(&folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, folder = %folder.display(), "a folder cannot be removed");
            }
        }
    }

    /// The leases that an earlier process of this agent left. What is none is removed.
    pub fn left(&self) -> Vec<LeaseFile> {
        let mut left = Vec::new();
        for entry in fs::read_dir(self.root.join("leases"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let text = fs::read(entry.path().join(LEASE_FILE));
            match text
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok())
            {
                Some(lease) => left.push(lease),
                None => {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
        left
    }
}

/// Whether a file of a lease's folder is the agent's own and not for control.
pub fn is_own(name: &str) -> bool {
    matches!(
        name,
        LEASE_FILE
            | "lease.new"
            | "cancel"
            | "cancel.draft"
            | "answers"
            | "tmp"
            | "private-tmp"
            | "index"
            | "job.json"
    )
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(crate) fn cannot(what: &str, path: &Path, error: &io::Error) -> Problem {
    Problem::internal(format!("cannot {what} {}", path.display())).cause(error)
}
