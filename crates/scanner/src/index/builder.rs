//! Builds an index from sources of records.
//!
//! Memory is kept low by encoding each record's data as soon as it is read and by holding versions as one
//! joined text per affected entry until its package is written.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::codec::Writer;
use super::reader::EventKind;
use super::{FORMAT, HEADER_BYTES, MAGIC};
use crate::advisory::source::{RawRecord, Source};
use crate::advisory::{Affected, Event, Informational, Range, Record};
use crate::ecosystem::Scheme;
use crate::error::ScanError;
use crate::version::{Version, canonical};

/// How many problems are described; the rest is only counted.
const DESCRIBED_PROBLEMS: usize = 50;

/// What a build met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildReport {
    /// Records in the index.
    pub records: usize,
    /// Withdrawn records, which were left out.
    pub withdrawn: usize,
    /// Records that a later source repeated; the first one counted.
    pub repeated: usize,
    /// Records of no ecosystem that the scanner knows.
    pub foreign: usize,
    /// Affected entries with nothing but ranges over git commits, which can't be matched.
    pub git_only: usize,
    /// Records that could not be read.
    pub unreadable: usize,
    /// Where and why, for the first of them.
    pub problems: Vec<String>,
}

/// Collects records and writes the index.
#[derive(Default)]
pub struct Builder {
    report: BuildReport,
    seen: HashSet<String>,
    /// Encoded records, and where each ends.
    records: Vec<u8>,
    record_ends: Vec<usize>,
    packages: BTreeMap<(String, String), (Scheme, Vec<Entry>)>,
    ecosystems: BTreeMap<String, EcosystemState>,
}

#[derive(Default, Clone, Copy)]
struct EcosystemState {
    records: u32,
    newest: i64,
    fetched: i64,
}

struct Entry {
    record: u32,
    informational: Option<Informational>,
    ranges: Vec<Range>,
    /// Canonical versions, joined by line ends.
    versions: String,
}

