//! Getting a connection to an instance of a route: an idle one, a new one, or one a little later.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use launchway_model::instance::TargetAddress;
use tokio::net::{TcpStream, UnixStream};

use crate::exchange::Outgoing;
use crate::stream::Stream;
use crate::table::{Entry, Ready};
use crate::target::{OnTarget, Target};
use crate::worker::Worker;

/// The first pause between two looks for an instance; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A connection to an instance, with the request counted on it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) stream: Stream,
    pub(crate) guard: OnTarget,
    /// Whether the connection has carried a request before.
    pub(crate) reused: bool,
}

/// Which idle connections a request may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reuse {
    /// Those idle for less than this.
    pub(crate) max_idle: Duration,
    /// Whether it is worth asking the kernel if the app has closed it: where the request cannot be sent again.
    pub(crate) sure: bool,
}

/// No instance could be reached in time.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

/// Finds an instance that is not among `tried` and connects to it. While none is up it waits, looking at newer route tables.
/// `reuse` says which idle connection may be used; without it the connection is a new one.
pub(crate) async fn acquire(
    worker: &Worker,
    entry: &Arc<Entry>,
    request: &Outgoing<'_>,
    tried: &[Arc<Target>],
    reuse: Option<Reuse>,
) -> Result<Lease, Unreachable> {
    let limits = worker.limits();
    let mut entry = Arc::clone(entry);
    let mut until: Option<Instant> = None;
    let mut pause = FIRST_PAUSE;
    let mut desperate = false;
    loop {
        let Ready::Instances(balanced) = &entry.backend else {
            return Err(Unreachable {
                status: 503,
                reason: "the app has just been changed; try again",
            });
        };
        let canary = entry.canary.as_ref().map(|canary| &canary.instances);
        let picked = match desperate {
            false => request
                .mark
                .and_then(|mark| {
                    balanced
                        .marked(mark, tried)
                        .or_else(|| canary?.marked(mark, tried))
                })
                .or_else(|| {
                    canary
                        .filter(|_| request.canary)?
                        .pick(worker.chance(), tried)
                })
                .or_else(|| balanced.pick(worker.chance(), tried)),
            true => balanced.last_resort(worker.chance()),
        };
        if let Some(target) = picked.map(Arc::clone) {
            let Some(guard) = target.begin() else {
                // The table changed between the look-up and here.
                match worker.find(request.host, request.path) {
                    Some(newer) => entry = newer,
                    None => return Err(gone()),
                }
                continue;
            };
            if let Some(reuse) = reuse
                && let Some(stream) = target.take(worker.index(), reuse.max_idle)
                && (!reuse.sure || stream.is_quiet_now())
            {
                return Ok(Lease {
                    stream,
                    guard,
                    reused: true,
                });
            }
            match connect(worker, target.address()).await {
                Ok(stream) => {
                    target.reached();
                    return Ok(Lease {
                        stream,
                        guard,
                        reused: false,
                    });
                }
                Err(error) => {
                    tracing::debug!(instance = %target.instance(), %error, "an instance refused a connection");
                    target.refused(limits.down_for);
                    desperate = false;
                    // Another one may be up: look at once, and wait only where there is none.
                    if balanced.pick(worker.chance(), tried).is_some() {
                        continue;
                    }
                }
            }
        } else if !tried.is_empty() && !desperate {
            // All others are down; those that failed this request once are better than none.
            desperate = true;
            continue;
        }
        let until = *until.get_or_insert_with(|| Instant::now() + limits.wait_for_target);
        if Instant::now() >= until {
            return Err(Unreachable {
                status: 503,
                reason: "no instance of the app can be reached",
            });
        }
        worker.table_changed_or(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        desperate = true;
        match worker.find(request.host, request.path) {
            Some(newer) => entry = newer,
            None => return Err(gone()),
        }
    }
}

fn gone() -> Unreachable {
    Unreachable {
        status: 404,
        reason: "the route has just been removed",
    }
}

async fn connect(worker: &Worker, address: &TargetAddress) -> io::Result<Stream> {
    let connecting = async {
        match address {
            TargetAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(match worker.ring() {
                    Some(ring) => Stream::Ring(ring.adopt(stream.into_std()?.into())),
                    None => Stream::Tcp(stream),
                })
            }
            TargetAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                Ok(match worker.ring() {
                    Some(ring) => Stream::Ring(ring.adopt(stream.into_std()?.into())),
                    None => Stream::Unix(stream),
                })
            }
        }
    };
    match tokio::time::timeout(worker.limits().connect_timeout, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
