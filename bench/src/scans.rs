//! The scanner as people and builds meet it: whole processes of the binary, start-up included, beside cargo-audit and
//! osv-scanner on the same records, which must name the same ids.
//!
//! The data is generated: records as the Python and the Rust database have them, lock files whose packages mostly are
//! known and mostly are not affected. Peers are found on the PATH or in the folder where `scripts/need bench` puts them;
//! without them their lines are left out. Cold means that the index and the lock file were dropped from the page cache.

mod data;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use launchway_e2e::launchway;
use serde_json::Value;
use tempfile::TempDir;

use data::{write_archive, write_lock, write_tree};

use crate::sample::{Row, Sample, millis};

const RECORDS: usize = 20_000;
const LOCKED: usize = 1_000;
const FILES: usize = 100_000;
const LOCK_FILES: usize = 200;
const CRATES: usize = 400;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let folder = TempDir::new()?;
    let bench = Bench {
        folder: folder.path().to_owned(),
    };
    bench.write_records().context("cannot write the records")?;
    let mut rows = bench.index()?;
    rows.extend(bench.lock_file()?);
    rows.extend(bench.tree()?);
    for (name, peer) in [
        (
            "osv-scanner",
            Bench::beside_osv_scanner as fn(&Bench, &Path) -> anyhow::Result<Row>,
        ),
        ("cargo-audit", Bench::beside_cargo_audit),
    ] {
        match find(name) {
            Some(path) => rows.push(peer(&bench, &path)?),
            None => eprintln!("  {name} is not here: `scripts/need bench` installs it"),
        }
    }
    Ok(rows)
}

/// One run of a command: how long it took in milliseconds, and what it printed.
struct Cost {
    millis: f64,
    output: Output,
}

struct Bench {
    folder: PathBuf,
}

impl Bench {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn ours(&self, tree: &Path, database: &Path, cache: &Path) -> Command {
        let mut command = Command::new(launchway());
        command
            .arg("scan")
            .arg(tree)
            .args(["--format", "json", "--db"])
            .arg(database)
            .env("XDG_CACHE_HOME", cache)
            .env("LAUNCHWAY_HOME", self.at("home"));
        command
    }

    /// Builds the index, as the first scan of raw records does: a scan of one package more, in a process of its own.
    fn index(&self) -> anyhow::Result<Vec<Row>> {
        fs::create_dir_all(self.at("small"))?;
        write_lock(&self.at("small/requirements.txt"), 0, 1)?;
        let (mut times, mut memory) = (Vec::new(), Vec::new());
        for round in 0..3 {
            let cache = self.at(&format!("cache-{round}"));
            let records = self.at("db/osv-scanner/PyPI/all.zip");
            times.push(measured(&mut self.ours(&self.at("small"), &records, &cache))?.millis);
            let again = self.at(&format!("cache-again-{round}"));
            memory.push(memory_of(&self.ours(&self.at("small"), &records, &again))?);
        }
        let size = find_index(&self.at("cache-0"))?.metadata()?.len() as f64 / 1e6;
        Ok(vec![
            limit(
                "index of 20,000 advisories, from a zip",
                "ms",
                Sample::from_values(times),
                2_000.0,
            ),
            limit(
                "index of 20,000 advisories, memory",
                "MiB",
                Sample::from_values(memory),
                150.0,
            ),
            limit(
                "index of 20,000 advisories, size",
                "MB",
                Sample::from_values([size]),
                25.0,
            ),
        ])
    }

    fn lock_file(&self) -> anyhow::Result<Vec<Row>> {
        fs::create_dir_all(self.at("one"))?;
        let lock = self.at("one/requirements.txt");
        write_lock(&lock, 0, LOCKED)?;
        let index = find_index(&self.at("cache-0"))?;
        let scan = || measured(&mut self.ours(&self.at("one"), &index, &self.at("cache-0")));
        let first = scan()?;
        ensure!(!ids_of_ours(&first.output)?.is_empty(), "nothing was found");
        let warm = Sample::of(21, || Ok(scan()?.millis))?;
        let memory = Sample::of(5, || {
            memory_of(&self.ours(&self.at("one"), &index, &self.at("cache-0")))
        })?;
        let cold = Sample::of(7, || {
            drop_from_cache(&index)?;
            drop_from_cache(&lock)?;
            Ok(scan()?.millis)
        })?;
        Ok(vec![
            limit("scan of 1,000 packages, warm", "ms", warm, 10.0),
            limit("scan of 1,000 packages, memory", "MiB", memory, 30.0),
            limit("scan of 1,000 packages, cold", "ms", cold, 50.0),
        ])
    }

