//! Static files: conditional requests, ranges, precompressed variants (RFC 9110, sections 8.8, 13 and 14).
//!
//! **Invariant:** nothing outside the root is ever opened: names are decoded once, hidden ones and `..` refused, and the kernel
//! is told to refuse links that lead out (`openat2`), or, where it cannot, every link.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use crate::dispatch::Meta;
use crate::exchange::{AnswerSink, ClientGone};
use crate::h1::request::RequestHead;
use crate::h1::{Field, elements, named};
use crate::page::{Page, field, own_head};
use crate::stream::Deadline;
use crate::table::{Entry, Ready};

mod media;
mod open;
mod range;

use open::Opened;
use range::Ranged;

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// What of a request's head matters for a file.
#[derive(Debug, Default)]
pub(crate) struct FileRequest {
    readable: bool,
    target: String,
    if_none_match: Option<String>,
    if_match: Option<String>,
    if_modified_since: Option<String>,
    if_unmodified_since: Option<String>,
    if_range: Option<String>,
    range: Option<String>,
    accept_encoding: Option<String>,
}

impl FileRequest {
    pub(crate) fn read(head: &RequestHead<'_, '_>) -> Self {
        Self {
            readable: matches!(head.method, "GET" | "HEAD"),
            target: head.target.to_owned(),
            if_none_match: joined(head.fields, "if-none-match"),
            if_match: joined(head.fields, "if-match"),
            if_modified_since: joined(head.fields, "if-modified-since"),
            if_unmodified_since: joined(head.fields, "if-unmodified-since"),
            if_range: joined(head.fields, "if-range"),
            range: joined(head.fields, "range"),
            accept_encoding: joined(head.fields, "accept-encoding"),
        }
    }

    fn accepts(&self, coding: &str) -> bool {
        let Some(accept) = &self.accept_encoding else {
            return false;
        };
        let mut verdict = None;
        for element in elements(accept.as_bytes()) {
            let mut parts = element
                .split(|byte| *byte == b';')
                .map(|part| part.trim_ascii());
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|part| {
                part.split_at_checked(2).is_some_and(|(key, weight)| {
                    key.eq_ignore_ascii_case(b"q=")
                        && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
                })
            });
            if name.eq_ignore_ascii_case(coding.as_bytes()) {
                return !refused;
            }
            if name == b"*" {
                verdict = Some(!refused);
            }
        }
        verdict.unwrap_or(false)
    }
}

/// A field's value, several lines joined as a list; what is not ASCII is as good as absent.
fn joined(fields: &[Field<'_>], name: &str) -> Option<String> {
    let mut value: Option<String> = None;
    for field in fields.iter().filter(|field| named(field, name)) {
        let text = std::str::from_utf8(field.value).ok()?;
        match &mut value {
            Some(value) => {
                value.push(',');
                value.push_str(text);
            }
            None => value = Some(text.to_owned()),
        }
    }
    value
}

/// Answers with a file below the route's root; returns the status.
pub(crate) async fn answer<K: AnswerSink>(
    entry: &Entry,
    request: &FileRequest,
    meta: &Meta,
    sink: &mut K,
    deadline: &mut Deadline,
) -> Result<u16, ClientGone> {
    match choose(entry, request) {
        Ok(chosen) => send(chosen, request, meta, sink, deadline).await,
        Err(page) => {
            page.answer(sink, meta.wants, meta.to_head, &meta.request_id, deadline)
                .await?;
            Ok(page.status)
        }
    }
}

/// A file that answers, and under which name and coding.
struct Chosen {
    file: Opened,
    name: String,
    coding: Option<&'static str>,
    /// Whether the answer depends on the codings that the client takes.
    varies: bool,
}

fn choose(entry: &Entry, request: &FileRequest) -> Result<Chosen, Page> {
    let Ready::Files { root, fallback } = &entry.backend else {
        return Err(Page::trouble(500, "the route serves no files"));
    };
    if !request.readable {
        return Err(Page::trouble(405, "only GET and HEAD are allowed here")
            .with_field("allow", "GET, HEAD".to_owned()));
    }
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target.as_str(), None),
    };
    let below = match entry.strip_prefix {
        true => path.strip_prefix(entry.prefix.as_str()).unwrap_or(path),
        false => path,
    };
    let not_found = || Page::trouble(404, "there is no such file");
    let mut name = open::decoded(below).ok_or_else(not_found)?;
    let is_folder = name.is_empty() || name.ends_with('/');
    if is_folder {
        name.push_str("index.html");
    }
    match open::beneath(root, &name) {
        Ok(Some(file)) => return Ok(with_variant(root, file, name, request)),
        Ok(None) if !is_folder && open::is_folder(root, &name) => {
            // Relative links of an index page need the slash.
            if let Ok(Some(_)) = open::beneath(root, &format!("{name}/index.html")) {
                let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                // Two slashes at the start would name another host.
                let path = format!("/{}", path.trim_start_matches('/'));
                return Err(Page::redirect(308, format!("{path}/{query}")));
            }
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, root = %root.display(), name, "a file cannot be opened");
            return Err(Page::trouble(500, "the file cannot be read"));
        }
    }
    if let Some(fallback) = fallback
        && let Ok(Some(file)) = open::beneath(root, fallback)
    {
        return Ok(with_variant(root, file, fallback.clone(), request));
    }
    Err(not_found())
}

