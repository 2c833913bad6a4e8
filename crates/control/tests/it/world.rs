//! One installation for one test: a home, control, a proxy of the test's own that speaks the protocol, repositories.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use launchway_control::{Control, Settings, builds, deploys, oneoff, progress, source};
use launchway_model::api::{
    ChangeAccepted, DeployAccepted, DeployRequest, Progress, RunOutput, RunRequest,
};
use launchway_model::app::{AppSpec, CommandSpec, HealthSpec, ProcessSpec};
use launchway_model::instance::TargetAddress;
use launchway_model::route::{Backend, ProxyReply, ProxyRequest, ProxyStats, RouteTable, Target};
use launchway_model::{AppName, BuildId, Problem, ProcessType, ReleaseNumber};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// As long as anything may take on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) settings: Settings,
    pub(crate) control: Arc<Control>,
    pub(crate) proxy: Proxy,
    cancel: CancellationToken,
    running: Option<JoinHandle<Result<(), Problem>>>,
}

/// How a deploy went, seen through its progress.
pub(crate) struct Outcome {
    pub(crate) events: Vec<Progress>,
    pub(crate) problem: Option<Problem>,
    pub(crate) serving: Option<ReleaseNumber>,
}

pub(crate) fn name(text: &str) -> AppName {
    text.parse().unwrap()
}

pub(crate) fn process(text: &str) -> ProcessType {
    text.parse().unwrap()
}

