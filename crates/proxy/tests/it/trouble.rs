//! Apps that refuse, break, hang and come back; clients that are slow or go away.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use launchway_model::route::{ProxyReply, ProxyRequest};

use crate::harness::{App, Head, PATIENCE, Proxy, Then, instance, respond, wait_for};

/// An address on which nothing listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn a_dead_instance_costs_no_request() {
    let alive = App::named("alive");
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, nobody()), (2, alive.address)]);
    for _ in 0..40 {
        assert_eq!(proxy.get("/").text(), "alive");
    }
    // Also for requests that must not be sent twice: nothing was sent to the dead one.
    for _ in 0..40 {
        let answer = proxy
            .client()
            .ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
        assert_eq!(answer.text(), "alive");
    }
}

#[test]
fn an_instance_that_breaks_off_is_replaced_by_another_where_that_is_safe() {
    let broken = App::start(|_, _| Then::Close);
    let alive = App::named("alive");
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, broken.address), (2, alive.address)]);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "alive");
    }
    assert!(broken.count() > 0);
    // A POST may have had its effect: it is sent once and no more.
    let before = broken.count() + alive.count();
    for _ in 0..20 {
        let answer = proxy
            .client()
            .ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
        assert!(matches!(answer.status, 200 | 502));
    }
    assert_eq!(broken.count() + alive.count(), before + 20);
}

