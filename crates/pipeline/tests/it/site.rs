//! A repository, its mirror, and the folders that control gives a runner.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use launchway_model::build::{BuildResult, StageId, StageInfo};
use launchway_model::credential::{BoundCredential, RunnerSecrets};
use launchway_model::runner::{CANCEL_FILE, JOB_FILE, RunnerEvent, RunnerEventKind, RunnerJob};
use launchway_model::trigger::Origin;
use launchway_model::{BuildId, PROTOCOL, Problem};
use launchway_pipeline::spool::{EventReader, LogReader};

/// Tells the re-executed test program which build to run.
pub(crate) const RUNNER_FOLDER: &str = "LAUNCHWAY_TEST_RUNNER_FOLDER";

/// The longest that any build of these tests may take; far more than it does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Site {
    pub(crate) root: tempfile::TempDir,
    commit: String,
    builds: u64,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) description: Option<String>,
    pub(crate) timeout_ms: u64,
    pub(crate) parallel: u32,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) credentials: Vec<BoundCredential>,
    pub(crate) origin: Origin,
    pub(crate) cause: String,
}

impl Site {
    /// A repository with these files in one commit.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        git(root.path(), &["init", "-q", "-b", "main", "work"]);
        let mut site = Self {
            root,
            commit: String::new(),
            builds: 0,
            env: BTreeMap::new(),
            description: None,
            timeout_ms: 60_000,
            parallel: 4,
            memory_bytes: None,
            credentials: Vec::new(),
            origin: Origin::default(),
            cause: "push".to_owned(),
        };
        site.commit(files);
        site
    }

    /// A repository with this launchway.toml and nothing to serve but a process that is never started here.
    pub(crate) fn toml(toml: &str) -> Self {
        Self::new(&[("launchway.toml", &format!("process.web = \"true\"\n{toml}"))])
    }

    /// Adds files as another commit.
    pub(crate) fn commit(&mut self, files: &[(&str, &str)]) {
        let work = self.root.path().join("work");
        for (path, text) in files {
            let path = work.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        git(&work, &["add", "-A"]);
        git(
            &work,
            &[
                "-c",
                "user.name=T",
                "-c",
                "user.email=t@example.org",
                "commit",
                "-q",
                "-m",
                "x",
            ],
        );
        self.commit = git(&work, &["rev-parse", "HEAD"]).trim().to_owned();
        let mirror = self.root.path().join("mirror.git");
        if mirror.exists() {
            git(&mirror, &["fetch", "-q", "--prune", "origin"]);
        } else {
            git(
                self.root.path(),
                &["clone", "-q", "--mirror", "work", "mirror.git"],
            );
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn job(&mut self) -> RunnerJob {
        self.builds += 1;
        let number = self.builds;
        RunnerJob {
            sandbox: None,
            user: None,
            parameters: Default::default(),
            protocol: PROTOCOL,
            build: BuildId(number),
            app: "shop".parse().unwrap(),
            repository: self.path("mirror.git"),
            commit: self.commit.clone(),
            branch: Some("main".to_owned()),
            folder: self.path(&format!("builds/{number}")),
            tree: self.path(&format!("releases/{number}")),
            home: self.path("home"),
            cache: self.path("cache"),
            persist: self.path("persist"),
            description: self.description.clone(),
            env: self.env.clone(),
            secrets: false,
            origin: self.origin.clone(),
            cause: self.cause.clone(),
            timeout_ms: self.timeout_ms,
            memory_bytes: self.memory_bytes,
            parallel: self.parallel,
            scanner: None,
        }
    }

    /// Starts a build.
    pub(crate) fn start(&mut self) -> Running {
        let job = self.job();
        self.start_job(job)
    }

    pub(crate) fn start_job(&mut self, mut job: RunnerJob) -> Running {
        fs::create_dir_all(&job.folder).unwrap();
        let mut input = Stdio::null();
        if !self.credentials.is_empty() {
            // As control does it: what is secret comes by standard input alone.
            job.secrets = true;
            let secrets = RunnerSecrets {
                env: std::mem::take(&mut job.env),
                credentials: self.credentials.clone(),
            };
            input = launchway_pipeline::runner::secrets_file(&secrets)
                .unwrap()
                .into();
        }
        fs::write(job.folder.join(JOB_FILE), serde_json::to_vec(&job).unwrap()).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "runner_process", "--nocapture"])
            .env(RUNNER_FOLDER, &job.folder)
            .stdin(input)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Running {
            events: EventReader::new(&job.folder, 0),
            child,
            seen: Vec::new(),
            job,
        }
    }

    /// Runs a build to its end.
    pub(crate) fn build(&mut self) -> Built {
        self.start().finish()
    }
}

