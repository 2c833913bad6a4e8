//! `launchway install`

use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use launchway_model::Problem;
use serde::Serialize;

use crate::cli::Context;
use crate::output::Tone;
use crate::platform::binary;
use crate::platform::units::{self, Init, Layout, USER};

/// Make this machine run Launchway: a system user, folders, the binary in its place, units of the service manager.
///
/// Needs root. What is there already is kept: running it again with other options changes the units alone. With `--print`
/// nothing is changed and the units are printed, for systemd or for another init system.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    /// Print the units instead of installing anything
    #[arg(long)]
    print: bool,
    /// The service manager [default: the one of this machine]
    #[arg(long, value_enum, value_name = "KIND")]
    init: Option<Init>,
    /// Where visitors reach the apps
    #[arg(long, default_value = "0.0.0.0:80", value_name = "ADDRESS")]
    apps: SocketAddr,
    /// Where the pages and the API are; behind a name of their own they are reached through the proxy
    #[arg(long, default_value = "127.0.0.1:7070", value_name = "ADDRESS")]
    api: SocketAddr,
    /// Where the binary is put
    #[arg(long, default_value = "/usr/local/bin/launchway", value_name = "FILE")]
    binary: PathBuf,
    /// Do not start it yet
    #[arg(long)]
    no_start: bool,
    /// Install below this folder, for an image or a package; starts nothing and makes no user
    #[arg(long, value_name = "FOLDER", conflicts_with = "print")]
    root: Option<PathBuf>,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Installed {
    binary: PathBuf,
    home: PathBuf,
    units: Vec<PathBuf>,
    /// Whether the service manager runs it now.
    started: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Install) -> anyhow::Result<ExitCode> {
    let layout = Layout {
        binary: args.binary.clone(),
        home: context.settings()?.home().root().to_owned(),
        apps: args.apps,
        api: args.api,
    };
    let init = args.init.unwrap_or_else(this_machines);
    let units = units::units(init, &layout);
    if args.print {
        for unit in &units {
            context.output.line(context.output.tone(
                Tone::Faint,
                format!("# {}{}", unit.path.display(), mode_word(unit.executable)),
            ))?;
            context.output.line(&unit.text)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let root = args.root.as_deref();
    if root.is_none() && !rustix::process::geteuid().is_root() {
        return Err(Problem::invalid("installing needs root")
            .hint("Run it with sudo; or see what it would write with `launchway install --print`; or use `launchway up`, which needs no root.")
            .into());
    }
    if root.is_none() {
        make_user()?;
    }
    let installed = within(root, &layout.binary);
    put_binary(&installed)?;
    make_folders(&within(root, &layout.home), root.is_none())?;
    for unit in &units {
        write_unit(&within(root, &unit.path), unit)?;
    }
    let started = root.is_none() && !args.no_start && start(init)?;
    let done = Installed {
        binary: layout.binary.clone(),
        home: layout.home.clone(),
        units: units.iter().map(|unit| unit.path.clone()).collect(),
        started,
    };
    context.output.result(&done, |output| {
        let strong = |text: String| output.tone(Tone::Strong, text);
        output.line(format!("{} installed", output.tone(Tone::Good, "✔")))?;
        output.line(format!("  binary  {}", done.binary.display()))?;
        output.line(format!("  home    {}", done.home.display()))?;
        for unit in &done.units {
            output.line(format!("  unit    {}", unit.display()))?;
        }
        output.line(match done.started {
            true => format!(
                "It runs: apps at {}, pages at http://{}; {} logs in.",
                layout.apps,
                layout.api,
                strong("`launchway open`".to_owned())
            ),
            false => format!("Start it with {}.", strong(start_words(init))),
        })?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The service manager of this machine.
pub(crate) fn this_machines() -> Init {
    let has = |path: &str| Path::new(path).exists();
    if has("/run/systemd/system") {
        Init::Systemd
    } else if has("/sbin/openrc-run") {
        Init::Openrc
    } else if has("/etc/systemd/system") && has("/lib/systemd/systemd") {
        // An image that is not booted.
        Init::Systemd
    } else if has("/etc/init.d") {
        Init::Sysv
    } else {
        Init::Shell
    }
}

/// A path of the machine, below the folder that stands for it.
pub(crate) fn within(root: Option<&Path>, path: &Path) -> PathBuf {
    match root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    }
}

fn mode_word(executable: bool) -> &'static str {
    if executable { "  (mode 0755)" } else { "" }
}

fn make_user() -> anyhow::Result<()> {
    let known = std::fs::read_to_string("/etc/passwd")
        .unwrap_or_default()
        .lines()
        .any(|line| line.split(':').next() == Some(USER));
    if known {
        return Ok(());
    }
    // shadow's tool on most systems, busybox's on Alpine.
    let tools: [&[&str]; 2] = [
        &[
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            USER,
        ],
        &["adduser", "-S", "-D", "-H", "-s", "/sbin/nologin", USER],
    ];
    for tool in tools {
        let made = Command::new(tool[0])
            .args(&tool[1..])
            .stdin(Stdio::null())
            .output();
        match made {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                return Err(
                    Problem::failed(format!("the system user `{USER}` cannot be made"))
                        .cause(String::from_utf8_lossy(&output.stderr).trim())
                        .into(),
                );
            }
            Err(_) => {}
        }
    }
    Err(Problem::failed(format!(
        "the system user `{USER}` cannot be made: there is neither useradd nor adduser"
    ))
    .hint("Make it by hand, then install again.")
    .into())
}

fn put_binary(installed: &Path) -> anyhow::Result<()> {
    let this = std::env::current_exe().context("cannot tell where this binary lies")?;
    if this == installed {
        return Ok(());
    }
    let folder = installed.parent().context("the binary needs a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if same(&this, installed) {
        return Ok(());
    }
    binary::put_in_place(&this, installed)
}

/// Whether two files have the same bytes.
fn same(left: &Path, right: &Path) -> bool {
    let size = |path: &Path| std::fs::metadata(path).ok().map(|file| file.len());
    size(left).is_some()
        && size(left) == size(right)
        && matches!((std::fs::read(left), std::fs::read(right)), (Ok(left), Ok(right)) if left == right)
}

fn make_folders(home: &Path, with_user: bool) -> anyhow::Result<()> {
    let make = |folder: &Path, mode: u32| -> anyhow::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(folder)
            .and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)))
            .with_context(|| format!("cannot make {}", folder.display()))
    };
    // Apps and the proxy are other users: they pass through, and see what is theirs.
    make(home, 0o711)?;
    let proxy = home.join("proxy");
    make(&proxy, 0o700)?;
    if with_user {
        let owned = Command::new("chown")
            .args(["-R", &format!("{USER}:")])
            .arg(&proxy)
            .output()
            .context("cannot run chown")?;
        anyhow::ensure!(
            owned.status.success(),
            "{} cannot be given to the user {USER}: {}",
            proxy.display(),
            String::from_utf8_lossy(&owned.stderr).trim()
        );
    }
    Ok(())
}

