//! One-off commands in the serving release: a migration by hand, a shell command, a seed.

use std::time::Duration;

use launchway_model::api::{RunOutput, RunRequest};
use launchway_model::instance::Exit;
use launchway_model::runner::LogSource;
use launchway_model::{AppName, Problem};
use launchway_pipeline::spool::LogReader;
use launchway_supervisor::ShimHandle;
use tokio::sync::mpsc;

use crate::{Control, deploys, problem, recipe, task};

/// How often its output is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a command in the tree and with the environment of the serving release; dropping the receiver stops it. A single
/// word is a line for the shell; of several, the first is the program and the rest are its arguments, as they are.
///
/// # Errors
/// The command is empty, the app does not exist or has no release, or the command cannot be started.
pub async fn run(
    control: &Control,
    app: &AppName,
    request: RunRequest,
) -> Result<mpsc::Receiver<RunOutput>, Problem> {
    let line = match request.command.as_slice() {
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
    let recipe = recipe.once(deploys::process_type(task::RUN)?, line);
    let shim = task::start(control, &recipe).await?;
    let control = control.shared()?;
    let (sender, receiver) = mpsc::channel(256);
    let tasks = control.tasks.clone();
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
