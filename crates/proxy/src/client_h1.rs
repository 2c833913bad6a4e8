//! A client's connection that speaks HTTP/1: requests one after the other, pipelined or not.
//!
//! **Invariant:** an idle connection holds no buffer.

mod body;
mod sink;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use self::body::ClientBody;
use self::sink::ClientSink;
use crate::access::Record;
use crate::client_h2;
use crate::dispatch::{Action, Meta, Peer, dispatch};
use crate::dress::Dress;
use crate::exchange::{self, ClientGone, Failed, Finished, Outgoing, Piece, Source, SourceError};
use crate::files;
use crate::h1::request::{self, field_room};
use crate::h1::response::Framing;
use crate::h1::{Length, Refusal, Version};
use crate::page::{Page, Wants};
use crate::socket::Socket;
use crate::stream::{Buffer, Deadline, ReadHalf, SMALL, Stream, WriteHalf};
use crate::target::OnTarget;
use crate::tunnel;
use crate::worker::{Scratch, Worker};

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
pub(crate) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client that was refused may go on sending before its connection is closed under it.
const LINGER: Duration = Duration::from_secs(3);

/// How long a replaced proxy keeps idle connections for one more request.
const PARTING: Duration = Duration::from_secs(3);

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Arc<Worker>, mut stream: Stream, peer: Peer) {
    let mut stop = pin!(worker.stop().cancelled());
    let mut deadline = Deadline::new(Instant::now() + worker.limits().head_timeout);
    let mut meta = Meta::default();
    let mut room = Some(worker.take_scratch());
    let mut served = 0_u64;
    loop {
        let has_more = room.as_ref().is_some_and(|room| !room.down.is_empty());
        if !has_more {
            if served > 0 {
                deadline.set(Instant::now() + worker.limits().idle_timeout);
            }
            match first_bytes(
                &worker,
                &mut stream,
                &mut room,
                &mut deadline,
                stop.as_mut(),
            )
            .await
            {
                Some(filled) => room = Some(filled),
                None => break,
            }
        }
        let Some(at_work) = room.as_mut() else { break };
        if served == 0 && !peer.tls && is_h2(&worker, &mut stream, at_work, &mut deadline).await {
            let first = at_work.down.filled().to_vec();
            if let Some(room) = room.take() {
                worker.give_scratch(room);
            }
            let socket = match stream {
                Stream::Tcp(stream) => Socket::Tokio(stream),
                Stream::Ring(socket) => Socket::Ring(socket),
                Stream::Unix(_) | Stream::Tls(_) => return,
            };
            client_h2::serve(worker.clone(), client_h2::Rewound::new(first, socket), peer).await;
            return;
        }
        served += 1;
        meta.clear();
        let mut record = Record::default();
        let request = Request {
            meta: &mut meta,
            record: &mut record,
        };
        let after = one_request(&worker, &mut stream, &peer, at_work, request, &mut deadline);
        let after = after.await;
        if meta.begun.is_some() || record.status != 0 {
            worker.note(&meta, &record);
        }
        match after {
            // Only a tunnel goes on being in flight.
            After::Next => meta.admitted = None,
            After::Close => {
                let (_, mut write) = stream.split();
                close(&mut write, &mut deadline).await;
                break;
            }
            After::Cut => break,
            After::Linger => {
                linger(&mut stream, at_work, &mut deadline).await;
                break;
            }
            After::Tunnel { mut to, guard } => {
                tunnel::run(
                    worker.limits().tunnel_idle,
                    worker.stop(),
                    &mut stream,
                    &mut at_work.down,
                    &mut to,
                    &mut at_work.answer.buffer,
                )
                .await;
                drop(guard);
                break;
            }
        }
    }
    if let Some(room) = room {
        worker.give_scratch(room);
    }
}

/// What happens to the connection behind a request.
enum After {
    /// It takes the next request.
    Next,
    /// It is closed.
    Close,
    /// It is closed, but the client may be sending still, and should get the answer.
    Linger,
    /// It is closed at once, so that the client sees that the answer is not whole.
    Cut,
    /// It belongs to another protocol now.
    Tunnel { to: Stream, guard: OnTarget },
}

