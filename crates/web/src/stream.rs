//! Answers that go on: server-sent events and JSON lines, each fed by one channel of control.
//!
//! An event's id is its number from 1 in the stream. A client that lost its connection sends the last one as
//! `Last-Event-ID`, and since control tells a build's whole story to each new listener, the answer leaves out what the
//! client has seen. All streams end when control shuts down.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The time after which a silent stream says that it is alive; proxies commonly cut at 30 or 60 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The media type of JSON lines.
pub(crate) const JSON_LINES: &str = "application/x-ndjson";

/// A channel as a stream.
pub(crate) struct Received<T>(pub(crate) mpsc::Receiver<T>);

impl<T> Stream for Received<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

/// How many events a client has seen already.
pub(crate) fn seen(headers: &HeaderMap) -> usize {
    headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// Each item as one server-sent event whose data is its JSON.
pub(crate) fn events<T: Serialize + Send + 'static>(
    items: mpsc::Receiver<T>,
    headers: &HeaderMap,
    cancel: &CancellationToken,
) -> Response {
    let stream =
        Received(items)
            .enumerate()
            .skip(seen(headers))
            .filter_map(|(index, item)| async move {
                let data = serde_json::to_string(&item).ok()?;
                Some(Event::default().id((index + 1).to_string()).data(data))
            });
    event_stream(stream, cancel)
}

/// Events as an answer, with keep-alives, until they end or control does.
pub(crate) fn event_stream(
    events: impl Stream<Item = Event> + Send + 'static,
    cancel: &CancellationToken,
) -> Response {
    let events = events
        .take_until(cancel.clone().cancelled_owned())
        .map(Ok::<_, Infallible>);
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("alive"))
        .into_response();
    // nginx would hold events back otherwise.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Each item as one line of JSON.
pub(crate) fn lines<T: Serialize + Send + 'static>(
    items: mpsc::Receiver<T>,
    cancel: &CancellationToken,
) -> Response {
    let stream = Received(items)
        .filter_map(|item| async move {
            let mut line = serde_json::to_vec(&item).ok()?;
            line.push(b'\n');
            Some(Ok::<_, Infallible>(Bytes::from(line)))
        })
        .take_until(cancel.clone().cancelled_owned());
    (
        [(header::CONTENT_TYPE, JSON_LINES)],
        Body::from_stream(stream),
    )
        .into_response()
}

/// Whether a client wants server-sent events rather than JSON lines; one that takes both gets lines.
pub(crate) fn wants_events(headers: &HeaderMap) -> bool {
    let accepts = |media: &str| {
        headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains(media))
    };
    accepts("text/event-stream") && !accepts(JSON_LINES)
}
