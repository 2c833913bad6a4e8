//! The way of the route table to the proxy.
//!
//! The loop of `reconcile` publishes the whole list of routes, each time with a higher generation; the [`Courier`]
//! numbers it and carries it over the proxy's Unix socket, the newest only, and again after the proxy was restarted.
//! [`Proxy`] is what the rest of control sees of it: what is served, and asking for drains and counters, each over a
//! connection of its own, since the proxy answers a connection's requests in order and a drain takes its time.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use launchway_model::route::{Backend, ProxyReply, ProxyRequest, ProxyStats, Route, RouteTable};
use launchway_model::{AppName, InstanceId, PROTOCOL, Problem};
use launchway_store::Counter;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How long a connection and a quick answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The first and the longest pause before the proxy is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// All routes at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Published {
    /// Grows with each change; 0 before the first.
    pub(crate) generation: u64,
    /// The routes.
    pub(crate) routes: Vec<Route>,
}

/// What the proxy does.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ProxyState {
    /// Whether it speaks.
    pub(crate) connected: bool,
    /// Where it takes HTTP; as it last said.
    pub(crate) listen: Vec<SocketAddr>,
    /// The generation of the table that it last took.
    pub(crate) applied: u64,
    /// The generation of a table that it refused, and why.
    pub(crate) refused: Option<(u64, String)>,
}

/// The proxy, as the rest of control sees it.
pub(crate) struct Proxy {
    folder: PathBuf,
    published: watch::Sender<Published>,
    state: watch::Receiver<ProxyState>,
}

/// Carries tables to the proxy.
pub(crate) struct Courier {
    folder: PathBuf,
    published: watch::Receiver<Published>,
    state: watch::Sender<ProxyState>,
}

/// Both ends, for the proxy whose socket is in `folder`.
pub(crate) fn new(folder: PathBuf) -> (Proxy, Courier) {
    let (published, published_receiver) = watch::channel(Published::default());
    let (state_sender, state) = watch::channel(ProxyState::default());
    let courier = Courier {
        folder: folder.clone(),
        published: published_receiver,
        state: state_sender,
    };
    (
        Proxy {
            folder,
            published,
            state,
        },
        courier,
    )
}

impl Proxy {
    /// Publishes routes; only the loop does. Nothing happens where they are as they were. Gives the generation that
    /// holds them.
    pub(crate) fn publish(&self, routes: Vec<Route>) -> u64 {
        self.published.send_if_modified(|published| {
            if published.routes == routes && published.generation > 0 {
                return false;
            }
            published.generation += 1;
            published.routes = routes;
            true
        });
        self.published.borrow().generation
    }

    /// The instances of an app that the newest table names.
    pub(crate) fn routed(&self, app: &AppName) -> HashSet<InstanceId> {
        let published = self.published.borrow();
        let targets = published
            .routes
            .iter()
            .filter(|route| route.app == *app)
            .flat_map(|route| match &route.backend {
                Backend::Instances { targets } => targets.as_slice(),
                Backend::Files { .. } | Backend::Stopped { .. } => &[],
            });
        targets.map(|target| target.instance.clone()).collect()
    }

    /// What the proxy does now.
    pub(crate) fn state(&self) -> ProxyState {
        self.state.borrow().clone()
    }

    /// Waits until the proxy serves a generation or a later one.
    pub(crate) async fn applied(&self, generation: u64) -> Result<(), Problem> {
        let mut state = self.state.clone();
        let found = state
            .wait_for(|state| {
                state.applied >= generation
                    || state
                        .refused
                        .as_ref()
                        .is_some_and(|(refused, _)| *refused >= generation)
            })
            .await
            .map_err(|_| Problem::unavailable("control is ending"))?;
        match &found.refused {
            Some((refused, reason)) if *refused >= generation && found.applied < generation => {
                Err(Problem::internal("the proxy refused the new routes").cause(reason))
            }
            _ => Ok(()),
        }
    }

    /// Waits until the proxy has no request in flight on these instances, at most until the deadline; gives those that
    /// still had some, with their number. A proxy that cannot be reached has none.
    pub(crate) async fn drain(
        &self,
        instances: Vec<InstanceId>,
        deadline: Duration,
    ) -> Vec<(InstanceId, u64)> {
        let request = ProxyRequest::Drain {
            instances,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        };
        match self.ask(&request, deadline + ANSWER).await {
            Ok(ProxyReply::Drained { cut }) => cut,
            Ok(other) => {
                tracing::warn!(?other, "the proxy answered a drain with something else");
                Vec::new()
            }
            Err(error) => {
                tracing::warn!(%error, "the proxy could not be asked to drain");
                Vec::new()
            }
        }
    }

    /// The proxy's counters; none while it cannot be reached.
    pub(crate) async fn stats(&self) -> Option<ProxyStats> {
        match self.ask(&ProxyRequest::Stats, ANSWER).await {
            Ok(ProxyReply::Stats(stats)) => Some(stats),
            _ => None,
        }
    }

