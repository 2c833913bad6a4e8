//! The newest hours in memory: series by slot, each with its chunks and its late samples.
//!
//! **Invariant:** lock order is `slots` before `log` before one series' `state`; nobody holds two series at once.
//! **Invariant:** a chunk never crosses a window's border, so a window can be dropped chunk by chunk.
//! **Invariant:** whoever adds a sample compares it with `accept_from` while it holds the series' lock. The compaction
//! raises `accept_from` before it reads a series, hence it sees every sample that was accepted under the old border.

use super::block::Block;
use super::log::Log;
use super::postings::Postings;
use super::xor::{XorChunk, XorEncoder};
use super::{Damage, Exemplar, Metadata, Options, SeriesRef};
use crate::labels::Labels;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// Samples in one chunk at most: a reader of the last minutes does not have to decode two hours of a fast series.
const CHUNK_SAMPLES: u32 = 512;
/// Exemplars kept in all; the oldest go first.
const MAX_EXEMPLARS: usize = 10_000;
/// Metrics whose metadata is kept.
const MAX_METADATA: usize = 50_000;

/// A lock whose holder panicked still guards consistent data here: every critical section leaves its data valid at
/// each step, so poisoning is not passed on.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that the handles of one store share.
pub(super) struct Shared {
    pub(super) folder: Option<PathBuf>,
    pub(super) options: Options,
    /// Length of a window, ms.
    pub(super) window: i64,
    /// Length of the out-of-order window, ms.
    pub(super) late: i64,
    pub(super) slots: RwLock<Slots>,
    /// The newest sample's time, or `i64::MIN`.
    pub(super) max_time: AtomicI64,
    /// Samples before this are refused: their window is, or is about to be, a block.
    pub(super) accept_from: AtomicI64,
    pub(super) log: Mutex<Option<Log>>,
    pub(super) blocks: RwLock<Arc<BlockSet>>,
    pub(super) readers: Readers,
    /// Held by whoever writes or deletes blocks or deletes log segments.
    pub(super) compaction: Mutex<()>,
    /// Held while the log is synced; never taken by an append that does not wait for the disk.
    pub(super) syncing: Mutex<()>,
    /// The oldest window cannot be due before the newest sample has this time.
    pub(super) next_due: AtomicI64,
    pub(super) damages: Mutex<Vec<Damage>>,
    pub(super) metadata: Mutex<BTreeMap<String, Metadata>>,
    pub(super) metadata_changed: AtomicBool,
    pub(super) exemplars: Mutex<VecDeque<(Labels, Exemplar)>>,
    pub(super) stored: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Counts the sweeps of idle series; a series touched since the last one is not swept.
    pub(super) round: AtomicU32,
    pub(super) stopping: AtomicBool,
    /// Keeps the folder ours; the lock goes with the file.
    pub(super) _lock: Option<File>,
}

/// The blocks of one moment and the border between them and the head.
#[derive(Default)]
pub(super) struct BlockSet {
    /// In order of time, never overlapping.
    pub(super) blocks: Vec<Arc<Block>>,
    /// Samples before this are in blocks, if anywhere; `i64::MIN` before the first block.
    pub(super) border: i64,
}

/// One series in memory.
pub(super) struct MemSeries {
    pub(super) labels: Labels,
    /// The newest time, or `i64::MIN`; written under the state's lock, read without.
    pub(super) newest: AtomicI64,
    /// The round of its last use, see [`Shared::round`].
    pub(super) touched: AtomicU32,
    pub(super) state: Mutex<SeriesState>,
}

#[derive(Default)]
pub(super) struct SeriesState {
    sealed: Vec<XorChunk>,
    open: XorEncoder,
    /// Late samples in order of time; their times are not in the chunks.
    late: Vec<(i64, f64)>,
    /// The bits of the newest value ever stored, for telling a repeated sample from a conflicting one.
    newest_bits: u64,
    /// The log segment that knows this series, and the last value written to it.
    pub(super) log_segment: u64,
    pub(super) log_series: u32,
    pub(super) log_bits: u64,
}

/// What became of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    InOrder,
    Late,
    Repeated,
    Duplicate,
    OutOfOrder,
    TooOld,
}

