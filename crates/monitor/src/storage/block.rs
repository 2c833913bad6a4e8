//! An immutable block: a mapped file, read by need. See `block_build` for its form.
//!
//! The tables are checked by their checksum when the block is opened, each frame by its own when it is read; a frame
//! that fails costs its series in its part, nothing else.

use super::block_build::{END_MAGIC, FOOTER_BYTES, Footer, MAGIC};
use super::index::{Index, RowPage, Sections};
use super::pack::{Unpack, Unzip, ValuePacker, take_times};
use super::{Matcher, StoreError};
use crate::labels::Labels;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// A frame that says it unpacks to more than this is damaged.
const MAX_UNPACKED: usize = 256 << 20;
/// Vectors of times that a cursor keeps unpacked.
const KEPT_TIMES: usize = 128;

/// Why a block cannot be used.
pub(super) enum OpenError {
    /// It is damaged: what is wrong.
    Damaged(String),
    Store(StoreError),
}

/// An open block.
pub(super) struct Block {
    pub(super) path: PathBuf,
    pub(super) footer: Footer,
    pub(super) bytes: u64,
    map: memmap2::Mmap,
    index: Index,
    times: std::ops::Range<usize>,
    groups: std::ops::Range<usize>,
    parts: Vec<Part>,
}

/// A stretch of time with its groups.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) start: i64,
    pub(super) end: i64,
    first_group: usize,
    groups: usize,
}

struct GroupEntry {
    at: usize,
    length: usize,
    unpacked: usize,
    first_series: u32,
}

