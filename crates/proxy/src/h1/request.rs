//! The head of a request: parsing and framing (RFC 9112, sections 2, 3, 5, 6 and 9).

use std::mem::MaybeUninit;

use super::{Field, Length, MAX_FIELDS, Refusal, Version, decimal, elements, named};

/// A request's head. All slices borrow from the bytes that were parsed.
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    /// Bytes of the head, the empty line included.
    pub bytes: usize,
    /// The method.
    pub method: &'b str,
    /// Path and query, or `*`. An absolute-form target is taken apart.
    pub target: &'b str,
    /// Host and port as asked for; empty only where HTTP/1.0 gave none.
    pub authority: &'b str,
    /// The version.
    pub version: Version,
    /// All fields, framing and hop-by-hop ones included.
    pub fields: &'h [Field<'b>],
    /// How long the body is.
    pub body: Length,
    /// Whether the client wants the connection kept.
    pub keep_alive: bool,
    /// The protocols that the client offers to change to, where it may.
    pub upgrade: Option<&'b [u8]>,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// Whether `Connection` names fields to be taken off.
    pub lists_fields: bool,
}

/// Room for the fields of a head on the stack.
pub type FieldRoom<'b> = [MaybeUninit<Field<'b>>; MAX_FIELDS];

/// Room for the fields of a head.
pub fn field_room<'b>() -> FieldRoom<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// Parses the head at the start of `bytes`; `None` where it is not all there yet.
///
/// # Errors
/// The refusal to answer with: the head breaks the grammar, its framing is ambiguous, or it asks for what a proxy does not do.
pub fn parse<'h, 'b>(
    bytes: &'b [u8],
    room: &'h mut FieldRoom<'b>,
    limit: usize,
) -> Result<Option<RequestHead<'h, 'b>>, Refusal> {
    let mut raw = httparse::Request::new(&mut []);
    let length = match raw.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(length)) if length <= limit => length,
        Ok(httparse::Status::Partial) if bytes.len() <= limit => {
            // httparse waits for more in a line that a strict reader already knows to be wrong.
            return match lines_are_strict(bytes) {
                true => Ok(None),
                false => Err(Refusal::bad("a line does not end in CR LF")),
            };
        }
        Ok(_) => return Err(too_large(bytes, limit)),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal {
                status: 431,
                reason: "the request has too many header fields",
            });
        }
        Err(httparse::Error::Version) => {
            return Err(Refusal {
                status: 505,
                reason: "the HTTP version is not supported",
            });
        }
        Err(httparse::Error::HeaderName) => {
            return Err(Refusal::bad("a header field's name is not valid"));
        }
        Err(httparse::Error::HeaderValue) => {
            return Err(Refusal::bad("a header field's value is not valid"));
        }
        Err(_) => return Err(Refusal::bad("the request line is not valid")),
    };
    if !lines_are_strict(&bytes[..length]) {
        return Err(Refusal::bad("a line does not end in CR LF"));
    }
    let (Some(method), Some(target), Some(minor)) = (raw.method, raw.path, raw.version) else {
        return Err(Refusal::bad("the request line is not valid"));
    };
    let version = if minor == 0 {
        Version::Http10
    } else {
        Version::Http11
    };
    let fields: &'h [Field<'b>] = raw.headers;
    let framing = Framing::read(fields, version)?;
    let (authority, target) = split_target(method, target, framing.host)?;
    if framing.host.is_none() && version == Version::Http11 {
        return Err(Refusal::bad("the Host field is missing"));
    }
    if !authority_is_valid(authority) {
        return Err(Refusal::bad("the host is not valid"));
    }
    let body = framing.body(version)?;
    let expects_continue = match framing.expect {
        None => false,
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
            version == Version::Http11 && body != Length::None
        }
        Some(_) => {
            return Err(Refusal {
                status: 417,
                reason: "the Expect field asks for something unknown",
            });
        }
    };
    let keep_alive = match version {
        Version::Http11 => !framing.close,
        Version::Http10 => framing.keep_alive && !framing.close,
    };
    Ok(Some(RequestHead {
        bytes: length,
        method,
        target,
        authority,
        version,
        fields,
        body,
        keep_alive,
        upgrade: framing.upgrade_offer(version, body),
        expects_continue,
        lists_fields: framing.lists_fields,
    }))
}

