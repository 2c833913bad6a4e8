//! The server's side of a push.
//!
//! [`commands`] reads what the client wants, [`Commands::unpack`] stores the objects under refs of our own
//! (`refs/launchway/push/…`, so that git itself checks the pack and that all objects are there), and [`Push::land`]
//! builds branch by branch, moves each ref that may move, and writes git's report. The objects of a refused push stay
//! in the repository, unreachable, until git's own collection.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::Problem;
use launchway_model::api::{DeployAccepted, Progress};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::body::Reader;
use super::terminal::Terminal;
use super::{announce, command, packet};
use crate::stream::Received;

/// What this server can do, in git's words.
const CAPABILITIES: &str = concat!(
    "report-status delete-refs side-band-64k quiet ofs-delta object-format=sha1 agent=launchway/",
    env!("CARGO_PKG_VERSION")
);
/// Forty zeros: no object.
const NONE: &str = "0000000000000000000000000000000000000000";
/// The most refs that one push may change.
const MOST_COMMANDS: usize = 1000;
/// The time after which a silent push says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The refs that a push starts from; a repository that does not exist yet has none.
pub(super) async fn advertise(repository: Option<&Path>) -> Result<Vec<u8>, Problem> {
    let refs = match repository {
        Some(repository) => command::branches_and_tags(repository).await?,
        None => Vec::new(),
    };
    let mut out = Vec::new();
    packet::text(&mut out, b"# service=git-receive-pack\n");
    packet::flush(&mut out);
    let refs = if refs.is_empty() {
        vec![(NONE.to_owned(), "capabilities^{}".to_owned())]
    } else {
        refs
    };
    for (index, (object, name)) in refs.iter().enumerate() {
        let line = if index == 0 {
            format!("{object} {name}\0{CAPABILITIES}\n")
        } else {
            format!("{object} {name}\n")
        };
        packet::text(&mut out, line.as_bytes());
    }
    packet::flush(&mut out);
    Ok(out)
}

/// One ref that a client wants to change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    old: String,
    new: String,
    name: String,
}

impl Change {
    fn removes(&self) -> bool {
        command::is_zero(&self.new)
    }
}

/// What a client wants, with the objects still to be read.
pub(super) struct Commands {
    changes: Vec<Change>,
    shallow: Vec<Vec<u8>>,
    side_band: bool,
    report: bool,
    objects: Reader,
}

