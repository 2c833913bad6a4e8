//! The edge for agents: the paths of [`launchway_model::agent`], on a listener of their own with TLS, and on the API's own for
//! agents of this machine.
//!
//! An agent is known by its token alone, which opens nothing but these paths; a token of the API does not open them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use futures_util::StreamExt;
use launchway_control::Control;
use launchway_control::agents::{self, AgentId, Piece};
use launchway_model::agent::{self as words, LeaseId, Received, SourceRequest};
use launchway_model::{Problem, ProblemKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use crate::Web;
use crate::problem::ApiProblem;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many connections may be in their handshake.
const HANDSHAKES: usize = 64;
/// How long requests under way may take to end once control shuts down.
const GRACE: Duration = Duration::from_secs(2);

/// The paths, below [`words::BASE`].
pub(crate) fn routes(web: &Web) -> Router<Web> {
    let inner = Router::new()
        .route("/sync", post(sync))
        .route("/leases/{lease}/grow", post(grow))
        .route("/leases/{lease}/whole", post(whole))
        .route("/leases/{lease}/source", post(source))
        .layer(DefaultBodyLimit::max(words::CHUNK + (1 << 16)))
        .layer(axum::middleware::from_fn_with_state(web.clone(), known));
    Router::new().nest(words::BASE, inner)
}

/// Serves agents with TLS until `cancel`.
///
/// # Errors
/// The certificate cannot be read or made, or does not suit its key.
pub async fn serve(
    listener: TcpListener,
    control: Arc<Control>,
    cancel: CancellationToken,
) -> Result<(), Problem> {
    let certificate = agents::certificate(&control)?;
    let fingerprint = certificate.fingerprint();
    let unusable = |error: rustls::Error| {
        Problem::internal("the agents' certificate cannot be used")
            .caused_by(&error)
            .hint("Remove agents.crt and agents.key from Launchway's folder; new ones are made, and agents need new tokens.")
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.certificate)],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.key)),
        )
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let address = listener.local_addr().ok();
    let listener = Tls::start(
        listener,
        TlsAcceptor::from(Arc::new(config)),
        cancel.clone(),
    );
    let (_, web) = crate::build(control, cancel.clone());
    let router = routes(&web).with_state(web);
    if let Some(address) = address {
        tracing::info!(%address, fingerprint, "agents may connect");
    }
    let served =
        axum::serve(listener, router).with_graceful_shutdown(cancel.clone().cancelled_owned());
    let result = tokio::select! {
        result = served => result,
        () = async {
            cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    };
    result.map_err(|error| Problem::unavailable("agents cannot be served").cause(error))
}

/// A listener whose connections have their TLS handshake behind them, so that a slow one holds up nobody.
struct Tls {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: io::Result<SocketAddr>,
}

impl Tls {
    fn start(listener: TcpListener, acceptor: TlsAcceptor, cancel: CancellationToken) -> Self {
        let (sender, ready) = mpsc::channel(HANDSHAKES);
        let address = listener.local_addr();
        tokio::spawn(async move {
            let places = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
            loop {
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                let accepted = tokio::select! {
                    () = cancel.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection of an agent cannot be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            // The receiver is gone only when the server ends.
                            let _ = sender.send((stream, peer)).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                    }
                    drop(place);
                });
            }
        });
        Self { ready, address }
    }
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

/// Lets requests pass that carry an agent's token.
async fn known(
    State(web): State<Web>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiProblem> {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let agent = token.and_then(|token| agents::identify(&web.control, token.trim()));
    let Some(agent) = agent else {
        return Err(Problem::new(
            ProblemKind::Unauthenticated,
            "this agent's token is not valid, or not any more",
        )
        .hint("`launchway agents create-token NAME` on the server makes one.")
        .into());
    };
    request.extensions_mut().insert(agent);
    Ok(next.run(request).await)
}

async fn sync(
    State(web): State<Web>,
    Extension(agent): Extension<AgentId>,
    Json(report): Json<words::Report>,
) -> Result<Json<words::Orders>, ApiProblem> {
    Ok(Json(agents::sync(&web.control, agent, report).await?))
}

#[derive(Debug, serde::Deserialize)]
struct Grows {
    path: String,
    offset: u64,
}

async fn grow(
    State(web): State<Web>,
    Extension(agent): Extension<AgentId>,
    Path(lease): Path<LeaseId>,
    Query(grows): Query<Grows>,
    body: Bytes,
) -> Result<Json<Received>, ApiProblem> {
    let received =
        agents::grow(&web.control, agent, lease, &grows.path, grows.offset, &body).await?;
    Ok(Json(received))
}

#[derive(Debug, serde::Deserialize)]
struct Appears {
    path: String,
    offset: u64,
    size: u64,
    sha256: String,
}

async fn whole(
    State(web): State<Web>,
    Extension(agent): Extension<AgentId>,
    Path(lease): Path<LeaseId>,
    Query(appears): Query<Appears>,
    body: Bytes,
) -> Result<Json<Received>, ApiProblem> {
    let piece = Piece {
        path: appears.path,
        offset: appears.offset,
        size: appears.size,
        sha256: appears.sha256,
    };
    Ok(Json(
        agents::whole(&web.control, agent, lease, piece, &body).await?,
    ))
}

async fn source(
    State(web): State<Web>,
    Extension(agent): Extension<AgentId>,
    Path(lease): Path<LeaseId>,
    Json(request): Json<SourceRequest>,
) -> Result<Response, ApiProblem> {
    let source = agents::source(&web.control, agent, lease, &request).await?;
    let mut head = serde_json::to_vec(&source.head)
        .map_err(|error| Problem::internal("cannot encode the source's head").cause(error))?;
    head.push(b'\n');
    let mut writer = source.writer;
    let pack = ReaderStream::with_capacity(source.pack, 1 << 16);
    let first = futures_util::stream::once(async move { Ok::<_, io::Error>(Bytes::from(head)) });
    // A pack that git could not end is cut off, so that nobody takes it for whole.
    let end = futures_util::stream::once(async move {
        match writer.wait().await {
            Ok(status) if status.success() => Ok(Bytes::new()),
            Ok(status) => Err(io::Error::other(format!("git ended with {status}"))),
            Err(error) => Err(error),
        }
    });
    let body = Body::from_stream(first.chain(pack).chain(end));
    Ok((
        StatusCode::OK,
        [(header::CONTENT_TYPE, "application/x-git-pack")],
        body,
    )
        .into_response())
}