    async fn ask(&self, request: &ProxyRequest, limit: Duration) -> Result<ProxyReply, LinkError> {
        tokio::time::timeout(limit, async {
            let mut link = Link::open(&self.folder).await?;
            link.ask(request).await
        })
        .await
        .map_err(|_| LinkError::Silent)?
    }
}

impl Courier {
    /// Carries every published table until the end.
    pub(crate) async fn run(mut self, control: &Control, cancel: CancellationToken) {
        let mut pause = RETRY.0;
        loop {
            let ended = tokio::select! {
                () = cancel.cancelled() => return,
                ended = self.serve(control) => ended,
            };
            let was_connected = self.state.borrow().connected;
            self.state.send_modify(|state| state.connected = false);
            if was_connected {
                tracing::info!(reason = %ended, "the proxy is gone; its routes are sent again when it is back");
                pause = RETRY.0;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// One connection: from the greeting to its end.
    async fn serve(&mut self, control: &Control) -> LinkError {
        match self.try_serve(control).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn try_serve(
        &mut self,
        control: &Control,
    ) -> Result<std::convert::Infallible, LinkError> {
        let mut link = within(Link::open(&self.folder)).await?;
        let hello = within(link.ask(&ProxyRequest::Hello { protocol: PROTOCOL })).await?;
        let ProxyReply::Hello {
            protocol,
            listen,
            table,
            pid,
        } = hello
        else {
            return Err(LinkError::Strange);
        };
        if protocol + 1 < PROTOCOL || protocol > PROTOCOL + 1 {
            return Err(LinkError::Protocol(protocol));
        }
        tracing::info!(pid, table, ?listen, "the proxy is connected");
        let mut newest = table;
        self.state.send_modify(|state| {
            state.connected = true;
            state.listen = listen;
        });
        // Whatever table a proxy has, it gets ours: it may come from a time before the last changes.
        self.published.mark_changed();
        loop {
            tokio::select! {
                changed = self.published.changed() => changed.map_err(|_| LinkError::Ended)?,
                // The proxy says nothing unasked: this is its end.
                ended = link.ended() => return Err(ended),
            }
            let published = self.published.borrow_and_update().clone();
            if published.generation == 0 {
                continue;
            }
            // The proxy's own number is a floor, so a store that takes nothing (a full disk) must not keep it from
            // learning that an instance died.
            let number = match control
                .store
                .count_up(Counter::RouteTable, newest + 1)
                .await
            {
                Ok(number) => number,
                Err(error) => {
                    tracing::warn!(%error, "the route table's number cannot be stored");
                    newest + 1
                }
            };
            let apply = ProxyRequest::Apply {
                table: RouteTable {
                    number,
                    routes: published.routes,
                },
            };
            match within(link.ask(&apply)).await? {
                ProxyReply::Applied { number } => {
                    newest = number;
                    self.state
                        .send_modify(|state| state.applied = published.generation);
                }
                ProxyReply::Refused { reason } => {
                    tracing::error!(reason, number, "the proxy refused a route table");
                    self.state
                        .send_modify(|state| state.refused = Some((published.generation, reason)));
                }
                _ => return Err(LinkError::Strange),
            }
        }
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    tokio::time::timeout(ANSWER, answer)
        .await
        .map_err(|_| LinkError::Silent)?
}

/// Why a connection to the proxy ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the proxy's socket cannot be used: {0}")]
    Socket(#[from] std::io::Error),
    #[error("the proxy does not answer")]
    Silent,
    #[error("the proxy closed the connection")]
    Ended,
    #[error("the proxy sent a message that is none: {0}")]
    Message(#[from] serde_json::Error),
    #[error("the proxy answered something that was not asked")]
    Strange,
    #[error("the proxy speaks version {0} of the protocol, and this is version {PROTOCOL}")]
    Protocol(u32),
}

/// One connection to the proxy.
struct Link {
    reader: BufReader<OwnedReadHalf>,
    writer: BufWriter<OwnedWriteHalf>,
    line: Vec<u8>,
}

impl Link {
    async fn open(folder: &Path) -> Result<Self, LinkError> {
        // The home may lie deeper than the 107 bytes that a socket's address may have; the folder's descriptor is short.
        let folder = std::fs::File::open(folder)?;
        let path = format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd());
        let (reader, writer) = UnixStream::connect(path).await?.into_split();
        Ok(Self {
            reader: BufReader::new(reader),
            writer: BufWriter::new(writer),
            line: Vec::new(),
        })
    }

    async fn ask(&mut self, request: &ProxyRequest) -> Result<ProxyReply, LinkError> {
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        self.writer.write_all(&text).await?;
        self.writer.flush().await?;
        self.line.clear();
        if self.reader.read_until(b'\n', &mut self.line).await? == 0 {
            return Err(LinkError::Ended);
        }
        Ok(serde_json::from_slice(&self.line)?)
    }

    /// Waits for the end of the connection.
    async fn ended(&mut self) -> LinkError {
        match self.reader.fill_buf().await {
            Ok([]) => LinkError::Ended,
            Ok(_) => LinkError::Strange,
            Err(error) => error.into(),
        }
    }
}
