//! A client's connection that speaks HTTP/2: hyper's server, then the same exchange as for HTTP/1.1.
//!
//! Limits against floods: streams at once, size of header lists, resets that a client may have pending, and pings that find dead peers.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::access::Record;
use crate::client_h1::{Kept, gather, refused_body};
use crate::dispatch::{Action, Meta, Peer, dispatch};
use crate::dress::Dress;
use crate::exchange::{self, AnswerSink, ClientGone, Failed, Outgoing, Piece, Source, SourceError};
use crate::files;
use crate::h1::body::may_trail;
use crate::h1::request::{RequestHead, authority_is_valid};
use crate::h1::response::ResponseHead;
use crate::h1::{Field, Length, Version, decimal};
use crate::options::Limits;
use crate::page::{Page, Wants};
use crate::socket::{Raw, Socket};
use crate::stream::{Deadline, SMALL};
use crate::target::Target;
use crate::worker::{Scratch, Worker};

const STREAMS: u32 = 128;
const WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(20);
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 256;

/// Serves a connection to its end.
pub(crate) async fn serve<I>(worker: Arc<Worker>, io: I, peer: Peer)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = worker.limits();
    let header_list = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(header_list)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER);
    let peer = Arc::new(peer);
    let of_requests = Arc::clone(&worker);
    let service = service_fn(move |request: Request<Incoming>| {
        let worker = Arc::clone(&of_requests);
        let peer = Arc::clone(&peer);
        async move { Ok::<_, Infallible>(respond(worker, peer, request).await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = worker.stop().cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection broke");
    }
}

/// Starts the exchange as a task of its own and answers as soon as there is a head.
async fn respond(
    worker: Arc<Worker>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let (head_to, head_from) = oneshot::channel();
    let (body_to, body_from) = mpsc::channel(2);
    let mut sink = StreamSink {
        head: Some(head_to),
        body: body_to,
        pending: Vec::new(),
        limits: worker.limits().clone(),
        length: Length::None,
        dress: Dress::default(),
        record: Record::default(),
        broken: Arc::default(),
    };
    let broken_off = Arc::clone(&sink.broken);
    let tracker = worker.tasks.clone();
    let task = tracker.spawn(async move {
        let mut room = worker.take_scratch();
        let mut meta = Meta::default();
        let ended = one_request(&worker, &peer, request, &mut room, &mut sink, &mut meta).await;
        worker.note(&meta, &sink.record);
        worker.give_scratch(room);
        if let Err(Cut) = ended {
            sink.cut();
        }
    });
    let task = AbortOnDropHandle::new(task);
    match head_from.await {
        Ok(head) => head.map(|()| AnswerBody {
            from: body_from,
            task: Some(task),
            broken: broken_off,
        }),
        // The exchange ended without a head: its client is to see a reset stream.
        Err(_) => {
            broken_off.store(true, Ordering::SeqCst);
            Response::new(AnswerBody {
                from: mpsc::channel(1).1,
                task: None,
                broken: broken_off,
            })
        }
    }
}

/// The exchange broke off; the stream is reset.
struct Cut;

async fn one_request(
    worker: &Arc<Worker>,
    peer: &Peer,
    incoming: Request<Incoming>,
    room: &mut Scratch,
    sink: &mut StreamSink,
    meta: &mut Meta,
) -> Result<(), Cut> {
    let limits = worker.limits();
    let (parts, body) = incoming.into_parts();
    let mut deadline = Deadline::new(Instant::now() + limits.answer_timeout);
    let (head, action) = match take_head(worker, peer, &parts, &body, meta, &mut room.request) {
        Ok(taken) => taken,
        Err(page) => {
            worker
                .shared()
                .refused_requests
                .fetch_add(1, Ordering::Relaxed);
            return page
                .answer(sink, Wants::Text, false, "", &mut deadline)
                .await
                .map_err(|ClientGone| Cut);
        }
    };
    // The header map is not needed any more and may be large.
    drop(parts);
    sink.dress = Dress::new(action.entry(), meta, &worker.compressing);
    sink.record.route = action.entry().map(Arc::clone);
    let mut source = StreamBody {
        limits,
        most: meta.body_bytes,
        body,
        held: Bytes::new(),
        lent: 0,
        ended: head.body == Length::None,
        trailers: Vec::new(),
        received: 0,
    };
    let page = match action {
        Action::Forward(entry) => {
            let mut measured = entry.meter.begin(worker.index(), meta.begun());
            let page = match gather(head, &mut source, &mut room.request).await {
                Err(error) => refused_body(error).ok_or(Cut)?,
                Ok(streamed) => {
                    let outgoing = Outgoing {
                        bytes: &room.request,
                        streamed,
                        to_head: meta.to_head,
                        idempotent: meta.idempotent,
                        upgrade: false,
                        expects_continue: head.expects_continue,
                        version: head.version,
                        host: &meta.host,
                        path: &meta.path,
                        mark: meta.mark,
                        canary: meta.canary,
                        answer_timeout: meta.answer_timeout,
                    };
                    let (status, ended) = exchange::forward(
                        worker,
                        &entry,
                        &outgoing,
                        &mut source,
                        sink,
                        &mut room.answer,
                        &mut deadline,
                    )
                    .await;
                    match ended {
                        Ok(_) => {
                            measured.answered(status);
                            return Ok(());
                        }
                        Err(Failed::Cut) => return Err(Cut),
                        Err(Failed::Answerable(status, reason)) => Page::trouble(status, reason),
                    }
                }
            };
            measured.answered(page.status);
            page
        }
        Action::File(entry, file) => {
            let mut measured = entry.meter.begin(worker.index(), meta.begun());
            let status = files::answer(&entry, &file, meta, sink, &mut deadline)
                .await
                .map_err(|ClientGone| Cut)?;
            measured.answered(status);
            return Ok(());
        }
        Action::Page(entry, page) => {
            if let Some(entry) = entry {
                entry
                    .meter
                    .begin(worker.index(), meta.begun())
                    .answered(page.status);
            }
            page
        }
    };
    page.answer(
        sink,
        meta.wants,
        meta.to_head,
        &meta.request_id,
        &mut deadline,
    )
    .await
    .map_err(|ClientGone| Cut)
}

/// Looks at the head as if it had come over HTTP/1.1, which the app speaks.
fn take_head(
    worker: &Worker,
    peer: &Peer,
    parts: &http::request::Parts,
    body: &Incoming,
    meta: &mut Meta,
    out: &mut Vec<u8>,
) -> Result<(Kept, Action), Page> {
    let bad = |reason| Page::trouble(400, reason);
    if matches!(parts.method, http::Method::CONNECT | http::Method::TRACE) {
        return Err(Page::trouble(405, "the method is not allowed here"));
    }
    let mut fields: Vec<Field<'_>> = Vec::with_capacity(parts.headers.len());
    // HTTP/2 may split the cookies (RFC 9113, section 8.2.3); HTTP/1.1 has them in one field.
    let mut cookies: Vec<u8> = Vec::new();
    for value in parts.headers.get_all(http::header::COOKIE) {
        if !cookies.is_empty() {
            cookies.extend_from_slice(b"; ");
        }
        cookies.extend_from_slice(value.as_bytes());
    }
    for (name, value) in &parts.headers {
        if name != http::header::COOKIE {
            fields.push(Field {
                name: name.as_str(),
                value: value.as_bytes(),
            });
        }
    }
    if !cookies.is_empty() {
        fields.push(Field {
            name: "cookie",
            value: &cookies,
        });
    }
    let host = parts.headers.get(http::header::HOST);
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), Some(host)) if authority.as_str().as_bytes() != host.as_bytes() => {
            return Err(bad("the Host field contradicts the authority"));
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| bad("the host is not valid"))?,
        (None, None) => return Err(bad("the host is missing")),
    };
    if authority.is_empty() || !authority_is_valid(authority) {
        return Err(bad("the host is not valid"));
    }
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if !target
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#')
        || !(target.starts_with('/') || target == "*")
    {
        return Err(bad("the request's address is not valid"));
    }
    let length = match parts.headers.get(http::header::CONTENT_LENGTH) {
        Some(length) => Some(
            decimal(length.as_bytes())
                .ok_or_else(|| bad("the Content-Length field is not a number"))?,
        ),
        None => None,
    };
    let body = match length {
        _ if body.is_end_stream() => Length::None,
        Some(0) => Length::None,
        Some(length) => Length::Fixed(length),
        None => Length::Chunked,
    };
    if matches!(body, Length::Fixed(length) if length > worker.limits().body_bytes) {
        return Err(Page::trouble(413, "the request's body is too large"));
    }
    let head = RequestHead {
        bytes: 0,
        method: parts.method.as_str(),
        target,
        authority,
        version: Version::Http11,
        fields: &fields,
        body,
        keep_alive: true,
        upgrade: None,
        expects_continue: false,
        lists_fields: false,
    };
    let action = dispatch(worker, peer, &head, meta, out);
    let kept = Kept {
        version: Version::Http11,
        body,
        keep_alive: true,
        expects_continue: false,
    };
    Ok((kept, action))
}

