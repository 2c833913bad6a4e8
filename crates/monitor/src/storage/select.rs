//! Reading: series by matchers, each with its samples from blocks and head joined.

use super::block::{Block, BlockCursor};
use super::head::{Excerpt, MemSeries, ReaderGuard, Readers, Shared, lock};
use super::index::RowPage;
use super::pack::Unzip;
use super::{Damage, Matcher, Store};
use crate::labels::Labels;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The samples of one series in order of time. Both slices have one length, at least one.
#[derive(Clone, Copy, Debug)]
pub struct SeriesSamples<'a> {
    /// The series.
    pub labels: &'a Labels,
    /// Milliseconds since 1970.
    pub times: &'a [i64],
    /// Values; staleness markers are among them (see [`crate::labels::is_stale_nan`]).
    pub values: &'a [f64],
}

/// The series that match, in order of their labels, read one at a time. Holding it delays the dropping of old samples,
/// never an append.
pub struct Selection {
    guard: ReaderGuard,
    rows: Vec<Row>,
    next: usize,
    cursors: Vec<BlockCursor>,
    low: i64,
    high: i64,
    border: i64,
    times: Vec<i64>,
    values: Vec<f64>,
    excerpt: Excerpt,
    damaged: usize,
}

struct Row {
    labels: Labels,
    head: Option<Arc<MemSeries>>,
    blocks: Vec<(u32, u32)>,
}

impl Selection {
    fn new(shared: &Arc<Shared>, matchers: &[Matcher], low: i64, high: i64) -> Self {
        let guard = Readers::enter(shared);
        let set = shared.block_set();
        let mut rows: Vec<Row> = Vec::new();
        if high >= set.border.max(low) {
            let slots = shared.read_slots();
            let entry = |slot: u32| slots.entries[slot as usize].series.as_ref();
            let found = slots
                .postings
                .matching(matchers, slots.entries.len(), |slot| {
                    entry(slot).map(|s| &s.labels)
                });
            rows.extend(
                found
                    .into_iter()
                    .filter_map(entry)
                    .filter(|s| s.newest.load(Ordering::Acquire) >= low)
                    .map(|series| Row {
                        labels: series.labels.clone(),
                        head: Some(series.clone()),
                        blocks: Vec::new(),
                    }),
            );
        }
        let blocks: Vec<_> = set
            .blocks
            .iter()
            .filter(|block| low <= high && block.overlaps(low, high))
            .cloned()
            .collect();
        let unzip = Unzip::default();
        let mut damaged = 0;
        if !blocks.is_empty() {
            let mut known: HashMap<Labels, usize> = rows
                .iter()
                .enumerate()
                .map(|(at, row)| (row.labels.clone(), at))
                .collect();
            for (number, block) in blocks.iter().enumerate() {
                let complete = each_match(block, &unzip, matchers, |series, labels| {
                    let at = *known.entry(labels).or_insert_with_key(|labels| {
                        rows.push(Row {
                            labels: labels.clone(),
                            head: None,
                            blocks: Vec::new(),
                        });
                        rows.len() - 1
                    });
                    rows[at].blocks.push((number as u32, series));
                });
                if !complete {
                    damaged += 1;
                    report(shared, block, "its index cannot be read");
                }
            }
        }
        rows.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let cursors = blocks
            .into_iter()
            .map(|block| BlockCursor::new(block, unzip.clone()))
            .collect();
        let border = set.border;
        Self {
            guard,
            rows,
            next: 0,
            cursors,
            low,
            high,
            border,
            times: Vec::new(),
            values: Vec::new(),
            excerpt: Excerpt::default(),
            damaged,
        }
    }

