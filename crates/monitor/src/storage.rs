//! The time-series store: an in-memory head with a write-ahead log, and immutable compressed blocks on disk.
//!
//! ```no_run
//! use launchway_monitor::{labels::Labels, storage::{Options, Store}};
//! let store = Store::open("metrics".as_ref(), Options::default())?;
//! let mut appender = store.appender();
//! let series = appender.append(&Labels::from_pairs([("__name__", "up")]), 1_700_000_000_000, 1.0)?;
//! appender.append_ref(series, 1_700_000_015_000, 1.0)?;
//! appender.commit()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Invariant:** a commit that returned without an error is in the log (a killed process loses nothing of it; what a
//! power cut may lose is set by [`SyncPolicy`]).
//! **Invariant:** blocks never overlap in time. A window of the head becomes a block only when the out-of-order window
//! has passed over it, so no accepted sample is ever older than the newest block.
//! **Invariant:** no lock that an appender needs is held while a file is written or synced, but for the log's own write.
//! The store deliberately has no query language, no async code and no network; native histograms are not stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod appender;
mod block;
mod block_build;
mod compact;
mod head;
mod index;
mod log;
mod matcher;
mod pack;
mod postings;
mod recovery;
mod select;
mod snapshot;
mod xor;

#[cfg(test)]
mod tests;

pub use appender::Appender;
pub(crate) use compact::write_atomically;
pub(crate) use matcher::anchored;
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use select::{Selection, SeriesSamples};

/// Identifies a series of one open store: cheaper than its labels. It stays valid while the series gets samples; after
/// two hours or more without any, [`AppendError::UnknownSeries`] says that the labels have to be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(u64);

impl SeriesRef {
    fn new(slot: u32, generation: u32) -> Self {
        Self((u64::from(generation) << 32) | u64::from(slot))
    }

    fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Why a sample was refused. The other samples of the batch are not touched by it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// The reference names no series of this store (any more); append with labels.
    #[error("unknown series reference")]
    UnknownSeries,
    /// A sample without any label.
    #[error("a series needs at least one label")]
    EmptyLabels,
    /// There is another value at this very time.
    #[error("duplicate sample for timestamp {time} with another value")]
    DuplicateTimestamp {
        /// The time of both samples, ms.
        time: i64,
    },
    /// The sample is older than the series' newest, and late samples are not accepted.
    #[error("out of order sample: {time} is before {newest}")]
    OutOfOrder {
        /// The sample's time, ms.
        time: i64,
        /// The newest time of its series, ms.
        newest: i64,
    },
    /// The sample is older than the out-of-order window.
    #[error("sample too old: {time} is before {oldest}")]
    TooOld {
        /// The sample's time, ms.
        time: i64,
        /// The oldest time that is accepted now, ms.
        oldest: i64,
    },
    /// The sample is further in the future than a clock can be wrong.
    #[error("sample too far in the future: {time} is after {latest}")]
    TooFarInFuture {
        /// The sample's time, ms.
        time: i64,
        /// The latest time that is accepted now, ms.
        latest: i64,
    },
    /// The store has as many series in memory as it may.
    #[error("limit of {limit} series reached")]
    TooManySeries {
        /// [`Options::max_series`].
        limit: usize,
    },
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitReport {
    /// Samples stored, late ones included.
    pub stored: usize,
    /// Samples stored that were older than their series' newest.
    pub late: usize,
    /// Samples that were there already with the same value; not counted as stored.
    pub repeated: usize,
    /// Samples that another commit overtook between append and commit: out of order or duplicate by now.
    pub refused: usize,
}

/// What can go wrong with a store as a whole.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried, such as "write the log".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Another process, or another store of this process, has the folder open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// The folder was written by a later version.
    #[error("{path} has format {found}, this version reads up to {known}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
}

impl StoreError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// When the log is forced to the disk. A killed process never loses what a commit acknowledged; this is about power cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Every commit waits for the disk.
    EveryCommit,
    /// A background thread syncs this often.
    Interval(Duration),
    /// Left to the operating system.
    Never,
}

/// How a store behaves. The default suits one host: 15 days, two-hour windows, samples up to ten minutes late.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of a head window and of a fresh block.
    pub window: Duration,
    /// Samples that are late by up to this much are accepted in any order. Zero refuses every late sample.
    pub out_of_order: Duration,
    /// Blocks whose newest sample is older than this, counted from the newest sample, are deleted. `None` keeps all.
    pub retention: Option<Duration>,
    /// The oldest blocks are deleted while blocks and log together take more bytes than this. `None` has no limit.
    pub max_bytes: Option<u64>,
    /// Most series that the head may hold.
    pub max_series: usize,
    /// Samples later than the clock by more than this are refused, so that one wrong clock cannot age everything else
    /// out. `None` accepts any time (for imports and tests).
    pub future_limit: Option<Duration>,
    /// When the log is forced to the disk.
    pub sync: SyncPolicy,
    /// Whether a background thread writes blocks and applies retention. Without it [`Store::compact`] does when called.
    pub background: bool,
    /// Small blocks are merged into blocks of this length once a whole aligned range of it has passed. Zero: never.
    pub merged_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(2 * 3600),
            out_of_order: Duration::from_secs(600),
            retention: Some(Duration::from_secs(15 * 86_400)),
            max_bytes: None,
            max_series: 5_000_000,
            future_limit: Some(Duration::from_secs(600)),
            sync: SyncPolicy::Interval(Duration::from_secs(1)),
            background: true,
            merged_window: Duration::from_secs(24 * 3600),
        }
    }
}

/// A metric's type, as exposition formats name it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
    /// Buckets that also go down.
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// A constant whose labels are the information.
    Info,
    /// One of several states.
    StateSet,
    /// Not said.
    #[default]
    Unknown,
}

/// What is known of a metric besides its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Metadata {
    /// The metric's type.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// The unit, such as `seconds`, or empty.
    pub unit: String,
    /// The help text, or empty.
    pub help: String,
}

/// A sample that points at the event behind it, usually a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The exemplar's own labels, such as `trace_id`.
    pub labels: crate::labels::Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed, ms since 1970.
    pub timestamp_ms: i64,
}

/// Damage found and dealt with: what was cut, so that a person can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What was wrong and what was done.
    pub what: String,
    /// Bytes that could not be used.
    pub bytes: u64,
}

/// Counts of a store at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series with samples in memory.
    pub series: usize,
    /// Distinct label pairs in memory.
    pub label_pairs: usize,
    /// Chunks in memory.
    pub chunks: usize,
    /// Bytes of the chunks in memory.
    pub chunk_bytes: usize,
    /// Oldest time in memory, ms, if any.
    pub min_time: Option<i64>,
    /// Newest time in memory, ms, if any.
    pub max_time: Option<i64>,
    /// Blocks on disk.
    pub blocks: usize,
    /// Bytes of the blocks on disk.
    pub block_bytes: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Samples stored since the store was opened.
    pub stored: u64,
    /// Samples refused since the store was opened.
    pub refused: u64,
}

/// An open store. Clones are handles of the same store; the last one to go stops the background thread and closes it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<head::Shared>,
    // Dropped with the last handle; the background thread itself holds no handle but a weak one.
    _background: Option<Arc<compact::Background>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("folder", &self.shared.folder)
            .finish_non_exhaustive()
    }
}
