//! Keeps a database folder up to date from OSV's bucket: `all.zip` per ecosystem at first, afterwards only the
//! records that `modified_id.csv` names as newer.
//!
//! ```text
//! DATABASE/advisories.index            the index that scans use; advisories.previous.index the one before
//! DATABASE/sources/ECOSYSTEM/all.zip   as downloaded; all.zip.part and its .meta while under way
//! DATABASE/sources/ECOSYSTEM/delta/    newer records, one file each; they count before those of the archive
//! DATABASE/sources/ECOSYSTEM/state     what is known, and when it was last confirmed
//! ```
//! **Invariant**: what is there stays usable. Everything is written beside and renamed; one ecosystem's failure
//! leaves its old data and the other ecosystems alone; the index is replaced last.

mod download;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::advisory::source::Source;
use crate::advisory::{Format, Record, is_id, seconds};
use crate::ecosystem::Ecosystem;
use crate::error::ScanError;
use crate::index::builder::{BuildReport, Builder};
use crate::index::{Index, publish};
use download::Client;

/// Where OSV publishes its records.
pub const OSV_BUCKET: &str = "https://osv-vulnerabilities.storage.googleapis.com";

/// What to bring up to date, and how.
#[derive(Debug, Clone)]
pub struct UpdateOptions {
    /// The database folder; it is made where it doesn't exist.
    pub database: PathBuf,
    /// The bucket or a mirror of it, without a slash at the end.
    pub base_url: String,
    /// The ecosystems; those that the database already has are always kept up to date too.
    pub ecosystems: Vec<Ecosystem>,
    /// With more changed records than this, the whole archive is downloaded instead.
    pub max_delta: usize,
    /// How often a download is tried again after a failure of the connection.
    pub retries: u32,
    /// The pause before the first retry; it doubles each time.
    pub pause: Duration,
    /// How long a server may be silent.
    pub silence: Duration,
    /// The time that counts as now; `None` for the clock's.
    pub now: Option<Timestamp>,
}

impl UpdateOptions {
    /// An update of some ecosystems from OSV's own bucket.
    pub fn new(database: impl Into<PathBuf>, ecosystems: Vec<Ecosystem>) -> Self {
        Self {
            database: database.into(),
            base_url: OSV_BUCKET.to_owned(),
            ecosystems,
            max_delta: 500,
            retries: 4,
            pause: Duration::from_secs(1),
            silence: Duration::from_secs(30),
            now: None,
        }
    }
}

/// What an update came to.
#[derive(Debug, Default)]
pub struct UpdateReport {
    /// Each ecosystem and what was done for it.
    pub done: Vec<(String, Action)>,
    /// Ecosystems whose data could not be brought up to date, and why; what was there before still counts.
    pub failed: Vec<(String, ScanError)>,
    /// What the build of the index met.
    pub build: BuildReport,
    /// The index.
    pub index: Option<PathBuf>,
}

/// What was done for an ecosystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing had changed.
    Current,
    /// This many records were fetched.
    Delta(usize),
    /// The whole archive was fetched: bytes, of which this many were there from a try before.
    Full {
        /// Bytes of the archive.
        bytes: u64,
        /// Bytes that a broken download before had already brought.
        resumed: u64,
    },
}

/// What is known about an ecosystem's data.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
struct State {
    /// The newest change that the data holds, in seconds since 1970.
    newest: i64,
    /// When it was last confirmed that nothing newer exists.
    fetched: i64,
}

/// Brings a database up to date. `progress` hears one line per step.
///
/// # Errors
/// Where the folder can't be written or locked, or the index can't be built. Failed downloads are in the report.
pub fn update(
    options: &UpdateOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<UpdateReport, ScanError> {
    let sources = options.database.join("sources");
    fs::create_dir_all(&sources).map_err(|error| ScanError::io("create", &sources, error))?;
    let _lock = lock(&options.database)?;
    let now = options.now.unwrap_or_else(Timestamp::now).as_second();
    let client = Client::new(options);
    let mut report = UpdateReport::default();
    for bucket in buckets(options, &sources)? {
        match update_one(
            &client,
            options,
            &sources.join(&bucket),
            &bucket,
            now,
            progress,
        ) {
            Ok(action) => report.done.push((bucket, action)),
            Err(error) => {
                progress(&format!("{bucket}: {error}"));
                report.failed.push((bucket, error));
            }
        }
    }
    rebuild(&options.database, &sources, now, &mut report)?;
    Ok(report)
}

/// Two updates of one folder would undo each other's files.
fn lock(database: &Path) -> Result<File, ScanError> {
    let path = database.join("update.lock");
    let file = File::create(&path).map_err(|error| ScanError::io("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ScanError::BadArgument(format!(
            "another update of {} is under way",
            database.display()
        ))),
        Err(TryLockError::Error(error)) => Err(ScanError::io("lock", &path, error)),
    }
}

