//! Starting and stopping: the thread that keeps the workers, the control socket, the admin address and the signals.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::net::{TcpStream, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::access::AccessLog;
use crate::client_h2;
use crate::dispatch::Peer;
use crate::error::ProxyError;
use crate::listen::Group;
use crate::options::Options;
use crate::snapshot::{self, Found};
use crate::stream::Stream;
use crate::worker::{Shared, Worker};
use crate::{admin, client_h1, control, tls};

/// How often idle connections to apps are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// The pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Runs a proxy in this thread until SIGTERM or SIGINT, then stops gracefully.
///
/// # Errors
/// It cannot start; see [`ProxyError`].
pub fn run(options: Options) -> Result<(), ProxyError> {
    let running = start(options)?;
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
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok(())
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
    let (http, https) = groups(&mut options, workers)?;
    if http.is_empty() && https.is_empty() {
        return Err(ProxyError::NoAddress);
    }
    let admin = options
        .admin
        .map(|address| Group::bind(address, 1))
        .transpose()?;
    if let Some(folder) = options.snapshot.parent() {
        make_folder(folder)?;
    }
    if let Some(folder) = options.control_socket.parent() {
        make_folder(folder)?;
    }
    let control = control::listen(&options.control_socket)?;
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
    let shared = Arc::new(Shared::new(
        options.snapshot,
        options.limits,
        options.trusted,
        addresses(&http),
        https.first().map(|group| group.address().port()),
        workers,
        access,
        first,
    ));
    let mut running = Running {
        http: addresses(&http),
        https: addresses(&https),
        admin: admin.as_ref().map(Group::address),
        shared: Arc::clone(&shared),
        threads: Vec::new(),
        access_thread,
        cut: Arc::default(),
    };
    let sockets = Arc::new(Sockets { http, https, tls });
    for index in 0..workers {
        let (shared, sockets) = (Arc::clone(&shared), Arc::clone(&sockets));
        let cut = Arc::clone(&running.cut);
        running.spawn(&format!("proxy-{index}"), move || {
            keep_worker(index, &shared, &sockets, &cut);
        })?;
    }
    let admin = admin
        .map(|group| group.of_worker(0))
        .transpose()
        .map_err(|source| ProxyError::Start {
            what: "the admin address",
            source,
        })?;
    let runtime = runtime().map_err(|source| ProxyError::Start {
        what: "the control socket",
        source,
    })?;
    running.spawn("proxy-control", move || {
        runtime.block_on(keep_control(control, admin, shared));
    })?;
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

fn make_folder(folder: &std::path::Path) -> Result<(), ProxyError> {
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

/// Binds what is not inherited; returns the sockets for HTTP and for HTTPS.
fn groups(options: &mut Options, workers: usize) -> Result<(Vec<Group>, Vec<Group>), ProxyError> {
    let mut inherited: Vec<(SocketAddr, Vec<TcpListener>)> = Vec::new();
    for socket in options.inherited.drain(..) {
        let address = socket.local_addr().map_err(|source| ProxyError::Start {
            what: "an inherited socket",
            source,
        })?;
        match inherited.iter_mut().find(|(known, _)| *known == address) {
            Some((_, sockets)) => sockets.push(socket),
            None => inherited.push((address, vec![socket])),
        }
    }
    let wanted_https: &[SocketAddr] = options.https.as_ref().map_or(&[], |https| &https.listen);
    let (mut http, mut https) = (Vec::new(), Vec::new());
    for (address, sockets) in inherited {
        let group = Group::inherit(address, sockets)
            .map_err(|source| ProxyError::Listen { address, source })?;
        match wanted_https.contains(&address) {
            true => https.push(group),
            false => http.push(group),
        }
    }
    for (wanted, have) in [
        (options.http.as_slice(), &mut http),
        (wanted_https, &mut https),
    ] {
        for address in wanted {
            if !have.iter().any(|group| group.address() == *address) {
                have.push(Group::bind(*address, workers)?);
            }
        }
    }
    Ok((http, https))
}

#[derive(Debug)]
struct Sockets {
    http: Vec<Group>,
    https: Vec<Group>,
    tls: Option<Arc<ServerConfig>>,
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs a worker; one that dies is replaced on the same sockets.
fn keep_worker(index: usize, shared: &Arc<Shared>, sockets: &Sockets, cut: &AtomicU64) {
    while !shared.stop.is_cancelled() {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            work(index, shared, sockets)
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
fn work(index: usize, shared: &Arc<Shared>, sockets: &Sockets) -> io::Result<u64> {
    let runtime = runtime()?;
    let worker = Arc::new(Worker::new(index, Arc::clone(shared)));
    let left = runtime.block_on(async {
        let accepting = CancellationToken::new();
        let mut acceptors = Vec::new();
        for group in &sockets.http {
            let listener = tokio::net::TcpListener::from_std(group.of_worker(index)?)?;
            acceptors.push(tokio::spawn(accept(Arc::clone(&worker), listener, None)));
        }
        for group in &sockets.https {
            let listener = tokio::net::TcpListener::from_std(group.of_worker(index)?)?;
            let acceptor = sockets.tls.clone().map(TlsAcceptor::from);
            acceptors.push(tokio::spawn(accept(
                Arc::clone(&worker),
                listener,
                acceptor,
            )));
        }
        let sweeping = tokio::spawn(sweep(Arc::clone(&worker), accepting.clone()));
        worker.stop().cancelled().await;
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
        Ok::<_, io::Error>(match ended {
            Ok(()) => 0,
            Err(_) => worker.tasks.len() as u64,
        })
    })?;
    Ok(left)
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
async fn accept(worker: Arc<Worker>, listener: tokio::net::TcpListener, tls: Option<TlsAcceptor>) {
    let mut stop = pin!(worker.stop().cancelled());
    loop {
        let accepted = poll_fn(|cx| match listener.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => stop.as_mut().poll(cx).map(|()| None),
        })
        .await;
        match accepted {
            None => return,
            Some(Ok((stream, from))) => take(&worker, stream, from, tls.as_ref()),
            Some(Err(error)) if is_of_the_connection(&error) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
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

fn take(worker: &Arc<Worker>, stream: TcpStream, from: SocketAddr, tls: Option<&TlsAcceptor>) {
    let shared = worker.shared();
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    let open = Connected::new(shared);
    if shared.connections.load(Ordering::Relaxed) > worker.limits().connections {
        shared.refused_connections.fetch_add(1, Ordering::Relaxed);
        return;
    }
    // Small answers must not wait for acknowledgements; without the option they are slower, not wrong.
    let _ = stream.set_nodelay(true);
    let peer = Peer::new(worker, from.ip(), tls.is_some());
    let tls = tls.cloned();
    let of_task = Arc::clone(worker);
    worker.tasks.spawn(async move {
        match tls {
            None => client_h1::serve(of_task, Stream::Tcp(stream), peer).await,
            Some(tls) => Box::pin(serve_tls(of_task, stream, tls, peer)).await,
        }
        drop(open);
    });
}

async fn serve_tls(worker: Arc<Worker>, stream: TcpStream, tls: TlsAcceptor, peer: Peer) {
    let patience = worker.limits().head_timeout;
    match tokio::time::timeout(patience, tls.accept(stream)).await {
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

/// Control and admin, until the proxy has stopped.
async fn keep_control(
    control: std::os::unix::net::UnixListener,
    admin: Option<TcpListener>,
    shared: Arc<Shared>,
) {
    let control = async {
        match UnixListener::from_std(control) {
            Ok(listener) => control::serve(listener, Arc::clone(&shared)).await,
            Err(error) => tracing::error!(%error, "the control socket cannot be served"),
        }
    };
    let admin = async {
        let Some(listener) = admin else { return };
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => admin::serve(listener, Arc::clone(&shared)).await,
            Err(error) => tracing::error!(%error, "the admin address cannot be served"),
        }
    };
    let begun = Instant::now();
    tokio::join!(control, admin);
    tracing::debug!(seconds = begun.elapsed().as_secs(), "control ended");
}
