//! What happens behind the appends: windows become blocks, small blocks are merged, old ones deleted, the log synced.
//!
//! Everything here works series by series, so that an append waits for one series' lock at most.

use super::block::{Block, BlockCursor, OpenError};
use super::block_build::BlockBuilder;
use super::head::{BlockSet, Excerpt, MemSeries, Shared, lock};
use super::index::RowPage;
use super::pack::Unzip;
use super::{Damage, Store, StoreError, SyncPolicy, log};
use crate::labels::Labels;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the background thread looks whether there is something to do.
const TICK: Duration = Duration::from_millis(500);
/// After a failure, such as a full disk, the next try waits this long.
const RETRY: Duration = Duration::from_secs(10);

/// Owns the background thread; dropping it ends and joins the thread, and syncs the log.
pub(super) struct Background {
    shared: Arc<Shared>,
    wake: Arc<(Mutex<()>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let wake = Arc::new((Mutex::new(()), Condvar::new()));
        let thread = {
            let (shared, wake) = (shared.clone(), wake.clone());
            std::thread::Builder::new()
                .name("metrics-store".to_owned())
                .spawn(move || run(&shared, &wake))?
        };
        Ok(Self {
            shared,
            wake,
            thread: Some(thread),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        drop(lock(&self.wake.0));
        self.wake.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened; closing goes on without it.
            let _ = thread.join();
        }
        let _ = write_metadata(&self.shared);
        let _ = sync_log(&self.shared);
    }
}

fn run(shared: &Arc<Shared>, wake: &(Mutex<()>, Condvar)) {
    // On Linux a thread has a priority of its own: queries and appends go first.
    let _ = rustix::process::setpriority_process(None, 10);
    let interval = match shared.options.sync {
        SyncPolicy::Interval(interval) => Some(interval),
        SyncPolicy::EveryCommit | SyncPolicy::Never => None,
    };
    let tick = interval
        .map_or(TICK, |interval| interval.min(TICK))
        .max(Duration::from_millis(10));
    let (mut synced, mut not_before) = (Instant::now(), Instant::now());
    loop {
        {
            let guard = lock(&wake.0);
            if shared.stopping.load(Ordering::Acquire) {
                return;
            }
            drop(
                wake.1
                    .wait_timeout(guard, tick)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let mut outcome = Ok(());
        if interval.is_some_and(|interval| synced.elapsed() >= interval) {
            outcome = sync_log(shared);
            synced = Instant::now();
        }
        if Instant::now() >= not_before {
            outcome = outcome
                .and(write_metadata(shared))
                .and_then(|()| maintain(shared));
            if outcome.is_err() {
                not_before = Instant::now() + RETRY;
            }
        }
        if let Err(error) = outcome {
            let path = shared.folder.clone().unwrap_or_default();
            shared.report(Damage {
                path,
                what: format!("background work failed: {error}"),
                bytes: 0,
            });
        }
    }
}

/// Forces the log to the disk, without holding its lock meanwhile.
pub(super) fn sync_log(shared: &Shared) -> Result<(), StoreError> {
    // One at a time: whoever waits here returns only after what it wrote was synced, by itself or by the one before.
    let _one_at_a_time = lock(&shared.syncing);
    let Some(unsynced) = lock(&shared.log).as_mut().map(log::Log::take_unsynced) else {
        return Ok(());
    };
    let synced = unsynced.sync();
    if synced.is_err()
        && let Some(log) = lock(&shared.log).as_mut()
    {
        log.put_back(unsynced);
    }
    synced
}

/// Writes what is known of the metrics, if it changed.
pub(super) fn write_metadata(shared: &Shared) -> Result<(), StoreError> {
    let Some(folder) = &shared.folder else {
        return Ok(());
    };
    if !shared.metadata_changed.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    let text = serde_json::to_vec(&*lock(&shared.metadata)).unwrap_or_default();
    let path = folder.join("metadata.json");
    write_atomically(&path, &text)
}

/// Writes a file so that it is either as before or whole.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_extension("tmp");
    std::fs::File::create(&temporary)
        .and_then(|mut file| {
            std::io::Write::write_all(&mut file, bytes)?;
            file.sync_all()
        })
        .map_err(StoreError::io("write", &temporary))?;
    std::fs::rename(&temporary, path).map_err(StoreError::io("rename to", path))?;
    log::sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Writes every window that is due, merges and deletes blocks.
pub(super) fn maintain(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let Some(folder) = shared.folder.clone() else {
        drop_in_memory(shared);
        return Ok(());
    };
    let _one_at_a_time = lock(&shared.compaction);
    let blocks = folder.join("blocks");
    while let Some((start, end)) = due_window(shared) {
        if shared.stopping.load(Ordering::Acquire) || !flush(shared, &blocks, start, end)? {
            return Ok(());
        }
    }
    merge(shared, &blocks)?;
    apply_retention(shared)
}

/// A store without a folder keeps its samples until retention, or two windows, have passed.
fn drop_in_memory(shared: &Shared) {
    let newest = shared.max_time.load(Ordering::Acquire);
    let keep = shared
        .options
        .retention
        .map_or(i64::MAX, |retention| retention.as_millis() as i64);
    let border = newest.saturating_sub(keep.max(shared.late));
    let aligned = border
        .div_euclid(shared.window)
        .saturating_mul(shared.window);
    if newest != i64::MIN && aligned > shared.accept_from.load(Ordering::Acquire) {
        shared.accept_from.store(aligned, Ordering::Release);
        shared.drop_before(aligned);
    }
}

/// The oldest window with samples, if no sample of it is accepted any more.
fn due_window(shared: &Shared) -> Option<(i64, i64)> {
    let newest = shared.max_time.load(Ordering::Acquire);
    if newest < shared.next_due.load(Ordering::Acquire) {
        return None;
    }
    let passed = newest.checked_sub(shared.late)?;
    let border = shared.block_set().border;
    let window = |time: i64| time.div_euclid(shared.window) * shared.window;
    // The cheap answer first: the window after the newest block has not passed.
    if border != i64::MIN && passed < window(border) + shared.window {
        return None;
    }
    let mut oldest = i64::MAX;
    for slots in shared.used_slots().chunks(256) {
        let guard = shared.read_slots();
        for series in slots
            .iter()
            .filter_map(|slot| guard.entries[*slot as usize].series.as_ref())
        {
            if let Some(time) = lock(&series.state).size().2 {
                oldest = oldest.min(time);
            }
        }
    }
    if oldest == i64::MAX {
        return None;
    }
    let start = window(oldest);
    // Until then nobody has to look at all series again. A window that a late sample opens before it waits so long, too.
    let due = start + shared.window + shared.late;
    shared.next_due.store(due, Ordering::Release);
    (passed >= start + shared.window).then_some((start.max(border), start + shared.window))
}

/// Makes a block of the head's samples before `end`. `false` where the store is being closed meanwhile.
fn flush(shared: &Arc<Shared>, folder: &Path, start: i64, end: i64) -> Result<bool, StoreError> {
    shared.accept_from.fetch_max(end, Ordering::AcqRel);
    let mut series: Vec<Arc<MemSeries>> = Vec::new();
    for slots in shared.used_slots().chunks(1024) {
        let guard = shared.read_slots();
        series.extend(
            slots
                .iter()
                .filter_map(|slot| guard.entries[*slot as usize].series.clone()),
        );
    }
    series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    let temporary = folder.join("new.tmp");
    let mut builder = BlockBuilder::create(&temporary, start, end)?;
    builder.begin_part(start, end)?;
    let (mut times, mut values) = (Vec::new(), Vec::new());
    let mut excerpt = Excerpt::default();
    let mut labels: Vec<Labels> = Vec::new();
    for series in &series {
        times.clear();
        values.clear();
        lock(&series.state).excerpt(i64::MIN, end - 1, &mut excerpt);
        excerpt.read(i64::MIN, end - 1, &mut times, &mut values);
        if !times.is_empty() {
            builder.add_run(labels.len() as u32, &times, &values)?;
            labels.push(series.labels.clone());
        }
        if shared.stopping.load(Ordering::Acquire) {
            return Ok(false);
        }
    }
    drop(series);
    let mut set = BlockSet {
        blocks: shared.block_set().blocks.clone(),
        border: end,
    };
    if builder.samples() > 0 {
        let path = block_path(folder, start, end);
        builder.finish(&labels, &path)?;
        set.blocks.push(Arc::new(reopen(&path)?));
    }
    drop(labels);
    shared.set_blocks(set);
    if !shared.readers.wait_for_earlier(&shared.stopping) {
        return Ok(false);
    }
    shared.drop_before(end);
    let gone = {
        let mut guard = lock(&shared.log);
        match guard.as_mut() {
            Some(log) => {
                log.close_before(end)?;
                log.take_before(end)
            }
            None => Vec::new(),
        }
    };
    for segment in gone {
        std::fs::remove_file(&segment.path)
            .map_err(StoreError::io("delete the log segment", &segment.path))?;
    }
    Ok(true)
}

fn block_path(folder: &Path, start: i64, end: i64) -> PathBuf {
    folder.join(format!("{start}_{end}.block"))
}

/// Opens a block that was just written.
fn reopen(path: &Path) -> Result<Block, StoreError> {
    Block::open(path).map_err(|error| match error {
        OpenError::Store(error) => error,
        OpenError::Damaged(what) => StoreError::Io {
            action: "read back the block",
            path: path.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, what),
        },
    })
}

/// Merges the blocks of each aligned range that lies wholly before the border.
fn merge(shared: &Arc<Shared>, folder: &Path) -> Result<(), StoreError> {
    let length = shared.options.merged_window.as_millis() as i64;
    if length <= shared.window {
        return Ok(());
    }
    loop {
        let set = shared.block_set();
        let range = |block: &Block| block.footer.start.div_euclid(length);
        let whole = |block: &Block| {
            let end = (range(block) + 1).saturating_mul(length);
            block.footer.end <= end && end <= set.border
        };
        let Some(first) = (1..set.blocks.len()).find(|at| {
            let (a, b) = (&set.blocks[at - 1], &set.blocks[*at]);
            whole(a) && whole(b) && range(a) == range(b)
        }) else {
            return Ok(());
        };
        let number = range(&set.blocks[first]);
        let sources: Vec<_> = set
            .blocks
            .iter()
            .filter(|b| range(b) == number && whole(b))
            .cloned()
            .collect();
        let merged = merge_blocks(shared, folder, &sources)?;
        let mut blocks: Vec<_> = set
            .blocks
            .iter()
            .filter(|b| !sources.iter().any(|s| Arc::ptr_eq(s, b)))
            .cloned()
            .collect();
        blocks.extend(merged);
        blocks.sort_by_key(|block| block.footer.start);
        shared.set_blocks(BlockSet {
            blocks,
            border: set.border,
        });
        for block in &sources {
            remove_block(block)?;
        }
        if shared.stopping.load(Ordering::Acquire) {
            return Ok(());
        }
    }
}

fn remove_block(block: &Block) -> Result<(), StoreError> {
    match std::fs::remove_file(&block.path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("delete the block", &block.path)(error))
        }
        _ => Ok(()),
    }
}

