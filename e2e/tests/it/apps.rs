//! A small app for the tests: Python's standard library alone, so that a deploy takes about a second.

use std::sync::OnceLock;

use launchway_e2e::{Installation, Repository};

/// Answers `version N` at every path; `/slow` takes a second.
pub(crate) const SERVER: &str = r#"
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "version 1"

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1)
        body = VERSION.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *what):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128

if __name__ == "__main__":
    print("starting", VERSION, flush=True)
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// How it is run: a health check by HTTP, and not long to wait for an app that never comes up.
pub(crate) const DESCRIPTION: &str = r#"
[process.web]
run = "python3 app.py"
grace = "2s"

[health]
path = "/"
start = "6s"
"#;

/// The app as a repository.
pub(crate) fn repository(name: &str) -> Repository {
    Repository::of_files(name, &[("app.py", SERVER), ("launchway.toml", DESCRIPTION)])
}

/// The app, deployed and answering.
pub(crate) fn deployed(installation: &Installation, name: &str) -> Repository {
    let repository = repository(name);
    installation.deploy(&repository);
    assert_eq!(installation.get(name, "/").text(), "version 1");
    repository
}

/// The installation that the tests of bad input share; each has an app of its own in it.
pub(crate) fn shared() -> &'static Installation {
    static SHARED: OnceLock<Installation> = OnceLock::new();
    SHARED.get_or_init(Installation::start)
}

/// The process id of the one instance that is routed; one that is being replaced may still be stopping.
pub(crate) fn serving_pid(installation: &Installation, name: &str) -> i32 {
    launchway_e2e::until_some("an instance serves", || {
        let instances = installation
            .run(&["ps", "--app", name, "--json"])
            .ok("ps")
            .json();
        let instances = instances.as_array().unwrap();
        let serving = instances
            .iter()
            .find(|instance| instance["routed"] == true)?;
        i32::try_from(serving["status"]["pid"].as_u64()?).ok()
    })
}

/// Asserts that an app's first release serves as if nothing had happened, and that this is also what is stored.
pub(crate) fn assert_undisturbed(installation: &Installation, name: &str) {
    let answer = installation.get(name, "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "version 1"));
    let releases = installation
        .run(&["releases", "--app", name, "--json"])
        .ok("releases")
        .json();
    let serving: Vec<_> = releases
        .as_array()
        .unwrap()
        .iter()
        .filter(|release| release["state"]["state"] == "serving")
        .map(|release| release["number"].as_u64().unwrap())
        .collect();
    assert_eq!(serving, [1], "{releases:#}");
}

/// A number of seconds that no other process on this machine sleeps for: what a test leaves running is found by it.
pub(crate) fn long_sleep(which: u32) -> String {
    (which * 10_000_000 + std::process::id()).to_string()
}

/// Whether a command sleeps for that long.
pub(crate) fn sleeps(seconds: &str) -> bool {
    launchway_e2e::processes::all()
        .iter()
        .any(|process| process.arguments == ["sleep", seconds])
}