    /// How many series match; some of them may turn out to have no sample in the range.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no series matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many stretches of data could not be read because they are damaged; the answer lacks them.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// The next series that has samples in the range, or `None` at the end.
    pub fn next_series(&mut self) -> Option<SeriesSamples<'_>> {
        loop {
            let row = self.rows.get(self.next)?;
            self.next += 1;
            self.times.clear();
            self.values.clear();
            for &(number, series) in &row.blocks {
                let cursor = &mut self.cursors[number as usize];
                if let Err(frames) = cursor.read(
                    series,
                    self.low,
                    self.high,
                    &mut self.times,
                    &mut self.values,
                ) {
                    self.damaged += frames;
                    report(
                        self.guard.shared(),
                        cursor.block(),
                        "a frame of samples has a wrong checksum",
                    );
                }
            }
            if let Some(series) = &row.head {
                let low = self.low.max(self.border);
                lock(&series.state).excerpt(low, self.high, &mut self.excerpt);
                self.excerpt
                    .read(low, self.high, &mut self.times, &mut self.values);
            }
            if !self.times.is_empty() {
                break;
            }
        }
        let labels = &self.rows[self.next - 1].labels;
        Some(SeriesSamples {
            labels,
            times: &self.times,
            values: &self.values,
        })
    }
}

fn report(shared: &Shared, block: &Block, what: &str) {
    shared.report(Damage {
        path: block.path.clone(),
        what: what.to_owned(),
        bytes: 0,
    });
}

/// Calls `found` with each matching series of a block; `false` where its index is damaged.
fn each_match(
    block: &Block,
    unzip: &Unzip,
    matchers: &[Matcher],
    mut found: impl FnMut(u32, Labels),
) -> bool {
    let Some(series) = block.matching(matchers) else {
        return false;
    };
    let mut page = RowPage::new(unzip.clone());
    for number in series {
        let Some(labels) = block.labels(number, &mut page) else {
            return false;
        };
        found(number, labels);
    }
    true
}

impl Store {
    /// The series that fulfil all matchers, with their samples `low <= time <= high` (ms).
    #[must_use]
    pub fn select(&self, matchers: &[Matcher], low: i64, high: i64) -> Selection {
        Selection::new(&self.shared, matchers, low, high)
    }

    /// The labels of the matching series that may have samples in the range, sorted. Blocks are not read for it, so the
    /// range is exact only to the block.
    #[must_use]
    pub fn series(&self, matchers: &[Matcher], low: i64, high: i64) -> Vec<Labels> {
        self.select(matchers, low, high)
            .rows
            .into_iter()
            .map(|row| row.labels)
            .collect()
    }

    /// The label names of the matching series (all where there is no matcher), sorted.
    #[must_use]
    pub fn label_names(&self, matchers: &[Matcher], low: i64, high: i64) -> Vec<String> {
        let mut names = BTreeSet::new();
        if matchers.is_empty() {
            let set = self.shared.block_set();
            if high >= set.border {
                names.extend(self.shared.read_slots().postings.names().map(str::to_owned));
            }
            for block in set.blocks.iter().filter(|block| block.overlaps(low, high)) {
                names.extend(block.names().map(str::to_owned));
            }
        } else {
            for labels in self.series(matchers, low, high) {
                names.extend(labels.iter().map(|(name, _)| name.to_owned()));
            }
        }
        names.into_iter().collect()
    }

    /// The values of a label among the matching series (all where there is no matcher), sorted.
    #[must_use]
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        low: i64,
        high: i64,
    ) -> Vec<String> {
        let mut values = BTreeSet::new();
        if matchers.is_empty() {
            let set = self.shared.block_set();
            if high >= set.border {
                values.extend(
                    self.shared
                        .read_slots()
                        .postings
                        .values(name)
                        .map(|(value, _)| value.to_owned()),
                );
            }
            for block in set.blocks.iter().filter(|block| block.overlaps(low, high)) {
                let complete = block.values(name, |value, _| {
                    if !values.contains(value) {
                        values.insert(value.to_owned());
                    }
                });
                if complete.is_none() {
                    report(&self.shared, block, "its index cannot be read");
                }
            }
        } else {
            for labels in self.series(matchers, low, high) {
                values.extend(labels.get(name).map(str::to_owned));
            }
        }
        values.into_iter().collect()
    }

    /// How many series of the head each value of a label has, the largest first; for the status page.
    #[must_use]
    pub fn series_per_value(&self, name: &str) -> Vec<(String, usize)> {
        let slots = self.shared.read_slots();
        let mut all: Vec<_> = slots
            .postings
            .values(name)
            .map(|(value, count)| (value.to_owned(), count))
            .collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all
    }
}
