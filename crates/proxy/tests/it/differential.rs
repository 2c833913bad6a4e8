//! The same bytes to this proxy, nginx and HAProxy: what reaches the app must be what one of them lets through, or nothing.
//!
//! Skipped, with a word, for a peer that is not installed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{App, PATIENCE, Proxy, Then, respond, wait_for};

/// Requests as the app understood them: method and target, body.
type Seen = Vec<(String, Vec<u8>)>;

/// A proxy in front of an app that notes what it gets.
struct Front {
    name: &'static str,
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _app: App,
    _ours: Option<Proxy>,
    peer: Option<Child>,
    _folder: tempfile::TempDir,
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(peer) = &mut self.peer {
            let _ = peer.kill();
            let _ = peer.wait();
        }
    }
}

fn noting_app() -> (App, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::new()));
    let notes = Arc::clone(&seen);
    let app = App::start(move |request, stream| {
        let first = request.head.first.rsplit_once(' ').unwrap().0.to_owned();
        notes.lock().unwrap().push((first, request.body.clone()));
        respond(stream, "200 OK", &[("connection", "close")], b"ok");
        Then::Close
    });
    (app, seen)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn ours() -> Front {
    let (app, seen) = noting_app();
    let mut proxy = Proxy::start();
    proxy.route_to(&[(1, app.address)]);
    Front {
        name: "ours",
        address: proxy.address(),
        seen,
        _app: app,
        _ours: Some(proxy),
        peer: None,
        _folder: tempfile::tempdir().unwrap(),
    }
}

/// Starts a peer with a configuration; `None` where it is not installed.
fn peer(
    name: &'static str,
    arguments: &[&str],
    configuration: impl Fn(u16, SocketAddr, &Path) -> String,
) -> Option<Front> {
    let program = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|program| program.exists());
    let Some(program) = program else {
        let _ = writeln!(std::io::stderr(), "skipped: {name} is not installed");
        return None;
    };
    let (app, seen) = noting_app();
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let file = folder.path().join("peer.conf");
    std::fs::write(&file, configuration(port, app.address, folder.path())).unwrap();
    let child = Command::new(program)
        .args(arguments)
        .arg(&file)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let front = Front {
        name,
        address,
        seen,
        _app: app,
        _ours: None,
        peer: Some(child),
        _folder: folder,
    };
    wait_for(|| TcpStream::connect(address).is_ok());
    Some(front)
}

fn nginx() -> Option<Front> {
    peer("nginx", &["-c"], |port, app, folder| {
        let folder = folder.display();
        format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n\
             uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{app}; proxy_http_version 1.1;\n\
             proxy_next_upstream off; }} }} }}\n"
        )
    })
}

fn haproxy() -> Option<Front> {
    peer("haproxy", &["-db", "-f"], |port, app, _| {
        format!(
            "global\n  maxconn 100\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             \x20 retries 0\nfrontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n  server s {app}\n"
        )
    })
}

/// What reached the app of these bytes, sent at once. The connection's end is awaited, or this long a silence: a peer may wait for
/// the rest of what it takes for a body.
fn reached(front: &Front, bytes: &[u8], silence: Duration) -> Seen {
    front.seen.lock().unwrap().clear();
    let mut stream = TcpStream::connect(front.address).unwrap();
    // A refusal may come before everything is written.
    let _ = stream.write_all(bytes);
    stream.set_read_timeout(Some(silence)).unwrap();
    let mut answer = [0; 4096];
    while matches!(stream.read(&mut answer), Ok(1..)) {}
    front.seen.lock().unwrap().clone()
}

