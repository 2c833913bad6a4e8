//! A connection of a ring, with the calls that the rest of the proxy makes on a connection.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::Core;
use super::buffers::SIZE;
use super::slot::{Inbox, Readiness};
use super::state::{Operation, State};

/// Written bytes that may wait for the kernel to take them.
const ROOM: usize = 64 * 1024;
/// Pieces of at least this size are tried at once, without a copy: gathering gains nothing there.
const DIRECT: usize = 16 * 1024;
/// Bytes that are read past the ring in one go.
const BURST: usize = 256 * 1024;

/// A connection of a ring; dropping it closes the connection and gives up what is not sent.
pub(crate) struct RingSocket {
    ring: Arc<Core>,
    slot: u32,
    fd: RawFd,
}

impl RingSocket {
    pub(super) fn new(ring: Arc<Core>, slot: u32, fd: RawFd) -> Self {
        Self { ring, slot, fd }
    }

    /// Reads what has come; 0 is the end of the stream.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.ring.lock();
        let state = &mut *state;
        let held = &mut state.slots[self.slot as usize];
        if let Inbox::Data { buffer, start, end } = held.inbox {
            let bytes = state.buffers.bytes(buffer, start, end);
            let size = bytes.len().min(into.len());
            into[..size].copy_from_slice(&bytes[..size]);
            if size == bytes.len() {
                held.is_bulky = end as usize == SIZE;
                held.inbox = Inbox::Idle;
                state.give_back(buffer);
            } else {
                let start = start + size as u32;
                held.inbox = Inbox::Data { buffer, start, end };
            }
            return Poll::Ready(Ok(size));
        }
        if matches!(held.inbox, Inbox::Idle) && held.is_bulky && into.len() > SIZE {
            if held.burst >= BURST {
                // Bytes that are always there must not keep the ring from turning, nor others from running.
                held.burst = 0;
                state.need_turn();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match rustix::net::recv(held.socket(), &mut *into, RecvFlags::DONTWAIT) {
                Ok((size, _)) => {
                    held.burst += size;
                    return Poll::Ready(Ok(size));
                }
                Err(Errno::AGAIN | Errno::INTR) => held.is_bulky = false,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        // Nothing is there, so readable means the end.
        self.poll_inbox(state, cx).map_ok(|()| 0)
    }

    /// Waits until something may be read, without room to read it into.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.ring.lock();
        if let Inbox::Data { .. } = state.slots[self.slot as usize].inbox {
            return Poll::Ready(Ok(()));
        }
        self.poll_inbox(&mut state, cx)
    }

    /// The end or a failure; otherwise a receive is under way afterwards.
    fn poll_inbox(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if state.retired {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let held = &mut state.slots[self.slot as usize];
        match held.inbox {
            Inbox::End | Inbox::Data { .. } => return Poll::Ready(Ok(())),
            Inbox::Failed(error) => {
                return Poll::Ready(Err(io::Error::from_raw_os_error(error)));
            }
            Inbox::Idle | Inbox::Armed | Inbox::Starved => {}
        }
        let is_idle = matches!(held.inbox, Inbox::Idle);
        remember(&mut held.reader, cx, &mut state.woken);
        if is_idle {
            state.receive(self.slot);
        }
        Poll::Pending
    }

    /// Takes bytes to send; they leave with the ring's next turn. A failure shows at a later call.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.ring.lock();
        let state = &mut *state;
        if state.retired {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let spare = state.spare.len();
        let held = &mut state.slots[self.slot as usize];
        held.outbox.check()?;
        if bytes.len() >= DIRECT && held.outbox.is_drained() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(held.socket(), bytes, flags) {
                Ok(sent) => {
                    held.outbox.sent += sent as u64;
                    return Poll::Ready(Ok(sent));
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let room = ROOM.saturating_sub(held.outbox.queued.len());
        if room == 0 {
            remember(&mut held.writer, cx, &mut state.woken);
            return Poll::Pending;
        }
        if held.outbox.queued.capacity() == 0 && spare > 0 {
            held.outbox.queued = state.spare.pop().unwrap_or_default();
        }
        let size = bytes.len().min(room);
        held.outbox.queued.extend_from_slice(&bytes[..size]);
        if !held.outbox.in_flight && !held.outbox.is_dirty {
            held.outbox.is_dirty = true;
            state.dirty.push(self.slot);
            state.need_turn();
        }
        Poll::Ready(Ok(size))
    }

    /// Waits until the kernel has taken everything that was written.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.ring.lock();
        let state = &mut *state;
        let held = &mut state.slots[self.slot as usize];
        held.outbox.check()?;
        if held.outbox.is_drained() {
            return Poll::Ready(Ok(()));
        }
        if state.retired {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        remember(&mut held.writer, cx, &mut state.woken);
        Poll::Pending
    }

    /// Ends our side, once everything was sent.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_drained(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(rustix::net::shutdown(self, Shutdown::Write)?)),
            other => other,
        }
    }

    /// Bytes that the kernel has taken so far.
    pub(crate) fn sent(&self) -> u64 {
        self.ring.lock().slots[self.slot as usize].outbox.sent
    }

    /// Whether sending has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.ring.lock().slots[self.slot as usize]
            .outbox
            .failed
            .is_some()
    }

    /// Has the ring watch a connection that nobody reads, so that [`RingSocket::is_quiet`] knows.
    pub(crate) fn watch(&self) {
        let mut state = self.ring.lock();
        let idle = matches!(state.slots[self.slot as usize].inbox, Inbox::Idle);
        if idle && !state.retired {
            state.receive(self.slot);
        }
    }

    /// Whether the peer has neither sent anything nor closed, as far as the ring has been told.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.ring.lock();
        let held = &state.slots[self.slot as usize];
        !state.retired
            && held.outbox.failed.is_none()
            && matches!(held.inbox, Inbox::Armed | Inbox::Starved | Inbox::Idle)
    }

