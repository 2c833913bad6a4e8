//! Where backups lie: a folder, or a bucket of an S3-compatible store.

use std::fs::File;
use std::path::{Path, PathBuf};

use launchway_model::Problem;
use serde::{Deserialize, Serialize};

use super::s3::Bucket;
use crate::problem;

/// A place for backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub enum Target {
    /// A folder, on another disk or machine where it is to help.
    Folder {
        /// Its absolute path.
        path: PathBuf,
    },
    /// A bucket.
    S3(Bucket),
}

impl Target {
    /// Reads a target as a person writes it: a folder's path, or `s3://BUCKET/PREFIX?endpoint=https://…&region=…`. The
    /// keys of a bucket come from `variable` (`AWS_ACCESS_KEY_ID` and its like).
    ///
    /// # Errors
    /// It is neither, or the bucket's keys are not known.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return Bucket::parse(rest, variable).map(Self::S3);
        }
        if text.contains("://") {
            return Err(
                Problem::invalid(format!("`{text}` is no place for backups")).hint(
                    "Write a folder's path, or `s3://BUCKET/PREFIX?endpoint=https://…&region=…`.",
                ),
            );
        }
        let path = std::path::absolute(text)
            .map_err(|error| Problem::invalid(format!("`{text}` is no path")).cause(error))?;
        Ok(Self::Folder { path })
    }

    /// In words, without secrets.
    pub fn words(&self) -> String {
        match self {
            Self::Folder { path } => path.display().to_string(),
            Self::S3(bucket) => bucket.words(),
        }
    }

    /// Stores a file under a name; it is there whole or not at all.
    pub(super) fn put(&self, name: &str, file: &Path) -> Result<(), Problem> {
        match self {
            Self::Folder { path } => put_in_folder(path, name, file),
            Self::S3(bucket) => bucket.put(name, file),
        }
    }

    /// The names and sizes of all that lies there.
    pub(super) fn list(&self) -> Result<Vec<(String, u64)>, Problem> {
        match self {
            Self::Folder { path } => {
                let entries = match std::fs::read_dir(path) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Ok(Vec::new());
                    }
                    Err(error) => return Err(problem::file("read", path, &error)),
                };
                Ok(entries
                    .flatten()
                    .filter_map(|entry| {
                        let size = entry.metadata().ok()?.len();
                        Some((entry.file_name().into_string().ok()?, size))
                    })
                    .collect())
            }
            Self::S3(bucket) => bucket.list(),
        }
    }

    /// Removes a backup.
    pub(super) fn remove(&self, name: &str) -> Result<(), Problem> {
        match self {
            Self::Folder { path } => {
                let file = path.join(name);
                std::fs::remove_file(&file).map_err(|error| problem::file("remove", &file, &error))
            }
            Self::S3(bucket) => bucket.remove(name),
        }
    }

    /// The path of a backup on this machine: where it lies, or in `scratch` after fetching it.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be fetched.
    pub fn fetch(&self, name: &str, scratch: &Path) -> Result<PathBuf, Problem> {
        match self {
            Self::Folder { path } => {
                let file = path.join(name);
                if file.is_file() {
                    return Ok(file);
                }
                Err(
                    Problem::not_found(format!("there is no backup {name} in {}", path.display()))
                        .hint("`launchway backup list` names them."),
                )
            }
            Self::S3(bucket) => {
                let file = scratch.join(name);
                bucket.get(name, &file)?;
                Ok(file)
            }
        }
    }
}

fn put_in_folder(folder: &Path, name: &str, file: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| problem::file("make", folder, &error))?;
    let to = folder.join(name);
    // Within one disk a rename is all; to another one the copy appears when it is whole.
    if std::fs::rename(file, &to).is_ok() {
        return Ok(());
    }
    let draft = folder.join(format!(".{name}.part"));
    let copied = std::fs::copy(file, &draft)
        .and_then(|_| File::open(&draft)?.sync_all())
        .and_then(|()| std::fs::rename(&draft, &to));
    if let Err(error) = copied {
        let _ = std::fs::remove_file(&draft);
        return Err(problem::file("write", &to, &error));
    }
    Ok(())
}
