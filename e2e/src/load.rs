//! A load generator: a few clients with keep-alive connections that ask steadily and count every request that was not
//! answered as it should be.
//!
//! It is bounded in clients, rate and time, and only ever asks loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Answer, Connection};

/// The pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(4);
/// The longest that a load may last, should a test forget to end it.
const LONGEST: Duration = Duration::from_secs(600);
/// How many failures are kept word by word.
const KEPT: usize = 20;

/// A load that goes on until it is ended.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    ended: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<Vec<String>>,
    began: Instant,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Requests answered as they should be.
    pub answered: u64,
    /// All others.
    pub failed: u64,
    /// The first failures, each with its moment in milliseconds from the start.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts `clients` that ask an app's page again and again; `right` says whether an answer is as it should be.
    pub fn start(
        address: SocketAddr,
        host: &str,
        path: &str,
        clients: usize,
        right: impl Fn(&Answer) -> bool + Send + Sync + Clone + 'static,
    ) -> Self {
        assert!(address.ip().is_loopback(), "a load asks this machine alone");
        let shared = Arc::new(Shared {
            ended: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failures: Mutex::new(Vec::new()),
            began: Instant::now(),
        });
        let clients = (0..clients)
            .map(|_| {
                let (shared, host, path, right) = (
                    shared.clone(),
                    host.to_owned(),
                    path.to_owned(),
                    right.clone(),
                );
                std::thread::spawn(move || ask(&shared, address, &host, &path, &right))
            })
            .collect();
        Self { shared, clients }
    }

    /// Requests answered so far as they should be.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until as many more requests were answered well.
    pub fn await_more(&self, number: u64) {
        let goal = self.answered() + number;
        crate::until("the load goes on", || self.answered() >= goal);
    }

    /// Ends the load and tells what came of it.
    pub fn end(self) -> Report {
        self.shared.ended.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client of the load does not panic");
        }
        Report {
            answered: self.shared.answered.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
            failures: self
                .shared
                .failures
                .lock()
                .expect("no client panicked")
                .clone(),
        }
    }
}

impl Report {
    /// Asserts that many requests were answered and not one failed.
    ///
    /// # Panics
    /// One failed, or there were too few to mean anything.
    pub fn assert_flawless(&self, what: &str) {
        assert_eq!(
            self.failed,
            0,
            "{what}: {} of {} requests failed: {:#?}",
            self.failed,
            self.answered + self.failed,
            self.failures
        );
        assert!(
            self.answered >= 100,
            "{what}: only {} requests were made",
            self.answered
        );
    }
}

fn ask(
    shared: &Shared,
    address: SocketAddr,
    host: &str,
    path: &str,
    right: &dyn Fn(&Answer) -> bool,
) {
    let mut connection: Option<Connection> = None;
    while !shared.ended.load(Ordering::Relaxed) && shared.began.elapsed() < LONGEST {
        let asked = connection
            .take()
            .map_or_else(|| Connection::open(address), Ok)
            .and_then(|mut open| {
                open.send("GET", host, path, &[], b"")
                    .map(|answer| (open, answer))
            });
        let failure = match asked {
            Ok((open, answer)) => {
                let good = right(&answer);
                if answer.keep_alive {
                    connection = Some(open);
                }
                (!good).then(|| {
                    format!(
                        "status {}: {}",
                        answer.status,
                        answer.text().chars().take(200).collect::<String>()
                    )
                })
            }
            Err(error) => Some(error.to_string()),
        };
        match failure {
            None => {
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Some(why) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                let mut failures = shared.failures.lock().expect("no client panicked");
                if failures.len() < KEPT {
                    failures.push(format!(
                        "after {} ms: {why}",
                        shared.began.elapsed().as_millis()
                    ));
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
}
