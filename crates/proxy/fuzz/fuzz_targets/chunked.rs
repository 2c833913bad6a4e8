//! A chunked body means the same however it is cut, and once encoded anew still does.
#![no_main]

use launchway_proxy::h1::Length;
use launchway_proxy::h1::body::{BadBody, Decoder, encode, encode_end};
use libfuzzer_sys::fuzz_target;

fn decode(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Option<usize>), BadBody> {
    let mut decoder = Decoder::new(Length::Chunked);
    let (mut payload, mut at) = (Vec::new(), 0);
    for end in (piece..bytes.len()).step_by(piece).chain([bytes.len()]) {
        while at < end {
            let step = decoder.step(&bytes[at..end])?;
            at += step.skip;
            payload.extend_from_slice(&bytes[at..at + step.payload]);
            at += step.payload;
            if step.end {
                return Ok((payload, Some(at)));
            }
        }
    }
    Ok((payload, None))
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(whole, decode(bytes, usize::from(piece).max(1)));
    let Ok((payload, Some(_))) = whole else { return };
    let mut encoded = Vec::new();
    encode(&mut encoded, Length::Chunked, &payload);
    encode_end(&mut encoded, Length::Chunked, &[]);
    assert_eq!(decode(&encoded, encoded.len()), Ok((payload, Some(encoded.len()))));
});
