//! Starting and stopping: the thread that keeps the workers, the control socket, the admin address and the signals.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::accept::Listener;
use crate::access::AccessLog;
use crate::client_h2;
use crate::dispatch::Peer;
use crate::error::ProxyError;
use crate::handover::Purpose;
use crate::listen::Group;
use crate::options::{Driver, Options};
use crate::ring::{self, Ring};
use crate::snapshot::{self, Found};
use crate::socket::Socket;
use crate::stream::Stream;
use crate::worker::{Shared, Worker};
use crate::{admin, client_h1, control, handover, tls, unix_path};

/// How often idle connections to apps are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// The pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Runs a proxy in this thread until SIGTERM, SIGINT or a successor, then stops gracefully. `ready` is called once it takes
/// requests, and `succeed` at each SIGHUP: it starts a successor, which takes over and so ends this one.
///
/// # Errors
/// It cannot start; see [`ProxyError`].
pub fn run(options: Options, ready: impl FnOnce(), succeed: impl Fn()) -> Result<(), ProxyError> {
    let running = start(options)?;
    ready();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ProxyError::Start {
            what: "the signal handlers",
            source,
        })?;
    runtime
        .block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut hangup = signal(SignalKind::hangup())?;
            loop {
                tokio::select! {
                    _ = terminate.recv() => return Ok(()),
                    _ = interrupt.recv() => return Ok(()),
                    _ = hangup.recv() => succeed(),
                    // A successor has taken over.
                    () = running.shared.stop.cancelled() => return Ok(()),
                }
            }
        })
        .map_err(|source| ProxyError::Start {
            what: "the signal handlers",
            source,
        })?;
    drop(runtime);
    tracing::info!("stopping");
    let cut = running.stop();
    if cut > 0 {
        tracing::warn!(cut, "connections were cut at the deadline");
    }
    Ok(())
}

/// A proxy at work in threads of this process.
#[derive(Debug)]
pub struct Running {
    http: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    access_thread: Option<JoinHandle<()>>,
    cut: Arc<AtomicU64>,
}

impl Running {
    /// Where it takes HTTP, ports filled in.
    pub fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Where it takes HTTPS, ports filled in.
    pub fn https(&self) -> &[SocketAddr] {
        &self.https
    }

