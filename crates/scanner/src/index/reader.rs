//! Reads an index: opens it with its checks, finds packages by binary search, decodes what it finds.

use std::cmp::Ordering;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::codec::Reader;
use super::{CURRENT, FORMAT, HEADER_BYTES, MAGIC, PREVIOUS};
use crate::advisory::Informational;
use crate::advisory::source::map_file;
use crate::ecosystem::Ecosystem;
use crate::error::ScanError;

/// An open index.
pub struct Index {
    path: PathBuf,
    map: Bytes,
    built_at: i64,
    ecosystems: Vec<EcosystemData>,
    records: Table,
    packages: Table,
    keys: (usize, usize),
}

/// An index's bytes: a mapped file, or memory where there is no place for a file.
enum Bytes {
    Mapped(Mmap),
    Held(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Held(bytes) => bytes,
        }
    }
}

/// Where a table of entries of one size stands.
#[derive(Clone, Copy)]
struct Table {
    at: usize,
    count: usize,
}

const RECORD_ENTRY: usize = 12;
const PACKAGE_ENTRY: usize = 20;

/// What the index has for an ecosystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcosystemData {
    /// OSV's name, without a release.
    pub bucket: String,
    /// How many records concern it.
    pub records: u32,
    /// When the newest of them was modified, in seconds since 1970.
    pub newest: i64,
    /// When an update last fetched or confirmed its data, in seconds since 1970; `None` for data that was put there.
    pub fetched: Option<i64>,
}

impl EcosystemData {
    /// How old the data is: by the last update, or for data that was put there by its newest record.
    pub fn as_of(&self) -> i64 {
        self.fetched.unwrap_or(self.newest)
    }
}

/// What the index holds of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordData<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its other ids.
    pub aliases: Vec<&'a str>,
    /// One line about it.
    pub summary: &'a str,
    /// When it last changed, in seconds since 1970.
    pub modified: i64,
    /// When it was published, in seconds since 1970.
    pub published: i64,
    /// CVSS vectors.
    pub vectors: Vec<&'a str>,
    /// The level in words, or empty.
    pub level: &'a str,
    /// Weaknesses.
    pub cwes: Vec<&'a str>,
    /// A page about it, or empty.
    pub url: &'a str,
}

/// What the index holds of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageData<'a> {
    /// Every version that its entries name, canonical, in version order.
    pub versions: Vec<&'a str>,
    /// Its advisories.
    pub entries: Vec<AffectedEntry>,
}

/// One advisory's statement about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedEntry {
    /// The record's number in the index.
    pub record: u32,
    /// Whether it is a warning rather than a vulnerability.
    pub informational: Option<Informational>,
    /// Ranges: events in version order, versions by their place in [`PackageData::versions`].
    pub ranges: Vec<Vec<(EventKind, u32)>>,
    /// Listed versions by place, rising.
    pub listed: Vec<u32>,
}

/// The kinds of events in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// Affected from the very first version on.
    IntroducedFirst = 0,
    /// Affected from this version on.
    Introduced = 1,
    /// Not affected from this version on.
    Fixed = 2,
    /// Not affected after this version.
    LastAffected = 3,
    /// Nothing is said from this version on.
    Limit = 4,
}

impl Index {
    /// Opens an index file and checks its header, length and table.
    ///
    /// # Errors
    /// Where the file can't be read, or is no index of this format, cut short or damaged.
    pub fn open(path: &Path) -> Result<Self, ScanError> {
        let file = File::open(path).map_err(|error| ScanError::io("open", path, error))?;
        let map = map_file(&file).map_err(|error| ScanError::io("map", path, error))?;
        Self::read(path, Bytes::Mapped(map))
    }

