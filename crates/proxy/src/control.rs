//! The Unix socket on which control speaks to the proxy: one JSON object a line, answered in order.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use launchway_model::PROTOCOL;
use launchway_model::route::{ProxyReply, ProxyRequest};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::TaskTracker;

use crate::error::ProxyError;
use crate::unix_path;
use crate::worker::Shared;

/// The longest line taken: tens of thousands of routes.
const MAX_LINE: u64 = 64 << 20;
/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(5);
/// The longest drain; a longer deadline is taken as this.
const MAX_DRAIN: Duration = Duration::from_secs(24 * 3600);

/// Listens on the socket; one that a dead proxy left is replaced, and that of a living one where this proxy succeeds it.
///
/// # Errors
/// A living proxy answers on it, or it cannot be made.
pub(crate) fn listen(
    path: &Path,
    succeeds: bool,
) -> Result<std::os::unix::net::UnixListener, ProxyError> {
    if !succeeds && unix_path::connect(path).is_ok() {
        return Err(ProxyError::AlreadyRuns {
            path: path.to_owned(),
        });
    }
    unix_path::bind(path).map_err(|source| ProxyError::ControlSocket {
        path: path.to_owned(),
        source,
    })
}

/// Answers control until the proxy stops.
pub(crate) async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    let stop = shared.stop.clone();
                    let ended = tokio::select! {
                        biased;
                        ended = converse(stream, &shared) => ended,
                        () = stop.cancelled() => Ok(()),
                    };
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a control connection broke");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn converse(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut lines).take(MAX_LINE);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply = match line.last() {
            Some(b'\n') => match serde_json::from_slice(&line) {
                Ok(request) => answer(request, shared).await,
                Err(error) => refused(format!("the request is not understood: {error}")),
            },
            _ if line.len() as u64 >= MAX_LINE => refused("the request is too long".to_owned()),
            // The connection ended within a line.
            _ => return Ok(()),
        };
        let mut text = serde_json::to_vec(&reply).map_err(io::Error::other)?;
        text.push(b'\n');
        write.write_all(&text).await?;
        if line.len() as u64 >= MAX_LINE {
            return Ok(());
        }
        // A large table was here.
        if line.capacity() > 1 << 20 {
            line = Vec::new();
        }
    }
}

async fn answer(request: ProxyRequest, shared: &Shared) -> ProxyReply {
    match request {
        ProxyRequest::Hello { protocol } if protocol + 1 < PROTOCOL || protocol > PROTOCOL + 1 => {
            refused(format!(
                "version {protocol} of the messages is not known, this proxy speaks {PROTOCOL}"
            ))
        }
        ProxyRequest::Hello { .. } => ProxyReply::Hello {
            protocol: PROTOCOL,
            pid: std::process::id(),
            listen: shared.listen.clone(),
            table: shared.table_number(),
        },
        ProxyRequest::Apply { table } => match shared.apply(table) {
            Ok(number) => {
                tracing::info!(number, "route table applied");
                ProxyReply::Applied { number }
            }
            Err(reason) => {
                tracing::warn!(reason, "route table refused");
                refused(reason)
            }
        },
        ProxyRequest::Drain {
            instances,
            deadline_ms,
        } => {
            let wait = Duration::from_millis(deadline_ms).min(MAX_DRAIN);
            let deadline = Instant::now() + wait;
            loop {
                let cut = shared.in_flight(&instances);
                if cut.is_empty() || Instant::now() >= deadline {
                    return ProxyReply::Drained { cut };
                }
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        }
        ProxyRequest::Stats => ProxyReply::Stats(shared.stats()),
    }
}

fn refused(reason: String) -> ProxyReply {
    ProxyReply::Refused { reason }
}