/// The body of a request of HTTP/2. Its window reopens as its frames are dropped, which is the backpressure.
struct StreamBody<'a> {
    limits: &'a Limits,
    most: u64,
    body: Incoming,
    held: Bytes,
    lent: usize,
    ended: bool,
    trailers: Vec<u8>,
    received: u64,
}

impl Source for StreamBody<'_> {
    fn decode(&mut self) -> Result<Piece<'_>, SourceError> {
        self.held.advance(std::mem::take(&mut self.lent));
        match (self.held.is_empty(), self.ended) {
            (false, _) => {
                self.lent = self.held.len();
                Ok(Piece::Data(&self.held))
            }
            (true, true) => Ok(Piece::End),
            (true, false) => Ok(Piece::Empty),
        }
    }

    async fn fill(&mut self) -> Result<(), SourceError> {
        self.held.advance(std::mem::take(&mut self.lent));
        let next = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx));
        let frame = match tokio::time::timeout(self.limits.body_gap, next).await {
            Err(_) => return Err(SourceError::TimedOut),
            Ok(Some(Err(_))) => return Err(SourceError::Gone),
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => {
                self.ended = true;
                return Ok(());
            }
        };
        match frame.into_data() {
            Ok(data) => {
                self.received += data.len() as u64;
                if self.received > self.most {
                    return Err(SourceError::TooLarge);
                }
                self.held = data;
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    write_trailers(&trailers, &mut self.trailers);
                }
            }
        }
        Ok(())
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        // A reset stream drops the answer's body, and that ends the exchange.
        Poll::Pending
    }
}

fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in trailers {
        crate::h1::push_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an answer to a stream of HTTP/2.
struct StreamSink {
    head: Option<oneshot::Sender<Response<()>>>,
    body: mpsc::Sender<Frame<Bytes>>,
    pending: Vec<u8>,
    limits: Limits,
    length: Length,
    dress: Dress,
    record: Record,
    /// Whether the end of the pieces is not the end of the answer.
    broken: Arc<AtomicBool>,
}

impl StreamSink {
    async fn send(
        &mut self,
        piece: Frame<Bytes>,
        deadline: &mut Deadline,
    ) -> Result<(), ClientGone> {
        let mut sending = pin!(self.body.send(piece));
        deadline.set(Instant::now() + self.limits.write_timeout);
        poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|_| ClientGone)),
            Poll::Pending => deadline.poll(cx).map(|()| Err(ClientGone)),
        })
        .await
    }

    async fn send_pending(&mut self, deadline: &mut Deadline) -> Result<(), ClientGone> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.record.bytes += self.pending.len() as u64;
        let piece = Bytes::from(std::mem::take(&mut self.pending));
        self.send(Frame::data(piece), deadline).await
    }

    /// Has the stream reset, so that the client does not take the answer for whole. A client whose window is shut learns it
    /// behind what is queued, when it opens the window; nothing here waits for that.
    fn cut(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }
}

impl AnswerSink for StreamSink {
    fn chosen(&mut self, target: &Arc<Target>) {
        self.dress.chosen(target);
        self.record.instance = Some(Arc::clone(target));
    }

