//! An installation: a temporary home, and a `launchway up` on free ports.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, mpsc};

use serde::Deserialize;
use tempfile::TempDir;

use crate::binary::launchway;
use crate::http::{self, Answer};
use crate::{processes, until};

/// How the folders of installations are called.
const PREFIX: &str = "launchway-home-";
/// The file in such a folder that names the test process.
const OWNER: &str = "owner";
/// The copy of the binary of [`Setup::own_binary`] in such a folder.
const OWN_BINARY: &str = "launchway";

/// A running installation.
pub struct Installation {
    folder: TempDir,
    running: Mutex<Option<Running>>,
    setup: Setup,
}

/// How an installation is started, where the usual way does not do.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// More options for `up`.
    pub options: Vec<String>,
    /// More variables for `up` and what it starts.
    pub environment: Vec<(String, String)>,
    /// Whether it runs a copy of the binary of its own, which an upgrade may replace.
    pub own_binary: bool,
    /// The folder in which its own is made; the system's temporary folder where absent.
    pub within: Option<PathBuf>,
}

/// What `up --json` prints.
#[derive(Debug, Clone, Deserialize)]
pub struct Summary {
    /// Where apps are reached.
    pub apps: String,
    /// Where the pages and the API are.
    pub api: String,
    /// The one-time login link.
    pub login: String,
}

struct Running {
    up: Child,
    summary: Summary,
}

/// What a command did.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code; -1 after a signal.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that it succeeded, and gives itself.
    ///
    /// # Panics
    /// It did not.
    pub fn ok(self, what: &str) -> Self {
        assert_eq!(
            self.code, 0,
            "{what} failed:\n{}{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Asserts that it failed with a code, and that its error names all of these; gives itself.
    ///
    /// # Panics
    /// It did not.
    pub fn refused(self, code: i32, names: &[&str]) -> Self {
        assert_eq!(
            self.code, code,
            "another exit code than expected:\n{}{}",
            self.stdout, self.stderr
        );
        // A report is broken into lines at a width; what it says is compared without them.
        let said = words(&self.stderr);
        for name in names {
            assert!(
                said.contains(&words(name)),
                "the error does not name `{name}`:\n{}",
                self.stderr
            );
        }
        self
    }

    /// The standard output as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}):\n{}{}", self.stdout, self.stderr))
    }
}

/// The words of a report, without its frame and line breaks.
fn words(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || "│╰╭├─▶·×".contains(c))
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

