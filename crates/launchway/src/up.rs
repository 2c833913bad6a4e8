//! `launchway up`: control and proxy in the foreground, as children of one process that restarts what dies.
//!
//! The listening sockets are opened here and handed to the children, so that a connection that comes while the proxy is
//! being restarted waits in the socket's queue instead of being refused. Apps are not children of this process: their
//! shims outlive it, and a clean stop ends them last, after the requests in flight have ended.
//!
//! It takes no decision about apps and reads none of control's state.

mod child;
mod listen;
mod port_owner;
mod runners;
mod succession;

use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use launchway_model::Problem;
use launchway_model::api::{ClientFile, LoginLink, Status};
use launchway_model::home::Home;
use launchway_supervisor::{Adopted, Supervisor};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::Client;
use crate::output::{Output, Tone};
use crate::platform::binary;
use child::Child;
pub(crate) use listen::{API_PORT, APPS_PORT};
pub(crate) use port_owner::find as port_owner;

/// How long control may take from its start to its first answer.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long control may take to end.
const CONTROL_ENDS_WITHIN: Duration = Duration::from_secs(15);
/// How long the proxy may take to end its requests in flight.
const PROXY_ENDS_WITHIN: Duration = Duration::from_secs(40);

/// How long a build that is cancelled may take to end its commands.
const RUNNERS_END_WITHIN: Duration = Duration::from_secs(15);

/// What to start, and where.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The installation's folder.
    pub(crate) home: Home,
    /// The address to listen on.
    pub(crate) bind: IpAddr,
    /// The apps' port, where one was asked for.
    pub(crate) port: Option<u16>,
    /// The API's port, where one was asked for.
    pub(crate) api_port: Option<u16>,
    /// Whether the apps go on when this stops.
    pub(crate) keep_apps: bool,
    /// More arguments for control.
    pub(crate) control: Vec<String>,
}

/// What is up, for people and `--json`.
#[derive(Debug, serde::Serialize)]
struct Summary {
    /// Where apps are reached.
    apps: String,
    /// Where the pages and the API are.
    api: String,
    /// The one-time login link.
    login: String,
    /// The installation's folder.
    home: PathBuf,
}