impl Block {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Store(StoreError::io("open the block", path)(source));
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < (MAGIC.len() + FOOTER_BYTES) as u64 {
            return Err(OpenError::Damaged(format!("it has only {length} bytes")));
        }
        #[expect(
            unsafe_code,
            reason = "a mapped file must not be changed by others: blocks are written under another name, renamed, and \
                      never changed after that; the store's folder is locked"
        )]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        if map[..5] == MAGIC[..5] && map[..8] > MAGIC[..] {
            let found = std::str::from_utf8(&map[7..8])
                .ok()
                .and_then(|n| n.parse().ok())
                .unwrap_or(u32::MAX);
            return Err(OpenError::Store(StoreError::Format {
                path: path.to_owned(),
                found,
                known: 1,
            }));
        }
        let damaged = |what: &str| OpenError::Damaged(what.to_owned());
        if map[..8] != MAGIC[..] {
            return Err(damaged("its beginning is not that of a block"));
        }
        if map[map.len() - 8..] != END_MAGIC[..] {
            return Err(damaged("its end is missing"));
        }
        let footer_at = map.len() - FOOTER_BYTES;
        let mut from = Unpack::new(&map[footer_at..]);
        let mut numbers = [0; 15];
        for number in &mut numbers {
            *number = from
                .u64()
                .ok_or_else(|| damaged("its footer is too short"))?;
        }
        let crc = from
            .u32()
            .ok_or_else(|| damaged("its footer is too short"))?;
        let footer = Footer::from_numbers(numbers);
        let tables = usize::try_from(footer.tables)
            .ok()
            .filter(|at| *at <= footer_at);
        let tables = tables.ok_or_else(|| damaged("its footer does not fit its length"))?;
        if crc32fast::hash(&map[tables..footer_at + 15 * 8]) != crc {
            return Err(damaged("the checksum of its tables is wrong"));
        }
        Self::from_tables(path, map, footer, tables, footer_at)
            .ok_or_else(|| damaged("its tables contradict each other"))
    }

    fn from_tables(
        path: &Path,
        map: memmap2::Mmap,
        footer: Footer,
        tables: usize,
        end: usize,
    ) -> Option<Self> {
        let mut at = tables;
        let mut ranges = Vec::with_capacity(8);
        for length in footer.lengths {
            let next = at
                .checked_add(usize::try_from(length).ok()?)
                .filter(|next| *next <= end)?;
            ranges.push(at..next);
            at = next;
        }
        let [names, pairs, offsets, rows, pages, times, groups, parts]: [_; 8] =
            ranges.try_into().ok()?;
        let series = usize::try_from(footer.series).ok()?;
        let index = Index::open(
            &map,
            Sections {
                names,
                pairs,
                offsets,
                rows,
                pages,
            },
            series,
        )?;
        let mut from = Unpack::new(&map[parts]);
        let mut list = Vec::new();
        while !from.is_empty() {
            let (start, end) = (from.u64()? as i64, from.u64()? as i64);
            let (first_group, count) = (from.u64()? as usize, from.u64()? as usize);
            if first_group.checked_add(count)? > groups.len() / 32 {
                return None;
            }
            list.push(Part {
                start,
                end,
                first_group,
                groups: count,
            });
        }
        let bytes = map.len() as u64;
        Some(Self {
            path: path.to_owned(),
            footer,
            bytes,
            map,
            index,
            times,
            groups,
            parts: list,
        })
    }

    pub(super) fn overlaps(&self, low: i64, high: i64) -> bool {
        self.footer.newest >= low && self.footer.oldest <= high
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.names()
    }

    pub(super) fn pair_count(&self) -> usize {
        self.index.pair_count()
    }

    pub(super) fn values(&self, name: &str, found: impl FnMut(&str, usize)) -> Option<()> {
        self.index.values(&self.map, name, found)
    }

    /// The numbers of the matching series; `None` where the index is damaged.
    pub(super) fn matching(&self, matchers: &[Matcher]) -> Option<Vec<u32>> {
        self.index.matching(&self.map, matchers)
    }

    pub(super) fn labels(&self, series: u32, page: &mut RowPage) -> Option<Labels> {
        self.index.labels(&self.map, series, page)
    }

    fn group(&self, number: usize) -> Option<GroupEntry> {
        let mut from = Unpack::new(self.map[self.groups.clone()].get(number * 32..)?);
        Some(GroupEntry {
            at: from.u64()? as usize,
            length: from.u64()? as usize,
            unpacked: from.u64()? as usize,
            first_series: u32::try_from(from.u64()?).ok()?,
        })
    }

    fn frame(&self, unzip: &Unzip, at: usize, length: usize, unpacked: usize) -> Option<Vec<u8>> {
        if unpacked > MAX_UNPACKED {
            return None;
        }
        let mut from = Unpack::new(self.map.get(at..at.checked_add(length)?)?);
        let crc = from.u32()?;
        if crc32fast::hash(from.rest()) != crc {
            return None;
        }
        unzip.unpack(from.rest(), unpacked)
    }

    fn read_times(&self, unzip: &Unzip, number: u64) -> Option<Arc<[i64]>> {
        let at = usize::try_from(number).ok()?.checked_mul(24)?;
        let mut from = Unpack::new(self.map[self.times.clone()].get(at..)?);
        let (at, length, unpacked) = (
            from.u64()? as usize,
            from.u64()? as usize,
            from.u64()? as usize,
        );
        let packed = self.frame(unzip, at, length, unpacked)?;
        Some(take_times(&mut Unpack::new(&packed))?.into())
    }
}

/// Reads series of one block. It keeps what was unpacked last, so reading in order of series unpacks each frame once.
pub(super) struct BlockCursor {
    block: Arc<Block>,
    groups: Vec<Option<UnpackedGroup>>,
    times: HashMap<u64, Arc<[i64]>>,
    packer: ValuePacker,
    unzip: Unzip,
}

struct UnpackedGroup {
    number: usize,
    first_series: u32,
    /// Where each run ends in `bytes`; the first begins at `start`.
    ends: Vec<usize>,
    start: usize,
    bytes: Vec<u8>,
}

impl BlockCursor {
    pub(super) fn new(block: Arc<Block>, unzip: Unzip) -> Self {
        let groups = block.parts.iter().map(|_| None).collect();
        Self {
            block,
            groups,
            times: HashMap::new(),
            packer: ValuePacker::default(),
            unzip,
        }
    }

