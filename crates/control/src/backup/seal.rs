//! Sealing an archive with a passphrase, in pieces, so that it is neither held in memory nor read before it is proved.
//!
//! The file: [`MAGIC`], a line of JSON (how the key comes from the passphrase), then pieces: a length of four bytes whose
//! highest bit marks the last one, and XChaCha20-Poly1305 of up to 64 KiB. The nonce of a piece is the file's random prefix,
//! the piece's number and whether it is the last (the STREAM construction), so that pieces cannot be left out, swapped or
//! cut off unnoticed. The key is PBKDF2-HMAC-SHA256 of the passphrase.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use launchway_model::Problem;
use serde::{Deserialize, Serialize};

/// What a sealed file begins with.
pub(super) const MAGIC: &[u8] = b"launchway sealed backup 1\n";
/// The content of a piece.
const PIECE: usize = 64 * 1024;
/// What sealing adds to it.
const TAG: usize = 16;
const LAST: u32 = 1 << 31;
/// As OWASP recommends for PBKDF2-HMAC-SHA256. An unoptimised build, which only developers run, would take half a minute for
/// it; the number stands in the file, so either build opens the other's.
const ITERATIONS: u32 = if cfg!(debug_assertions) {
    10_000
} else {
    600_000
};
/// The most that a file may ask of us.
const MOST_ITERATIONS: u32 = 10_000_000;
/// The longest line of JSON that is read.
const LONGEST_HEAD: usize = 4096;

/// What opens a sealed backup.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes a text without the line break at its end.
    ///
    /// # Errors
    /// It is too short to protect anything.
    pub fn new(text: &str) -> std::result::Result<Self, Problem> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.chars().count() < 12 {
            return Err(Problem::invalid("a passphrase has at least 12 characters")
                .hint("A random one: `openssl rand -base64 24`."));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    salt: String,
    iterations: u32,
    prefix: String,
}

fn key(passphrase: &Passphrase, salt: &[u8], iterations: NonZeroU32) -> XChaCha20Poly1305 {
    let mut key = [0; 32];
    ring::pbkdf2::derive(
        ring::pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        passphrase.0.as_bytes(),
        &mut key,
    );
    XChaCha20Poly1305::new(&key.into())
}

/// The way to the pieces: a cipher, a prefix, a count.
struct Pieces {
    cipher: XChaCha20Poly1305,
    prefix: [u8; 15],
    number: u64,
}

impl Pieces {
    fn nonce(&mut self, last: bool) -> XNonce {
        let mut nonce = [0; 24];
        nonce[..15].copy_from_slice(&self.prefix);
        nonce[15..23].copy_from_slice(&self.number.to_be_bytes());
        nonce[23] = u8::from(last);
        self.number += 1;
        nonce.into()
    }
}

/// Seals what is written to it.
pub(super) struct Sealing<W> {
    out: W,
    pieces: Pieces,
    piece: Vec<u8>,
}

impl<W: Write> Sealing<W> {
    pub(super) fn begin(mut out: W, passphrase: &Passphrase) -> std::result::Result<Self, Problem> {
        let salt: [u8; 16] = crate::secrets::random()?;
        let prefix: [u8; 15] = crate::secrets::random()?;
        let head = Head {
            salt: STANDARD.encode(salt),
            iterations: ITERATIONS,
            prefix: STANDARD.encode(prefix),
        };
        let iterations = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
        let cipher = key(passphrase, &salt, iterations);
        let mut write = || -> Result<()> {
            out.write_all(MAGIC)?;
            serde_json::to_writer(&mut out, &head)?;
            out.write_all(b"\n")
        };
        write().map_err(|error| Problem::failed("the backup cannot be written").cause(error))?;
        Ok(Self {
            out,
            pieces: Pieces {
                cipher,
                prefix,
                number: 0,
            },
            piece: Vec::with_capacity(PIECE),
        })
    }

    fn seal(&mut self, last: bool) -> Result<()> {
        let nonce = self.pieces.nonce(last);
        let sealed = self
            .pieces
            .cipher
            .encrypt(&nonce, self.piece.as_slice())
            .map_err(|_| Error::other("a piece cannot be sealed"))?;
        let length = u32::try_from(sealed.len()).map_err(Error::other)?;
        let length = if last { length | LAST } else { length };
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&sealed)?;
        self.piece.clear();
        Ok(())
    }

    /// Seals the last piece and gives what it wrote to.
    pub(super) fn finish(mut self) -> Result<W> {
        self.seal(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.piece.len() == PIECE {
            self.seal(false)?;
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

/// Opens what was sealed.
pub(super) struct Opening<R> {
    from: R,
    pieces: Pieces,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Opening<R> {
    /// Reads on behind the magic.
    pub(super) fn begin(mut from: R, passphrase: &Passphrase) -> Result<Self> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < LONGEST_HEAD {
            from.read_exact(&mut byte)?;
            if byte == *b"\n" {
                break;
            }
            line.push(byte[0]);
        }
        let head: Head = serde_json::from_slice(&line)?;
        let salt = STANDARD.decode(head.salt).map_err(Error::other)?;
        let prefix = STANDARD.decode(head.prefix).map_err(Error::other)?;
        let prefix = prefix
            .try_into()
            .map_err(|_| damaged("its head is damaged"))?;
        let iterations = NonZeroU32::new(head.iterations.min(MOST_ITERATIONS))
            .ok_or_else(|| damaged("its head is damaged"))?;
        Ok(Self {
            from,
            pieces: Pieces {
                cipher: key(passphrase, &salt, iterations),
                prefix,
                number: 0,
            },
            piece: Vec::new(),
            at: 0,
            ended: false,
        })
    }

    fn open(&mut self) -> Result<()> {
        let mut length = [0; 4];
        self.from
            .read_exact(&mut length)
            .map_err(|_| damaged("it is cut off"))?;
        let length = u32::from_be_bytes(length);
        let last = length & LAST != 0;
        let length = usize::try_from(length & !LAST).map_err(Error::other)?;
        if length > PIECE + TAG {
            return Err(damaged("a piece of it is damaged"));
        }
        let mut sealed = vec![0; length];
        self.from
            .read_exact(&mut sealed)
            .map_err(|_| damaged("it is cut off"))?;
        let first = self.pieces.number == 0;
        let nonce = self.pieces.nonce(last);
        self.piece = self
            .pieces
            .cipher
            .decrypt(&nonce, sealed.as_slice())
            .map_err(|_| {
                damaged(match first {
                    true => "the passphrase is another one, or it is damaged",
                    false => "a piece of it is damaged",
                })
            })?;
        self.at = 0;
        self.ended = last;
        Ok(())
    }
}

impl<R: Read> Read for Opening<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        while self.at == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            self.open()?;
        }
        let given = into.len().min(self.piece.len() - self.at);
        into[..given].copy_from_slice(&self.piece[self.at..self.at + given]);
        self.at += given;
        Ok(given)
    }
}

fn damaged(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}
