//! Where the advisory data is: a database folder with a built index, an index file, or raw records (an archive, a
//! folder, a git checkout), for which an index is built once and kept in a cache.
//!
//! A place without data is no error of the scan: the scan then says that it can say nothing, and fails closed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::advisory::source::Source;
use crate::error::ScanError;
use crate::index::builder::{BuildReport, build};
use crate::index::{CURRENT, Index, PREVIOUS, publish};

/// An opened database.
#[derive(Default)]
pub struct Database {
    /// The index, if there is a usable one.
    pub index: Option<Index>,
    /// What a person should know about it.
    pub notes: Vec<String>,
}

impl Database {
    /// Opens what is at `path`. Indexes of raw records are kept in `cache`; without one, or where it can't be
    /// written, they are built for this scan alone.
    pub fn open(path: &Path, cache: Option<&Path>, now: i64) -> Self {
        let opened = if path.join(CURRENT).exists() || path.join(PREVIOUS).exists() {
            Index::open_folder(path).map(|(index, note)| Self {
                index: Some(index),
                notes: note.into_iter().collect(),
            })
        } else if path.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension == "index")
        {
            Index::open(path).map(|index| Self {
                index: Some(index),
                notes: Vec::new(),
            })
        } else {
            Source::detect(path).and_then(|source| Self::from_records(&source, path, cache, now))
        };
        opened.unwrap_or_else(|error| Self::without(&error))
    }

    fn without(reason: &ScanError) -> Self {
        Self {
            index: None,
            notes: vec![reason.to_string()],
        }
    }

    fn from_records(
        source: &Source,
        path: &Path,
        cache: Option<&Path>,
        now: i64,
    ) -> Result<Self, ScanError> {
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let stamp = format!("{}\n{}", place.display(), source.stamp()?);
        let key = crc32fast::hash(place.to_string_lossy().as_bytes());
        let folder = cache.map(|cache| cache.join(format!("records-{key:08x}")));
        // The stamp is written after the index, so an interrupted build is simply done again.
        let kept = folder.as_deref().filter(|folder| {
            fs::read_to_string(folder.join(STAMP)).is_ok_and(|kept| kept == stamp)
        });
        if let Some((index, note)) = kept.and_then(|folder| Index::open_folder(folder).ok()) {
            return Ok(Self {
                index: Some(index),
                notes: note.into_iter().collect(),
            });
        }
        let (bytes, report) = build(std::slice::from_ref(source), now)?;
        let mut notes = describe(&report);
        if report.records == 0 {
            let reason = ScanError::NoDatabase {
                path: path.to_owned(),
                reason: "no OSV record was found there".to_owned(),
            };
            notes.insert(0, reason.to_string());
            return Ok(Self { index: None, notes });
        }
        let index = match folder.map(|folder| keep(&folder, &bytes, &stamp)) {
            Some(Ok(path)) => Index::open(&path)?,
            _ => Index::from_bytes(path, bytes)?,
        };
        Ok(Self {
            index: Some(index),
            notes,
        })
    }
}

/// The file beside a kept index that tells which state of which source it was built from.
const STAMP: &str = "source";

fn keep(folder: &Path, bytes: &[u8], stamp: &str) -> Result<PathBuf, ScanError> {
    fs::create_dir_all(folder).map_err(|error| ScanError::io("create", folder, error))?;
    let index = publish(folder, bytes)?;
    let stamp_file = folder.join(STAMP);
    fs::write(&stamp_file, stamp).map_err(|error| ScanError::io("write", &stamp_file, error))?;
    Ok(index)
}

/// What a build met that a person should know.
pub(crate) fn describe(report: &BuildReport) -> Vec<String> {
    let mut notes = Vec::new();
    if report.unreadable > 0 {
        notes.push(format!(
            "{} advisory records could not be read; the first: {}",
            report.unreadable,
            report.problems.first().map_or("", String::as_str)
        ));
    }
    if report.git_only > 0 {
        notes.push(format!(
            "{} advisories speak of git commits only and are set aside",
            report.git_only
        ));
    }
    notes
}

/// Where indexes of raw records are kept when nobody says otherwise: `$XDG_CACHE_HOME/launchway`, or
/// `~/.cache/launchway`. `None` for a user without a home: a shared folder could hold somebody else's index.
pub fn default_cache() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("launchway"))
}
