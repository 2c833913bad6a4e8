//! Dispatch: a thousand queued builds and fifty agents. The agents are connections of the real protocol (TLS, a token each) which
//! end each build as soon as they have it, so that what is measured is control's work alone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use launchway_e2e::{Installation, Repository, processes};
use launchway_model::Problem;
use launchway_model::agent::{AGENT_PROTOCOL, BASE, Held, Orders, Report};
use launchway_model::build::BuildResult;
use launchway_model::runner::{EVENTS_FILE, RunnerEvent, RunnerEventKind};
use serde_json::{Value, json};
use ureq::tls::{TlsConfig, TlsProvider};

use crate::memory;
use crate::sample::{Row, Sample, millis};

const BUILDS: usize = 1000;
const AGENTS: usize = 50;
/// The longest that all builds may take before the measurement is given up.
const LONGEST: Duration = Duration::from_secs(300);

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?;
    let listen = free.local_addr()?.to_string();
    drop(free);
    let installation = Installation::start_with(&["--agents", &listen, "--builds", "0"]);
    let client = Client {
        agent: ureq::Agent::config_builder()
            .tls_config(
                TlsConfig::builder()
                    .provider(TlsProvider::Rustls)
                    // The pinning has tests of its own; here only the work of TLS counts.
                    .disable_verification(true)
                    .build(),
            )
            .build()
            .new_agent(),
        api: format!("http://{}/api/v1", installation.api()),
        token: installation.token(),
    };
    let tokens = (0..AGENTS)
        .map(|number| {
            let made = client.post("/agents", &json!({ "name": format!("agent-{number}") }))?;
            let token = made["token"].as_str().context("no token")?;
            Ok(token.to_owned())
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    queue(&client)?;
    let control = installation.role("control");
    let queued = memory::resident(control)?;

    let latencies = Arc::new(Mutex::new(Vec::with_capacity(BUILDS)));
    let done = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let threads: Vec<_> = tokens
        .into_iter()
        .map(|token| {
            let (latencies, done) = (Arc::clone(&latencies), Arc::clone(&done));
            let server = format!("https://{listen}{BASE}");
            let agent = client.agent.clone();
            std::thread::spawn(move || serve(&agent, &server, &token, &latencies, &done))
        })
        .collect();
    let mut highest = queued;
    let all = loop {
        std::thread::sleep(Duration::from_millis(50));
        highest = highest.max(memory::resident(control)?);
        if locked(&latencies).len() >= BUILDS {
            break began.elapsed();
        }
        anyhow::ensure!(
            began.elapsed() < LONGEST,
            "the builds do not come to their end"
        );
    };
    done.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
    let latencies = locked(&latencies).clone();
    anyhow::ensure!(processes::lives(control), "control was replaced");
    Ok(vec![
        Row {
            what: format!("control, {BUILDS} queued builds, RSS"),
            unit: "MiB",
            ours: Sample::from_values([queued]),
            against: Some(("at most".to_owned(), 100.0)),
        },
        Row {
            what: format!("control, the same with {AGENTS} agents at work, highest RSS"),
            unit: "MiB",
            ours: Sample::from_values([highest]),
            against: Some(("at most".to_owned(), 100.0)),
        },
        Row {
            what: format!("dispatch, all {BUILDS} builds, time of each"),
            unit: "ms",
            ours: Sample::from_values([millis(all) / BUILDS as f64]),
            against: Some(("at most".to_owned(), 50.0)),
        },
        Row {
            what: "dispatch, from a free agent to its build (50 at once)".to_owned(),
            unit: "ms",
            ours: Sample::from_values(latencies.into_iter().map(millis)),
            against: None,
        },
    ])
}

/// Queues the builds: each on a branch of its own, since of a branch only the newest waits.
fn queue(client: &Client) -> anyhow::Result<()> {
    let repository = Repository::of_files("many", &[("Procfile", "web: sleep 1\n")]);
    let commit = repository.commit("all");
    for number in 0..BUILDS {
        let branch = format!("refs/heads/b{number}");
        repository.git(&["update-ref", &branch, &commit]);
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= BUILDS {
                            return Ok(());
                        }
                        let branch = format!("b{number}");
                        client.post(
                            "/apps/many/deploys",
                            &json!({ "source": repository.path(), "branch": branch }),
                        )?;
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })
}

struct Client {
    agent: ureq::Agent,
    api: String,
    token: String,
}

impl Client {
    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let text = self
            .agent
            .post(format!("{}{path}", self.api))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .send(body.to_string())?
            .body_mut()
            .read_to_string()?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// One agent: asks, takes, ends, until there is nothing more.
fn serve(
    agent: &ureq::Agent,
    server: &str,
    token: &str,
    latencies: &Mutex<Vec<Duration>>,
    done: &AtomicBool,
) {
    let post = |path: &str, body: Vec<u8>| -> anyhow::Result<String> {
        Ok(agent
            .post(format!("{server}{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .send(body)?
            .body_mut()
            .read_to_string()?)
    };
    let mut report = Report {
        protocol: AGENT_PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: ["bench".to_owned()].into(),
        executors: 1,
        host: "bench".to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        incarnation: 1,
        holds: Vec::new(),
        leaving: false,
    };
    let mut free = Instant::now();
    while !done.load(Ordering::Relaxed) {
        let exchanged = serde_json::to_vec(&report)
            .map_err(anyhow::Error::from)
            .and_then(|body| post("/sync", body))
            .and_then(|text| Ok(serde_json::from_str::<Orders>(&text)?));
        let Ok(orders) = exchanged else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        // A lease is held until control says that it is no more, as a real agent's is until it is delivered.
        report
            .holds
            .retain(|held| !orders.drop.contains(&held.lease));
        for assignment in orders.take {
            locked(latencies).push(free.elapsed());
            report.holds.push(Held {
                lease: assignment.lease,
                build: assignment.job.build,
                cancelled: false,
                answered: BTreeSet::new(),
            });
            let path = format!(
                "/leases/{}/grow?path={EVENTS_FILE}&offset=0",
                assignment.lease
            );
            if let Err(error) = post(&path, ended()) {
                eprintln!("    a build could not be ended: {error:#}");
            }
            free = Instant::now();
        }
    }
}

/// The spool of a build that failed at once, so that no release comes of it.
fn ended() -> Vec<u8> {
    let at = "2026-01-01T00:00:00Z";
    let kinds = [
        json!(RunnerEventKind::Started {
            pid: 1,
            protocol: launchway_model::PROTOCOL
        }),
        json!(RunnerEventKind::Finished {
            result: BuildResult::Failure,
            problem: Some(Problem::failed("only measured")),
        }),
    ];
    let mut spool = Vec::new();
    for (seq, mut event) in kinds.into_iter().enumerate() {
        event["seq"] = json!(seq);
        event["at"] = json!(at);
        debug_assert!(serde_json::from_value::<RunnerEvent>(event.clone()).is_ok());
        spool.extend_from_slice(event.to_string().as_bytes());
        spool.push(b'\n');
    }
    spool
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
