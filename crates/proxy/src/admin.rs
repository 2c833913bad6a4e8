//! The admin address: `GET /metrics` in Prometheus' text format, `GET /healthz`. One request a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::h1::request::{self, field_room};
use crate::metrics;
use crate::worker::Shared;

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 8 * 1024;

/// Answers until the proxy stops.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    let answered =
                        tokio::time::timeout(PATIENCE, answer(stream, from, &shared)).await;
                    if !matches!(answered, Ok(Ok(()))) {
                        tracing::debug!("an admin connection broke");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn answer(mut stream: TcpStream, _from: SocketAddr, shared: &Shared) -> io::Result<()> {
    let mut bytes = Vec::new();
    let (status, kind, body) = loop {
        let mut room = field_room();
        match request::parse(&bytes, &mut room, MAX_HEAD) {
            Ok(None) => {}
            Ok(Some(head)) => break choose(head.method, head.target, shared),
            Err(refusal) => break (refusal.status, TEXT, format!("{}\n", refusal.reason)),
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
        crate::page::reason_phrase(status),
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

const TEXT: &str = "text/plain; charset=utf-8";

fn choose(method: &str, target: &str, shared: &Shared) -> (u16, &'static str, String) {
    match (method, target) {
        ("GET", "/metrics") => match metrics::exposition(shared) {
            Ok(text) => (200, metrics::CONTENT_TYPE, text),
            Err(error) => (500, TEXT, format!("{error}\n")),
        },
        ("GET", "/healthz") => (200, TEXT, "ok\n".to_owned()),
        ("GET", _) => (404, TEXT, "there is /metrics and /healthz\n".to_owned()),
        _ => (405, TEXT, "only GET is allowed here\n".to_owned()),
    }
}
