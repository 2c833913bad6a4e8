//! `POST`s whose bodies come slowly: a request that is in flight for longer than a deploy's switch takes.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::{Aim, Fault, check, fault, note, raw};
use crate::ledger::{Kind, Ledger};

const PIECES: usize = 15;
const PIECE: usize = 2048;
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn ask(ledger: &Ledger, aim: &Aim) {
    while !ledger.has_ended() {
        let from = ledger.now();
        let result = once(ledger, aim);
        note(ledger, Kind::Upload, from, result, || Ok(()));
        std::thread::sleep(PAUSE);
    }
}

fn once(ledger: &Ledger, aim: &Aim) -> Result<(), Fault> {
    let before = ledger.allowed();
    let length = PIECES * PIECE;
    let mut stream = raw::connect(aim.proxy)?;
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
        aim.host
    );
    stream.write_all(head.as_bytes())?;
    for _ in 0..PIECES {
        stream.write_all(&[b'x'; PIECE])?;
        std::thread::sleep(PAUSE);
    }
    let (status, head) = raw::head(&mut stream)?;
    let mut body = String::new();
    stream.read_to_string(&mut body)?;
    if status != 200 {
        return Err(fault(format!("status {status}: {head}{body}")));
    }
    check(
        ledger,
        &before,
        status,
        body.trim(),
        &format!(" {length} bytes"),
    )
}
