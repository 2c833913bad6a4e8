//! The body of a request, read from a client of HTTP/1.

use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::exchange::{Piece, Source, SourceError};
use crate::h1::Length;
use crate::h1::body::Decoder;
use crate::options::Limits;
use crate::stream::{Buffer, Deadline, ReadHalf, SMALL};

/// The body of a request of HTTP/1.
pub(super) struct ClientBody<'a, 's> {
    pub(super) limits: &'a Limits,
    /// The most bytes that it may have.
    pub(super) most: u64,
    pub(super) read: &'a mut ReadHalf<'s>,
    pub(super) buffer: &'a mut Buffer,
    pub(super) decoder: Decoder,
    /// Bytes of the buffer that the last [`Source::decode`] handed out.
    pub(super) lent: usize,
    pub(super) payload: u64,
    /// Time spent waiting for the client, which alone counts for its rate.
    pub(super) waited: Duration,
    pub(super) deadline: Option<Deadline>,
}

impl<'a, 's> ClientBody<'a, 's> {
    pub(super) fn new(
        limits: &'a Limits,
        read: &'a mut ReadHalf<'s>,
        buffer: &'a mut Buffer,
        length: Length,
        most: u64,
    ) -> Self {
        Self {
            limits,
            most,
            read,
            buffer,
            decoder: Decoder::new(length),
            lent: 0,
            payload: 0,
            waited: Duration::ZERO,
            deadline: None,
        }
    }

    fn is_too_slow(&self) -> bool {
        let grace = self.limits.body_gap;
        self.waited > grace
            && self.payload < (self.waited - grace).as_secs() * self.limits.body_rate
    }
}

impl Source for ClientBody<'_, '_> {
    fn decode(&mut self) -> Result<Piece<'_>, SourceError> {
        self.buffer.consume(std::mem::take(&mut self.lent));
        if self.decoder.is_done() {
            return Ok(Piece::End);
        }
        let step = self
            .decoder
            .step(self.buffer.filled())
            .map_err(|bad| SourceError::Bad(bad.0))?;
        self.buffer.consume(step.skip);
        self.payload += step.payload as u64;
        if self.payload > self.most {
            return Err(SourceError::TooLarge);
        }
        match (step.payload, step.end) {
            (0, true) => Ok(Piece::End),
            (0, false) => Ok(Piece::Empty),
            (payload, _) => {
                self.lent = payload;
                Ok(Piece::Data(&self.buffer.filled()[..payload]))
            }
        }
    }

    async fn fill(&mut self) -> Result<(), SourceError> {
        self.buffer.consume(std::mem::take(&mut self.lent));
        if self.decoder.known_left() > SMALL as u64 {
            self.buffer.enlarge();
        }
        if !self.buffer.make_room(SMALL) {
            return Err(SourceError::TooLarge);
        }
        let begun = Instant::now();
        let until = begun + self.limits.body_gap;
        let deadline = self.deadline.get_or_insert_with(|| Deadline::new(until));
        deadline.set(until);
        let filled = self.buffer.fill(self.read, deadline).await;
        self.waited += begun.elapsed();
        match filled {
            Ok(0) => Err(SourceError::Gone),
            Ok(_) if self.is_too_slow() => Err(SourceError::TimedOut),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(SourceError::TimedOut),
            Err(_) => Err(SourceError::Gone),
        }
    }

    fn trailers(&self) -> &[u8] {
        self.decoder.trailers()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Reads ahead into the room there is: the next request may be pipelined.
        if !self.buffer.make_room(SMALL) {
            return Poll::Pending;
        }
        match self.buffer.poll_fill(self.read, cx) {
            Poll::Ready(Ok(1..)) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }
}
