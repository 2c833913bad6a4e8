//! Sandboxes and limits, as the app itself meets them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use launchway_model::instance::Exit;
use launchway_model::shim::{Sandbox, ShimSpec};
use launchway_supervisor::sandbox::abilities;
use launchway_supervisor::{ShimHandle, ShimLink};

use crate::support::{Host, Installation, can_mount, log_lines, output, seen};

/// The hosts on which namespaces can be had.
fn hosts() -> Vec<Host> {
    if !can_mount() {
        return Vec::new();
    }
    let mut hosts = Host::all();
    hosts.retain(|host| matches!(host, Host::Plain | Host::Nobody));
    hosts
}

async fn run_once(site: &Installation, mut spec: ShimSpec) -> (ShimHandle, Vec<String>) {
    spec.restart = false;
    let handle = site.supervisor.start(spec).await.unwrap();
    seen(&handle, "its end", |view| view.link == ShimLink::Ended).await;
    let lines = output(handle.spec());
    (handle, lines)
}

/// Each word is a shell condition; the lines say which held.
async fn conditions(site: &Installation, sandbox: Sandbox, tests: &[&str]) -> Vec<String> {
    let script: String = tests
        .iter()
        .enumerate()
        .map(|(number, test)| {
            format!("if {test}; then echo yes {number}; else echo no {number}; fi 2>/dev/null\n")
        })
        .collect();
    let mut spec = site.spec(&script);
    spec.sandbox = sandbox;
    let (handle, lines) = run_once(site, spec).await;
    assert_eq!(lines.len(), tests.len(), "{:?}", log_lines(handle.spec()));
    lines
        .iter()
        .zip(tests)
        .filter(|(line, _)| line.starts_with("no"))
        .map(|(_, test)| (*test).to_owned())
        .collect()
}

#[tokio::test]
async fn the_tree_is_seen_at_app_and_the_rest_is_read_only() {
    for host in hosts() {
        let site = Installation::on(host);
        fs::write(site.tree.join("file"), "from the tree").unwrap();
        let persist = site.open_folder("persist");
        fs::write(persist.join("app.db"), "rows").unwrap();
        fs::set_permissions(persist.join("app.db"), fs::Permissions::from_mode(0o666)).unwrap();
        let uploads = site.open_folder("persist/uploads");
        let home = site.open_folder("home/apps/shop/home");
        let neighbour = site.open_folder("home/apps/other");
        fs::write(neighbour.join("secret"), "x").unwrap();
        let sandbox = Sandbox {
            mount_at: Some("/app".into()),
            read_only: true,
            binds: vec![
                ("app.db".into(), persist.join("app.db")),
                ("data/uploads/".into(), uploads.clone()),
            ],
            private_tmp: true,
            hide: vec![site.home.root().to_path_buf(), "/nonexistent/hidden".into()],
            writable: vec![home.clone()],
            ..Sandbox::default()
        };
        let in_home = format!("echo kept > {}/file", home.display());
        let in_neighbour = format!("[ ! -e {}/secret ]", neighbour.display());
        let in_root = format!("[ \"$(ls {}/apps)\" = shop ]", site.home.root().display());
        let failed = conditions(
            &site,
            sandbox,
            &[
                "[ \"$(pwd)\" = /app ]",
                "[ \"$(cat file)\" = 'from the tree' ]",
                "! touch /app/new",
                "! touch /usr/new",
                "! touch /etc/new",
                "! touch /new",
                "touch /tmp/new",
                "touch /var/tmp/new",
                "touch /dev/shm/new",
                "echo x > /dev/null",
                "[ -n \"$(head -c 4 /dev/urandom | od -An -tx1)\" ]",
                "[ \"$(cat app.db)\" = rows ]",
                "echo more >> app.db",
                "echo up > data/uploads/one",
                &in_home,
                &in_neighbour,
                &in_root,
                "[ \"$(cat /proc/self/comm)\" = cat ]",
                "[ -d /proc/$$ ] && [ \"$(tr '\\0' ' ' < /proc/$$/cmdline | head -c 9)\" = '/bin/sh -' ]",
                "[ \"$(ls -d /proc/[0-9]* | wc -l)\" -lt 10 ]",
                "! umount /tmp",
                "! mount -t tmpfs none /mnt",
                "! unshare -U true || true",
            ],
        )
        .await;
        assert_eq!(failed, [""; 0], "{host:?}");
        assert_eq!(
            fs::read_to_string(persist.join("app.db")).unwrap(),
            "rowsmore\n"
        );
        assert_eq!(fs::read_to_string(uploads.join("one")).unwrap(), "up\n");
        assert_eq!(fs::read_to_string(home.join("file")).unwrap(), "kept\n");
        // Nothing of it shows outside.
        assert!(!PathBuf::from("/app").exists() && !PathBuf::from("/tmp/new").exists());
        assert!(!site.tree.join("new").exists());
    }
}