/// The precompressed neighbour that the client takes and that is not older than the file, or the file.
fn with_variant(
    root: &std::path::Path,
    file: Opened,
    name: String,
    request: &FileRequest,
) -> Chosen {
    let mut chosen = Chosen {
        varies: media::compresses(&name),
        file,
        name,
        coding: None,
    };
    // Looking costs as much as serving a small file, so it is done only for what may be there and is wanted.
    if chosen.varies && request.accept_encoding.is_some() {
        for (suffix, coding) in [("br", "br"), ("zst", "zstd"), ("gz", "gzip")] {
            if request.accepts(coding)
                && let Ok(Some(variant)) = open::beneath(root, &format!("{}.{suffix}", chosen.name))
                && variant.modified >= chosen.file.modified
            {
                chosen.file = variant;
                chosen.coding = Some(coding);
                break;
            }
        }
    }
    chosen
}

async fn send<K: AnswerSink>(
    chosen: Chosen,
    request: &FileRequest,
    meta: &Meta,
    sink: &mut K,
    deadline: &mut Deadline,
) -> Result<u16, ClientGone> {
    let file = &chosen.file;
    let tag = match chosen.coding {
        Some(coding) => format!("\"{:x}-{:x}-{coding}\"", file.modified_nanos, file.length),
        None => format!("\"{:x}-{:x}\"", file.modified_nanos, file.length),
    };
    let modified = httpdate::fmt_http_date(file.modified);
    let ranged = match precondition(request, &tag, file.modified) {
        Some(status) => Err(status),
        None => Ok(range::of(request.range.as_deref(), file.length, || {
            if_range_holds(request, &tag, file.modified)
        })),
    };
    let date = httpdate::fmt_http_date(SystemTime::now());
    let cache = media::cache_rule(&chosen.name);
    let (status, from, length) = match ranged {
        Err(status) => (status, 0, 0),
        Ok(Ranged::Whole) => (200, 0, file.length),
        Ok(Ranged::Part { from, length }) => (206, from, length),
        Ok(Ranged::Unsatisfiable) => (416, 0, 0),
    };
    let content_range = match status {
        206 => Some(format!(
            "bytes {from}-{}/{}",
            from + length - 1,
            file.length
        )),
        416 => Some(format!("bytes */{}", file.length)),
        _ => None,
    };
    {
        let mut fields = vec![
            field("date", date.as_bytes()),
            field("etag", tag.as_bytes()),
            field("last-modified", modified.as_bytes()),
            field("cache-control", cache.as_bytes()),
            field("accept-ranges", b"bytes"),
        ];
        if matches!(status, 200 | 206) {
            fields.push(field("content-type", media::kind(&chosen.name).as_bytes()));
            fields.push(field("x-content-type-options", b"nosniff"));
            if let Some(coding) = chosen.coding {
                fields.push(field("content-encoding", coding.as_bytes()));
            }
        }
        if chosen.varies {
            fields.push(field("vary", b"accept-encoding"));
        }
        if let Some(range) = &content_range {
            fields.push(field("content-range", range.as_bytes()));
        }
        sink.begin(&own_head(status, &fields, length, meta.to_head), true);
    }
    if !meta.to_head && length > 0 {
        copy(&file.file, from, length, sink, deadline).await?;
    }
    sink.end(&[], deadline).await?;
    Ok(status)
}

/// The status that a precondition answers with, in the order of RFC 9110, section 13.2.2.
fn precondition(request: &FileRequest, tag: &str, modified: SystemTime) -> Option<u16> {
    if let Some(wanted) = &request.if_match {
        if !tags_contain(wanted, tag, Comparison::Strong) {
            return Some(412);
        }
    } else if let Some(since) = request.if_unmodified_since.as_deref().and_then(date_of)
        && seconds(modified) > seconds(since)
    {
        return Some(412);
    }
    if let Some(known) = &request.if_none_match {
        return tags_contain(known, tag, Comparison::Weak).then_some(304);
    }
    let since = request.if_modified_since.as_deref().and_then(date_of)?;
    (seconds(modified) <= seconds(since)).then_some(304)
}

fn if_range_holds(request: &FileRequest, tag: &str, modified: SystemTime) -> bool {
    match request.if_range.as_deref() {
        None => true,
        Some(wanted) if wanted.trim().starts_with('"') => wanted.trim() == tag,
        Some(wanted) => date_of(wanted).is_some_and(|date| seconds(date) == seconds(modified)),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Comparison {
    Strong,
    Weak,
}

fn tags_contain(list: &str, tag: &str, comparison: Comparison) -> bool {
    list.trim() == "*"
        || list.split(',').map(str::trim).any(|known| {
            let known = match comparison {
                Comparison::Weak => known.strip_prefix("W/").unwrap_or(known),
                Comparison::Strong => known,
            };
            known == tag
        })
}

fn date_of(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text.trim()).ok()
}

/// HTTP's dates are whole seconds.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

async fn copy<K: AnswerSink>(
    file: &File,
    from: u64,
    length: u64,
    sink: &mut K,
    deadline: &mut Deadline,
) -> Result<(), ClientGone> {
    let mut piece = vec![0_u8; PIECE.min(usize::try_from(length).unwrap_or(PIECE))];
    let mut sent = 0;
    while sent < length {
        let want = piece
            .len()
            .min(usize::try_from(length - sent).unwrap_or(piece.len()));
        // The page cache answers nearly always; a worker that reads from a disk waits for it, as nginx does by default.
        match file.read_at(&mut piece[..want], from + sent) {
            // A file that became shorter cannot give what its head promised.
            Ok(0) | Err(_) => return Err(ClientGone),
            Ok(read) => {
                sink.data(&piece[..read], deadline).await?;
                sent += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
