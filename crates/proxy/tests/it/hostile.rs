//! Requests as attackers write them: each is refused with the status that the RFC wants, and no byte of it reaches an app.

use std::io::Read;

use crate::harness::{App, Proxy, Then, respond};

fn app() -> App {
    App::start(|request, stream| {
        respond(
            stream,
            "200 OK",
            &[],
            format!("{} {}", request.head.first, request.body.len()).as_bytes(),
        );
        Then::Keep
    })
}

/// Everything that the connection answers until it is closed.
fn all(proxy: &Proxy, bytes: &[u8]) -> String {
    let mut client = proxy.client();
    client.send(bytes);
    client
        .stream
        .get_ref()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    let mut all = Vec::new();
    let _ = client.stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn heads_that_break_the_grammar_are_refused() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let cases: &[(&str, &[u8], u16)] = &[
        ("bare line feeds", b"GET / HTTP/1.1\nhost: a\n\n", 400),
        (
            "one bare line feed",
            b"GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
            400,
        ),
        (
            "line feed ends the head",
            b"GET / HTTP/1.1\r\nhost: a\r\n\n",
            400,
        ),
        (
            "bare carriage return",
            b"GET / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n",
            400,
        ),
        (
            "space before colon",
            b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
            400,
        ),
        (
            "space before a framing colon",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 1\r\n\r\nx",
            400,
        ),
        (
            "folded line",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n",
            400,
        ),
        (
            "space before the first field",
            b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
            400,
        ),
        (
            "no colon",
            b"GET / HTTP/1.1\r\nhost: a\r\nnothing\r\n\r\n",
            400,
        ),
        (
            "empty name",
            b"GET / HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n",
            400,
        ),
        (
            "control in a name",
            b"GET / HTTP/1.1\r\nhost: a\r\nx\x01y: 1\r\n\r\n",
            400,
        ),
        (
            "NUL in a value",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
            400,
        ),
        ("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
        (
            "two hosts",
            b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            400,
        ),
        (
            "the same host twice",
            b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
            400,
        ),
        (
            "a host with a path",
            b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
            400,
        ),
        (
            "a host with a user",
            b"GET / HTTP/1.1\r\nhost: u@a\r\n\r\n",
            400,
        ),
        (
            "a host with a space",
            b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
            400,
        ),
        (
            "a port that is none",
            b"GET / HTTP/1.1\r\nhost: a:x\r\n\r\n",
            400,
        ),
        (
            "an open bracket",
            b"GET / HTTP/1.1\r\nhost: [::1\r\n\r\n",
            400,
        ),
        ("two spaces", b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (
            "tab in the request line",
            b"GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
        ),
        ("no target", b"GET HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("relative target", b"GET x HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("star for GET", b"GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("fragment", b"GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (
            "raw UTF-8 in the target",
            "GET /ä HTTP/1.1\r\nhost: a\r\n\r\n".as_bytes(),
            400,
        ),
        (
            "another scheme",
            b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
        ),
        (
            "absolute form without a host",
            b"GET http:///x HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
        ),
        (
            "absolute form with a user",
            b"GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
        ),
        ("HTTP/0.9", b"GET /\r\n", 400),
        ("HTTP/1.2", b"GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505),
        ("HTTP/3.0", b"GET / HTTP/3.0\r\nhost: a\r\n\r\n", 505),
        ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (
            "CONNECT to a path",
            b"CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n",
            405,
        ),
        ("TRACE", b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (
            "unknown expectation",
            b"GET / HTTP/1.1\r\nhost: a\r\nexpect: coffee\r\n\r\n",
            417,
        ),
    ];
    for (name, bytes, status) in cases {
        let answer = all(&proxy, bytes);
        let expected: &[u16] = match *name {
            // The form of CONNECT's target is refused before or with the method.
            "CONNECT" => &[400, 405],
            // httparse names the version last.
            "HTTP/3.0" | "HTTP/1.2" => &[400, 505],
            _ => std::slice::from_ref(status),
        };
        let got: u16 = answer.split(' ').nth(1).unwrap_or("0").parse().unwrap();
        assert!(expected.contains(&got), "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer}");
        assert!(answer.contains("connection: close"), "{name}: {answer}");
    }
    assert_eq!(app.count(), 0);
    assert!(app.seen.lock().unwrap().is_empty());
}

#[test]
fn ambiguous_framing_is_refused() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}");
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    for (fields, status) in [
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", 400),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", 400),
        ("content-length: 5\r\ncontent-length: 6\r\n", 400),
        ("content-length: 5\r\ncontent-length: 5\r\n", 400),
        ("content-length: 5, 5\r\n", 400),
        ("content-length: +5\r\n", 400),
        ("content-length: -1\r\n", 400),
        ("content-length: 0x5\r\n", 400),
        ("content-length: 5 5\r\n", 400),
        ("content-length:\r\n", 400),
        ("content-length: 99999999999999999999\r\n", 400),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            400,
        ),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            400,
        ),
        ("transfer-encoding: identity\r\n", 501),
        ("transfer-encoding: gzip, chunked\r\n", 501),
        ("transfer-encoding: chunked, identity\r\n", 501),
        ("transfer-encoding: xchunked\r\n", 501),
        ("transfer-encoding: \"chunked\"\r\n", 501),
        ("transfer-encoding: chunked;q=1\r\n", 501),
        ("transfer-encoding:\x0bchunked\r\n", 400),
        ("transfer-encoding:\r\n", 501),
    ] {
        let answer = all(&proxy, post(fields, smuggled).as_bytes());
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{fields}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{fields}: {answer}");
    }
    let old = "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(all(&proxy, old.as_bytes()).starts_with("HTTP/1.1 400 "));
    assert_eq!(app.count(), 0);
    assert!(app.seen.lock().unwrap().is_empty());
}

#[test]
fn chunks_that_break_the_grammar_are_refused() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\nx : y\r\n\r\n",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        let answer = all(&proxy, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{body}: {answer}");
    }
    assert_eq!(app.count(), 0, "no app saw a whole request");
    let seen = app.seen.lock().unwrap();
    assert!(seen.iter().all(|head| !head.first.contains("smuggled")));
}

