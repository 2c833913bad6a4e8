//! `launchway pipeline run`: one build by a runner of its own, over the working copy as it is.
//!
//! What is not committed is built too; nothing of the working copy, its index or its branches changes.

mod answers;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use launchway_model::api::Progress;
use launchway_model::build::{BuildResult, StageId, StageInfo};
use launchway_model::runner::{JOB_FILE, RunnerEventKind, RunnerJob, ScannerJob};
use launchway_model::{Problem, ProblemKind};
use launchway_pipeline::local;
use launchway_pipeline::spool::{EventReader, LogReader};

use self::answers::Inputs;
use crate::cli::Context;
use crate::progress::View;

/// How often the spool is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Run the stages on this machine, over the files as they are, committed or not.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The Jenkinsfile or launchway.toml; the folder's own where none is named
    file: Option<PathBuf>,
    /// Set a variable for the stages' commands; a parameter of the Jenkinsfile too
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// The advisories for steps that scan dependencies [default: advisories/ in the installation's folder]
    #[arg(long, value_name = "PATH")]
    db: Option<PathBuf>,
    /// Show the last lines of stages that fail alone, not every line
    #[arg(short, long)]
    quiet: bool,
    /// Say yes to every input, with its fields as they stand
    #[arg(short, long)]
    yes: bool,
    /// Keep the build's folder (tree, logs, reports, artifacts) and print where it is
    #[arg(short, long)]
    keep: bool,
}

/// Runs the command.
pub(super) fn run(context: &Context, args: Run) -> anyhow::Result<ExitCode> {
    let file = super::chosen(args.file)?;
    let name = super::name_of(&file);
    let text = super::read(&file)?;
    launchway_pipeline::describe::check(&name, &text).map_err(|error| error.to_problem())?;
    let place = Place::make()?;
    let advisories = match args.db {
        Some(folder) => std::path::absolute(folder)?,
        None => context.settings()?.home().advisories(),
    };
    let job = job(&place.folder, &name, &text, &args.env, advisories)?;
    let build = job.folder.clone();
    std::fs::write(build.join(JOB_FILE), serde_json::to_vec(&job)?)?;
    let runner = Runner::start(&build)?;
    let mut follow = Follow::new(context, &build, !args.quiet, job.description.is_some());
    if args.yes {
        follow.inputs = Inputs::Yes;
    }
    let ended = follow.until_it_ends(runner);
    if args.keep {
        let kept = place.keep();
        context.output.note(format!("kept in {}", kept.display()));
    }
    match ended? {
        (BuildResult::Success, _) => Ok(ExitCode::SUCCESS),
        (_, Some(problem)) => Err(problem.into()),
        (result, None) => Err(Problem::failed(format!("the build ended as {result:?}")).into()),
    }
}

/// A temporary folder, removed at the end.
struct Place {
    folder: PathBuf,
    kept: bool,
}

impl Place {
    fn make() -> anyhow::Result<Self> {
        let name = format!("launchway-pipeline-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self {
            folder,
            kept: false,
        })
    }

    fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.folder.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed lies in the system's temporary folder, which is swept anyway.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The job: the working copy with the file that was chosen, and the variables that were given.
fn job(
    place: &Path,
    name: &str,
    text: &str,
    given: &[String],
    advisories: PathBuf,
) -> anyhow::Result<RunnerJob> {
    let folder = std::env::current_dir()?;
    let mut job = local::job(&folder, place, &cache(), Some((name, text)))?;
    job.scanner = Some(ScannerJob {
        binary: std::env::current_exe().context("cannot tell where this binary lies")?,
        advisories,
    });
    for variable in given {
        let Some((name, value)) = variable
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
        else {
            return Err(Problem::invalid(format!("`{variable}` is no variable"))
                .hint("Write `--env NAME=VALUE`.")
                .into());
        };
        job.env.insert(name.to_owned(), value.to_owned());
    }
    // A pipeline needs no application: where the files name none, the folder's files stand in for one.
    if launchway_pipeline::read(&folder, None).is_err() {
        job.description = Some("static = \".\"\ninstall = false\n".to_owned());
    }
    for folder in [&job.folder, &job.home, &job.cache, &job.persist] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(job)
}

/// Where what was installed is kept for the next time, as the XDG base directories have it.
fn cache() -> PathBuf {
    let below_home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(below_home)
        .unwrap_or_else(std::env::temp_dir)
        .join("launchway/pipeline")
}

/// The runner's process; killed with all that it started where we end before it.
struct Runner(Child);

