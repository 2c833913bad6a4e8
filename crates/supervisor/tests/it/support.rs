//! An installation in a temporary folder, on a chosen kind of host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use launchway_model::app::Limits;
use launchway_model::home::Home;
use launchway_model::instance::InstanceState;
use launchway_model::runner::{LogLine, LogSource};
use launchway_model::shim::{Sandbox, ShimSpec};
use launchway_model::{InstanceId, PROTOCOL, ReleaseNumber};
use launchway_supervisor::{Adopted, ShimHandle, ShimLink, ShimView, Supervisor};

/// Longer than anything should take, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// As whom, and with which rights, shims run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// As the tests themselves.
    Plain,
    /// As root without CAP_SYS_ADMIN: no namespaces, so that a guard does the work.
    Guarded,
    /// As root without any capability.
    Powerless,
    /// As the user `nobody`, from tests that run as root.
    Nobody,
    /// As `nobody`, where no user namespace can be had.
    Locked,
}

impl Host {
    pub(crate) fn all() -> Vec<Self> {
        if rustix::process::geteuid().is_root() {
            vec![
                Self::Plain,
                Self::Guarded,
                Self::Powerless,
                Self::Nobody,
                Self::Locked,
            ]
        } else {
            println!("skipped: other kinds of host, which only root can make");
            vec![Self::Plain]
        }
    }
}

/// An installation whose shims are ended with it.
pub(crate) struct Installation {
    folder: tempfile::TempDir,
    pub(crate) home: Home,
    pub(crate) supervisor: Supervisor,
    pub(crate) tree: PathBuf,
}

impl Installation {
    pub(crate) fn new() -> Self {
        Self::on(Host::Plain)
    }

    pub(crate) fn on(host: Host) -> Self {
        Self::below(host, "home")
    }

    /// With the home at a path below the temporary folder.
    pub(crate) fn below(host: Host, path: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("lw-supervisor-")
            .tempdir()
            .unwrap();
        open_to_all(folder.path());
        let home = Home::new(folder.path().join(path));
        let tree = folder.path().join("tree");
        for path in [&home.instances(), &home.root().join("logs/shop"), &tree] {
            fs::create_dir_all(path).unwrap();
            open_to_all(path);
        }
        let binary = match host {
            Host::Plain => shim_program().to_path_buf(),
            Host::Guarded => wrapper(
                folder.path(),
                "exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin",
            ),
            Host::Powerless => wrapper(
                folder.path(),
                "exec setpriv --bounding-set -all --inh-caps -all",
            ),
            Host::Nobody => wrapper(
                folder.path(),
                "chown -R 65534:65534 \"$2\"; \
                 exec setpriv --reuid 65534 --regid 65534 --clear-groups",
            ),
            Host::Locked => {
                let script = folder.path().join("locked.py");
                fs::write(&script, LOCKED).unwrap();
                wrapper(
                    folder.path(),
                    &format!(
                        "chown -R 65534:65534 \"$2\"; exec /usr/bin/python3 {}",
                        script.display()
                    ),
                )
            }
        };
        Self {
            supervisor: Supervisor::new(binary, home.clone()),
            home,
            tree,
            folder,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder that anybody may write.
    pub(crate) fn open_folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        open_to_all(&path);
        path
    }

    pub(crate) fn spec(&self, command: &str) -> ShimSpec {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let instance = InstanceId::new(
            "shop".parse().unwrap(),
            "web".parse().unwrap(),
            ReleaseNumber(1),
            SERIAL.fetch_add(1, Ordering::Relaxed),
        );
        ShimSpec {
            protocol: PROTOCOL,
            log: self.home.instance_log(&instance),
            instance,
            command: command.to_owned(),
            env: [
                ("PATH", "/usr/local/bin:/usr/bin:/bin"),
                ("LANG", "C.UTF-8"),
            ]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
            tree: self.tree.clone(),
            folder: None,
            sandbox: Sandbox::default(),
            limits: Limits::default(),
            log_bytes: 10 << 20,
            log_files: 2,
            grace_ms: 10_000,
            restart: true,
        }
    }

    pub(crate) async fn start(&self, command: &str) -> ShimHandle {
        self.supervisor.start(self.spec(command)).await.unwrap()
    }

    pub(crate) async fn adopt_one(&self) -> Adopted {
        let mut adopted = self.supervisor.adopt_all().await;
        assert_eq!(adopted.len(), 1, "{adopted:?}");
        adopted.pop().unwrap()
    }
}

impl Drop for Installation {
    /// Ends what a failed test left, by the ids that the shims themselves wrote.
    fn drop(&mut self) {
        for entry in fs::read_dir(self.home.instances()).unwrap().flatten() {
            let state = fs::read(entry.path().join("state.json")).unwrap_or_default();
            let state: serde_json::Value = serde_json::from_slice(&state).unwrap_or_default();
            let Some(pid) = state["shim_pid"].as_u64() else {
                continue;
            };
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.contains(entry.path().to_str().unwrap()) {
                signal(u32::try_from(pid).unwrap(), rustix::process::Signal::KILL);
            }
        }
    }
}

/// Runs a program as `nobody` in a user namespace that allows no further ones: all users are mapped to themselves (which a
/// helper outside must do), the limit is set to none, and privileges are given up.
const LOCKED: &str = r#"
import ctypes, os, sys
(told, tell), (done, end) = os.pipe(), os.pipe()
owner = os.getpid()
if os.fork() == 0:
    os.read(told, 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{owner}/{name}", "w") as map:
            map.write("0 0 70000")
    os.write(end, b"x")
    os._exit(0)
assert ctypes.CDLL(None).unshare(0x10000000) == 0
os.write(tell, b"x")
os.read(done, 1)
os.wait()
with open("/proc/sys/user/max_user_namespaces", "w") as limit:
    limit.write("0")
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.execv(sys.argv[1], sys.argv[1:])
"#;

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

/// A program that is the shim's program with changed rights.
///
/// It is written by other processes: a descriptor of our own, open for writing, could be inherited by whatever another test starts
/// at the same moment, and a program that is open for writing cannot be run.
fn wrapper(folder: &Path, change: &str) -> PathBuf {
    let program = folder.join("shim-program");
    let path = folder.join("wrapper");
    let text = format!("#!/bin/sh\n{change} {} \"$@\"\n", program.display());
    let made = Command::new("sh")
        .args([
            "-c",
            "cp \"$1\" \"$2\" && printf %s \"$3\" > \"$4\" && chmod 755 \"$4\"",
            "sh",
        ])
        .arg(shim_program())
        .arg(&program)
        .arg(text)
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    path
}

/// The example `shim`, which cargo builds along with the tests, unless it is told to build one test alone.
fn shim_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let tests = std::env::current_exe().unwrap();
        let path = tests.ancestors().nth(2).unwrap().join("examples/shim");
        if !path.exists() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--example", "shim", "-p", "launchway-supervisor"])
                .status()
                .unwrap();
            assert!(built.success() && path.exists(), "no {}", path.display());
        }
        path
    })
}

