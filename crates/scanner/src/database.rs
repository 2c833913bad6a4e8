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
    /// Opens what is at `path`. Indexes of raw records go to `cache`, or where that can't be written to a folder
    /// that lives as long as this process's scan.
    ///
    /// # Errors
    /// Where raw records are there and can't be made into an index at all.
    pub fn open(path: &Path, cache: &Path, now: i64) -> Result<Self, ScanError> {
        if path.join(CURRENT).exists() || path.join(PREVIOUS).exists() {
            return Ok(match Index::open_folder(path) {
                Ok((index, note)) => Self {
                    index: Some(index),
                    notes: note.into_iter().collect(),
                },
                Err(error) => Self::without(&error),
            });
        }
        if path.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension == "index")
        {
            return Ok(match Index::open(path) {
                Ok(index) => Self {
                    index: Some(index),
                    notes: Vec::new(),
                },
                Err(error) => Self::without(&error),
            });
        }
        match Source::detect(path) {
            Ok(source) => Self::from_records(&source, path, cache, now),
            Err(error) => Ok(Self::without(&error)),
        }
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
        cache: &Path,
        now: i64,
    ) -> Result<Self, ScanError> {
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let stamp = format!("{}\n{}", place.display(), source.stamp()?);
        let key = crc32fast::hash(place.to_string_lossy().as_bytes());
        let folder = cache.join(format!("records-{key:08x}"));
        let stamp_file = folder.join("source");
        // The stamp is written after the index, so an interrupted build is simply done again.
        if fs::read_to_string(&stamp_file).is_ok_and(|kept| kept == stamp)
            && let Ok((index, note)) = Index::open_folder(&folder)
        {
            return Ok(Self {
                index: Some(index),
                notes: note.into_iter().collect(),
            });
        }
        let (bytes, report) = build(std::slice::from_ref(source), now)?;
        let notes = describe(&report);
        if report.records == 0 {
            let reason = ScanError::NoDatabase {
                path: path.to_owned(),
                reason: "no OSV record was found there".to_owned(),
            };
            return Ok(Self {
                index: None,
                notes: [vec![reason.to_string()], notes].concat(),
            });
        }
        let written = fs::create_dir_all(&folder)
            .map_err(|error| ScanError::io("create", &folder, error))
            .and_then(|()| publish(&folder, &bytes))
            .and_then(|index| {
                fs::write(&stamp_file, &stamp)
                    .map(|()| index)
                    .map_err(|error| ScanError::io("write", &stamp_file, error))
            });
        let index = match written {
            Ok(path) => Index::open(&path)?,
            // Nowhere to keep it: the mapping outlives its file's name.
            Err(_) => {
                let path = std::env::temp_dir().join(format!(
                    "launchway-scan-{}-{key:08x}.index",
                    std::process::id()
                ));
                fs::write(&path, &bytes).map_err(|error| ScanError::io("write", &path, error))?;
                let index = Index::open(&path);
                let _ = fs::remove_file(&path);
                index?
            }
        };
        Ok(Self {
            index: Some(index),
            notes,
        })
    }
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

/// Where indexes of raw records are kept when nobody says otherwise: `$XDG_CACHE_HOME/launchway`, or `~/.cache/launchway`.
pub fn default_cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(home);
    base.unwrap_or_else(std::env::temp_dir).join("launchway")
}
