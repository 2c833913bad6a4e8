//! What a control is started with.

use std::path::PathBuf;
use std::time::Duration;

use launchway_model::home::Home;

use crate::monitoring::MonitoringSettings;

/// All that a [`crate::Control`] is told from outside; nothing is read from the environment later.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the installation.
    pub home: Home,
    /// The binary whose roles `shim` and `runner` are started: `BINARY shim FOLDER`.
    pub binary: PathBuf,
    /// The base address of the API and the pages, without a slash at its end: `http://127.0.0.1:4321`.
    pub url: String,
    /// How many builds run at once on this machine; 0 leaves all of them to agents.
    pub builds: usize,
    /// The address that agents connect to, where there is a listener for them: `https://127.0.0.1:7071`.
    pub agents_url: Option<String>,
    /// How long an agent that builds may be silent before its build is given up.
    pub agent_deadline: Duration,
    /// How many stages of one build may run side by side.
    pub build_stages: u32,
    /// The longest that one build may take.
    pub build_timeout: Duration,
    /// The memory cap of one build in bytes, where the host can set one; three quarters of the machine's by default, so
    /// that what serves keeps the rest.
    pub build_memory: Option<u64>,
    /// Whether instances are kept apart from each other and from Launchway's own files, where the machine allows it.
    pub isolate: bool,
    /// Files and folders outside the app's own that every app may read, though they lie where people's and temporary files
    /// are hidden from apps.
    pub visible: Vec<PathBuf>,
    /// The ports that instances are given, first and last.
    pub ports: (u16, u16),
    /// How long a deploy waits for the proxy to take its table.
    pub proxy_timeout: Duration,
    /// How long a new release is watched after its switch, to be rolled back where it clearly does worse than the one
    /// before; not at all where absent.
    pub verify: Option<Duration>,
    /// How often the advisories are fetched anew, once they were fetched for the first time; never where absent.
    pub advisories_every: Option<Duration>,
    /// Whether the end of control stops all instances (true for `launchway up --stop`, false for a service).
    pub stop_instances_on_shutdown: bool,
    /// How many finished builds of an app are kept, beside those that a rollback needs.
    pub keep_builds: usize,
    /// How many superseded releases of an app keep their tree for a rollback.
    pub keep_releases: usize,
    /// How many bytes of finished builds' folders are kept in all, beside those that a rollback needs.
    pub build_bytes: u64,
    /// What everything else that grows is kept within.
    pub budgets: Budgets,
    /// The mail server by which pipelines send mails: `smtps://USER:PASSWORD@HOST`, `smtp://HOST:25`.
    pub mail_server: Option<String>,
    /// The sender of those mails.
    pub mail_from: String,
    /// The incoming webhook by which pipelines tell a chat.
    pub chat_webhook: Option<String>,
    /// The size at which an instance's log is rotated, in bytes.
    pub log_bytes: u64,
    /// How many rotated log files of an instance are kept.
    pub log_files: u32,
    /// How the monitor behaves.
    pub monitoring: MonitoringSettings,
}

/// What each growth is kept within, in bytes. Nothing that a rollback needs, and nothing that an app wrote, is removed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// The build cache of an app.
    pub cache_bytes: u64,
    /// The logs of ended instances of an app.
    pub log_bytes: u64,
    /// The mirror of an app's repository: packed when it is larger.
    pub repository_bytes: u64,
    /// What is held in reserve on the disk, to be given up when it is full; at most a sixty-fourth of the disk.
    pub reserve_bytes: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            cache_bytes: 2 << 30,
            log_bytes: 200 << 20,
            repository_bytes: 512 << 20,
            reserve_bytes: 16 << 20,
        }
    }
}

impl Settings {
    /// The settings of one installation with the defaults for everything else.
    pub fn new(
        home: impl Into<PathBuf>,
        binary: impl Into<PathBuf>,
        url: impl Into<String>,
    ) -> Self {
        Self {
            home: Home::new(home),
            binary: binary.into(),
            url: url.into(),
            builds: 2,
            agents_url: None,
            agent_deadline: Duration::from_secs(300),
            build_stages: 4,
            build_timeout: Duration::from_secs(3600),
            build_memory: three_quarters_of_memory(),
            isolate: true,
            visible: Vec::new(),
            ports: (20_000, 29_999),
            proxy_timeout: Duration::from_secs(15),
            verify: Some(Duration::from_secs(120)),
            advisories_every: None,
            stop_instances_on_shutdown: false,
            keep_builds: 50,
            keep_releases: 10,
            build_bytes: 2 << 30,
            budgets: Budgets::default(),
            mail_server: None,
            mail_from: "Launchway <launchway@localhost>".to_owned(),
            chat_webhook: None,
            log_bytes: 10 << 20,
            log_files: 3,
            monitoring: MonitoringSettings::default(),
        }
    }
}

fn three_quarters_of_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024 / 4 * 3)
}
