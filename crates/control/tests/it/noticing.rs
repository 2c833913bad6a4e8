//! From what happens to whoever is told: crashes, monitors in a few words, silences, receivers that do not answer.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use launchway_control::alerts;
use launchway_control::notices;
use launchway_model::ProblemKind;
use launchway_model::alert::{AlertSeverity, NewAlert};
use launchway_model::notice::{Address, NewMonitor, NewReceiver, NewSilence};
use serde_json::Value;

use crate::world::{World, fetch, spec, until};

/// A webhook that keeps what it is sent, each with its moment; it refuses while it is told to.
struct Hook {
    url: String,
    taken: Arc<Mutex<Vec<(Instant, Value)>>>,
    refuse: Arc<AtomicBool>,
}

impl Hook {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (taken, refuse) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (all, refusing) = (Arc::clone(&taken), Arc::clone(&refuse));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream);
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let refused = refusing.load(Ordering::SeqCst);
                if !refused {
                    all.lock()
                        .unwrap()
                        .push((Instant::now(), serde_json::from_slice(&body).unwrap()));
                }
                let status = if refused { "503 Not Now" } else { "200 OK" };
                let _ = reader.get_mut().write_all(
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        .as_bytes(),
                );
            }
        });
        Self { url, taken, refuse }
    }

    fn receiver(&self, name: &str) -> NewReceiver {
        NewReceiver {
            name: name.to_owned(),
            address: Address::Webhook {
                url: self.url.clone(),
            },
            least: None,
            app: None,
        }
    }

    /// How many notices of an alert came.
    fn count(&self, alert: &str) -> usize {
        let taken = self.taken.lock().unwrap();
        let all = taken.iter();
        all.filter(|(_, body)| body["groupLabels"]["alertname"] == alert)
            .count()
    }

    /// The first notice of an alert with this status.
    fn of(&self, alert: &str, status: &str) -> Option<(Instant, Value)> {
        let taken = self.taken.lock().unwrap();
        let found = taken.iter().find(|(_, body)| {
            body["groupLabels"]["alertname"] == alert && body["status"] == status
        });
        found.cloned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_reaches_a_webhook_in_seconds() {
    let world = World::new().await;
    let repository = world.repository("shop");
    repository.version("one", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    let hook = Hook::new();
    notices::add_receiver(&world.control, hook.receiver("ops"))
        .await
        .unwrap();
    notices::test_receiver(&world.control, "ops").await.unwrap();
    assert!(hook.of("Test", "firing").is_some());
    // The counters have to be known before the crash: a series that begins with it has not grown.
    until("the instance is scraped", async || {
        let now = jiff::Timestamp::now().as_millisecond();
        let query = "launchway_instance_crashes_total{app=\"shop\"}";
        let found = launchway_control::monitoring::range(&world.control, query, now, now, 1000)
            .await
            .unwrap();
        (!found.is_empty()).then_some(())
    })
    .await;

    let address = world.proxy.targets("shop").remove(0).address;
    let crashed = Instant::now();
    let address = match address {
        launchway_model::instance::TargetAddress::Tcp(address) => address,
        other => panic!("{other:?}"),
    };
    let _ = tokio::task::spawn_blocking(move || fetch(address, "/crash")).await;
    let (at, body) = until("the webhook is told", async || {
        hook.of("AppCrashed", "firing")
    })
    .await;
    let took = at.duration_since(crashed);
    println!("from the crash to the webhook: {took:?}");
    // Five seconds on a machine that does nothing else; tests share theirs.
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(body["alerts"][0]["labels"]["app"], "shop");
    assert_eq!(body["receiver"], "ops");
    assert_eq!(body["version"], "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_sent_until_it_is_taken_whatever_dies() {
    let mut world = World::new().await;
    let hook = Hook::new();
    hook.refuse.store(true, Ordering::SeqCst);
    notices::add_receiver(&world.control, hook.receiver("ops"))
        .await
        .unwrap();
    let problem = notices::test_receiver(&world.control, "ops")
        .await
        .unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Unavailable);
    let full = NewAlert::new("disk", "/", AlertSeverity::Critical, "the disk is full");
    alerts::raise(&world.control, full).await.unwrap();
    world.restart_control().await;
    hook.refuse.store(false, Ordering::SeqCst);
    let (_, body) = until("the webhook is told", async || hook.of("disk", "firing")).await;
    assert_eq!(
        body["alerts"][0]["annotations"]["summary"],
        "the disk is full"
    );
    assert_eq!(body["alerts"][0]["labels"]["severity"], "critical");
    let count = hook.count("disk");
    world.restart_control().await;
    // A receiver that knows is not told again by a restart; whoever is added later is told.
    let late = Hook::new();
    notices::add_receiver(&world.control, late.receiver("late"))
        .await
        .unwrap();
    until("the late one is told", async || late.of("disk", "firing")).await;
    assert_eq!(hook.count("disk"), count);
    let changes = notices::changes(&world.control, 10).await.unwrap();
    assert_eq!(changes[0].what, "receiver late set (webhook)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn monitors_in_a_few_words_fire_and_silences_keep_them_back() {
    let world = World::new().await;
    let hook = Hook::new();
    notices::add_receiver(&world.control, hook.receiver("ops"))
        .await
        .unwrap();
    let silence = NewSilence {
        matchers: BTreeMap::from([("alertname".to_owned(), "Quiet".to_owned())]),
        seconds: 3600,
        comment: String::new(),
    };
    let silence = notices::add_silence(&world.control, silence).await.unwrap();
    let monitor = |name: &str, words: &str| NewMonitor {
        name: Some(name.to_owned()),
        app: None,
        words: words.to_owned(),
    };
    notices::add_monitor(&world.control, monitor("Quiet", "`vector(1)` > 0"))
        .await
        .unwrap();
    notices::add_monitor(&world.control, monitor("Loud", "`vector(1)` > 0"))
        .await
        .unwrap();
    let problem = notices::add_monitor(&world.control, monitor("Wrong", "load higher than 3"))
        .await
        .unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Invalid);
    until("the loud one is told", async || hook.of("Loud", "firing")).await;
    let open = alerts::list(&world.control, alerts::Which::Open, None, 10)
        .await
        .unwrap();
    assert!(
        open.iter()
            .any(|alert| alert.details["alertname"] == "Quiet"),
        "{open:?}"
    );
    assert!(hook.of("Quiet", "firing").is_none());
    notices::remove_silence(&world.control, silence.id)
        .await
        .unwrap();
    until("the quiet one is told", async || hook.of("Quiet", "firing")).await;
    notices::remove_monitor(&world.control, "Quiet")
        .await
        .unwrap();
    assert_eq!(
        notices::remove_monitor(&world.control, "Quiet")
            .await
            .unwrap_err()
            .kind,
        ProblemKind::NotFound
    );
    assert_eq!(notices::monitors(&world.control).await.unwrap().len(), 1);
}
