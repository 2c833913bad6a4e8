//! How long the program takes to start: `--help`, and control with a hundred apps stored.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use launchway_e2e::{Installation, http, launchway};

use crate::sample::{Row, Sample, millis};

/// How many apps are stored.
const APPS: u32 = 100;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    Ok(vec![
        Row {
            what: "launchway --help".to_owned(),
            unit: "ms",
            ours: help()?,
            against: Some(("at most".to_owned(), 10.0)),
        },
        Row {
            what: format!("control ready with {APPS} apps stored"),
            unit: "ms",
            ours: control_ready()?,
            against: Some(("at most".to_owned(), 200.0)),
        },
    ])
}

fn help() -> anyhow::Result<Sample> {
    let run = || -> anyhow::Result<f64> {
        let began = Instant::now();
        let status = Command::new(launchway())
            .arg("--help")
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "--help failed");
        Ok(millis(began.elapsed()))
    };
    run().context("a first run, so that the binary is in memory")?;
    Sample::of(30, run)
}

/// From the start of the process to its first answer, with no proxy and no app running.
fn control_ready() -> anyhow::Result<Sample> {
    let installation = Installation::start();
    for number in 0..APPS {
        installation
            .run(&["apps", "create", &format!("app-{number}")])
            .ok("apps create");
    }
    let (home, api) = (installation.home(), installation.api());
    installation.stop();
    Sample::of(7, || {
        let began = Instant::now();
        let mut control = Command::new(launchway())
            .args(["control", "--listen", &api.to_string(), "--home"])
            .arg(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        launchway_e2e::until("control answers", || {
            http::get(api, "localhost", "/healthz").is_ok_and(|answer| answer.status == 200)
        });
        let took = millis(began.elapsed());
        launchway_e2e::processes::terminate(control.id().cast_signed());
        control.wait()?;
        Ok(took)
    })
}
