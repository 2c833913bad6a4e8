//! `launchway doctor`

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use launchway_model::api;
use launchway_model::home::Home;
use launchway_supervisor::network;
use launchway_supervisor::sandbox::{self, CgroupAbility, Namespaces};
use serde::Serialize;

use crate::cli::Context;
use crate::output::{Output, Tone};
use crate::words;

/// Look at this machine: what Launchway can use, what is missing, and the command that mends it.
///
/// Exits with 1 where something is missing without which Launchway does not work.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}

/// What was looked at, and found.
#[derive(Debug, Serialize)]
struct Check {
    /// What.
    name: &'static str,
    /// How it stands.
    verdict: Verdict,
    /// What was found, in words.
    found: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// All is well.
    Good,
    /// It works without, but less well, or not for every app.
    Lacking,
    /// Launchway does not work like this.
    Broken,
}

/// Runs the command.
pub(crate) fn run(context: &Context, _: Doctor) -> anyhow::Result<ExitCode> {
    let settings = context.settings()?;
    let mut checks = vec![tool(
        "git",
        "git",
        Verdict::Broken,
        "sources are fetched with it",
        "apt-get install git",
    )];
    python(&mut checks);
    checks.push(tool(
        "node",
        "node",
        Verdict::Lacking,
        "only Node apps need it",
        "apt-get install nodejs npm",
    ));
    host(&mut checks);
    checks.push(disk(settings.home()));
    checks.push(memory());
    checks.push(open_files());
    checks.push(io_uring());
    checks.push(home_folder(settings.home()));
    checks.extend(server(context));
    context.output.result(&checks, |output| {
        for check in &checks {
            print(output, check)?;
        }
        Ok(())
    })?;
    let broken = checks.iter().any(|check| check.verdict == Verdict::Broken);
    Ok(if broken {
        ExitCode::from(launchway_model::ProblemKind::Failed.exit_code())
    } else {
        ExitCode::SUCCESS
    })
}

fn print(output: Output, check: &Check) -> std::io::Result<()> {
    let (sign, tone) = match check.verdict {
        Verdict::Good => ("✔", Tone::Good),
        Verdict::Lacking => ("!", Tone::Warning),
        Verdict::Broken => ("✘", Tone::Bad),
    };
    output.line(format!(
        "{} {:<12} {}",
        output.tone(tone, sign),
        check.name,
        check.found
    ))?;
    if let Some(mend) = &check.mend {
        output.line(format!("  {:<12} {}", "", output.tone(Tone::Strong, mend)))?;
    }
    Ok(())
}

fn good(name: &'static str, found: impl Into<String>) -> Check {
    Check {
        name,
        verdict: Verdict::Good,
        found: found.into(),
        mend: None,
    }
}

fn tool(name: &'static str, command: &str, missing: Verdict, why: &str, mend: &str) -> Check {
    match version(command, &["--version"]) {
        Some(version) => good(name, version),
        None => Check {
            name,
            verdict: missing,
            found: format!("not found; {why}"),
            mend: Some(mend.to_owned()),
        },
    }
}

