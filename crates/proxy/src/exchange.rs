//! One request and its answer between a client and an instance.
//!
//! The same code serves HTTP/1.1 and HTTP/2 clients, over the two traits [`Source`] (the request's body) and [`AnswerSink`]
//! (the answer). What is not here: parsing the client's head, choosing the route, tunnels.
//!
//! **Invariant:** once [`AnswerSink::begin`] was called nothing is tried again, and an answer that breaks off is cut, never ended
//! as if it were whole.

mod trouble;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use self::trouble::Trouble;
use crate::h1::body::{self, Decoder};
use crate::h1::request::field_room;
use crate::h1::response::{self, ResponseHead};
use crate::h1::{Length, Version};
use crate::lease::{self, Lease, Reuse, Unreachable};
use crate::options::Limits;
use crate::socket::Raw;
use crate::splice::{self, Broken, Pipes};
use crate::stream::{Buffer, Deadline, ReadHalf, SMALL, Stream, WriteHalf};
use crate::table::Entry;
use crate::target::{OnTarget, Target};
use crate::worker::Worker;

/// How long a request that waits for `100 Continue` holds its body back before it sends it all the same (RFC 9110, 10.1.1).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);
/// How long an app that stopped reading a request may take to begin its answer.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Interim answers (1xx) that one request may get.
const MAX_INTERIM: u32 = 32;
/// How fresh an idle connection must be for a request that must not be sent twice.
const FRESH: Duration = Duration::from_millis(500);
/// Instances that one request is tried on.
const MAX_TRIES: usize = 3;

/// A request as it goes to the instance.
#[derive(Debug)]
pub(crate) struct Outgoing<'r> {
    /// The head, with a small body behind it where `streamed` is [`Length::None`].
    pub(crate) bytes: &'r [u8],
    /// The body that is still to be taken from the source.
    pub(crate) streamed: Length,
    /// Whether the method is HEAD.
    pub(crate) to_head: bool,
    /// Whether it may be sent again after it may have arrived.
    pub(crate) idempotent: bool,
    /// Whether it asks for another protocol.
    pub(crate) upgrade: bool,
    /// Whether the client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
    /// The client's version, which decides about interim answers.
    pub(crate) version: Version,
    /// The instance that a sticky cookie asks for.
    pub(crate) mark: Option<u64>,
    /// Whether it goes to the route's canary, while one of that is up.
    pub(crate) canary: bool,
    /// How long an instance may take to begin its answer.
    pub(crate) answer_timeout: Duration,
    /// For finding the route again while no instance is up; the path is without query.
    pub(crate) host: &'r str,
    pub(crate) path: &'r str,
}

/// What a source holds next.
#[derive(Debug)]
pub(crate) enum Piece<'p> {
    /// Payload.
    Data(&'p [u8]),
    /// Nothing until [`Source::fill`].
    Empty,
    /// The body has ended.
    End,
}

