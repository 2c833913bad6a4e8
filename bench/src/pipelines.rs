//! What a pipeline costs: a thousand steps beside the same commands by hand, a log of 1 GB, a Jenkinsfile of 1,000 lines.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use launchway_e2e::launchway;

use crate::sample::{Row, Sample, millis};

const STEPS: u32 = 1_000;
/// The log's size in MB.
const MEGABYTES: u32 = 1_000;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let mut rows = steps()?;
    rows.extend(log()?);
    rows.push(check()?);
    Ok(rows)
}

/// A working copy with this Jenkinsfile.
fn folder(jenkinsfile: &str) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("Jenkinsfile"), jenkinsfile)?;
    let git = Command::new("git")
        .args(["init", "--quiet", "--initial-branch=main"])
        .current_dir(folder.path())
        .status()?;
    ensure!(git.success(), "git init failed");
    Ok(folder)
}

fn run(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(launchway())
        .args(["pipeline", "run"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the pipeline failed: {said}");
    Ok(said)
}

/// Steps and the same by hand, by turns, so that both meet the same machine.
fn steps() -> anyhow::Result<Vec<Row>> {
    let mut text = "pipeline {\n agent any\n stages { stage('A') { steps {\n".to_owned();
    for _ in 0..STEPS {
        text.push_str("sh 'true'\n");
    }
    text.push_str("} } }\n}\n");
    let folder = folder(&text)?;
    let (mut ours, mut hand, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        let began = Instant::now();
        run(folder.path(), &["--quiet"])?;
        let own = millis(began.elapsed());
        let began = Instant::now();
        for _ in 0..STEPS {
            let status = Command::new("/bin/sh")
                .args(["-xe", "-c", "true"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            ensure!(status.success(), "true failed");
        }
        let other = millis(began.elapsed());
        ours.push(own);
        hand.push(other);
        each.push((own - other) / f64::from(STEPS));
    }
    let hand = Sample::from_values(hand).median();
    Ok(vec![
        Row {
            what: format!("{STEPS} steps of sh 'true', the whole run"),
            unit: "ms",
            ours: Sample::from_values(ours.clone()),
            against: Some(("at most".to_owned(), 6_000.0)),
        },
        Row {
            what: format!("{STEPS} steps of sh 'true', beside a loop of sh -xe -c true"),
            unit: "ms",
            ours: Sample::from_values(ours),
            against: Some(("by hand".to_owned(), hand)),
        },
        Row {
            what: "a step above the command by hand".to_owned(),
            unit: "ms",
            ours: Sample::from_values(each),
            against: Some(("at most".to_owned(), 5.0)),
        },
    ])
}

/// What the runner itself spent on a log of 1 GB with secrets to look for, and how large it got.
fn log() -> anyhow::Result<Vec<Row>> {
    let text = format!(
        "pipeline {{\n agent any\n stages {{\n  stage('Write') {{ steps {{ sh 'set +x; yes \"$(seq -s \" \" 1 40)\" | head -c {MEGABYTES}000000' }} }}\n  stage('Tell') {{ steps {{ sh 'set +x; echo cpu $(cut -d\" \" -f14,15 /proc/$PPID/stat) per $(getconf CLK_TCK); grep VmHWM /proc/$PPID/status' }} }}\n }}\n}}\n"
    );
    let folder = folder(&text)?;
    let (mut speed, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let kept = run(
            folder.path(),
            &[
                "--quiet",
                "--keep",
                "--env",
                "API_TOKEN=s3cr3t-T0ken/with+stuff",
                "--env",
                "DATABASE_PASSWORD=another-one-of-these",
            ],
        )?;
        let place = kept
            .lines()
            .find_map(|line| line.split("kept in ").nth(1))
            .context("the run does not say where it kept its folder")?
            .trim()
            .to_owned();
        let told = std::fs::read_to_string(Path::new(&place).join("build/log/1.log"));
        std::fs::remove_dir_all(&place)?;
        let told = told?;
        let mut words = told
            .split_whitespace()
            .skip_while(|word| *word != "cpu")
            .skip(1);
        let mut number = || -> Option<f64> { words.next()?.parse().ok() };
        let (user, system) = number().zip(number()).context("no CPU time was told")?;
        let mut words = words.skip(1);
        let ticks: f64 = words
            .next()
            .and_then(|word| word.parse().ok())
            .context("no ticks")?;
        speed.push(f64::from(MEGABYTES) / ((user + system) / ticks).max(0.001));
        let kib: f64 = told
            .split("VmHWM:")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .context("no memory was told")?;
        memory.push(kib / 1024.0);
    }
    Ok(vec![
        Row {
            what: "a log of 1 GB with masking, by a core's second of the runner".to_owned(),
            unit: "MB/s",
            ours: Sample::from_values(speed),
            against: Some(("at least".to_owned(), 200.0)),
        },
        Row {
            what: "the runner's memory at most, with that log".to_owned(),
            unit: "MiB",
            ours: Sample::from_values(memory),
            against: Some(("at most".to_owned(), 32.0)),
        },
    ])
}

/// Reading, checking and planning, with the start of the process that does it.
fn check() -> anyhow::Result<Row> {
    let mut text =
        "def name(x) { return \"v${x}\" }\npipeline {\n agent any\n stages {\n".to_owned();
    for number in 0..124 {
        write!(
            text,
            "  stage('S{number}') {{\n   when {{ branch 'main' }}\n   environment {{ A = \"${{name({number})}}\" }}\n   steps {{\n    sh 'make {number}'\n    echo \"x ${{env.A}}\"\n   }}\n  }}\n"
        )?;
    }
    text.push_str(" }\n}\n");
    ensure!(
        (990..=1_010).contains(&text.lines().count()),
        "{} lines",
        text.lines().count()
    );
    let folder = folder(&text)?;
    let ours = Sample::of(30, || {
        let began = Instant::now();
        let status = Command::new(launchway())
            .args(["pipeline", "check", "Jenkinsfile"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(status.success(), "the check failed");
        Ok(millis(began.elapsed()))
    })?;
    Ok(Row {
        what: "pipeline check of 1,000 lines, with the process's start".to_owned(),
        unit: "ms",
        ours,
        against: Some(("at most".to_owned(), 10.0)),
    })
}
