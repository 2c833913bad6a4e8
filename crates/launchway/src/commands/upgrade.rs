//! `launchway upgrade`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use launchway_model::api::Status;
use launchway_model::home::Home;
use launchway_model::{PROTOCOL, Problem};
use launchway_store::copy;
use serde::Serialize;

use crate::cli::Context;
use crate::client::Client;
use crate::output::Tone;
use crate::platform::binary::{self, SelfCheck};
use crate::platform::running::{self, Running};

/// How long control and the proxy may take to come up from the new binary.
const UP_WITHIN: Duration = Duration::from_secs(90);
/// How long the old proxy may take to end its requests.
const OLD_ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Replace the running platform by another binary, without a failed request.
///
/// The new binary is tried out first: it must run here and be able to use a copy of the database. A copy of the database
/// is kept beside it (`launchway.db.before-upgrade`). The proxy hands its sockets to its successor and ends its requests
/// in flight; control is replaced; apps and builds go on under the shims and runners that they have. Where the new
/// platform does not come up, the old one is put back.
#[derive(Debug, clap::Args)]
pub(crate) struct Upgrade {
    /// The new binary
    #[arg(required_unless_present = "back", conflicts_with = "back")]
    binary: Option<PathBuf>,
    /// Go back to the binary before the last upgrade
    #[arg(long)]
    back: bool,
    /// Only try the new binary out
    #[arg(long)]
    check: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Upgraded {
    /// The version before.
    from: String,
    /// The version now.
    to: String,
    /// The schema's generation before and now.
    schema: Option<(i64, i64)>,
    /// Where the binary is.
    installed: PathBuf,
    /// The shims that go on under the version before.
    shims: usize,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Upgrade) -> anyhow::Result<ExitCode> {
    let settings = context.settings()?;
    let home = settings.home();
    let client = context.client()?;
    let before: Status = client.get("/status").context(
        "the platform that is to be upgraded does not answer; start it, or just start the new binary",
    )?;
    let running = Running::find(home, &client)?;
    let candidate = match &args.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => binary::previous(&running.installed),
    };
    if args.back && !candidate.is_file() {
        return Err(Problem::not_found(format!(
            "{} does not exist: there is nothing to go back to",
            candidate.display()
        ))
        .into());
    }
    context
        .output
        .note(format!("trying {} out", candidate.display()));
    let check = binary::check(&candidate, home)?;
    refuse_unless_near(&check)?;
    if args.check {
        return context
            .output
            .result(&check, |output| {
                output.line(format!(
                    "{} {} can take this installation up",
                    output.tone(Tone::Good, "✔"),
                    check.version
                ))?;
                Ok(())
            })
            .map(|()| ExitCode::SUCCESS);
    }
    keep_database(home)?;
    match args.back {
        true => binary::go_back(&running.installed)?,
        false => binary::put_in_place(&candidate, &running.installed)?,
    }
    running.renew();
    context.output.note("waiting for the new platform");
    if let Err(problem) = await_renewal(&running, home, &client) {
        put_back(context, &running, home, &client);
        return Err(problem);
    }
    await_end_of_old(&running);
    let done = Upgraded {
        from: before.version,
        to: check.version,
        schema: check.schema,
        installed: running.installed.clone(),
        shims: old_shims(home, &running.installed),
    };
    context.output.result(&done, |output| {
        output.line(format!(
            "{} Launchway {} runs, after {}",
            output.tone(Tone::Good, "✔"),
            done.to,
            done.from
        ))?;
        if done.shims > 0 {
            output.line(format!(
                "  {} instances go on under the shims that they have, until they are next deployed or restarted",
                done.shims
            ))?;
        }
        output.line(output.tone(
            Tone::Faint,
            "  `launchway upgrade --back` goes back to the one before",
        ))?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A message's version may differ by one.
fn refuse_unless_near(check: &SelfCheck) -> anyhow::Result<()> {
    if check.protocol.abs_diff(PROTOCOL) <= 1 {
        return Ok(());
    }
    Err(Problem::conflict(format!(
        "version {} speaks another language to running shims (protocol {}, this one {PROTOCOL})",
        check.version, check.protocol
    ))
    .hint("Upgrade by way of a version between the two.")
    .into())
}

/// A copy of the database from before, for the day on which going back by one version is not enough.
fn keep_database(home: &Home) -> anyhow::Result<()> {
    let kept = home.root().join("launchway.db.before-upgrade");
    let draft = home.root().join("launchway.db.before-upgrade.new");
    let _ = std::fs::remove_file(&draft);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(copy::copy(&home.database(), &draft))
        .context("the database cannot be copied; nothing was changed")?;
    std::fs::rename(&draft, &kept)?;
    Ok(())
}

/// Waits until control and proxy are other processes, of the file that lies at the path now.
fn await_renewal(running: &Running, home: &Home, client: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + UP_WITHIN;
    let renewed = |pid: i32, before: i32| pid != before && running::runs(pid, &running.installed);
    let mut missing = "control";
    while Instant::now() < deadline {
        let control = client
            .get::<Status>("/status")
            .is_ok_and(|status| renewed(status.pid.cast_signed(), running.control));
        if control {
            missing = "the proxy";
            let proxy = running::proxy_of(home)
                .is_some_and(|pid| running.proxy.is_none_or(|before| renewed(pid, before)));
            if proxy {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(Problem::failed(format!("{missing} did not come up from the new binary"))
        .hint("The binary before was put back; what serves went on serving. The log of control or the proxy tells why.")
        .into())
}

fn put_back(context: &Context, running: &Running, home: &Home, client: &Client) {
    // `up` has put it back itself where it saw control fail.
    let is_back = client
        .get::<Status>("/status")
        .is_ok_and(|status| running::runs(status.pid.cast_signed(), &running.installed));
    if is_back && running::proxy_of(home).is_some_and(|pid| running::runs(pid, &running.installed))
    {
        return;
    }
    match binary::go_back(&running.installed) {
        Ok(()) => Running {
            proxy: running::proxy_of(home),
            ..running.clone()
        }
        .renew(),
        Err(error) => context
            .output
            .note(format!("the binary before cannot be put back: {error:#}")),
    }
}

/// A deploy right after the upgrade asks the new proxy alone what is in flight, so the old one is waited for.
fn await_end_of_old(running: &Running) {
    let Some(old) = running.proxy else { return };
    let deadline = Instant::now() + OLD_ENDS_WITHIN;
    while running::lives(old) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The shims of a home that run another file than the installed one.
fn old_shims(home: &Home, installed: &Path) -> usize {
    let instances = home.instances();
    let mut count = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut arguments = command.split(|byte| *byte == 0).skip(1);
        let is_ours = arguments.next() == Some(b"shim")
            && arguments.next().is_some_and(|folder| {
                Path::new(&*String::from_utf8_lossy(folder)).starts_with(&instances)
            });
        count += usize::from(is_ours && !running::runs(pid, installed));
    }
    count
}
