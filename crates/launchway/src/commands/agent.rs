//! `launchway agent`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use launchway_agent::{Options, Server, host};
use launchway_model::Problem;
use tokio_util::sync::CancellationToken;

use crate::cli::Context;
use crate::roles::{self, Parent};

/// Run builds on this machine for a Launchway on another one.
///
/// It connects to the server and nothing connects to it. `launchway agents create-token NAME` on the server makes the token, which
/// names the server's certificate too. Without the link builds go on and are delivered when it is back; so they are when this is
/// ended and started again.
#[derive(Debug, clap::Args)]
pub(crate) struct Agent {
    /// The address of the server's listener for agents, such as https://ci.example.org:7071
    #[arg(long, value_name = "URL", env = "LAUNCHWAY_SERVER")]
    server: String,
    /// The file with the token
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// A label that builds may ask for; may be given several times. The system and architecture are labels anyway
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// The machine's name for people [default: its host name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How many builds run at once
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    executors: u32,
    /// The SHA-256 of the server's certificate, where it is not the token's
    #[arg(long, value_name = "SHA256")]
    fingerprint: Option<String>,
    /// Where mirrors, caches and builds under way are kept [default: /var/lib/launchway-agent for root, else ~/.local/share/launchway-agent]
    #[arg(long, value_name = "FOLDER", env = "LAUNCHWAY_AGENT_FOLDER")]
    folder: Option<PathBuf>,
    /// Send everything in clear, to an http address that is not this machine
    #[arg(long)]
    insecure_http: bool,
    #[command(flatten)]
    parent: Parent,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Agent) -> anyhow::Result<ExitCode> {
    args.parent.tie()?;
    roles::log_to_stderr();
    let token = std::fs::read_to_string(&args.token_file).map_err(|error| {
        Problem::invalid(format!(
            "the token cannot be read from {}",
            args.token_file.display()
        ))
        .cause(error)
        .hint("`launchway agents create-token NAME` on the server prints one; keep it in a file that only this user can read.")
    })?;
    let token = token.trim().to_owned();
    let server = Server::new(
        &args.server,
        &token,
        args.fingerprint.as_deref(),
        args.insecure_http,
    )?;
    let folder = match args.folder {
        Some(folder) => std::path::absolute(&folder)
            .with_context(|| format!("cannot resolve {}", folder.display()))?,
        None => context.settings()?.agent_folder(),
    };
    let options = Options {
        server,
        token,
        labels: args.labels.into_iter().collect::<BTreeSet<_>>(),
        host: args.name.unwrap_or_else(host::name),
        executors: args.executors,
        folder,
        binary: std::env::current_exe().context("cannot tell where this binary lies")?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_name("agent")
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let cancel = CancellationToken::new();
        let stopper = tokio::spawn({
            let cancel = cancel.clone();
            async move {
                let asked = roles::asked_to_stop().await;
                cancel.cancel();
                asked
            }
        });
        let ended = launchway_agent::run(options, cancel).await;
        stopper.abort();
        ended
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ended.map_err(launchway_agent::AgentError::into_problem)?;
    Ok(ExitCode::SUCCESS)
}
