//! Downloads over HTTP: small texts, and large files with resume and verification.
//!
//! A broken download is kept as `NAME.part` with what the server said of it, and goes on where it ended if the server
//! still has the same content (`If-Range`). A whole one is held to its length, to the server's CRC-32C where it
//! sends one (`x-goog-hash`), and to the caller's own check, before it gets its name.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::http::{HeaderMap, Response};

use super::UpdateOptions;
use crate::error::ScanError;

/// The largest text that is read into memory: npm's list of changes is below 20 MiB.
const MAX_TEXT_BYTES: u64 = 128 << 20;

/// The largest file that is downloaded.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// A client with its patience.
pub(super) struct Client {
    agent: Agent,
    retries: u32,
    pause: Duration,
}

/// What the server said of a download under way.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
struct Meta {
    etag: String,
    length: u64,
    crc32c: Option<u32>,
}

/// Why a try failed, and whether another one may help.
struct Failure {
    reason: String,
    again: bool,
}

impl Failure {
    fn again(reason: impl ToString) -> Self {
        Self {
            reason: reason.to_string(),
            again: true,
        }
    }

    fn last(reason: impl ToString) -> Self {
        Self {
            reason: reason.to_string(),
            again: false,
        }
    }
}

impl Client {
    pub(super) fn new(options: &UpdateOptions) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(options.silence))
            .timeout_recv_response(Some(options.silence))
            .timeout_per_read(Some(options.silence))
            .max_redirects(5)
            .user_agent(concat!("launchway/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.new_agent(),
            retries: options.retries,
            pause: options.pause,
        }
    }

    /// A text that must be there.
    pub(super) fn text(&self, url: &str) -> Result<String, ScanError> {
        self.optional_text(url)?.ok_or_else(|| ScanError::Download {
            url: url.to_owned(),
            reason: "the server has no such file".to_owned(),
        })
    }

    /// A text, or `None` where the server has no such file.
    pub(super) fn optional_text(&self, url: &str) -> Result<Option<String>, ScanError> {
        self.patiently(url, || {
            let mut response = self.agent.get(url).call().map_err(Failure::again)?;
            match response.status().as_u16() {
                200 => {}
                404 => return Ok(None),
                status => return Err(refused(status)),
            }
            let length = content_length(response.headers());
            let text = response
                .body_mut()
                .with_config()
                .limit(MAX_TEXT_BYTES)
                .read_to_string()
                .map_err(Failure::again)?;
            if length.is_some_and(|length| length != text.len() as u64) {
                return Err(Failure::again("the connection ended too early"));
            }
            Ok(Some(text))
        })
    }

    /// Downloads a file; gives its length, and how much of it a try before had left.
    pub(super) fn file(
        &self,
        url: &str,
        target: &Path,
        check: &dyn Fn(&Path) -> Result<(), String>,
    ) -> Result<(u64, u64), ScanError> {
        let part = with_suffix(target, ".part");
        let resumed = fs::metadata(&part).map_or(0, |meta| meta.len());
        let mut first = true;
        let mut kept = 0;
        let length = self.patiently(url, || {
            let before = self.resume(url, &part)?;
            if std::mem::take(&mut first) {
                kept = before.min(resumed);
            }
            let length = fs::metadata(&part).map_err(Failure::again)?.len();
            let verified = verify(&part).and_then(|()| check(&part));
            if let Err(reason) = verified {
                // Bytes that are wrong don't become right by more of them.
                discard(&part);
                return Err(Failure::again(reason));
            }
            Ok(length)
        })?;
        fs::rename(&part, target).map_err(|error| ScanError::io("replace", target, error))?;
        let _ = fs::remove_file(with_suffix(&part, ".meta"));
        Ok((length, kept))
    }

    /// Brings a part to its full length; gives how much of it was there before and could be kept.
    fn resume(&self, url: &str, part: &Path) -> Result<u64, Failure> {
        let meta_path = with_suffix(part, ".meta");
        let meta: Option<Meta> = fs::read(&meta_path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let have = fs::metadata(part).map_or(0, |meta| meta.len());
        // Without a mark of the content nobody can tell whether the rest fits.
        let resumable =
            meta.filter(|meta| have > 0 && have <= meta.length && !meta.etag.is_empty());
        if resumable.as_ref().is_some_and(|meta| meta.length == have) {
            return Ok(have);
        }
        let mut request = self.agent.get(url);
        if let Some(meta) = &resumable {
            request = request
                .header("Range", format!("bytes={have}-"))
                .header("If-Range", &meta.etag);
        }
        let mut response = request.call().map_err(Failure::again)?;
        let (mut file, at, meta) = match (response.status().as_u16(), resumable) {
            (206, Some(meta)) if continues(&response, have, meta.length) => (
                OpenOptions::new()
                    .append(true)
                    .open(part)
                    .map_err(Failure::last)?,
                have,
                meta,
            ),
            (200, _) => {
                let meta = describe(response.headers())?;
                fs::write(
                    &meta_path,
                    serde_json::to_vec(&meta).map_err(Failure::last)?,
                )
                .map_err(Failure::last)?;
                (File::create(part).map_err(Failure::last)?, 0, meta)
            }
            (206 | 416, _) => {
                discard(part);
                return Err(Failure::again(
                    "the server can't go on where the download ended",
                ));
            }
            (404, _) => return Err(Failure::last("the server has no such file")),
            (status, _) => return Err(refused(status)),
        };
        let mut reader = response
            .body_mut()
            .with_config()
            .limit(MAX_FILE_BYTES)
            .reader()
            .take(meta.length - at);
        let copied = std::io::copy(&mut reader, &mut file);
        // What came is kept for the next try, whatever happened.
        file.flush()
            .and_then(|()| file.sync_all())
            .map_err(Failure::last)?;
        let came = fs::metadata(part).map_err(Failure::last)?.len();
        if came < meta.length {
            let cause = copied.err().map_or_else(
                || "the connection ended".to_owned(),
                |error| error.to_string(),
            );
            return Err(Failure::again(format!(
                "{cause} after {came} of {} bytes",
                meta.length
            )));
        }
        Ok(at)
    }

    fn patiently<T>(
        &self,
        url: &str,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, ScanError> {
        let mut pause = self.pause;
        let mut left = self.retries;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(failure) if failure.again && left > 0 => {
                    left -= 1;
                    // A server in trouble is given time.
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(2);
                }
                Err(failure) => {
                    return Err(ScanError::Download {
                        url: url.to_owned(),
                        reason: failure.reason,
                    });
                }
            }
        }
    }
}