    /// Where it answers `GET /metrics`.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Stops gracefully: takes no new connection, lets requests in flight end until `Limits::stop_timeout`. Returns the number
    /// of connections that were cut.
    pub fn stop(mut self) -> u64 {
        self.shared.stop.cancel();
        for thread in self.threads.drain(..) {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
        // After the last request, so that it is in the log.
        self.stop_log();
        if let Some(thread) = self.access_thread.take() {
            let _ = thread.join();
        }
        self.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.stop_log();
    }
}

/// Starts a proxy in threads of its own and returns once it takes requests.
///
/// # Errors
/// An address is taken, a certificate is unusable, another proxy holds the control socket.
pub fn start(mut options: Options) -> Result<Running, ProxyError> {
    raise_descriptor_limit();
    let workers = match options.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let tls = options.https.as_ref().map(tls::config).transpose()?;
    for file in [&options.snapshot, &options.control_socket] {
        make_folder(file.parent().unwrap_or(Path::new(".")))?;
    }
    let handover = handover::path(&options.control_socket);
    let trouble = |source| ProxyError::ControlSocket {
        path: handover.clone(),
        source,
    };
    let mut taken = match options.take_over {
        true => handover::take(&handover).map_err(trouble)?,
        false => None,
    };
    let sockets = taken
        .as_mut()
        .map(|taken| std::mem::take(&mut taken.sockets))
        .unwrap_or_default();
    let sockets = groups(&mut options, sockets, workers, tls)?;
    if sockets.http.is_empty() && sockets.https.is_empty() {
        return Err(ProxyError::NoAddress);
    }
    let control = control::listen(&options.control_socket, taken.is_some())?;
    let handing = unix_path::bind(&handover).map_err(trouble)?;
    let first = match snapshot::load(&options.snapshot) {
        Found::Table(table) => {
            tracing::info!(
                number = table.number,
                routes = table.routes.len(),
                "serving from the snapshot"
            );
            Some(table)
        }
        Found::None => None,
        Found::Unusable { reason, moved_to } => {
            tracing::error!(
                reason,
                snapshot = %options.snapshot.display(),
                moved_to = moved_to.map(|path| path.display().to_string()),
                "the snapshot cannot be used; serving nothing until control sends a table"
            );
            None
        }
    };
    let addresses = |groups: &[Group]| groups.iter().map(Group::address).collect::<Vec<_>>();
    let access = match options.access_log.take() {
        Some(access) => {
            let path = access.path.clone();
            let started = AccessLog::start(access, workers);
            Some(started.map_err(|source| ProxyError::AccessLog { path, source })?)
        }
        None => None,
    };
    let (access, access_thread) = access.unzip();
    let by_ring = by_ring(options.driver)?;
    let shared = Arc::new(Shared::new(
        options.snapshot,
        options.limits,
        options.trusted,
        addresses(&sockets.http),
        sockets.https.first().map(|group| group.address().port()),
        workers,
        by_ring,
        access,
        first,
    ));
    let mut running = Running {
        http: addresses(&sockets.http),
        https: addresses(&sockets.https),
        admin: sockets.admin.as_ref().map(Group::address),
        shared: Arc::clone(&shared),
        threads: Vec::new(),
        access_thread,
        cut: Arc::default(),
    };
    let sockets = Arc::new(sockets);
    for index in 0..workers {
        let (shared, sockets) = (Arc::clone(&shared), Arc::clone(&sockets));
        let cut = Arc::clone(&running.cut);
        running.spawn(&format!("proxy-{index}"), move || {
            keep_worker((index, workers), &shared, &sockets, &cut);
        })?;
    }
    let runtime = runtime().map_err(|source| ProxyError::Start {
        what: "the control socket",
        source,
    })?;
    running.spawn("proxy-control", move || {
        runtime.block_on(keep_control(control, handing, sockets, shared));
    })?;
    if let Some(taken) = taken
        && let Err(error) = taken.ready()
    {
        // It has gone by itself, or takes this for a failure and serves on beside us from the same sockets.
        tracing::warn!(%error, "the predecessor could not be told to stop");
    }
    Ok(running)
}

impl Running {
    fn stop_log(&self) {
        if let Some(access) = &self.shared.access {
            access.stop();
        }
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ProxyError> {
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|source| ProxyError::Start {
                what: "a thread",
                source,
            })?;
        self.threads.push(thread);
        Ok(())
    }
}

/// Whether the workers move bytes by io_uring.
fn by_ring(driver: Driver) -> Result<bool, ProxyError> {
    if driver == Driver::Readiness {
        return Ok(false);
    }
    match (ring::available(), driver) {
        (Ok(()), _) => Ok(true),
        (Err(source), Driver::IoUring) => Err(ProxyError::Start {
            what: "io_uring",
            source,
        }),
        (Err(error), _) => {
            tracing::info!(%error, "io_uring cannot be used here; bytes are moved by readiness");
            Ok(false)
        }
    }
}

fn make_folder(folder: &Path) -> Result<(), ProxyError> {
    std::fs::create_dir_all(folder).map_err(|source| ProxyError::ControlSocket {
        path: folder.to_owned(),
        source,
    })
}

/// Every kept connection is a descriptor; the soft limit of 1024 is for programs that use select.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Sorts the sockets that are handed down by purpose and address, and binds what is missing.
fn groups(
    options: &mut Options,
    taken: Vec<(Purpose, TcpListener)>,
    workers: usize,
    tls: Option<Arc<ServerConfig>>,
) -> Result<Sockets, ProxyError> {
    let wanted_https: &[SocketAddr] = options.https.as_ref().map_or(&[], |https| &https.listen);
    let mut handed: Vec<(Purpose, SocketAddr, Vec<TcpListener>)> = Vec::new();
    let given = options.inherited.drain(..).map(|socket| (None, socket));
    let taken = taken
        .into_iter()
        .map(|(purpose, socket)| (Some(purpose), socket));
    // A supervisor hands down, at each start, a duplicate of a socket that the predecessor has as well; keeping both would
    // add one with each upgrade.
    let mut known = HashSet::new();
    for (purpose, socket) in taken.chain(given) {
        let inode = rustix::fs::fstat(&socket).map_err(|error| ProxyError::Start {
            what: "an inherited socket",
            source: error.into(),
        })?;
        if !known.insert((inode.st_dev, inode.st_ino)) {
            continue;
        }
        let address = socket.local_addr().map_err(|source| ProxyError::Start {
            what: "an inherited socket",
            source,
        })?;
        let purpose = purpose.unwrap_or(match wanted_https.contains(&address) {
            true => Purpose::Https,
            false => Purpose::Http,
        });
        match handed
            .iter_mut()
            .find(|(known, at, _)| *known == purpose && *at == address)
        {
            Some((.., sockets)) => sockets.push(socket),
            None => handed.push((purpose, address, vec![socket])),
        }
    }
    let mut sockets = Sockets {
        http: Vec::new(),
        https: Vec::new(),
        admin: None,
        tls,
    };
    for (purpose, address, of_group) in handed {
        let group = Group::inherit(address, of_group)
            .map_err(|source| ProxyError::Listen { address, source })?;
        match purpose {
            Purpose::Http => sockets.http.push(group),
            Purpose::Https if sockets.tls.is_some() => sockets.https.push(group),
            Purpose::Admin if options.admin.is_some() => sockets.admin = Some(group),
            Purpose::Https | Purpose::Admin => {
                tracing::warn!(%address, ?purpose, "nothing is to be served here any more");
            }
        }
    }
    for (wanted, have) in [
        (options.http.as_slice(), &mut sockets.http),
        (wanted_https, &mut sockets.https),
    ] {
        for address in wanted {
            // Port 0 means any, so one that was handed down will do.
            let is_it = |group: &Group| {
                group.address() == *address
                    || (address.port() == 0 && group.address().ip() == address.ip())
            };
            if !have.iter().any(is_it) {
                have.push(Group::bind(*address, workers)?);
            }
        }
    }
    if let (Some(address), None) = (options.admin, &sockets.admin) {
        sockets.admin = Some(Group::bind(address, 1)?);
    }
    Ok(sockets)
}

/// All listening sockets.
#[derive(Debug)]
struct Sockets {
    http: Vec<Group>,
    https: Vec<Group>,
    admin: Option<Group>,
    tls: Option<Arc<ServerConfig>>,
}

impl Sockets {
    /// Duplicates for a successor.
    fn duplicates(&self) -> io::Result<Vec<(Purpose, TcpListener)>> {
        let mut all = Vec::new();
        for (purpose, groups) in [
            (Purpose::Http, self.http.as_slice()),
            (Purpose::Https, self.https.as_slice()),
            (Purpose::Admin, self.admin.as_slice()),
        ] {
            for group in groups {
                all.extend(group.all()?.into_iter().map(|socket| (purpose, socket)));
            }
        }
        Ok(all)
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs a worker; one that dies is replaced on the same sockets.
fn keep_worker(
    (index, workers): (usize, usize),
    shared: &Arc<Shared>,
    sockets: &Sockets,
    cut: &AtomicU64,
) {
    while !shared.stop.is_cancelled() {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            work((index, workers), shared, sockets)
        }));
        match ended {
            Ok(Ok(left)) => {
                cut.fetch_add(left, Ordering::Relaxed);
                return;
            }
            Ok(Err(error)) => {
                tracing::error!(worker = index, %error, "a worker cannot start");
                thread::sleep(Duration::from_secs(1));
            }
            Err(_) => tracing::error!(worker = index, "a worker panicked and is started anew"),
        }
    }
}

