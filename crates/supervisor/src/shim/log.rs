//! The app's output: lines in the form of `model::runner::LogLine`, in a file that is rotated by size.
//!
//! The app must never wait for its log. What comes is read at once and written in batches; when the disk refuses, lines
//! are counted and dropped, and the count is written once there is room again. A file only ever holds whole lines:
//! what could be written of a batch that failed is cut off again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use launchway_model::runner::LogSource;
use rustix::io::Errno;

/// Longer lines are cut into pieces of this many bytes.
pub(super) const LONGEST_LINE: usize = 16 * 1024;
/// How much is written at a time.
const BATCH: usize = 32 * 1024;
/// How long a refusing disk is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// The log files of one instance.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    longest: u64,
    kept: u32,
    file: Option<File>,
    size: u64,
    batch: Vec<u8>,
    batch_lines: u64,
    /// The time with which lines begin, as text: read once for all lines that come at once.
    stamp: String,
    dropped: u64,
    retry_at: Option<Instant>,
}

impl Log {
    /// The log at `path`, rotated at `longest` bytes to at most `kept` older files. Nothing is opened yet.
    pub(super) fn new(path: PathBuf, longest: u64, kept: u32) -> Self {
        Self {
            path,
            longest: longest.max(1),
            kept,
            file: None,
            size: 0,
            batch: Vec::new(),
            batch_lines: 0,
            stamp: unix_millis().to_string(),
            dropped: 0,
            retry_at: None,
        }
    }

    /// Adds a line of Launchway's own and writes it.
    pub(super) fn say(&mut self, text: &str) {
        self.read_clock();
        self.line(LogSource::Launchway, text.as_bytes());
        self.flush();
    }

    /// Gives the lines that follow the present time.
    fn read_clock(&mut self) {
        self.stamp.clear();
        // Writing into a string cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut self.stamp, format_args!("{}", unix_millis()));
    }

    /// Adds a line; it is written with the next [`Log::flush`] or when enough have come.
    pub(super) fn line(&mut self, source: LogSource, text: &[u8]) {
        self.add(source, text);
        if self.batch.len() as u64 >= (BATCH as u64).min(self.longest) {
            self.flush();
        }
    }

