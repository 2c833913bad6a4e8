//! Answers that are compressed on the way, and those that are not.

use std::io::{Read as _, Write as _};
use std::sync::{Mutex, mpsc};

use launchway_model::route::Rules;

use crate::harness::{Answer, App, Proxy, Then, respond, to_instances};

fn text() -> Vec<u8> {
    (0..3000)
        .flat_map(|line| format!("line {line} of a text that says little\n").into_bytes())
        .collect()
}

/// An app whose path chooses the answer.
fn app() -> App {
    App::start(|request, stream| {
        let path = request.head.first.split(' ').nth(1).unwrap_or("/");
        match path {
            "/text" => respond(
                stream,
                "200 OK",
                &[
                    ("content-type", "text/plain"),
                    ("etag", "\"v1\""),
                    ("accept-ranges", "bytes"),
                ],
                &text(),
            ),
            "/image" => respond(stream, "200 OK", &[("content-type", "image/png")], &text()),
            "/coded" => respond(
                stream,
                "200 OK",
                &[("content-type", "text/plain"), ("content-encoding", "br")],
                &text(),
            ),
            _ => respond(
                stream,
                "200 OK",
                &[("content-type", "text/plain")],
                b"short",
            ),
        }
        Then::Keep
    })
}

fn ask(proxy: &Proxy, method: &str, path: &str, takes: &str) -> Answer {
    proxy.client().ask(&format!(
        "{method} {path} HTTP/1.1\r\nhost: shop.test\r\naccept-encoding: {takes}\r\n\r\n"
    ))
}

fn plain(answer: &Answer) -> Vec<u8> {
    match answer.head.field("content-encoding") {
        Some("gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(answer.body.as_slice())
                .read_to_end(&mut plain)
                .unwrap();
            plain
        }
        Some("zstd") => zstd::stream::decode_all(answer.body.as_slice()).unwrap(),
        _ => answer.body.clone(),
    }
}

#[test]
fn texts_shrink_for_those_who_take_it() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    for (takes, coding) in [("gzip, deflate, br, zstd", "zstd"), ("gzip", "gzip")] {
        let answer = ask(&proxy, "GET", "/text", takes);
        assert_eq!(answer.head.field("content-encoding"), Some(coding));
        assert_eq!(answer.head.field("vary"), Some("accept-encoding"));
        assert_eq!(answer.head.field("etag"), Some("W/\"v1\""));
        assert_eq!(answer.head.field("accept-ranges"), None);
        assert_eq!(answer.head.field("content-length"), None);
        assert!(answer.body.len() < text().len() / 4);
        assert!(plain(&answer) == text());
    }
    // The same connection serves both kinds, one after the other.
    let mut client = proxy.client();
    for _ in 0..3 {
        let coded =
            client.ask("GET /text HTTP/1.1\r\nhost: shop.test\r\naccept-encoding: gzip\r\n\r\n");
        assert!(plain(&coded) == text());
        let whole = client.ask("GET /text HTTP/1.1\r\nhost: shop.test\r\n\r\n");
        assert_eq!(whole.head.field("content-encoding"), None);
        assert_eq!(whole.head.field("etag"), Some("\"v1\""));
        assert!(whole.body == text());
    }
}

#[test]
fn what_does_not_shrink_or_must_not_is_left_alone() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    for path in ["/image", "/short"] {
        let answer = ask(&proxy, "GET", path, "gzip");
        assert_eq!(answer.head.field("content-encoding"), None, "{path}");
        assert_eq!(answer.head.field("vary"), None, "{path}");
    }
    assert_eq!(
        ask(&proxy, "GET", "/coded", "gzip, br")
            .head
            .field("content-encoding"),
        Some("br")
    );
    let mut route = to_instances("shop", &["*"], "/", &[(1, app.address)]);
    route.rules = Rules {
        uncompressed: true,
        ..Rules::default()
    };
    proxy.apply(vec![route]);
    let answer = ask(&proxy, "GET", "/text", "gzip");
    assert_eq!(answer.head.field("content-encoding"), None);
    assert!(answer.body == text());
}

/// An app that tells of its progress: each piece is there before the next is made.
#[test]
fn a_stream_is_compressed_piece_by_piece() {
    let (next, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let app = App::start(move |_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
            .unwrap();
        for piece in ["one", "two"] {
            stream
                .write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes())
                .unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n");
    // What has come so far decodes to the first piece; only then is the second made.
    let mut seen = Vec::new();
    let mut decoded_so_far = |seen: &mut Vec<u8>, wanted: &str| {
        let mut byte = [0; 1];
        loop {
            client.stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
            let head = seen.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(head) = head else { continue };
            let mut coded = Vec::new();
            let mut rest = &seen[head + 4..];
            while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                let size =
                    usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
                let Some(data) = rest.get(end + 2..end + 2 + size) else {
                    break;
                };
                coded.extend_from_slice(data);
                rest = rest.get(end + 4 + size..).unwrap_or_default();
            }
            let mut plain = Vec::new();
            let _ = flate2::read::GzDecoder::new(coded.as_slice()).read_to_end(&mut plain);
            if plain == wanted.as_bytes() {
                return;
            }
        }
    };
    decoded_so_far(&mut seen, "one");
    next.send(()).unwrap();
    decoded_so_far(&mut seen, "onetwo");
    next.send(()).unwrap();
}
