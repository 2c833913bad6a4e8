//! Bodies: taking the framing off what arrives and putting it on what leaves (RFC 9112, sections 6 and 7).

use super::{Length, push_field};

/// Bytes of chunk extensions allowed in one body; they are ignored and not passed on.
const EXTENSION_LIMIT: usize = 4096;
/// Bytes of trailer fields allowed behind one body.
const TRAILER_LIMIT: usize = 8192;

/// A body that breaks its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBody(pub &'static str);

/// What a step of decoding found at the start of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of framing to skip first.
    pub skip: usize,
    /// Bytes of payload behind them.
    pub payload: usize,
    /// Whether the body ends behind the payload.
    pub end: bool,
}

/// Takes the framing off a body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    trailers: Vec<u8>,
    extensions: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fixed { left: u64 },
    UntilClose,
    Size { size: u64, digits: u8 },
    BeforeExtension { size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd,
    DataFeed,
    Trailers,
    Done,
}

impl Decoder {
    /// For a body of this length.
    pub fn new(length: Length) -> Self {
        let state = match length {
            Length::None | Length::Fixed(0) => State::Done,
            Length::Fixed(left) => State::Fixed { left },
            Length::Chunked => State::Size { size: 0, digits: 0 },
            Length::UntilClose => State::UntilClose,
        };
        Self {
            state,
            trailers: Vec::new(),
            extensions: 0,
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Payload known to be still to come, at least; 0 where that is unknown.
    pub fn known_left(&self) -> u64 {
        match self.state {
            State::Fixed { left } | State::Data { left } => left,
            _ => 0,
        }
    }

    /// The trailer section as it was sent, complete once the body is done.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Finds the next payload in `input`. Call again with what lies behind `skip + payload` until that is empty or the body ends.
    ///
    /// # Errors
    /// The chunks break their grammar or bounds.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BadBody> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.state {
                State::Done => return Ok(self.found(at, 0)),
                _ if rest.is_empty() => return Ok(self.found(at, 0)),
                State::UntilClose => return Ok(self.found(at, rest.len())),
                State::Fixed { left } => {
                    let payload = fit(left, rest.len());
                    let left = left - payload as u64;
                    self.state = if left == 0 {
                        State::Done
                    } else {
                        State::Fixed { left }
                    };
                    return Ok(self.found(at, payload));
                }
                State::Data { left } => {
                    let payload = fit(left, rest.len());
                    let left = left - payload as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data { left }
                    };
                    return Ok(self.found(at, payload));
                }
                State::Trailers => {
                    at += self.trailer_bytes(rest)?;
                }
                _ => {
                    self.state = self.framing_byte(rest[0])?;
                    at += 1;
                }
            }
        }
    }

    fn found(&self, skip: usize, payload: usize) -> Step {
        Step {
            skip,
            payload,
            end: self.is_done(),
        }
    }

    fn framing_byte(&mut self, byte: u8) -> Result<State, BadBody> {
        match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                // Fifteen digits are more than any disk holds and cannot overflow.
                if digits >= 15 {
                    return Err(BadBody("a chunk is too large"));
                }
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                };
                Ok(State::Size {
                    size: size * 16 + u64::from(digit),
                    digits: digits + 1,
                })
            }
            (State::Size { digits: 0, .. }, _) => Err(BadBody("a chunk's size is missing")),
            (State::Size { size, .. } | State::Extension { size }, b'\r') => {
                Ok(State::SizeEnd { size })
            }
            (State::Size { size, .. } | State::BeforeExtension { size }, b';') => {
                self.extension(State::Extension { size })
            }
            (State::Size { size, .. } | State::BeforeExtension { size }, b' ' | b'\t') => {
                self.extension(State::BeforeExtension { size })
            }
            (State::Extension { size }, b'\t' | b' '..=0x7e | 0x80..) => {
                self.extension(State::Extension { size })
            }
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::Trailers),
            (State::SizeEnd { size }, b'\n') => Ok(State::Data { left: size }),
            (State::DataEnd, b'\r') => Ok(State::DataFeed),
            (State::DataFeed, b'\n') => Ok(State::Size { size: 0, digits: 0 }),
            (State::DataEnd | State::DataFeed, _) => {
                Err(BadBody("a chunk is longer than its size"))
            }
            _ => Err(BadBody("a chunk's size line is not valid")),
        }
    }

    fn extension(&mut self, next: State) -> Result<State, BadBody> {
        self.extensions += 1;
        if self.extensions > EXTENSION_LIMIT {
            return Err(BadBody("the chunk extensions are too long"));
        }
        Ok(next)
    }

    /// Gathers the trailer section up to and with its empty line; returns the bytes taken.
    fn trailer_bytes(&mut self, rest: &[u8]) -> Result<usize, BadBody> {
        for (index, byte) in rest.iter().enumerate() {
            if self.trailers.len() >= TRAILER_LIMIT {
                return Err(BadBody("the trailer is too large"));
            }
            self.trailers.push(*byte);
            if *byte != b'\n' {
                continue;
            }
            let line_end = self.trailers.len();
            if line_end < 2 || self.trailers[line_end - 2] != b'\r' {
                return Err(BadBody("a trailer line does not end in CR LF"));
            }
            if line_end == 2 || self.trailers.ends_with(b"\r\n\r\n") {
                self.check_trailers()?;
                self.state = State::Done;
                return Ok(index + 1);
            }
        }
        Ok(rest.len())
    }

    fn check_trailers(&mut self) -> Result<(), BadBody> {
        let mut room = [httparse::EMPTY_HEADER; 32];
        match httparse::parse_headers(&self.trailers, &mut room) {
            Ok(httparse::Status::Complete((length, _))) if length == self.trailers.len() => Ok(()),
            _ => Err(BadBody("the trailer is not valid")),
        }
    }
}

fn fit(left: u64, room: usize) -> usize {
    usize::try_from(left).map_or(room, |left| left.min(room))
}

/// Puts payload into `out`, in a chunk where the framing wants one. Empty payload is nothing, since an empty chunk is the end.
pub fn encode(out: &mut Vec<u8>, length: Length, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    if length != Length::Chunked {
        out.extend_from_slice(payload);
        return;
    }
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let size = payload.len();
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(HEX[(size >> (digit * 4)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Ends a body; a chunked one with those of the trailer fields that may stand there (RFC 9110, section 6.5.1).
pub fn encode_end(out: &mut Vec<u8>, length: Length, trailers: &[u8]) {
    if length != Length::Chunked {
        return;
    }
    out.extend_from_slice(b"0\r\n");
    if trailers.len() > 2 {
        let mut room = [httparse::EMPTY_HEADER; 32];
        if let Ok(httparse::Status::Complete((_, fields))) =
            httparse::parse_headers(trailers, &mut room)
        {
            for field in fields {
                if may_trail(field.name) {
                    push_field(out, field.name.as_bytes(), field.value);
                }
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a field may stand in a trailer: none that frames, routes, authenticates or controls.
pub(crate) fn may_trail(name: &str) -> bool {
    const NEVER: [&str; 22] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "max-forwards",
        "pragma",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "forwarded",
    ];
    !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
        && !name.contains('_')
        && !name
            .get(..12)
            .is_some_and(|start| start.eq_ignore_ascii_case("x-forwarded-"))
}
