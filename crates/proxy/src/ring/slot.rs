//! What a ring keeps of one connection.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::Waker;

/// What has come and nobody has read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inbox {
    /// Nothing is asked of the kernel.
    Idle,
    /// A receive is under way.
    Armed,
    /// All buffers are taken; asked again with the next turn.
    Starved,
    Data {
        buffer: u16,
        start: u32,
        end: u32,
    },
    /// The peer has ended its side.
    End,
    Failed(i32),
}

/// What is known of a socket's readiness, for those who do their own system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Worth a try.
    Unknown,
    /// A try would have blocked.
    Blocked,
    /// The kernel is asked.
    Armed,
}

/// What is to go out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Written by tasks since the last send began.
    pub(super) queued: Vec<u8>,
    /// Of the send that is under way.
    pub(super) sending: Vec<u8>,
    /// How much of `sending` the kernel has taken.
    pub(super) taken: usize,
    pub(super) in_flight: bool,
    /// Whether the slot is on the ring's list of those with something to send.
    pub(super) is_dirty: bool,
    pub(super) failed: Option<i32>,
    /// Bytes that the kernel has taken in all.
    pub(super) sent: u64,
}

impl Outbox {
    pub(super) fn rest(&self) -> &[u8] {
        &self.sending[self.taken..]
    }

    pub(super) fn is_drained(&self) -> bool {
        !self.in_flight && self.queued.is_empty() && self.rest().is_empty()
    }

    /// Notes that the connection takes nothing any more.
    pub(super) fn fail(&mut self, error: i32) {
        self.failed = Some(error);
        self.queued.clear();
        self.sending.clear();
        self.taken = 0;
    }

    pub(super) fn check(&self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => Ok(()),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Slot {
    socket: Option<OwnedFd>,
    pub(super) generation: u32,
    pub(super) inbox: Inbox,
    /// Whether the last receive filled its buffer, so that more is likely to be there.
    pub(super) is_bulky: bool,
    /// Bytes read past the ring since the reader last let others run.
    pub(super) burst: usize,
    pub(super) outbox: Outbox,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// For reading, for writing.
    pub(super) ready: [Readiness; 2],
    /// Whether its owner has gone; it is freed with its last completion.
    pub(super) is_closing: bool,
}

impl Slot {
    pub(super) fn vacant() -> Self {
        Self {
            socket: None,
            generation: 0,
            inbox: Inbox::Idle,
            is_bulky: false,
            burst: 0,
            outbox: Outbox::default(),
            reader: None,
            writer: None,
            ready: [Readiness::Unknown; 2],
            is_closing: false,
        }
    }

    pub(super) fn occupy(&mut self, socket: OwnedFd) {
        debug_assert!(self.socket.is_none(), "a free slot holds no socket");
        self.socket = Some(socket);
        self.generation = self.generation.wrapping_add(1);
    }

    /// Closes the socket; the room of its outbox goes to the caller.
    pub(super) fn vacate(&mut self) -> Outbox {
        let generation = self.generation;
        let before = std::mem::replace(self, Self::vacant());
        self.generation = generation;
        before.outbox
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket
            .as_ref()
            .expect("an occupied slot has its socket")
            .as_raw_fd()
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        self.socket
            .as_ref()
            .expect("an occupied slot has its socket")
    }

    /// Whether the kernel has an operation of it.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.inbox, Inbox::Armed)
            || self.outbox.in_flight
            || self.ready.contains(&Readiness::Armed)
    }
}
