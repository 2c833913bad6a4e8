//! Supervision: how soon a crashed app runs again, what two hundred instances cost at rest, how soon a new control has adopted
//! them, and how long the proxy takes to switch a table of a thousand routes.
//!
//! The peer is Debian's supervisord, where it is installed: it too keeps processes that stay in the foreground alive, with
//! their output in files.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use launchway_e2e::{Installation, Repository, launchway, processes, until, until_some};
use serde_json::json;

use crate::memory::{api, read};
use crate::sample::{Row, Sample, millis};

/// How many instances are kept.
const INSTANCES: usize = 200;
/// How many routes a table has.
const ROUTES: usize = 1000;
/// How long the processor time at rest is measured.
const REST: Duration = Duration::from_secs(10);

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let mut rows = crash()?;
    rows.extend(many()?);
    rows.extend(switch()?);
    Ok(rows)
}

/// From a kill of the app's main process to the start of the next one, by turns with supervisord.
fn crash() -> anyhow::Result<Vec<Row>> {
    let installation = Installation::start();
    let repository = Repository::of_files(
        "crash",
        &[(
            "Procfile",
            "web: python3 -m http.server --bind 127.0.0.1 $PORT\nidle: sleep 1000001\n",
        )],
    );
    installation.deploy(&repository);
    installation
        .run(&["scale", "--app", "crash", "idle=1"])
        .ok("scale");
    let peer = Supervisord::start(1, 1_000_002)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        ours.push(restart_of("1000001")?);
        if peer.is_some() {
            theirs.push(restart_of("1000002")?);
        }
        // The pause grows with each crash in a row; what is measured is the first.
        let restarted = installation.run(&["restart", "--app", "crash"]);
        restarted.ok("restart");
        until_some("it runs", || pid_of("1000001"));
    }
    let mut rows = vec![Row {
        what: "crash of an app to its next start (100 ms of it a pause)".to_owned(),
        unit: "ms",
        ours: Sample::from_values(ours),
        against: Some(("at most".to_owned(), 150.0)),
    }];
    if !theirs.is_empty() {
        let theirs = Sample::from_values(theirs).median();
        let mut beside = rows[0].clone();
        beside.what = "the same beside supervisord".to_owned();
        beside.against = Some(("supervisord".to_owned(), theirs));
        rows.push(beside);
    }
    Ok(rows)
}

/// The process of `sleep NUMBER`.
fn pid_of(number: &str) -> Option<i32> {
    let found = processes::all().into_iter().find(|process| {
        matches!(process.arguments.as_slice(), [program, argument] if program == "sleep" && argument == number)
    });
    found.map(|process| process.pid)
}

fn restart_of(number: &str) -> anyhow::Result<f64> {
    let before = until_some("it runs", || pid_of(number));
    let began = Instant::now();
    processes::kill(before);
    loop {
        if pid_of(number).is_some_and(|pid| pid != before) {
            return Ok(millis(began.elapsed()));
        }
        ensure!(
            began.elapsed() < Duration::from_secs(30),
            "it was not started again"
        );
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Two hundred instances at rest, and a control that comes back to them.
fn many() -> anyhow::Result<Vec<Row>> {
    let installation = Installation::start();
    let repository = Repository::of_files(
        "many",
        &[(
            "Procfile",
            "web: python3 -m http.server --bind 127.0.0.1 $PORT\nworker: sleep 1000003\n",
        )],
    );
    installation.deploy(&repository);
    let wanted = format!("worker={INSTANCES}");
    installation
        .run(&["scale", "--app", "many", &wanted])
        .ok("scale");
    let home = installation.home();
    let shims = processes::of_role("shim", &home);
    ensure!(shims.len() >= INSTANCES, "{} shims run", shims.len());
    std::thread::sleep(Duration::from_secs(5));
    let control = installation.role("control");
    let pids: Vec<i32> = shims.iter().map(|shim| shim.pid).chain([control]).collect();
    let (resident, proportional) = memory_of(&pids[..shims.len()])?;
    let share = share_of(&pids)?;
    let mut rows = vec![
        Row {
            what: format!(
                "{} shims at rest, RSS together (PSS {proportional:.0})",
                shims.len()
            ),
            unit: "MiB",
            ours: Sample::from_values([resident]),
            against: Some(("at most".to_owned(), 700.0)),
        },
        Row {
            what: format!("control and {} shims at rest, of one core", shims.len()),
            unit: "%",
            ours: Sample::from_values([share]),
            against: Some(("at most".to_owned(), 1.0)),
        },
    ];
    if let Some(peer) = Supervisord::start(INSTANCES, 1_000_004)? {
        std::thread::sleep(Duration::from_secs(5));
        let pid = peer.child.id().cast_signed();
        let (resident, _) = memory_of(&[pid])?;
        rows.push(Row {
            what: "the same beside supervisord's one process, of one core".to_owned(),
            unit: "%",
            ours: Sample::from_values([share]),
            against: Some((
                format!("supervisord ({resident:.0} MiB)"),
                share_of(&[pid])?,
            )),
        });
    }
    rows.push(Row {
        what: format!("control's start to all {INSTANCES} adopted"),
        unit: "ms",
        ours: adoption(&installation)?,
        against: Some(("at most".to_owned(), 1000.0)),
    });
    Ok(rows)
}

/// From the kill of control to its successor's first answer that knows every instance; `up` starts it at once.
fn adoption(installation: &Installation) -> anyhow::Result<Sample> {
    Sample::of(5, || {
        let before = installation.role("control");
        processes::kill(before);
        let began = until_some("a new control starts", || {
            let control = processes::of_role("control", &installation.home());
            control
                .into_iter()
                .find(|process| process.pid != before)
                .map(|_| Instant::now())
        });
        until("all are adopted", || {
            api(installation, "/apps/many/instances").is_ok_and(|answer| {
                answer.as_array().is_some_and(|list| {
                    list.len() >= INSTANCES
                        && list.iter().all(|instance| {
                            instance
                                .pointer("/status/state")
                                .is_some_and(|state| state == "running")
                        })
                })
            })
        });
        Ok(millis(began.elapsed()))
    })
}

/// RSS and PSS together, in MiB.
fn memory_of(pids: &[i32]) -> anyhow::Result<(f64, f64)> {
    let mut sum = (0.0, 0.0);
    for pid in pids {
        let (resident, proportional) = read(*pid)?;
        sum = (sum.0 + resident, sum.1 + proportional);
    }
    Ok(sum)
}

/// How much of one core these processes use at rest, in percent.
fn share_of(pids: &[i32]) -> anyhow::Result<f64> {
    let used = || -> anyhow::Result<f64> { pids.iter().map(|pid| cpu_seconds(*pid)).sum() };
    let (before, began) = (used()?, Instant::now());
    std::thread::sleep(REST);
    Ok((used()? - before) / began.elapsed().as_secs_f64() * 100.0)
}

/// The processor time of a process, in seconds, by the nanoseconds of `/proc/PID/schedstat`.
fn cpu_seconds(pid: i32) -> anyhow::Result<f64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).context("a process ended")?;
    let mut nanos = 0.0;
    for task in tasks.flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text
            .split_whitespace()
            .next()
            .and_then(|first| first.parse::<f64>().ok())
            .unwrap_or(0.0);
    }
    Ok(nanos / 1e9)
}

