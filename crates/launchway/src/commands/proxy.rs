//! `launchway proxy`

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::cli::Context;
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
    #[command(flatten)]
    from_parent: FromParent,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Proxy) -> anyhow::Result<ExitCode> {
    args.from_parent.tie()?;
    roles::log_to_stderr();
    let settings = context.settings()?;
    let mut options = launchway_proxy::Options::new(settings.home(), vec![args.listen]);
    options.inherited.extend(args.from_parent.listener()?);
    options.admin = args.admin;
    launchway_proxy::run(options)?;
    Ok(ExitCode::SUCCESS)
}