fn write_unit(path: &Path, unit: &units::Unit) -> anyhow::Result<()> {
    let folder = path.parent().context("a unit lies in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let draft = path.with_extension("launchway-new");
    std::fs::write(&draft, &unit.text)
        .and_then(|()| {
            let mode = if unit.executable { 0o755 } else { 0o644 };
            std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(mode))
        })
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The commands that start it now and at each boot.
fn start_commands(init: Init) -> &'static [&'static [&'static str]] {
    match init {
        Init::Systemd => &[
            &["systemctl", "daemon-reload"],
            &[
                "systemctl",
                "enable",
                "--now",
                "launchway-control",
                "launchway-proxy",
            ],
        ],
        Init::Openrc => &[
            &["rc-update", "add", "launchway-control", "default"],
            &["rc-update", "add", "launchway-proxy", "default"],
            &["rc-service", "launchway-control", "start"],
            &["rc-service", "launchway-proxy", "start"],
        ],
        Init::Sysv => &[&["/etc/init.d/launchway", "start"]],
        Init::Shell => &[&["/usr/local/sbin/launchway-run"]],
    }
}

fn start_words(init: Init) -> String {
    let lines: Vec<String> = start_commands(init)
        .iter()
        .map(|words| words.join(" "))
        .collect();
    format!("`{}`", lines.join(" && "))
}

/// Starts it where its service manager runs; gives whether it did.
fn start(init: Init) -> anyhow::Result<bool> {
    let runs = match init {
        Init::Systemd => Path::new("/run/systemd/system").exists(),
        Init::Openrc => Path::new("/run/openrc/softlevel").exists(),
        // A boot of these is nothing that can be seen; the person is told the command.
        Init::Sysv | Init::Shell => false,
    };
    if !runs {
        return Ok(false);
    }
    for words in start_commands(init) {
        let ran = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", words[0]))?;
        if !ran.status.success() {
            return Err(Problem::failed(format!("`{}` failed", words.join(" ")))
                .cause(String::from_utf8_lossy(&ran.stderr).trim())
                .hint("`journalctl -u launchway-control -u launchway-proxy` tells more.")
                .into());
        }
    }
    Ok(true)
}