/// A request's body on its way in.
pub(crate) trait Source: Send {
    /// The next payload, decoded.
    fn decode(&mut self) -> Result<Piece<'_>, SourceError>;
    /// Waits for more.
    fn fill(&mut self) -> impl Future<Output = Result<(), SourceError>> + Send;
    /// The trailer section, once the body has ended.
    fn trailers(&self) -> &[u8];
    /// Ready when the client has closed its side. Called only while nothing else uses the source.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Why a request's body does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceError {
    /// It breaks its framing.
    Bad(&'static str),
    /// It is larger than allowed.
    TooLarge,
    /// The client is too slow.
    TimedOut,
    /// The client has gone.
    Gone,
}

/// An answer on its way out.
pub(crate) trait AnswerSink: Send {
    /// Takes note of the instance that is asked; the last one answers.
    fn chosen(&mut self, target: &Arc<Target>);
    /// Takes the head; nothing need leave before [`AnswerSink::flush`]. `whole` says that the request was read to its end, so that
    /// the connection can take another one.
    fn begin(&mut self, head: &ResponseHead<'_, '_>, whole: bool);
    /// Takes an interim answer's head.
    fn interim(&mut self, head: &ResponseHead<'_, '_>);
    /// Takes payload.
    fn data(
        &mut self,
        payload: &[u8],
        deadline: &mut Deadline,
    ) -> impl Future<Output = Result<(), ClientGone>> + Send;
    /// Sends what was taken.
    fn flush(
        &mut self,
        deadline: &mut Deadline,
    ) -> impl Future<Output = Result<(), ClientGone>> + Send;
    /// The socket that payload may be written to as it is, once everything taken was flushed; `None` where it needs work.
    fn raw(&self) -> Option<Raw<'_>>;
    /// Takes note of payload that went over [`AnswerSink::raw`].
    fn passed(&mut self, bytes: u64);
    /// Ends the answer and sends what was taken.
    fn end(
        &mut self,
        trailers: &[u8],
        deadline: &mut Deadline,
    ) -> impl Future<Output = Result<(), ClientGone>> + Send;
}

/// The client does not take the answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientGone;

/// How an exchange ended well.
#[derive(Debug)]
pub(crate) enum Finished {
    /// The answer is complete. `whole` is false where the request's body was not read to its end.
    Answered { whole: bool },
    /// The instance changed the protocol; its first bytes may lie in the buffer.
    Upgraded { stream: Stream, guard: OnTarget },
}

/// How an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Nothing was answered yet: answer with this status and reason.
    Answerable(u16, &'static str),
    /// The answer has begun, or the client has gone: close.
    Cut,
}

/// Reusable room for the instance's side of exchanges.
#[derive(Debug)]
pub(crate) struct AnswerRoom {
    pub(crate) buffer: Buffer,
    pub(crate) upload: Vec<u8>,
}

/// Takes a request to an instance of the route and its answer back, trying other instances where that is safe.
pub(crate) async fn forward<S: Source, K: AnswerSink>(
    worker: &Worker,
    entry: &Arc<Entry>,
    request: &Outgoing<'_>,
    source: &mut S,
    sink: &mut K,
    room: &mut AnswerRoom,
    deadline: &mut Deadline,
) -> (u16, Result<Finished, Failed>) {
    let limits = worker.limits();
    let repeatable = request.streamed == Length::None;
    let reuse = match repeatable && request.idempotent {
        true => Reuse {
            max_idle: limits.pool_idle,
            sure: false,
        },
        false => Reuse {
            max_idle: FRESH.min(limits.pool_idle),
            sure: true,
        },
    };
    entry.retries.earn();
    let mut tried: Vec<Arc<Target>> = Vec::new();
    let mut reuse = Some(reuse);
    loop {
        let lease = lease::acquire(worker, entry, request, &tried, reuse);
        let Lease {
            mut stream,
            guard,
            reused,
        } = match lease.await {
            Ok(lease) => lease,
            Err(Unreachable { status, reason }) => {
                return (0, Err(Failed::Answerable(status, reason)));
            }
        };
        let target = Arc::clone(guard.target());
        sink.chosen(&target);
        room.buffer.reset();
        let asked = Instant::now();
        deadline.set(asked + request.answer_timeout);
        let mut told = Told::default();
        let ended = converse(
            (limits, worker.pipes()),
            request,
            &mut stream,
            source,
            sink,
            room,
            deadline,
            &mut told,
        )
        .await;
        match ended {
            Ok(end) => {
                target.answered(told.status, told.at.unwrap_or_else(Instant::now) - asked);
                if end.upgraded {
                    return (told.status, Ok(Finished::Upgraded { stream, guard }));
                }
                if end.keep_alive && room.buffer.is_empty() {
                    target.give(worker.index(), stream, limits.pool_size);
                }
                return (told.status, Ok(Finished::Answered { whole: end.whole }));
            }
            Err(trouble) => {
                if trouble.is_the_targets() {
                    target.failed();
                }
                if told.status != 0 {
                    return (told.status, Err(Failed::Cut));
                }
                let again = match trouble {
                    Trouble::NothingSent => repeatable,
                    Trouble::NoAnswer => repeatable && request.idempotent,
                    _ => false,
                };
                // A connection that went stale while idle is no trouble of the app's.
                if again && tried.len() + 1 < MAX_TRIES && (reused || entry.retries.spend()) {
                    tracing::debug!(instance = %target.instance(), ?trouble, reused, "request is tried again");
                    // A stale idle connection says nothing against the instance: its siblings are as old.
                    if reused {
                        reuse = None;
                    } else {
                        tried.push(target);
                    }
                    continue;
                }
                tracing::warn!(instance = %target.instance(), ?trouble, "an instance did not answer");
                return (0, Err(trouble.failed()));
            }
        }
    }
}

/// What a conversation has told the client so far.
#[derive(Debug, Default)]
struct Told {
    /// The final status, once its head went to the sink.
    status: u16,
    /// When that was.
    at: Option<Instant>,
}

/// What the two directions of a conversation tell each other. They run in one task, so the order of the stores is theirs.
#[derive(Debug)]
struct Progress {
    /// Whether the body may be sent.
    go_ahead: AtomicBool,
    /// Whether the request was sent to its end.
    sent: AtomicBool,
}

impl Progress {
    fn new(go_ahead: bool, sent: bool) -> Self {
        Self {
            go_ahead: AtomicBool::new(go_ahead),
            sent: AtomicBool::new(sent),
        }
    }
}

#[derive(Debug)]
struct End {
    keep_alive: bool,
    upgraded: bool,
    whole: bool,
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one conversation, borrowed apart"
)]
async fn converse<S: Source, K: AnswerSink>(
    (limits, pipes): (&Limits, &Pipes),
    request: &Outgoing<'_>,
    stream: &mut Stream,
    source: &mut S,
    sink: &mut K,
    room: &mut AnswerRoom,
    deadline: &mut Deadline,
    told: &mut Told,
) -> Result<End, Trouble> {
    let (mut read, mut write) = stream.split();
    let AnswerRoom { buffer, upload } = room;
    if request.streamed == Length::None {
        let mut rest = request.bytes;
        let before = write.gathered();
        // An app may answer before it has read all and close: after a failure midway, what it said is read below.
        let written = write
            .write_rest(&mut rest, deadline, limits.write_timeout)
            .await;
        if let Err(error) = written
            && rest.len() == request.bytes.len()
            && error.kind() != io::ErrorKind::TimedOut
        {
            return Err(Trouble::NothingSent);
        }
        deadline.set(Instant::now() + request.answer_timeout);
        let progress = Progress::new(true, true);
        let mut answer = pin!(answer(
            (limits, pipes),
            request,
            &mut read,
            buffer,
            sink,
            deadline,
            told,
            &progress
        ));
        let mut watch = true;
        let ended = poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Pending if watch && source.poll_gone(cx).is_ready() => {
                // A client may close its sending side and still wait for the answer; only an answer that never ends by itself
                // would then go on for nobody, and the next write to it fails.
                watch = false;
                Poll::Pending
            }
            polled => polled,
        })
        .await;
        return match (ended, before, write.gathered()) {
            // A gathered write fails after it was taken for written.
            (Err(Trouble::NoAnswer), Some((before, _)), Some((after, true))) if before == after => {
                Err(Trouble::NothingSent)
            }
            (ended, ..) => ended,
        };
    }
    upload.clear();
    upload.extend_from_slice(request.bytes);
    let progress = Progress::new(!request.expects_continue, false);
    let mut answer = pin!(answer(
        (limits, pipes),
        request,
        &mut read,
        buffer,
        sink,
        deadline,
        told,
        &progress
    ));
    let mut uploading = pin!(send_body(
        limits,
        request.streamed,
        source,
        &mut write,
        upload,
        &progress
    ));
    let mut last_words: Option<Deadline> = None;
    poll_fn(|cx| {
        // The order matters: the answer's side may give the go-ahead that the upload waits for.
        if let Poll::Ready(end) = answer.as_mut().poll(cx) {
            let whole = progress.sent.load(Ordering::Relaxed);
            return Poll::Ready(end.map(|end| End { whole, ..end }));
        }
        if !progress.sent.load(Ordering::Relaxed) && last_words.is_none() {
            match uploading.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => progress.sent.store(true, Ordering::Relaxed),
                Poll::Ready(Err(UploadError::Source(error))) => {
                    return Poll::Ready(Err(Trouble::Source(error)));
                }
                Poll::Ready(Err(UploadError::Target)) => {
                    last_words = Some(Deadline::new(Instant::now() + LAST_WORDS));
                }
                Poll::Pending => {}
            }
        }
        match last_words.as_mut().map(|deadline| deadline.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(Trouble::NoAnswer)),
            _ => Poll::Pending,
        }
    })
    .await
}

