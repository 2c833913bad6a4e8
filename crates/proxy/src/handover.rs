//! Handing the listening sockets to a successor, so that an upgrade fails no request.
//!
//! The successor connects to `handover.sock` and gets duplicates of the sockets (SCM_RIGHTS); from then on no table is applied
//! here. When it serves, it says `ready`, and this proxy stops: it accepts no more, ends what is in flight and goes. The
//! connections that wait in the sockets' queues are the successor's, since the sockets live on in it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixListener;

use crate::unix_path;
use crate::worker::Shared;

/// Sockets of one message; the kernel takes 253.
const MOST: usize = 250;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(60);
const READY: &[u8] = b"ready\n";

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    Http,
    Https,
    Admin,
}

/// What goes with the sockets.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    /// Of each socket, in order.
    purposes: Vec<Purpose>,
}

const VERSION: u32 = 1;

/// Where a proxy with this control socket hands over.
pub(crate) fn path(control_socket: &Path) -> PathBuf {
    control_socket.with_file_name("handover.sock")
}

/// Sockets taken from a predecessor.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) sockets: Vec<(Purpose, TcpListener)>,
    predecessor: UnixStream,
}

impl Taken {
    /// Tells the predecessor to stop.
    pub(crate) fn ready(mut self) -> io::Result<()> {
        self.predecessor.write_all(READY)
    }
}

/// Asks the predecessor for its sockets; `None` where there is none.
pub(crate) fn take(path: &Path) -> io::Result<Option<Taken>> {
    let mut predecessor = match unix_path::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    predecessor.set_read_timeout(Some(PATIENCE))?;
    predecessor.set_write_timeout(Some(PATIENCE))?;
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; 64 * 1024];
    let received = recvmsg(
        &predecessor,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    bytes.truncate(received.bytes);
    // The header is one short write, but a stream promises nothing.
    while !bytes.ends_with(b"\n") {
        let mut more = [0; 4096];
        match predecessor.read(&mut more)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&more[..read]),
        }
    }
    let header: Header = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    if header.version != VERSION || header.purposes.len() != descriptors.len() {
        return Err(io::Error::other("the predecessor speaks another version"));
    }
    let sockets = header
        .purposes
        .into_iter()
        .zip(descriptors.into_iter().map(TcpListener::from))
        .collect();
    Ok(Some(Taken {
        sockets,
        predecessor,
    }))
}

/// Hands over to whoever comes, until one is ready or the proxy stops. `sockets` gives duplicates of all listening sockets.
pub(crate) async fn serve(
    listener: UnixListener,
    shared: Arc<Shared>,
    sockets: impl Fn() -> io::Result<Vec<(Purpose, TcpListener)>>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a successor could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        shared.replaced.store(true, Ordering::SeqCst);
        let handed = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            handed = tokio::time::timeout(PATIENCE, hand_over(stream, &sockets)) => handed,
        };
        match handed {
            Ok(Ok(())) => {
                tracing::info!("a successor serves; stopping");
                shared.stop.cancel();
                return;
            }
            Ok(Err(error)) => tracing::warn!(%error, "a successor did not take over"),
            Err(_) => tracing::warn!("a successor took too long"),
        }
        shared.replaced.store(false, Ordering::SeqCst);
    }
}

async fn hand_over(
    mut stream: tokio::net::UnixStream,
    sockets: &impl Fn() -> io::Result<Vec<(Purpose, TcpListener)>>,
) -> io::Result<()> {
    let sockets = sockets()?;
    if sockets.len() > MOST {
        return Err(io::Error::other("there are too many sockets"));
    }
    let header = Header {
        version: VERSION,
        purposes: sockets.iter().map(|(purpose, _)| *purpose).collect(),
    };
    let mut bytes = serde_json::to_vec(&header).map_err(io::Error::other)?;
    bytes.push(b'\n');
    let descriptors: Vec<BorrowedFd<'_>> =
        sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            let sent = sendmsg(
                stream.as_fd(),
                &[IoSlice::new(&bytes)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            );
            Ok(sent?)
        })
        .await?;
    tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes[sent..]).await?;
    let mut word = [0; READY.len()];
    stream.read_exact(&mut word).await?;
    match word == *READY {
        true => Ok(()),
        false => Err(io::Error::other("the successor said something unknown")),
    }
}
