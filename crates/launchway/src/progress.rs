//! A build's or deploy's progress as people see it: a moving line on a terminal, plain lines elsewhere.
//!
//! Both show the same facts in the same order: the plan in words, each stage and phase with its time, the tests' counts,
//! the last lines of a stage that failed, and at the end where the app is reached. With `--json` each event is printed
//! as it came.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use launchway_model::api::Progress;
use launchway_model::build::{BuildResult, StageId};
use launchway_model::deploy::DeployPhase;
use launchway_model::runner::LogSource;
use launchway_model::{DeployId, Problem, ReleaseNumber};

use crate::client::{Client, Stream};
use crate::output::{Output, Tone};
use crate::words;

/// How many lines of a failed stage's log are shown where the problem itself carries none.
const SHOWN_LINES: usize = 30;

/// How it ended, when it ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Where the app is reached, best first.
    pub(crate) urls: Vec<String>,
    /// The release that serves.
    pub(crate) serving: Option<ReleaseNumber>,
}

/// Follows a build from the commit to the served release.
///
/// # Errors
/// The build or the deploy failed, or the connection broke and could not be taken up again.
pub(crate) fn follow_build(
    output: Output,
    client: &Client,
    build: launchway_model::BuildId,
    all_logs: bool,
) -> anyhow::Result<Outcome> {
    follow(
        output,
        client,
        &format!("/builds/{}/progress", build.0),
        all_logs,
    )
}

/// Follows a deploy: a rollback, a scale, a restart, a changed configuration.
///
/// # Errors
/// As [`follow_build`].
pub(crate) fn follow_deploy(
    output: Output,
    client: &Client,
    deploy: DeployId,
) -> anyhow::Result<Outcome> {
    follow(
        output,
        client,
        &format!("/deploys/{}/progress", deploy.0),
        false,
    )
}