enum UploadError {
    Source(SourceError),
    Target,
}

/// Sends the head in `out` and the source's body behind it.
async fn send_body<S: Source>(
    limits: &Limits,
    length: Length,
    source: &mut S,
    write: &mut WriteHalf<'_>,
    out: &mut Vec<u8>,
    progress: &Progress,
) -> Result<(), UploadError> {
    // The app may be slow for as long as it may take to answer.
    let patience = limits.answer_timeout;
    let mut deadline = Deadline::new(Instant::now() + patience);
    if !progress.go_ahead.load(Ordering::Relaxed) {
        write
            .write_all(out, &mut deadline, patience)
            .await
            .map_err(|_| UploadError::Target)?;
        out.clear();
        deadline.set(Instant::now() + CONTINUE_PATIENCE);
        // Woken with the answer's side, which sets the flag in the same task.
        poll_fn(|cx| match progress.go_ahead.load(Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => deadline.poll(cx),
        })
        .await;
    }
    loop {
        match source.decode().map_err(UploadError::Source)? {
            Piece::Data(payload) => {
                if length != Length::Chunked && out.is_empty() {
                    write
                        .write_all(payload, &mut deadline, patience)
                        .await
                        .map_err(|_| UploadError::Target)?;
                    continue;
                }
                body::encode(out, length, payload);
                if out.len() >= SMALL {
                    write
                        .write_all(out, &mut deadline, patience)
                        .await
                        .map_err(|_| UploadError::Target)?;
                    out.clear();
                }
            }
            Piece::Empty => {
                if !out.is_empty() {
                    write
                        .write_all(out, &mut deadline, patience)
                        .await
                        .map_err(|_| UploadError::Target)?;
                    out.clear();
                }
                source.fill().await.map_err(UploadError::Source)?;
            }
            Piece::End => {
                body::encode_end(out, length, source.trailers());
                return write
                    .write_all(out, &mut deadline, patience)
                    .await
                    .map_err(|_| UploadError::Target);
            }
        }
    }
}