    /// Takes an index that was built in memory; `name` stands for it in messages.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self, ScanError> {
        Self::read(name, Bytes::Held(bytes))
    }

    fn read(path: &Path, map: Bytes) -> Result<Self, ScanError> {
        let bad = |reason: &str| ScanError::index(path, reason);
        let header = map
            .get(..HEADER_BYTES)
            .ok_or_else(|| bad("it is shorter than its header"))?;
        if header[..8] != MAGIC {
            return Err(bad("it is no advisory index"));
        }
        if crc32fast::hash(&header[..HEADER_BYTES - 4]) != u32_at(header, HEADER_BYTES - 4) {
            return Err(bad("its header is damaged"));
        }
        let format = u32_at(header, 8);
        if format != FORMAT {
            return Err(bad(&format!(
                "it has format {format}, and this program reads format {FORMAT}"
            )));
        }
        if u64_at(header, 16) != map.len() as u64 {
            return Err(bad("it is cut short or has grown"));
        }
        let (at, length) = (u64_at(header, 24) as usize, u64_at(header, 32) as usize);
        let table = at
            .checked_add(length)
            .and_then(|end| map.get(at..end))
            .ok_or_else(|| bad("its table is out of place"))?;
        if crc32fast::hash(table) != u32_at(header, 12) {
            return Err(bad("its table is damaged"));
        }
        let parsed = parse_table(table).ok_or_else(|| bad("its table makes no sense"))?;
        let (built_at, ecosystems, mut records, mut packages, mut keys) = parsed;
        records.at += at;
        packages.at += at;
        keys.0 += at;
        Ok(Self {
            path: path.to_owned(),
            map,
            built_at,
            ecosystems,
            records,
            packages,
            keys,
        })
    }

    /// Opens a database folder's current index, or the one before it where that is damaged.
    ///
    /// # Errors
    /// Where neither can be used.
    pub fn open_folder(folder: &Path) -> Result<(Self, Option<String>), ScanError> {
        let current = folder.join(CURRENT);
        match Self::open(&current) {
            Ok(index) => Ok((index, None)),
            Err(error) => match Self::open(&folder.join(PREVIOUS)) {
                Ok(index) => Ok((index, Some(format!("{error}; the last good index is used")))),
                Err(_) => Err(error),
            },
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When it was built, in seconds since 1970.
    pub fn built_at(&self) -> i64 {
        self.built_at
    }

    /// How many records it holds.
    pub fn record_count(&self) -> usize {
        self.records.count
    }

    /// How many packages it holds.
    pub fn package_count(&self) -> usize {
        self.packages.count
    }

    /// What it has, by ecosystem.
    pub fn ecosystems(&self) -> &[EcosystemData] {
        &self.ecosystems
    }

    /// What it has for one ecosystem; `None` where it has no record at all.
    pub fn ecosystem(&self, ecosystem: &Ecosystem) -> Option<&EcosystemData> {
        self.ecosystems
            .iter()
            .find(|data| data.bucket == ecosystem.bucket() && data.records > 0)
    }

    /// Whether there is any package of exactly this ecosystem: for Debian, of this release.
    ///
    /// # Errors
    /// Where the index is damaged.
    pub fn covers(&self, ecosystem: &Ecosystem) -> Result<bool, ScanError> {
        let prefix = format!("{ecosystem}\0");
        let at = self.lower_bound(prefix.as_bytes())?;
        Ok(at < self.packages.count && self.key(at)?.starts_with(prefix.as_bytes()))
    }

    /// The first package whose key is not below `wanted`.
    fn lower_bound(&self, wanted: &[u8]) -> Result<usize, ScanError> {
        let (mut low, mut high) = (0, self.packages.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle)?.cmp(wanted) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn key(&self, package: usize) -> Result<&[u8], ScanError> {
        let entry = self.packages.at + package * PACKAGE_ENTRY;
        let at = u32_at(&self.map, entry) as usize;
        let end = at + u32_at(&self.map, entry + 4) as usize;
        let (keys, length) = self.keys;
        let key = if end <= length {
            self.map.get(keys + at..keys + end)
        } else {
            None
        };
        key.ok_or_else(|| self.damaged())
    }

    /// Looks a package up by its normalised name.
    ///
    /// # Errors
    /// Where its data is damaged.
    pub fn package(
        &self,
        ecosystem: &Ecosystem,
        name: &str,
    ) -> Result<Option<PackageData<'_>>, ScanError> {
        let wanted = format!("{ecosystem}\0{name}");
        let at = self.lower_bound(wanted.as_bytes())?;
        if at >= self.packages.count || self.key(at)? != wanted.as_bytes() {
            return Ok(None);
        }
        let payload = self.payload(self.packages.at + at * PACKAGE_ENTRY + 8)?;
        decode_package(payload)
            .map(Some)
            .ok_or_else(|| self.damaged())
    }

    /// Reads a record by its number.
    ///
    /// # Errors
    /// Where its data is damaged.
    pub fn record(&self, number: u32) -> Result<RecordData<'_>, ScanError> {
        if number as usize >= self.records.count {
            return Err(self.damaged());
        }
        let payload = self.payload(self.records.at + number as usize * RECORD_ENTRY)?;
        decode_record(payload).ok_or_else(|| self.damaged())
    }

    /// Reads the whole index with every checksum.
    ///
    /// # Errors
    /// At the first damage.
    pub fn verify(&self) -> Result<(), ScanError> {
        for number in 0..self.records.count {
            self.record(number as u32)?;
        }
        for number in 0..self.packages.count {
            let payload = self.payload(self.packages.at + number * PACKAGE_ENTRY + 8)?;
            decode_package(payload).ok_or_else(|| self.damaged())?;
        }
        Ok(())
    }

    /// The bytes that place, length and checksum at `entry` name.
    fn payload(&self, entry: usize) -> Result<&[u8], ScanError> {
        let at = u32_at(&self.map, entry) as usize;
        let length = u32_at(&self.map, entry + 4) as usize;
        let payload = at
            .checked_add(length)
            .and_then(|end| self.map.get(at..end))
            .ok_or_else(|| self.damaged())?;
        if crc32fast::hash(payload) == u32_at(&self.map, entry + 8) {
            Ok(payload)
        } else {
            Err(self.damaged())
        }
    }

    fn damaged(&self) -> ScanError {
        ScanError::index(&self.path, "its data is damaged")
    }
}