    fn tree(&self) -> anyhow::Result<Vec<Row>> {
        write_tree(&self.at("tree"))?;
        let index = find_index(&self.at("cache-0"))?;
        let tree = Sample::of(5, || {
            Ok(measured(&mut self.ours(&self.at("tree"), &index, &self.at("cache-0")))?.millis)
        })?;
        Ok(vec![limit(
            "scan of 100,000 files, 200 lock files",
            "ms",
            tree,
            1_000.0,
        )])
    }

    /// The lock file of 1,000 packages against the same zip of 20,000 records.
    fn beside_osv_scanner(&self, program: &Path) -> anyhow::Result<Row> {
        let index = find_index(&self.at("cache-0"))?;
        let theirs = || {
            let mut command = Command::new(program);
            command
                .args(["--experimental-offline", "--format", "json", "--lockfile"])
                .arg(self.at("one/requirements.txt"))
                .env("OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY", self.at("db"));
            measured(&mut command)
        };
        let ours = || measured(&mut self.ours(&self.at("one"), &index, &self.at("cache-0")));
        let ids = |value: &Value| {
            let mut ids = BTreeSet::new();
            for package in all(&value["results"]).flat_map(|result| all(&result["packages"])) {
                ids.extend(
                    all(&package["vulnerabilities"])
                        .filter_map(|found| found["id"].as_str().map(str::to_owned)),
                );
            }
            ids
        };
        side_by_side(
            "scan of 1,000 packages beside osv-scanner",
            "osv-scanner",
            5,
            ours,
            theirs,
            ids,
        )
    }

    /// A Cargo.lock of some hundred crates against a thousand advisories in RustSec's own form.
    fn beside_cargo_audit(&self, program: &Path) -> anyhow::Result<Row> {
        let database = self.at("rustsec");
        for number in 0..1_000 {
            let name = format!("crate-{}", number % 700);
            let folder = database.join("crates").join(&name);
            fs::create_dir_all(&folder)?;
            let id = format!("RUSTSEC-2024-{number:04}");
            fs::write(
                folder.join(format!("{id}.md")),
                format!(
                    "```toml\n[advisory]\nid = \"{id}\"\npackage = \"{name}\"\ndate = \"2024-01-01\"\ncvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:H\"\n\n[versions]\npatched = [\">= {}.0.0\"]\n```\n\n# A flaw of {name}\n\nWhat it does.\n",
                    number % 5 + 1
                ),
            )?;
        }
        let project = self.at("crates");
        fs::create_dir_all(&project)?;
        let mut lock = "version = 4\n".to_owned();
        for number in 0..CRATES {
            lock.push_str(&format!(
                "\n[[package]]\nname = \"crate-{number}\"\nversion = \"{}.2.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{number:064x}\"\n",
                number % 7
            ));
        }
        fs::write(project.join("Cargo.lock"), lock)?;
        let theirs = || {
            let mut command = Command::new(program);
            command
                .args(["audit", "--no-fetch", "--stale", "--json", "--db"])
                .arg(&database)
                .arg("--file")
                .arg(project.join("Cargo.lock"));
            measured(&mut command)
        };
        let cache = self.at("cache-rustsec");
        let ours = || measured(&mut self.ours(&project, &database, &cache));
        let ids = |value: &Value| {
            all(&value["vulnerabilities"]["list"])
                .filter_map(|found| found["advisory"]["id"].as_str().map(str::to_owned))
                .collect()
        };
        side_by_side(
            "scan of 400 crates beside cargo-audit",
            "cargo-audit",
            15,
            ours,
            theirs,
            ids,
        )
    }

