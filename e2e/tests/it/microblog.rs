//! The microblog: its Jenkinsfile deploys by `sudo systemctl restart gunicorn`, and people stay logged in meanwhile.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use launchway_e2e::http::{Answer, Connection};
use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load, Repository};

const APP: &str = "microblog";

/// A browser: it keeps its cookie and sends each form with its page's token.
struct Person {
    proxy: SocketAddr,
    cookie: String,
}

impl Person {
    fn new(installation: &Installation) -> Self {
        Self {
            proxy: installation.proxy(),
            cookie: String::new(),
        }
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let fields = [
            ("cookie", self.cookie.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        // A connection of its own: one that is kept may be closed for having been idle over a whole deploy.
        let answer = Connection::open(self.proxy)
            .unwrap()
            .send(method, &host(APP), path, &fields, body.as_bytes())
            .unwrap();
        if let Some(cookie) = answer.field("set-cookie") {
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        answer
    }

    fn get(&mut self, path: &str) -> String {
        self.send("GET", path, "").text()
    }

    fn fill(&mut self, path: &str, fields: &str) -> Answer {
        let page = self.get(path);
        let token = page.split("name=\"token\" value=\"").nth(1).expect(&page);
        let token = token.split('"').next().unwrap().to_owned();
        self.send("POST", path, &format!("token={token}&{fields}"))
    }
}

/// A place of advisories for Python's packages, with one of a package that nobody has.
fn mirror() -> String {
    let folder = tempfile::tempdir().unwrap();
    let record = r#"{"schema_version": "1.6.0", "id": "PYSEC-2026-1", "modified": "2026-06-01T00:00:00Z",
        "published": "2026-06-01T00:00:00Z", "summary": "a flaw", "affected": [{"package": {"ecosystem": "PyPI", "name": "nobody-has-this"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]}"#;
    std::fs::write(folder.path().join("PYSEC-2026-1.json"), record).unwrap();
    let zipped = Command::new("python3")
        .args(["-m", "zipfile", "-c", "all.zip", "PYSEC-2026-1.json"])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(zipped.success());
    let archive = std::fs::read(folder.path().join("all.zip")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            let _ = reader.read_line(&mut first);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|size| size > 2) {
                line.clear();
            }
            let (status, body) = if first.contains("/PyPI/all.zip ") {
                ("200 OK", archive.as_slice())
            } else if first.contains("/PyPI/modified_id.csv ") {
                ("200 OK", b"2026-06-01T00:00:00Z,PYSEC-2026-1\n".as_slice())
            } else {
                ("404 Not Found", b"".as_slice())
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // A client that has gone wants no answer.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body));
        }
    });
    format!("http://{address}")
}

#[test]
fn a_restart_in_the_jenkinsfile_is_a_deploy_and_nobody_notices() {
    let installation = Installation::start();
    let mirror = mirror();
    installation
        .run(&[
            "advisories",
            "update",
            "--ecosystems",
            "PyPI",
            "--mirror",
            &mirror,
        ])
        .ok("the advisories");
    let repository = Repository::of_example("microblog", APP);
    let first = installation.deploy(&repository);
    assert!(first.stderr.contains("15 tests passed"), "{}", first.stderr);
    let log = installation
        .run(&["builds", "log", "1", "--stage", "Deploy"])
        .ok("the log")
        .stdout;
    assert!(log.contains("Release v1 of microblog serves"), "{log}");
    assert!(log.contains("\nactive"), "{log}");

    let mut ann = Person::new(&installation);
    let answer = ann.fill("/signup", "name=ann&password=correct+horse");
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert!(ann.get("/").contains("Hello, ann!"));
    assert_eq!(ann.fill("/", "text=kept").status, 302);
    let german = ann.fill("/explore", "").status;
    assert_eq!(german, 405);
    let mut guest = Person::new(&installation);
    let page = guest.get("/login");
    let token = page
        .split("name=\"token\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    guest.send("POST", "/language/de", &format!("token={token}"));
    assert!(
        guest.get("/login").contains("Anmelden"),
        "the translations were not compiled"
    );

    let load = Load::start(installation.proxy(), &host(APP), "/explore", 2, |answer| {
        answer.status == 200 && answer.text().contains("kept")
    });
    load.await_more(20);
    repository.replace(
        "microblog/templates/explore.html",
        "<h1>{{ _('Explore') }}</h1>",
        "<h1>Second edition</h1>",
    );
    repository.commit("second edition");
    installation.deploy(&repository);
    load.await_more(20);
    assert!(ann.get("/explore").contains("Second edition"));
    assert!(
        ann.get("/").contains("Hello, ann!"),
        "the deploy logged her out"
    );
    let releases = installation
        .run(&["releases", "--app", APP, "--json"])
        .ok("the releases")
        .json();
    assert_eq!(releases.as_array().unwrap().len(), 2, "{releases:#}");

    // A start that fails fails the restart, and so the build; what served goes on serving.
    repository.replace("microblog/__init__.py", "    app = Flask(__name__)", "    import os\n    if os.environ.get(\"PORT\"):\n        raise SystemExit(\"out of order\")\n    app = Flask(__name__)");
    repository.commit("broken");
    installation
        .run_in(repository.path(), &["deploy"])
        .refused(1, &["out of order"]);
    assert!(ann.get("/explore").contains("Second edition"));
    load.await_more(20);
    load.end()
        .assert_flawless("a deploy by systemctl restart, and one that failed");
}