fn merge_blocks(
    shared: &Shared,
    folder: &Path,
    sources: &[Arc<Block>],
) -> Result<Option<Arc<Block>>, StoreError> {
    let mut all: Vec<(Labels, usize, u32)> = Vec::new();
    for (number, block) in sources.iter().enumerate() {
        let mut page = RowPage::default();
        for series in 0..block.footer.series as u32 {
            match block.labels(series, &mut page) {
                Some(labels) => all.push((labels, number, series)),
                None => shared.report(Damage {
                    path: block.path.clone(),
                    what: "a series without readable labels was left out of a merge".to_owned(),
                    bytes: 0,
                }),
            }
        }
    }
    all.sort_unstable();
    let mut labels: Vec<Labels> = Vec::new();
    let mut rows: Vec<Vec<(u32, u32)>> = vec![Vec::new(); sources.len()];
    for (label, block, series) in all {
        if labels.last() != Some(&label) {
            labels.push(label);
        }
        rows[block].push((series, labels.len() as u32 - 1));
    }
    let (start, end) = (
        sources[0].footer.start,
        sources[sources.len() - 1].footer.end,
    );
    let mut builder = BlockBuilder::create(&folder.join("merged.tmp"), start, end)?;
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for (block, rows) in sources.iter().zip(&rows) {
        let mut cursor = BlockCursor::new(block.clone(), Unzip::default());
        for part in block.parts() {
            builder.begin_part(part.start, part.end)?;
            for &(series, target) in rows {
                times.clear();
                values.clear();
                if cursor
                    .read(series, part.start, part.end - 1, &mut times, &mut values)
                    .is_err()
                {
                    shared.report(Damage {
                        path: block.path.clone(),
                        what: "a damaged frame was left out of a merge".to_owned(),
                        bytes: 0,
                    });
                }
                builder.add_run(target, &times, &values)?;
            }
        }
    }
    if builder.samples() == 0 {
        return Ok(None);
    }
    let path = block_path(folder, start, end);
    builder.finish(&labels, &path)?;
    reopen(&path).map(|block| Some(Arc::new(block)))
}