/// The first line that a command prints, where it can be run.
fn version(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn python(checks: &mut Vec<Check>) {
    let Some(found) = version("python3", &["--version"]) else {
        checks.push(Check {
            name: "python",
            verdict: Verdict::Lacking,
            found: "not found; only Python apps need it".to_owned(),
            mend: Some("apt-get install python3 python3-venv".to_owned()),
        });
        return;
    };
    checks.push(good("python", found));
    if let Some(uv) = version("uv", &["--version"]) {
        checks.push(good("uv", uv));
        return;
    }
    checks.push(Check {
        name: "uv",
        verdict: Verdict::Lacking,
        found: "not found; Python builds use pip, which takes many times as long".to_owned(),
        mend: Some("pip install uv".to_owned()),
    });
    checks.push(
        match version(
            "python3",
            &[
                "-c",
                "import ensurepip, venv; print('python3-venv is here')",
            ],
        ) {
            Some(found) => good("venv", found),
            None => Check {
                name: "venv",
                verdict: Verdict::Lacking,
                found: "Python's venv or ensurepip is missing; Python apps need it, or uv"
                    .to_owned(),
                mend: Some("apt-get install python3-venv".to_owned()),
            },
        },
    );
}

fn host(checks: &mut Vec<Check>) {
    let abilities = sandbox::abilities();
    checks.push(match &abilities.mounts {
        Namespaces::Root => good(
            "namespaces",
            "builds and instances see their tree at /app, the system read-only, no other app's files (as root)",
        ),
        Namespaces::User => good(
            "namespaces",
            "builds and instances see their tree at /app, the system read-only, no other app's files (user namespaces)",
        ),
        Namespaces::None(why) => Check {
            name: "namespaces",
            verdict: Verdict::Lacking,
            found: format!(
                "not allowed ({why}); trees stay in the release's own folder, and an app can read what Launchway and its neighbours keep"
            ),
            mend: Some(
                "sysctl -w kernel.unprivileged_userns_clone=1   # or run Launchway as root"
                    .to_owned(),
            ),
        },
    });
    checks.push(if abilities.processes {
        good(
            "processes",
            "the kernel ends all of an app's processes with its shim",
        )
    } else {
        Check {
            name: "processes",
            verdict: Verdict::Lacking,
            found: "no process namespaces; the shim finds an app's processes itself".to_owned(),
            mend: None,
        }
    });
    checks.push(match &abilities.cgroup {
        CgroupAbility::V2(controllers) => good(
            "cgroup",
            format!("version 2 with {}", controllers.join(", ")),
        ),
        CgroupAbility::V1(controllers) => good(
            "cgroup",
            format!("version 1 with {}", controllers.join(", ")),
        ),
        CgroupAbility::None(why) => Check {
            name: "cgroup",
            verdict: Verdict::Lacking,
            found: format!(
                "not writable ({why}); memory and CPU limits hold for single processes only"
            ),
            mend: Some("systemd-run --user --scope -p Delegate=yes launchway up".to_owned()),
        },
    });
    checks.push(if abilities.users {
        good("users", "each app runs as a user of its own, without capabilities")
    } else {
        Check {
            name: "users",
            verdict: Verdict::Lacking,
            found: "all apps run as this user, with its rights; only root can give them users of their own"
                .to_owned(),
            mend: None,
        }
    });
    checks.push(match network::ability() {
        Ok(()) => good(
            "networks",
            "instances can have a network of their own (`network = \"private\"`)",
        ),
        Err(why) => Check {
            name: "networks",
            verdict: Verdict::Lacking,
            mend: why
                .contains("missing")
                .then(|| "apt-get install iproute2 nftables".to_owned()),
            found: format!("no private networks ({why}); an app must listen on the port in PORT"),
        },
    });
}

fn disk(home: &Home) -> Check {
    // The home may not exist yet: its nearest folder that does has the same disk.
    let existing = home
        .root()
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    let Ok(found) = rustix::fs::statvfs(existing) else {
        return Check {
            name: "disk",
            verdict: Verdict::Lacking,
            found: format!("cannot tell the free space at {}", existing.display()),
            mend: None,
        };
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} free at {}", words::size(free), existing.display());
    match free {
        0..0x0800_0000 => Check {
            name: "disk",
            verdict: Verdict::Broken,
            found: format!("{text}; builds need more"),
            mend: Some(format!(
                "du -xh --max-depth=2 {} | sort -h | tail",
                existing.display()
            )),
        },
        0x0800_0000..0x4000_0000 => Check {
            name: "disk",
            verdict: Verdict::Lacking,
            found: format!("{text}; little for builds and releases"),
            mend: Some(format!(
                "du -xh --max-depth=2 {} | sort -h | tail",
                existing.display()
            )),
        },
        _ => good("disk", text),
    }
}

fn memory() -> Check {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map(|kib| kib * 1024);
    match available {
        Some(bytes) if bytes < 128 << 20 => Check {
            name: "memory",
            verdict: Verdict::Lacking,
            found: format!("{} available; builds may run out of it", words::size(bytes)),
            mend: Some("fallocate -l 1G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile".to_owned()),
        },
        Some(bytes) => good("memory", format!("{} available", words::size(bytes))),
        None => good("memory", "cannot tell"),
    }
}

fn open_files() -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.current {
        Some(number) if number < 4096 => Check {
            name: "open files",
            verdict: Verdict::Lacking,
            found: format!("at most {number} a process: the proxy holds two per request in flight"),
            mend: Some("ulimit -n 65536".to_owned()),
        },
        Some(number) => good("open files", format!("up to {number} a process")),
        None => good("open files", "unlimited"),
    }
}