#[test]
fn stale_connections_cost_no_request() {
    // Answers as if it kept the connection, and closes it.
    let app = App::start(|_, stream| {
        respond(stream, "200 OK", &[], b"ok");
        Then::Close
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    for turn in 0..200 {
        let request = match turn % 2 {
            0 => "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            _ => "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        };
        assert_eq!(client.ask(request).text(), "ok", "{turn}");
    }
}

#[test]
fn a_request_waits_while_no_instance_is_up() {
    let address = nobody();
    let mut proxy = Proxy::limited(|limits| limits.wait_for_target = PATIENCE);
    proxy.route_to(&[(1, address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let ProxyReply::Stats(_) = proxy.ask(&ProxyRequest::Stats) else {
        panic!("no stats");
    };
    // The instance comes up on the address that refused.
    let app = App::raw_on(TcpListener::bind(address).unwrap(), |mut stream, _| {
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        while Head::read(&mut reader).is_some() {
            respond(&mut stream, "200 OK", &[], b"up");
        }
    });
    assert_eq!(client.answer().unwrap().text(), "up");
    drop(app);

    // Or a table names one that is.
    proxy.route_to(&[]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let other = App::named("other");
    proxy.route_to(&[(2, other.address)]);
    assert_eq!(client.answer().unwrap().text(), "other");
}

#[test]
fn the_wait_ends_with_a_word() {
    let mut proxy = Proxy::limited(|limits| limits.wait_for_target = Duration::from_millis(200));
    proxy.route_to(&[(1, nobody())]);
    let answer = proxy
        .client()
        .ask("GET / HTTP/1.1\r\nhost: a\r\naccept: application/json\r\n\r\n");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.head.field("retry-after"), Some("1"));
    let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(
        value["message"].as_str().unwrap().contains("no instance")
            || value["message"].as_str().unwrap().contains("No instance")
    );
    assert!(value["request_id"].as_str().unwrap().len() == 32);
}

#[test]
fn an_app_that_hangs_is_given_up() {
    let app = App::raw(|mut stream, _| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
    });
    let mut proxy = Proxy::limited(|limits| limits.answer_timeout = Duration::from_millis(300));
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").status, 504);
    let ProxyReply::Stats(stats) = proxy.ask(&ProxyRequest::Stats) else {
        panic!("no stats");
    };
    assert_eq!(stats.targets[0].failures, 1);
    assert_eq!(stats.targets[0].in_flight, 0);
}

#[test]
fn an_answer_that_breaks_off_is_cut_and_not_ended() {
    let app = App::start(|request, stream| {
        let answer: &[u8] = match request.head.first.contains("chunked") {
            true => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            false => b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nabc",
        };
        stream.write_all(answer).unwrap();
        Then::Close
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    for path in ["/chunked", "/fixed"] {
        let mut client = proxy.client();
        client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let mut all = Vec::new();
        let _ = client.stream.read_to_end(&mut all);
        let text = String::from_utf8_lossy(&all);
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        assert!(!text.contains("0\r\n\r\n"), "{text}");
    }
}

#[test]
fn a_large_answer_that_breaks_off_is_cut_too() {
    let app = App::start(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n")
            .unwrap();
        let _ = stream.write_all(&[b'x'; 1_500_000]);
        Then::Close
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut all = Vec::new();
    let _ = client.stream.read_to_end(&mut all);
    assert!(all.starts_with(b"HTTP/1.1 200 OK"));
    assert!(all.len() < 1_600_000, "nothing is made up");
    let ProxyReply::Stats(stats) = proxy.ask(&ProxyRequest::Stats) else {
        panic!("no stats");
    };
    assert_eq!(stats.targets[0].in_flight, 0);
}

#[test]
fn nonsense_from_an_app_is_a_bad_gateway() {
    let answers: [&[u8]; 8] = [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx y\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
    ];
    let next = AtomicU64::new(0);
    let app = App::start(move |_, stream| {
        let turn = next.fetch_add(1, Ordering::SeqCst) as usize;
        stream.write_all(answers[turn]).unwrap();
        Then::Close
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    for turn in 0..answers.len() {
        let answer = proxy
            .client()
            .ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
        assert_eq!(answer.status, 502, "{turn}");
    }
}

#[test]
fn a_slow_head_is_cut_off() {
    let app = App::named("x");
    let mut proxy = Proxy::limited(|limits| limits.head_timeout = Duration::from_millis(400));
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\n");
    let begun = Instant::now();
    let mut drip = client.stream.get_ref().try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        // Bytes keep coming, which must not help.
        while begun.elapsed() < PATIENCE && drip.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(client.answer().unwrap().status, 408);
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop(client);
    dripping.join().unwrap();
    // And a connection on which nothing comes at all is closed without a word.
    let mut silent = proxy.client();
    assert!(silent.is_closed());
    assert_eq!(app.count(), 0);
}

#[test]
fn a_slow_body_is_cut_off_and_a_steady_one_is_not() {
    let app = App::start(|request, stream| {
        respond(stream, "200 OK", &[], &request.body);
        Then::Keep
    });
    let mut proxy = Proxy::limited(|limits| {
        limits.body_gap = Duration::from_millis(500);
        limits.body_rate = 100;
    });
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\nabc");
    assert_eq!(client.answer().unwrap().status, 408);
    // A drip that stays within the gap falls below the rate.
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
    let mut drip = client.stream.get_ref().try_clone().unwrap();
    let begun = Instant::now();
    let dripping = std::thread::spawn(move || {
        while begun.elapsed() < PATIENCE && drip.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(client.answer().unwrap().status, 408);
    drop(client);
    dripping.join().unwrap();
    // Slow in the wall clock, steady in pieces.
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 20000\r\n\r\n");
    for _ in 0..20 {
        client.send([b'y'; 1000]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.answer().unwrap().body.len(), 20000);
}

#[test]
fn limits_on_sizes_hold() {
    let app = App::named("x");
    let mut proxy = Proxy::limited(|limits| {
        limits.head_bytes = 4096;
        limits.body_bytes = 1000;
    });
    proxy.route_to(&[(1, app.address)]);
    let long = "x".repeat(5000);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"),
            431,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
                "a: b\r\n".repeat(200)
            ),
            431,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n".to_owned(),
            413,
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{}\r\n0\r\n\r\n",
                "x".repeat(2000)
            ),
            413,
        ),
    ] {
        let mut client = proxy.client();
        let answer = client.ask(&request);
        assert_eq!(answer.status, status, "{}", &request[..60]);
        assert!(client.is_closed());
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn a_client_that_goes_away_frees_the_instance() {
    let app = App::start(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .unwrap();
        while stream.write_all(b"3\r\nabc\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Then::Close
    });
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    wait_for(|| app.count() == 1);
    drop(client);
    wait_for(|| app.open() == 0);
    let reply = proxy.ask(&ProxyRequest::Drain {
        instances: vec![instance(1)],
        deadline_ms: 60_000,
    });
    assert_eq!(reply, ProxyReply::Drained { cut: Vec::new() });
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let app = App::named("still");
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client
        .stream
        .get_ref()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert_eq!(client.answer().unwrap().text(), "still");
    assert!(client.is_closed());
}

#[test]
fn a_client_that_does_not_read_is_held_by_backpressure_and_then_dropped() {
    let sent = std::sync::Arc::new(AtomicU64::new(0));
    let counter = std::sync::Arc::clone(&sent);
    let app = App::start(move |_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            .unwrap();
        let piece = vec![7; 65536];
        while stream.write_all(&piece).is_ok() {
            counter.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        Then::Close
    });
    let mut proxy = Proxy::limited(|limits| limits.write_timeout = Duration::from_millis(500));
    proxy.route_to(&[(1, app.address)]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    wait_for(|| app.count() == 1 && app.open() == 0);
    assert!(
        sent.load(Ordering::SeqCst) < 100_000_000,
        "the kernel's buffers and ours hold megabytes, not the whole answer"
    );
}