impl Builder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes when an ecosystem's data was last fetched or confirmed, in seconds since 1970.
    pub fn set_fetched(&mut self, bucket: &str, at: i64) {
        self.ecosystems
            .entry(bucket.to_owned())
            .or_default()
            .fetched = at;
    }

    /// Adds every record of a source. Of records with one id, the first added counts.
    ///
    /// # Errors
    /// Where the source can't be read; unreadable records are only reported.
    pub fn add_source(&mut self, source: &Source) -> Result<(), ScanError> {
        source.each(&mut |raw| self.add_raw(&raw))
    }

    fn add_raw(&mut self, raw: &RawRecord<'_>) {
        let parsed = match &raw.bytes {
            Ok(bytes) => Record::parse(bytes, raw.format).map_err(|error| error.to_string()),
            Err(reason) => Err(reason.clone()),
        };
        match parsed {
            Ok(record) => self.add(record),
            Err(reason) => {
                self.report.unreadable += 1;
                if self.report.problems.len() < DESCRIBED_PROBLEMS {
                    self.report
                        .problems
                        .push(format!("{}: {reason}", raw.origin));
                }
            }
        }
    }

    /// Adds one record.
    pub fn add(&mut self, record: Record) {
        if !self.seen.insert(record.id.clone()) {
            self.report.repeated += 1;
            return;
        }
        if record.withdrawn {
            self.report.withdrawn += 1;
            return;
        }
        if record.affected.is_empty() {
            self.report.foreign += usize::from(!record.unknown_ecosystems.is_empty());
            return;
        }
        let number = u32::try_from(self.record_ends.len())
            .expect("an index holds fewer than four thousand million records");
        encode_record(&mut self.records, &record);
        self.record_ends.push(self.records.len());
        self.report.records += 1;
        let mut counted: Vec<&'static str> = Vec::new();
        for affected in record.affected {
            let bucket = affected.ecosystem.bucket();
            let state = self.ecosystems.entry(bucket.to_owned()).or_default();
            state.newest = state.newest.max(record.modified);
            if !counted.contains(&bucket) {
                state.records += 1;
                counted.push(bucket);
            }
            self.add_affected(number, affected);
        }
    }

    fn add_affected(&mut self, record: u32, affected: Affected) {
        if affected.ranges.is_empty() && affected.versions.is_empty() {
            self.report.git_only += usize::from(affected.has_git_ranges);
            return;
        }
        let scheme = affected.ecosystem.scheme();
        let mut versions = String::new();
        for version in &affected.versions {
            let version = canonical(scheme, version);
            if !version.contains('\n') {
                versions.push_str(&version);
                versions.push('\n');
            }
        }
        let entry = Entry {
            record,
            informational: affected.informational,
            ranges: affected.ranges,
            versions,
        };
        let key = (affected.ecosystem.to_string(), affected.name);
        self.packages
            .entry(key)
            .or_insert_with(|| (scheme, Vec::new()))
            .1
            .push(entry);
    }

    /// Writes the index into memory. `built_at` is in seconds since 1970.
    ///
    /// # Errors
    /// Where the index would pass the 4 GiB that its places can name.
    pub fn finish(self, built_at: i64) -> Result<(Vec<u8>, BuildReport), ScanError> {
        let mut out = vec![0_u8; HEADER_BYTES];
        let place = |at: usize| {
            u32::try_from(at).map_err(|_| {
                ScanError::index(Path::new(super::CURRENT), "it would be larger than 4 GiB")
            })
        };
        let mut table = Vec::new();
        table.extend_from_slice(&built_at.to_le_bytes());
        table.extend_from_slice(&place(self.ecosystems.len())?.to_le_bytes());
        for (name, state) in &self.ecosystems {
            table.extend_from_slice(&place(name.len())?.to_le_bytes());
            table.extend_from_slice(name.as_bytes());
            table.extend_from_slice(&state.records.to_le_bytes());
            table.extend_from_slice(&state.newest.to_le_bytes());
            table.extend_from_slice(&state.fetched.to_le_bytes());
        }
        let shift = out.len();
        out.extend_from_slice(&self.records);
        table.extend_from_slice(&place(self.record_ends.len())?.to_le_bytes());
        let mut start = 0;
        for end in &self.record_ends {
            table.extend_from_slice(&place(shift + start)?.to_le_bytes());
            table.extend_from_slice(&place(end - start)?.to_le_bytes());
            table.extend_from_slice(&crc32fast::hash(&self.records[start..*end]).to_le_bytes());
            start = *end;
        }
        drop(self.records);
        let mut keys = Vec::new();
        table.extend_from_slice(&place(self.packages.len())?.to_le_bytes());
        for ((ecosystem, name), (scheme, entries)) in self.packages {
            let key_at = keys.len();
            keys.extend_from_slice(ecosystem.as_bytes());
            keys.push(0);
            keys.extend_from_slice(name.as_bytes());
            let start = out.len();
            encode_package(&mut out, scheme, entries);
            table.extend_from_slice(&place(key_at)?.to_le_bytes());
            table.extend_from_slice(&place(keys.len() - key_at)?.to_le_bytes());
            table.extend_from_slice(&place(start)?.to_le_bytes());
            table.extend_from_slice(&place(out.len() - start)?.to_le_bytes());
            table.extend_from_slice(&crc32fast::hash(&out[start..]).to_le_bytes());
        }
        table.extend_from_slice(&place(keys.len())?.to_le_bytes());
        table.append(&mut keys);
        let table_at = out.len();
        out.append(&mut table);
        let total = out.len();
        place(total)?;
        let table_crc = crc32fast::hash(&out[table_at..]);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&FORMAT.to_le_bytes());
        header.extend_from_slice(&table_crc.to_le_bytes());
        header.extend_from_slice(&(total as u64).to_le_bytes());
        header.extend_from_slice(&(table_at as u64).to_le_bytes());
        header.extend_from_slice(&((total - table_at) as u64).to_le_bytes());
        header.resize(HEADER_BYTES - 4, 0);
        let header_crc = crc32fast::hash(&header);
        header.extend_from_slice(&header_crc.to_le_bytes());
        out[..HEADER_BYTES].copy_from_slice(&header);
        Ok((out, self.report))
    }
}

