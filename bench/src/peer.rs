//! A redeploy under load, beside what small teams do today: a script that pulls, installs, stops Gunicorn and starts it
//! again.
//!
//! Both serve the same Flask application on this machine, asked by the same clients at the same rate.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use launchway_e2e::installation::host;
use launchway_e2e::{Installation, Load, Repository, http, processes, until};
use tempfile::TempDir;

use crate::sample::{Row, Sample};

/// Redeploys on each side.
const TIMES: usize = 5;
/// Clients of the load.
const CLIENTS: usize = 4;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let theirs = script()?;
    let ours = ours()?;
    Ok(vec![Row {
        what: "failed requests in a redeploy under load".to_owned(),
        unit: "requests",
        ours,
        against: Some(("stop-start script".to_owned(), theirs.median())),
    }])
}

fn ours() -> anyhow::Result<Sample> {
    let installation = Installation::start();
    let repository = Repository::of_example("url-shortener", "url-shortener");
    installation.deploy(&repository);
    Sample::of(TIMES, || {
        let load = Load::start(
            installation.proxy(),
            &host("url-shortener"),
            "/health",
            CLIENTS,
            |answer| answer.status == 200,
        );
        load.await_more(50);
        repository.commit("another");
        installation.deploy(&repository);
        load.await_more(50);
        Ok(load.end().failed as f64)
    })
}

fn script() -> anyhow::Result<Sample> {
    let repository = Repository::of_example("url-shortener", "url-shortener");
    let data = TempDir::new()?;
    let venv = repository.path().join(".venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(venv.join("bin/pip"))
        .args(["install", "--quiet", "-r", "requirements.txt"])
        .current_dir(repository.path()))?;
    run(Command::new(venv.join("bin/python"))
        .args(["-m", "shortener.migrate"])
        .current_dir(repository.path())
        .env("SHORTENER_DATA", data.path()))?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut server = gunicorn(repository.path(), data.path(), address)?;
    let measured = Sample::of(TIMES, || {
        let load = Load::start(address, "localhost", "/health", CLIENTS, |answer| {
            answer.status == 200
        });
        load.await_more(50);
        processes::terminate(server.id().cast_signed());
        server.wait()?;
        server = gunicorn(repository.path(), data.path(), address)?;
        load.await_more(50);
        Ok(load.end().failed as f64)
    });
    processes::terminate(server.id().cast_signed());
    server.wait()?;
    measured
}

/// Starts Gunicorn as the example's Procfile does, and waits until it answers.
fn gunicorn(folder: &Path, data: &Path, address: SocketAddr) -> anyhow::Result<Child> {
    let server = Command::new(folder.join(".venv/bin/gunicorn"))
        .args([
            "--bind",
            &address.to_string(),
            "--workers",
            "1",
            "--threads",
            "4",
            "shortener:application",
        ])
        .current_dir(folder)
        .env("SHORTENER_DATA", data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start gunicorn")?;
    until("gunicorn answers", || {
        http::get(address, "localhost", "/health").is_ok_and(|answer| answer.status == 200)
    });
    Ok(server)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
