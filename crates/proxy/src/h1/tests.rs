use proptest::prelude::*;

use super::body::{BadBody, Decoder, encode, encode_end};
use super::request::{field_room, parse};
use super::*;

/// Decodes with the input cut at these places; `Ok` has the payload and the bytes behind the body.
fn decode(
    length: Length,
    input: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, Option<Vec<u8>>), BadBody> {
    let mut decoder = Decoder::new(length);
    let mut payload = Vec::new();
    let mut at = 0;
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.push(input.len());
    cuts.sort_unstable();
    for cut in cuts {
        while at < cut || decoder.is_done() {
            let step = decoder.step(&input[at..cut])?;
            at += step.skip;
            payload.extend_from_slice(&input[at..at + step.payload]);
            at += step.payload;
            if decoder.is_done() {
                return Ok((payload, Some(input[at..].to_vec())));
            }
            assert!(step.skip + step.payload > 0, "a step goes on or ends");
        }
    }
    Ok((payload, None))
}

#[test]
fn decimals_are_digits_alone() {
    assert_eq!(decimal(b"0"), Some(0));
    assert_eq!(
        decimal(b"9999999999999999999"),
        Some(9_999_999_999_999_999_999)
    );
    for wrong in [
        &b""[..],
        b"+1",
        b"-1",
        b" 1",
        b"1 ",
        b"0x1",
        b"1,1",
        b"99999999999999999999",
    ] {
        assert_eq!(decimal(wrong), None);
    }
    let mut out = Vec::new();
    for number in [0, 7, 10, 12345, u64::MAX] {
        out.clear();
        push_decimal(&mut out, number);
        assert_eq!(out, number.to_string().as_bytes());
    }
}

#[test]
fn chunks_decode_to_their_payload() {
    let body = b"5\r\nhello\r\n1;x=y\r\n!\r\n00\r\nx-end: 1\r\n\r\nnext";
    let (payload, rest) = decode(Length::Chunked, body, &[]).unwrap();
    assert_eq!(payload, b"hello!");
    assert_eq!(rest.unwrap(), b"next");
}

#[test]
fn extensions_and_trailers_have_bounds() {
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(5000));
    assert!(decode(Length::Chunked, long.as_bytes(), &[]).is_err());
    let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(3000));
    assert!(decode(Length::Chunked, many.as_bytes(), &[]).is_err());
}

proptest! {
    #[test]
    fn a_body_is_the_same_however_it_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut encoded = Vec::new();
        for chunk in &chunks {
            encode(&mut encoded, Length::Chunked, chunk);
        }
        encode_end(&mut encoded, Length::Chunked, b"x-a: 1\r\n\r\n");
        encoded.extend_from_slice(b"GET /");
        let (payload, rest) = decode(Length::Chunked, &encoded, &cuts).unwrap();
        prop_assert_eq!(payload, chunks.concat());
        prop_assert_eq!(rest.unwrap(), b"GET /".to_vec());
    }

    #[test]
    fn nonsense_is_judged_alike_however_it_is_cut(
        body in "[0-9a-f;\r\n: x]{0,40}",
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let whole = decode(Length::Chunked, body.as_bytes(), &[]);
        let cut = decode(Length::Chunked, body.as_bytes(), &cuts);
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn a_head_that_is_taken_is_taken_only_whole(head in "(GET|POST) /[a-z]{0,5} HTTP/1\\.[01]\r\n((host: a|x: y|content-length: 3)\r\n){0,3}\r\n") {
        let mut room = field_room();
        let whole = parse(head.as_bytes(), &mut room, 1000).map(|head| head.map(|head| head.bytes));
        if let Ok(Some(bytes)) = whole {
            prop_assert_eq!(bytes, head.len());
            for cut in 0..head.len() {
                let mut room = field_room();
                let part = parse(&head.as_bytes()[..cut], &mut room, 1000);
                prop_assert!(matches!(part, Ok(None)));
            }
        }
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut room = field_room();
        let _ = parse(&bytes, &mut room, 200);
        let mut room = field_room();
        let _ = response::parse(&bytes, &mut room, 200, false);
        let _ = decode(Length::Chunked, &bytes, &[]);
    }
}