    pub(super) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// Adds the samples of a series with `low <= time <= high`. `Err` carries how many frames could not be read; what
    /// could be read was added.
    pub(super) fn read(
        &mut self,
        series: u32,
        low: i64,
        high: i64,
        times: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), usize> {
        let mut damaged = 0;
        if low > high {
            return Ok(());
        }
        for part in 0..self.groups.len() {
            let stretch = &self.block.parts[part];
            if stretch.end <= low || stretch.start > high {
                continue;
            }
            let before = (times.len(), values.len());
            if self
                .read_part(part, series, low, high, times, values)
                .is_none()
            {
                times.truncate(before.0);
                values.truncate(before.1);
                damaged += 1;
            }
        }
        if damaged == 0 { Ok(()) } else { Err(damaged) }
    }

    fn read_part(
        &mut self,
        part: usize,
        series: u32,
        low: i64,
        high: i64,
        times: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Option<()> {
        if !self.groups[part]
            .as_ref()
            .is_some_and(|group| group.has(series))
        {
            let Some(number) = self.find_group(part, series)? else {
                return Some(());
            };
            if self.groups[part]
                .as_ref()
                .is_none_or(|group| group.number != number)
            {
                self.groups[part] = None;
                self.groups[part] = Some(UnpackedGroup::unpack(&self.block, &self.unzip, number)?);
            }
        }
        let group = self.groups[part].as_ref()?;
        if !group.has(series) {
            return Some(());
        }
        let mut run = Unpack::new(group.run(series));
        if run.is_empty() {
            return Some(());
        }
        let number = run.number()?;
        let vector = match self.times.get(&number) {
            Some(vector) => vector.clone(),
            None => {
                if self.times.len() >= KEPT_TIMES {
                    self.times.clear();
                }
                let vector = self.block.read_times(&self.unzip, number)?;
                self.times.insert(number, vector.clone());
                vector
            }
        };
        let before = values.len();
        self.packer.take_values(&mut run, vector.len(), values)?;
        let first = vector.partition_point(|time| *time < low);
        let last = vector.partition_point(|time| *time <= high);
        times.extend_from_slice(&vector[first..last]);
        values.truncate(before + last);
        values.drain(before..before + first);
        Some(())
    }

    /// The last group of the part that does not begin after the series.
    fn find_group(&self, part: usize, series: u32) -> Option<Option<usize>> {
        let part = &self.block.parts[part];
        let (mut low, mut high) = (part.first_group, part.first_group + part.groups);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.block.group(middle)?.first_series <= series {
                low = middle + 1
            } else {
                high = middle
            }
        }
        Some((low > part.first_group).then(|| low - 1))
    }
}

impl UnpackedGroup {
    fn unpack(block: &Block, unzip: &Unzip, number: usize) -> Option<Self> {
        let entry = block.group(number)?;
        let bytes = block.frame(unzip, entry.at, entry.length, entry.unpacked)?;
        let mut from = Unpack::new(&bytes);
        let count = from.length()?;
        if count > bytes.len() {
            return None;
        }
        let mut ends = Vec::with_capacity(count);
        let mut total = 0usize;
        for _ in 0..count {
            total = total.checked_add(from.length()?)?;
            ends.push(total);
        }
        let start = bytes.len() - from.rest().len();
        if start.checked_add(total)? != bytes.len() {
            return None;
        }
        for end in &mut ends {
            *end += start;
        }
        Some(Self {
            number,
            first_series: entry.first_series,
            ends,
            start,
            bytes,
        })
    }

    fn has(&self, series: u32) -> bool {
        series >= self.first_series && ((series - self.first_series) as usize) < self.ends.len()
    }

    fn run(&self, series: u32) -> &[u8] {
        let at = (series - self.first_series) as usize;
        let start = if at == 0 {
            self.start
        } else {
            self.ends[at - 1]
        };
        &self.bytes[start..self.ends[at]]
    }
}
