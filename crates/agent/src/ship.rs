//! Sends what a runner writes: the spool and the logs as they grow, other files when they are there.
//!
//! **Invariant:** an event goes after all that it speaks of; the last one after everything.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use launchway_model::agent::{CHUNK, LeaseId};
use launchway_model::runner::{EVENTS_FILE, LOG_FOLDER, RunnerEvent, RunnerEventKind};
use sha2::{Digest, Sha256};

use crate::folder;
use crate::link::{Lane, LinkError};

/// Why something could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The link failed, or control refused.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file of ours cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Control has more of a file than there is.
    #[error("the server has more of `{0}` than this agent")]
    Behind(String),
}

/// What of one lease's folder was sent.
#[derive(Debug)]
pub struct Shipper {
    lease: LeaseId,
    folder: PathBuf,
    /// How much of each growing file control has.
    grown: HashMap<String, u64>,
    /// The files that appeared whole, as they were when they were sent.
    sent: HashMap<String, (u64, Option<SystemTime>)>,
}

/// What a pass found in the part of the spool that was not sent yet.
#[derive(Debug, Clone, Default)]
pub struct Passed {
    /// The last event of the spool, where it is there: it was not sent yet.
    pub finished: Option<Box<RunnerEventKind>>,
    /// Whether anything was sent.
    pub news: bool,
    /// The process id that the runner said it has.
    pub pid: Option<u32>,
}

impl Shipper {
    /// Nothing is known to be sent; control says what it has.
    pub fn new(lease: LeaseId, folder: &Path) -> Self {
        Self {
            lease,
            folder: folder.to_owned(),
            grown: HashMap::new(),
            sent: HashMap::new(),
        }
    }

    /// Sends what is new but for the spool's last event.
    ///
    /// # Errors
    /// As [`ShipError`].
    pub async fn pass(&mut self, lane: &mut Lane) -> Result<Passed, ShipError> {
        let start = self.known(lane, EVENTS_FILE).await?;
        let events = self.events_from(start)?;
        let mut passed = Passed {
            pid: events.pid,
            ..Passed::default()
        };
        passed.news |= self.logs(lane).await?;
        if events.speaks_of_files || events.finished.is_some() {
            self.files(lane).await?;
        }
        if events.before_end > start {
            self.send(lane, EVENTS_FILE, events.before_end).await?;
            passed.news = true;
        }
        passed.finished = events.finished;
        Ok(passed)
    }

    /// Sends the spool's last event, after everything else.
    ///
    /// # Errors
    /// As [`ShipError`].
    pub async fn finish(&mut self, lane: &mut Lane) -> Result<(), ShipError> {
        self.logs(lane).await?;
        self.files(lane).await?;
        let length = length(&self.folder.join(EVENTS_FILE))?;
        self.send(lane, EVENTS_FILE, length).await?;
        Ok(())
    }