/// The binary with the roles, which `cargo test` builds beside the tests.
pub(crate) fn roles() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let roles = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/roles");
    assert!(
        roles.exists(),
        "{} is built by `cargo test -p launchway-control`",
        roles.display()
    );
    roles
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(folder.path().join("home"), roles(), "http://127.0.0.1:1");
        // Tests run beside each other: a range each, below the ephemeral ports.
        let slot = u16::try_from(std::process::id() % 40).unwrap();
        settings.ports = (10_000 + slot * 400, 10_000 + slot * 400 + 399);
        settings.proxy_timeout = Duration::from_secs(20);
        change(&mut settings);
        let control = Control::open(settings.clone()).await.unwrap();
        let proxy = Proxy::start(settings.home.proxy());
        let mut world = Self {
            folder,
            settings,
            control,
            proxy,
            cancel: CancellationToken::new(),
            running: None,
        };
        world.run();
        world
    }

    fn run(&mut self) {
        let (control, cancel) = (self.control.clone(), self.cancel.clone());
        self.running = Some(tokio::spawn(async move { control.run(cancel).await }));
    }

    /// Ends control and starts another one in the same home, as an upgrade or a crash does.
    pub(crate) async fn restart_control(&mut self) {
        self.end_control().await;
        self.open_again().await;
    }

    pub(crate) async fn end_control(&mut self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.running.take().unwrap()).await;
        ended.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn open_again(&mut self) {
        // The lock goes with the last user of the old control.
        let settings = self.settings.clone();
        // Something must take its place while the old one is dropped.
        let placeholder = tempfile::tempdir().unwrap();
        let other = Settings::new(
            placeholder.path().join("home"),
            roles(),
            "http://127.0.0.1:1",
        );
        drop(std::mem::replace(
            &mut self.control,
            Control::open(other).await.unwrap(),
        ));
        self.control = until("the old control is dropped", async || {
            Control::open(settings.clone()).await.ok()
        })
        .await;
        self.cancel = CancellationToken::new();
        self.run();
    }

    pub(crate) fn repository(&self, name: &str) -> Repository {
        Repository::new(self.folder.path().join(name))
    }

    pub(crate) async fn request(&self, repository: &Repository) -> Result<DeployAccepted, Problem> {
        let request = DeployRequest {
            source: Some(repository.folder.to_str().unwrap().to_owned()),
            branch: None,
            commit: None,
        };
        source::deploy(&self.control, None, request, "deploy").await
    }

    /// Deploys the newest commit and waits for the end.
    pub(crate) async fn deploy(&self, repository: &Repository) -> Outcome {
        let accepted = self.request(repository).await.unwrap();
        self.outcome(accepted.build).await
    }

    pub(crate) async fn outcome(&self, build: BuildId) -> Outcome {
        collect(progress::of_build(&self.control, build).await.unwrap()).await
    }

    /// Waits for the deploy of a change.
    pub(crate) async fn changed(&self, accepted: Result<ChangeAccepted, Problem>) -> Outcome {
        let deploy = accepted.unwrap().deploy.unwrap();
        collect(progress::of_deploy(&self.control, deploy).await.unwrap()).await
    }

    /// What the app's route answers with now, through the targets that the proxy was told.
    pub(crate) async fn get(&self, app: &str, path: &str) -> Result<String, String> {
        let targets = self.proxy.targets(app);
        let Some(target) = targets.first() else {
            return Err("no target".to_owned());
        };
        let TargetAddress::Tcp(address) = target.address else {
            panic!("{target:?}")
        };
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || fetch(address, &path))
            .await
            .unwrap()
    }

    pub(crate) async fn instances(&self, app: &str) -> Vec<launchway_model::instance::Instance> {
        launchway_control::formation::instances(&self.control, &name(app))
            .await
            .unwrap()
    }

    /// The same, before the app is there.
    pub(crate) async fn instances_or_none(
        &self,
        app: &str,
    ) -> Vec<launchway_model::instance::Instance> {
        launchway_control::formation::instances(&self.control, &name(app))
            .await
            .unwrap_or_default()
    }

    /// The app's own log lines of all its instances.
    pub(crate) fn log_files(&self, app: &str) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.settings.home.app_logs(&name(app)))
            .unwrap()
            .flatten()
        {
            text += &std::fs::read_to_string(entry.path()).unwrap_or_default();
        }
        text
    }

    /// The processes whose environment names this home and this app: the app's, wherever they went.
    pub(crate) fn processes(&self, app: &str) -> Vec<u32> {
        let home = format!("HOME={}", self.settings.home.app_home(&name(app)).display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let env = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if env
                .split(|byte| *byte == 0)
                .any(|variable| variable == home.as_bytes())
            {
                found.push(pid);
            }
        }
        found
    }

    /// The pid of an instance's shim.
    pub(crate) fn shim_pid(&self, instance: &launchway_model::InstanceId) -> i32 {
        let state =
            std::fs::read(self.settings.home.instance(instance).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        i32::try_from(state["shim_pid"].as_i64().unwrap()).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cancel.cancel();
        // An app never outlives its shim.
        let Ok(instances) = std::fs::read_dir(self.settings.home.instances()) else {
            return;
        };
        for instance in instances.flatten() {
            let Ok(state) = std::fs::read(instance.path().join("state.json")) else {
                continue;
            };
            let Ok(state) = serde_json::from_slice::<serde_json::Value>(&state) else {
                continue;
            };
            let cmdline =
                |pid: i64| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if let Some(pid) = state["shim_pid"].as_i64()
                && String::from_utf8_lossy(&cmdline(pid))
                    .contains(&*instance.path().to_string_lossy())
                && let Some(pid) = i32::try_from(pid)
                    .ok()
                    .and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn succeeded(&self) {
        assert!(
            self.problem.is_none(),
            "{:#?}\n{:#?}",
            self.problem,
            self.events
        );
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> &Problem {
        self.problem
            .as_ref()
            .unwrap_or_else(|| panic!("it succeeded: {:#?}", self.events))
    }

    pub(crate) fn phases(&self) -> Vec<launchway_model::deploy::DeployPhase> {
        let phase = |event: &Progress| match event {
            Progress::Phase { phase, .. } => Some(*phase),
            _ => None,
        };
        self.events.iter().filter_map(phase).collect()
    }
}

async fn collect(mut progress: mpsc::Receiver<Progress>) -> Outcome {
    let mut events = Vec::new();
    loop {
        let event = tokio::time::timeout(PATIENCE, progress.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("no end after {events:#?}"));
        let event = event.unwrap_or_else(|| panic!("no end in {events:#?}"));
        if let Progress::Finished {
            problem, serving, ..
        } = &event
        {
            let (problem, serving) = (problem.clone(), *serving);
            events.push(event);
            return Outcome {
                events,
                problem,
                serving,
            };
        }
        events.push(event);
    }
}

/// Tries until there is something, at most for [`PATIENCE`].
pub(crate) async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn fetch(address: SocketAddr, path: &str) -> Result<String, String> {
    let exchange = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        write!(
            connection,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(answer),
    }
}

/// A git repository of a test's own.
pub(crate) struct Repository {
    pub(crate) folder: PathBuf,
}

impl Repository {
    fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let this = Self { folder };
        this.git(&["init", "--quiet", "--initial-branch=main"]);
        this
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.folder)
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits a version of the test app.
    pub(crate) fn version(&self, text: &str, spec: &AppSpec) -> String {
        self.write("version", text)
            .write("spec.json", &serde_json::to_string(spec).unwrap());
        self.commit(text)
    }
}

/// The test app in a mode, checked by HTTP.
pub(crate) fn spec(mode: &str) -> AppSpec {
    command(&format!("exec {} app {mode}", roles().display()))
}

/// An app with any web command.
pub(crate) fn command(line: &str) -> AppSpec {
    let mut web = ProcessSpec::new(line);
    web.grace_ms = 2000;
    AppSpec {
        processes: BTreeMap::from([(ProcessType::web(), web)]),
        health: HealthSpec {
            path: Some("/".to_owned()),
            interval_ms: 200,
            start_ms: 20_000,
            timeout_ms: 10_000,
            ..HealthSpec::default()
        },
        ..AppSpec::default()
    }
}

/// A release command.
pub(crate) fn release(mut spec: AppSpec, line: &str) -> AppSpec {
    spec.release = Some(CommandSpec {
        command: line.to_owned(),
        timeout_ms: 10_000,
    });
    spec
}

/// The proxy's side of the protocol.
pub(crate) struct Proxy {
    state: Arc<Mutex<ProxyState>>,
    folder: PathBuf,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct ProxyState {
    table: RouteTable,
    tables: Vec<RouteTable>,
    refuse: bool,
    stats: ProxyStats,
    connections: Vec<JoinHandle<()>>,
}

impl Proxy {
    fn start(folder: PathBuf) -> Self {
        let mut proxy = Self {
            state: Arc::default(),
            folder,
            accepting: None,
        };
        proxy.listen();
        proxy
    }

    /// Listens again after [`Self::kill`], with the table that it had.
    pub(crate) fn listen(&mut self) {
        let socket = self.folder.join("control.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = bind(&socket);
        let state = self.state.clone();
        self.accepting = Some(tokio::spawn(async move {
            loop {
                let Ok((connection, _)) = listener.accept().await else {
                    continue;
                };
                let serving = tokio::spawn(serve(connection, state.clone()));
                state.lock().unwrap().connections.push(serving);
            }
        }));
    }

    /// Ends as a killed process does.
    pub(crate) fn kill(&mut self) {
        self.accepting.take().unwrap().abort();
        let connections = std::mem::take(&mut self.state.lock().unwrap().connections);
        for connection in connections {
            connection.abort();
        }
        let _ = std::fs::remove_file(self.folder.join("control.sock"));
    }

    /// Whether it refuses every table from now on.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.state.lock().unwrap().refuse = refuse;
    }

    /// The counters that it answers with from now on.
    pub(crate) fn count(&self, stats: ProxyStats) {
        self.state.lock().unwrap().stats = stats;
    }

    pub(crate) fn table(&self) -> RouteTable {
        self.state.lock().unwrap().table.clone()
    }

    /// All tables that it ever took.
    pub(crate) fn tables(&self) -> Vec<RouteTable> {
        self.state.lock().unwrap().tables.clone()
    }

    pub(crate) fn backend(&self, app: &str) -> Option<Backend> {
        self.table()
            .routes
            .into_iter()
            .find(|route| route.app.as_str() == app)
            .map(|route| route.backend)
    }

    pub(crate) fn targets(&self, app: &str) -> Vec<Target> {
        match self.backend(app) {
            Some(Backend::Instances { targets }) => targets,
            _ => Vec::new(),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.kill();
        }
    }
}

fn bind(socket: &Path) -> UnixListener {
    UnixListener::bind(socket).unwrap()
}

async fn serve(connection: tokio::net::UnixStream, state: Arc<Mutex<ProxyState>>) {
    let (reader, mut writer) = connection.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match serde_json::from_str(&line).unwrap() {
            ProxyRequest::Hello { .. } => ProxyReply::Hello {
                protocol: launchway_model::PROTOCOL,
                pid: std::process::id(),
                listen: vec!["127.0.0.1:8080".parse().unwrap()],
                table: state.lock().unwrap().table.number,
            },
            ProxyRequest::Apply { table } => {
                let mut state = state.lock().unwrap();
                if state.refuse {
                    ProxyReply::Refused {
                        reason: "it is told to refuse".to_owned(),
                    }
                } else {
                    assert!(
                        table.number > state.table.number,
                        "{} after {}",
                        table.number,
                        state.table.number
                    );
                    state.tables.push(table.clone());
                    state.table = table;
                    ProxyReply::Applied {
                        number: state.table.number,
                    }
                }
            }
            ProxyRequest::Drain { .. } => ProxyReply::Drained { cut: Vec::new() },
            ProxyRequest::Stats => ProxyReply::Stats(state.lock().unwrap().stats.clone()),
        };
        let mut text = serde_json::to_vec(&reply).unwrap();
        text.push(b'\n');
        if writer.write_all(&text).await.is_err() {
            return;
        }
    }
}

/// The state of the newest deploy of an app.
pub(crate) async fn newest_deploy(world: &World, app: &str) -> launchway_model::deploy::Deploy {
    deploys::list(&world.control, &name(app), 1)
        .await
        .unwrap()
        .remove(0)
}

/// The state of the newest build of an app.
pub(crate) async fn newest_build(world: &World, app: &str) -> launchway_model::build::Build {
    builds::list(&world.control, Some(&name(app)), 1)
        .await
        .unwrap()
        .remove(0)
}

/// Runs a shell line in an app, and gives its exit code and output.
pub(crate) async fn run(world: &World, app: &str, line: &str) -> (i32, String) {
    let request = RunRequest {
        command: vec![line.to_owned()],
        detach: false,
        terminal: None,
    };
    let mut output = oneoff::run(&world.control, &name(app), request)
        .await
        .unwrap();
    let mut text = String::new();
    loop {
        match tokio::time::timeout(PATIENCE, output.recv())
            .await
            .unwrap()
            .unwrap()
        {
            RunOutput::Line { text: line, .. } => text += &format!("{line}\n"),
            RunOutput::Detached { .. } => unreachable!("it is not detached"),
            RunOutput::Exited { code } => return (code, text),
        }
    }
}