/// The ecosystems asked for and those that are there, each once.
fn buckets(options: &UpdateOptions, sources: &Path) -> Result<Vec<String>, ScanError> {
    let mut buckets: Vec<String> = options
        .ecosystems
        .iter()
        .map(|ecosystem| ecosystem.bucket().to_owned())
        .collect();
    for entry in fs::read_dir(sources).map_err(|error| ScanError::io("read", sources, error))? {
        let entry = entry.map_err(|error| ScanError::io("read", sources, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Only our own folders: the name goes into an address.
        if Ecosystem::from_osv(&name).is_some_and(|ecosystem| ecosystem.bucket() == name) {
            buckets.push(name);
        }
    }
    buckets.sort();
    buckets.dedup();
    Ok(buckets)
}

fn update_one(
    client: &Client,
    options: &UpdateOptions,
    folder: &Path,
    bucket: &str,
    now: i64,
    progress: &mut dyn FnMut(&str),
) -> Result<Action, ScanError> {
    fs::create_dir_all(folder).map_err(|error| ScanError::io("create", folder, error))?;
    let base = format!("{}/{bucket}", options.base_url.trim_end_matches('/'));
    let changes = client.text(&format!("{base}/modified_id.csv"))?;
    let changes = parse_changes(&changes, bucket).map_err(|reason| ScanError::Download {
        url: format!("{base}/modified_id.csv"),
        reason,
    })?;
    let newest = changes.iter().map(|(at, _)| *at).max().unwrap_or_default();
    let state = read_state(folder).filter(|_| folder.join("all.zip").is_file());
    if let Some(state) = state {
        // Changes of the same second may have come after the last look, so that second is looked at again.
        let newer: Vec<&str> = changes
            .iter()
            .filter(|(at, _)| *at >= state.newest)
            .map(|(_, id)| id.as_str())
            .collect();
        if newer.len() <= options.max_delta {
            let fetched = fetch_records(client, &base, folder, &newer, &changes, progress)?;
            if let Some(count) = fetched {
                write_state(
                    folder,
                    &State {
                        newest: newest.max(state.newest),
                        fetched: now,
                    },
                )?;
                return Ok(if count == 0 {
                    Action::Current
                } else {
                    Action::Delta(count)
                });
            }
        }
    }
    progress(&format!("{bucket}: downloading all advisories"));
    let archive = folder.join("all.zip");
    let (bytes, resumed) = client.file(&format!("{base}/all.zip"), &archive, &verify_archive)?;
    // The archive may be older than the list by a moment; its own newest record is what is known.
    let held = newest_in(&archive)?;
    let delta = folder.join("delta");
    if delta.exists() {
        fs::remove_dir_all(&delta).map_err(|error| ScanError::io("clear", &delta, error))?;
    }
    write_state(
        folder,
        &State {
            newest: held,
            fetched: now,
        },
    )?;
    Ok(Action::Full { bytes, resumed })
}

/// Lines of `TIME,ID`, or `TIME,ECOSYSTEM/ID` in the bucket's own list.
fn parse_changes(text: &str, bucket: &str) -> Result<Vec<(i64, String)>, String> {
    let mut changes = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let (at, id) = line
            .trim()
            .split_once(',')
            .ok_or_else(|| format!("line {}: expected a time and an id", number + 1))?;
        let id = id
            .strip_prefix(bucket)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(id);
        let at = seconds(at).ok_or_else(|| format!("line {}: `{at}` is no time", number + 1))?;
        if !is_id(id) {
            return Err(format!("line {}: this is no id of a record", number + 1));
        }
        changes.push((at, id.to_owned()));
    }
    Ok(changes)
}

/// Fetches records that are newer than what is held; `None` where one has vanished, which only the whole archive
/// can mend.
fn fetch_records(
    client: &Client,
    base: &str,
    folder: &Path,
    ids: &[&str],
    changes: &[(i64, String)],
    progress: &mut dyn FnMut(&str),
) -> Result<Option<usize>, ScanError> {
    let delta = folder.join("delta");
    fs::create_dir_all(&delta).map_err(|error| ScanError::io("create", &delta, error))?;
    let mut fetched = 0;
    for id in ids {
        let target = delta.join(format!("{id}.json"));
        let listed = changes
            .iter()
            .find(|(_, known)| known == id)
            .map_or(0, |(at, _)| *at);
        // A record that is held at this very state needn't be fetched again.
        let held = fs::read(&target)
            .ok()
            .and_then(|bytes| Record::parse(&bytes, Format::Json).ok());
        if held.is_some_and(|record| record.modified >= listed) {
            continue;
        }
        let url = format!("{base}/{id}.json");
        let Some(text) = client.optional_text(&url)? else {
            return Ok(None);
        };
        let record =
            Record::parse(text.as_bytes(), Format::Json).map_err(|error| ScanError::Download {
                url: url.clone(),
                reason: error.to_string(),
            })?;
        if record.id != *id {
            return Err(ScanError::Download {
                url,
                reason: format!("the record calls itself {}", record.id),
            });
        }
        write_beside(&target, text.as_bytes())?;
        fetched += 1;
        if fetched % 100 == 0 {
            progress(&format!("{fetched} changed advisories fetched"));
        }
    }
    Ok(Some(fetched))
}

/// Reads an archive through, every checksum, before it may replace another.
fn verify_archive(path: &Path) -> Result<(), String> {
    let (mut good, mut bad) = (0_usize, None);
    let read = Source::Zip(path.to_owned()).each(&mut |raw| match raw.bytes {
        Ok(_) => good += 1,
        Err(reason) => bad = Some(format!("{}: {reason}", raw.origin)),
    });
    read.map_err(|error| error.to_string())?;
    match bad {
        Some(reason) => Err(reason),
        None if good == 0 => Err("the archive holds no record".to_owned()),
        None => Ok(()),
    }
}

/// The newest change that an archive holds.
fn newest_in(path: &Path) -> Result<i64, ScanError> {
    let mut newest = 0;
    Source::Zip(path.to_owned()).each(&mut |raw| {
        if let Some(record) = raw
            .bytes
            .ok()
            .and_then(|bytes| Record::parse(bytes, raw.format).ok())
        {
            newest = newest.max(record.modified);
        }
    })?;
    Ok(newest)
}

/// Builds the index from everything that is there and makes it the current one.
fn rebuild(
    database: &Path,
    sources: &Path,
    now: i64,
    report: &mut UpdateReport,
) -> Result<(), ScanError> {
    let changed = report
        .done
        .iter()
        .any(|(_, action)| *action != Action::Current);
    let mut builder = Builder::new();
    let mut any = false;
    let mut confirmed = false;
    for entry in fs::read_dir(sources)
        .map_err(|error| ScanError::io("read", sources, error))?
        .flatten()
    {
        let folder = entry.path();
        let archive = folder.join("all.zip");
        if !archive.is_file() {
            continue;
        }
        let delta = folder.join("delta");
        if delta.is_dir() {
            builder.add_source(&Source::Folder(delta))?;
        }
        builder.add_source(&Source::Zip(archive))?;
        if let Some(state) = read_state(&folder) {
            builder.set_fetched(&entry.file_name().to_string_lossy(), state.fetched);
            confirmed = true;
        }
        any = true;
    }
    if !any || !(changed || confirmed) {
        report.index = Index::open_folder(database)
            .ok()
            .map(|(index, _)| index.path().to_owned());
        return Ok(());
    }
    let (bytes, build) = builder.finish(now)?;
    report.build = build;
    report.index = Some(publish(database, &bytes)?);
    Ok(())
}

fn read_state(folder: &Path) -> Option<State> {
    serde_json::from_slice(&fs::read(folder.join("state")).ok()?).ok()
}

fn write_state(folder: &Path, state: &State) -> Result<(), ScanError> {
    let bytes = serde_json::to_vec(state).expect("two numbers can always be written");
    write_beside(&folder.join("state"), &bytes)
}

/// Writes under another name, syncs and renames.
fn write_beside(path: &Path, bytes: &[u8]) -> Result<(), ScanError> {
    use std::io::Write;
    let fresh = path.with_extension("new");
    let written = File::create(&fresh)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path));
    written.map_err(|error| ScanError::io("write", path, error))
}

#[cfg(test)]
mod tests;
