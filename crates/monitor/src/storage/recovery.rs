//! Opening a store: blocks are checked, the log is read back, damage is cut off, set aside and reported.

use super::block::{Block, OpenError};
use super::compact::Background;
use super::head::{BlockSet, Border, MemSeries, Readers, Shared, Slots, lock};
use super::log::{self, ClosedSegment, Log};
use super::{Appender, Damage, Exemplar, Metadata, Options, Stats, Store, StoreError};
use crate::labels::Labels;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

impl Store {
    /// Opens the store in a folder, which is made if it is missing. What a killed process left torn is cut and reported
    /// by [`damages`](Self::damages); a damaged block is renamed to `*.damaged` and the rest serves.
    ///
    /// # Errors
    /// The folder cannot be read or written, is in use, or was written by a later version.
    pub fn open(folder: &Path, options: Options) -> Result<Self, StoreError> {
        let (blocks_folder, log_folder) = (folder.join("blocks"), folder.join("log"));
        for path in [&blocks_folder, &log_folder] {
            std::fs::create_dir_all(path).map_err(StoreError::io("create", path))?;
        }
        let lock_file = take_lock(folder)?;
        let mut damages = Vec::new();
        let set = open_blocks(&blocks_folder, &mut damages)?;
        let window = options.window.as_millis().max(1) as i64;
        let mut slots = Slots::default();
        let (closed, last, newest) =
            read_log(&log_folder, &mut slots, set.border, window, &mut damages)?;
        let newest = newest.max(
            set.blocks
                .last()
                .map_or(i64::MIN, |block| block.footer.newest),
        );
        let log = Log::create(log_folder, last, window, closed)?;
        let metadata = read_metadata(&folder.join("metadata.json"), &mut damages);
        let shared = Arc::new(Shared {
            folder: Some(folder.to_owned()),
            accept_from: AtomicI64::new(set.border),
            max_time: AtomicI64::new(newest),
            slots: RwLock::new(slots),
            log: Mutex::new(Some(log)),
            blocks: RwLock::new(Arc::new(set)),
            damages: Mutex::new(damages),
            metadata: Mutex::new(metadata),
            _lock: Some(lock_file),
            ..Shared::empty(options)
        });
        Self::start(shared)
    }

    /// A store without a folder: everything is in memory and gone with it. It has no background thread; what is older
    /// than the retention goes when [`compact`](Self::compact) is called.
    #[must_use]
    pub fn in_memory(options: Options) -> Self {
        let shared = Arc::new(Shared::empty(options));
        Self {
            shared,
            _background: None,
        }
    }

    fn start(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let background = if shared.options.background {
            let path = shared.folder.clone().unwrap_or_default();
            let started = Background::start(shared.clone())
                .map_err(StoreError::io("start the thread of", &path))?;
            Some(Arc::new(started))
        } else {
            None
        };
        Ok(Self {
            shared,
            _background: background,
        })
    }

    /// A new, empty batch.
    #[must_use]
    pub fn appender(&self) -> Appender {
        Appender::new(self.shared.clone())
    }

    /// The damage found since the store was opened.
    #[must_use]
    pub fn damages(&self) -> Vec<Damage> {
        lock(&self.shared.damages).clone()
    }

    /// Remembers type, unit and help of a metric.
    pub fn set_metadata(&self, metric: &str, metadata: Metadata) {
        self.shared.set_metadata(metric, metadata);
    }

    /// What is known of the metrics, by name.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, Metadata> {
        lock(&self.shared.metadata).clone()
    }

    /// The exemplars in memory with their series, oldest first.
    #[must_use]
    pub fn exemplars(&self) -> Vec<(Labels, Exemplar)> {
        lock(&self.shared.exemplars).iter().cloned().collect()
    }

    /// Counts of this moment. It looks at every series in memory, so it is for status pages.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let set = shared.block_set();
        let mut stats = Stats {
            blocks: set.blocks.len(),
            block_bytes: set.blocks.iter().map(|block| block.bytes).sum(),
            log_bytes: lock(&shared.log).as_ref().map_or(0, Log::bytes),
            stored: shared.stored.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            ..Stats::default()
        };
        for slots in shared.used_slots().chunks(256) {
            let guard = shared.read_slots();
            for series in slots
                .iter()
                .filter_map(|slot| guard.entries[*slot as usize].series.as_ref())
            {
                let (chunks, bytes, oldest) = lock(&series.state).size();
                stats.series += usize::from(chunks > 0);
                stats.chunks += chunks;
                stats.chunk_bytes += bytes;
                stats.min_time = [stats.min_time, oldest].into_iter().flatten().min();
            }
        }
        stats.label_pairs = shared.read_slots().postings.pairs();
        let newest = shared.max_time.load(Ordering::Acquire);
        stats.max_time = (newest != i64::MIN).then_some(newest);
        stats
    }

    /// The oldest and newest times stored, if there is any sample.
    #[must_use]
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let stats = self.stats();
        let oldest = self
            .shared
            .block_set()
            .blocks
            .first()
            .map(|block| block.footer.oldest);
        Some((
            [stats.min_time, oldest].into_iter().flatten().min()?,
            stats.max_time?,
        ))
    }

    /// The blocks on disk, oldest first: start and end of their stretch of time (ms), series, samples, bytes.
    #[must_use]
    pub fn block_list(&self) -> Vec<(i64, i64, u64, u64, u64)> {
        let set = self.shared.block_set();
        set.blocks
            .iter()
            .map(|b| {
                (
                    b.footer.start,
                    b.footer.end,
                    b.footer.series,
                    b.footer.samples,
                    b.bytes,
                )
            })
            .collect()
    }

    /// Distinct label pairs of all blocks together, counted once per block.
    #[must_use]
    pub fn block_pairs(&self) -> usize {
        self.shared
            .block_set()
            .blocks
            .iter()
            .map(|block| block.pair_count())
            .sum()
    }
}