    /// Writes what has been added. Never fails: see the module's words.
    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() && self.dropped == 0 {
            return;
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            self.drop_batch();
            return;
        }
        if self.dropped > 0 {
            self.own_up();
        }
        match self.write() {
            Ok(()) => {
                self.retry_at = None;
                self.dropped = 0;
                self.batch.clear();
                self.batch_lines = 0;
            }
            Err(_) => {
                self.drop_batch();
                self.retry_at = Some(Instant::now() + RETRY);
            }
        }
    }

    /// When [`Log::flush`] should be called even if nothing comes, so that the count of dropped lines gets written.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        if self.dropped > 0 {
            self.retry_at
        } else {
            None
        }
    }

    fn add(&mut self, source: LogSource, text: &[u8]) {
        self.batch.extend_from_slice(self.stamp.as_bytes());
        let letter = u8::try_from(source.letter()).unwrap_or(b'l');
        self.batch.extend_from_slice(&[b' ', letter, b' ']);
        match str::from_utf8(text) {
            Ok(_) => self.batch.extend_from_slice(text),
            Err(_) => {
                for chunk in text.utf8_chunks() {
                    self.batch.extend_from_slice(chunk.valid().as_bytes());
                    if !chunk.invalid().is_empty() {
                        self.batch.extend_from_slice("\u{fffd}".as_bytes());
                    }
                }
            }
        }
        self.batch.push(b'\n');
        self.batch_lines += 1;
    }

    fn drop_batch(&mut self) {
        self.dropped += self.batch_lines;
        self.batch.clear();
        self.batch_lines = 0;
    }

    /// Puts the count of dropped lines in front of the batch. The line itself is not counted: when it fails too, the
    /// count is still there.
    fn own_up(&mut self) {
        let lines = std::mem::take(&mut self.batch);
        let counted = self.batch_lines;
        let words = format!(
            "{} lines are missing here: the log could not be written",
            self.dropped
        );
        self.add(LogSource::Launchway, words.as_bytes());
        self.batch.extend_from_slice(&lines);
        self.batch_lines = counted;
    }

    fn write(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.open()?;
        }
        if self.size > 0 && self.size + self.batch.len() as u64 > self.longest {
            self.rotate()?;
        }
        let size = self.size;
        let file = self.file.as_mut().expect("opened above");
        match file.write_all(&self.batch) {
            Ok(()) => {
                self.size += self.batch.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Whole lines only. A file that cannot even be cut is left, and a new one opened next time.
                if file.set_len(size).is_err() {
                    self.file = None;
                }
                Err(error)
            }
        }
    }

    fn open(&mut self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options().append(true).create(true).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Moves `log` to `log.1`, `log.1` to `log.2` and so on; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for number in (1..=self.kept).rev() {
            let from = self.numbered(number - 1);
            match fs::rename(&from, self.numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.kept == 0 {
            fs::remove_file(&self.path)?;
        }
        self.open()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        if number > 0 {
            path.push(format!(".{number}"));
        }
        path.into()
    }
}

/// One pipe from the app.
#[derive(Debug)]
pub(super) struct Stream {
    /// The pipe's end, absent once all writers are gone.
    pipe: Option<OwnedFd>,
    source: LogSource,
    /// The beginning of a line whose end has not come yet; shorter than [`LONGEST_LINE`].
    partial: Vec<u8>,
}

impl Stream {
    /// Reads from a pipe that does not block.
    pub(super) fn new(pipe: OwnedFd, source: LogSource) -> Self {
        Self {
            pipe: Some(pipe),
            source,
            partial: Vec::new(),
        }
    }

    /// The pipe, while it has writers.
    pub(super) fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Reads what waits, at most `reads` buffers full, so that an app that never stops writing does not keep the shim from
    /// all else. Gives how many bytes came.
    pub(super) fn read(&mut self, buffer: &mut [u8], reads: usize, log: &mut Log) -> usize {
        let mut total = 0;
        for _ in 0..reads {
            let Some(pipe) = &self.pipe else { break };
            match rustix::io::read(pipe.as_fd(), &mut *buffer) {
                Ok(0) => {
                    self.close(log);
                    break;
                }
                Ok(count) => {
                    total += count;
                    log.read_clock();
                    self.take(&buffer[..count], log);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.close(log);
                    break;
                }
            }
        }
        total
    }

    /// Writes the last line even without its end, and lets go of the pipe.
    pub(super) fn close(&mut self, log: &mut Log) {
        self.pipe = None;
        if !self.partial.is_empty() {
            log.line(self.source, &self.partial);
            self.partial = Vec::new();
        }
    }

    fn take(&mut self, mut bytes: &[u8], log: &mut Log) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.end_line(line, log);
            bytes = &rest[1..];
        }
        self.extend(bytes, log);
    }

    fn end_line(&mut self, line: &[u8], log: &mut Log) {
        if self.partial.is_empty() && line.len() <= LONGEST_LINE {
            log.line(self.source, without_return(line));
            return;
        }
        self.extend(line, log);
        let line = std::mem::take(&mut self.partial);
        log.line(self.source, without_return(&line));
    }

    /// Adds to the partial line, writing pieces as it gets too long.
    fn extend(&mut self, mut bytes: &[u8], log: &mut Log) {
        while self.partial.len() + bytes.len() > LONGEST_LINE {
            let room = LONGEST_LINE - self.partial.len();
            let (piece, rest) = bytes.split_at(room);
            self.partial.extend_from_slice(piece);
            let cut = cut_at(&self.partial);
            log.line(self.source, &self.partial[..cut]);
            self.partial.drain(..cut);
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }
}

/// Where to cut a piece so that no character is torn apart, as far as there are characters.
fn cut_at(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for at in (tail..bytes.len()).rev() {
        let length = match bytes[at] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => break,
        };
        return if at + length > bytes.len() {
            at
        } else {
            bytes.len()
        };
    }
    bytes.len()
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn unix_millis() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