type ParsedTable = (i64, Vec<EcosystemData>, Table, Table, (usize, usize));

fn parse_table(table: &[u8]) -> Option<ParsedTable> {
    let mut at = 0_usize;
    let mut take = |length: usize| {
        let slice = table.get(at..at.checked_add(length)?)?;
        at += length;
        Some((at - length, slice))
    };
    let built_at = i64::from_le_bytes(take(8)?.1.try_into().ok()?);
    let mut ecosystems = Vec::new();
    for _ in 0..u32_at(take(4)?.1, 0) {
        let length = u32_at(take(4)?.1, 0) as usize;
        let bucket = std::str::from_utf8(take(length)?.1).ok()?.to_owned();
        let records = u32_at(take(4)?.1, 0);
        let newest = i64::from_le_bytes(take(8)?.1.try_into().ok()?);
        let fetched = i64::from_le_bytes(take(8)?.1.try_into().ok()?);
        ecosystems.push(EcosystemData {
            bucket,
            records,
            newest,
            fetched: (fetched != 0).then_some(fetched),
        });
    }
    let count = u32_at(take(4)?.1, 0) as usize;
    let records = Table {
        at: take(count.checked_mul(RECORD_ENTRY)?)?.0,
        count,
    };
    let count = u32_at(take(4)?.1, 0) as usize;
    let packages = Table {
        at: take(count.checked_mul(PACKAGE_ENTRY)?)?.0,
        count,
    };
    let length = u32_at(take(4)?.1, 0) as usize;
    let keys = (take(length)?.0, length);
    Some((built_at, ecosystems, records, packages, keys))
}

fn decode_record(payload: &[u8]) -> Option<RecordData<'_>> {
    let mut reader = Reader(payload);
    Some(RecordData {
        id: reader.text()?,
        aliases: reader.texts()?,
        summary: reader.text()?,
        modified: reader.signed()?,
        published: reader.signed()?,
        vectors: reader.texts()?,
        level: reader.text()?,
        cwes: reader.texts()?,
        url: reader.text()?,
    })
}

fn decode_package(payload: &[u8]) -> Option<PackageData<'_>> {
    let mut reader = Reader(payload);
    let versions = reader.texts()?;
    let place = |place: u32| ((place as usize) < versions.len()).then_some(place);
    let count = reader.len()?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let record = reader.index()?;
        let informational = match reader.byte()? {
            0 => None,
            1 => Some(Informational::Notice),
            2 => Some(Informational::Unmaintained),
            3 => Some(Informational::Unsound),
            _ => return None,
        };
        let range_count = reader.len()?;
        let mut ranges = Vec::with_capacity(range_count);
        for _ in 0..range_count {
            let event_count = reader.len()?;
            let mut events = Vec::with_capacity(event_count);
            for _ in 0..event_count {
                let kind = match reader.byte()? {
                    0 => EventKind::IntroducedFirst,
                    1 => EventKind::Introduced,
                    2 => EventKind::Fixed,
                    3 => EventKind::LastAffected,
                    4 => EventKind::Limit,
                    _ => return None,
                };
                events.push((kind, place(reader.index()?)?));
            }
            ranges.push(events);
        }
        let listed_count = reader.len()?;
        let mut listed = Vec::with_capacity(listed_count);
        let mut last = 0_u32;
        for _ in 0..listed_count {
            last = last.checked_add(reader.index()?)?;
            listed.push(place(last)?);
        }
        entries.push(AffectedEntry {
            record,
            informational,
            ranges,
            listed,
        });
    }
    Some(PackageData { versions, entries })
}

/// Four bytes as a number; callers have checked the length, and damage reads as zero rather than a panic.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|slice| slice.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|slice| slice.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
