//! Resident memory at rest: control, proxy, one shim.
//!
//! RSS counts what processes share in each of them; PSS shares it out, so that sums mean something. The budget is held
//! against RSS, the larger one.

use anyhow::Context as _;
use launchway_e2e::http::Connection;
use launchway_e2e::{Installation, Repository, processes};
use serde_json::Value;

use crate::sample::{Row, Sample};

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let installation = Installation::start();
    // A command that only sleeps: its shim is all there is.
    let repository = Repository::of_files(
        "idle",
        &[(
            "Procfile",
            "web: python3 -m http.server --bind 127.0.0.1 $PORT\n",
        )],
    );
    installation.deploy(&repository);
    for _ in 0..200 {
        installation.get("idle", "/");
    }
    // Buffers of the work before are given back within some seconds.
    std::thread::sleep(std::time::Duration::from_secs(5));
    let mut rows = Vec::new();
    let (mut resident, mut proportional) = (0.0, 0.0);
    for role in ["control", "proxy", "shim"] {
        let process = processes::of_role(role, &installation.home())
            .first()
            .cloned()
            .with_context(|| format!("no {role} runs"))?;
        let (rss, pss) = read(process.pid)?;
        resident += rss;
        proportional += pss;
        rows.push(Row {
            what: format!("{role}, idle, RSS (PSS {pss:.1})"),
            unit: "MiB",
            ours: Sample::from_values([rss]),
            against: (role == "shim").then(|| ("at most".to_owned(), 3.0)),
        });
    }
    rows.push(Row {
        what: format!("control + proxy + shim, idle, RSS (PSS {proportional:.1})"),
        unit: "MiB",
        ours: Sample::from_values([resident]),
        against: Some(("at most".to_owned(), 50.0)),
    });
    Ok(rows)
}

/// The resident memory of a process, in MiB.
pub(crate) fn resident(pid: i32) -> anyhow::Result<f64> {
    Ok(read(pid)?.0)
}

/// RSS and PSS of a process, in MiB, as `/proc/PID/smaps_rollup` (proc(5)) gives them in KiB.
pub(crate) fn read(pid: i32) -> anyhow::Result<(f64, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| {
                rest.trim()
                    .trim_end_matches(" kB")
                    .trim()
                    .parse::<f64>()
                    .ok()
            })
            .map(|kib| kib / 1024.0)
            .with_context(|| format!("no {name} in smaps_rollup"))
    };
    Ok((field("Rss:")?, field("Pss:")?))
}

/// A document of the API.
pub(crate) fn api(installation: &Installation, path: &str) -> anyhow::Result<Value> {
    let token = format!("Bearer {}", installation.token());
    let answer = Connection::open(installation.api())?.send(
        "GET",
        "localhost",
        &format!("/api/v1{path}"),
        &[("authorization", &token)],
        b"",
    )?;
    anyhow::ensure!(
        answer.status == 200,
        "{path} answered {}: {}",
        answer.status,
        answer.text()
    );
    Ok(serde_json::from_slice(&answer.body)?)
}
