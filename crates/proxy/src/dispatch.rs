//! From a request's head to what is done about it: the route, and the head as the app gets it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::access::Parts;
use crate::compress::Coding;
use crate::files::FileRequest;
use crate::h1::request::RequestHead;
use crate::h1::{Length, Version, elements, named, push_decimal, push_field};
use crate::page::{Page, Wants};
use crate::rules::{self, Admitted, Asked, Judge};
use crate::table::{Entry, Ready};
use crate::worker::Worker;

/// A client.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its address.
    address: IpAddr,
    /// The same as text.
    pub(crate) text: String,
    /// Whether it came over TLS.
    pub(crate) tls: bool,
    /// Whether its `X-Forwarded-*` fields are believed.
    pub(crate) trusted: bool,
}

impl Peer {
    pub(crate) fn new(worker: &Worker, address: IpAddr, tls: bool) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            text: address.to_string(),
            tls,
            trusted: worker.trusts(address),
        }
    }
}

/// What is remembered of a request's head when its bytes are gone. The texts are reused from request to request.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    /// The host in lower case, without a port.
    pub(crate) host: String,
    /// The path without a query.
    pub(crate) path: String,
    pub(crate) to_head: bool,
    pub(crate) idempotent: bool,
    pub(crate) upgrade: bool,
    /// Whether the client speaks TLS, to us or to a trusted proxy.
    pub(crate) secure: bool,
    /// The instance that its cookie asks for.
    pub(crate) mark: Option<u64>,
    /// Whether it goes to the route's canary.
    pub(crate) canary: bool,
    /// Its place among its client's requests in flight, where the route limits them.
    pub(crate) admitted: Option<Admitted>,
    /// How long the instance may take to begin its answer.
    pub(crate) answer_timeout: Duration,
    /// The largest body that it may have.
    pub(crate) body_bytes: u64,
    pub(crate) wants: Wants,
    /// The coding that its answer may have.
    pub(crate) coding: Option<Coding>,
    pub(crate) request_id: String,
    /// When the head was there.
    pub(crate) begun: Option<Instant>,
    /// For the access log; filled only where there is one.
    pub(crate) parts: Parts,
}

impl Meta {
    /// The moment to measure from.
    pub(crate) fn begun(&self) -> Instant {
        self.begun.unwrap_or_else(Instant::now)
    }

    /// Forgets the last request, so that nothing of it is logged with one whose head cannot be read.
    pub(crate) fn clear(&mut self) {
        self.begun = None;
        self.admitted = None;
        self.coding = None;
        for text in [&mut self.host, &mut self.path, &mut self.request_id] {
            text.clear();
        }
        self.parts.clear();
    }
}

/// What is done about a request.
#[derive(Debug)]
pub(crate) enum Action {
    /// It goes to an instance of the route; its head is written.
    Forward(Arc<Entry>),
    /// A file answers it.
    File(Arc<Entry>, Box<FileRequest>),
    /// The proxy answers it by itself, on behalf of a route or of none.
    Page(Option<Arc<Entry>>, Page),
}

impl Action {
    /// The route, where there is one.
    pub(crate) fn entry(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Forward(entry) | Self::File(entry, _) => Some(entry),
            Self::Page(entry, _) => entry.as_ref(),
        }
    }
}