impl Runner {
    fn start(build: &Path) -> anyhow::Result<Self> {
        let binary = std::env::current_exe()?;
        let log = std::fs::File::create(build.join("runner.log"))?;
        let child = Command::new(binary)
            .arg("runner")
            .arg(build)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the runner")?;
        Ok(Self(child))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What of the spool was shown.
struct Follow {
    view: View,
    build: PathBuf,
    events: EventReader,
    stages: Vec<StageInfo>,
    logs: Vec<(StageId, LogReader, Timestamp)>,
    started: Option<Timestamp>,
    /// Whether the folder runs nothing itself, so that what stands in for an application is not shown.
    pipeline_alone: bool,
    inputs: Inputs,
}

impl Follow {
    fn new(context: &Context, build: &Path, all_logs: bool, pipeline_alone: bool) -> Self {
        Self {
            view: View::new(context.output, all_logs),
            build: build.to_path_buf(),
            events: EventReader::new(build, 0),
            stages: Vec::new(),
            logs: Vec::new(),
            started: None,
            pipeline_alone,
            inputs: Inputs::Ask,
        }
    }

    fn until_it_ends(
        &mut self,
        mut runner: Runner,
    ) -> anyhow::Result<(BuildResult, Option<Problem>)> {
        loop {
            // Asked before the spool is read: what the runner wrote last is then read too.
            let ended = runner.0.try_wait()?;
            if let Some(end) = self.look()? {
                runner.0.wait()?;
                return Ok(end);
            }
            if let Some(status) = ended {
                let said =
                    std::fs::read_to_string(self.build.join("runner.log")).unwrap_or_default();
                return Err(Problem::new(
                    ProblemKind::Internal,
                    format!("the runner ended without a result ({status})"),
                )
                .output(said.lines().map(str::to_owned).collect())
                .into());
            }
            std::thread::sleep(LOOK);
        }
    }

    fn look(&mut self) -> anyhow::Result<Option<(BuildResult, Option<Problem>)>> {
        for event in self.events.read()? {
            self.show_logs()?;
            match event.kind {
                RunnerEventKind::Started { .. } => self.started = Some(event.at),
                RunnerEventKind::Artifact { .. }
                | RunnerEventKind::Scanned { .. }
                | RunnerEventKind::Report(_)
                | RunnerEventKind::Settled { .. } => {}
                RunnerEventKind::Asked { number, ask } => {
                    for line in answers::answer(&self.build, number, *ask, self.inputs) {
                        self.view.say(&line);
                    }
                }
                RunnerEventKind::Planned {
                    mut words, stages, ..
                } => {
                    if self.pipeline_alone {
                        words.retain(|word| {
                            word != "From description." && !word.starts_with("Files: ")
                        });
                    }
                    self.stages.clone_from(&stages);
                    self.view.show(&Progress::Planned { words, stages })?;
                }
                RunnerEventKind::StageStarted { stage } => {
                    self.logs
                        .push((stage, LogReader::new(&self.build, stage, 0), event.at));
                    let name = self.name(stage);
                    self.view.show(&Progress::StageStarted { stage, name })?;
                }
                RunnerEventKind::StageFinished { stage, result } => {
                    let since = self
                        .logs
                        .iter()
                        .find(|(open, _, _)| *open == stage)
                        .map(|(_, _, since)| *since);
                    self.logs.retain(|(open, _, _)| *open != stage);
                    let name = self.name(stage);
                    let millis = millis(since, event.at);
                    self.view.show(&Progress::StageFinished {
                        stage,
                        name,
                        result,
                        millis,
                    })?;
                }
                RunnerEventKind::Tests { counts } => self.view.show(&Progress::Tests { counts })?,
                RunnerEventKind::Finished { result, problem } => {
                    self.view.show(&Progress::Built {
                        result,
                        millis: millis(self.started, event.at),
                    })?;
                    return Ok(Some((result, problem)));
                }
            }
        }
        self.show_logs()?;
        Ok(None)
    }

    fn show_logs(&mut self) -> anyhow::Result<()> {
        for (stage, log, _) in &mut self.logs {
            for line in log.read()? {
                let (millis, source, text) = (line.millis, line.source, line.text.into_owned());
                self.view.show(&Progress::Log {
                    stage: *stage,
                    millis,
                    source,
                    text,
                })?;
            }
        }
        Ok(())
    }

    fn name(&self, stage: StageId) -> String {
        self.stages
            .iter()
            .find(|info| info.id == stage)
            .map_or_else(String::new, |info| info.name.clone())
    }
}

/// The time between two events, in milliseconds.
fn millis(since: Option<Timestamp>, until: Timestamp) -> u64 {
    let took = since.map_or(0, |since| until.as_millisecond() - since.as_millisecond());
    u64::try_from(took).unwrap_or(0)
}