fn encode_record(out: &mut Vec<u8>, record: &Record) {
    let mut writer = Writer(out);
    writer.text(&record.id);
    writer.texts(&record.aliases);
    writer.text(&record.summary);
    writer.signed(record.modified);
    writer.signed(record.published.unwrap_or(record.modified));
    writer.texts(&record.vectors);
    writer.text(record.level.as_deref().unwrap_or_default());
    writer.texts(&record.cwes);
    writer.text(record.url.as_deref().unwrap_or_default());
}

/// A package's versions go into one table in version order, and entries refer to them by place: a scan then finds
/// a version by binary search and compares places, instead of reading every version that an advisory names.
fn encode_package(out: &mut Vec<u8>, scheme: Scheme, mut entries: Vec<Entry>) {
    entries.sort_by_key(|entry| entry.record);
    let ranges: Vec<Vec<Vec<(EventKind, String)>>> = entries
        .iter()
        .map(|entry| {
            entry
                .ranges
                .iter()
                .map(|range| sorted_events(scheme, range))
                .collect()
        })
        .collect();
    let mut texts: Vec<&str> = entries
        .iter()
        .flat_map(|entry| entry.versions.lines())
        .collect();
    texts.extend(
        ranges
            .iter()
            .flatten()
            .flatten()
            .map(|(_, version)| version.as_str()),
    );
    texts.sort_unstable();
    texts.dedup();
    let mut ordered: Vec<(Version, usize)> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| (Version::parse(scheme, text), at))
        .collect();
    // Equal versions keep the order of their texts, so that the same records give the same index.
    ordered.sort();
    let mut places = vec![0; texts.len()];
    for (place, (_, at)) in ordered.iter().enumerate() {
        places[*at] = place;
    }
    let place = |text: &str| {
        places[texts
            .binary_search(&text)
            .expect("every version of the package is in its table")]
    };
    let mut writer = Writer(out);
    writer.len(texts.len());
    for (_, at) in &ordered {
        writer.text(texts[*at]);
    }
    writer.len(entries.len());
    for (entry, ranges) in entries.iter().zip(&ranges) {
        writer.count(u64::from(entry.record));
        writer.byte(match entry.informational {
            None => 0,
            Some(Informational::Notice) => 1,
            Some(Informational::Unmaintained) => 2,
            Some(Informational::Unsound) => 3,
        });
        writer.len(ranges.len());
        for events in ranges {
            writer.len(events.len());
            for (kind, version) in events {
                writer.byte(*kind as u8);
                writer.len(place(version));
            }
        }
        let mut listed: Vec<usize> = entry.versions.lines().map(place).collect();
        listed.sort_unstable();
        listed.dedup();
        writer.len(listed.len());
        let mut before = 0;
        for place in listed {
            // Places rise, so the steps between them are small numbers.
            writer.len(place - before);
            before = place;
        }
    }
}

/// OSV evaluates events in version order; the order of the record decides between equal versions.
fn sorted_events(scheme: Scheme, range: &Range) -> Vec<(EventKind, String)> {
    let mut events: Vec<(EventKind, Version, String)> = Vec::with_capacity(range.events.len());
    for event in &range.events {
        let (kind, version) = match event {
            Event::Introduced(version) if version == "0" => (EventKind::IntroducedFirst, version),
            Event::Introduced(version) => (EventKind::Introduced, version),
            Event::Fixed(version) => (EventKind::Fixed, version),
            Event::LastAffected(version) => (EventKind::LastAffected, version),
            Event::Limit(version) if version == "*" => continue,
            Event::Limit(version) => (EventKind::Limit, version),
        };
        events.push((kind, Version::parse(scheme, version), version.clone()));
    }
    events.sort_by(|left, right| {
        let first = |kind: EventKind| kind != EventKind::IntroducedFirst;
        first(left.0)
            .cmp(&first(right.0))
            .then_with(|| left.1.cmp(&right.1))
    });
    events
        .into_iter()
        .map(|(kind, _, text)| (kind, text))
        .collect()
}

/// Reads sources, in order of precedence, into an index in memory.
///
/// # Errors
/// Where a source can't be read, or where nothing at all was found in them.
pub fn build(sources: &[Source], built_at: i64) -> Result<(Vec<u8>, BuildReport), ScanError> {
    let mut builder = Builder::new();
    for source in sources {
        builder.add_source(source)?;
    }
    builder.finish(built_at)
}
