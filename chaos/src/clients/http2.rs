//! `GET` over one HTTP/2 connection with prior knowledge, three streams at a time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Aim, Fault, PATIENCE, check, fault, note};
use crate::ledger::{Kind, Ledger};

const PAUSE: Duration = Duration::from_millis(30);
const STREAMS: usize = 3;

pub(super) fn ask(ledger: &Ledger, aim: &Aim) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut kept: Option<SendRequest<Empty<Bytes>>> = None;
    let mut alive = ledger.now();
    while !ledger.has_ended() {
        if kept.is_none() {
            alive = ledger.now();
        }
        let results = runtime.block_on(round(ledger, aim, &mut kept));
        for result in results {
            note(ledger, Kind::Http2, alive, result, || {
                let again = runtime.block_on(round(ledger, aim, &mut None));
                again.into_iter().collect()
            });
        }
        alive = ledger.now();
        runtime.block_on(async { tokio::time::sleep(PAUSE).await });
    }
}

async fn round(
    ledger: &Ledger,
    aim: &Aim,
    kept: &mut Option<SendRequest<Empty<Bytes>>>,
) -> Vec<Result<(), Fault>> {
    // A connection that a proxy on its way out has said goodbye on takes no more requests; that fails nothing.
    let usable = match kept.take() {
        Some(mut send) => send.ready().await.is_ok().then_some(send),
        None => None,
    };
    let send = match usable {
        Some(send) => send,
        None => match connect(aim).await {
            Ok(send) => send,
            Err(fault) => return vec![Err(fault)],
        },
    };
    let streams = (0..STREAMS).map(|_| one(ledger, aim, send.clone()));
    let results = join(streams).await;
    if results.iter().all(Result::is_ok) {
        *kept = Some(send);
    }
    results
}

async fn join(
    streams: impl Iterator<Item = impl Future<Output = Result<(), Fault>>>,
) -> Vec<Result<(), Fault>> {
    let mut pending: Vec<_> = streams.map(Box::pin).collect();
    let mut results: Vec<Option<Result<(), Fault>>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (stream, result) in pending.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(done) = stream.as_mut().poll(context)
            {
                *result = Some(done);
            }
        }
        match results.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

async fn connect(aim: &Aim) -> Result<SendRequest<Empty<Bytes>>, Fault> {
    let stream = tokio::net::TcpStream::connect(aim.proxy).await?;
    let shaking = handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (send, connection) = tokio::time::timeout(PATIENCE, shaking).await??;
    tokio::spawn(connection);
    Ok(send)
}

async fn one(ledger: &Ledger, aim: &Aim, mut send: SendRequest<Empty<Bytes>>) -> Result<(), Fault> {
    let before = ledger.allowed();
    let request = || {
        http::Request::get(format!("http://{}/page", aim.host))
            .body(Empty::new())
            .map_err(Fault::from)
    };
    let answer = match tokio::time::timeout(PATIENCE, send.send_request(request()?)).await? {
        // The connection said goodbye before this stream began: it was never sent.
        Err(error) if error.is_canceled() => {
            let mut fresh = connect(aim).await?;
            tokio::time::timeout(PATIENCE, fresh.send_request(request()?)).await??
        }
        other => other?,
    };
    let status = answer.status().as_u16();
    let body = tokio::time::timeout(PATIENCE, answer.into_body().collect()).await??;
    let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|_| fault("no text"))?;
    check(ledger, &before, status, &text, "")
}