/// Waits until a condition holds.
pub(crate) async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a shim's view fits.
pub(crate) async fn seen(
    handle: &ShimHandle,
    what: &str,
    fits: impl FnMut(&ShimView) -> bool,
) -> ShimView {
    let mut view = handle.watch();
    let found = tokio::time::timeout(PATIENCE, view.wait_for(fits)).await;
    match found {
        Ok(Ok(view)) => view.clone(),
        _ => panic!("waited in vain: {what}; last seen: {:?}", handle.status()),
    }
}

/// Waits until the main process runs and gives its id.
pub(crate) async fn running(handle: &ShimHandle) -> u32 {
    let view = seen(handle, "the app runs", |view| {
        matches!(view.status.state, InstanceState::Running { .. })
    })
    .await;
    match view.status.state {
        InstanceState::Running { pid, .. } => pid,
        _ => unreachable!(),
    }
}

pub(crate) async fn died(handle: &ShimHandle) -> ShimView {
    seen(handle, "the shim died", |view| view.link == ShimLink::Died).await
}

/// The lines of an instance's log, from the oldest file on.
pub(crate) fn log_lines(spec: &ShimSpec) -> Vec<(LogSource, String)> {
    let mut lines = Vec::new();
    for number in (0..=spec.log_files).rev() {
        let mut path = spec.log.clone().into_os_string();
        if number > 0 {
            path.push(format!(".{number}"));
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        lines.extend(text.lines().map(|line| {
            let line = LogLine::parse(line);
            (line.source, line.text.into_owned())
        }));
    }
    lines
}

/// What the app itself wrote.
pub(crate) fn output(spec: &ShimSpec) -> Vec<String> {
    log_lines(spec)
        .into_iter()
        .filter(|(source, _)| *source != LogSource::Launchway)
        .map(|(_, text)| text)
        .collect()
}

/// Waits for a line that begins so, in the app's output, and gives the rest of it.
pub(crate) async fn line(spec: &ShimSpec, prefix: &str) -> String {
    until(&format!("a line `{prefix}…`"), || {
        output(spec)
            .iter()
            .find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
    })
    .await
}

/// Every process of the machine whose command line holds a text that one test alone uses.
pub(crate) fn processes_with(word: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(word) && pid != std::process::id() {
            found.push(pid);
        }
    }
    found
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, signal);
}

/// Whether this user can have namespaces; says so where not.
pub(crate) fn can_mount() -> bool {
    let abilities = launchway_supervisor::sandbox::abilities();
    if !abilities.can_mount() {
        println!("skipped: {:?}", abilities.mounts);
    }
    abilities.can_mount()
}
