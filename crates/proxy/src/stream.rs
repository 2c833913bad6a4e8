//! Byte streams to clients and apps, the buffers between them, and deadlines that cost nothing while they hold.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use crate::ring::RingSocket;
use crate::socket::{Raw, Socket};

/// A connection to a client or to an app.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TCP or Unix, over the worker's ring.
    Ring(RingSocket),
    /// Both halves run in one task, so the lock is never contended.
    Tls(Box<Mutex<TlsStream<Socket>>>),
}

/// The half that is read.
pub(crate) enum ReadHalf<'s> {
    Tcp(tcp::ReadHalf<'s>),
    Unix(unix::ReadHalf<'s>),
    Ring(&'s RingSocket),
    Tls(&'s Mutex<TlsStream<Socket>>),
}

/// The half that is written.
pub(crate) enum WriteHalf<'s> {
    Tcp(tcp::WriteHalf<'s>),
    Unix(unix::WriteHalf<'s>),
    Ring(&'s RingSocket),
    Tls(&'s Mutex<TlsStream<Socket>>),
}

impl Stream {
    pub(crate) fn plain(socket: Socket) -> Self {
        match socket {
            Socket::Tokio(stream) => Self::Tcp(stream),
            Socket::Ring(socket) => Self::Ring(socket),
        }
    }

    pub(crate) fn tls(stream: TlsStream<Socket>) -> Self {
        Self::Tls(Box::new(Mutex::new(stream)))
    }

    pub(crate) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Unix(stream) => {
                let (read, write) = stream.split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
            Self::Ring(socket) => (ReadHalf::Ring(socket), WriteHalf::Ring(socket)),
            Self::Tls(stream) => (ReadHalf::Tls(stream), WriteHalf::Tls(stream)),
        }
    }

    /// Whether the peer has neither sent anything nor closed. Asks the kernel only where it has flagged the connection.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut byte = [0_u8; 1];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Ring(socket) => return socket.is_quiet(),
            Self::Tls(_) => return false,
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sees to it that [`Stream::is_quiet`] is told what happens while nobody reads.
    pub(crate) fn watch(&self) {
        if let Self::Ring(socket) = self {
            socket.watch();
        }
    }

    /// As [`Stream::is_quiet`], asking the kernel in any case: its flag may be waiting to be read with other news.
    pub(crate) fn is_quiet_now(&self) -> bool {
        match self {
            Self::Tcp(stream) => is_silent(stream.as_fd()),
            Self::Unix(stream) => is_silent(stream.as_fd()),
            Self::Ring(socket) => socket.is_quiet() && is_silent(socket.as_fd()),
            Self::Tls(_) => false,
        }
    }

    /// Whether something has come that the runtime may not have told yet.
    pub(crate) fn has_come(&self) -> bool {
        match self {
            Self::Ring(socket) => socket.has_come(),
            Self::Tcp(_) | Self::Unix(_) => !self.is_quiet_now(),
            Self::Tls(stream) => {
                let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                match stream.get_ref().0 {
                    Socket::Tokio(socket) => !is_silent(socket.as_fd()),
                    Socket::Ring(socket) => socket.has_come(),
                }
            }
        }
    }

    /// Waits until something may be read, without a buffer to read it into.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => Pin::new(stream).poll_read_ready(cx),
            Self::Ring(socket) => socket.poll_readable(cx),
            Self::Tls(stream) => {
                let stream = stream.get_mut().unwrap_or_else(PoisonError::into_inner);
                stream.get_ref().0.poll_readable(cx)
            }
        }
    }
}

/// Whether the kernel has neither bytes nor an end to read.
fn is_silent(socket: BorrowedFd<'_>) -> bool {
    let mut byte = [0_u8; 1];
    let peeked = rustix::net::recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(peeked, Err(Errno::AGAIN))
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Unix(_) => "Unix",
            Self::Ring(_) => "Ring",
            Self::Tls(_) => "Tls",
        })
    }
}

impl ReadHalf<'_> {
    /// The socket itself, where nothing lies between it and the bytes.
    pub(crate) fn raw(&self) -> Option<Raw<'_>> {
        match self {
            Self::Tcp(half) => Some(Raw::Tokio(half.as_ref())),
            Self::Ring(socket) => Some(Raw::Ring(socket)),
            Self::Unix(_) | Self::Tls(_) => None,
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(into);
        ready!(match self {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, &mut room),
            Self::Unix(half) => Pin::new(half).poll_read(cx, &mut room),
            Self::Ring(socket) => return socket.poll_read(cx, into),
            Self::Tls(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                Pin::new(&mut *stream).poll_read(cx, &mut room)
            }
        })?;
        Poll::Ready(Ok(room.filled().len()))
    }
}

