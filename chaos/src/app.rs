//! The application under load: Python's standard library alone, so that a deploy takes about a second.

use std::sync::atomic::{AtomicU32, Ordering};

use launchway_e2e::Repository;

use crate::schedule::Broken;

/// Answers `version N` everywhere; `/upload` counts a body's bytes, `/echo` is a WebSocket that says back what it hears,
/// `/crash-if-fragile` ends a fragile version.
const SERVER: &str = r#"
import base64, hashlib, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "version 1"
STATUS = 200
FRAGILE = False
PORT = int(os.environ["PORT"])

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, text):
        body = text.encode()
        self.send_response(STATUS)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if FRAGILE and self.path != "/health":
            os._exit(7)
        if self.headers.get("upgrade", "").lower() == "websocket":
            return self.echo()
        self.answer(VERSION + " " + os.environ.get("COLOUR", "none"))

    def do_POST(self):
        left, seen = int(self.headers["content-length"]), 0
        while left:
            piece = self.rfile.read(min(left, 8192))
            if not piece:
                return
            left -= len(piece)
            seen += len(piece)
        self.answer("%s %d bytes" % (VERSION, seen))

    def echo(self):
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.wfile.write(("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            "x-version: %s\r\nsec-websocket-accept: %s\r\n\r\n" % (VERSION, accept)).encode())
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            length = head[1] & 127
            mask = self.rfile.read(4)
            text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(length)))
            self.wfile.write(bytes([head[0], length]) + text)
            if head[0] & 15 == 8:
                return

    def log_message(self, *what):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

if __name__ == "__main__":
    print("starting", VERSION, flush=True)
    Server(("127.0.0.1", PORT), Handler).serve_forever()
"#;

fn description(mark: &str) -> String {
    format!(
        r#"
release = "python3 -c 'print(1)'"

[process.web]
run = "python3 app.py {mark}"
instances = 2
grace = "6s"

[health]
path = "/health"
start = "5s"
interval = "1s"

[[stage]]
name = "Test"
run = "python3 -m py_compile app.py"
"#
    )
}

/// An application, its repository, and the version that was committed last.
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) repository: Repository,
    mark: String,
    version: AtomicU32,
}

impl App {
    pub(crate) fn new(name: &'static str, mark: &str) -> Self {
        let repository = Repository::of_files(
            name,
            &[("app.py", SERVER), ("launchway.toml", &description(mark))],
        );
        repository.commit("version 1");
        Self {
            name,
            repository,
            mark: mark.to_owned(),
            version: AtomicU32::new(1),
        }
    }

    /// Commits a version after the last one and gives its number.
    pub(crate) fn commit_next(&self) -> u32 {
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        self.write(version, &[]);
        self.repository.commit(&format!("version {version}"));
        version
    }

    /// Commits a version that must never serve.
    pub(crate) fn commit_broken(&self, broken: Broken) -> u32 {
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        match broken {
            Broken::Build => self.write(version, &[]),
            Broken::Tests => self.write(version, &[("VERSION =", "THIS IS NOT PYTHON\nVERSION =")]),
            Broken::Crash => self.write(
                version,
                &[(
                    "STATUS = 200",
                    "STATUS = 200\nraise KeyError('DATABASE_URL')",
                )],
            ),
            Broken::Unhealthy => self.write(version, &[("STATUS = 200", "STATUS = 500")]),
            Broken::WrongPort => {
                self.write(version, &[("PORT = int(os.environ[\"PORT\"])", "PORT = 0")])
            }
            Broken::ReleaseCommand => self.write(version, &[]),
        }
        let description = description(&self.mark);
        let description = match broken {
            Broken::Build => description.replace(
                "[[stage]]",
                "[[stage]]\nname = \"Compile\"\nrun = \"exit 3\"\n\n[[stage]]",
            ),
            Broken::ReleaseCommand => description.replace("print(1)", "exit(4)"),
            _ => description,
        };
        self.repository.write("launchway.toml", &description);
        self.repository
            .commit(&format!("version {version}, broken: {broken:?}"));
        version
    }

    /// Commits a version that answers its health check and crashes at the first other request.
    pub(crate) fn commit_fragile(&self) -> u32 {
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        self.write(version, &[("FRAGILE = False", "FRAGILE = True")]);
        self.repository
            .commit(&format!("version {version}, fragile"));
        version
    }

    fn write(&self, version: u32, changes: &[(&str, &str)]) {
        let mut text = SERVER.replace("version 1\"", &format!("version {version}\""));
        for (old, new) in changes {
            assert!(text.contains(old), "the app has no `{old}`");
            text = text.replace(old, new);
        }
        self.repository.write("app.py", &text);
        self.repository
            .write("launchway.toml", &description(&self.mark));
    }
}

/// The version that an answer names.
pub(crate) fn version_in(text: &str) -> Option<u32> {
    let mut words = text.split_ascii_whitespace();
    (words.next() == Some("version")).then(|| words.next()?.parse().ok())?
}