/// A worker's life; returns the number of connections that were cut at its end.
fn work(
    (index, workers): (usize, usize),
    shared: &Arc<Shared>,
    sockets: &Sockets,
) -> io::Result<u64> {
    // Dropped last, after the runtime with all tasks: the ring's memory is given back when no task can name it.
    let ring = match shared.by_ring {
        true => Some(Retiring(Ring::new()?)),
        false => None,
    };
    let runtime = runtime()?;
    let ring = ring.as_ref().map(|Retiring(ring)| ring.clone());
    let worker = Arc::new(Worker::new(index, Arc::clone(shared), ring.clone()));
    let left = runtime.block_on(async {
        let mut turning = tokio::spawn(async move {
            match ring {
                Some(ring) => ring.keep_turning().await,
                None => std::future::pending().await,
            }
        });
        let accepting = CancellationToken::new();
        let mut acceptors = Vec::new();
        for (groups, tls) in [
            (&sockets.http, None),
            (&sockets.https, sockets.tls.as_ref()),
        ] {
            for group in groups {
                for socket in group.of_worker(index, workers)? {
                    let listener = Listener::new(&worker, socket)?;
                    let tls = tls.map(|tls| TlsAcceptor::from(Arc::clone(tls)));
                    acceptors.push(tokio::spawn(accept(Arc::clone(&worker), listener, tls)));
                }
            }
        }
        let sweeping = tokio::spawn(sweep(Arc::clone(&worker), accepting.clone()));
        tokio::select! {
            () = worker.stop().cancelled() => {}
            failed = &mut turning => return failed.map_err(io::Error::other)?.map(|()| 0),
        }
        for group in sockets.http.iter().chain(&sockets.https) {
            group.close();
        }
        for acceptor in acceptors {
            // Ends by itself once it has taken what waited.
            let _ = acceptor.await;
        }
        worker.tasks.close();
        let ended = tokio::time::timeout(worker.limits().stop_timeout, worker.tasks.wait()).await;
        accepting.cancel();
        let _ = sweeping.await;
        turning.abort();
        Ok::<_, io::Error>(match ended {
            Ok(()) => 0,
            Err(_) => worker.tasks.len() as u64,
        })
    })?;
    Ok(left)
}

