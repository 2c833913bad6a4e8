//! The files by which a service manager runs Launchway: systemd's units, OpenRC's and System V's scripts, a plain script.
//!
//! Control runs as root: it gives each app its own system user and namespaces. The proxy, which strangers speak to, runs as
//! an unprivileged user that may bind low ports and read what it serves, and nothing else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The system user that the proxy runs as.
pub(crate) const USER: &str = "launchway";

/// A kind of service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Init {
    /// systemd: two units
    Systemd,
    /// OpenRC: two scripts in /etc/init.d
    Openrc,
    /// System V and busybox init: one script in /etc/init.d
    Sysv,
    /// A plain shell script, for whatever else starts processes
    Shell,
}

/// What the units say.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Where the binary is.
    pub(crate) binary: PathBuf,
    /// The installation's folder.
    pub(crate) home: PathBuf,
    /// Where the apps are reached.
    pub(crate) apps: SocketAddr,
    /// Where the pages and the API are.
    pub(crate) api: SocketAddr,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// Whether it is run.
    pub(crate) executable: bool,
}

/// The files of a service manager.
pub(crate) fn units(init: Init, layout: &Layout) -> Vec<Unit> {
    let (control, proxy) = (control_command(layout), proxy_command(layout));
    let unit = |path: &str, text: String, executable| Unit {
        path: Path::new(path).to_owned(),
        text,
        executable,
    };
    match init {
        Init::Systemd => vec![
            unit(
                "/etc/systemd/system/launchway-control.service",
                systemd_control(&control),
                false,
            ),
            unit(
                "/etc/systemd/system/launchway-proxy.service",
                systemd_proxy(layout, &proxy),
                false,
            ),
        ],
        Init::Openrc => vec![
            unit(
                "/etc/init.d/launchway-control",
                openrc(
                    "Launchway, the part that decides",
                    &control,
                    None,
                    "need net",
                ),
                true,
            ),
            unit(
                "/etc/init.d/launchway-proxy",
                openrc(
                    "Launchway, the data plane",
                    &proxy,
                    Some(USER),
                    "need net\n\tafter launchway-control",
                ),
                true,
            ),
        ],
        Init::Sysv => vec![unit("/etc/init.d/launchway", sysv(&control, &proxy), true)],
        Init::Shell => vec![unit(
            "/usr/local/sbin/launchway-run",
            shell(&control, &proxy),
            true,
        )],
    }
}

fn control_command(layout: &Layout) -> String {
    format!(
        "{} control --home {} --listen {}",
        layout.binary.display(),
        layout.home.display(),
        layout.api
    )
}

fn proxy_command(layout: &Layout) -> String {
    format!(
        "{} proxy --home {} --listen {} --take-over",
        layout.binary.display(),
        layout.home.display(),
        layout.apps
    )
}

fn systemd_control(command: &str) -> String {
    format!(
        "[Unit]
Description=Launchway: builds, deploys, supervision, pages and API
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart={command}
Restart=always
RestartSec=200ms
# A restart of control ends control alone: shims (with the apps) and runners (with the builds) go on, and the next control
# takes them over.
KillMode=process
# The cgroups below the unit's own are Launchway's to make, one for each app instance.
Delegate=yes
TimeoutStopSec=30
LimitNOFILE=65536
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
"
    )
}

fn systemd_proxy(layout: &Layout, command: &str) -> String {
    format!(
        "[Unit]
Description=Launchway: the data plane
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
# A successor, started by a reload, says that it is the main process from now on.
NotifyAccess=all
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=100ms
KillMode=mixed
TimeoutStopSec=40
User={USER}
Group={USER}
AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_DAC_READ_SEARCH
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={home}/proxy
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
",
        home = layout.home.display()
    )
}

fn openrc(description: &str, command: &str, user: Option<&str>, depend: &str) -> String {
    let (program, arguments) = command.split_once(' ').unwrap_or((command, ""));
    // supervise-daemon ends the process that it started and no other: apps and builds go on.
    let user = user.map_or_else(String::new, |user| {
        format!("command_user=\"{user}:{user}\"\ncapabilities=\"^cap_net_bind_service,^cap_dac_read_search\"\n")
    });
    format!(
        "#!/sbin/openrc-run
description=\"{description}\"
supervisor=supervise-daemon
command=\"{program}\"
command_args=\"{arguments}\"
{user}respawn_delay=1
respawn_max=0
extra_started_commands=\"reload\"

depend() {{
\t{depend}
}}

reload() {{
\tebegin \"Reloading ${{RC_SVCNAME}}\"
\tsupervise-daemon \"${{RC_SVCNAME}}\" --signal HUP
\teend $?
}}
"
    )
}

