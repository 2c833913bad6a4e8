//! Taking connections from a listening socket, for either driver.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use crate::ring::Ring;
use crate::socket::Socket;
use crate::worker::Worker;

/// A listening socket of one worker's.
#[derive(Debug)]
pub(crate) enum Listener {
    Tokio(tokio::net::TcpListener),
    /// The runtime tells when somebody comes; what was accepted belongs to the ring alone.
    Ring(AsyncFd<TcpListener>, Ring),
}

impl Listener {
    pub(crate) fn new(worker: &Worker, socket: TcpListener) -> io::Result<Self> {
        Ok(match worker.ring() {
            Some(ring) => {
                socket.set_nonblocking(true)?;
                Self::Ring(waiting(socket)?, ring.clone())
            }
            None => Self::Tokio(tokio::net::TcpListener::from_std(socket)?),
        })
    }

    /// The next connection and where it comes from.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Socket, SocketAddr)>> {
        match self {
            Self::Tokio(listener) => {
                let (stream, from) = ready!(listener.poll_accept(cx))?;
                hurry(&stream);
                Poll::Ready(Ok((Socket::Tokio(stream), from)))
            }
            Self::Ring(listener, _) => loop {
                let mut ready = ready!(listener.poll_read_ready(cx))?;
                if let Ok(accepted) = ready.try_io(|_| self.accept_now()) {
                    return Poll::Ready(accepted);
                }
            },
        }
    }

    /// The next connection that waits already, whatever the runtime has been told; `WouldBlock` where there is none.
    pub(crate) fn accept_now(&self) -> io::Result<(Socket, SocketAddr)> {
        let descriptor = match self {
            Self::Tokio(listener) => listener.as_fd(),
            Self::Ring(listener, _) => listener.get_ref().as_fd(),
        };
        let (socket, from) =
            acceptfrom_with(descriptor, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        hurry(&socket);
        let from = from
            .and_then(|from| SocketAddr::try_from(from).ok())
            .ok_or(io::ErrorKind::ConnectionAborted)?;
        let socket = match self {
            Self::Tokio(_) => Socket::Tokio(TcpStream::from_std(socket.into())?),
            Self::Ring(_, ring) => Socket::Ring(ring.adopt(socket)),
        };
        Ok((socket, from))
    }
}

#[expect(unsafe_code, reason = "the runtime waits on the listener's descriptor")]
fn waiting(socket: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: the listener owns its descriptor and moves into the value that waits on it.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? })
}

/// Small answers must not wait for acknowledgements; without the option they are slower, not wrong.
fn hurry(socket: impl AsFd) {
    let _ = rustix::net::sockopt::set_tcp_nodelay(socket, true);
}