/// Deletes the blocks that are too old, then the oldest ones while there are too many bytes.
fn apply_retention(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let set = shared.block_set();
    let newest = shared
        .max_time
        .load(Ordering::Acquire)
        .max(set.blocks.last().map_or(i64::MIN, |b| b.footer.newest));
    let oldest = shared.options.retention.map_or(i64::MIN, |keep| {
        newest.saturating_sub(keep.as_millis() as i64)
    });
    let log_bytes = lock(&shared.log).as_ref().map_or(0, log::Log::bytes);
    let mut bytes = log_bytes + set.blocks.iter().map(|block| block.bytes).sum::<u64>();
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for block in &set.blocks {
        let too_many = shared.options.max_bytes.is_some_and(|most| bytes > most);
        if block.footer.newest < oldest || too_many {
            bytes -= block.bytes;
            gone.push(block.clone());
        } else {
            kept.push(block.clone());
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    shared.set_blocks(BlockSet {
        blocks: kept,
        border: set.border,
    });
    gone.iter().try_for_each(|block| remove_block(block))
}

impl Store {
    /// Does at once what the background thread does in time: writes the windows that have passed as blocks, merges and
    /// deletes blocks. Waits for running queries; the calling thread must not hold a [`super::Selection`].
    ///
    /// # Errors
    /// A file could not be written; nothing is lost by it, and the next call tries again.
    pub fn compact(&self) -> Result<(), StoreError> {
        write_metadata(&self.shared)?;
        maintain(&self.shared)
    }

    /// Forces the log to the disk now, whatever the [`SyncPolicy`].
    ///
    /// # Errors
    /// The disk refused.
    pub fn sync(&self) -> Result<(), StoreError> {
        sync_log(&self.shared)
    }
}