/// What the head of an answer leads to.
enum Next {
    Interim,
    Final { body: Length, keep_alive: bool },
    Upgraded,
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one conversation, borrowed apart"
)]
async fn answer<K: AnswerSink>(
    (limits, pipes): (&Limits, &Pipes),
    request: &Outgoing<'_>,
    read: &mut ReadHalf<'_>,
    buffer: &mut Buffer,
    sink: &mut K,
    deadline: &mut Deadline,
    told: &mut Told,
    progress: &Progress,
) -> Result<End, Trouble> {
    let mut interim = 0;
    let (length, keep_alive) = loop {
        let next = match buffer.is_empty() {
            true => None,
            false => take_head(limits, request, buffer, sink, told, progress)?,
        };
        match next {
            Some(Next::Interim) => {
                interim += 1;
                if interim > MAX_INTERIM {
                    return Err(Trouble::BadAnswer("it has too many interim answers"));
                }
                sink.flush(deadline).await?;
                deadline.set(Instant::now() + request.answer_timeout);
            }
            Some(Next::Final { body, keep_alive }) => break (body, keep_alive),
            Some(Next::Upgraded) => {
                sink.flush(deadline).await?;
                return Ok(End {
                    keep_alive: false,
                    upgraded: true,
                    whole: true,
                });
            }
            None => {
                let fresh = buffer.is_empty();
                if !buffer.make_room(limits.head_bytes) {
                    return Err(Trouble::BadAnswer("its head is too large"));
                }
                match buffer.fill(read, deadline).await {
                    Ok(0) if fresh => return Err(Trouble::NoAnswer),
                    Ok(0) => return Err(Trouble::BadAnswer("its head breaks off")),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        return Err(Trouble::TimedOut);
                    }
                    Err(_) if fresh => return Err(Trouble::NoAnswer),
                    Err(_) => return Err(Trouble::BadAnswer("its head breaks off")),
                }
            }
        }
    };
    let mut decoder = Decoder::new(length);
    loop {
        // Everything that is there goes into one write, the end included.
        while !decoder.is_done() {
            let step = decoder
                .step(buffer.filled())
                .map_err(|bad| Trouble::BadAnswer(bad.0))?;
            if step.payload > 0 {
                let payload = &buffer.filled()[step.skip..step.skip + step.payload];
                sink.data(payload, deadline).await?;
            }
            buffer.consume(step.skip + step.payload);
            if buffer.is_empty() {
                break;
            }
        }
        if decoder.is_done() {
            sink.end(decoder.trailers(), deadline).await?;
            return Ok(End {
                keep_alive,
                upgraded: false,
                whole: true,
            });
        }
        sink.flush(deadline).await?;
        let left = decoder.known_left();
        if left >= splice::WORTH
            && matches!(length, Length::Fixed(_))
            && let (Some(from), Some(to)) = (read.raw(), sink.raw())
        {
            let patience = (limits.answer_gap, limits.write_timeout);
            match splice::move_all(pipes, from, to, left, deadline, patience).await {
                Ok(()) => {}
                Err(Broken::Source) => return Err(Trouble::BadAnswer("its body breaks off")),
                Err(Broken::SourceTimedOut) => return Err(Trouble::TimedOut),
                Err(Broken::Destination) => return Err(Trouble::ClientGone),
            }
            sink.passed(left);
            sink.end(&[], deadline).await?;
            return Ok(End {
                keep_alive,
                upgraded: false,
                whole: true,
            });
        }
        if left > SMALL as u64 {
            buffer.enlarge();
        }
        // The buffer is empty here, so there is room.
        buffer.make_room(SMALL);
        deadline.set(Instant::now() + limits.answer_gap);
        match buffer.fill(read, deadline).await {
            Ok(0) if length == Length::UntilClose => {
                sink.end(&[], deadline).await?;
                return Ok(End {
                    keep_alive: false,
                    upgraded: false,
                    whole: true,
                });
            }
            Ok(0) => return Err(Trouble::BadAnswer("its body breaks off")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Trouble::TimedOut);
            }
            Err(_) => return Err(Trouble::BadAnswer("its body breaks off")),
        }
    }
}