impl MemSeries {
    pub(super) fn new(labels: Labels, round: u32) -> Self {
        Self {
            labels,
            newest: AtomicI64::new(i64::MIN),
            touched: AtomicU32::new(round),
            state: Mutex::default(),
        }
    }

    /// Stores a sample, or says why not. The caller holds this series' `state`.
    pub(super) fn push(
        &self,
        state: &mut SeriesState,
        border: &Border,
        time: i64,
        value: f64,
    ) -> Pushed {
        let verdict = self.check(state, border, time, value);
        match verdict {
            Pushed::InOrder => {
                let open = &state.open;
                if open.count() > 0
                    && (open.count() >= CHUNK_SAMPLES
                        || open.last_time().div_euclid(border.window)
                            != time.div_euclid(border.window))
                {
                    let chunk = state.open.seal();
                    state.sealed.push(chunk);
                }
                state.open.push(time, value);
                state.newest_bits = value.to_bits();
                self.newest.store(time, Ordering::Release);
            }
            Pushed::Late => {
                let at = state.late.partition_point(|sample| sample.0 < time);
                state.late.insert(at, (time, value));
            }
            _ => {}
        }
        verdict
    }

    /// What [`push`](Self::push) would say.
    pub(super) fn check(
        &self,
        state: &SeriesState,
        border: &Border,
        time: i64,
        value: f64,
    ) -> Pushed {
        let newest = self.newest.load(Ordering::Relaxed);
        if time < border.accept_from {
            return Pushed::TooOld;
        }
        if time > newest {
            return Pushed::InOrder;
        }
        if time == newest {
            return if state.newest_bits == value.to_bits() {
                Pushed::Repeated
            } else {
                Pushed::Duplicate
            };
        }
        if border.late == 0 {
            return Pushed::OutOfOrder;
        }
        if time < border.newest.saturating_sub(border.late) {
            return Pushed::TooOld;
        }
        let (mut times, mut values) = (Vec::new(), Vec::new());
        state.read(time, time, &mut times, &mut values);
        match values.first() {
            None => Pushed::Late,
            Some(stored) if stored.to_bits() == value.to_bits() => Pushed::Repeated,
            Some(_) => Pushed::Duplicate,
        }
    }
}

/// The limits that a sample's time is compared with.
pub(super) struct Border {
    pub(super) accept_from: i64,
    pub(super) newest: i64,
    pub(super) late: i64,
    pub(super) window: i64,
}

impl SeriesState {
    /// Adds the samples with `low <= time <= high`, in order of time.
    fn read(&self, low: i64, high: i64, times: &mut Vec<i64>, values: &mut Vec<f64>) {
        let mut excerpt = Excerpt::default();
        self.excerpt(low, high, &mut excerpt);
        excerpt.read(low, high, times, values);
    }

    /// Takes what [`Excerpt::read`] needs, so that decoding happens without the series' lock: an append then waits for
    /// a copy of some hundred bytes at most, even where the reader has a low priority.
    pub(super) fn excerpt(&self, low: i64, high: i64, excerpt: &mut Excerpt) {
        let overlaps = |chunk: &&XorChunk| chunk.last_time >= low && chunk.first_time <= high;
        excerpt.chunks.clear();
        excerpt
            .chunks
            .extend(self.sealed.iter().filter(overlaps).cloned());
        let open = &self.open;
        if open.count() > 0 && open.last_time() >= low && open.first_time() <= high {
            excerpt.chunks.push(open.snapshot());
        }
        let first = self.late.partition_point(|sample| sample.0 < low);
        let last = self.late.partition_point(|sample| sample.0 <= high);
        excerpt.late.clear();
        excerpt
            .late
            .extend_from_slice(&self.late[first..last.max(first)]);
    }

    /// Forgets every sample before `border`. Returns whether nothing is left.
    pub(super) fn drop_before(&mut self, border: i64) -> bool {
        self.sealed.retain(|chunk| chunk.last_time >= border);
        self.sealed.shrink_to_fit();
        if self.open.count() > 0 && self.open.last_time() < border {
            self.open = XorEncoder::default();
        }
        self.late.retain(|sample| sample.0 >= border);
        self.late.shrink_to_fit();
        self.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.open.count() == 0 && self.late.is_empty()
    }