impl WriteHalf<'_> {
    /// The socket itself, where nothing lies between it and the bytes.
    pub(crate) fn raw(&self) -> Option<Raw<'_>> {
        match self {
            Self::Tcp(half) => Some(Raw::Tokio(half.as_ref())),
            Self::Ring(socket) => Some(Raw::Ring(socket)),
            Self::Unix(_) | Self::Tls(_) => None,
        }
    }

    /// Bytes that the kernel has taken, and whether it takes no more; known only where writes are gathered, and
    /// [`WriteHalf::write_all`] returns before they have left.
    pub(crate) fn gathered(&self) -> Option<(u64, bool)> {
        match self {
            Self::Ring(socket) => Some((socket.sent(), socket.has_failed())),
            Self::Tcp(_) | Self::Unix(_) | Self::Tls(_) => None,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Unix(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Ring(socket) => socket.poll_write(cx, bytes),
            Self::Tls(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                Pin::new(&mut *stream).poll_write(cx, bytes)
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // Sockets have no buffer of their own in user space; a ring's leaves with its next turn.
            Self::Tcp(_) | Self::Unix(_) | Self::Ring(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                Pin::new(&mut *stream).poll_flush(cx)
            }
        }
    }

    /// Says that nothing more comes (a FIN; for TLS a close_notify before it).
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Ring(socket) => socket.poll_shutdown(cx),
            Self::Tls(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                Pin::new(&mut *stream).poll_shutdown(cx)
            }
        }
    }

    /// Writes everything; gives up when nothing moves for `patience`.
    pub(crate) async fn write_all(
        &mut self,
        bytes: &[u8],
        deadline: &mut Deadline,
        patience: Duration,
    ) -> io::Result<()> {
        let mut rest = bytes;
        self.write_rest(&mut rest, deadline, patience).await
    }

    /// As [`WriteHalf::write_all`]; `rest` tells after a failure what has not been taken.
    pub(crate) async fn write_rest(
        &mut self,
        rest: &mut &[u8],
        deadline: &mut Deadline,
        patience: Duration,
    ) -> io::Result<()> {
        let mut set = false;
        let flush_too = matches!(self, Self::Tls(_));
        poll_fn(|cx| {
            while !rest.is_empty() {
                match self.poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(written)) => {
                        *rest = &rest[written..];
                        set = false;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return timed(&mut set, deadline, patience, cx),
                }
            }
            if flush_too {
                match self.poll_flush(cx) {
                    Poll::Pending => return timed(&mut set, deadline, patience, cx),
                    flushed => return flushed,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// Sets the deadline at the first wait since the last progress, then asks it.
fn timed(
    set: &mut bool,
    deadline: &mut Deadline,
    patience: Duration,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if !*set {
        deadline.set(Instant::now() + patience);
        *set = true;
    }
    match deadline.poll(cx) {
        Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        Poll::Pending => Poll::Pending,
    }
}

/// A moment that moves with every request, over a timer that is armed anew only when it fires too early.
pub(crate) struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Instant,
    at: Instant,
}

impl Deadline {
    pub(crate) fn new(at: Instant) -> Self {
        Self {
            sleep: None,
            armed: at,
            at,
        }
    }

    pub(crate) fn set(&mut self, at: Instant) {
        self.at = at;
    }

    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Ready at the deadline or at most a quarter of its distance (one second at least) later.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let sleep = match &mut self.sleep {
                Some(sleep) => sleep,
                None => {
                    self.armed = self.at;
                    self.sleep
                        .insert(Box::pin(tokio::time::sleep_until(self.at.into())))
                }
            };
            if self.armed > self.at + Duration::from_millis(100) {
                // The deadline came nearer than the timer: worth a new timer only where the difference matters.
                let distance = self.at.saturating_duration_since(Instant::now());
                if self.armed - self.at > distance / 4 {
                    sleep.as_mut().reset(self.at.into());
                    self.armed = self.at;
                }
            }
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.at.into());
            self.armed = self.at;
        }
    }
}

/// Bytes read and not yet used.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// Room that a buffer begins with.
pub(crate) const SMALL: usize = 16 * 1024;
/// Room that a buffer grows to for large bodies.
pub(crate) const LARGE: usize = 128 * 1024;

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.len());
        self.start += bytes;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Forgets what is left and gives back the room of a large body.
    pub(crate) fn reset(&mut self) {
        self.start = 0;
        self.end = 0;
        if self.bytes.len() > SMALL {
            self.bytes = Vec::new();
        }
    }

    /// Makes at least one byte of room, growing up to `limit` in all; `false` where that is used up.
    pub(crate) fn make_room(&mut self, limit: usize) -> bool {
        if self.end < self.bytes.len() {
            return true;
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            return true;
        }
        if self.bytes.len() >= limit {
            return false;
        }
        let size = (self.bytes.len() * 2).clamp(SMALL.min(limit), limit);
        self.bytes.resize(size, 0);
        true
    }

    /// Makes room for a large body, where the buffer is empty.
    pub(crate) fn enlarge(&mut self) {
        if self.is_empty() && self.bytes.len() < LARGE {
            self.bytes.resize(LARGE, 0);
        }
    }

    /// Reads once into the room there is; 0 is the end of the stream.
    pub(crate) fn poll_fill(
        &mut self,
        from: &mut ReadHalf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let read = ready!(from.poll_read(cx, &mut self.bytes[self.end..]))?;
        self.end += read;
        Poll::Ready(Ok(read))
    }

    /// Reads once; gives up at the deadline.
    pub(crate) async fn fill(
        &mut self,
        from: &mut ReadHalf<'_>,
        deadline: &mut Deadline,
    ) -> io::Result<usize> {
        poll_fn(|cx| match self.poll_fill(from, cx) {
            Poll::Pending => match deadline.poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
            read => read,
        })
        .await
    }
}