fn refused(status: u16) -> Failure {
    let reason = format!("the server answered {status}");
    if status == 429 || status >= 500 {
        Failure::again(reason)
    } else {
        Failure::last(reason)
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}

fn describe(headers: &HeaderMap) -> Result<Meta, Failure> {
    let length = content_length(headers)
        .ok_or_else(|| Failure::last("the server doesn't say how long the file is"))?;
    if length > MAX_FILE_BYTES {
        return Err(Failure::last(format!(
            "the file is larger than {} GiB",
            MAX_FILE_BYTES >> 30
        )));
    }
    let etag = headers
        .get("etag")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    // A weak mark promises no equal bytes.
    let etag = if etag.starts_with("W/") { "" } else { etag };
    let hashes = headers
        .get_all("x-goog-hash")
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let crc = hashes
        .flat_map(|value| value.split(','))
        .find_map(|part| part.trim().strip_prefix("crc32c="));
    let crc = crc.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let crc32c = crc
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
        .map(u32::from_be_bytes);
    Ok(Meta {
        etag: etag.to_owned(),
        length,
        crc32c,
    })
}

/// Whether a partial answer begins where the part ends, of a file of the same length.
fn continues<B>(response: &Response<B>, have: u64, length: u64) -> bool {
    let range = response
        .headers()
        .get("content-range")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    range.starts_with(&format!("bytes {have}-")) && range.ends_with(&format!("/{length}"))
}

/// Holds a part to what the server said of it.
fn verify(part: &Path) -> Result<(), String> {
    let meta: Meta = fs::read(with_suffix(part, ".meta"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut file = File::open(part).map_err(|error| error.to_string())?;
    let Some(expected) = meta.crc32c else {
        return Ok(());
    };
    let mut crc = Crc32c::new();
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(|error| error.to_string())?;
        if count == 0 {
            break;
        }
        crc.add(&buffer[..count]);
    }
    if crc.finish() == expected {
        Ok(())
    } else {
        Err("the download's checksum is wrong".to_owned())
    }
}

fn discard(part: &Path) {
    let _ = fs::remove_file(part);
    let _ = fs::remove_file(with_suffix(part, ".meta"));
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by a table.
pub(super) struct Crc32c {
    table: [u32; 256],
    state: u32,
}

impl Crc32c {
    pub(super) fn new() -> Self {
        let table = std::array::from_fn(|at| {
            let mut value = u32::try_from(at).unwrap_or_default();
            for _ in 0..8 {
                value = if value & 1 == 1 {
                    (value >> 1) ^ 0x82f6_3b78
                } else {
                    value >> 1
                };
            }
            value
        });
        Self { table, state: !0 }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state =
                (self.state >> 8) ^ self.table[((self.state ^ u32::from(*byte)) & 0xff) as usize];
        }
    }

    pub(super) fn finish(self) -> u32 {
        !self.state
    }
}
