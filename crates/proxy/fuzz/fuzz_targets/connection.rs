//! A whole client connection through the engine: heads, bodies, the next request; cut anywhere, the same requests come out.
#![no_main]

use launchway_proxy::h1::body::Decoder;
use launchway_proxy::h1::request::{field_room, parse};
use libfuzzer_sys::fuzz_target;

/// Method, target and body of each request, and whether the connection was refused.
fn requests(bytes: &[u8], piece: usize) -> (Vec<(String, String, Vec<u8>)>, bool) {
    let (mut seen, mut at) = (Vec::new(), 0);
    let ends: Vec<usize> = (piece..bytes.len()).step_by(piece).chain([bytes.len()]).collect();
    let mut ends = ends.into_iter();
    let Some(mut end) = ends.next() else { return (seen, false) };
    'connection: loop {
        let (mut decoder, method, target) = loop {
            let mut room = field_room();
            match parse(&bytes[at..end], &mut room, 8192) {
                Err(_) => return (seen, true),
                Ok(Some(head)) => {
                    let parts = (Decoder::new(head.body), head.method.to_owned(), head.target.to_owned());
                    at += head.bytes;
                    break parts;
                }
                Ok(None) => match ends.next() {
                    Some(next) => end = next,
                    None => return (seen, false),
                },
            }
        };
        let mut body = Vec::new();
        loop {
            let Ok(step) = decoder.step(&bytes[at..end]) else {
                return (seen, true);
            };
            at += step.skip;
            body.extend_from_slice(&bytes[at..at + step.payload]);
            at += step.payload;
            if decoder.is_done() {
                seen.push((method, target, body));
                continue 'connection;
            }
            if at == end {
                match ends.next() {
                    Some(next) => end = next,
                    None => return (seen, false),
                }
            }
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    if bytes.len() > 4096 {
        return;
    }
    let whole = requests(bytes, bytes.len().max(1));
    assert_eq!(whole, requests(bytes, usize::from(piece).max(1)));
});