impl Installation {
    /// Starts one.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more options for `up`.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_as(Setup {
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Setup::default()
        })
    }

    /// Starts one in a way of its own.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start_as(setup: Setup) -> Self {
        sweep();
        let within = setup.within.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(within)
            .expect("a temporary folder");
        std::fs::write(folder.path().join(OWNER), std::process::id().to_string())
            .expect("our own folder");
        // Apps run as users of their own where Launchway is root, and must reach their trees.
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o711),
        )
        .expect("our own folder");
        if setup.own_binary {
            std::fs::copy(launchway(), folder.path().join(OWN_BINARY))
                .expect("room for a copy of the binary");
        }
        let installation = Self {
            folder,
            running: Mutex::new(None),
            setup,
        };
        installation.up(&["--port", "0", "--api-port", "0"]);
        installation
    }

    /// Starts `up` again, on the ports that it remembers.
    pub fn start_again(&self) {
        self.up(&[]);
    }

    fn up(&self, ports: &[&str]) {
        let mut command = Command::new(self.binary());
        command
            .args(["up", "--json", "--parent", &std::process::id().to_string()])
            .args(ports)
            .args(&self.setup.options)
            .envs(self.setup.environment.iter().cloned())
            .env("LAUNCHWAY_HOME", self.home())
            .env(
                "LAUNCHWAY_LOG",
                std::env::var("LAUNCHWAY_LOG").unwrap_or_else(|_| "info".to_owned()),
            )
            .env_remove("LAUNCHWAY_URL")
            .env_remove("LAUNCHWAY_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.log_file());
        let mut up = spawn(command);
        let mut line = String::new();
        let read =
            BufReader::new(up.stdout.as_mut().expect("a pipe was asked for")).read_line(&mut line);
        let summary = match (read, serde_json::from_str::<Summary>(&line)) {
            (Ok(_), Ok(summary)) => summary,
            _ => {
                let _ = up.kill();
                let _ = up.wait();
                panic!(
                    "`launchway up` did not come up; it said:\n{line}{}",
                    self.log()
                );
            }
        };
        *self.lock() = Some(Running { up, summary });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn log_file(&self) -> Stdio {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("up.log"));
        file.expect("a log in our own folder").into()
    }

    /// What `up`, control and proxy wrote to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    /// The binary that it runs.
    pub fn binary(&self) -> PathBuf {
        if self.setup.own_binary {
            self.folder.path().join(OWN_BINARY)
        } else {
            launchway().to_owned()
        }
    }

    /// The home.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// What `up` printed.
    ///
    /// # Panics
    /// It was stopped.
    pub fn summary(&self) -> Summary {
        self.lock()
            .as_ref()
            .expect("the installation runs")
            .summary
            .clone()
    }

    /// Where the proxy listens.
    pub fn proxy(&self) -> SocketAddr {
        address(&self.summary().apps)
    }

    /// Where the pages and the API are.
    pub fn api(&self) -> SocketAddr {
        address(&self.summary().api)
    }

    /// The token of `client.json`.
    ///
    /// # Panics
    /// There is none.
    pub fn token(&self) -> String {
        let text = std::fs::read_to_string(self.home().join("client.json"))
            .expect("control wrote client.json");
        let file: launchway_model::api::ClientFile =
            serde_json::from_str(&text).expect("client.json is JSON");
        file.token
    }

    /// The process id of `up`.
    pub fn pid(&self) -> i32 {
        self.lock()
            .as_ref()
            .map_or(0, |running| running.up.id().cast_signed())
    }

    /// The process of a role; there is one.
    pub fn role(&self, role: &str) -> i32 {
        crate::until_some(&format!("{role} runs"), || {
            processes::of_role(role, &self.home())
                .first()
                .map(|process| process.pid)
        })
    }

    /// Runs a command of the binary.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_in(Path::new("/"), arguments)
    }

    /// Runs a command of the binary in a folder.
    ///
    /// # Panics
    /// The binary cannot be started.
    pub fn run_in(&self, folder: &Path, arguments: &[&str]) -> Ran {
        let output = self
            .command(folder, arguments)
            .output()
            .expect("the binary can be started");
        Ran::of(output)
    }

    /// A command of the binary, to be started.
    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary());
        command
            .args(arguments)
            .current_dir(folder)
            .env("LAUNCHWAY_HOME", self.home())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env_remove("LAUNCHWAY_URL")
            .env_remove("LAUNCHWAY_TOKEN")
            .stdin(Stdio::null());
        command
    }

    /// `launchway deploy` of a repository, which must succeed.
    pub fn deploy(&self, repository: &crate::Repository) -> Ran {
        self.run_in(repository.path(), &["deploy"]).ok("the deploy")
    }

    /// `GET` of an app's path through the proxy.
    ///
    /// # Panics
    /// There is no answer at all.
    pub fn get(&self, app: &str, path: &str) -> Answer {
        http::get(self.proxy(), &host(app), path)
            .unwrap_or_else(|error| panic!("{app}{path}: {error}\n{}", self.log()))
    }

    /// Asks `up` to stop and waits for its end; gives its exit code.
    pub fn stop(&self) -> i32 {
        let Some(mut running) = self.lock().take() else {
            return 0;
        };
        processes::terminate(running.up.id().cast_signed());
        until("`launchway up` stops", || {
            matches!(running.up.try_wait(), Ok(Some(_)))
        });
        running
            .up
            .wait()
            .ok()
            .and_then(|status| status.code())
            .unwrap_or(-1)
    }

    /// Kills `up` itself and waits until its children are gone as well.
    pub fn kill(&self) {
        let Some(mut running) = self.lock().take() else {
            return;
        };
        let _ = running.up.kill();
        let _ = running.up.wait();
        until("control and proxy end with `up`", || {
            processes::of_role("control", &self.home()).is_empty()
                && processes::of_role("proxy", &self.home()).is_empty()
        });
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            #[expect(
                clippy::print_stderr,
                reason = "a failed test shows what the platform said"
            )]
            for line in tail.into_iter().rev() {
                eprintln!("up: {line}");
            }
        }
        self.stop();
        // What a killed `up` left: shims and runners of this home alone, by their ids.
        for role in ["shim", "runner", "control", "proxy"] {
            for process in processes::of_role(role, &self.home()) {
                processes::kill(process.pid);
            }
        }
    }
}

/// Removes the folders of test processes that are gone: an installation that several tests share is never dropped, and
/// a killed test drops nothing.
fn sweep() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        for entry in std::fs::read_dir(std::env::temp_dir())
            .into_iter()
            .flatten()
            .flatten()
        {
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            let owner = std::fs::read_to_string(entry.path().join(OWNER))
                .ok()
                .and_then(|owner| owner.parse().ok());
            let home = entry.path().join("home");
            let used = ["control", "proxy", "shim", "runner"]
                .iter()
                .any(|role| !processes::of_role(role, &home).is_empty());
            if owner.is_some_and(|owner| !processes::lives(owner)) && !used {
                // Another test process may be at the same work.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    });
}

/// The host name of an app.
pub fn host(app: &str) -> String {
    format!("{app}.localhost")
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .unwrap_or_else(|error| panic!("`{url}`: {error}"))
}

/// Starts a process from a thread that lives as long as the tests do. `up --parent` ends when the thread that started it
/// does; the thread of a single test would be too short-lived for an installation that several tests share.
fn spawn(command: Command) -> Child {
    type Job = (Command, mpsc::Sender<std::io::Result<Child>>);
    static STARTER: Mutex<Option<mpsc::Sender<Job>>> = Mutex::new(None);
    let mut starter = STARTER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let jobs = starter.get_or_insert_with(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, started) = mpsc::channel();
    jobs.send((command, answer))
        .expect("the starting thread lives");
    started
        .recv()
        .expect("the starting thread answers")
        .expect("the binary can be started")
}