pub(crate) struct Running {
    pub(crate) job: RunnerJob,
    pub(crate) child: Child,
    events: EventReader,
    pub(crate) seen: Vec<RunnerEvent>,
}

impl Running {
    /// Waits until something holds of the events so far.
    pub(crate) fn wait_for(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            self.seen.extend(self.events.read().unwrap());
            if holds(self) {
                return;
            }
            assert!(Instant::now() < until, "waited for {what}: {:?}", self.seen);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn wait_for_line(&mut self, stage: u32, text: &str) {
        self.wait_for(text, |running| {
            running.log(stage).iter().any(|line| line == text)
        });
    }

    pub(crate) fn log(&self, stage: u32) -> Vec<String> {
        log(&self.job.folder, stage)
    }

    pub(crate) fn cancel(&self, reason: &str) {
        fs::write(self.job.folder.join(CANCEL_FILE), reason).unwrap();
    }

    pub(crate) fn finish(mut self) -> Built {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success());
                break;
            }
            assert!(
                Instant::now() < until,
                "the runner goes on: {:?}",
                self.seen
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        self.seen.extend(self.events.read().unwrap());
        for (at, event) in self.seen.iter().enumerate() {
            assert_eq!(event.seq, at as u64);
        }
        Built {
            job: self.job,
            events: self.seen,
        }
    }
}

pub(crate) struct Built {
    pub(crate) job: RunnerJob,
    pub(crate) events: Vec<RunnerEvent>,
}

impl Built {
    pub(crate) fn result(&self) -> BuildResult {
        self.end().0
    }

    pub(crate) fn problem(&self) -> Problem {
        self.end().1.expect("a problem")
    }

    fn end(&self) -> (BuildResult, Option<Problem>) {
        match &self.events.last().unwrap().kind {
            RunnerEventKind::Finished { result, problem } => (*result, problem.clone()),
            other => panic!("the last event is {other:?}"),
        }
    }

    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.result(), BuildResult::Success, "{:?}", self.end().1);
        self
    }

    pub(crate) fn stages(&self) -> Vec<StageInfo> {
        let planned = self.events.iter().find_map(|event| match &event.kind {
            RunnerEventKind::Planned { stages, .. } => Some(stages.clone()),
            _ => None,
        });
        planned.expect("a plan")
    }

    /// The result of each stage, by its name.
    pub(crate) fn results(&self) -> Vec<(String, BuildResult)> {
        self.stages()
            .into_iter()
            .filter_map(|stage| Some((stage.name, self.stage_result(stage.id)?)))
            .collect()
    }

    fn stage_result(&self, id: StageId) -> Option<BuildResult> {
        self.events.iter().find_map(|event| match &event.kind {
            RunnerEventKind::StageFinished { stage, result } if *stage == id => Some(*result),
            _ => None,
        })
    }

    pub(crate) fn log(&self, stage: u32) -> Vec<String> {
        log(&self.job.folder, stage)
    }

    pub(crate) fn tree(&self, path: &str) -> PathBuf {
        self.job.tree.join(path)
    }
}

fn log(folder: &Path, stage: u32) -> Vec<String> {
    let mut reader = LogReader::new(folder, StageId(stage), 0);
    let mut lines = Vec::new();
    loop {
        let more = reader.read().unwrap();
        if more.is_empty() {
            return lines;
        }
        lines.extend(more.into_iter().map(|line| line.text.into_owned()));
    }
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a process lives.
pub(crate) fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| {
        !stat
            .rsplit_once(')')
            .unwrap()
            .1
            .trim_start()
            .starts_with('Z')
    })
}
