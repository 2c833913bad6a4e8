//! An answer, written to a client of HTTP/1.

use std::sync::Arc;

use crate::access::Record;
use crate::dress::Dress;
use crate::exchange::{AnswerSink, ClientGone};
use crate::h1::Length;
use crate::h1::body;
use crate::h1::response::{self, Framing, ResponseHead};
use crate::options::Limits;
use crate::socket::Raw;
use crate::stream::{Deadline, SMALL, WriteHalf};
use crate::target::Target;

/// Writes an answer to a client of HTTP/1.
pub(super) struct ClientSink<'a, 's> {
    pub(super) limits: &'a Limits,
    pub(super) write: &'a mut WriteHalf<'s>,
    pub(super) out: &'a mut Vec<u8>,
    /// Before the head: whether the connection may be kept. Behind it: as it was written.
    pub(super) framing: Framing,
    pub(super) http10: bool,
    pub(super) begun: bool,
    pub(super) dress: Dress,
    pub(super) record: &'a mut Record,
}

impl AnswerSink for ClientSink<'_, '_> {
    fn chosen(&mut self, target: &Arc<Target>) {
        self.dress.chosen(target);
        self.record.instance = Some(Arc::clone(target));
    }

    fn begin(&mut self, head: &ResponseHead<'_, '_>, whole: bool) {
        debug_assert!(!self.begun, "a request has one answer");
        self.begun = true;
        self.record.status = head.status;
        // Nobody knows how long a body will be in its new coding.
        let recoded = self.dress.decide(head).then_some(ResponseHead {
            body: Length::Chunked,
            content_length: None,
            ..*head
        });
        let head = recoded.as_ref().unwrap_or(head);
        self.framing = response::framing(head, self.http10, self.framing.keep_alive && whole);
        let dress = &self.dress;
        response::write_edited(
            self.out,
            head,
            self.framing,
            self.http10,
            |name| dress.keeps(name),
            |out| dress.write(out),
        );
    }

    fn interim(&mut self, head: &ResponseHead<'_, '_>) {
        if !self.http10 {
            let framing = Framing {
                body: Length::None,
                keep_alive: true,
            };
            response::write(self.out, head, framing, false);
        }
    }

    async fn data(&mut self, payload: &[u8], deadline: &mut Deadline) -> Result<(), ClientGone> {
        if let Some(compressor) = self.dress.compressor() {
            compressor.push(payload).map_err(|_| ClientGone)?;
            take_coded(self.out, compressor.output(), self.record);
            return match self.out.len() >= 2 * SMALL {
                true => self.send(deadline).await,
                false => Ok(()),
            };
        }
        self.record.bytes += payload.len() as u64;
        // A small first piece leaves in one write with the head; a large one is worth a write of its own, not a copy.
        if payload.len() >= SMALL && self.framing.body != Length::Chunked {
            self.send(deadline).await?;
            return self
                .write
                .write_all(payload, deadline, self.limits.write_timeout)
                .await
                .map_err(|_| ClientGone);
        }
        body::encode(self.out, self.framing.body, payload);
        match self.out.len() >= 2 * SMALL {
            true => self.send(deadline).await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self, deadline: &mut Deadline) -> Result<(), ClientGone> {
        if let Some(held_back) = self.dress.flush().map_err(|_| ClientGone)? {
            take_coded(self.out, held_back, self.record);
        }
        self.send(deadline).await
    }

    fn raw(&self) -> Option<Raw<'_>> {
        match self.framing.body {
            Length::Fixed(_) => self.write.raw(),
            _ => None,
        }
    }

    fn passed(&mut self, bytes: u64) {
        self.record.bytes += bytes;
    }

    async fn end(&mut self, trailers: &[u8], deadline: &mut Deadline) -> Result<(), ClientGone> {
        if let Some(compressor) = self.dress.compressor() {
            compressor.finish().map_err(|_| ClientGone)?;
            take_coded(self.out, compressor.output(), self.record);
        }
        body::encode_end(self.out, self.framing.body, trailers);
        self.send(deadline).await
    }
}

/// Moves what came out of a coding behind what is to be written, as a chunk.
fn take_coded(out: &mut Vec<u8>, coded: &mut Vec<u8>, record: &mut Record) {
    if !coded.is_empty() {
        record.bytes += coded.len() as u64;
        body::encode(out, Length::Chunked, coded);
        coded.clear();
    }
}

impl ClientSink<'_, '_> {
    /// Sends what was taken.
    async fn send(&mut self, deadline: &mut Deadline) -> Result<(), ClientGone> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = self
            .write
            .write_all(self.out, deadline, self.limits.write_timeout)
            .await;
        self.out.clear();
        written.map_err(|_| ClientGone)
    }
}