    /// Whether bytes or the end have come, told or not: looks at what the kernel has done since the last turn.
    pub(crate) fn has_come(&self) -> bool {
        let mut state = self.ring.lock();
        if state.retired || thread::current().id() != self.ring.owner {
            return false;
        }
        // Whoever is to be woken is, with the turn that this asks for. A failure shows there, too.
        let _ = state.turn();
        state.need_turn();
        !matches!(
            state.slots[self.slot as usize].inbox,
            Inbox::Armed | Inbox::Idle | Inbox::Starved
        )
    }

    /// Whether a try to read may do more than block; for those who read without the ring. Nothing may be under way in it.
    pub(crate) fn poll_try(&self, cx: &mut Context<'_>, side: Side) -> Poll<io::Result<()>> {
        let mut state = self.ring.lock();
        let state = &mut *state;
        if state.retired {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let held = &mut state.slots[self.slot as usize];
        let (index, operation, waker) = match side {
            Side::Read => (0, Operation::Readable, &mut held.reader),
            Side::Write => (1, Operation::Writable, &mut held.writer),
        };
        match held.ready[index] {
            Readiness::Unknown => Poll::Ready(Ok(())),
            Readiness::Armed => {
                remember(waker, cx, &mut state.woken);
                Poll::Pending
            }
            Readiness::Blocked => {
                remember(waker, cx, &mut state.woken);
                state.await_readiness(self.slot, operation);
                Poll::Pending
            }
        }
    }

    /// Notes that a try has blocked.
    pub(crate) fn blocked(&self, side: Side) {
        let mut state = self.ring.lock();
        state.slots[self.slot as usize].ready[side as usize] = Readiness::Blocked;
    }
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Read = 0,
    Write = 1,
}

/// Keeps the task's waker; the one before is dropped later, outside the lock, where it is another one.
fn remember(place: &mut Option<Waker>, cx: &Context<'_>, later: &mut Vec<Waker>) {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => later.extend(place.replace(cx.waker().clone())),
    }
}

impl AsFd for RingSocket {
    #[expect(
        unsafe_code,
        reason = "the descriptor is the slot's, which this value keeps occupied"
    )]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the slot closes its socket after this value is dropped.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl AsRawFd for RingSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

impl Drop for RingSocket {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        self.ring.lock().release(self.slot, &mut woken);
        // Outside the lock: a waker may own a task that owns another socket of this ring.
        drop(woken);
    }
}

impl std::fmt::Debug for RingSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingSocket").field("fd", &self.fd).finish()
    }
}
