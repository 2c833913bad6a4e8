//! Adding samples: a batch is collected without any lock held, then committed to the log and the head.

use super::head::{MemSeries, Pushed, Shared, lock};
use super::{AppendError, CommitReport, Exemplar, SeriesRef, StoreError, SyncPolicy};
use crate::labels::Labels;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Samples of a batch that are committed under one hold of the log's lock: others wait about a tenth of a millisecond.
const SLICE: usize = 2048;

/// Collects samples for one commit. Dropping it without [`commit`](Self::commit) forgets them.
///
/// An appender is meant for one thread; any number of them may work at once.
pub struct Appender {
    shared: Arc<Shared>,
    pending: Vec<(SeriesRef, i64, f64)>,
    latest: Option<i64>,
}

impl Appender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let latest = shared.options.future_limit.map(|limit| {
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |d| d.as_millis() as i64);
            now.saturating_add(limit.as_millis() as i64)
        });
        Self {
            shared,
            pending: Vec::new(),
            latest,
        }
    }

    /// Adds a sample of the series with these labels, which is made if it is new. Times are milliseconds since 1970.
    /// The reference is for [`append_ref`](Self::append_ref), which is several times faster.
    ///
    /// # Errors
    /// The sample cannot be stored; see [`AppendError`]. Others of the batch are not touched by it.
    pub fn append(
        &mut self,
        labels: &Labels,
        timestamp_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        let known = {
            let slots = self.shared.read_slots();
            slots
                .find(labels)
                .map(|(series, entry)| self.check(entry, timestamp_ms, value).map(|()| series))
        };
        let series = match known {
            Some(checked) => checked?,
            None => {
                if labels.is_empty() {
                    return Err(AppendError::EmptyLabels);
                }
                self.check_time(timestamp_ms)?;
                let mut slots = self.shared.write_slots();
                let limit = self.shared.options.max_series;
                if slots.len() >= limit && slots.find(labels).is_none() {
                    return Err(AppendError::TooManySeries { limit });
                }
                slots.insert(labels, self.shared.round.load(Ordering::Relaxed))
            }
        };
        self.pending.push((series, timestamp_ms, value));
        Ok(series)
    }

    /// Adds a sample of a series that is known already.
    ///
    /// # Errors
    /// The sample cannot be stored; see [`AppendError`]. After [`AppendError::UnknownSeries`], append with labels.
    pub fn append_ref(
        &mut self,
        series: SeriesRef,
        timestamp_ms: i64,
        value: f64,
    ) -> Result<(), AppendError> {
        {
            let slots = self.shared.read_slots();
            let entry = slots.get(series).ok_or(AppendError::UnknownSeries)?;
            self.check(entry, timestamp_ms, value)?;
        }
        self.pending.push((series, timestamp_ms, value));
        Ok(())
    }

    /// Keeps an exemplar of a series. Exemplars are held in memory only, the newest ten thousand.
    ///
    /// # Errors
    /// [`AppendError::UnknownSeries`] where the reference names no series.
    pub fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: Exemplar,
    ) -> Result<(), AppendError> {
        let labels = self
            .shared
            .read_slots()
            .get(series)
            .ok_or(AppendError::UnknownSeries)?
            .labels
            .clone();
        self.shared.add_exemplar(labels, exemplar);
        Ok(())
    }

    /// The samples collected and not yet committed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Forgets the samples collected so far.
    pub fn rollback(&mut self) {
        self.pending.clear();
    }

    fn check_time(&self, time: i64) -> Result<(), AppendError> {
        if let Some(latest) = self.latest
            && time > latest
        {
            return Err(AppendError::TooFarInFuture { time, latest });
        }
        let oldest = self.shared.accept_from.load(Ordering::Acquire);
        if time < oldest {
            return Err(AppendError::TooOld { time, oldest });
        }
        Ok(())
    }

    fn check(&self, series: &MemSeries, time: i64, value: f64) -> Result<(), AppendError> {
        self.check_time(time)?;
        let round = self.shared.round.load(Ordering::Relaxed);
        if series.touched.load(Ordering::Relaxed) != round {
            series.touched.store(round, Ordering::Relaxed);
        }
        let newest = series.newest.load(Ordering::Acquire);
        if time > newest {
            return Ok(());
        }
        let border = self.shared.border();
        match series.check(&lock(&series.state), &border, time, value) {
            Pushed::InOrder | Pushed::Late | Pushed::Repeated => Ok(()),
            Pushed::Duplicate => Err(AppendError::DuplicateTimestamp { time }),
            Pushed::OutOfOrder => Err(AppendError::OutOfOrder { time, newest }),
            Pushed::TooOld => {
                let oldest = border
                    .accept_from
                    .max(border.newest.saturating_sub(border.late));
                Err(AppendError::TooOld { time, oldest })
            }
        }
    }

    /// Stores the collected samples: they are visible to queries, and in the log, when this returns. The appender can
    /// be used for the next batch.
    ///
    /// # Errors
    /// The log could not be written (a full disk, say). Samples of the batch that were not reached stay pending, so that
    /// calling again continues; samples of the part that failed are visible but lost if the process ends before their
    /// window becomes a block.
    pub fn commit(&mut self) -> Result<CommitReport, StoreError> {
        let mut report = CommitReport::default();
        let mut done = 0;
        let mut outcome = Ok(());
        while done < self.pending.len() && outcome.is_ok() {
            let end = (done + SLICE).min(self.pending.len());
            outcome = commit_slice(
                &self.shared,
                &self.pending[done..end],
                &mut done,
                &mut report,
            );
        }
        if done == self.pending.len() {
            self.pending.clear()
        } else {
            drop(self.pending.drain(..done))
        }
        self.shared
            .stored
            .fetch_add(report.stored as u64, Ordering::Relaxed);
        self.shared
            .refused
            .fetch_add(report.refused as u64, Ordering::Relaxed);
        outcome?;
        if self.shared.options.sync == SyncPolicy::EveryCommit {
            super::compact::sync_log(&self.shared)?;
        }
        Ok(report)
    }
}

fn commit_slice(
    shared: &Shared,
    slice: &[(SeriesRef, i64, f64)],
    done: &mut usize,
    report: &mut CommitReport,
) -> Result<(), StoreError> {
    let Some(first) = slice.first() else {
        return Ok(());
    };
    let slots = shared.read_slots();
    let mut log = lock(&shared.log);
    if let Some(log) = log.as_mut() {
        log.begin(first.1)?;
    }
    let mut border = shared.border();
    for &(reference, time, value) in slice {
        let Some(series) = slots.get(reference) else {
            report.refused += 1;
            continue;
        };
        let mut state = lock(&series.state);
        // Read again under the series' lock; see the invariant in `head`.
        border.accept_from = shared.accept_from.load(Ordering::Acquire);
        match series.push(&mut state, &border, time, value) {
            Pushed::InOrder => report.stored += 1,
            Pushed::Late => {
                report.stored += 1;
                report.late += 1;
            }
            Pushed::Repeated => {
                report.repeated += 1;
                continue;
            }
            Pushed::Duplicate | Pushed::OutOfOrder | Pushed::TooOld => {
                report.refused += 1;
                continue;
            }
        }
        if let Some(log) = log.as_mut() {
            log.add(series, &mut state, time, value);
        }
        if time > border.newest {
            border.newest = time;
        }
    }
    shared.max_time.fetch_max(border.newest, Ordering::AcqRel);
    *done += slice.len();
    drop(slots);
    match log.as_mut() {
        Some(log) => log.finish(),
        None => Ok(()),
    }
}