#[test]
fn what_reaches_the_app_is_what_others_let_through_or_nothing() {
    let peers: Vec<Front> = [nginx(), haproxy()].into_iter().flatten().collect();
    if peers.is_empty() {
        return;
    }
    let ours = ours();
    let post = |fields: &str, body: &str| {
        format!("POST /p HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n{body}")
    };
    let get = |line: &str, fields: &str| {
        format!("{line}\r\nhost: a\r\nconnection: close\r\n{fields}\r\n")
    };
    // Sound requests: all must let the same through.
    let sound = [
        get("GET /x?y=z HTTP/1.1", ""),
        get("GET /a//b/../c HTTP/1.1", ""),
        get("OPTIONS /x HTTP/1.1", "x: 1\r\n"),
        get("DELETE /x HTTP/1.1", ""),
        post("content-length: 5\r\n", "hello"),
        post("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        post(
            "transfer-encoding: chunked\r\n",
            "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
        ),
        post(
            "transfer-encoding: Chunked\r\n",
            "00A\r\n0123456789\r\n000\r\n\r\n",
        ),
        format!(
            "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n{}",
            get("GET /2 HTTP/1.1", "")
        ),
        format!(
            "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc{}",
            get("GET /2 HTTP/1.1", "")
        ),
    ];
    for request in &sound {
        let expected = reached(&ours, request.as_bytes(), PATIENCE);
        assert!(!expected.is_empty(), "{request:?}");
        for peer in &peers {
            assert_eq!(
                reached(peer, request.as_bytes(), PATIENCE),
                expected,
                "{}: {request:?}",
                peer.name
            );
        }
    }
    let behind = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let hostile = [
        post(
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            behind,
        ),
        post(
            "transfer-encoding: chunked\r\ncontent-length: 50\r\n",
            behind,
        ),
        post("content-length: 5\r\ncontent-length: 50\r\n", behind),
        post("content-length: 5\r\ncontent-length: 5\r\n", behind),
        post("content-length: 5, 5\r\n", behind),
        post("content-length: +5\r\n", behind),
        post("content-length : 5\r\n", behind),
        post("content-length: 5\n", behind),
        post(
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            behind,
        ),
        post("transfer-encoding : chunked\r\n", behind),
        post("transfer-encoding:\tchunked\r\n", behind),
        post("transfer-encoding: x, chunked\r\n", behind),
        post("transfer-encoding: chunked, x\r\n", behind),
        post("transfer-encoding: chunked\x0b\r\n", behind),
        post("x: y\r\n transfer-encoding: chunked\r\n", behind),
        post("transfer-encoding: chunked\r\n", "5\nhello\n0\n\n"),
        post(
            "transfer-encoding: chunked\r\n",
            "5\r\nhelloXX\r\n0\r\n\r\n",
        ),
        post(
            "transfer-encoding: chunked\r\n",
            "5;\nx\r\nhello\r\n0\r\n\r\n",
        ),
        post(
            "transfer-encoding: chunked\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
        ),
        post(
            "transfer-encoding: chunked\r\n",
            "100000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        get("GET /x HTTP/1.1", "host: b\r\n"),
        get("GET  /x HTTP/1.1", ""),
        get("GET /x\tHTTP/1.1", ""),
        get("GET /x\0y HTTP/1.1", ""),
        get("GET http://b/x HTTP/1.1", ""),
        get("GET /x HTTP/1.9", ""),
        get("GET /x#y HTTP/1.1", ""),
        get("G\x7fT /x HTTP/1.1", ""),
        "GET /x HTTP/1.1\nhost: a\n\n".to_owned(),
        "GET /x HTTP/1.1\r\nhost: a\r\n\rx: y\r\n\r\n".to_owned(),
        "POST /p HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            .to_owned(),
    ];
    for request in &hostile {
        let expected = reached(&ours, request.as_bytes(), Duration::from_millis(600));
        assert!(
            expected
                .iter()
                .all(|(first, _)| !first.contains("smuggled")),
            "{request:?}: {expected:?}"
        );
        if expected.is_empty() {
            continue;
        }
        let theirs: Vec<_> = peers
            .iter()
            .map(|peer| reached(peer, request.as_bytes(), Duration::from_secs(3)))
            .collect();
        assert!(
            theirs.contains(&expected),
            "{request:?}: {expected:?}, others: {theirs:?}"
        );
    }
}
