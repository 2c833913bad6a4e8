//! A block's inverted index, used as it lies in the mapped file.
//!
//! A *pair* is a label name with one value. Pairs are numbered in order of name, then value, so the pairs of a name are
//! one range, the values are found by bisection, and a series' row is a growing list of pair numbers. Nothing but the
//! label names is decoded when a block is opened.
//!
//! ```text
//! names   count, then (length, name, first pair, pairs) each
//! pairs   (length, value, postings, length of the postings, first series, differences…) each
//! offsets u32 each: where a pair begins within `pairs`
//! rows    zstd pages of PAGE series: (count, first pair, differences…) each
//! pages   (u32 offset, u32 length, u32 unpacked length) each
//! ```

use super::Matcher;
use super::pack::{Unpack, Unzip, put_number};
use super::postings::intersect;
use crate::labels::Labels;
use std::collections::BTreeMap;
use std::ops::Range;

#[cfg(test)]
mod tests;

/// Series in a page of rows.
pub(super) const PAGE: usize = 64;
/// A page of rows is never larger than this when unpacked; what claims to be is damaged.
const MAX_PAGE_BYTES: usize = 64 << 20;

/// The sections of an encoded index.
#[derive(Default)]
pub(super) struct Encoded {
    pub(super) names: Vec<u8>,
    pub(super) pairs: Vec<u8>,
    pub(super) offsets: Vec<u8>,
    pub(super) rows: Vec<u8>,
    pub(super) pages: Vec<u8>,
}

/// Encodes the index of series given in order. `None` where it would pass the 4 GiB that its offsets can tell.
pub(super) fn encode(series: &[Labels]) -> Option<Encoded> {
    let mut names: BTreeMap<&str, BTreeMap<&str, (u32, Vec<u32>)>> = BTreeMap::new();
    for (at, labels) in series.iter().enumerate() {
        for (name, value) in labels {
            names
                .entry(name)
                .or_default()
                .entry(value)
                .or_default()
                .1
                .push(at as u32);
        }
    }
    let mut out = Encoded::default();
    put_number(&mut out.names, names.len() as u64);
    let mut pair = 0u32;
    let mut postings = Vec::new();
    for (name, values) in &mut names {
        put_number(&mut out.names, name.len() as u64);
        out.names.extend_from_slice(name.as_bytes());
        put_number(&mut out.names, u64::from(pair));
        put_number(&mut out.names, values.len() as u64);
        for (value, (number, list)) in values {
            *number = pair;
            pair = pair.checked_add(1)?;
            out.offsets
                .extend_from_slice(&u32::try_from(out.pairs.len()).ok()?.to_le_bytes());
            put_number(&mut out.pairs, value.len() as u64);
            out.pairs.extend_from_slice(value.as_bytes());
            postings.clear();
            let mut last = 0;
            for at in list.iter() {
                put_number(&mut postings, u64::from(at - last));
                last = *at;
            }
            put_number(&mut out.pairs, list.len() as u64);
            put_number(&mut out.pairs, postings.len() as u64);
            out.pairs.extend_from_slice(&postings);
        }
    }
    let mut page = Vec::new();
    for labels in series.chunks(PAGE) {
        page.clear();
        for labels in labels {
            put_number(&mut page, labels.len() as u64);
            let mut last = 0;
            for (name, value) in labels {
                let number = names[name][value].0;
                put_number(&mut page, u64::from(number - last));
                last = number;
            }
        }
        let packed = zstd::bulk::compress(&page, 3).ok()?;
        for number in [out.rows.len(), packed.len(), page.len()] {
            out.pages
                .extend_from_slice(&u32::try_from(number).ok()?.to_le_bytes());
        }
        out.rows.extend_from_slice(&packed);
    }
    u32::try_from(out.pairs.len()).ok()?;
    Some(out)
}

/// Where the sections lie in a block's file.
#[derive(Clone, Debug, Default)]
pub(super) struct Sections {
    pub(super) names: Range<usize>,
    pub(super) pairs: Range<usize>,
    pub(super) offsets: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) pages: Range<usize>,
}

