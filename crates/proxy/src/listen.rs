//! Listening sockets.
//!
//! Each worker has a socket of its own on the same address (SO_REUSEPORT), so that the kernel spreads connections and no lock is
//! shared. Closing one of such a group resets the connections that wait on it, so the starter keeps a duplicate of each for
//! the life of the process: a worker that is started anew takes the same socket over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::ProxyError;

/// Connections that may wait to be accepted, per socket.
const BACKLOG: i32 = 4096;

/// The sockets of one address: one for each worker, or the inherited ones, shared.
#[derive(Debug)]
pub(crate) struct Group {
    address: SocketAddr,
    sockets: Mutex<Vec<TcpListener>>,
}

impl Group {
    /// Binds an address for this many workers.
    pub(crate) fn bind(address: SocketAddr, workers: usize) -> Result<Self, ProxyError> {
        let trouble = |source| ProxyError::Listen { address, source };
        // Sockets of a group may be joined by any process of the same user, who would then silently share our connections.
        // Binding without SO_REUSEPORT first finds the address free or fails.
        let probe = open(address, false).map_err(trouble)?;
        let bound = probe.local_addr().map_err(trouble)?;
        drop(probe);
        let mut sockets = Vec::with_capacity(workers);
        for _ in 0..workers {
            sockets.push(open(bound, true).map_err(trouble)?);
        }
        Ok(Self {
            address: bound,
            sockets: Mutex::new(sockets),
        })
    }

    /// Takes sockets over that already listen on one address.
    pub(crate) fn inherit(address: SocketAddr, sockets: Vec<TcpListener>) -> io::Result<Self> {
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        Ok(Self {
            address,
            sockets: Mutex::new(sockets),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Duplicates of a worker's sockets. Every socket is some worker's: connections wait on each.
    pub(crate) fn of_worker(&self, worker: usize, workers: usize) -> io::Result<Vec<TcpListener>> {
        let sockets = self.sockets();
        match sockets.len() {
            0 => Err(io::ErrorKind::NotConnected.into()),
            count if count < workers => Ok(vec![sockets[worker % count].try_clone()?]),
            _ => sockets
                .iter()
                .skip(worker)
                .step_by(workers)
                .map(TcpListener::try_clone)
                .collect(),
        }
    }

    /// Duplicates of all sockets.
    pub(crate) fn all(&self) -> io::Result<Vec<TcpListener>> {
        self.sockets().iter().map(TcpListener::try_clone).collect()
    }

    /// Closes the starter's duplicates, when the proxy stops: with the workers' own gone too, new connections are refused
    /// instead of waiting for nobody.
    pub(crate) fn close(&self) {
        self.sockets().clear();
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<TcpListener>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
