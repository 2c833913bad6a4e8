//! Large bodies from socket to socket without a copy through user space: `splice` over a pipe.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::ring::Side;
use crate::socket::Raw;
use crate::stream::Deadline;

/// Bodies with at least this much still to come go this way: below it, the pipe costs more than the copy.
pub(crate) const WORTH: u64 = 64 * 1024;
/// Room of a pipe, where the system's limits allow it.
const ROOM: usize = 256 * 1024;
/// The most moved at a time.
const PIECE: usize = 1 << 20;
/// Pipes that a worker keeps.
const KEPT: usize = 16;

/// A worker's pipes.
#[derive(Debug, Default)]
pub(crate) struct Pipes(Mutex<Vec<Pipe>>);

#[derive(Debug)]
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipes {
    fn take(&self) -> io::Result<Pipe> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(pipe) = kept {
            return Ok(pipe);
        }
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user over the system's limit for pipes has the ordinary room.
        let _ = fcntl_setpipe_size(&into, ROOM);
        Ok(Pipe { out, into })
    }

    /// Keeps an empty pipe.
    fn give(&self, pipe: Pipe) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(pipe);
        }
    }
}

/// Why not everything was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The source ended or failed.
    Source,
    /// The source gave nothing for too long.
    SourceTimedOut,
    /// The destination failed or took nothing for too long.
    Destination,
}

/// Moves exactly `left` bytes; each side may pause for as long as its patience.
pub(crate) async fn move_all(
    pipes: &Pipes,
    from: Raw<'_>,
    to: Raw<'_>,
    mut left: u64,
    deadline: &mut Deadline,
    (source_patience, destination_patience): (Duration, Duration),
) -> Result<(), Broken> {
    let pipe = pipes.take().map_err(|_| Broken::Source)?;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    deadline.set(Instant::now() + destination_patience);
    // What was written before goes first.
    within(deadline, |cx| to.poll_drained(cx))
        .await
        .map_err(|_| Broken::Destination)?;
    while left > 0 {
        let want = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        deadline.set(Instant::now() + source_patience);
        // The pipe is empty here, so what would block is the source.
        let moved = within(deadline, |cx| {
            from.poll_step(cx, Side::Read, || {
                Ok(splice(from, None, &pipe.into, None, want, flags)?)
            })
        });
        let mut in_pipe = match moved.await {
            Ok(0) => return Err(Broken::Source),
            Ok(moved) => moved,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Broken::SourceTimedOut);
            }
            Err(_) => return Err(Broken::Source),
        };
        left -= in_pipe as u64;
        while in_pipe > 0 {
            deadline.set(Instant::now() + destination_patience);
            let moved = within(deadline, |cx| {
                to.poll_step(cx, Side::Write, || {
                    Ok(splice(&pipe.out, None, to, None, in_pipe, flags)?)
                })
            });
            match moved.await {
                Ok(0) | Err(_) => return Err(Broken::Destination),
                Ok(moved) => in_pipe -= moved,
            }
        }
    }
    pipes.give(pipe);
    Ok(())
}

/// Waits for a step; gives up at the deadline.
async fn within<T>(
    deadline: &mut Deadline,
    mut step: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> io::Result<T> {
    poll_fn(|cx| match step(cx) {
        Poll::Pending => deadline
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into())),
        done => done,
    })
    .await
}
