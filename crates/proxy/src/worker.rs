//! What the threads share, and what each of them has for itself.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use launchway_model::InstanceId;
use launchway_model::route::{ProxyStats, RouteTable};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{AccessLog, Record};
use crate::balance::Chance;
use crate::compress::AtWork;
use crate::dispatch::Meta;
use crate::exchange::AnswerRoom;
use crate::options::Limits;
use crate::ring::Ring;
use crate::snapshot;
use crate::splice::Pipes;
use crate::stream::Buffer;
use crate::table::{self, Entry, Registry, Table};
use launchway_model::cidr::Cidr;

/// What the threads of one proxy share.
#[derive(Debug)]
pub(crate) struct Shared {
    table: ArcSwap<Table>,
    registry: Mutex<Registry>,
    changed: watch::Sender<u64>,
    snapshot: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) trusted: Vec<Cidr>,
    pub(crate) listen: Vec<SocketAddr>,
    /// Whether the workers move bytes by io_uring.
    pub(crate) by_ring: bool,
    /// The port of HTTPS, where it is not 443.
    pub(crate) https_port: Option<u16>,
    pub(crate) connections: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused_connections: AtomicU64,
    pub(crate) unrouted: AtomicU64,
    pub(crate) refused_requests: AtomicU64,
    pub(crate) access: Option<Arc<AccessLog>>,
    /// Whether a successor is taking over; tables are its business then.
    pub(crate) replaced: AtomicBool,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one field, given once at the start"
    )]
    pub(crate) fn new(
        snapshot: PathBuf,
        limits: Limits,
        trusted: Vec<Cidr>,
        listen: Vec<SocketAddr>,
        https_port: Option<u16>,
        workers: usize,
        by_ring: bool,
        access: Option<Arc<AccessLog>>,
        first: Option<RouteTable>,
    ) -> Self {
        let mut registry = Registry::new(workers);
        let table = registry.compile(first.unwrap_or_default());
        let number = table.number();
        Self {
            table: ArcSwap::from_pointee(table),
            registry: Mutex::new(registry),
            changed: watch::Sender::new(number),
            snapshot,
            limits,
            trusted,
            listen,
            by_ring,
            https_port: https_port.filter(|port| *port != 443),
            connections: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            refused_connections: AtomicU64::new(0),
            unrouted: AtomicU64::new(0),
            refused_requests: AtomicU64::new(0),
            access,
            replaced: AtomicBool::new(false),
            stop: CancellationToken::new(),
        }
    }

    pub(crate) fn table_number(&self) -> u64 {
        self.table.load().number()
    }

    pub(crate) fn find(&self, host: &str, path: &str) -> Option<Arc<Entry>> {
        self.table.load().find(host, path).map(Arc::clone)
    }

    /// Checks a table, saves it, and serves by it. Applying the table that is served already succeeds.
    ///
    /// # Errors
    /// Why it is refused; what was served before goes on.
    pub(crate) fn apply(&self, source: RouteTable) -> Result<u64, String> {
        let number = source.number;
        if self.replaced.load(Ordering::SeqCst) {
            return Err("another proxy is taking over; try again".to_owned());
        }
        // Held to the end: tables take effect one after the other.
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.table.load_full();
        if number == current.number() && &source == current.source() {
            return Ok(number);
        }
        if number <= current.number() {
            return Err(format!(
                "table {number} is not newer than table {}, which is served",
                current.number()
            ));
        }
        table::check(&source)?;
        snapshot::save(&self.snapshot, &source).map_err(|error| {
            format!(
                "the snapshot {} cannot be written: {error}",
                self.snapshot.display()
            )
        })?;
        let table = registry.compile(source);
        self.table.store(Arc::new(table));
        registry.settle(&self.table.load());
        drop(registry);
        self.changed.send_replace(number);
        Ok(number)
    }

    /// Requests in flight on these instances, for those that have any.
    pub(crate) fn in_flight(&self, instances: &[InstanceId]) -> Vec<(InstanceId, u64)> {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        instances
            .iter()
            .filter_map(|instance| {
                let in_flight = registry.target(instance)?.in_flight();
                (in_flight > 0).then(|| (instance.clone(), in_flight))
            })
            .collect()
    }

    pub(crate) fn stats(&self) -> ProxyStats {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stats = ProxyStats {
            connections: self.connections.load(Ordering::Relaxed),
            routes: registry.meters().map(|meter| meter.stats()).collect(),
            targets: registry.targets().map(|target| target.stats()).collect(),
        };
        stats.routes.sort_by(|a, b| a.route.cmp(&b.route));
        stats.targets.sort_by(|a, b| a.instance.cmp(&b.instance));
        stats
    }

    pub(crate) fn with_registry<T>(&self, read: impl FnOnce(&Registry) -> T) -> T {
        read(&self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One thread's own.
#[derive(Debug)]
pub(crate) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    chance: Chance,
    scratch: Mutex<Vec<Scratch>>,
    pipes: Pipes,
    ring: Option<Ring>,
    pub(crate) compressing: AtWork,
    pub(crate) tasks: TaskTracker,
    /// A child of the shared token: waiting on it takes no lock that another thread holds.
    stop: CancellationToken,
}

/// Room for one request at work; an idle connection has none.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// What the client sent and nobody has used.
    pub(crate) down: Buffer,
    /// The request as it goes to the app.
    pub(crate) request: Vec<u8>,
    /// The answer as it goes to the client.
    pub(crate) out: Vec<u8>,
    /// The app's side.
    pub(crate) answer: AnswerRoom,
}

