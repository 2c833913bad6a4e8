//! Git's packet lines: four hex digits of length (with themselves), then the payload; `0000` ends a section.

use launchway_model::Problem;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest payload of a packet line.
pub(super) const MAX: usize = 65_516;

/// The channel of a side-band that carries the protocol.
pub(super) const DATA: u8 = 1;
/// The channel of a side-band that is shown on the user's terminal.
pub(super) const SHOWN: u8 = 2;

/// Appends one packet line; a payload beyond [`MAX`] is cut, which only messages for people could reach.
pub(super) fn text(out: &mut Vec<u8>, payload: &[u8]) {
    let payload = &payload[..payload.len().min(MAX)];
    out.extend(format!("{:04x}", payload.len() + 4).into_bytes());
    out.extend(payload);
}

/// Appends the end of a section.
pub(super) fn flush(out: &mut Vec<u8>) {
    out.extend(b"0000");
}

/// Appends any number of bytes on one channel of a side-band.
pub(super) fn band(out: &mut Vec<u8>, channel: u8, bytes: &[u8]) {
    for part in bytes.chunks(MAX - 1) {
        out.extend(format!("{:04x}", part.len() + 5).into_bytes());
        out.push(channel);
        out.extend(part);
    }
}

/// Reads one packet line: its payload, or nothing for the end of a section.
pub(super) async fn read(
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Vec<u8>>, Problem> {
    let broken = |error: &dyn std::error::Error| {
        Problem::invalid("the request ends within git's protocol").caused_by(error)
    };
    let mut head = [0; 4];
    reader
        .read_exact(&mut head)
        .await
        .map_err(|error| broken(&error))?;
    let length = std::str::from_utf8(&head)
        .ok()
        .and_then(|text| usize::from_str_radix(text, 16).ok())
        .filter(|length| *length == 0 || (4..=MAX + 4).contains(length))
        .ok_or_else(|| Problem::invalid("the request does not speak git's protocol"))?;
    if length == 0 {
        return Ok(None);
    }
    let mut payload = vec![0; length - 4];
    reader
        .read_exact(&mut payload)
        .await
        .map_err(|error| broken(&error))?;
    Ok(Some(payload))
}
