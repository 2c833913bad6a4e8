//! `make bench-proxy`: the data plane beside nginx, HAProxy and Caddy.
//!
//! The figure is requests per CPU-second of the proxy's processes: on a machine where load, proxy and app share the cores, it is
//! what stays comparable. Each round runs every contender once, one after the other, so that what disturbs the machine disturbs
//! all; a ratio is made within a round, and the median of the ratios is shown with its spread. Launchway runs with its limits,
//! access log and metrics on; the others log nothing.

mod contender;
mod load;
mod table;

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use self::contender::{Contender, Kind, Place, Site};
use self::load::{Measured, Work};
use self::table::Line;

/// Where the proxy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Load, proxy and app on all cores.
    Shared,
    /// The proxy alone on the first core, load and app on the second.
    Own,
}

/// Runs all of it and prints the table. `LAUNCHWAY_BENCH_ROUNDS` (3) and `LAUNCHWAY_BENCH_SECONDS` (3, each run) make it longer;
/// arguments choose works by a part of their name.
pub(crate) fn run(wanted: &[String]) -> anyhow::Result<()> {
    let rounds: usize = setting("LAUNCHWAY_BENCH_ROUNDS", 3)?;
    let seconds: u32 = setting("LAUNCHWAY_BENCH_SECONDS", 3)?;
    let folder = TempDir::new()?;
    let site = Site::make(folder.path())?;
    let app = contender::app(&site)?;
    let mut lines = Vec::new();
    for work in Work::ALL {
        if !wanted.is_empty()
            && !wanted
                .iter()
                .any(|part| work.name().contains(part.as_str()))
        {
            continue;
        }
        for cores in [Cores::Shared, Cores::Own] {
            if cores == Cores::Own && !work.has_own_core() {
                continue;
            }
            eprintln!("  {} ({cores:?}) …", work.name());
            let kinds = work.contenders();
            let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); kinds.len()];
            for _ in 0..rounds {
                for (kind, of_kind) in kinds.iter().zip(&mut measured) {
                    let place = Place::new(*kind, cores)?;
                    let contender = Contender::start(&place, &site, app.address())
                        .with_context(|| format!("cannot start {}", kind.name()))?;
                    of_kind.push(load::run(*work, &contender, cores, seconds)?);
                }
            }
            lines.extend(table::lines(*work, cores, kinds, &measured));
        }
    }
    let memory = memory(&site, app.address())?;
    print!("{}\n{memory}", table::text(&lines));
    Ok(())
}

/// Resident memory: idle, and with many kept connections.
fn memory(site: &Site, app: SocketAddr) -> anyhow::Result<String> {
    const CONNECTIONS: usize = 10_000;
    let place = Place::new(Kind::Ring, Cores::Shared)?;
    let ours = Contender::start(&place, site, app)?;
    let idle = ours.resident_kib()?;
    let mut kept = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        kept.push(load::keep_one(ours.http())?);
    }
    let full = ours.resident_kib()?;
    drop(kept);
    Ok(format!(
        "memory: {:.1} MiB idle (at most 10), {:.1} MiB with {CONNECTIONS} idle connections (at most 130), {:.1} KiB each (at most 12)\n",
        idle as f64 / 1024.0,
        full as f64 / 1024.0,
        (full.saturating_sub(idle)) as f64 / CONNECTIONS as f64,
    ))
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .map_err(|_| anyhow::anyhow!("{name} is not a number: {text}")),
        Err(_) => Ok(default),
    }
}

/// An address of loopback that is free now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A self-signed certificate for localhost; returns nothing but the files `cert.pem`, `key.pem` and `both.pem`.
fn certificate(folder: &Path) -> anyhow::Result<()> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "30", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .context("openssl cannot be run")?;
    ensure!(
        made.status.success(),
        "openssl failed: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    let both = [
        std::fs::read(folder.join("cert.pem"))?,
        std::fs::read(folder.join("key.pem"))?,
    ];
    std::fs::write(folder.join("both.pem"), both.concat())?;
    Ok(())
}

impl Line {
    /// What the design asks of this line, as a ratio to nginx.
    pub(crate) fn wanted(work: Work, kind: Kind, cores: Cores) -> Option<f64> {
        let (ring_shared, ring_own, ready_shared, ready_own) = work.wanted();
        match (kind, cores) {
            (Kind::Ring, Cores::Shared) => Some(ring_shared),
            (Kind::Ring, Cores::Own) => ring_own,
            (Kind::Readiness, Cores::Shared) => Some(ready_shared),
            (Kind::Readiness, Cores::Own) => ready_own,
            _ => None,
        }
    }
}