impl RequestHead<'_, '_> {
    /// Whether `Connection` names this field as one for this hop alone.
    pub fn is_listed(&self, name: &str) -> bool {
        self.lists_fields
            && self
                .fields
                .iter()
                .filter(|field| named(field, "connection"))
                .flat_map(|field| elements(field.value))
                .any(|element| element.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// The refusal of a head that is larger than the limit.
pub(crate) fn too_large(bytes: &[u8], limit: usize) -> Refusal {
    // A request line that alone fills the limit is a matter of its target.
    if memchr::memchr(b'\n', &bytes[..bytes.len().min(limit)]).is_none() {
        Refusal {
            status: 414,
            reason: "the request's address is too long",
        }
    } else {
        Refusal {
            status: 431,
            reason: "the request's head is too large",
        }
    }
}

/// Whether every line feed follows a carriage return.
fn lines_are_strict(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).all(|at| at > 0 && bytes[at - 1] == b'\r')
}

/// What the fields say about framing and the connection.
#[derive(Default)]
struct Framing<'b> {
    host: Option<&'b str>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    wants_upgrade: bool,
    upgrade: Option<&'b [u8]>,
    expect: Option<&'b [u8]>,
    lists_fields: bool,
}

impl<'b> Framing<'b> {
    fn read(fields: &[Field<'b>], version: Version) -> Result<Self, Refusal> {
        let mut framing = Self::default();
        for field in fields {
            match field.name.len() {
                4 if named(field, "host") => {
                    if framing.host.is_some() {
                        return Err(Refusal::bad("there is more than one Host field"));
                    }
                    let host = std::str::from_utf8(field.value)
                        .map_err(|_| Refusal::bad("the host is not valid"))?;
                    framing.host = Some(host);
                }
                6 if named(field, "expect") => framing.expect = Some(field.value),
                7 if named(field, "upgrade") => {
                    if framing.upgrade.is_some() {
                        return Err(Refusal::bad("there is more than one Upgrade field"));
                    }
                    framing.upgrade = Some(field.value);
                }
                10 if named(field, "connection") => framing.connection(field.value),
                14 if named(field, "content-length") => {
                    let length = decimal(field.value)
                        .ok_or(Refusal::bad("the Content-Length field is not a number"))?;
                    if framing.length.replace(length).is_some() {
                        return Err(Refusal::bad("there is more than one Content-Length field"));
                    }
                }
                17 if named(field, "transfer-encoding") => {
                    if version == Version::Http10 {
                        return Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding"));
                    }
                    if framing.chunked {
                        return Err(Refusal::bad(
                            "there is more than one Transfer-Encoding field",
                        ));
                    }
                    if !field.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Refusal {
                            status: 501,
                            reason: "the transfer coding is not supported",
                        });
                    }
                    framing.chunked = true;
                }
                _ => {}
            }
        }
        Ok(framing)
    }

    fn connection(&mut self, value: &[u8]) {
        for element in elements(value) {
            if element.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if element.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if element.eq_ignore_ascii_case(b"upgrade") {
                self.wants_upgrade = true;
            } else {
                self.lists_fields = true;
            }
        }
    }

    fn body(&self, _version: Version) -> Result<Length, Refusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::bad(
                "both Content-Length and Transfer-Encoding are given",
            )),
            (true, None) => Ok(Length::Chunked),
            (false, Some(0) | None) => Ok(Length::None),
            (false, Some(length)) => Ok(Length::Fixed(length)),
        }
    }

    /// HTTP/2 by upgrade is never offered to an app: it would carry requests past the proxy's routing.
    fn upgrade_offer(&self, version: Version, body: Length) -> Option<&'b [u8]> {
        let offer = self.upgrade?;
        let allowed = self.wants_upgrade
            && version == Version::Http11
            && body == Length::None
            && !elements(offer)
                .any(|element| element.len() >= 3 && element[..3].eq_ignore_ascii_case(b"h2c"));
        allowed.then_some(offer)
    }
}

/// Host and path of the four forms of a target (RFC 9112, section 3.2).
fn split_target<'b>(
    method: &str,
    target: &'b str,
    host: Option<&'b str>,
) -> Result<(&'b str, &'b str), Refusal> {
    if !target
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#')
    {
        return Err(Refusal::bad(
            "the request's address has forbidden characters",
        ));
    }
    if matches!(method, "CONNECT" | "TRACE") {
        return Err(Refusal {
            status: 405,
            reason: "the method is not allowed here",
        });
    }
    let host = host.unwrap_or("");
    if target.starts_with('/') {
        return Ok((host, target));
    }
    if target == "*" && method == "OPTIONS" {
        return Ok((host, target));
    }
    let rest = strip_scheme(target).ok_or(Refusal::bad("the request's address is not valid"))?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    if authority.is_empty() {
        return Err(Refusal::bad("the request's address names no host"));
    }
    match path {
        "" => Ok((authority, "/")),
        // `http://host?query` has an empty path; it cannot be written in origin form without a copy, and nobody sends it.
        path if path.starts_with('?') => Err(Refusal::bad("the request's address has no path")),
        path => Ok((authority, path)),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme)
            .then(|| &target[scheme.len()..])
    })
}

/// `host [":" port]` with the characters of names and address literals alone.
pub(crate) fn authority_is_valid(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, rest)) => {
                if host.is_empty()
                    || !host
                        .bytes()
                        .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
                {
                    return false;
                }
                match rest.strip_prefix(':') {
                    Some(port) => ("v6", port),
                    None if rest.is_empty() => ("v6", ""),
                    None => return false,
                }
            }
            None => return false,
        },
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
        && port.len() <= 5
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && (!host.is_empty() || authority.is_empty())
}
