use super::*;

#[test]
fn the_host_is_without_its_port() {
    for (authority, host) in [
        ("a.test", "a.test"),
        ("a.test:80", "a.test"),
        ("a.test:", "a.test"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]"),
        ("", ""),
    ] {
        assert_eq!(host_of(authority), host);
    }
}

#[test]
fn fields_that_anybody_can_forge_are_taken_off() {
    for name in [
        "Connection",
        "TE",
        "Host",
        "X-Forwarded-For",
        "x-real-ip",
        "Forwarded",
        "Proxy",
        "X_Forwarded_Proto",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "X-Request-Id",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
    ] {
        assert!(is_taken_off(name, false), "{name}");
    }
    for name in [
        "Cookie",
        "Authorization",
        "Accept",
        "X-Forwarded",
        "X-Custom",
        "Traceparent",
        "Range",
    ] {
        assert!(!is_taken_off(name, false), "{name}");
    }
    assert!(!is_taken_off("X-Forwarded-Port", true));
    assert!(
        is_taken_off("X-Forwarded-For", true),
        "it is written anew, with what came"
    );
}

mod what_leaves {
    use proptest::prelude::*;

    use super::*;
    use crate::h1::request::{field_room, parse};
    use crate::meter::RouteMeter;

    fn entry(prefix: &str) -> Entry {
        Entry {
            canary: None,
            meter: Arc::new(RouteMeter::new("r", 1)),
            backend: Ready::Stopped {
                reason: String::new(),
            },
            prefix: prefix.to_owned(),
            strip_prefix: true,
            judge: None,
            retries: crate::balance::RetryBudget::new(),
        }
    }

    fn line() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Upgrade",
            "Expect",
            "TE",
            "X-A",
            "Cookie",
            "x_b",
            "X-Forwarded-For",
            "Keep-Alive",
            "Trailer",
            "Content-Length ",
            "\tHost",
            "Transfer-Encoding\u{0}",
        ]);
        let value = prop::sample::select(vec![
            "a",
            "5",
            "0",
            "chunked",
            "close",
            "keep-alive, x-a",
            "upgrade",
            "websocket",
            "h2c",
            "100-continue",
            "5, 5",
            "",
            "chunked, chunked",
            "content-length",
            "host, transfer-encoding",
            "a\r\n b",
            "a\nX: y",
            "\u{e9}",
        ]);
        (name, value).prop_map(|(name, value)| format!("{name}: {value}\r\n"))
    }

    proptest! {
        /// Whatever a client sends: if it is taken at all, what leaves for the app reads as exactly that one request.
        #[test]
        fn is_one_request_with_the_same_framing(
            method in prop::sample::select(vec!["GET", "POST", "PUT", "OPTIONS", "HEAD"]),
            target in prop::sample::select(vec!["/p", "/p/x?y", "/p/../z", "*", "http://h/p", "/p%0d%0aX", "/p\r\nX: y"]),
            lines in prop::collection::vec(line(), 0..6),
        ) {
            let bytes = format!("{method} {target} HTTP/1.1\r\nhost: a\r\n{}\r\n", lines.concat());
            let mut room = field_room();
            let Ok(Some(head)) = parse(bytes.as_bytes(), &mut room, 8192) else { return Ok(()) };
            let peer = Peer { address: "192.0.2.1".parse().unwrap(), text: "192.0.2.1".to_owned(), tls: false, trusted: false };
            let meta = Meta { request_id: "id".to_owned(), ..Meta::default() };
            let mut out = Vec::new();
            write_head(&mut out, &peer, &head, &meta, &entry("/p"));
            let mut again = field_room();
            let Ok(Some(left)) = parse(&out, &mut again, 1 << 20) else {
                panic!("{}", String::from_utf8_lossy(&out));
            };
            prop_assert_eq!(left.bytes, out.len());
            prop_assert_eq!(left.method, head.method);
            prop_assert_eq!(left.body, head.body);
            prop_assert_eq!(left.authority, head.authority);
            prop_assert_eq!(left.upgrade.is_some(), head.upgrade.is_some());
            let count = |name: &str| left.fields.iter().filter(|field| named(field, name)).count();
            prop_assert_eq!(count("x-forwarded-for"), 1);
            prop_assert_eq!(count("host"), 1);
        }
    }
}
