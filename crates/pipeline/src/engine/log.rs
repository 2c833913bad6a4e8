//! The logs of stages: from the bytes that a command writes to lines with time and source.
//!
//! A line is written as soon as it is whole and nothing more waits in the pipe; many at once are written at once. Bytes are
//! looked at three times (newlines, secrets, UTF-8), each time with vector instructions, and copied once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use launchway_model::runner::{LogLine, LogSource};

use super::mask::{KeyBlock, Mask};

/// A line that is longer than this is split, so that memory is bounded.
const MAX_LINE: usize = 64 << 10;
/// The largest log of one stage, in bytes; a command that writes without end must not fill the disk.
const MAX_LOG: u64 = 4 << 30;
/// How much of the end is kept for problems.
const TAIL: usize = 16 << 10;

/// The log of one stage; clones write to the same file.
#[derive(Debug, Clone)]
pub(crate) struct StageLog {
    file: Arc<File>,
    mask: Arc<Mask>,
    /// How many bytes were written.
    written: Arc<AtomicU64>,
}

impl StageLog {
    /// The log in a file, which is made where it does not exist and only ever grows.
    pub(crate) fn open(path: &Path, mask: Arc<Mask>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            written: Arc::new(AtomicU64::new(file.metadata()?.len())),
            file: Arc::new(file),
            mask,
        })
    }

    /// Writes lines of Launchway's own. A log that cannot be written (a full disk) does not end a build.
    pub(crate) fn say(&self, text: &str) {
        let mut lines = LineWriter::new(self.clone(), LogSource::Launchway);
        lines.feed(text.as_bytes());
        lines.finish();
    }

    pub(crate) fn mask(&self) -> &Mask {
        &self.mask
    }
}

/// Turns the bytes of one source into lines of a log.
#[derive(Debug)]
pub(crate) struct LineWriter {
    log: StageLog,
    letter: char,
    /// What is not a whole line yet.
    partial: Vec<u8>,
    out: Vec<u8>,
    tail: Vec<u8>,
    key: KeyBlock,
    /// Whether it was told that something was hidden by its look.
    warned: bool,
}

impl LineWriter {
    pub(crate) fn new(log: StageLog, source: LogSource) -> Self {
        Self {
            log,
            letter: source.letter(),
            partial: Vec::new(),
            out: Vec::new(),
            tail: Vec::new(),
            key: KeyBlock::default(),
            warned: false,
        }
    }

    /// Takes bytes and writes the lines that are whole.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        match memchr::memrchr(b'\n', bytes) {
            Some(last) if self.partial.is_empty() => {
                let shown = self.decided(&bytes[..=last]);
                self.lines(&bytes[..shown]);
                self.partial.extend_from_slice(&bytes[shown..]);
            }
            Some(last) => {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(&bytes[..=last]);
                let shown = self.decided(&whole);
                self.lines(&whole[..shown]);
                whole.drain(..shown);
                whole.extend_from_slice(&bytes[last + 1..]);
                self.partial = whole;
            }
            None => self.partial.extend_from_slice(bytes),
        }
        if self.partial.len() > MAX_LINE {
            self.split();
        }
    }

    /// Writes what is left as a line.
    pub(crate) fn finish(&mut self) {
        if !self.partial.is_empty() {
            let mut rest = std::mem::take(&mut self.partial);
            // Whole lines that waited for a next one end already.
            if !rest.ends_with(b"\n") {
                rest.push(b'\n');
            }
            self.lines(&rest);
        }
    }

    /// How much of these whole lines is shown now: a last one that may hold the beginning of a secret waits for the next.
    fn decided(&self, lines: &[u8]) -> usize {
        let decided = self.log.mask.decided(lines);
        // Not for ever, whatever comes.
        if lines.len() - decided > MAX_LINE {
            lines.len()
        } else {
            decided
        }
    }

    /// The last lines, oldest first.
    pub(crate) fn tail(&self, lines: usize) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.tail);
        let mut all: Vec<String> = text
            .split_terminator('\n')
            // The first may have been cut.
            .skip(usize::from(self.tail.len() >= TAIL))
            .map(|line| LogLine::parse(line).text.chars().take(500).collect())
            .collect();
        let cut = all.len().saturating_sub(lines);
        all.drain(..cut);
        all
    }

    /// Writes the beginning of a line without end as a line of its own, up to where a secret may begin.
    fn split(&mut self) {
        let keep = self.log.mask.longest().min(MAX_LINE / 2);
        let partial = std::mem::take(&mut self.partial);
        // Secrets are hidden first, so that none is cut in two.
        let shown = self.log.mask.bytes(&partial).into_owned();
        let mut cut = shown.len().saturating_sub(keep);
        // Not within a character.
        while cut > 0 && cut < shown.len() && shown[cut] & 0xc0 == 0x80 {
            cut -= 1;
        }
        let mut line = shown[..cut].to_vec();
        line.push(b'\n');
        self.partial = shown[cut..].to_vec();
        self.lines(&line);
    }

    /// Writes whole lines; the last byte is a newline.
    fn lines(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut told = None;
        let keyless = self.key.lines(bytes, &mut told);
        let shown = self.log.mask.bytes_told(&keyless, &mut told);
        let text = String::from_utf8_lossy(&shown);
        let now = jiff::Timestamp::now().as_millisecond();
        let head = format!("{now} {} ", self.letter);
        let out = &mut self.out;
        out.clear();
        let bytes = text.as_bytes();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            out.extend_from_slice(head.as_bytes());
            let line = &bytes[start..end];
            out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            out.push(b'\n');
            start = end + 1;
        }
        if let Some(name) = told.filter(|_| !self.warned) {
            self.warned = true;
            let warning = format!(
                "{now} l {name} was hidden above by its look: store it with `launchway credentials set`, and replace it where it was written\n"
            );
            out.extend_from_slice(warning.as_bytes());
        }
        let from = out.len().saturating_sub(TAIL);
        if from > 0 {
            self.tail.clear();
        } else {
            let old = (self.tail.len() + out.len()).saturating_sub(TAIL);
            self.tail.drain(..old.min(self.tail.len()));
        }
        self.tail.extend_from_slice(&out[from..]);
        let before = self
            .log
            .written
            .fetch_add(out.len() as u64, Ordering::Relaxed);
        if before >= MAX_LOG {
            return;
        }
        if before + out.len() as u64 >= MAX_LOG {
            out.extend_from_slice(
                format!("{now} l The log is cut here: it has more than 4 GiB\n").as_bytes(),
            );
        }
        // The file is opened for appending: lines of several writers never mix.
        if let Err(error) = (&*self.log.file).write_all(out) {
            tracing::warn!(%error, "a stage's log cannot be written");
        }
    }
}

#[cfg(test)]
mod tests;
