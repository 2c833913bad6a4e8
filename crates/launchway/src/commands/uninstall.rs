//! `launchway uninstall`

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use launchway_model::Problem;
use launchway_model::home::Home;
use launchway_supervisor::{Adopted, Supervisor};
use serde::Serialize;

use super::install::within;
use crate::cli::Context;
use crate::output::Tone;
use crate::platform::binary;
use crate::platform::units::{self, Init, Layout};

/// Take Launchway off this machine: stop it and all apps, remove units and the binary. What it stored is kept.
///
/// Needs root. The home (database, secrets, releases, apps' persistent files) stays unless `--purge` is given; a later
/// `launchway install` goes on with it.
#[derive(Debug, clap::Args)]
pub(crate) struct Uninstall {
    /// Delete the home as well: every app, its data, all secrets
    #[arg(long)]
    purge: bool,
    /// Where the binary is
    #[arg(long, default_value = "/usr/local/bin/launchway", value_name = "FILE")]
    binary: PathBuf,
    /// Uninstall below this folder, as it was installed
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Uninstalled {
    removed: Vec<PathBuf>,
    /// The home, where it was kept.
    kept: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Uninstall) -> anyhow::Result<ExitCode> {
    let root = args.root.as_deref();
    if root.is_none() && !rustix::process::geteuid().is_root() {
        return Err(Problem::invalid("uninstalling needs root")
            .hint("Run it with sudo.")
            .into());
    }
    let home = context.settings()?.home().clone();
    if root.is_none() {
        stop_services();
        stop_apps(context, &home)?;
    }
    let mut removed = Vec::new();
    let layout = Layout {
        binary: args.binary.clone(),
        home: home.root().to_owned(),
        apps: ([0, 0, 0, 0], 80).into(),
        api: ([127, 0, 0, 1], 7070).into(),
    };
    let files = [Init::Systemd, Init::Openrc, Init::Sysv, Init::Shell]
        .into_iter()
        .flat_map(|init| units::units(init, &layout))
        .map(|unit| unit.path)
        .chain([args.binary.clone(), binary::previous(&args.binary)]);
    for file in files {
        let file = within(root, &file);
        match std::fs::remove_file(&file) {
            Ok(()) => removed.push(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
        }
    }
    if root.is_none() && Path::new("/run/systemd/system").exists() {
        quietly(&["systemctl", "daemon-reload"]);
    }
    let home = within(root, home.root());
    let mut kept = home.is_dir().then(|| home.clone());
    if args.purge && kept.take().is_some() {
        std::fs::remove_dir_all(&home)
            .with_context(|| format!("cannot remove {}", home.display()))?;
        removed.push(home);
    }
    let done = Uninstalled { removed, kept };
    context.output.result(&done, |output| {
        for file in &done.removed {
            output.line(format!("  removed {}", file.display()))?;
        }
        match &done.kept {
            Some(home) => output.line(format!(
                "{} uninstalled; {} is kept (`--purge` would delete it)",
                output.tone(Tone::Good, "✔"),
                home.display()
            ))?,
            None => output.line(format!("{} uninstalled", output.tone(Tone::Good, "✔")))?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Stops what the service manager runs; one that is not there runs nothing.
fn stop_services() {
    if Path::new("/run/systemd/system").exists() {
        quietly(&[
            "systemctl",
            "disable",
            "--now",
            "launchway-control",
            "launchway-proxy",
        ]);
    }
    if Path::new("/run/openrc/softlevel").exists() {
        for service in ["launchway-control", "launchway-proxy"] {
            quietly(&["rc-service", service, "stop"]);
            quietly(&["rc-update", "del", service]);
        }
    }
    if Path::new("/etc/init.d/launchway").exists() {
        quietly(&["/etc/init.d/launchway", "stop"]);
    }
}

fn quietly(words: &[&str]) {
    // A service that is not known or does not run is what we want.
    let _ = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output();
}

/// Stops all shims of the home.
fn stop_apps(context: &Context, home: &Home) -> anyhow::Result<()> {
    if !home.instances().is_dir() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let supervisor = Supervisor::new(std::env::current_exe()?, home.clone());
    runtime.block_on(async {
        for adopted in supervisor.adopt_all().await {
            if let Adopted::Live(shim) = adopted
                && let Err(error) = shim.stop(None).await
            {
                context
                    .output
                    .note(format!("{} did not stop: {error}", shim.instance()));
            }
        }
    });
    Ok(())
}