    fn begin(&mut self, head: &ResponseHead<'_, '_>, _whole: bool) {
        self.record.status = head.status;
        let is_recoded = self.dress.decide(head);
        let mut response = Response::new(());
        // The parser allows 100 to 999 alone.
        *response.status_mut() =
            http::StatusCode::from_u16(head.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        headers.reserve(head.fields.len() + 1);
        for field in head.fields {
            if head.is_of_this_hop(field)
                || field.name.eq_ignore_ascii_case("trailer")
                || !self.dress.keeps(field.name)
            {
                continue;
            }
            // What HTTP/1.1 lets through and HTTP/2 does not is left out.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(field.name.as_bytes()),
                HeaderValue::from_bytes(field.value),
            ) {
                headers.append(name, value);
            }
        }
        for (name, value) in self.dress.added() {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) {
                headers.append(name, value);
            }
        }
        let length = match head.body {
            // Nobody knows how long it will be.
            _ if is_recoded => None,
            Length::Fixed(length) => Some(length),
            Length::None if head.status != 204 => head.content_length,
            _ => None,
        };
        if let Some(length) = length {
            headers.insert(http::header::CONTENT_LENGTH, length.into());
        }
        self.length = head.body;
        if let Some(to) = self.head.take() {
            // A client that has gone shows at the next write.
            let _ = to.send(response);
        }
    }

    fn interim(&mut self, _: &ResponseHead<'_, '_>) {
        // hyper's server has no way to send them.
    }

    async fn data(&mut self, payload: &[u8], deadline: &mut Deadline) -> Result<(), ClientGone> {
        if self.length == Length::None {
            return Ok(());
        }
        match self.dress.compressor() {
            Some(compressor) => {
                compressor.push(payload).map_err(|_| ClientGone)?;
                self.pending.append(compressor.output());
            }
            None => self.pending.extend_from_slice(payload),
        }
        match self.pending.len() >= SMALL {
            true => self.send_pending(deadline).await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self, deadline: &mut Deadline) -> Result<(), ClientGone> {
        if let Some(held_back) = self.dress.flush().map_err(|_| ClientGone)? {
            self.pending.append(held_back);
        }
        self.send_pending(deadline).await
    }

    fn raw(&self) -> Option<Raw<'_>> {
        None
    }

    fn passed(&mut self, bytes: u64) {
        self.record.bytes += bytes;
    }

    async fn end(&mut self, trailers: &[u8], deadline: &mut Deadline) -> Result<(), ClientGone> {
        if let Some(compressor) = self.dress.compressor() {
            compressor.finish().map_err(|_| ClientGone)?;
            self.pending.append(compressor.output());
        }
        self.send_pending(deadline).await?;
        let mut room = [httparse::EMPTY_HEADER; 32];
        if trailers.len() > 2
            && let Ok(httparse::Status::Complete((_, fields))) =
                httparse::parse_headers(trailers, &mut room)
        {
            let mut map = HeaderMap::new();
            for field in fields.iter().filter(|field| may_trail(field.name)) {
                if let (Ok(name), Ok(value)) = (
                    HeaderName::from_bytes(field.name.as_bytes()),
                    HeaderValue::from_bytes(field.value),
                ) {
                    map.append(name, value);
                }
            }
            self.send(Frame::trailers(map), deadline).await?;
        }
        Ok(())
    }
}

/// An answer's body as hyper takes it. Dropping it before its end ends the exchange.
struct AnswerBody {
    from: mpsc::Receiver<Frame<Bytes>>,
    task: Option<AbortOnDropHandle<()>>,
    broken: Arc<AtomicBool>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = ready!(self.from.poll_recv(cx));
        if next.is_some() {
            return Poll::Ready(next.map(Ok));
        }
        if let Some(task) = self.task.take() {
            // Nothing more comes; what the task has left to do is bookkeeping.
            task.detach();
        }
        match self.broken.swap(false, Ordering::SeqCst) {
            true => Poll::Ready(Some(Err(io::Error::other("the answer broke off")))),
            false => Poll::Ready(None),
        }
    }
}

/// A connection with the bytes that were read from it to find out what it speaks.
pub(crate) struct Rewound {
    first: Bytes,
    stream: Socket,
}

impl Rewound {
    pub(crate) fn new(first: Vec<u8>, stream: Socket) -> Self {
        Self {
            first: first.into(),
            stream,
        }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let size = self.first.len().min(into.remaining());
        into.put_slice(&self.first.split_to(size));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