/// Looks the route up; where an app answers, writes the head for it into `out`.
pub(crate) fn dispatch(
    worker: &Worker,
    peer: &Peer,
    head: &RequestHead<'_, '_>,
    meta: &mut Meta,
    out: &mut Vec<u8>,
) -> Action {
    meta.begun = Some(Instant::now());
    meta.host.clear();
    meta.host.push_str(host_of(head.authority));
    meta.host.make_ascii_lowercase();
    meta.path.clear();
    meta.path
        .push_str(head.target.split('?').next().unwrap_or(head.target));
    meta.to_head = head.method == "HEAD";
    meta.idempotent = matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
    meta.upgrade = head.upgrade.is_some();
    meta.wants = Wants::read(head.fields);
    choose_request_id(worker, peer, head, &mut meta.request_id);
    if worker.shared().access.is_some() {
        note_parts(worker, peer, head, &mut meta.parts);
    }
    let Some(entry) = worker.find(&meta.host, &meta.path) else {
        worker.shared().unrouted.fetch_add(1, Ordering::Relaxed);
        return Action::Page(None, Page::unknown_host(&meta.host, &meta.path));
    };
    meta.body_bytes = worker.limits().body_bytes;
    meta.mark = None;
    meta.coding = None;
    meta.canary = false;
    meta.admitted = None;
    meta.answer_timeout = worker.limits().answer_timeout;
    meta.secure = peer.tls
        || (peer.trusted
            && head.fields.iter().any(|field| {
                named(field, "x-forwarded-proto") && field.value.eq_ignore_ascii_case(b"https")
            }));
    if let Some(judge) = &entry.judge
        && let Some(page) = judged(worker, peer, head, meta, judge)
    {
        return Action::Page(Some(entry), page);
    }
    let compresses = entry.judge.as_ref().is_none_or(|judge| judge.compress);
    if compresses && !meta.to_head && head.version == Version::Http11 {
        meta.coding = Coding::accepted(head.fields);
    }
    match &entry.backend {
        Ready::Instances(_) => {
            if let Some(canary) = &entry.canary {
                meta.canary = canary.takes(head, worker.chance());
            }
            write_head(out, peer, head, meta, &entry);
            Action::Forward(entry)
        }
        Ready::Files { .. } => {
            let request = Box::new(FileRequest::read(head));
            Action::File(entry, request)
        }
        Ready::Stopped { reason } => {
            let page = Page::stopped(entry.meter.name(), reason);
            Action::Page(Some(entry), page)
        }
    }
}

fn note_parts(worker: &Worker, peer: &Peer, head: &RequestHead<'_, '_>, parts: &mut Parts) {
    parts.clear();
    match peer.trusted {
        true => {
            let client = rules::client_address(peer.address, &worker.shared().trusted, head);
            parts.client.push_str(&client.to_string());
        }
        false => parts.client.push_str(&peer.text),
    }
    parts.method.push_str(head.method);
    parts.target.push_str(head.target);
    parts.protocol = match (head.version, head.bytes) {
        // A head without bytes was not one of HTTP/1.
        (_, 0) => "HTTP/2.0",
        (Version::Http10, _) => "HTTP/1.0",
        (Version::Http11, _) => "HTTP/1.1",
    };
    for field in head.fields {
        let part = match field.name.len() {
            7 if named(field, "referer") => &mut parts.referer,
            10 if named(field, "user-agent") => &mut parts.agent,
            _ => continue,
        };
        part.clear();
        part.push_str(&String::from_utf8_lossy(field.value));
    }
}

/// Applies a route's rules; the page for a request that goes no further.
fn judged(
    worker: &Worker,
    peer: &Peer,
    head: &RequestHead<'_, '_>,
    meta: &mut Meta,
    judge: &Judge,
) -> Option<Page> {
    let asked = Asked {
        client: rules::client_address(peer.address, &worker.shared().trusted, head),
        secure: meta.secure,
        host: &meta.host,
        path: &meta.path,
        https_port: worker.shared().https_port,
    };
    if let Some(page) = judge.refuse(asked, head) {
        return Some(page);
    }
    if let Some(most) = judge.body_bytes {
        meta.body_bytes = meta.body_bytes.min(most);
        if matches!(head.body, Length::Fixed(length) if length > most) {
            return Some(Page::trouble(413, "the request's body is too large"));
        }
    }
    match judge.admit(asked.client) {
        Ok(admitted) => meta.admitted = admitted,
        Err(page) => return Some(page),
    }
    if let Some(limit) = judge.answer_timeout {
        meta.answer_timeout = limit;
    }
    if let Some(name) = &judge.sticky_cookie {
        meta.mark = rules::cookie(head, name)
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|value| u64::from_str_radix(value, 16).ok());
    }
    None
}

/// The host of `host[:port]`, brackets of an IPv6 literal included.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

/// A trusted proxy's request id is kept, so that its log and ours speak of the same; anybody else's could be anything.
fn choose_request_id(
    worker: &Worker,
    peer: &Peer,
    head: &RequestHead<'_, '_>,
    request_id: &mut String,
) {
    request_id.clear();
    if peer.trusted
        && let Some(field) = head
            .fields
            .iter()
            .find(|field| named(field, "x-request-id"))
        && (1..=128).contains(&field.value.len())
        && field
            .value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'='))
    {
        request_id.extend(field.value.iter().map(|byte| char::from(*byte)));
        return;
    }
    for half in [worker.chance().next(), worker.chance().next()] {
        for byte in half.to_be_bytes() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            request_id.push(char::from(HEX[usize::from(byte >> 4)]));
            request_id.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
}