fn io_uring() -> Check {
    match launchway_proxy::io_uring_available() {
        Ok(()) => good("io_uring", "the proxy moves bytes by it"),
        Err(error) => Check {
            name: "io_uring",
            verdict: Verdict::Lacking,
            found: format!(
                "not to be had ({error}): the proxy works by readiness, at a higher cost a request; it needs Linux 6.1 and \
                 no container that forbids it"
            ),
            mend: None,
        },
    }
}

fn home_folder(home: &Home) -> Check {
    let root = home.root();
    if !root.exists() {
        return good(
            "home",
            format!("{} (made at the first start)", root.display()),
        );
    }
    match rustix::fs::access(
        root,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    ) {
        Ok(()) => good("home", root.display().to_string()),
        Err(error) => Check {
            name: "home",
            verdict: Verdict::Broken,
            found: format!("{} is not writable: {error}", root.display()),
            mend: Some(format!("chown -R \"$(id -u)\" {}", root.display())),
        },
    }
}

fn server(context: &Context) -> Vec<Check> {
    let client = match context.client() {
        Ok(client) => client,
        Err(_) => {
            return ports()
                .into_iter()
                .chain([Check {
                    name: "launchway",
                    verdict: Verdict::Lacking,
                    found: "not running here".to_owned(),
                    mend: Some("launchway up".to_owned()),
                }])
                .collect();
        }
    };
    match client.get::<api::Status>("/status") {
        Ok(status) => {
            let mut checks = vec![good(
                "launchway",
                format!("{} answers at {}", status.version, status.url),
            )];
            checks.push(if status.proxy.is_empty() {
                Check {
                    name: "proxy",
                    verdict: Verdict::Broken,
                    found: "control cannot reach it".to_owned(),
                    mend: Some("launchway up".to_owned()),
                }
            } else {
                good(
                    "proxy",
                    format!("takes requests at {}", status.proxy.join(", ")),
                )
            });
            checks
        }
        Err(error) => ports()
            .into_iter()
            .chain([Check {
                name: "launchway",
                verdict: Verdict::Lacking,
                found: format!("{error:#}"),
                mend: Some("launchway up".to_owned()),
            }])
            .collect(),
    }
}

/// The usual ports, when no Launchway of ours has them.
fn ports() -> Vec<Check> {
    [
        ("port 8080", crate::up::APPS_PORT),
        ("port 7070", crate::up::API_PORT),
    ]
    .into_iter()
    .map(
        |(name, port)| match std::net::TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => good(name, "free"),
            Err(error) => {
                let owner = crate::up::port_owner(port)
                    .map(|owner| format!(" by {owner}"))
                    .unwrap_or_default();
                Check {
                    name,
                    verdict: Verdict::Lacking,
                    found: format!(
                        "in use{owner} ({error}); `launchway up` takes a free one instead"
                    ),
                    mend: None,
                }
            }
        },
    )
    .collect()
}
