//! The write-ahead log: what a commit acknowledged, until its window is a block.
//!
//! The log is a row of segments `log/N.wal`. A segment is a header and frames: length and CRC-32 of the payload, payload.
//! Each segment defines the series it uses and starts their values anew, so it can be read without the others, and be
//! deleted when all of its samples are in blocks. A payload is
//! `definitions: count, (length, packed labels)… · samples: first time, count, (flags and XOR code, [series], [time], XOR bytes)…`,
//! where a definition gets the next number of its segment.
//! **Invariant:** after a failed write the segment is cut to its last whole frame and a new one is begun, so that no
//! later frame depends on a lost one.

use super::StoreError;
use super::head::{MemSeries, SeriesState};
use super::pack::{Unpack, put_number, put_signed, put_xor, take_xor};
use crate::labels::Labels;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 8] = b"LWWAL001";
/// A frame longer than this was not written by us.
const MAX_FRAME: usize = 64 << 20;
/// A segment that has this many bytes of samples is closed.
const SEGMENT_BYTES: u64 = 16 << 20;
/// A segment is not closed at a window's border before it has this many bytes.
const SEGMENT_MIN_BYTES: u64 = 256 << 10;

const NEXT_SERIES: u8 = 0x80;
const SAME_TIME: u8 = 0x40;

/// A segment that is no longer written to.
#[derive(Clone, Debug)]
pub(super) struct ClosedSegment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) newest: i64,
}

/// The log, open for writing.
pub(super) struct Log {
    folder: PathBuf,
    window: i64,
    number: u64,
    file: Arc<File>,
    path: PathBuf,
    length: u64,
    newest: i64,
    defined: u32,
    definition_bytes: u64,
    begin_anew: bool,
    /// Written to since the last sync.
    unsynced: bool,
    /// Closed segments that were written to since the last sync.
    unsynced_closed: Vec<(Arc<File>, PathBuf)>,
    /// A segment was created since the last sync, so its folder has to be synced, too.
    created: bool,
    closed: Vec<ClosedSegment>,
    frame: Frame,
}

/// What has to be forced to the disk.
pub(super) struct Unsynced {
    files: Vec<(Arc<File>, PathBuf)>,
    folder: Option<PathBuf>,
}

impl Unsynced {
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        for (file, path) in &self.files {
            file.sync_data()
                .map_err(StoreError::io("sync the log", path))?;
        }
        self.folder.as_deref().map_or(Ok(()), sync_folder)
    }
}

/// The frame being put together.
#[derive(Default)]
struct Frame {
    definitions: Vec<u8>,
    definition_count: u64,
    samples: Vec<u8>,
    sample_count: u64,
    first_time: i64,
    last_time: i64,
    last_series: u32,
    newest: i64,
    whole: Vec<u8>,
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.wal"))
}

