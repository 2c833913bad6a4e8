//! What can go wrong with a scan as a whole. What is wrong with one lock file or one record is no error here:
//! it is a problem in the report, and the rest is still scanned.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a scan, a build of the index or an update could not be done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScanError {
    /// A file or folder can't be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no advisory database at the place given.
    #[error("no advisory data at {}: {reason}", path.display())]
    NoDatabase {
        /// The place.
        path: PathBuf,
        /// What was found there.
        reason: String,
    },
    /// The index, and the last good one if there is one, can't be used.
    #[error("the advisory index {} is not usable: {reason}", path.display())]
    BadIndex {
        /// The index file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive of records is damaged or hostile.
    #[error("the archive {} is not usable: {reason}", path.display())]
    BadArchive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that steers the scan (an ignore file, a suppression file) is wrong; without it the verdict would be too.
    #[error("{}: {message}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// Line and cause.
        message: String,
    },
    /// An argument has no meaning.
    #[error("{0}")]
    BadArgument(String),
    /// A download failed after its retries.
    #[error("cannot download {url}: {reason}")]
    Download {
        /// What was asked for.
        url: String,
        /// Why it failed.
        reason: String,
    },
}

impl ScanError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn archive(path: &Path, reason: impl ToString) -> Self {
        Self::BadArchive {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn index(path: &Path, reason: impl ToString) -> Self {
        Self::BadIndex {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