    fn write_records(&self) -> anyhow::Result<()> {
        fs::create_dir_all(self.at("db/osv-scanner/PyPI"))?;
        write_archive(&self.at("db/osv-scanner/PyPI/all.zip"))
    }
}

/// Both in turn, so that what disturbs the machine disturbs both.
fn side_by_side(
    what: &str,
    peer: &str,
    times: usize,
    mut ours: impl FnMut() -> anyhow::Result<Cost>,
    mut theirs: impl FnMut() -> anyhow::Result<Cost>,
    their_ids: impl Fn(&Value) -> BTreeSet<String>,
) -> anyhow::Result<Row> {
    let found = ids_of_ours(&ours()?.output)?;
    let output = theirs()?.output;
    let value: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{peer}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let others = their_ids(&value);
    ensure!(
        !found.is_empty() && found == others,
        "{peer} finds {} ids and we find {}; only there: {:?}, only here: {:?}",
        others.len(),
        found.len(),
        others.difference(&found).take(5).collect::<Vec<_>>(),
        found.difference(&others).take(5).collect::<Vec<_>>()
    );
    eprintln!("    {peer} names the same {} ids", found.len());
    let (mut mine, mut other) = (Vec::new(), Vec::new());
    for _ in 0..times {
        mine.push(ours()?.millis);
        other.push(theirs()?.millis);
    }
    Ok(Row {
        what: what.to_owned(),
        unit: "ms",
        ours: Sample::from_values(mine),
        against: Some((peer.to_owned(), Sample::from_values(other).median())),
    })
}

fn limit(what: &str, unit: &'static str, ours: Sample, most: f64) -> Row {
    Row {
        what: what.to_owned(),
        unit,
        ours,
        against: Some(("at most".to_owned(), most)),
    }
}

fn all(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn ids_of_ours(output: &Output) -> anyhow::Result<BTreeSet<String>> {
    let value: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(all(&value["findings"])
        .flat_map(|finding| all(&finding["ids"]))
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect())
}

/// Runs a command to its end.
fn measured(command: &mut Command) -> anyhow::Result<Cost> {
    let began = Instant::now();
    let output = command.output()?;
    let millis = millis(began.elapsed());
    // Exit codes of scanners tell findings; only 2 and a signal say that something is wrong.
    ensure!(
        output.status.code().is_some_and(|code| code <= 1),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(Cost { millis, output })
}

/// Runs a command and gives the peak of its resident memory in MiB, as the parent of a process learns it from the kernel when it ends.
fn memory_of(command: &Command) -> anyhow::Result<f64> {
    const READ: &str = "import os,sys\npid=os.posix_spawnp(sys.argv[1],sys.argv[1:],os.environ,file_actions=[(os.POSIX_SPAWN_OPEN,1,'/dev/null',os.O_WRONLY,0),(os.POSIX_SPAWN_OPEN,2,'/dev/null',os.O_WRONLY,0)])\nprint(os.wait4(pid,0)[2].ru_maxrss,file=sys.__stdout__)";
    let output = Command::new("python3")
        .args(["-c", READ])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .output()?;
    let kib: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    Ok(kib / 1024.0)
}

fn find(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .map(|cache| cache.join("launchway/peers/bin"));
    let search = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&search)
        .chain(cache)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// The index that a scan of raw records left in its cache.
fn find_index(cache: &Path) -> anyhow::Result<PathBuf> {
    let mut folders = vec![cache.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "index")
            {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("no index was built in {}", cache.display())
}

/// Tells the kernel that a file's pages are not needed; `dd` asks for it in plain words.
fn drop_from_cache(path: &Path) -> anyhow::Result<()> {
    File::open(path)?.sync_all()?;
    let done = Command::new("dd")
        .arg(format!("if={}", path.display()))
        .args(["iflag=nocache", "count=0", "status=none"])
        .status()?;
    ensure!(done.success(), "dd cannot drop {}", path.display());
    Ok(())
}
