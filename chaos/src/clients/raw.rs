//! The head of an answer, read from a connection that goes on as something else.

use std::io::{Error, ErrorKind, Read, Result};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// Connects with the clients' patience.
pub(super) fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads to the end of the head, byte by byte so that nothing of what follows is taken; gives its status and the head.
pub(super) fn head(stream: &mut TcpStream) -> Result<(u16, String)> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Err(Error::new(
                ErrorKind::UnexpectedEof,
                "the connection ended within an answer's head",
            ));
        }
        text.push(byte[0]);
        if text.len() > 16_384 {
            return Err(Error::new(ErrorKind::InvalidData, "the head is too long"));
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "no status line"))?;
    Ok((status, text))
}