fn follow(output: Output, client: &Client, path: &str, all_logs: bool) -> anyhow::Result<Outcome> {
    let mut view = View::new(output, all_logs);
    let mut seen = 0_usize;
    let mut failures = 0_u32;
    loop {
        let ended = client
            .stream(path)
            .and_then(|stream| read(stream, &mut seen, &mut view));
        match ended {
            Ok(Some(outcome)) => return outcome,
            // Control was restarted under us: the progress is told again from its beginning, and what was shown already
            // is passed over.
            Ok(None) => failures += 1,
            Err(error) if is_broken(&error) => {
                failures += 1;
                if failures >= 40 {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        if failures >= 40 {
            return Err(
                Problem::unavailable("Launchway ended the progress without a result")
                    .hint("`launchway builds` tells how it went on.")
                    .into(),
            );
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Reads events until the last; `None` where the connection ended before it.
fn read(
    mut stream: Stream,
    seen: &mut usize,
    view: &mut View,
) -> anyhow::Result<Option<anyhow::Result<Outcome>>> {
    let mut number = 0;
    while let Some(event) = stream.next::<Progress>()? {
        number += 1;
        if number <= *seen {
            continue;
        }
        *seen = number;
        view.show(&event)?;
        if let Progress::Finished {
            urls,
            serving,
            problem,
            ..
        } = event
        {
            return Ok(Some(match problem {
                Some(problem) => Err(problem.into()),
                None => Ok(Outcome { urls, serving }),
            }));
        }
    }
    Ok(None)
}

fn is_broken(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Problem>()
        .is_some_and(|problem| problem.kind == launchway_model::ProblemKind::Unavailable)
}

/// What is on the screen.
pub(crate) struct View {
    output: Output,
    all_logs: bool,
    bar: Option<ProgressBar>,
    running: Vec<(StageId, String)>,
    tail: VecDeque<(StageId, String)>,
    failed: Option<StageId>,
    phase: Option<(DeployPhase, String, Instant)>,
}

impl View {
    /// Nothing yet. With `all_logs` every line is shown, not only those of a stage that failed.
    pub(crate) fn new(output: Output, all_logs: bool) -> Self {
        Self {
            output,
            all_logs,
            bar: None,
            running: Vec::new(),
            tail: VecDeque::new(),
            failed: None,
            phase: None,
        }
    }

    /// Shows a line that is not an event's; nothing where events are printed as JSON.
    pub(crate) fn say(&mut self, line: &str) {
        if !self.output.is_json() {
            self.print(&format!("  {line}"));
        }
    }

    /// Shows one event; they come in order.
    pub(crate) fn show(&mut self, event: &Progress) -> anyhow::Result<()> {
        if self.output.is_json() {
            return self.output.record(event);
        }
        match event {
            Progress::Queued { reason } => self.working(&format!("waiting: {reason}")),
            Progress::Planned { words, .. } => {
                for word in words {
                    self.print(&format!("  {}", self.output.note_tone(Tone::Faint, word)));
                }
            }
            Progress::StageStarted { stage, name } => {
                self.running.push((*stage, name.clone()));
                self.working(name);
                if self.bar.is_none() {
                    self.print(&format!("  … {name}"));
                }
            }
            Progress::Log {
                stage,
                source,
                text,
                ..
            } => self.log(*stage, *source, text),
            Progress::StageFinished {
                stage,
                name,
                result,
                millis,
            } => self.stage_ended(*stage, name, *result, *millis),
            Progress::Tests { counts } => {
                let failed = counts.failed > 0;
                let mut text = format!("{} passed", words::count(counts.passed.into(), "test"));
                if failed {
                    text = format!("{text}, {} failed", counts.failed);
                }
                if counts.skipped > 0 {
                    text = format!("{text}, {} skipped", counts.skipped);
                }
                self.mark(!failed, &text, None);
            }
            Progress::Built {
                result: BuildResult::Success,
                millis,
            } => {
                self.mark(true, "built", Some(Duration::from_millis(*millis)));
            }
            Progress::Built { .. } => {}
            Progress::Input { question, .. } => {
                self.print(&format!("  ? {}", question.message));
                self.print(&format!(
                    "    {}",
                    self.output.note_tone(
                        Tone::Faint,
                        "it waits for `launchway builds approve` or `launchway builds abort`"
                    )
                ));
            }
            Progress::Released { release, .. } => self.working(&format!("release {release}")),
            Progress::Phase { phase, detail } => {
                self.phase_ended(true);
                let name = phase_name(*phase);
                let text = if detail.is_empty() {
                    name.to_owned()
                } else {
                    format!("{name}: {detail}")
                };
                self.working(&text);
                self.phase = Some((*phase, text, Instant::now()));
            }
            Progress::PhaseLog { line } => {
                let text = &line.text;
                self.print(&format!("    {}", self.output.note_tone(Tone::Faint, text)));
            }
            Progress::ReleaseLog { text } => {
                self.print(&format!("    {}", self.output.note_tone(Tone::Faint, text)));
            }
            Progress::Finished {
                urls,
                serving,
                problem,
                millis,
            } => self.finished(urls, *serving, problem.as_ref(), *millis),
        }
        Ok(())
    }

    fn log(&mut self, stage: StageId, source: LogSource, text: &str) {
        if self.tail.len() >= 400 {
            self.tail.pop_front();
        }
        self.tail.push_back((stage, text.to_owned()));
        if self.all_logs {
            let text = match source {
                LogSource::Launchway => self.output.note_tone(Tone::Faint, text),
                LogSource::Out | LogSource::Err => text.to_owned(),
            };
            self.print(&format!("    {text}"));
        } else if let (Some(bar), Some((_, name))) = (&self.bar, self.running.last()) {
            bar.set_message(one_line(&format!("{name}  {text}")));
        }
    }

    fn stage_ended(&mut self, stage: StageId, name: &str, result: BuildResult, millis: u64) {
        self.running.retain(|(running, _)| *running != stage);
        let took = Some(Duration::from_millis(millis));
        match result {
            BuildResult::Success => self.mark(true, name, took),
            BuildResult::NotBuilt => {
                let line = format!(
                    "  {} {name} (left out)",
                    self.output.note_tone(Tone::Faint, "-")
                );
                self.print(&line);
            }
            BuildResult::Unstable => {
                let line = format!(
                    "  {} {name}  {} (unstable)",
                    self.output.note_tone(Tone::Warning, "!"),
                    words::duration(Duration::from_millis(millis))
                );
                self.print(&line);
            }
            BuildResult::Failure | BuildResult::Aborted => {
                self.mark(false, name, took);
                self.failed.get_or_insert(stage);
            }
        }
        match self.running.last() {
            Some((_, name)) => self.working(&name.clone()),
            None => self.rest(),
        }
    }

    fn phase_ended(&mut self, good: bool) {
        if let Some((phase, text, since)) = self.phase.take() {
            // A deploy that did not have to wait did not wait.
            if phase != DeployPhase::Queued || since.elapsed() >= Duration::from_millis(200) {
                self.mark(good, &text, Some(since.elapsed()));
            }
        }
    }

    fn finished(
        &mut self,
        urls: &[String],
        serving: Option<ReleaseNumber>,
        problem: Option<&Problem>,
        millis: u64,
    ) {
        self.phase_ended(problem.is_none());
        self.rest();
        let took = words::duration(Duration::from_millis(millis));
        match problem {
            None => {
                let release = serving
                    .map(|release| format!("{release} "))
                    .unwrap_or_default();
                let place = urls
                    .first()
                    .map_or_else(|| "serving".to_owned(), |url| format!("live at {url}"));
                let line = format!(
                    "{} {release}{place}  ({took})",
                    self.output.note_tone(Tone::Good, "✔")
                );
                self.print(&line);
            }
            Some(problem) => {
                if let (Some(stage), true) =
                    (self.failed, problem.output.is_empty() && !self.all_logs)
                {
                    let lines: Vec<&String> = self
                        .tail
                        .iter()
                        .filter(|(of, _)| *of == stage)
                        .map(|(_, text)| text)
                        .collect();
                    let shown: Vec<String> = lines[lines.len().saturating_sub(SHOWN_LINES)..]
                        .iter()
                        .map(|line| format!("    │ {line}"))
                        .collect();
                    for line in shown {
                        self.print(&line);
                    }
                }
                if let Some(release) = serving {
                    self.print(&format!("  {release} goes on serving"));
                }
            }
        }
    }

    /// A finished step with its time.
    fn mark(&self, good: bool, text: &str, took: Option<Duration>) {
        let sign = if good {
            self.output.note_tone(Tone::Good, "✔")
        } else {
            self.output.note_tone(Tone::Bad, "✘")
        };
        let took = took
            .map(|took| {
                format!(
                    "  {}",
                    self.output.note_tone(Tone::Faint, words::duration(took))
                )
            })
            .unwrap_or_default();
        self.print(&format!("  {sign} {text}{took}"));
    }

    /// A line above the moving one.
    fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.note(text)),
            None => self.output.note(text),
        }
    }

    /// What is being done now, on the moving line, where there is one.
    fn working(&mut self, text: &str) {
        if !self.output.is_moving() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(one_line(text));
    }

    /// Takes the moving line away.
    fn rest(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.rest();
    }
}

pub(crate) fn phase_name(phase: DeployPhase) -> &'static str {
    match phase {
        DeployPhase::Queued => "waiting for the running deploy",
        DeployPhase::Validate => "validate",
        DeployPhase::Release => "release command",
        DeployPhase::Once => "once command",
        DeployPhase::Start => "start",
        DeployPhase::Ready => "wait until healthy",
        DeployPhase::Canary => "canary",
        DeployPhase::Switch => "switch",
        DeployPhase::Verify => "verify",
        DeployPhase::Drain => "drain",
    }
}

/// A log line cannot move the cursor.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
