//! A request's body as git reads it: a stream of bytes, unpacked where the client packed it.

use std::io::{self, Write as _};
use std::pin::Pin;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header;
use flate2::write::GzDecoder;
use futures_util::{Stream, StreamExt, stream};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

/// A body to read from.
pub(super) type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// The body of a request, whatever its `Content-Encoding`; git packs what it sends with gzip.
pub(super) fn read(request: Request) -> Reader {
    let packed = request
        .headers()
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| {
            let encoding = encoding.as_bytes();
            encoding.eq_ignore_ascii_case(b"gzip") || encoding.eq_ignore_ascii_case(b"x-gzip")
        });
    let chunks = request
        .into_body()
        .into_data_stream()
        .map(|chunk| chunk.map_err(io::Error::other));
    if packed {
        Box::pin(StreamReader::new(Box::pin(unpack(chunks))))
    } else {
        Box::pin(StreamReader::new(chunks))
    }
}

/// Unpacks a stream chunk by chunk, so that no more than one chunk's content is held.
fn unpack(
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let decoder = GzDecoder::new(Vec::new());
    stream::unfold(Some((chunks, decoder)), async |state| {
        let (mut chunks, mut decoder) = state?;
        loop {
            let Some(chunk) = chunks.next().await else {
                let end = decoder.try_finish();
                let rest = std::mem::take(decoder.get_mut());
                return Some((end.map(|()| Bytes::from(rest)), None));
            };
            if let Err(error) = chunk.and_then(|chunk| decoder.write_all(&chunk)) {
                return Some((Err(error), None));
            }
            let plain = std::mem::take(decoder.get_mut());
            if !plain.is_empty() {
                return Some((Ok(Bytes::from(plain)), Some((chunks, decoder))));
            }
        }
    })
}

/// For tests: a body of given bytes.
#[cfg(test)]
pub(super) fn of(bytes: &[u8], encoding: Option<&str>) -> Reader {
    let mut request = Request::builder();
    if let Some(encoding) = encoding {
        request = request.header(header::CONTENT_ENCODING, encoding);
    }
    read(
        request
            .body(axum::body::Body::from(bytes.to_vec()))
            .expect("a request of constants is valid"),
    )
}
