//! The HTTP edge of control: the API below `/api/v1`, the pages, sessions, the OpenAPI document, git over HTTP.
//!
//! An edge parses, authenticates, calls one function of [`launchway_control`], and prints. It decides nothing about
//! apps, knows no SQL and no supervisor, and serves no visitor of an app: that is the proxy's work.
//!
//! **Invariants:** everything but `/healthz`, `/login`, `/hooks` (whose senders sign) and the assets needs a token or a session; a request that
//! changes something by a session must come from our own origin; no text of a user's reaches a page unescaped.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(
    clippy::result_large_err,
    reason = "a Problem is made once for a request that failed; a box would burden every caller for nothing"
)]

// The pages' sample data is written for the gallery, which names this crate from outside.
#[cfg(test)]
extern crate self as launchway_web;

pub mod agents;
pub mod ansi;
pub mod format;
pub mod html;
pub mod pages;

mod api;
mod assets;
mod auth;
mod extract;
mod git;
mod headers;
mod hooks;
mod measure;
mod openapi;
mod problem;
mod prometheus;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use launchway_control::{Control, monitoring, status};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::measure::Measures;
use crate::problem::ApiProblem;

/// How long requests under way may take to end once control shuts down; streams are told to end at once.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// What every handler is given.
#[derive(Clone)]
pub(crate) struct Web {
    /// The decisions.
    pub(crate) control: Arc<Control>,
    /// Counts of this edge's own requests.
    pub(crate) measures: Arc<Measures>,
    /// Ends all streams.
    pub(crate) cancel: CancellationToken,
    /// Pushes whose build goes on, also where the pusher went away.
    pub(crate) pushes: TaskTracker,
    /// The OpenAPI document as JSON.
    pub(crate) document: Arc<str>,
    /// What the addresses of reports are sealed with; new with every start.
    pub(crate) seal: Arc<[u8; 32]>,
}

/// The whole HTTP edge of a control.
pub fn router(control: Arc<Control>) -> Router {
    build(control, CancellationToken::new()).0
}

fn build(control: Arc<Control>, cancel: CancellationToken) -> (Router, Web) {
    let (api, document) = api::endpoints().finish();
    let document = document
        .to_json()
        .expect("a document of strings and numbers is always JSON");
    let web = Web {
        control,
        measures: Arc::new(Measures::default()),
        cancel,
        pushes: TaskTracker::new(),
        document: document.into(),
        seal: Arc::new(fresh_seal()),
    };
    let measures = web.measures.clone();
    monitoring::set_edge(&web.control, move |text| measures.append_to(text));
    let guarded = || axum::middleware::from_fn_with_state(web.clone(), auth::for_clients);
    let api = prometheus::beside_our_own(api)
        .route("/openapi.json", get(openapi_document))
        .fallback(api::unknown)
        .method_not_allowed_fallback(api::wrong_method)
        .layer(guarded());
    let router = Router::new()
        .nest(openapi::BASE, api)
        .nest("/prometheus", prometheus::whole().layer(guarded()))
        .merge(prometheus::federate().layer(guarded()))
        .nest("/git", git::routes(&web))
        .merge(agents::routes(&web))
        .merge(hooks::routes())
        .merge(pages::routes(&web))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(axum::middleware::from_fn_with_state(
            web.clone(),
            measure::request,
        ))
        .layer(axum::middleware::from_fn(headers::add))
        .with_state(web.clone());
    (router, web)
}

/// Random bytes. A machine without them gets a seal that opens nothing but this process's own reports.
fn fresh_seal() -> [u8; 32] {
    let mut seal = [0; 32];
    if let Err(error) = getrandom::fill(&mut seal) {
        tracing::error!(%error, "this machine gives no random bytes");
        let address = std::ptr::from_ref(&seal).addr();
        seal[..8].copy_from_slice(&address.to_ne_bytes());
    }
    seal
}

/// Serves until `cancel`, then ends streams, lets requests under way finish for some seconds, and returns.
///
/// # Errors
/// The listener cannot accept connections.
pub async fn serve(
    listener: TcpListener,
    control: Arc<Control>,
    cancel: CancellationToken,
) -> io::Result<()> {
    let (router, web) = build(control, cancel.clone());
    let served = axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(cancel.clone().cancelled_owned());
    let result = tokio::select! {
        result = served => result,
        () = async {
            cancel.cancelled().await;
            tokio::time::sleep(SHUTDOWN_GRACE).await;
        } => Ok(()),
    };
    cancel.cancel();
    web.pushes.close();
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, web.pushes.wait()).await;
    result
}

async fn openapi_document(axum::extract::State(web): axum::extract::State<Web>) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        web.document.to_string(),
    )
        .into_response()
}

/// Prometheus text; for whoever has a token or session, and for a scraper on this machine.
async fn metrics(
    axum::extract::State(web): axum::extract::State<Web>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    // A request that came through a reverse proxy has the proxy's address, which says nothing.
    let local = peer.is_some_and(|axum::Extension(ConnectInfo(peer))| peer.ip().is_loopback())
        && !headers.contains_key("x-forwarded-for")
        && !headers.contains_key(header::FORWARDED);
    if !local && auth::identify(&web, &headers).await?.is_none() {
        return Err(problem::unauthenticated().into());
    }
    let mut text = status::metrics(&web.control).await?;
    web.measures.append_to(&mut text);
    Ok((
        StatusCode::OK,
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response())
}