/// The proxy alone: a whole table of a thousand routes, sent, checked, taken, saved and acknowledged.
fn switch() -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let mut proxy = Command::new(launchway())
        .args(["proxy", "--listen", "127.0.0.1:0", "--home"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let taken = switches(&folder.path().join("proxy/control.sock"));
    processes::terminate(proxy.id().cast_signed());
    proxy.wait()?;
    Ok(vec![Row {
        what: format!("switch of a table of {ROUTES} routes"),
        unit: "ms",
        ours: taken?,
        against: Some(("at most".to_owned(), 20.0)),
    }])
}

fn switches(socket: &Path) -> anyhow::Result<Sample> {
    let stream = until_some("the proxy answers", || UnixStream::connect(socket).ok());
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut number = 0_u64;
    Sample::of(21, || {
        number += 1;
        let mut request = serde_json::to_vec(&json!({ "ask": "apply", "table": table(number) }))?;
        request.push(b'\n');
        let began = Instant::now();
        stream.write_all(&request)?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        let took = millis(began.elapsed());
        ensure!(
            answer.contains("\"applied\""),
            "the proxy answered {answer}"
        );
        Ok(took)
    })
}

/// A table in which every app has a host of its own and one instance, another one each time.
fn table(number: u64) -> serde_json::Value {
    let routes: Vec<serde_json::Value> = (0..ROUTES)
        .map(|app| {
            json!({
                "name": format!("app-{app}"),
                "app": format!("app-{app}"),
                "release": number,
                "hosts": [format!("app-{app}.localhost"), format!("app-{app}.example.org")],
                "prefix": "/",
                "backend": {
                    "backend": "instances",
                    "targets": [{
                        "instance": format!("app-{app}.web.v{number}.{app}"),
                        "address": { "tcp": format!("127.0.0.1:{}", 20_000 + app) },
                        "weight": 100,
                    }],
                },
            })
        })
        .collect();
    json!({ "number": number, "routes": routes })
}

/// A supervisord of this bench's own.
struct Supervisord {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Supervisord {
    /// Starts one with so many programs `sleep SECONDS`; none where it is not installed.
    fn start(programs: usize, seconds: u32) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        let config = format!(
            "[supervisord]\nnodaemon=true\nuser=root\nlogfile={at}/log\npidfile={at}/pid\nchildlogdir={at}\n\
             [program:idle]\ncommand=sleep {seconds}\nnumprocs={programs}\nprocess_name=%(process_num)d\n\
             autorestart=true\nstartsecs=0\n"
        );
        let path = folder.path().join("supervisord.conf");
        std::fs::write(&path, config)?;
        let started = Command::new("supervisord")
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            eprintln!("    supervisord is not installed, so that there is nothing to compare with");
            return Ok(None);
        };
        let this = Self {
            child,
            _folder: folder,
        };
        until("supervisord runs its programs", || {
            processes::below(this.child.id().cast_signed()).len() >= programs
        });
        Ok(Some(this))
    }
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        processes::terminate(self.child.id().cast_signed());
        let _ = self.child.wait();
    }
}
