//! What an app and a client see of each other.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;

use crate::harness::{App, Head, Proxy, Then, respond, to_instances, wait_for};

fn echo() -> App {
    App::start(|request, stream| {
        respond(stream, "200 OK", &[], &request.body);
        Then::Keep
    })
}

fn patterned(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn end_to_end_fields_pass_and_those_of_a_hop_do_not() {
    let app = App::start(|_, stream| {
        respond(
            stream,
            "201 Made",
            &[
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
                ("Connection", "keep-alive, X-Hop"),
                ("Keep-Alive", "timeout=5"),
                ("X-Hop", "secret"),
            ],
            b"made",
        );
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let answer = proxy.client().ask(
        "POST /a/b?c=d%20e HTTP/1.1\r\nHost: Shop.test:81\r\nAccept: x\r\nAccept: y\r\nConnection: close, X-Mine\r\n\
         X-Mine: 1\r\nTE: trailers\r\nKeep-Alive: 1\r\nProxy: evil\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n\
         X-Forwarded-Proto: https\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nCookie: k=v\r\nContent-Length: 2\r\n\r\nhi",
    );
    assert_eq!(answer.head.first, "HTTP/1.1 201 Made");
    assert_eq!(answer.text(), "made");
    let cookies = answer
        .head
        .fields
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.count(), 2);
    assert_eq!(answer.head.field("connection"), Some("close"));
    assert_eq!(answer.head.field("x-hop"), None);
    assert_eq!(answer.head.field("keep-alive"), None);
    let seen = app.last();
    assert_eq!(seen.first, "POST /a/b?c=d%20e HTTP/1.1");
    assert_eq!(seen.field("host"), Some("Shop.test:81"));
    assert_eq!(seen.field("content-length"), Some("2"));
    assert_eq!(seen.field("cookie"), Some("k=v"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("Shop.test:81"));
    assert_eq!(seen.field("x-request-id").map(str::len), Some(32));
    let accepts = seen.fields.iter().filter(|(name, _)| name == "accept");
    assert_eq!(accepts.count(), 2);
    for gone in [
        "connection",
        "x-mine",
        "te",
        "keep-alive",
        "proxy",
        "x_forwarded_for",
        "x-real-ip",
        "forwarded",
    ] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
}

#[test]
fn a_trusted_proxy_is_believed() {
    let app = App::named("x");
    let mut proxy = Proxy::with(|options| options.trusted = vec!["127.0.0.0/8".parse().unwrap()]);
    proxy.route_to(&[(1, app.address)]);
    proxy.client().ask(
        "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\nx-forwarded-host: www.test\r\n\
         x-request-id: abc-1\r\n\r\n",
    );
    let seen = app.last();
    assert_eq!(
        seen.field("x-forwarded-for"),
        Some("203.0.113.7, 127.0.0.1")
    );
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("x-forwarded-host"), Some("www.test"));
    assert_eq!(seen.field("x-request-id"), Some("abc-1"));
}

#[test]
fn a_prefix_is_taken_off() {
    let app = App::named("x");
    let mut proxy = Proxy::start();
    let mut route = to_instances("api", &["*"], "/api", &[(1, app.address)]);
    route.strip_prefix = true;
    proxy.apply(vec![route]);
    for (asked, seen) in [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api?x=1", "/?x=1"),
        ("/api/v1/y?z", "/v1/y?z"),
    ] {
        proxy.get(asked);
        assert_eq!(app.last().first, format!("GET {seen} HTTP/1.1"));
        assert_eq!(app.last().field("x-forwarded-prefix"), Some("/api"));
    }
    assert_eq!(proxy.get("/apis").status, 404);
}

#[test]
fn connections_are_kept_on_both_sides() {
    let app = echo();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    for turn in 0..20 {
        let body = format!("turn {turn}");
        let answer = client.ask(&format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(answer.text(), body);
    }
    assert!(app.connections.load(std::sync::atomic::Ordering::SeqCst) <= 2);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = App::start(|request, stream| {
        respond(stream, "200 OK", &[], request.head.first.as_bytes());
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    let mut all = String::new();
    for turn in 0..50 {
        all.push_str(&format!("GET /{turn} HTTP/1.1\r\nhost: a\r\n\r\n"));
    }
    client.send(all);
    for turn in 0..50 {
        assert_eq!(
            client.answer().unwrap().text(),
            format!("GET /{turn} HTTP/1.1")
        );
    }
}

#[test]
fn a_head_in_single_bytes_is_a_head() {
    let app = echo();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    for byte in
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    {
        client.send([*byte]);
    }
    assert_eq!(client.answer().unwrap().text(), "abc");
}

#[test]
fn large_bodies_pass_both_ways_in_every_framing() {
    let app = App::start(|request, stream| {
        if request.head.first.contains("chunked") {
            let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for chunk in request.body.chunks(10_007) {
                answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                answer.extend_from_slice(chunk);
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\n\r\n");
            let _ = stream.write_all(&answer);
            Then::Keep
        } else if request.head.first.contains("close") {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            let _ = stream.write_all(&request.body);
            Then::Close
        } else {
            respond(stream, "200 OK", &[], &request.body);
            Then::Keep
        }
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let body = patterned(5_000_001);
    for answer_kind in ["fixed", "chunked", "close"] {
        for chunked in [false, true] {
            let mut client = proxy.client();
            let mut sending = client.stream.get_ref().try_clone().unwrap();
            let to_send = body.clone();
            let head = format!("POST /{answer_kind} HTTP/1.1\r\nhost: a\r\n");
            let sender = std::thread::spawn(move || {
                sending.write_all(head.as_bytes()).unwrap();
                if chunked {
                    sending
                        .write_all(b"transfer-encoding: chunked\r\n\r\n")
                        .unwrap();
                    for chunk in to_send.chunks(70_001) {
                        write!(sending, "{:X};ext=\"1\"\r\n", chunk.len()).unwrap();
                        sending.write_all(chunk).unwrap();
                        sending.write_all(b"\r\n").unwrap();
                    }
                    sending.write_all(b"0\r\n\r\n").unwrap();
                } else {
                    write!(sending, "content-length: {}\r\n\r\n", to_send.len()).unwrap();
                    sending.write_all(&to_send).unwrap();
                }
            });
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == body, "{answer_kind} {chunked}");
            sender.join().unwrap();
        }
    }
}

#[test]
fn an_answer_streams_while_the_request_is_still_sent() {
    // The app answers each chunk at once.
    let app = App::raw(|mut stream, _| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        Head::read(&mut reader).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .unwrap();
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut reader, &mut line).unwrap() > 0 && line != "0\r\n" {
            let mut chunk = [0; 6];
            reader.read_exact(&mut chunk).unwrap();
            stream.write_all(b"4\r\n").unwrap();
            stream.write_all(&chunk).unwrap();
            line.clear();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(
        Head::read(&mut client.stream).unwrap().first,
        "HTTP/1.1 200 OK"
    );
    for word in ["ping", "pong", "last"] {
        client.send(format!("4\r\n{word}\r\n"));
        let mut answered = [0; 9];
        client.stream.read_exact(&mut answered).unwrap();
        assert_eq!(answered, *format!("4\r\n{word}\r\n").as_bytes());
    }
    client.send("0\r\n\r\n");
    let mut end = [0; 5];
    client.stream.read_exact(&mut end).unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
}

#[test]
fn events_arrive_as_they_are_sent() {
    let (next, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let app = App::start(move |_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            .unwrap();
        while wait.lock().unwrap().recv().is_ok() {
            stream.write_all(b"data: x\n\n").unwrap();
        }
        Then::Close
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = Head::read(&mut client.stream).unwrap();
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    for _ in 0..3 {
        next.send(()).unwrap();
        let mut event = [0; 14];
        client.stream.read_exact(&mut event).unwrap();
        assert_eq!(&event, b"9\r\ndata: x\n\n\r\n");
    }
    drop(next);
    let mut end = [0; 5];
    client.stream.read_exact(&mut end).unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
}

#[test]
fn trailers_pass_but_for_those_that_must_not() {
    let app = App::start(|request, stream| {
        assert!(
            request
                .trailers
                .iter()
                .any(|line| line.eq_ignore_ascii_case("x-sum: 1"))
        );
        assert_eq!(request.trailers.len(), 1, "{:?}", request.trailers);
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n2\r\nok\r\n0\r\nx-end: 7\r\ncontent-length: 3\r\n\r\n",
            )
            .unwrap();
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let answer = proxy.client().ask(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 1\r\nHost: evil\r\n\
         X-Forwarded-For: 6.6.6.6\r\n\r\n",
    );
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.trailers, ["x-end: 7"]);
    assert_eq!(answer.head.field("trailer"), Some("x-end"));
}

#[test]
fn answers_without_content_have_none() {
    let app = App::start(|request, stream| {
        let answer: &[u8] = match request.head.first.split(' ').nth(1).unwrap() {
            "/head" => b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
            "/headchunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 1000\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        };
        stream.write_all(answer).unwrap();
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    // On one connection: a wrong length of any would break those behind it.
    let mut client = proxy.client();
    let answer = client.ask("HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(answer.head.field("content-length"), Some("1000"));
    client.ask("HEAD /headchunked HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(
        client.ask("GET /204 HTTP/1.1\r\nhost: a\r\n\r\n").status,
        204
    );
    let answer = client.ask("GET /304 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(
        (answer.status, answer.head.field("etag")),
        (304, Some("\"x\""))
    );
    let answer = client.ask("GET /0 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[test]
fn clients_of_http_1_0_get_no_chunks() {
    let app = App::start(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
            .unwrap();
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    let answer = client.ask("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    assert_eq!(answer.head.field("transfer-encoding"), None);
    assert_eq!(answer.text(), "abcdef");
    assert!(client.is_closed());

    let fixed = echo();
    proxy.route_to(&[(2, fixed.address)]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let answer = client.ask(
            "POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx",
        );
        assert_eq!(answer.head.field("connection"), Some("keep-alive"));
        assert_eq!(answer.text(), "x");
    }
    let answer = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(answer.head.field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn a_client_that_expects_continue_gets_it_from_the_app() {
    let app = echo();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(
        Head::read(&mut client.stream).unwrap().first,
        "HTTP/1.1 100 Continue"
    );
    assert_eq!(app.last().field("expect"), Some("100-continue"));
    client.send("body");
    assert_eq!(client.answer().unwrap().text(), "body");
    // The same connection takes the next request.
    let answer = client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
}

#[test]
fn an_app_may_refuse_a_body_before_it_is_sent() {
    let app = App::raw(|mut stream, _| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        Head::read(&mut reader).unwrap();
        respond(&mut stream, "413 Too Large", &[], b"no");
        // As a careful server does: closing with bytes unread would reset the connection, and the answer could be lost on its way.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send(
        "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4000000\r\n\r\n",
    );
    let answer = client.answer().unwrap();
    assert_eq!(answer.head.first, "HTTP/1.1 413 Too Large");

    // And while it is being sent: the client gets the answer, not a reset.
    let mut client = proxy.client();
    let mut sending = client.stream.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        sending
            .write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 50000000\r\n\r\n")
            .unwrap();
        let piece = vec![0; 65536];
        let mut sent = 0;
        while sent < 4_000_000 && sending.write_all(&piece).is_ok() {
            sent += piece.len();
        }
        let _ = sending.shutdown(Shutdown::Write);
    });
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(answer.head.field("connection"), Some("close"));
    sender.join().unwrap();
}

#[test]
fn early_hints_pass_and_unasked_continues_do_not() {
    let app = App::start(|_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            )
            .unwrap();
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let hints = Head::read(&mut client.stream).unwrap();
    assert_eq!(hints.first, "HTTP/1.1 103 Early Hints");
    assert_eq!(hints.field("link"), Some("</a.css>"));
    assert_eq!(client.answer().unwrap().text(), "ok");
    let answer = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200, "HTTP/1.0 knows no interim answers");
}

#[test]
fn a_web_socket_is_a_tunnel() {
    let app = App::raw(|mut stream, _| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        let head = Head::read(&mut reader).unwrap();
        assert_eq!(head.field("connection"), Some("upgrade"));
        assert_eq!(head.field("upgrade"), Some("websocket"));
        assert_eq!(head.field("sec-websocket-key"), Some("abc"));
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nhello")
            .unwrap();
        let mut piece = [0; 4096];
        loop {
            match reader.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(read) => stream.write_all(&piece[..read]).unwrap(),
            }
        }
        stream.write_all(b"bye").unwrap();
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send(
        "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n\r\nfirst",
    );
    let head = Head::read(&mut client.stream).unwrap();
    assert_eq!(head.first, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("sec-websocket-accept"), Some("x"));
    let mut greeting = [0; 10];
    client.stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hellofirst");
    let data = patterned(300_000);
    let mut sending = client.stream.get_ref().try_clone().unwrap();
    let to_send = data.clone();
    let sender = std::thread::spawn(move || {
        sending.write_all(&to_send).unwrap();
        sending.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    client.stream.read_to_end(&mut got).unwrap();
    sender.join().unwrap();
    assert_eq!(got.split_off(data.len()), b"bye");
    assert!(got == data);
}

#[test]
fn an_upgrade_that_is_not_offered_or_is_http2_does_not_reach_the_app() {
    let app = App::named("plain");
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    for fields in [
        "upgrade: websocket\r\n",
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n",
    ] {
        let answer = proxy
            .client()
            .ask(&format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"));
        assert_eq!(answer.text(), "plain");
        assert_eq!(app.last().field("upgrade"), None);
        assert_eq!(app.last().field("connection"), None);
        assert_eq!(app.last().field("http2-settings"), None);
    }
}

#[test]
fn absolute_form_names_the_host() {
    let (one, two) = (App::named("one"), App::named("two"));
    let mut proxy = Proxy::start();
    proxy.apply(vec![
        to_instances("one", &["one.test"], "/", &[(1, one.address)]),
        to_instances("two", &["two.test"], "/", &[(2, two.address)]),
    ]);
    let answer = proxy
        .client()
        .ask("GET http://two.test/x?y HTTP/1.1\r\nhost: one.test\r\n\r\n");
    assert_eq!(answer.text(), "two");
    assert_eq!(two.last().first, "GET /x?y HTTP/1.1");
    assert_eq!(two.last().field("host"), Some("two.test"));
}

#[test]
fn a_unix_socket_is_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while Head::read(&mut reader).is_some() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix")
                .unwrap();
        }
    });
    let mut proxy = Proxy::start();
    let mut route = to_instances("shop", &["*"], "/", &[]);
    route.backend = launchway_model::route::Backend::Instances {
        targets: vec![launchway_model::route::Target {
            instance: crate::harness::instance(1),
            address: launchway_model::instance::TargetAddress::Unix(path),
            weight: 1,
        }],
    };
    proxy.apply(vec![route]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let answer = client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(answer.text(), "unix");
    }
}

#[test]
fn a_stop_lets_requests_end_and_closes_idle_connections() {
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let app = App::start(move |_, stream| {
        held.lock().unwrap().recv().unwrap();
        respond(stream, "200 OK", &[], b"late");
        Then::Keep
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let address = proxy.address();
    let mut idle = proxy.client();
    let mut busy = proxy.client();
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    wait_for(|| app.count() == 1);
    let stopping = std::thread::spawn(move || proxy.stop().1);
    assert!(idle.is_closed());
    wait_for(|| std::net::TcpStream::connect(address).is_err());
    release.send(()).unwrap();
    assert_eq!(busy.answer().unwrap().text(), "late");
    assert!(busy.is_closed());
    assert_eq!(stopping.join().unwrap(), 0);
}
