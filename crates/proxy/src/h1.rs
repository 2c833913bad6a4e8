//! HTTP/1.1 without a socket: bytes in, heads and payload out, and back.
//!
//! Everything here is a function or a state machine over byte slices, so that it is tested and fuzzed without I/O and serves any
//! driver. Framing follows RFC 9112 strictly on the side of clients, where leniency is how requests are smuggled: what is not
//! exactly as the grammar says is refused, never mended. Answers of apps are trusted a little more (a bare line feed ends a line),
//! since everything that leaves is written anew.

pub mod body;
pub mod request;
pub mod response;

/// One header field, name as it was sent.
pub type Field<'b> = httparse::Header<'b>;

/// Header fields that a head may have.
pub const MAX_FIELDS: usize = 100;

/// How long a message's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    /// This many bytes, more than 0.
    Fixed(u64),
    /// Chunks until the last one.
    Chunked,
    /// All until the connection closes; answers only.
    UntilClose,
}

/// The minor version of HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Why a request is answered by the proxy and its connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// Why, for the page and the log.
    pub reason: &'static str,
}

impl Refusal {
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self {
            status: 400,
            reason,
        }
    }
}

/// Whether a field's name is this one; `name` is in lower case.
pub(crate) fn named(field: &Field<'_>, name: &str) -> bool {
    field.name.len() == name.len() && field.name.eq_ignore_ascii_case(name)
}

/// The elements of a comma-separated list, trimmed, without empty ones.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(|element| element.trim_ascii())
        .filter(|element| !element.is_empty())
}

/// `1*DIGIT` that fits, and nothing else.
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut number = 0_u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(byte - b'0');
    }
    Some(number)
}

/// Appends a number in decimal.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends one field line.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
