//! The io_uring driver: one ring a worker, which receives and sends for every connection that the worker adopts.
//!
//! Operations are gathered while tasks run and handed to the kernel together, once a turn: under load one system call moves what
//! a readiness loop pays four for, each request. The ring lives beside the worker's tokio runtime, which keeps the timers, the
//! accepting and the waiting while nothing moves: [`Ring::keep_turning`] is a task like others, queued behind those that it wakes.
//!
//! What it does not do: parse, decide, accept, connect, time out.
//!
//! **Invariants**
//! - Only the thread that made the ring enters the kernel with it; other threads leave operations in the queue and wake it.
//! - Memory that the kernel may write to or read from belongs to the ring until the operation's completion was seen; a slot is
//!   freed after its last completion, and a completion names the slot's generation.
//! - No waker is called or dropped while the lock is held: it may be the last owner of a task that owns a socket of this ring.

mod buffers;
mod slot;
mod socket;
mod state;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use self::slot::Slot;
pub(crate) use self::socket::{RingSocket, Side};
use self::state::State;

/// A worker's ring; clones are the same ring.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    shared: Arc<Core>,
}

struct Core {
    state: Mutex<State>,
    owner: ThreadId,
}

/// Whether the kernel (and what confines this process) lets us have a ring with all that the driver needs.
///
/// # Errors
/// What the kernel said.
pub fn available() -> io::Result<()> {
    // In a thread of its own: a ring that goes interrupts the system calls of the thread that made it.
    let tried = thread::spawn(|| State::new().map(drop)).join();
    tried.unwrap_or_else(|_| Err(io::Error::other("the ring's trial panicked")))
}

impl Ring {
    /// A ring of this thread's.
    ///
    /// # Errors
    /// The kernel is too old (before 6.1) or io_uring is forbidden here.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Core {
                state: Mutex::new(State::new()?),
                owner: thread::current().id(),
            }),
        })
    }

    /// Takes a connected stream socket over.
    pub(crate) fn adopt(&self, socket: OwnedFd) -> RingSocket {
        let mut state = self.shared.lock();
        let slot = match state.free.pop() {
            Some(slot) => slot,
            None => {
                state.slots.push(Slot::vacant());
                u32::try_from(state.slots.len() - 1).expect("descriptors are far fewer than 2^32")
            }
        };
        let fd = socket.as_raw_fd();
        state.slots[slot as usize].occupy(socket);
        RingSocket::new(Arc::clone(&self.shared), slot, fd)
    }

    /// Hands operations over and completions out, for as long as it is polled: the worker's runtime runs it beside its tasks.
    ///
    /// # Errors
    /// The kernel refuses the ring altogether.
    #[expect(
        unsafe_code,
        reason = "the runtime waits on a descriptor that the ring owns"
    )]
    pub(crate) async fn keep_turning(&self) -> io::Result<()> {
        let event = self.shared.lock().event.try_clone()?;
        // SAFETY: the descriptor moves into the value that waits on it.
        let readiness = unsafe { AsyncFd::register_with_interest(event, Interest::READABLE)? };
        poll_fn(|cx| self.poll_turn(&readiness, cx)).await
    }

    fn poll_turn(
        &self,
        readiness: &AsyncFd<OwnedFd>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let (completed, woken) = {
                let mut state = self.shared.lock();
                let completed = match state.turn() {
                    Ok(completed) => completed,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                (completed, std::mem::take(&mut state.woken))
            };
            let mut woken = woken;
            for waker in woken.drain(..) {
                waker.wake();
            }
            let mut state = self.shared.lock();
            woken.append(&mut state.woken);
            state.woken = woken;
            if completed > 0 || !state.dirty.is_empty() {
                // Behind the tasks that were just woken: what they send goes out with the next turn.
                state.turning = true;
                drop(state);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            state.turning = false;
            let before = match &state.turner {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                _ => state.turner.replace(cx.waker().clone()),
            };
            // Between the turn and this something may have been done: then nothing is signalled any more.
            let is_quiet = state.listen();
            drop(state);
            drop(before);
            if !is_quiet {
                continue;
            }
            match readiness.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(mut ready)) => ready.clear_ready(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives up what clients have not taken in time; to be called now and then.
    pub(crate) fn sweep(&self) {
        self.shared.lock().sweep();
    }

    /// Ends the ring: its sockets answer with an error from now on, and the kernel lets go of its memory. On the thread that made it.
    pub(crate) fn retire(&self) {
        let mut woken = Vec::new();
        {
            let mut state = self.shared.lock();
            state.retire(&mut woken);
            woken.extend(state.turner.take());
        }
        drop(woken);
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A worker that panicked retires its ring; what is in it stays consistent, as no call into foreign code happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}
