//! Readers of a build's spool, for control and for an agent's link.
//!
//! Both readers start at a byte offset, give only whole lines, and can be asked again at any time for what was added.
//! A last line without its end is still being written (or was torn by a crash): it is left for the next time. A runner
//! that died without [`RunnerEventKind::Finished`] is for the caller to notice, who knows its process; what such a
//! runner left running is ended by [`crate::runner::end_leftovers`].

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use launchway_model::build::StageId;
use launchway_model::runner::{EVENTS_FILE, LOG_FOLDER, LogLine, RunnerEvent, RunnerEventKind};

/// The most bytes that one call reads, so that a reader of a huge log stays small.
const MAX_READ: usize = 1 << 20;

/// Why a spool could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A whole line is not an event.
    #[error("{} holds a line at byte {offset} that is not an event", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the line starts.
        offset: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Where a build's events are.
pub fn events_path(build: &Path) -> PathBuf {
    build.join(EVENTS_FILE)
}

/// Where a stage's log is.
pub fn log_path(build: &Path, stage: StageId) -> PathBuf {
    build.join(LOG_FOLDER).join(format!("{}.log", stage.0))
}

/// Reads the events of one build as they come.
#[derive(Debug)]
pub struct EventReader {
    lines: LineReader,
    finished: bool,
}

impl EventReader {
    /// A reader of the spool in a build's folder from a byte offset, which must be one that [`Self::offset`] gave (or 0).
    /// The spool need not exist yet.
    pub fn new(build: &Path, offset: u64) -> Self {
        Self {
            lines: LineReader::new(events_path(build), offset),
            finished: false,
        }
    }

    /// The events that were added since the last call, in order; empty where there are none.
    pub fn read(&mut self) -> Result<Vec<RunnerEvent>, SpoolError> {
        let mut events = Vec::new();
        loop {
            let start = self.lines.offset;
            let chunk = self.lines.read()?;
            if chunk.is_empty() {
                return Ok(events);
            }
            let mut at = start;
            for line in chunk.split_inclusive(|byte| *byte == b'\n') {
                let event: RunnerEvent = match serde_json::from_slice(line) {
                    Ok(event) => event,
                    Err(source) => {
                        // The line stays unread, so that the error comes again instead of a gap.
                        self.lines.offset = at;
                        if !events.is_empty() {
                            return Ok(events);
                        }
                        let path = self.lines.path.clone();
                        return Err(SpoolError::Damaged {
                            path,
                            offset: at,
                            source,
                        });
                    }
                };
                self.finished |= matches!(event.kind, RunnerEventKind::Finished { .. });
                events.push(event);
                at += line.len() as u64;
            }
        }
    }

    /// The offset of the first event that was not given yet; store it to continue from.
    pub fn offset(&self) -> u64 {
        self.lines.offset
    }

    /// Whether the last event of the spool was given.
    pub fn finished(&self) -> bool {
        self.finished
    }
}

/// Reads the log of one stage (or of one instance: the form is the same) as it comes.
#[derive(Debug)]
pub struct LogReader {
    lines: LineReader,
}

impl LogReader {
    /// A reader of a stage's log from a byte offset; the log need not exist yet.
    pub fn new(build: &Path, stage: StageId, offset: u64) -> Self {
        Self::of_file(log_path(build, stage), offset)
    }

    /// A reader of any file of that form.
    pub fn of_file(path: PathBuf, offset: u64) -> Self {
        Self {
            lines: LineReader::new(path, offset),
        }
    }

    /// The lines that were added since the last call, at most about 1 MiB of them; empty where there are none.
    pub fn read(&mut self) -> Result<Vec<LogLine<'static>>, SpoolError> {
        let chunk = self.lines.read()?;
        let text = String::from_utf8_lossy(&chunk);
        Ok(text
            .split_terminator('\n')
            .map(|line| {
                let line = LogLine::parse(line);
                LogLine {
                    millis: line.millis,
                    source: line.source,
                    text: line.text.into_owned().into(),
                }
            })
            .collect())
    }

    /// The same as [`Self::read`], as the bytes of whole lines.
    pub fn read_bytes(&mut self) -> Result<Vec<u8>, SpoolError> {
        self.lines.read()
    }

    /// The offset of the first line that was not given yet.
    pub fn offset(&self) -> u64 {
        self.lines.offset
    }
}

/// Reads whole lines of a growing file.
#[derive(Debug)]
struct LineReader {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
}

impl LineReader {
    fn new(path: PathBuf, offset: u64) -> Self {
        Self {
            path,
            file: None,
            offset,
        }
    }

    /// Whole lines from the offset on; empty where there are none yet.
    fn read(&mut self) -> Result<Vec<u8>, SpoolError> {
        self.try_read().map_err(|source| SpoolError::Unreadable {
            path: self.path.clone(),
            source,
        })
    }

    fn try_read(&mut self) -> io::Result<Vec<u8>> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            },
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut chunk = Vec::new();
        // A line longer than one read is read on until its end.
        let end = loop {
            let from = chunk.len();
            let read = (&mut file).take(MAX_READ as u64).read_to_end(&mut chunk)?;
            if let Some(at) = memchr::memrchr(b'\n', &chunk[from..]) {
                break from + at + 1;
            }
            if read < MAX_READ {
                break 0;
            }
        };
        chunk.truncate(end);
        self.offset += end as u64;
        self.file = Some(file);
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests;