/// A ring that ends with its worker, however that ends.
struct Retiring(Ring);

impl Drop for Retiring {
    fn drop(&mut self) {
        self.0.retire();
    }
}

async fn sweep(worker: Arc<Worker>, end: CancellationToken) {
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => worker.sweep(),
        }
    }
}

/// Accepts until the proxy stops, then what still waits in the socket's queue, which closing it would reset.
async fn accept(worker: Arc<Worker>, listener: Listener, tls: Option<TlsAcceptor>) {
    let mut stop = pin!(worker.stop().cancelled());
    loop {
        let accepted = poll_fn(|cx| match listener.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => stop.as_mut().poll(cx).map(|()| None),
        })
        .await;
        match accepted {
            None => break,
            Some(Ok((socket, from))) => take(&worker, socket, from, tls.as_ref()),
            Some(Err(error)) if is_of_the_connection(&error) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // The runtime may not have been told of the last ones.
    loop {
        match listener.accept_now() {
            Ok((socket, from)) => take(&worker, socket, from, tls.as_ref()),
            Err(error) if is_of_the_connection(&error) => {}
            Err(_) => return,
        }
    }
}

/// Whether an accept failed for a connection that broke while it waited.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn take(worker: &Arc<Worker>, socket: Socket, from: SocketAddr, tls: Option<&TlsAcceptor>) {
    let shared = worker.shared();
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    let open = Connected::new(shared);
    if shared.connections.load(Ordering::Relaxed) > worker.limits().connections {
        shared.refused_connections.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let peer = Peer::new(worker, from.ip(), tls.is_some());
    let tls = tls.cloned();
    let of_task = Arc::clone(worker);
    worker.tasks.spawn(async move {
        match tls {
            None => client_h1::serve(of_task, Stream::plain(socket), peer).await,
            Some(tls) => Box::pin(serve_tls(of_task, socket, tls, peer)).await,
        }
        drop(open);
    });
}

async fn serve_tls(worker: Arc<Worker>, socket: Socket, tls: TlsAcceptor, peer: Peer) {
    let patience = worker.limits().head_timeout;
    match tokio::time::timeout(patience, tls.accept(socket)).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            client_h2::serve(worker, stream, peer).await;
        }
        Ok(Ok(stream)) => client_h1::serve(worker, Stream::tls(stream), peer).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// A client connection that is counted as open.
struct Connected(Arc<Shared>);

impl Connected {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Control, a successor and admin, until the proxy has stopped.
async fn keep_control(
    control: std::os::unix::net::UnixListener,
    handing: std::os::unix::net::UnixListener,
    sockets: Arc<Sockets>,
    shared: Arc<Shared>,
) {
    let control = async {
        match UnixListener::from_std(control) {
            Ok(listener) => control::serve(listener, Arc::clone(&shared)).await,
            Err(error) => tracing::error!(%error, "the control socket cannot be served"),
        }
    };
    let handing = async {
        match UnixListener::from_std(handing) {
            Ok(listener) => {
                handover::serve(listener, Arc::clone(&shared), || sockets.duplicates()).await;
            }
            Err(error) => tracing::error!(%error, "no successor can be served"),
        }
    };
    let admin = async {
        let Some(group) = &sockets.admin else { return };
        let listener = group
            .of_worker(0, 1)
            .and_then(|mut sockets| sockets.pop().ok_or(io::ErrorKind::NotConnected.into()))
            .and_then(tokio::net::TcpListener::from_std);
        match listener {
            Ok(listener) => admin::serve(listener, Arc::clone(&shared)).await,
            Err(error) => tracing::error!(%error, "the admin address cannot be served"),
        }
        group.close();
    };
    tokio::join!(control, handing, admin);
}
