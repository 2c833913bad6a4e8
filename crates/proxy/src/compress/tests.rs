use std::io::Read as _;

use proptest::prelude::*;

use super::*;
use crate::h1::request::field_room;
use crate::h1::response;

fn accepted(value: &str) -> Option<Coding> {
    Coding::accepted(&[Field {
        name: "Accept-Encoding",
        value: value.as_bytes(),
    }])
}

#[test]
fn the_best_that_the_client_takes() {
    assert_eq!(accepted("gzip, deflate, br, zstd"), Some(Coding::Zstd));
    assert_eq!(accepted("GZIP;q=0.5"), Some(Coding::Gzip));
    assert_eq!(accepted("zstd;q=0, gzip;q=0.0"), None);
    assert_eq!(accepted("zstd;q=0.001"), Some(Coding::Zstd));
    assert_eq!(accepted("br, identity"), None);
    assert_eq!(accepted("*"), None);
    assert_eq!(accepted(""), None);
    assert_eq!(Coding::accepted(&[]), None);
}

fn compressible(head: &str) -> bool {
    let mut fields = field_room();
    let head = response::parse(head.as_bytes(), &mut fields, 8192, false)
        .unwrap()
        .unwrap();
    is_compressible(&head)
}

#[test]
fn only_what_shrinks_is_touched() {
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    for fields in [
        "content-type: text/html; charset=utf-8\r\ncontent-length: 2000\r\n",
        "Content-Type: Application/JSON\r\ntransfer-encoding: chunked\r\n",
        "content-type: image/svg+xml\r\n",
        "content-type: application/problem+json\r\ncontent-length: 1024\r\ncache-control: max-age=3\r\n",
    ] {
        assert!(compressible(&with(fields)), "{fields}");
    }
    for fields in [
        "content-type: text/html\r\ncontent-length: 1000\r\n",
        "content-type: image/png\r\ncontent-length: 2000\r\n",
        "content-length: 2000\r\n",
        "content-type: text/event-stream\r\n",
        "content-type: text/html\r\ncontent-encoding: br\r\ncontent-length: 2000\r\n",
        "content-type: text/html\r\ncache-control: max-age=3, No-Transform\r\ncontent-length: 2000\r\n",
    ] {
        assert!(!compressible(&with(fields)), "{fields}");
    }
    assert!(!compressible(
        "HTTP/1.1 206 Partial\r\ncontent-type: text/html\r\ncontent-range: bytes 0-1999/9999\r\ncontent-length: 2000\r\n\r\n"
    ));
    assert!(compressible(
        "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 2000\r\n\r\n"
    ));
}

#[test]
fn no_more_than_so_many_at_once() {
    let at_work = AtWork::default();
    let mut held: Vec<_> = (0..AT_ONCE)
        .map(|_| Compressor::begin(Coding::Gzip, &at_work).unwrap())
        .collect();
    assert!(Compressor::begin(Coding::Zstd, &at_work).is_none());
    held.pop();
    assert!(Compressor::begin(Coding::Zstd, &at_work).is_some());
}

fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Gzip => {
            flate2::read::GzDecoder::new(bytes)
                .read_to_end(&mut plain)
                .unwrap();
        }
        Coding::Zstd => plain = zstd::stream::decode_all(bytes).unwrap(),
    }
    plain
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..5000), any::<bool>()), 0..8),
        zstd in any::<bool>(),
    ) {
        let coding = if zstd { Coding::Zstd } else { Coding::Gzip };
        let mut compressor = Compressor::begin(coding, &AtWork::default()).unwrap();
        let mut out = Vec::new();
        for (piece, flush) in &pieces {
            compressor.push(piece).unwrap();
            if *flush {
                compressor.flush().unwrap();
            }
            out.append(compressor.output());
        }
        compressor.finish().unwrap();
        out.append(compressor.output());
        let plain: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.clone()).collect();
        prop_assert_eq!(decoded(coding, &out), plain);
    }
}
