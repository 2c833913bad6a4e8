//! HTTP/2 as attackers speak it, frame by frame: each flood ends the attacker's connection or stream and hurts nobody else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{App, PATIENCE, Proxy, Then, respond, wait_for};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// GET / of host `a` in HPACK: three indexed fields and a literal authority.
const GET: &[u8] = &[0x82, 0x84, 0x86, 0x41, 0x01, b'a'];

struct Attacker {
    stream: TcpStream,
}

/// A frame from the proxy.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Attacker {
    fn connect(proxy: &Proxy, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut attacker = Self { stream };
        attacker.stream.write_all(PREFACE).unwrap();
        assert!(attacker.send(SETTINGS, 0, 0, settings));
        attacker
    }

    /// Sends a frame; `false` where the proxy has closed.
    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).is_ok()
    }

    /// The next frame; `None` at the end of the connection.
    fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Reads until the connection is given up, by a word or by its end.
    fn is_given_up(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.receive() {
                None => return true,
                Some(frame) if frame.kind == GOAWAY => return true,
                Some(_) => {}
            }
        }
        false
    }
}

fn app() -> App {
    App::start(|_, stream| {
        respond(stream, "200 OK", &[], b"fine");
        Then::Keep
    })
}

#[test]
fn rapid_resets_end_the_connection() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut attacker = Attacker::connect(&proxy, &[]);
    let mut streams = 0;
    for stream in (1..100_001).step_by(2) {
        let sent = attacker.send(HEADERS, END_STREAM | END_HEADERS, stream, GET)
            && attacker.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if !sent {
            break;
        }
        streams += 1;
    }
    assert!(attacker.is_given_up());
    assert!(streams <= 50_000);
    assert!(
        app.count() < 5_000,
        "{} requests reached the app",
        app.count()
    );
    assert_eq!(proxy.get("/").text(), "fine");
}

#[test]
fn endless_continuations_end_the_connection() {
    let mut proxy = Proxy::start();
    let app = app();
    proxy.route_to(&[(1, app.address)]);
    let mut attacker = Attacker::connect(&proxy, &[]);
    assert!(attacker.send(HEADERS, END_STREAM, 1, GET));
    // A literal field without indexing, name `x`, and a value of 1000 bytes.
    let mut field = vec![0x00, 0x01, b'x', 0x7f, 0xe9, 0x06];
    field.extend_from_slice(&[b'y'; 1000]);
    let mut sent = 0;
    while sent < 64 << 20 && attacker.send(CONTINUATION, 0, 1, &field) {
        sent += field.len();
    }
    assert!(sent < 64 << 20, "64 MiB of one head were taken");
    assert!(attacker.is_given_up());
    assert_eq!(app.count(), 0);
    assert_eq!(proxy.get("/").text(), "fine");
}

#[test]
fn a_head_that_is_too_large_is_refused_alone() {
    let app = app();
    let mut proxy = Proxy::limited(|limits| limits.head_bytes = 4096);
    proxy.route_to(&[(1, app.address)]);
    let mut attacker = Attacker::connect(&proxy, &[]);
    let mut head = GET.to_vec();
    head.extend_from_slice(&[0x00, 0x01, b'x', 0x7f, 0x89, 0x27]);
    head.extend_from_slice(&[b'y'; 5128]);
    assert!(attacker.send(HEADERS, END_STREAM | END_HEADERS, 1, &head));
    assert!(attacker.send(HEADERS, END_STREAM | END_HEADERS, 3, GET));
    // The second stream is answered, whatever the first one got.
    let answered = std::iter::from_fn(|| attacker.receive())
        .take(50)
        .any(|frame| frame.kind == DATA && frame.stream == 3 && frame.payload == b"fine");
    assert!(answered);
    assert_eq!(app.count(), 1);
}

#[test]
fn a_window_that_stays_shut_is_given_up_and_frees_the_instance() {
    let app = App::start(|_, stream| {
        respond(stream, "200 OK", &[], &[b'z'; 3_000_000]);
        Then::Keep
    });
    let mut proxy = Proxy::limited(|limits| limits.write_timeout = Duration::from_millis(500));
    proxy.route_to(&[(1, app.address)]);
    // SETTINGS_INITIAL_WINDOW_SIZE 0.
    let mut attacker = Attacker::connect(&proxy, &[0, 4, 0, 0, 0, 0]);
    assert!(attacker.send(HEADERS, END_STREAM | END_HEADERS, 1, GET));
    wait_for(|| app.count() == 1);
    wait_for(|| app.open() == 0);
    // Once it opens, what was queued comes, and then not the end but a reset.
    for stream in [0, 1] {
        assert!(attacker.send(WINDOW_UPDATE, 0, stream, &10_000_000_u32.to_be_bytes()));
    }
    let mut ended = None;
    while let Some(frame) = attacker.receive() {
        assert!(frame.kind != DATA || frame.flags & END_STREAM == 0);
        if matches!(frame.kind, RST_STREAM | GOAWAY) {
            ended = Some(frame.kind);
            break;
        }
    }
    assert_eq!(ended, Some(RST_STREAM));
}

#[test]
fn pings_and_settings_are_no_way_to_fill_memory() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let mut attacker = Attacker::connect(&proxy, &[]);
    // The answers are not read: the proxy must stop reading before it holds an answer to each.
    attacker
        .stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut sent = 0;
    while sent < 2_000_000 && attacker.send(PING, 0, 0, &[0; 8]) {
        sent += 1;
    }
    assert!(
        sent < 2_000_000,
        "the proxy took every ping without an answer being read"
    );
    drop(attacker);
    assert_eq!(proxy.get("/").text(), "fine");
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let app = app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    let cases: [(&str, u8, u8, u32, Vec<u8>); 7] = [
        ("data on an idle stream", DATA, 0, 1, vec![1]),
        (
            "an even stream",
            HEADERS,
            END_STREAM | END_HEADERS,
            2,
            GET.to_vec(),
        ),
        (
            "headers of stream 0",
            HEADERS,
            END_STREAM | END_HEADERS,
            0,
            GET.to_vec(),
        ),
        (
            "a continuation of nothing",
            CONTINUATION,
            END_HEADERS,
            1,
            GET.to_vec(),
        ),
        (
            "an index that is not there",
            HEADERS,
            END_STREAM | END_HEADERS,
            1,
            vec![0xff, 0xff, 0xff, 0x7f],
        ),
        ("a short ping", PING, 0, 0, vec![0; 7]),
        ("settings of an odd length", SETTINGS, 0, 0, vec![0; 5]),
    ];
    for (name, kind, flags, stream, payload) in cases {
        let mut attacker = Attacker::connect(&proxy, &[]);
        let _ = attacker.send(kind, flags, stream, &payload);
        assert!(attacker.is_given_up(), "{name}");
    }
    assert_eq!(app.count(), 0);
    assert_eq!(proxy.get("/").text(), "fine");
}