impl Shared {
    fn empty(options: Options) -> Self {
        Self {
            folder: None,
            window: options.window.as_millis().max(1) as i64,
            late: options.out_of_order.as_millis() as i64,
            options,
            slots: RwLock::default(),
            max_time: AtomicI64::new(i64::MIN),
            accept_from: AtomicI64::new(i64::MIN),
            log: Mutex::new(None),
            blocks: RwLock::new(Arc::new(BlockSet {
                blocks: Vec::new(),
                border: i64::MIN,
            })),
            readers: Readers::default(),
            compaction: Mutex::default(),
            syncing: Mutex::default(),
            next_due: AtomicI64::new(i64::MIN),
            damages: Mutex::default(),
            metadata: Mutex::default(),
            metadata_changed: AtomicBool::new(false),
            exemplars: Mutex::new(VecDeque::new()),
            stored: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            round: AtomicU32::new(2),
            stopping: AtomicBool::new(false),
            _lock: None,
        }
    }
}

fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreError::io("open the lock", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
    }
}

fn open_blocks(folder: &Path, damages: &mut Vec<Damage>) -> Result<BlockSet, StoreError> {
    let mut blocks = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let path = entry.map_err(StoreError::io("list", folder))?.path();
        match path.extension().and_then(|e| e.to_str()) {
            // A temporary file is a block whose writing did not end; its samples are still in the log.
            Some("tmp") => std::fs::remove_file(&path).map_err(StoreError::io("delete", &path))?,
            Some("block") => match Block::open(&path) {
                Ok(block) => blocks.push(Arc::new(block)),
                Err(OpenError::Store(error)) => return Err(error),
                Err(OpenError::Damaged(what)) => set_aside(&path, &what, damages)?,
            },
            _ => {}
        }
    }
    // The longer of two with one beginning comes first: it is the merged one.
    blocks.sort_by_key(|block| (block.footer.start, std::cmp::Reverse(block.footer.end)));
    let mut kept: Vec<Arc<Block>> = Vec::new();
    for block in blocks {
        match kept.last() {
            Some(last) if block.footer.end <= last.footer.end => {
                // A merge was interrupted before it deleted its sources.
                std::fs::remove_file(&block.path).map_err(StoreError::io("delete", &block.path))?;
            }
            Some(last) if block.footer.start < last.footer.end => {
                set_aside(&block.path, "it overlaps another block", damages)?;
            }
            _ => kept.push(block),
        }
    }
    let border = kept.last().map_or(i64::MIN, |block| block.footer.end);
    Ok(BlockSet {
        blocks: kept,
        border,
    })
}

fn set_aside(path: &Path, what: &str, damages: &mut Vec<Damage>) -> Result<(), StoreError> {
    let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
    let aside = path.with_extension("damaged");
    std::fs::rename(path, &aside).map_err(StoreError::io("set aside", path))?;
    damages.push(Damage {
        path: aside,
        what: format!("a block was set aside: {what}"),
        bytes,
    });
    Ok(())
}

type LogRead = (Vec<ClosedSegment>, u64, i64);

fn read_log(
    folder: &Path,
    slots: &mut Slots,
    border: i64,
    window: i64,
    damages: &mut Vec<Damage>,
) -> Result<LogRead, StoreError> {
    // What is in the log was accepted once, so lateness is not judged again.
    let limits = Border {
        accept_from: border,
        newest: 0,
        late: i64::MAX,
        window,
    };
    let (mut closed, mut last, mut newest) = (Vec::new(), 0, i64::MIN);
    for (number, path) in log::segments(folder)? {
        last = number;
        let define = |labels: Labels| -> Arc<MemSeries> {
            let series = slots.insert(&labels, 1);
            slots.get(series).expect("it was inserted just now").clone()
        };
        let replayed = log::replay(&path, define, |series, time, value| {
            series.push(&mut lock(&series.state), &limits, time, value);
        })?;
        if replayed.torn > 0 {
            damages.push(Damage {
                path: path.clone(),
                what: format!("the log was cut after {} whole bytes", replayed.whole),
                bytes: replayed.torn,
            });
            OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_len(replayed.whole))
                .map_err(StoreError::io("cut the log", &path))?;
        }
        newest = newest.max(replayed.newest);
        if replayed.newest < border || replayed.newest == i64::MIN {
            std::fs::remove_file(&path).map_err(StoreError::io("delete the log segment", &path))?;
        } else {
            closed.push(ClosedSegment {
                path,
                bytes: replayed.whole,
                newest: replayed.newest,
            });
        }
    }
    Ok((closed, last, newest))
}

fn read_metadata(path: &Path, damages: &mut Vec<Damage>) -> BTreeMap<String, Metadata> {
    let Ok(text) = std::fs::read(path) else {
        return BTreeMap::new();
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        let what = format!("the metrics' types and help texts were forgotten: {error}");
        damages.push(Damage {
            path: path.to_owned(),
            what,
            bytes: text.len() as u64,
        });
        BTreeMap::new()
    })
}
