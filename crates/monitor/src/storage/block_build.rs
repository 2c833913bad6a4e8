//! Writes a block, one series at a time, without holding its samples in memory.
//!
//! ```text
//! magic   "LWBLOCK1"
//! frames  each a CRC-32 of the rest, then zstd: either one vector of times or a group of runs
//! tables  index sections, times, groups, parts
//! footer  fixed size, see `Footer`
//! ```
//! A *part* is the stretch of time of one window; a merged block has several under one index. The runs of a part are in
//! order of series, cut into groups that unpack to about 16 KiB. A run is the number of its vector of times and its
//! values; series scraped together share that vector.

use super::index;
use super::pack::{ValuePacker, put_number, put_times};
use super::{StoreError, log};
use crate::labels::Labels;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub(super) const MAGIC: &[u8; 8] = b"LWBLOCK1";
pub(super) const END_MAGIC: &[u8; 8] = b"LWBLKEND";
/// Bytes at which a group is closed.
const GROUP_BYTES: usize = 16 << 10;
const LEVEL: i32 = 3;
/// More missing series than this in a row end a group.
const LARGEST_GAP: u32 = 256;

/// The end of a block's file. All numbers are little-endian u64 in this order, then the CRC-32 of the tables and of
/// these numbers, then [`END_MAGIC`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Footer {
    /// The stretch of time that the block stands for: `start <= time < end`.
    pub(super) start: i64,
    pub(super) end: i64,
    /// The first and last sample's times.
    pub(super) oldest: i64,
    pub(super) newest: i64,
    pub(super) series: u64,
    pub(super) samples: u64,
    /// Where the tables begin, and their lengths in the order of the file.
    pub(super) tables: u64,
    pub(super) lengths: [u64; 8],
}

/// Bytes of an encoded footer.
pub(super) const FOOTER_BYTES: usize = 15 * 8 + 4 + 8;

impl Footer {
    fn numbers(&self) -> [u64; 15] {
        let mut all = [0; 15];
        let head = [
            self.start as u64,
            self.end as u64,
            self.oldest as u64,
            self.newest as u64,
        ];
        all[..4].copy_from_slice(&head);
        all[4..7].copy_from_slice(&[self.series, self.samples, self.tables]);
        all[7..].copy_from_slice(&self.lengths);
        all
    }

    pub(super) fn from_numbers(all: [u64; 15]) -> Self {
        let mut lengths = [0; 8];
        lengths.copy_from_slice(&all[7..]);
        Self {
            start: all[0] as i64,
            end: all[1] as i64,
            oldest: all[2] as i64,
            newest: all[3] as i64,
            series: all[4],
            samples: all[5],
            tables: all[6],
            lengths,
        }
    }
}

/// A block being written to a temporary file; [`finish`](Self::finish) makes it a block.
pub(super) struct BlockBuilder {
    out: BufWriter<File>,
    temporary: PathBuf,
    at: u64,
    footer: Footer,
    packer: ValuePacker,
    compressor: zstd::bulk::Compressor<'static>,
    /// Known vectors of times by hash; equality is checked with the kept vector of the newest one of that hash.
    known_times: HashMap<u64, (u32, Vec<i64>)>,
    times_table: Vec<u8>,
    times_count: u32,
    groups_table: Vec<u8>,
    group_count: u64,
    parts_table: Vec<u8>,
    part: Option<(i64, i64, u64)>,
    group: Group,
    frame: Vec<u8>,
}

/// Runs not yet written.
#[derive(Default)]
struct Group {
    first: u32,
    lengths: Vec<u32>,
    runs: Vec<u8>,
    /// The series after the last run.
    next: u32,
}

impl BlockBuilder {
    pub(super) fn create(temporary: &Path, start: i64, end: i64) -> Result<Self, StoreError> {
        let file =
            File::create(temporary).map_err(StoreError::io("create the block", temporary))?;
        let compressor = zstd::bulk::Compressor::new(LEVEL)
            .map_err(StoreError::io("compress the block", temporary))?;
        let mut builder = Self {
            out: BufWriter::with_capacity(256 << 10, file),
            temporary: temporary.to_owned(),
            at: 0,
            footer: Footer {
                start,
                end,
                oldest: i64::MAX,
                newest: i64::MIN,
                ..Footer::default()
            },
            packer: ValuePacker::default(),
            compressor,
            known_times: HashMap::new(),
            times_table: Vec::new(),
            times_count: 0,
            groups_table: Vec::new(),
            group_count: 0,
            parts_table: Vec::new(),
            part: None,
            group: Group::default(),
            frame: Vec::new(),
        };
        builder.write(MAGIC)?;
        Ok(builder)
    }

