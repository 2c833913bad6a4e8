//! A TCP connection over either driver: tokio's readiness, or the worker's ring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::ring::{RingSocket, Side};

/// A TCP connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tokio(TcpStream),
    Ring(RingSocket),
}

impl Socket {
    /// Waits until something may be read, without a buffer to read it into.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tokio(stream) => stream.poll_read_ready(cx),
            Self::Ring(socket) => socket.poll_readable(cx),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tokio(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Ring(socket) => {
                let read = ready!(socket.poll_read(cx, into.initialize_unfilled()))?;
                into.advance(read);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tokio(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Ring(socket) => socket.poll_write(cx, bytes),
        }
    }

    /// Nothing to do: what a ring was given leaves with its next turn.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tokio(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Ring(socket) => socket.poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tokio(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Ring(socket) => {
                let mut written = 0;
                for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                    match socket.poll_write(cx, piece) {
                        Poll::Ready(Ok(size)) => {
                            written += size;
                            if size < piece.len() {
                                break;
                            }
                        }
                        // What was taken before is reported first; this comes up again with the next call.
                        _ if written > 0 => break,
                        other => return other,
                    }
                }
                Poll::Ready(Ok(written))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// A connection with nothing between it and its bytes, for calls that move them without the driver.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raw<'s> {
    Tokio(&'s TcpStream),
    Ring(&'s RingSocket),
}

impl Raw<'_> {
    /// Waits until the kernel has everything that was written.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tokio(_) => Poll::Ready(Ok(())),
            Self::Ring(socket) => socket.poll_drained(cx),
        }
    }

    /// Waits until a step in this direction is worth a try and makes it; one that blocked is waited for again.
    pub(crate) fn poll_step(
        &self,
        cx: &mut Context<'_>,
        side: Side,
        mut step: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let tried = match self {
                Self::Tokio(stream) => {
                    let interest = match side {
                        Side::Read => {
                            ready!(stream.poll_read_ready(cx))?;
                            Interest::READABLE
                        }
                        Side::Write => {
                            ready!(stream.poll_write_ready(cx))?;
                            Interest::WRITABLE
                        }
                    };
                    stream.try_io(interest, &mut step)
                }
                Self::Ring(socket) => {
                    ready!(socket.poll_try(cx, side))?;
                    let tried = step();
                    if matches!(&tried, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                        socket.blocked(side);
                    }
                    tried
                }
            };
            match tried {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsFd for Raw<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tokio(stream) => stream.as_fd(),
            Self::Ring(socket) => socket.as_fd(),
        }
    }
}