    /// Sends a file that appears whole, whatever its name.
    ///
    /// # Errors
    /// As [`ShipError`].
    pub async fn whole(&mut self, lane: &mut Lane, name: &str) -> Result<(), ShipError> {
        let path = self.folder.join(name);
        let unreadable = |source| ShipError::File {
            path: path.clone(),
            source,
        };
        let (size, digest) = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || digest(&path))
                .await
                .map_err(|error| unreadable(io::Error::other(error)))?
                .map_err(unreadable)?
        };
        let mut offset = 0;
        loop {
            let bytes = read(&path, offset, size)?;
            let before = offset;
            offset = lane
                .whole(self.lease, name, offset, (size, &digest), bytes)
                .await?;
            if offset >= size {
                return Ok(());
            }
            if offset == before {
                return Err(ShipError::Behind(name.to_owned()));
            }
        }
    }

    /// How much of a growing file control has; asked for once.
    async fn known(&mut self, lane: &mut Lane, name: &str) -> Result<u64, ShipError> {
        if let Some(known) = self.grown.get(name) {
            return Ok(*known);
        }
        let known = lane.grow(self.lease, name, 0, Bytes::new()).await?;
        self.grown.insert(name.to_owned(), known);
        Ok(known)
    }

    /// Sends a growing file up to a length.
    async fn send(&mut self, lane: &mut Lane, name: &str, end: u64) -> Result<(), ShipError> {
        let path = self.folder.join(name);
        let mut offset = self.known(lane, name).await?;
        let mut stuck = 0;
        while offset < end {
            let bytes = read(&path, offset, end)?;
            let reached = lane.grow(self.lease, name, offset, bytes).await?;
            self.grown.insert(name.to_owned(), reached);
            // Control may be behind (a crash of its machine) or ahead (a lost answer), but not for ever.
            stuck = if reached > offset { 0 } else { stuck + 1 };
            if stuck > 3 || reached > length(&path)? {
                return Err(ShipError::Behind(name.to_owned()));
            }
            offset = reached;
        }
        Ok(())
    }

    async fn logs(&mut self, lane: &mut Lane) -> Result<bool, ShipError> {
        let mut news = false;
        for name in list(&self.folder, LOG_FOLDER) {
            let end = length(&self.folder.join(&name))?;
            if self.grown.get(&name).copied() != Some(end) {
                self.send(lane, &name, end).await?;
                news = true;
            }
        }
        Ok(news)
    }

    /// Sends files other than the spool and the logs that are new or other than before.
    async fn files(&mut self, lane: &mut Lane) -> Result<(), ShipError> {
        for name in list(&self.folder, "") {
            let first = name.split('/').next().unwrap_or_default();
            if first == EVENTS_FILE || first == LOG_FOLDER || folder::is_own(first) {
                continue;
            }
            let Ok(found) = fs::metadata(self.folder.join(&name)) else {
                // It went meanwhile.
                continue;
            };
            let stamp = (found.len(), found.modified().ok());
            if self.sent.get(&name) != Some(&stamp) {
                self.whole(lane, &name).await?;
                self.sent.insert(name, stamp);
            }
        }
        Ok(())
    }

    fn events_from(&self, start: u64) -> Result<Events, ShipError> {
        let path = self.folder.join(EVENTS_FILE);
        let mut events = Events {
            before_end: start,
            ..Events::default()
        };
        loop {
            let bytes = read(&path, events.before_end, u64::MAX)?;
            let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
                return Ok(events);
            };
            for line in bytes[..=end].split_inclusive(|byte| *byte == b'\n') {
                match serde_json::from_slice::<RunnerEvent>(line).map(|event| event.kind) {
                    Ok(kind @ RunnerEventKind::Finished { .. }) => {
                        events.finished = Some(Box::new(kind));
                        return Ok(events);
                    }
                    Ok(RunnerEventKind::Started { pid, .. }) => events.pid = Some(pid),
                    Ok(
                        RunnerEventKind::StageStarted { .. }
                        | RunnerEventKind::StageFinished { .. },
                    ) => {}
                    // An event that this version does not know may speak of a file.
                    _ => events.speaks_of_files = true,
                }
                events.before_end += line.len() as u64;
            }
        }
    }
}

/// What is in the part of a spool that was not sent.
#[derive(Debug, Default)]
struct Events {
    /// Where the last event of the spool begins, or the whole lines end.
    before_end: u64,
    finished: Option<Box<RunnerEventKind>>,
    speaks_of_files: bool,
    pid: Option<u32>,
}

/// Reads at most a chunk of a file from an offset, but not beyond `end`. A file that is not there is empty.
fn read(path: &Path, offset: u64, end: u64) -> Result<Bytes, ShipError> {
    let piece = || -> io::Result<Bytes> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(offset))?;
        let limit = end.saturating_sub(offset).min(CHUNK as u64);
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    };
    piece().map_err(|source| ShipError::File {
        path: path.to_owned(),
        source,
    })
}

fn length(path: &Path) -> Result<u64, ShipError> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(ShipError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// All regular files below a part of a folder, by their paths with slashes; links are not followed.
fn list(folder: &Path, below: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![below.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if inner.is_empty() && folder::is_own(&name) {
                continue;
            }
            let name = if inner.is_empty() {
                name
            } else {
                format!("{inner}/{name}")
            };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(name),
                Ok(kind) if kind.is_file() => found.push(name),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let size = io::copy(&mut file, &mut hasher)?;
    let hex = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((size, hex))
}
