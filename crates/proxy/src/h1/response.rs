//! The head of an answer: parsing what an app sends, and writing what a client gets (RFC 9112, sections 4 and 6).

use super::request::FieldRoom;
use super::{Field, Length, decimal, elements, named, push_decimal, push_field};

/// An answer's head, from an app or made by the proxy.
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    /// Bytes of the head, the empty line included; 0 where the proxy made it.
    pub bytes: usize,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'b str,
    /// All fields, framing and hop-by-hop ones included.
    pub fields: &'h [Field<'b>],
    /// How long the body that follows is.
    pub body: Length,
    /// The length that `Content-Length` gives, also where no body follows (an answer to HEAD, a 304).
    pub content_length: Option<u64>,
    /// Whether the sender keeps the connection.
    pub keep_alive: bool,
    /// The protocol that a 101 changes to.
    pub upgrade: Option<&'b [u8]>,
    /// Whether `Connection` names fields to be taken off.
    pub lists_fields: bool,
}

/// An app's answer that cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadAnswer(pub &'static str);

/// Parses the head at the start of `bytes`; `None` where it is not all there yet. `to_head` says that the request's method was HEAD.
///
/// # Errors
/// The app's answer is not HTTP/1, or its framing is ambiguous.
pub fn parse<'h, 'b>(
    bytes: &'b [u8],
    room: &'h mut FieldRoom<'b>,
    limit: usize,
    to_head: bool,
) -> Result<Option<ResponseHead<'h, 'b>>, BadAnswer> {
    let mut raw = httparse::Response::new(&mut []);
    let mut rules = httparse::ParserConfig::default();
    // RFC 9112, section 5.1: a proxy must take such white space off, which the parser does.
    rules.allow_spaces_after_header_name_in_responses(true);
    let length = match rules.parse_response_with_uninit_headers(&mut raw, bytes, room) {
        Ok(httparse::Status::Complete(length)) if length <= limit => length,
        Ok(httparse::Status::Partial) if bytes.len() <= limit => return Ok(None),
        Ok(_) => return Err(BadAnswer("its head is too large")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(BadAnswer("it has too many header fields"));
        }
        Err(_) => return Err(BadAnswer("it is not HTTP")),
    };
    let (Some(status), Some(minor)) = (raw.code, raw.version) else {
        return Err(BadAnswer("it is not HTTP"));
    };
    if status < 100 {
        return Err(BadAnswer("its status is not valid"));
    }
    let fields: &'h [Field<'b>] = raw.headers;
    let mut head = ResponseHead {
        bytes: length,
        status,
        reason: raw.reason.unwrap_or(""),
        fields,
        body: Length::UntilClose,
        content_length: None,
        keep_alive: minor == 1,
        upgrade: None,
        lists_fields: false,
    };
    let mut chunked = false;
    for field in fields {
        match field.name.len() {
            7 if named(field, "upgrade") => head.upgrade = Some(field.value),
            10 if named(field, "connection") => {
                for element in elements(field.value) {
                    if element.eq_ignore_ascii_case(b"close") {
                        head.keep_alive = false;
                    } else if element.eq_ignore_ascii_case(b"keep-alive") {
                        head.keep_alive = true;
                    } else if !element.eq_ignore_ascii_case(b"upgrade") {
                        head.lists_fields = true;
                    }
                }
            }
            14 if named(field, "content-length") => {
                let length =
                    decimal(field.value).ok_or(BadAnswer("its Content-Length is not a number"))?;
                if head.content_length.is_some_and(|first| first != length) {
                    return Err(BadAnswer("it has two different lengths"));
                }
                head.content_length = Some(length);
            }
            17 if named(field, "transfer-encoding") => {
                if chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadAnswer("its transfer coding is not supported"));
                }
                chunked = true;
            }
            _ => {}
        }
    }
    if chunked && head.content_length.is_some() {
        return Err(BadAnswer(
            "it has both Content-Length and Transfer-Encoding",
        ));
    }
    head.body = match status {
        _ if to_head => Length::None,
        100..200 | 204 | 304 => Length::None,
        _ if chunked => Length::Chunked,
        _ => match head.content_length {
            Some(0) => Length::None,
            Some(length) => Length::Fixed(length),
            None => Length::UntilClose,
        },
    };
    if head.body == Length::UntilClose {
        head.keep_alive = false;
    }
    Ok(Some(head))
}

impl ResponseHead<'_, '_> {
    /// Whether a field concerns only the connection that it came over, or the framing, which is written anew.
    pub fn is_of_this_hop(&self, field: &Field<'_>) -> bool {
        let known = match field.name.len() {
            7 => named(field, "upgrade"),
            10 => named(field, "connection") || named(field, "keep-alive"),
            14 => named(field, "content-length"),
            16 => named(field, "proxy-connection"),
            17 => named(field, "transfer-encoding"),
            _ => false,
        };
        known || (self.lists_fields && self.is_listed(field.name))
    }

    fn is_listed(&self, name: &str) -> bool {
        self.fields
            .iter()
            .filter(|field| named(field, "connection"))
            .flat_map(|field| elements(field.value))
            .any(|element| element.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// How a client's side of an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// How the body is written.
    pub body: Length,
    /// Whether the connection stays open behind it.
    pub keep_alive: bool,
}

/// The framing for a client: one of HTTP/1.0 knows no chunks, so its body ends with the connection.
pub fn framing(head: &ResponseHead<'_, '_>, http10: bool, keep_alive: bool) -> Framing {
    match head.body {
        Length::Chunked | Length::UntilClose if http10 => Framing {
            body: Length::UntilClose,
            keep_alive: false,
        },
        Length::Chunked | Length::UntilClose => Framing {
            body: Length::Chunked,
            keep_alive,
        },
        body => Framing { body, keep_alive },
    }
}

/// Writes a head for a client.
pub fn write(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>, framing: Framing, http10: bool) {
    write_edited(out, head, framing, http10, |_| true, |_| {});
}

/// As [`write()`], with those of its end-to-end fields that `keep` keeps, and the field lines that `add` adds.
pub fn write_edited(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_, '_>,
    framing: Framing,
    http10: bool,
    keep: impl Fn(&str) -> bool,
    add: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(head.status));
    out.push(b' ');
    out.extend_from_slice(head.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    for field in head.fields {
        if !head.is_of_this_hop(field) && keep(field.name) {
            push_field(out, field.name.as_bytes(), field.value);
        }
    }
    add(out);
    match (head.status, framing.body, head.content_length) {
        // An answer without content has no length to tell (RFC 9110, section 8.6).
        (100..200 | 204, ..) => {}
        (_, Length::Chunked, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        (_, Length::UntilClose, _) => {}
        (_, Length::Fixed(length), _) | (_, Length::None, Some(length)) => {
            out.extend_from_slice(b"content-length: ");
            push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        (_, Length::None, None) => {}
    }
    if head.status == 101 {
        out.extend_from_slice(b"connection: upgrade\r\n");
        if let Some(protocol) = head.upgrade {
            push_field(out, b"upgrade", protocol);
        }
    } else if head.status >= 200 {
        if !framing.keep_alive {
            out.extend_from_slice(b"connection: close\r\n");
        } else if http10 {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
}