/// Reads what a client wants; `None` for a request that asks for nothing.
pub(super) async fn commands(mut reader: Reader) -> Result<Option<Commands>, Problem> {
    let mut changes = Vec::new();
    let mut shallow = Vec::new();
    let mut capabilities = String::new();
    while let Some(line) = packet::read(&mut reader).await? {
        if line.starts_with(b"shallow ") {
            shallow.push(line);
            continue;
        }
        let (line, after) = match line.iter().position(|b| *b == 0) {
            Some(zero) => (&line[..zero], Some(&line[zero + 1..])),
            None => (&line[..], None),
        };
        if let Some(after) = after {
            capabilities = String::from_utf8_lossy(after).into_owned();
        }
        changes.push(change(line)?);
        if changes.len() > MOST_COMMANDS {
            return Err(Problem::invalid(format!(
                "a push may change {MOST_COMMANDS} refs at most"
            )));
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let can = |name: &str| capabilities.split_whitespace().any(|word| word == name);
    Ok(Some(Commands {
        changes,
        shallow,
        side_band: can("side-band-64k"),
        report: can("report-status"),
        objects: reader,
    }))
}

/// Reads `OLD NEW NAME`.
fn change(line: &[u8]) -> Result<Change, Problem> {
    let wrong = || Problem::invalid("the request does not speak git's protocol");
    let line = std::str::from_utf8(line).map_err(|_| wrong())?;
    let mut words = line.trim_end_matches('\n').splitn(3, ' ');
    let mut next = || words.next().map(str::to_owned).ok_or_else(wrong);
    let (old, new, name) = (next()?, next()?, next()?);
    let object = |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let allowed = name.starts_with("refs/") && !name.bytes().any(|b| b <= b' ' || b == 0x7f);
    if object(&old) && object(&new) && allowed {
        Ok(Change { old, new, name })
    } else {
        Err(wrong())
    }
}

/// Where the objects of pushes under way are kept.
const STAGING: &str = "refs/launchway/push";
/// How old a ref of a push is when its push must have died with its control.
const ABANDONED: i64 = 24 * 3600 * 1000;

/// Removes what pushes left behind whose control was killed.
async fn sweep(repository: &Path, now: Timestamp) -> Result<(), Problem> {
    for (object, name) in command::refs_below(repository, STAGING).await? {
        let begun = name[STAGING.len()..]
            .trim_start_matches('/')
            .split('-')
            .next()
            .and_then(|millis| millis.parse::<i64>().ok());
        if begun.is_none_or(|begun| now.as_millisecond() - begun > ABANDONED) {
            command::move_ref(repository, &name, NONE, &object).await?;
        }
    }
    Ok(())
}

/// Makes the names of our refs unique within one process; the time makes them unique beyond.
static PUSHES: AtomicU64 = AtomicU64::new(0);

impl Commands {
    /// Stores the objects and keeps them by refs of our own.
    pub(super) async fn unpack(self, repository: &Path) -> Result<Push, Problem> {
        let number = PUSHES.fetch_add(1, Ordering::Relaxed);
        let now = Timestamp::now();
        if let Err(problem) = sweep(repository, now).await {
            tracing::warn!(%problem, "refs of old pushes cannot be removed");
        }
        let staging = format!(
            "{STAGING}/{}-{}-{number}",
            now.as_millisecond(),
            std::process::id()
        );
        let mut staged = Vec::new();
        let mut input = Vec::new();
        for line in &self.shallow {
            packet::text(&mut input, line);
        }
        for (index, change) in self.changes.iter().enumerate() {
            if change.removes() {
                continue;
            }
            let name = format!("{staging}/{index}");
            let capabilities = if staged.is_empty() {
                "\0report-status object-format=sha1"
            } else {
                ""
            };
            packet::text(
                &mut input,
                format!("{NONE} {} {name}{capabilities}", change.new).as_bytes(),
            );
            staged.push((index, name));
        }
        packet::flush(&mut input);
        let mut push = Push {
            repository: repository.to_owned(),
            outcomes: vec![None; self.changes.len()],
            changes: self.changes,
            staged: Vec::new(),
            side_band: self.side_band,
            report: self.report,
            unpacked: Ok(()),
        };
        if staged.is_empty() {
            return Ok(push);
        }
        let output = command::receive(repository, &input, self.objects).await?;
        push.read_report(&output.stdout, &staged).await;
        if push.unpacked.is_err() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            tracing::warn!(repository = %repository.display(), said, "a push could not be unpacked");
        }
        push.staged = staged.into_iter().map(|(_, name)| name).collect();
        Ok(push)
    }
}

/// A push whose objects are stored.
pub(super) struct Push {
    repository: PathBuf,
    changes: Vec<Change>,
    /// Why a change is refused, for those that are decided.
    outcomes: Vec<Option<Result<(), String>>>,
    staged: Vec<String>,
    pub(super) side_band: bool,
    report: bool,
    unpacked: Result<(), String>,
}

impl Push {
    /// Reads what `git receive-pack` reports of our refs.
    async fn read_report(&mut self, report: &[u8], staged: &[(usize, String)]) {
        let mut rest = report;
        let mut unpacked = None;
        let mut stored = vec![false; self.changes.len()];
        while let Ok(Some(line)) = packet::read(&mut rest).await {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if let Some(result) = line.strip_prefix("unpack ") {
                unpacked = Some(result.to_owned());
            } else if let Some(name) = line.strip_prefix("ok ") {
                if let Some((index, _)) = staged.iter().find(|(_, staged)| staged == name) {
                    stored[*index] = true;
                }
            } else if let Some((name, reason)) = line
                .strip_prefix("ng ")
                .and_then(|rest| rest.split_once(' '))
                && let Some((index, _)) = staged.iter().find(|(_, staged)| staged == name)
            {
                self.outcomes[*index] = Some(Err(reason.to_owned()));
            }
        }
        self.unpacked = match unpacked.as_deref() {
            Some("ok") => Ok(()),
            Some(reason) => Err(reason.to_owned()),
            None => Err("git receive-pack gave no report".to_owned()),
        };
        for (index, _) in staged {
            if !stored[*index] && self.outcomes[*index].is_none() {
                self.outcomes[*index] = Some(Err("unpacker error".to_owned()));
            }
        }
    }

    /// Builds what was pushed, moves the refs that may move, and reports.
    ///
    /// `deployed` is the branch that the app deploys, which may not be removed.
    pub(super) async fn land<F, B>(
        mut self,
        mut terminal: Terminal,
        deployed: Option<&str>,
        build: F,
        cancel: CancellationToken,
    ) where
        F: Fn(String, String) -> B,
        B: Future<Output = Result<(DeployAccepted, mpsc::Receiver<Progress>), Problem>>,
    {
        for index in 0..self.changes.len() {
            if self.outcomes[index].is_none() {
                let change = self.changes[index].clone();
                let outcome = self
                    .change(&change, &mut terminal, deployed, &build, &cancel)
                    .await;
                self.outcomes[index] = Some(outcome);
            }
        }
        for name in &self.staged {
            if let Some(object) = command::target(&self.repository, name).await {
                let _ = command::move_ref(&self.repository, name, NONE, &object).await;
            }
        }
        terminal.end(self.report()).await;
    }

    /// One ref: `Err` holds the reason that git shows behind `[remote rejected]`.
    async fn change<F, B>(
        &self,
        change: &Change,
        terminal: &mut Terminal,
        deployed: Option<&str>,
        build: &F,
        cancel: &CancellationToken,
    ) -> Result<(), String>
    where
        F: Fn(String, String) -> B,
        B: Future<Output = Result<(DeployAccepted, mpsc::Receiver<Progress>), Problem>>,
    {
        let branch = change.name.strip_prefix("refs/heads/");
        if branch.is_none() && !change.name.starts_with("refs/tags/") {
            return Err("only branches and tags can be pushed".to_owned());
        }
        let now = command::target(&self.repository, &change.name).await;
        if now.as_deref().unwrap_or(NONE) != change.old {
            return Err("fetch first".to_owned());
        }
        match branch {
            Some(branch) if !change.removes() => {
                self.build(branch, &change.new, terminal, build, cancel)
                    .await?;
            }
            Some(branch) if deployed == Some(branch) => {
                return Err("this is the branch that is deployed".to_owned());
            }
            _ => {}
        }
        command::move_ref(&self.repository, &change.name, &change.new, &change.old)
            .await
            .map_err(|problem| problem.message)?;
        if let Some(branch) = branch
            && !change.removes()
        {
            self.point_head_at(branch).await;
        }
        Ok(())
    }

    async fn build<F, B>(
        &self,
        branch: &str,
        commit: &str,
        terminal: &mut Terminal,
        build: &F,
        cancel: &CancellationToken,
    ) -> Result<(), String>
    where
        F: Fn(String, String) -> B,
        B: Future<Output = Result<(DeployAccepted, mpsc::Receiver<Progress>), Problem>>,
    {
        let (accepted, events) = match build(branch.to_owned(), commit.to_owned()).await {
            Ok(started) => started,
            Err(problem) => {
                terminal.show(&announce::problem(&problem)).await;
                return Err(reason(&problem));
            }
        };
        let short = &accepted.commit[..accepted.commit.len().min(7)];
        terminal
            .show(&[format!(
                "-----> Build {} of {}, {short} on {branch}",
                accepted.build, accepted.app
            )])
            .await;
        let mut events = Received(events);
        let mut released = false;
        loop {
            let event = tokio::select! {
                event = events.0.recv() => event,
                () = cancel.cancelled() => None,
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    terminal.stay_alive().await;
                    continue;
                }
            };
            let Some(event) = event else {
                let problem = Problem::unavailable("launchway stopped before the build ended")
                    .hint(format!("Build {} goes on when it is back.", accepted.build));
                terminal.show(&announce::problem(&problem)).await;
                return Err(reason(&problem));
            };
            let lines = match &event {
                Progress::Finished {
                    problem: None,
                    millis,
                    ..
                } if !released => announce::only_built(branch, *millis),
                event => announce::lines(event),
            };
            terminal.show(&lines).await;
            released |= matches!(event, Progress::Released { .. });
            if let Progress::Finished { problem, .. } = event {
                return match problem {
                    None => Ok(()),
                    Some(problem) => Err(reason(&problem)),
                };
            }
        }
    }

    /// A new repository's HEAD names a branch that may never come; a clone wants one that is there.
    async fn point_head_at(&self, branch: &str) {
        if command::target(&self.repository, "HEAD").await.is_none() {
            let name = format!("refs/heads/{branch}");
            let _ = command::run(&self.repository, &["symbolic-ref", "HEAD", &name], "").await;
        }
    }

    /// Git's report of all changes.
    fn report(&self) -> Option<Vec<u8>> {
        if !self.report {
            return None;
        }
        let mut out = Vec::new();
        let unpacked = match &self.unpacked {
            Ok(()) => "unpack ok\n".to_owned(),
            Err(reason) => format!("unpack {reason}\n"),
        };
        packet::text(&mut out, unpacked.as_bytes());
        for (change, outcome) in self.changes.iter().zip(&self.outcomes) {
            let line = match outcome {
                Some(Ok(())) => format!("ok {}\n", change.name),
                Some(Err(reason)) => format!("ng {} {reason}\n", change.name),
                None => format!("ng {} not tried\n", change.name),
            };
            packet::text(&mut out, line.as_bytes());
        }
        packet::flush(&mut out);
        Some(out)
    }
}

/// A problem in the one line that git has room for.
fn reason(problem: &Problem) -> String {
    let words = crate::ansi::strip(&problem.message.replace('\n', " "));
    words.chars().take(200).collect()
}
