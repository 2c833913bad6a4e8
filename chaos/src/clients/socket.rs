//! WebSockets (RFC 6455): each says something now and then for a second, hears it back, and closes as it should.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Aim, Fault, check, fault, note, raw};
use crate::ledger::{Kind, Ledger};

const WORDS: u8 = 10;
const PAUSE: Duration = Duration::from_millis(100);
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

pub(super) fn ask(ledger: &Ledger, aim: &Aim) {
    while !ledger.has_ended() {
        let from = ledger.now();
        let result = once(ledger, aim);
        note(ledger, Kind::Socket, from, result, || Ok(()));
        std::thread::sleep(PAUSE);
    }
}

fn once(ledger: &Ledger, aim: &Aim) -> Result<(), Fault> {
    let before = ledger.allowed();
    let mut stream = raw::connect(aim.proxy)?;
    let head = format!(
        "GET /echo HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        aim.host
    );
    stream.write_all(head.as_bytes())?;
    let (status, head) = raw::head(&mut stream)?;
    // The key is the standard's own example, and so is the answer to it.
    if status != 101 || !head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
        return Err(fault(format!("no WebSocket: {head}")));
    }
    let version = head
        .lines()
        .find_map(|line| line.strip_prefix("x-version: "))
        .unwrap_or_default();
    check(ledger, &before, 200, version, "")?;
    for word in 0..WORDS {
        let said = format!("word {word}");
        let heard = exchange(&mut stream, TEXT, said.as_bytes())?;
        if heard != said.as_bytes() {
            return Err(fault(format!("heard {heard:?} for `{said}`")));
        }
        std::thread::sleep(PAUSE);
    }
    exchange(&mut stream, CLOSE, &1000_u16.to_be_bytes())?;
    Ok(())
}

/// Sends a short masked frame and reads the one that answers it.
fn exchange(stream: &mut TcpStream, kind: u8, content: &[u8]) -> Result<Vec<u8>, Fault> {
    let mask = [7, 1, 8, 2];
    let mut frame = vec![kind, 0x80 | u8::try_from(content.len())?];
    frame.extend_from_slice(&mask);
    frame.extend(
        content
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    stream.write_all(&frame)?;
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    if head[0] != kind {
        return Err(fault(format!("a frame of kind {:#x}", head[0])));
    }
    let mut content = vec![0; usize::from(head[1] & 127)];
    stream.read_exact(&mut content)?;
    Ok(content)
}
