//! `launchway open`

use std::io::IsTerminal as _;
use std::process::{Command, ExitCode, Stdio};

use launchway_model::api::LoginLink;

use crate::cli::Context;

/// Print a link that logs a browser in, once, within ten minutes; open it where there is a desktop.
#[derive(Debug, clap::Args)]
pub(crate) struct Open {
    /// Print the link alone
    #[arg(long)]
    print: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Open) -> anyhow::Result<ExitCode> {
    let link: LoginLink = context
        .client()?
        .post("/login-links", &serde_json::json!({}))?;
    context
        .output
        .result(&link, |output| Ok(output.line(&link.url)?))?;
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    if !args.print && !context.output.is_json() && desktop && std::io::stdout().is_terminal() {
        // The link is printed already, so a desktop without a browser is no error.
        let _ = Command::new("xdg-open")
            .arg(&link.url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    Ok(ExitCode::SUCCESS)
}