/// The loop that starts a role again when it ends, until the stop file is there.
const KEEP: &str = r#"keep() { # NAME COMMAND...
  name=$1; shift
  while [ ! -e "$RUN/stop" ]; do
    "$@" >>"$RUN/$name.log" 2>&1 &
    echo $! >"$RUN/$name.pid"
    wait $!
    [ -e "$RUN/stop" ] || sleep 1
  done
}
"#;

fn as_user(proxy: &str) -> String {
    format!(
        "setpriv --reuid {USER} --regid {USER} --init-groups --inh-caps=-all,+net_bind_service,+dac_read_search \
         --ambient-caps=+net_bind_service,+dac_read_search {proxy}"
    )
}

fn sysv(control: &str, proxy: &str) -> String {
    format!(
        r#"#!/bin/sh
### BEGIN INIT INFO
# Provides:          launchway
# Required-Start:    $network $remote_fs
# Required-Stop:     $network $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Launchway: apps, builds, deploys
### END INIT INFO
# Stopping leaves apps running, as a restart needs it; `launchway stop --app NAME` stops an app.
RUN=/run/launchway
{KEEP}
end() {{ # NAME
  [ -r "$RUN/$1.pid" ] && kill "$(cat "$RUN/$1.pid")" 2>/dev/null
}}

case "$1" in
  start)
    mkdir -p "$RUN"; rm -f "$RUN/stop"
    keep control {control} </dev/null >/dev/null 2>&1 &
    keep proxy {proxy} </dev/null >/dev/null 2>&1 &
    ;;
  stop) : >"$RUN/stop"; end control; end proxy ;;
  restart) end control ;;
  reload) [ -r "$RUN/proxy.pid" ] && kill -HUP "$(cat "$RUN/proxy.pid")" ;;
  status) kill -0 "$(cat "$RUN/control.pid")" && kill -0 "$(cat "$RUN/proxy.pid")" ;;
  *) echo "usage: $0 start|stop|restart|reload|status" >&2; exit 2 ;;
esac
"#,
        proxy = as_user(proxy)
    )
}

fn shell(control: &str, proxy: &str) -> String {
    format!(
        r#"#!/bin/sh
# Runs Launchway in the foreground until TERM; apps and builds go on, and the next start takes them over.
RUN=/run/launchway
mkdir -p "$RUN"; rm -f "$RUN/stop"
{KEEP}
end() {{
  : >"$RUN/stop"
  kill "$(cat "$RUN/control.pid")" "$(cat "$RUN/proxy.pid")" 2>/dev/null
}}
trap end TERM INT
keep control {control} &
keep proxy {proxy} &
wait; wait; wait
"#,
        proxy = as_user(proxy)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            binary: "/usr/local/bin/launchway".into(),
            home: "/var/lib/launchway".into(),
            apps: "0.0.0.0:80".parse().unwrap(),
            api: "127.0.0.1:7070".parse().unwrap(),
        }
    }

    #[test]
    fn apps_outlive_a_restart_of_control() {
        let units = units(Init::Systemd, &layout());
        let control = &units[0].text;
        assert!(control.contains("\nKillMode=process\n") && control.contains("\nDelegate=yes\n"));
        insta::assert_snapshot!(control);
        insta::assert_snapshot!(units[1].text);
    }

    #[test]
    fn scripts_are_right_for_a_shell() {
        for init in [Init::Openrc, Init::Sysv, Init::Shell] {
            for unit in units(init, &layout()) {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("script");
                std::fs::write(&path, &unit.text).unwrap();
                let checked = std::process::Command::new("sh")
                    .arg("-n")
                    .arg(&path)
                    .output()
                    .unwrap();
                assert!(checked.status.success(), "{init:?}: {checked:?}");
            }
        }
    }

    #[test]
    fn systemd_finds_nothing_wrong_with_the_units() {
        let installed = std::process::Command::new("systemd-analyze")
            .arg("--version")
            .output()
            .is_ok_and(|ran| ran.status.success());
        if !installed {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: systemd-analyze is not installed");
            }
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut layout = layout();
        // It looks whether the program is there.
        layout.binary = "/bin/true".into();
        let mut command = std::process::Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]);
        for unit in units(Init::Systemd, &layout) {
            let path = folder.path().join(unit.path.file_name().unwrap());
            std::fs::write(&path, &unit.text).unwrap();
            command.arg(path);
        }
        let checked = command.output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(!said.contains("launchway"), "{said}");
    }
}