#[test]
fn what_is_unusual_but_right_is_taken() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    for (bytes, seen) in [
        ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.1 0"),
        ("GET / HTTP/1.1\r\nhost:a\r\nx:\r\n\r\n", "GET / HTTP/1.1 0"),
        (
            "GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
            "GET / HTTP/1.1 0",
        ),
        ("GET / HTTP/1.1\r\nhost:\t a \t\r\n\r\n", "GET / HTTP/1.1 0"),
        (
            "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1 0",
        ),
        (
            "M-SEARCH /x HTTP/1.1\r\nhost: a\r\n\r\n",
            "M-SEARCH /x HTTP/1.1 0",
        ),
        (
            "GET HTTPS://a HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1 0",
        ),
        (
            "GET /a?b=http://c/?d HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /a?b=http://c/?d HTTP/1.1 0",
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
            "GET / HTTP/1.1 3",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0003\r\n\r\nabc",
            "POST / HTTP/1.1 3",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n00003 ;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n",
            "POST / HTTP/1.1 3",
        ),
        ("PUT / HTTP/1.1\r\nhost: a\r\n\r\n", "PUT / HTTP/1.1 0"),
    ] {
        let answer = all(&proxy, bytes.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{bytes}: {answer}");
        assert!(
            answer.ends_with(&format!("\r\n\r\n{seen}")),
            "{bytes}: {answer}"
        );
    }
}

#[test]
fn connection_cannot_take_off_what_the_proxy_says() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    proxy.client().ask(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, host, x-forwarded-for, content-length, x-request-id\r\n\r\n",
    );
    let seen = app.last();
    for kept in ["host", "x-forwarded-for", "x-request-id"] {
        assert!(seen.field(kept).is_some(), "{kept}");
    }
}

#[test]
fn a_request_behind_a_refused_one_is_never_served() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let answer = all(
        &proxy,
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nbad host: a\r\n\r\nGET /third HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{answer}");
    assert_eq!(app.count(), 1);
}
