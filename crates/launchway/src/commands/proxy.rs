//! `launchway proxy`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use launchway_model::cidr::Cidr;
use launchway_proxy::options::{AccessLog, Certificate, Https};

use anyhow::Context as _;

use crate::cli::Context;
use crate::platform::notify;
use crate::roles::{self, FromParent};

/// Run the role that takes visitors' requests to the apps. `launchway up` starts it.
///
/// It serves the last routes that control gave it, also while control is away.
#[derive(Debug, clap::Args)]
pub(crate) struct Proxy {
    /// Where visitors come
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where `GET /metrics` and `GET /healthz` are answered
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Where visitors come over HTTPS; needs a certificate
    #[arg(long, value_name = "ADDRESS", requires = "certificate")]
    https: Vec<SocketAddr>,
    /// A certificate chain as a PEM file, leaf first; one for each --key, chosen by the name that a visitor asks for
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Vec<PathBuf>,
    /// The private key of the certificate at the same place in the list
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Vec<PathBuf>,
    /// A proxy in front, by address or range, whose X-Forwarded fields are believed
    #[arg(long, value_name = "RANGE")]
    trust: Vec<Cidr>,
    /// Log each request as a line of JSON to this file, which is rotated
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// How bytes are moved
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    driver: Driver,
    /// Take the sockets over from the proxy that runs here, which then ends: an upgrade that fails no request
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    from_parent: FromParent,
}

/// Starts the binary that lies at this one's path now as the successor. It takes the sockets over and tells the service
/// manager that it is the main process; where it fails, this process goes on serving.
fn succeed(program: &std::path::Path) {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--take-over") {
        arguments.push("--take-over".into());
    }
    match std::process::Command::new(program).args(arguments).spawn() {
        Ok(mut successor) => {
            tracing::info!(pid = successor.id(), "a successor is started");
            // One that fails is not left as a zombie.
            std::thread::spawn(move || {
                let _ = successor.wait();
            });
        }
        Err(error) => {
            tracing::error!(%error, program = %program.display(), "no successor can be started");
        }
    }
}

/// How bytes are moved between visitors and apps.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Driver {
    /// By io_uring where this machine allows it
    Auto,
    /// By io_uring, or not at all
    #[value(name = "io_uring")]
    IoUring,
    /// By readiness (epoll)
    Readiness,
}

impl From<Driver> for launchway_proxy::options::Driver {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Auto => Self::Auto,
            Driver::IoUring => Self::IoUring,
            Driver::Readiness => Self::Readiness,
        }
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Proxy) -> anyhow::Result<ExitCode> {
    args.from_parent.tie()?;
    roles::log_to_stderr();
    let settings = context.settings()?;
    let mut options = launchway_proxy::Options::new(settings.home(), vec![args.listen]);
    options.inherited.extend(args.from_parent.listener()?);
    options.admin = args.admin;
    options.trusted = args.trust;
    options.driver = args.driver.into();
    options.take_over = args.take_over;
    options.access_log = args.access_log.map(AccessLog::new);
    anyhow::ensure!(
        args.certificate.len() == args.key.len(),
        "there are {} certificates and {} keys: each certificate needs its key",
        args.certificate.len(),
        args.key.len()
    );
    if !args.https.is_empty() {
        let pairs = args.certificate.into_iter().zip(args.key);
        options.https = Some(Https {
            listen: args.https,
            certificates: pairs
                .map(|(chain, key)| Certificate { chain, key })
                .collect(),
        });
    }
    let program = std::env::current_exe().context("cannot tell where this binary lies")?;
    let keeps_itself = !args.from_parent.is_tied();
    launchway_proxy::run(options, notify::ready, || {
        // `launchway up` starts the successor itself.
        if keeps_itself {
            succeed(&program);
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