/// Writes the head for the app: framing and forwarding fields are ours, everything end-to-end is the client's.
fn write_head(
    out: &mut Vec<u8>,
    peer: &Peer,
    head: &RequestHead<'_, '_>,
    meta: &Meta,
    entry: &Entry,
) {
    out.clear();
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    let strip = match entry.strip_prefix && head.target != "*" {
        true => entry.prefix.len(),
        false => 0,
    };
    let target = &head.target[strip..];
    if strip > 0 && !target.starts_with('/') {
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let edits = entry.judge.as_ref().map(|judge| &judge.request);
    // An app of HTTP/1.1 must be told a host; a client of HTTP/1.0 may have given none.
    push_field(out, b"host", head.authority.as_bytes());
    for field in head.fields {
        let edited = edits.is_some_and(|edits| edits.take_off(field.name));
        if !edited && !is_taken_off(field.name, peer.trusted) && !head.is_listed(field.name) {
            push_field(out, field.name.as_bytes(), field.value);
        }
    }
    match head.body {
        Length::Fixed(length) => {
            out.extend_from_slice(b"content-length: ");
            push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // A method that has a body by nature says that it is empty (RFC 9110, section 8.6).
        _ if matches!(head.method, "POST" | "PUT" | "PATCH") => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        _ => {}
    }
    if head.expects_continue {
        out.extend_from_slice(b"expect: 100-continue\r\n");
    }
    if let Some(offer) = head.upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n");
        push_field(out, b"upgrade", offer);
    }
    write_forwarded(out, peer, head, meta, &entry.prefix[..strip]);
    if let Some(edits) = edits {
        edits.write(out);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_forwarded(
    out: &mut Vec<u8>,
    peer: &Peer,
    head: &RequestHead<'_, '_>,
    meta: &Meta,
    prefix: &str,
) {
    out.extend_from_slice(b"x-forwarded-for: ");
    let mut given = (false, false);
    if peer.trusted {
        for field in head.fields {
            if named(field, "x-forwarded-for") {
                for element in elements(field.value) {
                    out.extend_from_slice(element);
                    out.extend_from_slice(b", ");
                }
            }
            given.0 |= named(field, "x-forwarded-proto");
            given.1 |= named(field, "x-forwarded-host");
        }
    }
    out.extend_from_slice(peer.text.as_bytes());
    out.extend_from_slice(b"\r\n");
    if !given.0 {
        out.extend_from_slice(match peer.tls {
            true => b"x-forwarded-proto: https\r\n".as_slice(),
            false => b"x-forwarded-proto: http\r\n",
        });
    }
    if !given.1 {
        push_field(out, b"x-forwarded-host", head.authority.as_bytes());
    }
    if !prefix.is_empty() {
        push_field(out, b"x-forwarded-prefix", prefix.as_bytes());
    }
    push_field(out, b"x-request-id", meta.request_id.as_bytes());
}

/// Fields of a request that are for this hop, are written anew, or that an app would believe although anybody can send them.
fn is_taken_off(name: &str, trusted: bool) -> bool {
    // WSGI and CGI cannot tell `X_Forwarded_For` from `X-Forwarded-For`.
    if name.contains('_') {
        return true;
    }
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 => is("te"),
        4 => is("host"),
        // CGI makes HTTP_PROXY of it, which HTTP clients believe ("httpoxy").
        5 => is("proxy"),
        6 => is("expect"),
        7 => is("upgrade"),
        9 => is("forwarded") || is("x-real-ip"),
        10 => is("connection") || is("keep-alive"),
        12 => is("x-request-id"),
        14 => is("content-length"),
        16 if is("proxy-connection") => true,
        17 if is("transfer-encoding") => true,
        length if length > 12 && name[..12].eq_ignore_ascii_case("x-forwarded-") => {
            // Those that are written anew, with what a trusted peer gave.
            !trusted || is("x-forwarded-for") || is("x-forwarded-prefix")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
