//! `launchway control`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use launchway_control::{Control as Decider, Settings};
use tokio_util::sync::CancellationToken;

use crate::cli::Context;
use crate::roles::{self, BuildPlaces, FromParent};

/// Run the role that decides: API, pages, builds, deploys, supervision. `launchway up` starts it.
///
/// Ending it hurts nothing that runs: apps go on, builds go on, the proxy serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Control {
    /// Where the pages and the API are
    #[arg(long, default_value = "127.0.0.1:7070", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The address that links name, where it is not the one listened on
    #[arg(
        long,
        value_name = "URL",
        env = "LAUNCHWAY_PUBLIC_URL",
        hide_env_values = true
    )]
    public_url: Option<String>,
    /// Files and folders that every app may read, though they lie in a home folder or below /tmp, which apps do not see
    #[arg(
        long,
        value_name = "PATH",
        env = "LAUNCHWAY_VISIBLE",
        value_delimiter = ':'
    )]
    visible: Vec<std::path::PathBuf>,
    /// How often the advisories are fetched anew, in hours, once `launchway advisories update` fetched them for the
    /// first time; 0 for never
    #[arg(
        long,
        default_value_t = 24,
        value_name = "HOURS",
        env = "LAUNCHWAY_ADVISORIES_EVERY",
        hide_env_values = true
    )]
    advisories_every: u64,
    /// The mail server for pipelines' mails: smtps://USER:PASSWORD@HOST or smtp://HOST:25
    #[arg(
        long,
        value_name = "URL",
        env = "LAUNCHWAY_SMTP_URL",
        hide_env_values = true
    )]
    smtp: Option<String>,
    /// The sender of pipelines' mails
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "LAUNCHWAY_MAIL_FROM",
        hide_env_values = true
    )]
    mail_from: Option<String>,
    /// The incoming webhook for pipelines' messages to a chat
    #[arg(
        long,
        value_name = "URL",
        env = "LAUNCHWAY_CHAT_WEBHOOK",
        hide_env_values = true
    )]
    chat_webhook: Option<String>,
    #[command(flatten)]
    places: BuildPlaces,
    #[command(flatten)]
    budgets: Budgets,
    #[command(flatten)]
    from_parent: FromParent,
}

/// What grows is kept within these, in MiB; the variables work for `launchway up` as well.
#[derive(Debug, clap::Args)]
struct Budgets {
    /// Finished builds' folders of an app, in MiB, beside what a rollback needs
    #[arg(
        long,
        default_value_t = 2048,
        value_name = "MIB",
        env = "LAUNCHWAY_BUILD_BUDGET",
        hide_env_values = true
    )]
    build_budget: u64,
    /// The build cache of an app, in MiB
    #[arg(
        long,
        default_value_t = 2048,
        value_name = "MIB",
        env = "LAUNCHWAY_CACHE_BUDGET",
        hide_env_values = true
    )]
    cache_budget: u64,
    /// The logs of an app's ended instances, in MiB
    #[arg(
        long,
        default_value_t = 200,
        value_name = "MIB",
        env = "LAUNCHWAY_LOG_BUDGET",
        hide_env_values = true
    )]
    log_budget: u64,
    /// How many superseded releases of an app keep their tree for a rollback
    #[arg(
        long,
        default_value_t = 10,
        value_name = "NUMBER",
        env = "LAUNCHWAY_KEEP_RELEASES",
        hide_env_values = true
    )]
    keep_releases: usize,
    /// What is held in reserve for a full disk, in MiB
    #[arg(
        long,
        default_value_t = 16,
        value_name = "MIB",
        env = "LAUNCHWAY_DISK_RESERVE",
        hide_env_values = true
    )]
    disk_reserve: u64,
}

impl Budgets {
    fn put_into(&self, settings: &mut Settings) {
        let bytes = |mebibytes: u64| mebibytes.saturating_mul(1 << 20);
        settings.build_bytes = bytes(self.build_budget);
        settings.keep_releases = self.keep_releases.max(1);
        settings.budgets.cache_bytes = bytes(self.cache_budget);
        settings.budgets.log_bytes = bytes(self.log_budget);
        settings.budgets.reserve_bytes = bytes(self.disk_reserve);
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Control) -> anyhow::Result<ExitCode> {
    args.from_parent.tie()?;
    roles::log_to_stderr();
    let home = context.settings()?.home().clone();
    // Two workers: control waits for sockets and the disk, and each worker costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name("control")
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let listener = match args.from_parent.listener()? {
            Some(listener) => tokio::net::TcpListener::from_std(listener)?,
            None => tokio::net::TcpListener::bind(args.listen)
                .await
                .with_context(|| format!("cannot listen on {}", args.listen))?,
        };
        let url = match args.public_url {
            Some(url) => crate::settings::base_url(&url)?,
            None => format!("http://{}", reachable(listener.local_addr()?)),
        };
        let binary = std::env::current_exe().context("cannot tell where this binary lies")?;
        let mut settings = Settings::new(home.root(), binary, url);
        args.budgets.put_into(&mut settings);
        settings.mail_server = args.smtp;
        settings.mail_from = args.mail_from.unwrap_or(settings.mail_from);
        settings.chat_webhook = args.chat_webhook;
        settings.visible = args.visible;
        settings.advisories_every = (args.advisories_every > 0)
            .then(|| Duration::from_secs(args.advisories_every.saturating_mul(3600)));
        settings.builds = args.places.builds;
        settings.agent_deadline = Duration::from_secs(args.places.agent_deadline.max(1));
        let agents = match args.places.agents {
            Some(listen) => {
                let listener = tokio::net::TcpListener::bind(listen)
                    .await
                    .with_context(|| format!("cannot listen for agents on {listen}"))?;
                settings.agents_url = Some(match args.places.agents_url {
                    Some(url) => crate::settings::base_url(&url)?,
                    None => format!("https://{}", reachable(listener.local_addr()?)),
                });
                Some(listener)
            }
            None => None,
        };
        serve(listener, agents, settings).await
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    served?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    listener: tokio::net::TcpListener,
    agents: Option<tokio::net::TcpListener>,
    settings: Settings,
) -> anyhow::Result<()> {
    let control = Decider::open(settings).await?;
    crate::platform::notify::ready();
    let cancel = CancellationToken::new();
    let stopper = tokio::spawn({
        let cancel = cancel.clone();
        async move {
            let asked = roles::asked_to_stop().await;
            cancel.cancel();
            asked
        }
    });
    let deciding = async {
        let ended = control.run(cancel.clone()).await;
        // Without decisions the edge has nothing to serve, and the other way round.
        cancel.cancel();
        ended
    };
    let serving = async {
        let ended = launchway_web::serve(listener, control.clone(), cancel.clone()).await;
        cancel.cancel();
        ended
    };
    let serving_agents = async {
        let Some(agents) = agents else { return Ok(()) };
        let ended = launchway_web::agents::serve(agents, control.clone(), cancel.clone()).await;
        cancel.cancel();
        ended
    };
    let (decided, served, served_agents) = tokio::join!(deciding, serving, serving_agents);
    stopper.abort();
    decided?;
    served_agents?;
    served.context("the API ended")
}

/// An address that a client on this machine can use for one that may mean "all".
fn reachable(address: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_never_name_all_addresses() {
        assert_eq!(
            reachable("0.0.0.0:1".parse().unwrap()).to_string(),
            "127.0.0.1:1"
        );
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(
            reachable("10.1.2.3:1".parse().unwrap()).to_string(),
            "10.1.2.3:1"
        );
    }
}