#[tokio::test]
async fn a_tree_below_a_hidden_folder_stays_where_it_is() {
    for host in hosts() {
        let site = Installation::on(host);
        fs::write(site.tree.join("file"), "").unwrap();
        fs::write(site.path("beside"), "").unwrap();
        let sandbox = Sandbox {
            hide: vec![site.path("")],
            ..Sandbox::default()
        };
        let beside = format!("[ ! -e {} ]", site.path("beside").display());
        let failed = conditions(&site, sandbox, &["[ -e file ]", "touch written", &beside]).await;
        assert_eq!(failed, [""; 0], "{host:?}");
        assert!(site.tree.join("written").exists());
    }
}

#[tokio::test]
async fn a_link_in_a_tree_leads_no_bind_outside() {
    for host in hosts() {
        let site = Installation::on(host);
        let outside = site.open_folder("outside");
        std::os::unix::fs::symlink(&outside, site.tree.join("link")).unwrap();
        let source = site.open_folder("source");
        for path in ["link/inside", "link", "../outside", "/outside"] {
            let mut spec = site.spec("echo ran");
            spec.sandbox.binds = vec![(path.into(), source.clone())];
            let (handle, lines) = run_once(&site, spec).await;
            assert_eq!(lines, [""; 0], "{host:?}: {path}");
            assert_eq!(handle.status().last_exit, Some(Exit::Code(126)));
            let said = log_lines(handle.spec());
            assert!(
                said.iter()
                    .any(|(_, text)| text.starts_with("cannot start:")),
                "{said:?}"
            );
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn an_app_has_no_privileges() {
    for host in Host::all() {
        let site = Installation::on(host);
        let (_, lines) = run_once(
            &site,
            site.spec("grep -E '^(CapPrm|CapEff|CapAmb|CapInh|NoNewPrivs|SigBlk|SigIgn)' /proc/self/status"),
        )
        .await;
        assert_eq!(lines.len(), 7, "{lines:?}");
        for line in lines {
            let (name, value) = line.split_once(":\t").unwrap();
            let value = u64::from_str_radix(value, 16).unwrap();
            // The C library keeps two signals for itself, and lets nobody change what was inherited for them.
            let value = if name == "SigIgn" {
                value & !(0b11 << 31)
            } else {
                value
            };
            assert_eq!(value, u64::from(name == "NoNewPrivs"), "{host:?}: {line}");
        }
    }
}

#[tokio::test]
async fn an_app_runs_as_its_own_user() {
    if !abilities().users {
        println!("skipped: only root can change the user");
        return;
    }
    for host in [Host::Plain, Host::Guarded] {
        let site = Installation::on(host);
        let mut spec =
            site.spec("id -u; id -g; id -G; touch made; kill -9 -1; kill -9 $PPID; echo alive");
        spec.sandbox.user = Some((61_234, 61_235));
        let (_, lines) = run_once(&site, spec).await;
        assert_eq!(lines[..3], ["61234", "61235", "61235"], "{host:?}");
        let made = fs::metadata(site.tree.join("made")).unwrap();
        assert_eq!((made.uid(), made.gid()), (61_234, 61_235));
        assert_eq!(made.mode() & 0o777, 0o644);
    }
}

#[tokio::test]
async fn limits_hold() {
    let memory = "/usr/bin/python3 -c 'b = bytearray(300 << 20); b[::4096] = b\"x\" * len(b[::4096]); print(\"got it\")'";
    for host in Host::all() {
        let site = Installation::on(host);
        let cgroup = format!("test-limits-{}-{host:?}", std::process::id());
        let limited = |command: &str| {
            let mut spec = site.spec(command);
            spec.sandbox.cgroup = Some(cgroup.clone());
            spec
        };

        let mut spec = limited("ulimit -n");
        spec.limits.open_files = Some(77);
        assert_eq!(run_once(&site, spec).await.1, ["77"], "{host:?}");

        let mut spec = limited(memory);
        spec.limits.memory_bytes = Some(64 << 20);
        let (handle, lines) = run_once(&site, spec).await;
        assert!(!lines.contains(&"got it".to_owned()), "{host:?}: {lines:?}");
        assert_ne!(handle.status().last_exit, Some(Exit::Code(0)));
        if handle.status().last_exit == Some(Exit::Signal(9)) {
            let said = log_lines(handle.spec());
            assert!(
                said.iter()
                    .any(|(_, text)| text.contains("its memory limit of 64 MiB")),
                "{host:?}: {said:?}"
            );
        }
        let mut spec = limited(memory);
        spec.limits.memory_bytes = Some(600 << 20);
        assert_eq!(run_once(&site, spec).await.1, ["got it"], "{host:?}");

        let mut spec =
            limited("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 2 & done; echo all started");
        spec.limits.pids = Some(6);
        let (handle, lines) = run_once(&site, spec).await;
        let left_out = log_lines(handle.spec())
            .iter()
            .any(|(_, text)| text.starts_with("the limit of processes is left out"));
        let held = !lines.contains(&"all started".to_owned());
        assert!(held != left_out, "{host:?}: {:?}", log_lines(handle.spec()));
    }
}

#[tokio::test]
async fn a_control_group_limits_cpu_time_and_goes_with_the_instance() {
    if !abilities().cgroup.limits("cpu") {
        println!("skipped: {:?}", abilities().cgroup);
        return;
    }
    let site = Installation::new();
    let name = format!("test-cpu-{}", std::process::id());
    let mut spec = site.spec(
        "cat /proc/self/cgroup; timeout 1 sh -c 'while :; do :; done'; \
         read -r u s rest < /proc/$$/stat; times",
    );
    spec.sandbox.cgroup = Some(name.clone());
    spec.limits.cpu_millis = Some(200);
    let (_, lines) = run_once(&site, spec).await;
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with(&format!("/launchway/{name}"))),
        "{lines:?}"
    );
    // The last line of `times` has the children's user and system time, such as 0m0.190000s.
    let used: f64 = lines
        .last()
        .unwrap()
        .split_whitespace()
        .map(|time| {
            let (minutes, seconds) = time.trim_end_matches('s').split_once('m').unwrap();
            minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
        })
        .sum();
    assert!(used < 0.5, "{used} s of CPU in one second: {lines:?}");
    for place in ["", "unified", "memory", "cpu", "pids"] {
        let folder = PathBuf::from("/sys/fs/cgroup")
            .join(place)
            .join("launchway")
            .join(&name);
        assert!(!folder.exists(), "{}", folder.display());
    }
}

#[tokio::test]
async fn a_sandbox_can_be_entered_by_any_process() {
    if !can_mount() {
        return;
    }
    // The example `enter` is this crate's own user of the function: see there.
    let site = Installation::new();
    fs::write(site.tree.join("file"), "").unwrap();
    let program = std::env::current_exe()
        .unwrap()
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/enter");
    let sandbox = Sandbox {
        mount_at: Some("/app".into()),
        private_tmp: true,
        read_only: true,
        ..Sandbox::default()
    };
    let output = std::process::Command::new(program)
        .arg(serde_json::to_string(&sandbox).unwrap())
        .arg(&site.tree)
        .args([
            "sh",
            "-c",
            "pwd; ls; touch /app/x || echo refused; touch /tmp/x && echo private",
        ])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "/app\nfile\nrefused\nprivate\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
