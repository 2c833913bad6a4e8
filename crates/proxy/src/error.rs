//! Why the proxy could not start or had to end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the proxy could not start or had to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// An address to listen on is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No address to take HTTP on was given.
    #[error("no address to listen on was given")]
    NoAddress,
    /// The control socket cannot be made.
    #[error("cannot listen on the control socket {}", path.display())]
    ControlSocket {
        /// Where it would lie.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another proxy answers on the control socket.
    #[error("another proxy already serves {}", path.display())]
    AlreadyRuns {
        /// The socket.
        path: PathBuf,
    },
    /// A certificate or its key is unusable.
    #[error("the certificate {} cannot be used: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The access log cannot be opened.
    #[error("cannot write the access log {}", path.display())]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A thread or a runtime cannot be started.
    #[error("cannot start {what}")]
    Start {
        /// What.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