    /// Chunks, their bytes and the oldest time.
    pub(super) fn size(&self) -> (usize, usize, Option<i64>) {
        let open = usize::from(self.open.count() > 0);
        let bytes = self.sealed.iter().map(XorChunk::allocated).sum::<usize>()
            + self.open.allocated()
            + self.late.capacity() * size_of::<(i64, f64)>();
        let oldest = [
            self.sealed.first().map(|chunk| chunk.first_time),
            (open > 0).then(|| self.open.first_time()),
            self.late.first().map(|sample| sample.0),
        ];
        (
            self.sealed.len() + open,
            bytes,
            oldest.into_iter().flatten().min(),
        )
    }
}

/// The chunks and late samples of a stretch of time, taken from a series.
#[derive(Default)]
pub(super) struct Excerpt {
    chunks: Vec<XorChunk>,
    late: Vec<(i64, f64)>,
}

impl Excerpt {
    /// Adds the samples with `low <= time <= high`, in order of time.
    pub(super) fn read(&self, low: i64, high: i64, times: &mut Vec<i64>, values: &mut Vec<f64>) {
        let from = times.len();
        for chunk in &self.chunks {
            chunk.read(low, high, times, values);
        }
        if !self.late.is_empty() {
            merge_late(&self.late, from, times, values);
        }
    }
}

/// Merges late samples into what was read of the chunks since `from`; none of their times is there already.
fn merge_late(late: &[(i64, f64)], from: usize, times: &mut Vec<i64>, values: &mut Vec<f64>) {
    let (old_times, old_values) = (times.split_off(from), values.split_off(from));
    let mut rest = late.iter().peekable();
    for (time, value) in old_times.into_iter().zip(old_values) {
        while let Some(sample) = rest.next_if(|sample| sample.0 < time) {
            times.push(sample.0);
            values.push(sample.1);
        }
        times.push(time);
        values.push(value);
    }
    for sample in rest {
        times.push(sample.0);
        values.push(sample.1);
    }
}

/// The series by slot, by labels and by label pair.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) entries: Vec<Slot>,
    free: Vec<u32>,
    by_labels: HashMap<Labels, u32>,
    pub(super) postings: Postings,
}

/// A place for a series. Its generation grows with each reuse, so that an old reference is known as old.
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) series: Option<Arc<MemSeries>>,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.by_labels.len()
    }

    pub(super) fn find(&self, labels: &Labels) -> Option<(SeriesRef, &Arc<MemSeries>)> {
        let slot = *self.by_labels.get(labels)?;
        let entry = &self.entries[slot as usize];
        Some((
            SeriesRef::new(slot, entry.generation),
            entry.series.as_ref()?,
        ))
    }

    pub(super) fn get(&self, series: SeriesRef) -> Option<&Arc<MemSeries>> {
        let slot = self.entries.get(series.slot())?;
        if slot.generation == series.generation() {
            slot.series.as_ref()
        } else {
            None
        }
    }

    pub(super) fn insert(&mut self, labels: &Labels, round: u32) -> SeriesRef {
        if let Some((found, _)) = self.find(labels) {
            return found;
        }
        let series = Some(Arc::new(MemSeries::new(labels.clone(), round)));
        let slot = match self.free.pop() {
            Some(slot) => {
                let entry = &mut self.entries[slot as usize];
                entry.generation = entry.generation.wrapping_add(1);
                entry.series = series;
                slot
            }
            None => {
                self.entries.push(Slot {
                    generation: 0,
                    series,
                });
                u32::try_from(self.entries.len() - 1)
                    .expect("the limit of series is far below u32::MAX")
            }
        };
        self.by_labels.insert(labels.clone(), slot);
        self.postings.insert(slot, labels);
        SeriesRef::new(slot, self.entries[slot as usize].generation)
    }

    /// Removes series that are empty and unused since `before`.
    fn remove(&mut self, slots: &[u32], before: u32) -> usize {
        let mut gone = Vec::new();
        for &slot in slots {
            let Some(series) = &self.entries[slot as usize].series else {
                continue;
            };
            if series.touched.load(Ordering::Relaxed) >= before || !lock(&series.state).is_empty() {
                continue;
            }
            let labels = series.labels.clone();
            self.by_labels.remove(&labels);
            self.entries[slot as usize].series = None;
            self.free.push(slot);
            gone.push((slot, labels));
        }
        self.postings.remove(&gone);
        gone.len()
    }
}

