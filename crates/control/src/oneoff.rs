//! One-off commands in the serving release: a migration by hand, a shell command, a seed.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use launchway_model::api::{RunOutput, RunRequest, TerminalSize};
use launchway_model::instance::Exit;
use launchway_model::runner::LogSource;
use launchway_model::{AppName, Problem};
use launchway_pipeline::spool::LogReader;
use launchway_supervisor::{ShimHandle, ShimLink};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::recipe::Recipe;
use crate::{Control, deploys, logs, problem, recipe, secrets, task};

/// How often its output is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a command on a terminal may take until it can be reached.
const CONNECT: Duration = Duration::from_secs(20);
/// How long a command may take to end once its terminal has hung up.
const HANG_UP: Duration = Duration::from_secs(2);

/// Runs a command in the tree and with the environment of the serving release; dropping the receiver stops it, unless it
/// is detached. A single word is a line for the shell; of several, the first is the program and the rest are its
/// arguments, as they are.
///
/// # Errors
/// The command is empty, the app does not exist or has no release, or the command cannot be started.
pub async fn run(
    control: &Control,
    app: &AppName,
    request: RunRequest,
) -> Result<mpsc::Receiver<RunOutput>, Problem> {
    let mut recipe = recipe(control, app, line(&request.command)?).await?;
    if request.detach {
        recipe
            .env
            .insert(task::OUTLIVES.to_owned(), "detached".to_owned());
    }
    let shim = task::start(control, &recipe).await?;
    let control = control.shared()?;
    let (sender, receiver) = mpsc::channel(256);
    let tasks = control.tasks.clone();
    if request.detach {
        // There is room for one.
        let _ = sender.try_send(RunOutput::Detached {
            instance: shim.instance().clone(),
        });
        tasks.spawn(async move {
            tokio::select! {
                // It goes on, and the next control sees it end.
                () = control.cancel.cancelled() => {}
                _ = task::finished(&control, &shim) => {}
            }
        });
        return Ok(receiver);
    }
    tasks.spawn(async move {
        let ended = tokio::select! {
            () = control.cancel.cancelled() => false,
            () = sender.closed() => false,
            () = feed(&control, &shim, &sender) => true,
        };
        if !ended {
            task::stop(&control, &shim).await;
        }
    });
    Ok(receiver)
}

/// A command on a terminal, for as long as this lives.
pub struct Terminal {
    /// Frames as `launchway_supervisor::terminal` has them, both ways.
    pub stream: UnixStream,
    control: Arc<Control>,
    shim: ShimHandle,
}

impl Terminal {
    /// Ends the command, if it has not ended, and removes what it leaves.
    pub async fn end(self) {
        drop(self.stream);
        let finished = task::finished(&self.control, &self.shim);
        // Its terminal has hung up; what ignores that is stopped.
        if tokio::time::timeout(HANG_UP, finished).await.is_err() {
            task::stop(&self.control, &self.shim).await;
        }
    }
}

/// Runs a command on a terminal of its own in the tree and with the environment of the serving release.
///
/// # Errors
/// The command is empty, the app does not exist or has no release, or the command cannot be started.
pub async fn terminal(
    control: &Control,
    app: &AppName,
    request: RunRequest,
) -> Result<Terminal, Problem> {
    let size = request.terminal.unwrap_or(TerminalSize {
        columns: 80,
        rows: 24,
        term: "xterm-256color".to_owned(),
    });
    let command = line(&request.command)?;
    let folder = control.settings().home.app_home(app);
    let name = format!(
        "terminal-{:016x}.sock",
        u64::from_le_bytes(secrets::random()?)
    );
    // Where the command is seen at another place it sees its HOME there too; its variable says where.
    let wrapped = format!(
        "exec {} terminal \"$HOME\" {name} {} {} {}",
        quoted(&control.settings().binary.to_string_lossy()),
        size.columns,
        size.rows,
        quoted(&command),
    );
    let mut recipe = recipe(control, app, wrapped).await?;
    recipe.env.insert("TERM".to_owned(), size.term);
    let shim = task::start(control, &recipe).await?;
    let shared = control.shared()?;
    let deadline = Instant::now() + CONNECT;
    loop {
        match connect(&folder, &name).await {
            Ok(stream) => {
                return Ok(Terminal {
                    stream,
                    control: shared,
                    shim,
                });
            }
            Err(_) if Instant::now() < deadline && shim.watch().borrow().link == ShimLink::Live => {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => {
                let log = task::log(control, &shim);
                task::stop(control, &shim).await;
                return Err(Problem::failed("the command's terminal cannot be reached")
                    .cause(error)
                    .output(logs::last_words(&log, 10).await));
            }
        }
    }
}

/// Connects to a socket whose path may be longer than its address may be.
async fn connect(folder: &Path, name: &str) -> std::io::Result<UnixStream> {
    let folder = std::fs::File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).await
}

/// The command as a line for the shell.
fn line(command: &[String]) -> Result<String, Problem> {
    let line = match command {
        [] => {
            return Err(
                Problem::invalid("no command is given").hint("`launchway run APP -- COMMAND`.")
            );
        }
        [line] => line.clone(),
        words => words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" "),
    };
    if line.contains('\0') || line.trim().is_empty() {
        return Err(Problem::invalid(
            "the command is empty or holds a zero byte",
        ));
    }
    Ok(line)
}

/// How to run a line in the serving release.
async fn recipe(control: &Control, app: &AppName, line: String) -> Result<Recipe, Problem> {
    let stored = control.app(app).await?;
    let Some(number) = stored.serving else {
        return Err(Problem::conflict(format!("{app} has no release yet"))
            .hint("`launchway deploy` makes one."));
    };
    let release = control
        .store
        .release(app, number)
        .await
        .map_err(problem::store)?;
    let release =
        release.ok_or_else(|| Problem::not_found(format!("{app} has no release {number}")))?;
    let recipe = recipe::of_release(control, &release).await?.bare;
    Ok(recipe.once(deploys::process_type(task::RUN)?, line))
}

async fn feed(control: &Control, shim: &ShimHandle, sender: &mpsc::Sender<RunOutput>) {
    let mut log = LogReader::of_file(task::log(control, shim), 0);
    let finished = task::finished(control, shim);
    tokio::pin!(finished);
    let exit = loop {
        let exit = tokio::select! {
            exit = &mut finished => Some(exit),
            () = tokio::time::sleep(LOOK) => None,
        };
        // After its end all that it wrote is there.
        loop {
            let lines = log.read().unwrap_or_default();
            if lines.is_empty() {
                break;
            }
            for line in lines {
                if line.source == LogSource::Launchway {
                    continue;
                }
                let output = RunOutput::Line {
                    source: line.source,
                    text: line.text.into_owned(),
                };
                if sender.send(output).await.is_err() {
                    // The caller stops the command.
                    return std::future::pending().await;
                }
            }
        }
        if let Some(exit) = exit {
            break exit;
        }
    };
    let code = match exit {
        Some(Exit::Code(code)) => code,
        Some(Exit::Signal(number)) => 128 + number,
        // Its shim was killed, and it with it.
        None => 128 + 9,
    };
    let _ = sender.send(RunOutput::Exited { code }).await;
}

/// A word as the shell takes it literally.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