/// A label name and the range of its pairs.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) name: Box<str>,
    first: u32,
    pairs: u32,
}

/// The index of an open block. `None` from any of its functions says that the index is damaged.
pub(super) struct Index {
    sections: Sections,
    names: Vec<Name>,
    series: usize,
}

/// The rows of one page, for reading several series that lie together.
#[derive(Default)]
pub(super) struct RowPage {
    number: Option<usize>,
    starts: Vec<u32>,
    bytes: Vec<u8>,
    unzip: Unzip,
}

impl RowPage {
    pub(super) fn new(unzip: Unzip) -> Self {
        Self {
            unzip,
            ..Self::default()
        }
    }
}

struct Pair<'a> {
    value: &'a str,
    count: usize,
    postings: &'a [u8],
}

impl Index {
    pub(super) fn open(file: &[u8], sections: Sections, series: usize) -> Option<Self> {
        let mut from = Unpack::new(file.get(sections.names.clone())?);
        let total = sections.offsets.len() / 4;
        let mut names: Vec<Name> = Vec::new();
        for _ in 0..from.number()? {
            let length = from.length()?;
            let name = std::str::from_utf8(from.bytes(length)?).ok()?;
            let (first, pairs) = (
                u32::try_from(from.number()?).ok()?,
                u32::try_from(from.number()?).ok()?,
            );
            let expected = names.last().map_or(0, |last| last.first + last.pairs);
            if first != expected || first as usize + pairs as usize > total {
                return None;
            }
            names.push(Name {
                name: name.into(),
                first,
                pairs,
            });
        }
        if sections.pages.len() / 12 != series.div_ceil(PAGE) {
            return None;
        }
        Some(Self {
            sections,
            names,
            series,
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &*name.name)
    }

    pub(super) fn pair_count(&self) -> usize {
        self.sections.offsets.len() / 4
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let at = self
            .names
            .binary_search_by(|candidate| (*candidate.name).cmp(name))
            .ok()?;
        Some(&self.names[at])
    }

    fn pair<'a>(&self, file: &'a [u8], number: u32) -> Option<Pair<'a>> {
        let offsets = &file[self.sections.offsets.clone()];
        let at = Unpack::new(offsets.get(number as usize * 4..)?).u32()? as usize;
        let mut from = Unpack::new(file[self.sections.pairs.clone()].get(at..)?);
        let length = from.length()?;
        let value = std::str::from_utf8(from.bytes(length)?).ok()?;
        let count = from.length()?;
        let bytes = from.length()?;
        Some(Pair {
            value,
            count,
            postings: from.bytes(bytes)?,
        })
    }

    /// Calls `found` with each value of a name and its number of series.
    pub(super) fn values(
        &self,
        file: &[u8],
        name: &str,
        mut found: impl FnMut(&str, usize),
    ) -> Option<()> {
        let Some(name) = self.name(name) else {
            return Some(());
        };
        for number in name.first..name.first + name.pairs {
            let pair = self.pair(file, number)?;
            found(pair.value, pair.count);
        }
        Some(())
    }

    /// The numbers of the series that match all matchers, sorted.
    pub(super) fn matching(&self, file: &[u8], matchers: &[Matcher]) -> Option<Vec<u32>> {
        let mut wanted: Vec<Vec<u32>> = Vec::new();
        let mut unwanted: Vec<Vec<u32>> = Vec::new();
        for matcher in matchers {
            let name = self.name(matcher.name());
            if matcher.matches("") {
                // Where absence matches, the series to leave out are those that have a value which does not.
                let Some(name) = name else { continue };
                unwanted.push(self.union(file, name, |value| !matcher.matches(value))?);
                continue;
            }
            let Some(name) = name else {
                return Some(Vec::new());
            };
            let list = match matcher.exact_values() {
                Some(values) => {
                    let mut all = Vec::new();
                    for value in values {
                        if let Some(pair) = self.find(file, name, value)? {
                            self.append(&pair, &mut all)?;
                        }
                    }
                    all.sort_unstable();
                    all
                }
                None => self.union(file, name, |value| matcher.matches(value))?,
            };
            if list.is_empty() {
                return Some(list);
            }
            wanted.push(list);
        }
        wanted.sort_by_key(Vec::len);
        let mut wanted = wanted.into_iter();
        let mut result = wanted
            .next()
            .unwrap_or_else(|| (0..self.series as u32).collect());
        for list in wanted {
            intersect(&mut result, &list);
        }
        for list in unwanted {
            result.retain(|series| list.binary_search(series).is_err());
        }
        Some(result)
    }

    fn find<'a>(&self, file: &'a [u8], name: &Name, value: &str) -> Option<Option<Pair<'a>>> {
        let (mut low, mut high) = (name.first, name.first + name.pairs);
        while low < high {
            let middle = low + (high - low) / 2;
            let pair = self.pair(file, middle)?;
            match pair.value.cmp(value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(Some(pair)),
            }
        }
        Some(None)
    }

    fn union(&self, file: &[u8], name: &Name, wanted: impl Fn(&str) -> bool) -> Option<Vec<u32>> {
        let mut all = Vec::new();
        let mut lists = 0;
        for number in name.first..name.first + name.pairs {
            let pair = self.pair(file, number)?;
            if wanted(pair.value) {
                self.append(&pair, &mut all)?;
                lists += 1;
            }
        }
        if lists > 1 {
            all.sort_unstable();
        }
        Some(all)
    }

    fn append(&self, pair: &Pair<'_>, to: &mut Vec<u32>) -> Option<()> {
        if pair.count > pair.postings.len() {
            return None;
        }
        to.reserve(pair.count);
        let mut from = Unpack::new(pair.postings);
        let mut at = 0u32;
        for _ in 0..pair.count {
            at = at.checked_add(u32::try_from(from.number()?).ok()?)?;
            if at as usize >= self.series {
                return None;
            }
            to.push(at);
        }
        Some(())
    }

    /// The labels of a series.
    pub(super) fn labels(&self, file: &[u8], series: u32, page: &mut RowPage) -> Option<Labels> {
        let number = series as usize / PAGE;
        if page.number != Some(number) {
            self.load_page(file, number, page)?;
        }
        let start = *page.starts.get(series as usize % PAGE)? as usize;
        let mut from = Unpack::new(page.bytes.get(start..)?);
        let mut pairs = Vec::new();
        let mut pair = 0u32;
        let mut name = 0;
        for _ in 0..from.number()? {
            pair = pair.checked_add(u32::try_from(from.number()?).ok()?)?;
            while pair >= self.names.get(name)?.first + self.names[name].pairs {
                name += 1;
            }
            let label = &*self.names[name].name;
            let value = self.pair(file, pair)?.value;
            // A damaged table of names can name one twice, or out of order.
            if value.is_empty() || pairs.last().is_some_and(|(last, _)| *last >= label) {
                return None;
            }
            pairs.push((label, value));
        }
        Some(Labels::from_sorted(&pairs))
    }

    fn load_page(&self, file: &[u8], number: usize, page: &mut RowPage) -> Option<()> {
        page.number = None;
        let mut entry = Unpack::new(file[self.sections.pages.clone()].get(number * 12..)?);
        let (at, length, unpacked) = (
            entry.u32()? as usize,
            entry.u32()? as usize,
            entry.u32()? as usize,
        );
        if unpacked > MAX_PAGE_BYTES {
            return None;
        }
        let packed = file[self.sections.rows.clone()].get(at..at.checked_add(length)?)?;
        page.bytes = page.unzip.unpack(packed, unpacked)?;
        page.starts.clear();
        let mut from = Unpack::new(&page.bytes);
        while !from.is_empty() {
            page.starts
                .push((page.bytes.len() - from.rest().len()) as u32);
            for _ in 0..from.number()? {
                from.number()?;
            }
        }
        page.number = Some(number);
        Some(())
    }
}
