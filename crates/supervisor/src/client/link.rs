//! The connection to a shim: connects, follows its news, and finds out how it ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use launchway_model::PROTOCOL;
use launchway_model::instance::InstanceState;
use launchway_model::shim::{ShimReply, ShimRequest, ShimSpec, ShimStatus};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::folder::InstanceFolder;
use super::{ANSWER_PATIENCE, Shared, ShimHandle, ShimLink, ShimView, leftovers};
use crate::SupervisorError;

/// The pause between two looks at a shim that has closed its connection and is about to be gone.
const PAUSE: Duration = Duration::from_millis(2);
/// The longest such pause, should it take its time.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Connects to a living shim. One that does not answer within `patience` is taken as it last wrote of itself.
///
/// # Errors
/// [`SupervisorError::Gone`] where none listens.
pub(super) async fn connect(
    folder: InstanceFolder,
    spec: ShimSpec,
    patience: Duration,
) -> Result<ShimHandle, SupervisorError> {
    let gone = || SupervisorError::Gone {
        instance: spec.instance.clone(),
    };
    let mut stream = match timeout(ANSWER_PATIENCE, open(&folder)).await {
        Ok(Ok(stream)) => stream,
        _ => return Err(gone()),
    };
    let status = match timeout(patience, next_reply(&mut stream)).await {
        Ok(Ok(ShimReply::Status(status))) => status,
        Ok(_) => return Err(gone()),
        Err(_) => folder.state().unwrap_or_else(|| unknown(&spec)),
    };
    Ok(handle(folder, spec, status, Some(stream)))
}

/// Connects to a shim that has just said that it is ready. It may be gone by now, if its app ran once and shortly: the handle
/// then tells how it ended.
pub(super) async fn connect_to_new(
    folder: InstanceFolder,
    spec: ShimSpec,
    patience: Duration,
) -> ShimHandle {
    match connect(folder.clone(), spec.clone(), patience).await {
        Ok(handle) => handle,
        Err(_) => {
            let status = folder.state().unwrap_or_else(|| unknown(&spec));
            handle(folder, spec, status, None)
        }
    }
}

fn handle(
    folder: InstanceFolder,
    spec: ShimSpec,
    status: ShimStatus,
    stream: Option<BufReader<UnixStream>>,
) -> ShimHandle {
    let (sender, view) = watch::channel(ShimView {
        status,
        link: ShimLink::Live,
    });
    let cgroup = spec.sandbox.cgroup.clone();
    let follower = tokio::spawn(follow(stream, sender, folder.clone(), cgroup));
    ShimHandle {
        shared: Arc::new(Shared {
            spec,
            folder,
            view,
            _follower: AbortOnDropHandle::new(follower),
        }),
    }
}

/// Asks one question over a connection of its own.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] where there is no answer in time; others where there is no shim.
pub(super) async fn ask(
    folder: &InstanceFolder,
    request: &ShimRequest,
    patience: Duration,
) -> io::Result<ShimReply> {
    let asked = async {
        let mut stream = BufReader::new(folder.connect().await?);
        send(&mut stream, request).await?;
        next_reply(&mut stream).await
    };
    timeout(patience, asked)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Connects and asks for the news.
async fn open(folder: &InstanceFolder) -> io::Result<BufReader<UnixStream>> {
    let mut stream = BufReader::new(folder.connect().await?);
    send(&mut stream, &ShimRequest::Watch).await?;
    Ok(stream)
}

async fn send(stream: &mut BufReader<UnixStream>, request: &ShimRequest) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn next_reply(stream: &mut BufReader<UnixStream>) -> io::Result<ShimReply> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let reply = serde_json::from_str(&line)?;
    match &reply {
        // A shim may be one version older than control, or newer after control went back to its former version.
        ShimReply::Status(status) if status.protocol.abs_diff(PROTOCOL) > 1 => {
            let words = format!(
                "the shim of {} speaks protocol {}, and this is {PROTOCOL}",
                status.instance, status.protocol
            );
            Err(io::Error::new(io::ErrorKind::InvalidData, words))
        }
        _ => Ok(reply),
    }
}

/// Passes on what a shim says until it is gone.
async fn follow(
    mut stream: Option<BufReader<UnixStream>>,
    sender: watch::Sender<ShimView>,
    folder: InstanceFolder,
    cgroup: Option<String>,
) {
    let mut said_stopped = None;
    loop {
        if let Some(stream) = &mut stream {
            said_stopped = pass_on(stream, &sender).await;
        }
        match connect_again(&folder).await {
            Some(again) => stream = Some(again),
            None => break,
        }
    }
    let written = folder
        .state()
        .filter(|status| matches!(status.state, InstanceState::Stopped { .. }));
    if let Some(status) = said_stopped.or(written) {
        sender.send_replace(ShimView {
            status,
            link: ShimLink::Ended,
        });
        return;
    }
    let marker = folder.marker();
    // Its panic would be a fault of ours; the shim has died all the same.
    let _ = spawn_blocking(move || {
        leftovers::end(&[marker]);
        leftovers::end_groups(cgroup.as_slice());
    })
    .await;
    let last = folder.state();
    sender.send_modify(|view| {
        if let Some(last) = last {
            view.status = last;
        }
        view.link = ShimLink::Died;
    });
}

/// Passes on what a shim says until the connection ends. What it says of its own end is held back and given: the app is gone
/// then, but the shim is not quite, and who hears of it may want to use the folder.
async fn pass_on(
    stream: &mut BufReader<UnixStream>,
    sender: &watch::Sender<ShimView>,
) -> Option<ShimStatus> {
    let mut said_stopped = None;
    while let Ok(reply) = next_reply(stream).await {
        match reply {
            ShimReply::Status(status) if matches!(status.state, InstanceState::Stopped { .. }) => {
                said_stopped = Some(status);
            }
            ShimReply::Status(status) => sender.send_modify(|view| view.status = status),
            ShimReply::Refused { reason } => {
                tracing::warn!(reason, "a shim refused to be watched");
            }
        }
    }
    said_stopped
}

/// After a connection's end: a new one where the shim lives on (it cuts off those who do not read), nothing once it is gone.
async fn connect_again(folder: &InstanceFolder) -> Option<BufReader<UnixStream>> {
    let mut pause = PAUSE;
    while folder.has_shim() {
        if let Ok(stream) = open(folder).await {
            return Some(stream);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    None
}

/// The status of a shim that has said and written nothing yet.
fn unknown(spec: &ShimSpec) -> ShimStatus {
    ShimStatus {
        protocol: PROTOCOL,
        instance: spec.instance.clone(),
        shim_pid: 0,
        state: InstanceState::Starting,
        restarts: 0,
        last_exit: None,
    }
}