    pub(super) fn samples(&self) -> u64 {
        self.footer.samples
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.out
            .write_all(bytes)
            .map_err(StoreError::io("write the block", &self.temporary))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Begins the part with `start <= time < end`; parts come in order.
    pub(super) fn begin_part(&mut self, start: i64, end: i64) -> Result<(), StoreError> {
        self.end_part()?;
        self.part = Some((start, end, self.group_count));
        self.known_times.clear();
        self.group = Group::default();
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), StoreError> {
        let Some((start, end, first)) = self.part.take() else {
            return Ok(());
        };
        self.end_group()?;
        for number in [start as u64, end as u64, first, self.group_count - first] {
            self.parts_table.extend_from_slice(&number.to_le_bytes());
        }
        Ok(())
    }

    /// Adds the samples of a series to the part. Series come in order; those left out have none.
    pub(super) fn add_run(
        &mut self,
        series: u32,
        times: &[i64],
        values: &[f64],
    ) -> Result<(), StoreError> {
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            return Ok(());
        };
        debug_assert!(series >= self.group.next && times.len() == values.len());
        if series - self.group.next > LARGEST_GAP {
            self.end_group()?;
        }
        if self.group.lengths.is_empty() {
            self.group.first = series;
            self.group.next = series;
        }
        let times_number = self.times(times)?;
        self.footer.oldest = self.footer.oldest.min(first);
        self.footer.newest = self.footer.newest.max(last);
        self.footer.samples += times.len() as u64;
        let group = &mut self.group;
        // A few missing series are cheaper as empty runs than as a group of their own.
        while group.next < series {
            group.lengths.push(0);
            group.next += 1;
        }
        let before = group.runs.len();
        put_number(&mut group.runs, u64::from(times_number));
        self.packer.put_values(&mut group.runs, values);
        group.lengths.push((group.runs.len() - before) as u32);
        group.next += 1;
        if self.group.runs.len() >= GROUP_BYTES || self.group.lengths.len() >= 1 << 16 {
            self.end_group()?;
        }
        Ok(())
    }

    fn times(&mut self, times: &[i64]) -> Result<u32, StoreError> {
        let mut hasher = DefaultHasher::new();
        times.hash(&mut hasher);
        let hash = hasher.finish();
        if let Some((number, known)) = self.known_times.get(&hash)
            && known == times
        {
            return Ok(*number);
        }
        let mut packed = std::mem::take(&mut self.frame);
        packed.clear();
        put_times(&mut packed, times);
        let at = self.at;
        let length = self.write_frame(&packed)?;
        self.frame = packed;
        for number in [at, u64::from(length), self.frame.len() as u64] {
            self.times_table.extend_from_slice(&number.to_le_bytes());
        }
        let number = self.times_count;
        self.times_count += 1;
        // Sharing pays off among neighbours; when every series has times of its own, remembering all of them would not.
        if self.known_times.len() >= 4096 {
            self.known_times.clear();
        }
        self.known_times.insert(hash, (number, times.to_vec()));
        Ok(number)
    }

    fn write_frame(&mut self, unpacked: &[u8]) -> Result<u32, StoreError> {
        let packed = self
            .compressor
            .compress(unpacked)
            .map_err(StoreError::io("compress the block", &self.temporary))?;
        self.write(&crc32fast::hash(&packed).to_le_bytes())?;
        self.write(&packed)?;
        Ok(packed.len() as u32 + 4)
    }

    fn end_group(&mut self) -> Result<(), StoreError> {
        if self.group.lengths.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        let mut unpacked = std::mem::take(&mut self.frame);
        unpacked.clear();
        put_number(&mut unpacked, group.lengths.len() as u64);
        for length in &group.lengths {
            put_number(&mut unpacked, u64::from(*length));
        }
        unpacked.extend_from_slice(&group.runs);
        let at = self.at;
        let length = self.write_frame(&unpacked)?;
        for number in [
            at,
            u64::from(length),
            unpacked.len() as u64,
            u64::from(group.first),
        ] {
            self.groups_table.extend_from_slice(&number.to_le_bytes());
        }
        self.frame = unpacked;
        self.group_count += 1;
        self.group.next = group.next;
        Ok(())
    }

    /// Writes the index and makes the file a block: synced, renamed, its folder synced. `series` are the labels of all
    /// series in order.
    pub(super) fn finish(mut self, series: &[Labels], path: &Path) -> Result<(), StoreError> {
        self.end_part()?;
        let temporary = self.temporary.clone();
        let encoded = index::encode(series).ok_or_else(|| {
            StoreError::io("encode the index of", &temporary)(
                std::io::ErrorKind::FileTooLarge.into(),
            )
        })?;
        self.footer.series = series.len() as u64;
        self.footer.tables = self.at;
        let tables: [Vec<u8>; 8] = [
            encoded.names,
            encoded.pairs,
            encoded.offsets,
            encoded.rows,
            encoded.pages,
            std::mem::take(&mut self.times_table),
            std::mem::take(&mut self.groups_table),
            std::mem::take(&mut self.parts_table),
        ];
        let mut crc = crc32fast::Hasher::new();
        for (length, table) in self.footer.lengths.iter_mut().zip(&tables) {
            *length = table.len() as u64;
            crc.update(table);
        }
        for table in &tables {
            self.write(table)?;
        }
        let numbers: Vec<u8> = self
            .footer
            .numbers()
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect();
        crc.update(&numbers);
        self.write(&numbers)?;
        self.write(&crc.finalize().to_le_bytes())?;
        self.write(END_MAGIC)?;
        let file = self
            .out
            .into_inner()
            .map_err(|error| StoreError::io("write the block", &temporary)(error.into_error()))?;
        file.sync_all()
            .map_err(StoreError::io("sync the block", &temporary))?;
        std::fs::rename(&temporary, path).map_err(StoreError::io("rename the block to", path))?;
        log::sync_folder(path.parent().unwrap_or(Path::new(".")))
    }
}