/// Parses the head in the buffer and hands it to the sink.
fn take_head<K: AnswerSink>(
    limits: &Limits,
    request: &Outgoing<'_>,
    buffer: &mut Buffer,
    sink: &mut K,
    told: &mut Told,
    progress: &Progress,
) -> Result<Option<Next>, Trouble> {
    let mut fields = field_room();
    let parsed = response::parse(
        buffer.filled(),
        &mut fields,
        limits.head_bytes,
        request.to_head,
    );
    let head = match parsed {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(None),
        Err(bad) => return Err(Trouble::BadAnswer(bad.0)),
    };
    let bytes = head.bytes;
    let next = match head.status {
        101 if request.upgrade => {
            (told.status, told.at) = (101, Some(Instant::now()));
            sink.begin(&head, progress.sent.load(Ordering::Relaxed));
            Next::Upgraded
        }
        101 => return Err(Trouble::BadAnswer("it changes the protocol unasked")),
        100 => {
            // A client that did not ask for it has sent its body already.
            if request.expects_continue && !progress.go_ahead.swap(true, Ordering::Relaxed) {
                sink.interim(&head);
            }
            Next::Interim
        }
        status if status < 200 => {
            if request.version == Version::Http11 {
                sink.interim(&head);
            }
            Next::Interim
        }
        status => {
            (told.status, told.at) = (status, Some(Instant::now()));
            sink.begin(&head, progress.sent.load(Ordering::Relaxed));
            Next::Final {
                body: head.body,
                keep_alive: head.keep_alive,
            }
        }
    };
    buffer.consume(bytes);
    Ok(Some(next))
}