impl Shared {
    pub(super) fn border(&self) -> Border {
        Border {
            accept_from: self.accept_from.load(Ordering::Acquire),
            newest: self.max_time.load(Ordering::Acquire),
            late: self.late,
            window: self.window,
        }
    }

    pub(super) fn read_slots(&self) -> std::sync::RwLockReadGuard<'_, Slots> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_slots(&self) -> std::sync::RwLockWriteGuard<'_, Slots> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn block_set(&self) -> Arc<BlockSet> {
        self.blocks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_blocks(&self, set: BlockSet) {
        *self.blocks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    pub(super) fn report(&self, damage: Damage) {
        let mut damages = lock(&self.damages);
        // A block that is asked for again and again must not fill the memory with its complaint.
        if damages.len() < 1000 && !damages.contains(&damage) {
            damages.push(damage);
        }
    }

    /// The slots in use, for walking over all series without holding the lock for long.
    pub(super) fn used_slots(&self) -> Vec<u32> {
        let slots = self.read_slots();
        let used = slots
            .entries
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.series.is_some());
        used.map(|(at, _)| at as u32).collect()
    }

    /// Drops all samples before the border, then the series that are empty and were not used for two rounds.
    pub(super) fn drop_before(&self, border: i64) {
        let round = self.round.fetch_add(1, Ordering::AcqRel) + 1;
        let mut empty = Vec::new();
        for slots in self.used_slots().chunks(256) {
            let series: Vec<_> = {
                let guard = self.read_slots();
                slots
                    .iter()
                    .map(|slot| guard.entries[*slot as usize].series.clone())
                    .collect()
            };
            for (slot, series) in slots.iter().zip(series) {
                if series.is_some_and(|series| lock(&series.state).drop_before(border)) {
                    empty.push(*slot);
                }
            }
        }
        for slots in empty.chunks(512) {
            self.write_slots().remove(slots, round.saturating_sub(1));
        }
    }

    pub(super) fn add_exemplar(&self, series: Labels, exemplar: Exemplar) {
        let mut exemplars = lock(&self.exemplars);
        if exemplars.len() == MAX_EXEMPLARS {
            exemplars.pop_front();
        }
        exemplars.push_back((series, exemplar));
    }

    pub(super) fn set_metadata(&self, metric: &str, metadata: Metadata) {
        let mut all = lock(&self.metadata);
        if all.get(metric) == Some(&metadata)
            || (all.len() >= MAX_METADATA && !all.contains_key(metric))
        {
            return;
        }
        all.insert(metric.to_owned(), metadata);
        self.metadata_changed.store(true, Ordering::Release);
    }
}

/// Knows which readers may still look at samples that a compaction wants to drop.
///
/// A reader enters before it takes the block set. A compaction publishes the new set, starts a new epoch and waits for
/// the readers of earlier ones; later readers know the new set and do not look at the dropped windows.
#[derive(Default)]
pub(super) struct Readers {
    state: Mutex<ReadersState>,
    left: Condvar,
}

#[derive(Default)]
struct ReadersState {
    epoch: u64,
    active: BTreeMap<u64, usize>,
}

impl Readers {
    pub(super) fn enter(shared: &Arc<Shared>) -> ReaderGuard {
        let mut state = lock(&shared.readers.state);
        let epoch = state.epoch;
        *state.active.entry(epoch).or_default() += 1;
        ReaderGuard {
            shared: shared.clone(),
            epoch,
        }
    }

    /// Waits until all readers that entered before this call have left, or `stop` is set (then it says `false`).
    pub(super) fn wait_for_earlier(&self, stop: &AtomicBool) -> bool {
        let mut state = lock(&self.state);
        state.epoch += 1;
        let epoch = state.epoch;
        while state.active.range(..epoch).next().is_some() {
            if stop.load(Ordering::Acquire) {
                return false;
            }
            state = self
                .left
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

/// A reader that has entered; it leaves when dropped.
pub(super) struct ReaderGuard {
    shared: Arc<Shared>,
    epoch: u64,
}

impl ReaderGuard {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.readers.state);
        if let Some(count) = state.active.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                state.active.remove(&self.epoch);
                self.shared.readers.left.notify_all();
            }
        }
    }
}