/// The segments in a folder, in order.
pub(super) fn segments(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let path = entry.map_err(StoreError::io("list", folder))?.path();
        let number = path
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.strip_suffix(".wal"));
        if let Some(number) = number.and_then(|n| n.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn create_segment(folder: &Path, number: u64) -> Result<(File, PathBuf), StoreError> {
    let path = segment_path(folder, number);
    let mut file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(&path)
        .map_err(StoreError::io("create the log segment", &path))?;
    file.write_all(MAGIC).map_err(|source| {
        // A segment without its header would be reported as damage at the next start.
        let _ = std::fs::remove_file(&path);
        StoreError::io("write the log segment", &path)(source)
    })?;
    Ok((file, path))
}

impl Log {
    /// Begins a new segment after `last`; `closed` are the ones that were read back.
    pub(super) fn create(
        folder: PathBuf,
        last: u64,
        window: i64,
        closed: Vec<ClosedSegment>,
    ) -> Result<Self, StoreError> {
        let number = last + 1;
        let (file, path) = create_segment(&folder, number)?;
        Ok(Self {
            folder,
            window,
            number,
            file: Arc::new(file),
            path,
            length: MAGIC.len() as u64,
            newest: i64::MIN,
            defined: 0,
            definition_bytes: 0,
            begin_anew: false,
            unsynced: true,
            unsynced_closed: Vec::new(),
            created: true,
            closed,
            frame: Frame::default(),
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.length + self.closed.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    /// Prepares for a commit whose first sample is at `time`: begins a new segment where one is due.
    pub(super) fn begin(&mut self, time: i64) -> Result<(), StoreError> {
        self.frame.clear();
        let due = self.length - self.definition_bytes
            > SEGMENT_BYTES.max(2 * self.definition_bytes)
            || (self.length > SEGMENT_MIN_BYTES
                && self.newest != i64::MIN
                && time.div_euclid(self.window) > self.newest.div_euclid(self.window));
        if due || self.begin_anew {
            self.rotate()
        } else {
            Ok(())
        }
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        let mut number = self.number + 1;
        // A number whose file could not be begun before is skipped: the file may still be there.
        let (file, path) = loop {
            match create_segment(&self.folder, number) {
                Err(StoreError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::AlreadyExists =>
                {
                    number += 1
                }
                other => break other?,
            }
        };
        let old = std::mem::replace(&mut self.file, Arc::new(file));
        let old_path = std::mem::replace(&mut self.path, path);
        if self.unsynced {
            self.unsynced_closed.push((old, old_path.clone()));
        }
        self.created = true;
        self.closed.push(ClosedSegment {
            path: old_path,
            bytes: self.length,
            newest: self.newest,
        });
        self.number = number;
        self.length = MAGIC.len() as u64;
        self.newest = i64::MIN;
        self.defined = 0;
        self.definition_bytes = 0;
        self.begin_anew = false;
        self.unsynced = true;
        Ok(())
    }

    /// Adds a sample to the frame; the caller holds the series' state.
    pub(super) fn add(
        &mut self,
        series: &MemSeries,
        state: &mut SeriesState,
        time: i64,
        value: f64,
    ) {
        let frame = &mut self.frame;
        if state.log_segment != self.number {
            state.log_segment = self.number;
            state.log_series = self.defined;
            state.log_bits = 0;
            self.defined += 1;
            frame.definition_count += 1;
            put_number(&mut frame.definitions, series.labels.packed_len() as u64);
            frame.definitions.extend_from_slice(series.labels.packed());
        }
        if frame.sample_count == 0 {
            frame.first_time = time;
            frame.last_time = time;
        }
        let bits = value.to_bits();
        let mut flags = 0;
        if state.log_series == frame.last_series.wrapping_add(1) {
            flags |= NEXT_SERIES;
        }
        if time == frame.last_time {
            flags |= SAME_TIME;
        }
        put_xor_flagged(frame, flags, state.log_series, time, bits ^ state.log_bits);
        state.log_bits = bits;
        frame.last_series = state.log_series;
        frame.last_time = time;
        frame.newest = frame.newest.max(time);
        frame.sample_count += 1;
    }

    /// Writes the frame. On an error nothing of it stays in the log.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        if self.frame.sample_count == 0 {
            return Ok(());
        }
        let definition_bytes = self.frame.definitions.len() as u64;
        let newest = self.frame.newest;
        let whole = self.frame.assemble();
        if let Err(source) = (&*self.file).write_all(whole) {
            // Even where the cut fails the reader stops at the torn frame, and the new segment does not need it.
            let _ = self.file.set_len(self.length);
            self.begin_anew = true;
            return Err(StoreError::io("write the log", &self.path)(source));
        }
        self.length += whole.len() as u64;
        self.definition_bytes += definition_bytes;
        self.newest = self.newest.max(newest);
        self.unsynced = true;
        Ok(())
    }

    /// What to sync, for doing it without holding the log's lock.
    pub(super) fn take_unsynced(&mut self) -> Unsynced {
        let mut files = std::mem::take(&mut self.unsynced_closed);
        if std::mem::take(&mut self.unsynced) {
            files.push((self.file.clone(), self.path.clone()));
        }
        let folder = std::mem::take(&mut self.created).then(|| self.folder.clone());
        Unsynced { files, folder }
    }

    /// Takes back what could not be synced, for the next try.
    pub(super) fn put_back(&mut self, unsynced: Unsynced) {
        self.unsynced_closed.extend(unsynced.files);
        self.created |= unsynced.folder.is_some();
    }

    /// Takes the closed segments whose samples are all before the border out of the log; the caller deletes them.
    pub(super) fn take_before(&mut self, border: i64) -> Vec<ClosedSegment> {
        let (gone, kept) = std::mem::take(&mut self.closed)
            .into_iter()
            .partition(|segment| segment.newest < border);
        self.closed = kept;
        gone
    }

    /// Closes the current segment if all of its samples are before the border, so that it can be deleted.
    pub(super) fn close_before(&mut self, border: i64) -> Result<(), StoreError> {
        if self.newest != i64::MIN && self.newest < border {
            self.rotate()
        } else {
            Ok(())
        }
    }

    /// Every segment and the length up to which it is whole.
    pub(super) fn extent(&self) -> Vec<(PathBuf, u64)> {
        let mut all: Vec<_> = self
            .closed
            .iter()
            .map(|segment| (segment.path.clone(), segment.bytes))
            .collect();
        all.push((self.path.clone(), self.length));
        all
    }
}

fn put_xor_flagged(frame: &mut Frame, flags: u8, series: u32, time: i64, xor: u64) {
    let at = frame.samples.len();
    put_xor(&mut frame.samples, flags, xor);
    if flags != NEXT_SERIES | SAME_TIME {
        let xor_bytes = frame.samples.split_off(at + 1);
        if flags & NEXT_SERIES == 0 {
            put_number(&mut frame.samples, u64::from(series));
        }
        if flags & SAME_TIME == 0 {
            put_signed(&mut frame.samples, time.wrapping_sub(frame.last_time));
        }
        frame.samples.extend_from_slice(&xor_bytes);
    }
}

impl Frame {
    fn clear(&mut self) {
        self.definitions.clear();
        self.samples.clear();
        self.definition_count = 0;
        self.sample_count = 0;
        self.last_series = u32::MAX;
        self.newest = i64::MIN;
    }

    fn assemble(&mut self) -> &[u8] {
        let whole = &mut self.whole;
        whole.clear();
        whole.extend_from_slice(&[0; 8]);
        put_number(whole, self.definition_count);
        whole.extend_from_slice(&self.definitions);
        put_signed(whole, self.first_time);
        put_number(whole, self.sample_count);
        whole.extend_from_slice(&self.samples);
        let length = (whole.len() - 8) as u32;
        let crc = crc32fast::hash(&whole[8..]);
        whole[..4].copy_from_slice(&length.to_le_bytes());
        whole[4..8].copy_from_slice(&crc.to_le_bytes());
        whole
    }
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::io("sync the folder", folder))
}

/// What was read of a segment.
pub(super) struct Replayed {
    /// Bytes up to the last whole frame.
    pub(super) whole: u64,
    /// Bytes after it.
    pub(super) torn: u64,
    pub(super) newest: i64,
}

/// Reads a segment back: `define` is called for each definition and its answer given to `sample` later. Reading stops
/// at the first frame that is not whole.
pub(super) fn replay<S>(
    path: &Path,
    mut define: impl FnMut(Labels) -> S,
    mut sample: impl FnMut(&S, i64, f64),
) -> Result<Replayed, StoreError> {
    let io = |source| StoreError::io("read the log", path)(source);
    let file = File::open(path).map_err(io)?;
    let total = file.metadata().map_err(io)?.len();
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut result = Replayed {
        whole: 0,
        torn: total,
        newest: i64::MIN,
    };
    let mut header = [0; 8];
    if !read_whole(&mut reader, &mut header).map_err(io)? {
        return Ok(result);
    }
    if &header != MAGIC {
        if header.starts_with(b"LWWAL") && header > *MAGIC {
            let found = std::str::from_utf8(&header[5..])
                .ok()
                .and_then(|n| n.parse().ok())
                .unwrap_or(u32::MAX);
            return Err(StoreError::Format {
                path: path.to_owned(),
                found,
                known: 1,
            });
        }
        return Ok(result);
    }
    result.whole = 8;
    let mut series: Vec<(S, u64)> = Vec::new();
    let mut payload = Vec::new();
    while read_whole(&mut reader, &mut header).map_err(io)? {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if length > MAX_FRAME || length as u64 > total.saturating_sub(result.whole + 8) {
            break;
        }
        payload.resize(length, 0);
        if !read_whole(&mut reader, &mut payload).map_err(io)? || crc32fast::hash(&payload) != crc {
            break;
        }
        if read_frame(
            &payload,
            &mut series,
            &mut define,
            &mut sample,
            &mut result.newest,
        )
        .is_none()
        {
            break;
        }
        result.whole += 8 + length as u64;
    }
    result.torn = total - result.whole;
    Ok(result)
}

fn read_frame<S>(
    payload: &[u8],
    series: &mut Vec<(S, u64)>,
    define: &mut impl FnMut(Labels) -> S,
    sample: &mut impl FnMut(&S, i64, f64),
    newest: &mut i64,
) -> Option<()> {
    let mut from = Unpack::new(payload);
    for _ in 0..from.number()? {
        let length = from.length()?;
        let labels = Labels::from_packed(from.bytes(length)?)?;
        series.push((define(labels), 0));
    }
    let mut time = from.signed()?;
    let mut at = u32::MAX;
    for _ in 0..from.number()? {
        let code = from.byte()?;
        at = if code & NEXT_SERIES != 0 {
            at.wrapping_add(1)
        } else {
            u32::try_from(from.number()?).ok()?
        };
        if code & SAME_TIME == 0 {
            time = time.wrapping_add(from.signed()?);
        }
        let (series, bits) = series.get_mut(at as usize)?;
        *bits ^= take_xor(&mut from, code)?;
        *newest = (*newest).max(time);
        sample(series, time, f64::from_bits(*bits));
    }
    from.is_empty().then_some(())
}

/// Fills the buffer; `false` where the file ends before.
fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
