//! Answers compressed on the way to clients that take it: what an app sends as plain text leaves as zstd or gzip.
//!
//! Only what shrinks is touched: texts, scripts, JSON and the like, of some size, without a coding of their own, and not where the
//! app forbids it (`Cache-Control: no-transform`). Event streams are left alone; of other streams each piece that the app
//! sends leaves at once, compressed or not.
//!
//! What it does not do: decompress, keep compressed copies (a file's precompressed neighbours are served by [`crate::files`]).

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::write::GzEncoder;

use crate::h1::response::ResponseHead;
use crate::h1::{Field, Length, elements, named};

/// Shorter bodies gain less than the fields cost.
const WORTH: u64 = 1024;
/// Answers that a worker compresses at once; more go as they are. Each has up to 600 KiB for itself.
const AT_ONCE: usize = 32;
/// gzip's levels 1 to 9: the knee of size against time for texts.
const GZIP_LEVEL: u32 = 4;
/// zstd's levels: smaller than gzip's 4 at a third of its time.
const ZSTD_LEVEL: i32 = 2;
/// Of zstd's window, as a power of two: 128 KiB, so that neither side needs much memory.
const ZSTD_WINDOW: u32 = 17;

/// A coding that clients take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    /// Its name in `Content-Encoding`.
    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The best of ours that the request's `Accept-Encoding` takes (RFC 9110, section 12.5.3). `*` alone asks for nothing in
    /// particular, so nothing is done.
    pub(crate) fn accepted(fields: &[Field<'_>]) -> Option<Self> {
        let mut best = None;
        for field in fields.iter().filter(|field| field.name.len() == 15) {
            if !named(field, "accept-encoding") {
                continue;
            }
            for element in elements(field.value) {
                let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
                let name = parts.next().unwrap_or_default();
                if parts.any(is_zero_weight) {
                    continue;
                }
                if name.eq_ignore_ascii_case(b"zstd") {
                    best = Some(Self::Zstd);
                } else if name.eq_ignore_ascii_case(b"gzip") && best.is_none() {
                    best = Some(Self::Gzip);
                }
            }
        }
        best
    }
}

/// `q=0`, `q=0.000`.
fn is_zero_weight(parameter: &[u8]) -> bool {
    parameter.split_at_checked(2).is_some_and(|(key, weight)| {
        key.eq_ignore_ascii_case(b"q=")
            && !weight.is_empty()
            && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
    })
}

/// Whether an answer is of a kind that shrinks, so that what clients get depends on what they take.
pub(crate) fn is_compressible(head: &ResponseHead<'_, '_>) -> bool {
    let is_long = match head.body {
        Length::None => false,
        Length::Fixed(length) => length >= WORTH,
        Length::Chunked | Length::UntilClose => true,
    };
    if !is_long || matches!(head.status, 0..200 | 204..=206 | 304) {
        return false;
    }
    let mut shrinks = false;
    for field in head.fields {
        match field.name.len() {
            12 if named(field, "content-type") => shrinks = is_text(field.value),
            13 if named(field, "cache-control")
                && elements(field.value)
                    .any(|element| element.eq_ignore_ascii_case(b"no-transform")) =>
            {
                return false;
            }
            13 if named(field, "content-range") => return false,
            16 if named(field, "content-encoding") => return false,
            _ => {}
        }
    }
    shrinks
}

/// Whether a media type's content is text.
pub(crate) fn is_text(media: &[u8]) -> bool {
    let media = media
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let media = media.to_ascii_lowercase();
    if media == b"text/event-stream" {
        return false;
    }
    media.starts_with(b"text/")
        || media.ends_with(b"+json")
        || media.ends_with(b"+xml")
        || matches!(
            media.as_slice(),
            b"application/json"
                | b"application/javascript"
                | b"application/xml"
                | b"application/wasm"
                | b"application/manifest+json"
                | b"application/x-javascript"
                | b"application/x-ndjson"
                | b"application/graphql"
                | b"application/vnd.ms-fontobject"
                | b"font/ttf"
                | b"font/otf"
                | b"image/bmp"
                | b"image/x-icon"
        )
}

/// An entity tag as it stands behind a change of coding: a strong one becomes weak (RFC 9110, section 8.8.1).
pub(crate) fn weakened(tag: &[u8]) -> Vec<u8> {
    match tag.starts_with(b"W/") {
        true => tag.to_vec(),
        false => [b"W/".as_slice(), tag].concat(),
    }
}

/// How many answers a worker compresses at the moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct AtWork(Arc<AtomicUsize>);

/// An answer's body on its way through a coding.
pub(crate) struct Compressor {
    encoder: Encoder,
    coding: Coding,
    at_work: AtWork,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Compressor {
    /// Begins; `None` where too many are at work or memory is short.
    pub(crate) fn begin(coding: Coding, at_work: &AtWork) -> Option<Self> {
        if at_work.0.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
            at_work.0.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let encoder = match coding {
            Coding::Gzip => Ok(Encoder::Gzip(GzEncoder::new(
                Vec::new(),
                flate2::Compression::new(GZIP_LEVEL),
            ))),
            Coding::Zstd => zstd_encoder(),
        };
        match encoder {
            Ok(encoder) => Some(Self {
                encoder,
                coding,
                at_work: at_work.clone(),
            }),
            Err(error) => {
                at_work.0.fetch_sub(1, Ordering::Relaxed);
                tracing::debug!(%error, "an answer goes uncompressed");
                None
            }
        }
    }

    /// The coding's name.
    pub(crate) fn coding(&self) -> &'static str {
        self.coding.name()
    }

    /// Takes payload.
    ///
    /// # Errors
    /// The encoder fails, for want of memory.
    pub(crate) fn push(&mut self, payload: &[u8]) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.write_all(payload),
            Encoder::Zstd(encoder) => encoder.write_all(payload),
        }
    }

    /// Has everything that was taken come out.
    ///
    /// # Errors
    /// As [`Compressor::push`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }
    }

    /// Ends the coding; what comes out is the last.
    ///
    /// # Errors
    /// As [`Compressor::push`].
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.try_finish(),
            Encoder::Zstd(encoder) => encoder.do_finish(),
        }
    }

    /// What has come out and nobody has taken.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
        }
    }
}

fn zstd_encoder() -> io::Result<Encoder> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.window_log(ZSTD_WINDOW)?;
    Ok(Encoder::Zstd(Box::new(encoder)))
}

impl Drop for Compressor {
    fn drop(&mut self) {
        self.at_work.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor")
            .field("coding", &self.coding)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