/// Rooms that a worker keeps for later; each has about 48 KiB at most.
const KEPT_SCRATCH: usize = 64;
/// Larger vectors are given back to the allocator.
const KEPT_BYTES: usize = 32 * 1024;

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, ring: Option<Ring>) -> Self {
        Self {
            index,
            stop: shared.stop.child_token(),
            shared,
            chance: Chance::new(RandomState::new().hash_one(index)),
            scratch: Mutex::default(),
            pipes: Pipes::default(),
            ring,
            compressing: AtWork::default(),
            tasks: TaskTracker::new(),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn chance(&self) -> &Chance {
        &self.chance
    }

    pub(crate) fn pipes(&self) -> &Pipes {
        &self.pipes
    }

    /// The ring that moves this worker's bytes, where it has one.
    pub(crate) fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Whether a successor serves from the same sockets.
    pub(crate) fn is_replaced(&self) -> bool {
        self.shared.replaced.load(Ordering::SeqCst)
    }

    pub(crate) fn find(&self, host: &str, path: &str) -> Option<Arc<Entry>> {
        self.shared.find(host, path)
    }

    /// Logs a request that has ended, where there is a log.
    pub(crate) fn note(&self, meta: &Meta, record: &Record) {
        if let Some(access) = &self.shared.access {
            access.note(self.index, meta, record);
        }
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.shared
            .trusted
            .iter()
            .any(|range| range.contains(address))
    }

    /// Waits for a newer table, for this long at most.
    pub(crate) async fn table_changed_or(&self, pause: Duration) {
        let mut changed = self.shared.changed.subscribe();
        // Both ends mean the same: look again.
        let _ = tokio::time::timeout(pause, changed.changed()).await;
    }

    pub(crate) fn take_scratch(&self) -> Scratch {
        let kept = self
            .scratch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        kept.unwrap_or_else(|| Scratch {
            down: Buffer::new(),
            request: Vec::new(),
            out: Vec::new(),
            answer: AnswerRoom {
                buffer: Buffer::new(),
                upload: Vec::new(),
            },
        })
    }

    pub(crate) fn give_scratch(&self, mut room: Scratch) {
        room.down.reset();
        room.answer.buffer.reset();
        for vector in [&mut room.request, &mut room.out, &mut room.answer.upload] {
            match vector.capacity() > KEPT_BYTES {
                true => *vector = Vec::new(),
                false => vector.clear(),
            }
        }
        let mut kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_SCRATCH {
            kept.push(room);
        }
    }

    /// Closes idle connections to apps that are too old or closed by the app.
    pub(crate) fn sweep(&self) {
        if let Some(ring) = &self.ring {
            ring.sweep();
        }
        let targets: Vec<_> = self
            .shared
            .with_registry(|registry| registry.targets().map(Arc::clone).collect());
        for target in targets {
            target.sweep(self.index, self.limits().pool_idle);
        }
    }
}
