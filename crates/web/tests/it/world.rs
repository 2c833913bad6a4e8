//! One installation for one test, and what tests do to it: requests, repositories, pushes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use launchway_control::{Control, Settings};
use launchway_model::route::{ProxyReply, ProxyRequest, ProxyStats};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// As long as anything may take on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) control: Arc<Control>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) cancel: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    running: JoinHandle<Result<(), launchway_model::Problem>>,
    proxy: JoinHandle<()>,
}

/// One answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// One request; a token is sent unless it is taken away.
#[derive(Clone)]
pub(crate) struct Ask {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Ask {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As nobody.
    pub(crate) fn anonymous(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self
    }

    /// As a browser with a session.
    pub(crate) fn cookie(self, cookie: &str) -> Self {
        self.anonymous().header("cookie", cookie)
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A form as a page of our own sends it.
    pub(crate) fn form(self, fields: &str) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(fields)
    }

    pub(crate) async fn send(self) -> Answer {
        tokio::task::spawn_blocking(move || {
            let mut response = self.response();
            Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: response.body_mut().read_to_string().unwrap(),
            }
        })
        .await
        .unwrap()
    }

    /// Reads a stream until it holds `words` or ends.
    pub(crate) async fn read_until(self, words: &'static str) -> String {
        tokio::task::spawn_blocking(move || {
            let mut response = self.response();
            assert_eq!(response.status().as_u16(), 200);
            let mut reader = response.body_mut().as_reader();
            let mut text = String::new();
            let mut chunk = [0; 4096];
            while !text.contains(words) {
                match reader.read(&mut chunk).unwrap() {
                    0 => break,
                    read => text.push_str(&String::from_utf8_lossy(&chunk[..read])),
                }
            }
            text
        })
        .await
        .unwrap()
    }

    /// Keeps a stream open: the first tells that it holds `words`, the second that it ended.
    pub(crate) fn hold(self, words: &'static str) -> (oneshot::Receiver<()>, JoinHandle<()>) {
        let (begun, receiver) = oneshot::channel();
        let reading = tokio::task::spawn_blocking(move || {
            let mut response = self.response();
            let reader = BufReader::new(response.body_mut().as_reader());
            let mut begun = Some(begun);
            for line in reader.lines().map_while(Result::ok) {
                if line.contains(words)
                    && let Some(begun) = begun.take()
                {
                    begun.send(()).unwrap();
                }
            }
        });
        (receiver, reading)
    }

    fn response(self) -> http::Response<ureq::Body> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let mut request = http::Request::builder().method(self.method).uri(self.url);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        match self.body {
            Some(body) => agent.run(request.body(body).unwrap()).unwrap(),
            None => agent.run(request.body(()).unwrap()).unwrap(),
        }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings::new(folder.path().join("home"), runner(), url.clone());
        let control = Control::open(settings.clone()).await.unwrap();
        std::fs::create_dir_all(settings.home.proxy()).unwrap();
        let socket = UnixListener::bind(settings.home.proxy_socket()).unwrap();
        let cancel = CancellationToken::new();
        let token = control.local_token().to_owned();
        let running = {
            let (control, cancel) = (Arc::clone(&control), cancel.clone());
            tokio::spawn(async move { control.run(cancel).await })
        };
        let serving = tokio::spawn(launchway_web::serve(
            listener,
            Arc::clone(&control),
            cancel.clone(),
        ));
        Self {
            control,
            folder,
            url,
            token,
            cancel,
            serving,
            running,
            proxy: tokio::spawn(stand_in_for_the_proxy(socket)),
        }
    }

    pub(crate) fn ask(&self, method: &'static str, path: &str) -> Ask {
        Ask {
            method,
            url: format!("{}{path}", self.url),
            headers: vec![("authorization".to_owned(), format!("Bearer {}", self.token))],
            body: None,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send().await
    }

    /// Logs a browser in and gives its cookie.
    pub(crate) async fn log_in(&self) -> String {
        let link = self.ask("POST", "/api/v1/login-links").send().await.json();
        let path = link["url"]
            .as_str()
            .unwrap()
            .strip_prefix(&self.url)
            .unwrap()
            .to_owned();
        let answer = self.ask("GET", &path).anonymous().send().await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer
            .header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }

    /// A repository of two files whose remote `launchway` is the app `site`, with the token in its address.
    pub(crate) async fn repository(&self) -> Repository {
        let folder = self.folder.path().join("work");
        std::fs::create_dir(&folder).unwrap();
        let repository = Repository { folder };
        repository.git(&["init", "--quiet", "-b", "main"]).await;
        let address = self
            .url
            .replace("http://", &format!("http://anyone:{}@", self.token));
        repository
            .git(&[
                "remote",
                "add",
                "launchway",
                &format!("{address}/git/site.git"),
            ])
            .await;
        repository.commit("index.html", "<h1>One</h1>").await;
        repository
            .commit("build.sh", "echo \"\u{1b}[32mbuilt\u{1b}[0m <script>\"")
            .await;
        repository
    }

    /// Ends everything, and gives how long it took.
    pub(crate) async fn end(self) -> Duration {
        let begin = Instant::now();
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, self.serving)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let took = begin.elapsed();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        self.proxy.abort();
        took
    }
}

pub(crate) struct Repository {
    pub(crate) folder: PathBuf,
}

impl Repository {
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        git(&self.folder, arguments).await
    }

    pub(crate) async fn git(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) async fn commit(&self, file: &str, content: &str) -> String {
        std::fs::write(self.folder.join(file), content).unwrap();
        self.git(&["add", file]).await;
        self.git(&["commit", "--quiet", "-m", &format!("Change {file}")])
            .await;
        self.git(&["rev-parse", "HEAD"]).await
    }

    pub(crate) async fn push(&self, arguments: &[&str]) -> Output {
        let all: Vec<&str> = ["push", "launchway"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.run(&all).await
    }
}

pub(crate) async fn git(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.org")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.org")
        .env("LC_ALL", "C")
        .args(arguments)
        .output()
        .await
        .unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The runner, which `cargo test` builds beside the tests.
fn runner() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let runner = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/runner");
    assert!(
        runner.exists(),
        "{} is built by `cargo test -p launchway-web`",
        runner.display()
    );
    runner
}

/// Takes every table, as a proxy does that has no reason to refuse one.
async fn stand_in_for_the_proxy(socket: UnixListener) {
    while let Ok((connection, _)) = socket.accept().await {
        tokio::spawn(answer(connection));
    }
}

async fn answer(connection: UnixStream) {
    let (reader, mut writer) = connection.into_split();
    let mut lines = tokio::io::BufReader::new(reader).lines();
    let mut table = 0;
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match serde_json::from_str(&line).unwrap() {
            ProxyRequest::Hello { protocol } => ProxyReply::Hello {
                protocol,
                pid: std::process::id(),
                listen: vec!["127.0.0.1:8080".parse().unwrap()],
                table,
            },
            ProxyRequest::Apply { table: given } => {
                table = given.number;
                ProxyReply::Applied { number: table }
            }
            ProxyRequest::Drain { .. } => ProxyReply::Drained { cut: Vec::new() },
            ProxyRequest::Stats => ProxyReply::Stats(ProxyStats::default()),
        };
        let mut line = serde_json::to_vec(&reply).unwrap();
        line.push(b'\n');
        if writer.write_all(&line).await.is_err() {
            return;
        }
    }
}
