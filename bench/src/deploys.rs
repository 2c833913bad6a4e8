//! How long deploys take, and how much of that is Launchway's own.

use anyhow::Context as _;
use launchway_e2e::{Installation, Repository};
use serde_json::Value;

use crate::sample::{Row, Sample};

/// An app that starts at once: its deploys show the platform's own share.
const SERVER: &str = "
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'ok')

    def log_message(self, *what):
        pass

ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
";

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let installation = Installation::start();
    let mut rows = own_share(&installation)?;
    rows.extend(example(&installation)?);
    Ok(rows)
}

fn own_share(installation: &Installation) -> anyhow::Result<Vec<Row>> {
    let repository = Repository::of_files(
        "bench",
        &[
            ("app.py", SERVER),
            (
                "launchway.toml",
                "[process.web]\nrun = \"python3 app.py\"\n[health]\npath = \"/\"\n",
            ),
        ],
    );
    let (mut own, mut whole) = (Vec::new(), Vec::new());
    for number in 0..8 {
        repository.write("number", &number.to_string());
        repository.commit("another");
        let events = deploy(installation, &repository);
        // The first one makes the app, and its route is the first.
        if number > 0 {
            let started = phase_millis(installation, &events, "ready")?;
            own.push(finished_millis(&events)? - stages_millis(&events) - started);
            whole.push(finished_millis(&events)?);
        }
    }
    Ok(vec![
        Row {
            what: "own share of a deploy".to_owned(),
            unit: "ms",
            ours: Sample::from_values(own),
            against: Some(("at most".to_owned(), 300.0)),
        },
        Row {
            what: "a deploy without dependencies, whole".to_owned(),
            unit: "ms",
            ours: Sample::from_values(whole),
            against: None,
        },
    ])
}

/// The Flask example: the first build installs its dependencies, the others take them from the cache.
fn example(installation: &Installation) -> anyhow::Result<Vec<Row>> {
    let repository = Repository::of_example("url-shortener", "url-shortener");
    let first = finished_millis(&deploy(installation, &repository))?;
    let (mut warm, mut start) = (Vec::new(), Vec::new());
    for number in 0..5 {
        repository.write("number", &number.to_string());
        repository.commit("another");
        let events = deploy(installation, &repository);
        let ready = phase_millis(installation, &events, "ready")?;
        warm.push(finished_millis(&events)? - ready);
        start.push(ready);
    }
    Ok(vec![
        Row {
            what: "Flask example, first deploy (cold cache)".to_owned(),
            unit: "ms",
            ours: Sample::from_values([first]),
            against: None,
        },
        Row {
            what: "Flask example, redeploy but the app's start".to_owned(),
            unit: "ms",
            ours: Sample::from_values(warm),
            against: Some(("at most".to_owned(), 3000.0)),
        },
        Row {
            what: "Flask example, the app's own start".to_owned(),
            unit: "ms",
            ours: Sample::from_values(start),
            against: None,
        },
    ])
}

/// The events of one deploy, as `launchway deploy --json` prints them.
fn deploy(installation: &Installation, repository: &Repository) -> Vec<Value> {
    let ran = installation
        .run_in(repository.path(), &["deploy", "--json"])
        .ok("the deploy");
    ran.stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn finished_millis(events: &[Value]) -> anyhow::Result<f64> {
    events
        .iter()
        .find(|event| event["progress"] == "finished")
        .and_then(|event| event["millis"].as_f64())
        .context("the deploy's last event names its time")
}

/// The time of the app's own build commands.
fn stages_millis(events: &[Value]) -> f64 {
    events
        .iter()
        .filter(|event| event["progress"] == "stage_finished")
        .filter_map(|event| event["millis"].as_f64())
        .sum()
}

/// How long a phase of the deploy took, as the API keeps it.
fn phase_millis(installation: &Installation, events: &[Value], phase: &str) -> anyhow::Result<f64> {
    let deploy = events
        .iter()
        .find(|event| event["progress"] == "released")
        .and_then(|event| event["deploy"].as_u64())
        .context("the deploy has a number")?;
    let record = crate::memory::api(installation, &format!("/deploys/{deploy}"))?;
    record["phases"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|record| record["phase"] == phase)
        .and_then(|record| record["millis"].as_f64())
        .with_context(|| format!("the phase `{phase}` has a time"))
}