/// What is remembered of the request at work and noted of its answer.
struct Request<'r> {
    meta: &'r mut Meta,
    record: &'r mut Record,
}

/// Waits for bytes of the next request, without a buffer as long as there are none. A proxy that a successor has replaced
/// does so for a while yet: a client that is about to use its kept connection gets an answer that says goodbye, instead of
/// finding the connection closed under its request.
async fn first_bytes(
    worker: &Worker,
    stream: &mut Stream,
    room: &mut Option<Scratch>,
    deadline: &mut Deadline,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Option<Scratch> {
    let mut parting = false;
    poll_fn(|cx| {
        loop {
            if let Some(mut held) = room.take() {
                // An empty buffer can always make room.
                held.down.make_room(SMALL);
                let (mut read, _) = stream.split();
                match held.down.poll_fill(&mut read, cx) {
                    Poll::Ready(Ok(1..)) => return Poll::Ready(Some(held)),
                    Poll::Ready(_) => {
                        *room = Some(held);
                        return Poll::Ready(None);
                    }
                    Poll::Pending => worker.give_scratch(held),
                }
            }
            match stream.poll_readable(cx) {
                Poll::Ready(Ok(())) => *room = Some(worker.take_scratch()),
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        let mut is_over = deadline.poll(cx).is_ready();
        if !parting && stop.as_mut().poll(cx).is_ready() {
            if worker.is_replaced() {
                parting = true;
                deadline.set(deadline.at().min(Instant::now() + PARTING));
                is_over = deadline.poll(cx).is_ready();
            } else {
                is_over = true;
            }
        }
        // A request that has come is answered, even if nobody was told of it yet.
        match is_over && !stream.has_come() {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    })
    .await
}

/// Whether the connection opens with HTTP/2's preface; reads on while that is open.
async fn is_h2(
    worker: &Worker,
    stream: &mut Stream,
    room: &mut Scratch,
    deadline: &mut Deadline,
) -> bool {
    deadline.set(Instant::now() + worker.limits().head_timeout);
    loop {
        let first = room.down.filled();
        if first.len() >= H2_PREFACE.len() {
            return first.starts_with(H2_PREFACE);
        }
        // `PR` may be the start of PROPFIND; `PRI ` is no method of HTTP/1.
        if !H2_PREFACE.starts_with(first) {
            return false;
        }
        let (mut read, _) = stream.split();
        if !room.down.make_room(SMALL)
            || !matches!(room.down.fill(&mut read, deadline).await, Ok(1..))
        {
            return false;
        }
    }
}

/// Reads a request and answers it.
async fn one_request(
    worker: &Arc<Worker>,
    stream: &mut Stream,
    peer: &Peer,
    room: &mut Scratch,
    Request { meta, record }: Request<'_>,
    deadline: &mut Deadline,
) -> After {
    let limits = worker.limits();
    let (mut read, mut write) = stream.split();
    let Scratch {
        down,
        request,
        out,
        answer,
    } = room;
    out.clear();
    let read_head = read_head(worker, peer, &mut read, down, request, meta, deadline);
    let (head, action) = match read_head.await {
        Ok(Some(taken)) => taken,
        Ok(None) => return After::Cut,
        Err(refusal) => {
            meta.parts.client.push_str(&peer.text);
            return refuse(worker, &mut write, out, deadline, refusal, record).await;
        }
    };
    let keep_alive = head.keep_alive && !worker.stop().is_cancelled();
    let mut sink = ClientSink {
        limits,
        write: &mut write,
        out,
        framing: Framing {
            body: Length::None,
            keep_alive,
        },
        http10: head.version == Version::Http10,
        begun: false,
        dress: Dress::new(action.entry(), meta, &worker.compressing),
        record,
    };
    sink.record.route = action.entry().map(Arc::clone);
    let mut source = ClientBody::new(limits, &mut read, down, head.body, meta.body_bytes);
    let (entry, page) = match action {
        Action::Forward(entry) => {
            let mut measured = entry.meter.begin(worker.index(), meta.begun());
            let streamed = match gather(head, &mut source, request).await {
                Ok(streamed) => streamed,
                Err(error) => {
                    return match refused_body(error) {
                        Some(page) => {
                            measured.answered(page.status);
                            sink.framing.keep_alive = false;
                            page_then(&page, meta, &mut sink, deadline, After::Linger).await
                        }
                        None => After::Cut,
                    };
                }
            };
            let outgoing = Outgoing {
                bytes: request,
                streamed,
                to_head: meta.to_head,
                idempotent: meta.idempotent,
                upgrade: meta.upgrade,
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
                &mut sink,
                answer,
                deadline,
            )
            .await;
            measured.answered(status);
            match ended {
                Ok(Finished::Answered { whole }) => {
                    return match (whole, sink.framing.keep_alive) {
                        (true, true) => After::Next,
                        (true, false) => After::Close,
                        (false, _) => After::Linger,
                    };
                }
                Ok(Finished::Upgraded { stream: to, guard }) => {
                    return After::Tunnel { to, guard };
                }
                Err(Failed::Cut) => {
                    measured.answered(0);
                    return After::Cut;
                }
                Err(Failed::Answerable(status, reason)) => {
                    measured.answered(status);
                    sink.framing.keep_alive &= source.decoder.is_done();
                    (None, Page::trouble(status, reason))
                }
            }
        }
        Action::File(entry, file) => {
            let mut measured = entry.meter.begin(worker.index(), meta.begun());
            sink.framing.keep_alive &= head.body == Length::None;
            let status = files::answer(&entry, &file, meta, &mut sink, deadline).await;
            return match status {
                Ok(status) => {
                    measured.answered(status);
                    after_own(&sink, head.body)
                }
                Err(ClientGone) => After::Cut,
            };
        }
        Action::Page(entry, page) => {
            sink.framing.keep_alive &= head.body == Length::None;
            (entry, page)
        }
    };
    let mut measured = entry.map(|entry| entry.meter.begin(worker.index(), meta.begun()));
    if let Some(measured) = &mut measured {
        measured.answered(page.status);
    }
    let after = after_own(&sink, head.body);
    page_then(&page, meta, &mut sink, deadline, after).await
}

fn after_own(sink: &ClientSink<'_, '_>, body: Length) -> After {
    match (sink.framing.keep_alive, body) {
        (true, _) => After::Next,
        (false, Length::None) => After::Close,
        (false, _) => After::Linger,
    }
}

async fn page_then(
    page: &Page,
    meta: &Meta,
    sink: &mut ClientSink<'_, '_>,
    deadline: &mut Deadline,
    after: After,
) -> After {
    let answered = page
        .answer(sink, meta.wants, meta.to_head, &meta.request_id, deadline)
        .await;
    match answered {
        Ok(()) => after,
        Err(ClientGone) => After::Cut,
    }
}

/// What of the head is needed once its bytes are gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) version: Version,
    pub(crate) body: Length,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// Reads and parses a head and decides about it; `None` where the client has gone.
async fn read_head(
    worker: &Worker,
    peer: &Peer,
    read: &mut ReadHalf<'_>,
    down: &mut Buffer,
    request: &mut Vec<u8>,
    meta: &mut Meta,
    deadline: &mut Deadline,
) -> Result<Option<(Kept, Action)>, Refusal> {
    let limits = worker.limits();
    let mut begun = false;
    let mut seen = 0;
    loop {
        // A head that comes in many small pieces is parsed again only when its end may be there.
        if !begun || ends_head(down.filled(), seen) {
            if let Some(taken) = take_head(worker, peer, down, request, meta)? {
                return Ok(Some(taken));
            }
        } else if down.len() > limits.head_bytes {
            return Err(request::too_large(down.filled(), limits.head_bytes));
        }
        seen = down.len();
        if !begun {
            begun = true;
            deadline.set(Instant::now() + limits.head_timeout);
        }
        // One byte more than the limit, so that the parser sees that it is passed.
        if !down.make_room(limits.head_bytes + 1) {
            return Err(request::too_large(down.filled(), limits.head_bytes));
        }
        match down.fill(read, deadline).await {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Refusal {
                    status: 408,
                    reason: "the request came too slowly",
                });
            }
            Err(_) => return Ok(None),
        }
    }
}

/// Whether the end of a head may lie in what came behind the first `seen` bytes.
fn ends_head(bytes: &[u8], seen: usize) -> bool {
    let from = seen.saturating_sub(3);
    memchr::memmem::find(&bytes[from..], b"\n\r\n").is_some()
        || memchr::memmem::find(&bytes[from..], b"\n\n").is_some()
}

fn take_head(
    worker: &Worker,
    peer: &Peer,
    down: &mut Buffer,
    out: &mut Vec<u8>,
    meta: &mut Meta,
) -> Result<Option<(Kept, Action)>, Refusal> {
    let limits = worker.limits();
    let mut fields = field_room();
    let Some(head) = request::parse(down.filled(), &mut fields, limits.head_bytes)? else {
        return Ok(None);
    };
    if let Length::Fixed(length) = head.body
        && length > limits.body_bytes
    {
        return Err(Refusal {
            status: 413,
            reason: "the request's body is too large",
        });
    }
    let action = dispatch(worker, peer, &head, meta, out);
    let kept = Kept {
        version: head.version,
        body: head.body,
        keep_alive: head.keep_alive,
        expects_continue: head.expects_continue,
    };
    let bytes = head.bytes;
    down.consume(bytes);
    Ok(Some((kept, action)))
}

/// Takes a small body whole, so that it goes out with its head and can be sent again; tells what is left to be streamed.
pub(crate) async fn gather<S: Source>(
    head: Kept,
    source: &mut S,
    request: &mut Vec<u8>,
) -> Result<Length, SourceError> {
    match head.body {
        Length::Fixed(length) if length <= SMALL as u64 && !head.expects_continue => loop {
            match source.decode()? {
                Piece::Data(payload) => request.extend_from_slice(payload),
                Piece::Empty => source.fill().await?,
                Piece::End => return Ok(Length::None),
            }
        },
        body => Ok(body),
    }
}

/// The page for a body that failed before anything was answered; `None` where nobody would read it.
pub(crate) fn refused_body(error: SourceError) -> Option<Page> {
    match error {
        SourceError::Bad(reason) => Some(Page::trouble(400, reason)),
        SourceError::TooLarge => Some(Page::trouble(413, "the request's body is too large")),
        SourceError::TimedOut => Some(Page::trouble(408, "the request's body came too slowly")),
        SourceError::Gone => None,
    }
}

/// Answers a head that could not be taken.
async fn refuse(
    worker: &Worker,
    write: &mut WriteHalf<'_>,
    out: &mut Vec<u8>,
    deadline: &mut Deadline,
    refusal: Refusal,
    record: &mut Record,
) -> After {
    worker
        .shared()
        .refused_requests
        .fetch_add(1, Ordering::Relaxed);
    let mut sink = ClientSink {
        limits: worker.limits(),
        write,
        out,
        framing: Framing {
            body: Length::None,
            keep_alive: false,
        },
        http10: false,
        begun: false,
        dress: Dress::default(),
        record,
    };
    let page = Page::trouble(refusal.status, refusal.reason);
    match page
        .answer(&mut sink, Wants::Text, false, "", deadline)
        .await
    {
        Ok(()) => After::Linger,
        Err(ClientGone) => After::Cut,
    }
}

async fn close(write: &mut WriteHalf<'_>, deadline: &mut Deadline) {
    deadline.set(Instant::now() + LINGER);
    poll_fn(|cx| match write.poll_shutdown(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => deadline.poll(cx),
    })
    .await;
}

/// Closes the sending side, then reads what the client still sends: closing with unread bytes would reset the connection, and
/// the client could lose the answer.
async fn linger(stream: &mut Stream, room: &mut Scratch, deadline: &mut Deadline) {
    let (mut read, mut write) = stream.split();
    close(&mut write, deadline).await;
    deadline.set(Instant::now() + LINGER);
    room.down.reset();
    while room.down.make_room(SMALL) {
        match room.down.fill(&mut read, deadline).await {
            Ok(1..) => room.down.reset(),
            _ => break,
        }
    }
}