/// Starts both, prints where they are, and waits for a signal.
///
/// # Errors
/// A port is in use, another process holds the home, or control does not come up.
pub(crate) fn run(output: Output, options: Options) -> anyhow::Result<()> {
    let held = match succession::inherited()? {
        Some(left) => Held {
            lock: left.lock,
            apps: left.apps,
            api: left.api,
            succeeds: Some(Predecessor {
                proxy: left.proxy,
                gone_back: left.gone_back,
            }),
        },
        None => {
            make_private(options.home.root())?;
            let lock = lock(&options.home)?;
            let ports = listen::open(output, &options)?;
            Held {
                lock,
                apps: ports.apps,
                api: ports.api,
                succeeds: None,
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(output, &options, held))
}

/// What this process holds for as long as it lives, whichever program it runs.
struct Held {
    lock: std::fs::File,
    apps: TcpListener,
    api: TcpListener,
    /// The program that ran in this process before, where an upgrade replaced it.
    succeeds: Option<Predecessor>,
}

/// What the program before left running.
#[derive(Debug, Clone, Copy)]
struct Predecessor {
    proxy: Option<i32>,
    gone_back: bool,
}

/// What a signal asks for.
enum Asked {
    /// To stop all.
    Stop,
    /// To go on as the program that lies at this one's path now.
    Renew,
}

async fn serve(output: Output, options: &Options, held: Held) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let started = Instant::now();
    let mut control =
        Child::new("control", options.home.root(), held.api.try_clone()?)?.with(&options.control);
    let mut proxy = Child::new("proxy", options.home.root(), held.apps.try_clone()?)?;
    let predecessor = held.succeeds.and_then(|before| before.proxy);
    if let Some(old) = predecessor {
        succession::reap(old);
    }
    control.start()?;
    let ready = tokio::select! {
        ready = first_answer(&options.home, control.address()) => ready,
        ended = control.ended() => Err(Problem::unavailable(format!("control ended before it was ready, with {ended}"))
            .hint("Its lines above tell why.").into()),
        // A new binary that comes this early is taken up when control has come up.
        () = signals.stop() => {
            control.stop(CONTROL_ENDS_WITHIN).await;
            return Ok(());
        }
    };
    let client = match ready {
        Ok(client) => client,
        Err(error) => {
            control.stop(CONTROL_ENDS_WITHIN).await;
            if let Some(before) = held.succeeds.filter(|before| !before.gone_back) {
                output.note(format!("the new binary does not come up: {error:#}"));
                let error = go_back(&control, &held, before.proxy);
                output.note(format!("the binary before cannot be taken up: {error:#}"));
            }
            return Err(error);
        }
    };
    proxy.start()?;
    let announced = match held.succeeds {
        Some(before) => {
            output.note(match before.gone_back {
                true => concat!("went back to Launchway ", env!("CARGO_PKG_VERSION")),
                false => concat!("goes on as Launchway ", env!("CARGO_PKG_VERSION")),
            });
            Ok(())
        }
        None => announce(output, options, client, &control, &proxy, started).await,
    };
    if announced.is_ok() {
        while let Asked::Renew = watch(output, &mut control, &mut proxy, &mut signals).await {
            // The proxy goes on: its successor takes its sockets over.
            control.stop(CONTROL_ENDS_WITHIN).await;
            let error = succession::replace(
                control.binary(),
                (&held.apps, &held.api, &held.lock),
                proxy.pid(),
                false,
            );
            output.note(format!("the new binary cannot be started: {error:#}"));
            control.start()?;
        }
    }
    stop(output, options, &mut control, &mut proxy, &mut signals).await;
    announced
}

/// Puts the binary before back and goes on as that. Comes back only where it failed.
fn go_back(control: &Child, held: &Held, proxy: Option<i32>) -> anyhow::Error {
    match binary::go_back(control.binary()) {
        Ok(()) => succession::replace(
            control.binary(),
            (&held.apps, &held.api, &held.lock),
            proxy,
            true,
        ),
        Err(error) => error,
    }
}

/// Restarts what dies until a signal comes.
async fn watch(
    output: Output,
    control: &mut Child,
    proxy: &mut Child,
    signals: &mut Signals,
) -> Asked {
    loop {
        tokio::select! {
            ended = control.ended() => revive(output, control, &ended),
            ended = proxy.ended() => revive(output, proxy, &ended),
            asked = signals.next() => return asked,
        }
    }
}

fn revive(output: Output, child: &mut Child, ended: &str) {
    let pause = child.plan_restart();
    let when = if pause.is_zero() {
        "at once".to_owned()
    } else {
        format!("in {} ms", pause.as_millis())
    };
    output.note(format!(
        "{} ended with {ended}; it is started again {when}",
        output.note_tone(Tone::Warning, child.role())
    ));
}

/// Control first, so that nobody reacts to what follows; then the proxy, which ends its requests in flight while the
/// apps still answer; then the apps.
async fn stop(
    output: Output,
    options: &Options,
    control: &mut Child,
    proxy: &mut Child,
    signals: &mut Signals,
) {
    output.note("stopping");
    let graceful = async {
        control.stop(CONTROL_ENDS_WITHIN).await;
        proxy.stop(PROXY_ENDS_WITHIN).await;
        if options.keep_apps {
            output.note("apps and builds go on; the next `launchway up` takes them over");
        } else {
            runners::cancel(&options.home, RUNNERS_END_WITHIN).await;
            stop_apps(output, &options.home).await;
        }
    };
    tokio::select! {
        () = graceful => {}
        () = signals.stop() => output.note("stopping at once; apps that still run are taken over by the next `launchway up`"),
    }
}

async fn stop_apps(output: Output, home: &Home) {
    let Ok(binary) = std::env::current_exe() else {
        return;
    };
    let supervisor = Supervisor::new(binary, home.clone());
    let mut stops = tokio::task::JoinSet::new();
    for adopted in supervisor.adopt_all().await {
        if let Adopted::Live(shim) = adopted {
            stops.spawn(async move {
                let stopped = shim.stop(None).await;
                stopped.map_err(|error| format!("{} did not stop: {error}", shim.instance()))
            });
        }
    }
    while let Some(stopped) = stops.join_next().await {
        if let Ok(Err(error)) = stopped {
            output.note(error);
        }
    }
}

/// Waits until control answers with the token that it wrote.
async fn first_answer(home: &Home, address: std::net::SocketAddr) -> anyhow::Result<Client> {
    let file = home.client_file();
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        // The file of an earlier start may name another port and a token that is still good: the port decides.
        let read = std::fs::read_to_string(&file)
            .ok()
            .and_then(|text| serde_json::from_str::<ClientFile>(&text).ok());
        if let Some(server) =
            read.filter(|server| server.url.ends_with(&format!(":{}", address.port())))
        {
            let client = Client::new(server);
            let (client, answer) = tokio::task::spawn_blocking(move || {
                let answer = client.get::<Status>("/status");
                (client, answer)
            })
            .await?;
            match answer {
                Ok(_) => return Ok(client),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).context("control does not answer");
                }
                Err(_) => {}
            }
        } else if Instant::now() >= deadline {
            return Err(Problem::unavailable("control does not come up")
                .hint("Its lines above tell why.")
                .into());
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

async fn announce(
    output: Output,
    options: &Options,
    client: Client,
    control: &Child,
    proxy: &Child,
    started: Instant,
) -> anyhow::Result<()> {
    let link: LoginLink =
        tokio::task::spawn_blocking(move || client.post("/login-links", &serde_json::json!({})))
            .await??;
    let summary = Summary {
        apps: format!("http://{}", proxy.address()),
        api: format!("http://{}", control.address()),
        login: link.url,
        home: options.home.root().to_owned(),
    };
    if output.is_json() {
        return output.record(&summary);
    }
    let strong = |text: &str| output.tone(Tone::Strong, text);
    output.line(format!(
        "{} is up  {}",
        strong(concat!("Launchway ", env!("CARGO_PKG_VERSION"))),
        output.tone(Tone::Faint, crate::words::duration(started.elapsed()))
    ))?;
    output.line(format!(
        "  apps    {}   each at http://NAME.localhost:{}",
        summary.apps,
        proxy.address().port()
    ))?;
    output.line(format!("  pages   {}", summary.api))?;
    output.line(format!(
        "  log in  {}   once, within ten minutes; `launchway open` makes another",
        summary.login
    ))?;
    output.line(format!("  home    {}", summary.home.display()))?;
    output.line(output.tone(
        Tone::Faint,
        "Deploy with `launchway deploy` in a repository. Ctrl-C stops all.",
    ))?;
    Ok(())
}

/// The installation's folder holds tokens and apps' secrets, so it is made for its owner alone.
fn make_private(folder: &std::path::Path) -> anyhow::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(folder)
        .map_err(|error| {
            Problem::invalid(format!("cannot make the folder {}", folder.display()))
                .cause(error)
                .hint("Name another with `--home FOLDER` or LAUNCHWAY_HOME.")
                .into()
        })
}

/// One `up` per home.
fn lock(home: &Home) -> anyhow::Result<std::fs::File> {
    let path = home.root().join("up.lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        let holder = std::fs::read_to_string(&path).unwrap_or_default();
        let holder = holder.trim();
        return Err(Problem::conflict(format!(
            "`launchway up` runs already for {}",
            home.root().display()
        ))
        .cause(format!("process {holder} has it"))
        .hint("Use that one, stop it, or name another folder with `--home FOLDER`.")
        .into());
    }
    file.set_len(0)?;
    std::io::Write::write_all(&mut &file, std::process::id().to_string().as_bytes())?;
    Ok(file)
}

/// The signals that stop it, and the one (SIGUSR2) that says that another binary lies at its path.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    renew: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            renew: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Stop,
            _ = self.renew.recv() => Asked::Renew,
        }
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
