use super::*;
use crate::promql::{Engine, Value};
use crate::storage::Options;
use config::Config;
use ingest::ScrapeError;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

fn store() -> Store {
    Store::in_memory(Options {
        background: false,
        ..Options::default()
    })
}

fn job(yaml: &str) -> Job {
    let config = Config::parse(&format!("scrape_configs:\n- job_name: j\n{yaml}")).unwrap();
    config.jobs[0].clone()
}

fn target() -> Labels {
    Labels::from_pairs([("job", "j"), ("instance", "i:1")])
}

/// The samples of a selector's series, stale markers as `stale`.
fn samples(store: &Store, selector: &str) -> Vec<String> {
    let matchers = crate::promql::parse_selector(selector).unwrap();
    let mut out = Vec::new();
    let mut selection = store.select(&matchers, i64::MIN, i64::MAX);
    while let Some(series) = selection.next_series() {
        let points = series.times.iter().zip(series.values).map(|(time, value)| {
            let stale = crate::labels::is_stale_nan(*value);
            let value = if stale {
                "stale".to_owned()
            } else {
                value.to_string()
            };
            format!("{value}@{time}")
        });
        out.push(format!(
            "{} {}",
            series.labels,
            points.collect::<Vec<_>>().join(" ")
        ));
    }
    out.sort();
    out
}

struct Scraped {
    store: Store,
    job: Job,
    cache: Cache,
    at: i64,
}

impl Scraped {
    fn new(yaml: &str) -> Self {
        let at = now() / 1000 * 1000 - 60_000;
        Self {
            store: store(),
            job: job(yaml),
            cache: Cache::new(&target()),
            at,
        }
    }

    /// Scrapes a body; every time a second later.
    fn body(&mut self, body: &str) -> Result<Ingested, ScrapeError> {
        self.at += 1000;
        self.cache.ingest(
            &self.store,
            &self.job,
            &target(),
            body.as_bytes(),
            Format::Text,
            self.at,
        )
    }

    /// As [`samples`], times relative to the first scrape.
    fn samples(&self, selector: &str) -> Vec<String> {
        let base = self.at / 100_000;
        samples(&self.store, selector)
            .into_iter()
            .map(|line| line.replace(&format!("@{base}"), "@"))
            .collect()
    }

    fn times(&self, back: i64) -> String {
        (self.at - back * 1000)
            .to_string()
            .replacen(&(self.at / 100_000).to_string(), "", 1)
    }
}

#[test]
fn a_series_that_is_gone_is_marked_stale_once() {
    let mut scraped = Scraped::new("");
    let first = scraped
        .body("# TYPE a gauge\n# HELP a Help.\na{x=\"1\"} 1\na{x=\"2\"} 2\nb 3 99999999999999\n")
        .unwrap();
    assert_eq!(
        (first.scraped, first.kept, first.added, first.refused),
        (3, 3, 3, 1),
        "what is far in the future is refused"
    );
    let second = scraped.body("a{x=\"2\"} 2\n").unwrap();
    assert_eq!((second.scraped, second.added), (1, 0));
    scraped.body("a{x=\"2\"} 5\nnew 1\n").unwrap();
    let (t1, t2, t3) = (scraped.times(2), scraped.times(1), scraped.times(0));
    assert_eq!(
        scraped.samples("a"),
        [
            format!(r#"a{{instance="i:1", job="j", x="1"}} 1@{t1} stale@{t2}"#),
            format!(r#"a{{instance="i:1", job="j", x="2"}} 2@{t1} 2@{t2} 5@{t3}"#),
        ]
    );
    assert_eq!(scraped.store.metadata()["a"].help, "Help.");
    scraped
        .cache
        .end(&scraped.store, scraped.at + 1000)
        .unwrap();
    scraped
        .cache
        .end(&scraped.store, scraped.at + 2000)
        .unwrap();
    let t4 = scraped.times(-1);
    assert_eq!(
        scraped.samples("new"),
        [format!(
            r#"new{{instance="i:1", job="j"}} 1@{t3} stale@{t4}"#
        )]
    );
}

#[test]
fn a_body_with_a_mistake_stores_nothing_of_itself() {
    let mut scraped = Scraped::new("");
    scraped.body("a 1\n").unwrap();
    let error = scraped.body("a 2\nc 1\nb{ 3\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3, column 4: expected a label's name, found \"3\""
    );
    let error = scraped.body("a 2\nc{x=\"1\",x=\"2\"} 1\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2: label name \"x\" is not unique: invalid sample"
    );
    let again = scraped.body("a 4\n").unwrap();
    assert_eq!(again.added, 1);
    let times = [scraped.times(3), scraped.times(2), scraped.times(0)];
    assert_eq!(
        scraped.samples("{__name__=~\"a|b|c\"}"),
        [format!(
            r#"a{{instance="i:1", job="j"}} 1@{} stale@{} 4@{}"#,
            times[0], times[1], times[2]
        )]
    );
}

#[test]
fn labels_of_the_target_win_unless_those_of_the_body_are_honored() {
    let body = "m{job=\"own\",exported_job=\"x\",instance=\"\"} 1\n";
    let mut scraped = Scraped::new("");
    scraped.body(body).unwrap();
    let mut honored = Scraped::new("  honor_labels: true\n");
    honored.body(body).unwrap();
    let names = |scraped: &Scraped| scraped.store.series(&[], i64::MIN, i64::MAX)[0].to_string();
    assert_eq!(
        names(&scraped),
        r#"m{exported_exported_job="own", exported_job="x", instance="i:1", job="j"}"#
    );
    assert_eq!(names(&honored), r#"m{exported_job="x", job="own"}"#);
}

#[test]
fn relabelling_drops_and_renames_series() {
    let mut scraped = Scraped::new(
        "  metric_relabel_configs:\n  - {source_labels: [__name__], regex: 'go_.*', action: drop}\n  - {source_labels: [__name__], regex: 'old_(.*)', target_label: __name__, replacement: 'new_$1'}\n",
    );
    let done = scraped.body("go_x 1\nold_a 2\nkeep 3\n").unwrap();
    assert_eq!((done.scraped, done.kept), (3, 2));
    let names: Vec<String> = scraped
        .store
        .label_values("__name__", &[], i64::MIN, i64::MAX);
    assert_eq!(names, ["keep", "new_a"]);
}

#[test]
fn bounds_fail_the_scrape_with_a_word() {
    let fails = |yaml: &str, body: &str| Scraped::new(yaml).body(body).unwrap_err().to_string();
    assert_eq!(
        fails("  sample_limit: 1\n", "a 1\nb 1\n"),
        "sample limit exceeded"
    );
    assert_eq!(
        fails("  label_limit: 3\n", "a 1\nb{x=\"1\"} 1\n"),
        "line 2: label_limit exceeded (metric: b, number of labels: 4, limit: 3)"
    );
    assert_eq!(
        fails("  label_value_length_limit: 5\n", "b{x=\"123456\"} 1\n"),
        "line 1: label_value_length_limit exceeded (metric: b, label name: x, length: 6, limit: 5)"
    );
    assert_eq!(
        fails("  label_name_length_limit: 8\n", "b{x23456789=\"1\"} 1\n"),
        "line 1: label_name_length_limit exceeded (metric: b, label name: x23456789, length: 9, limit: 8)"
    );
}

#[test]
fn many_series_that_come_and_go_are_forgotten() {
    let mut scraped = Scraped::new("");
    for round in 0..20 {
        let body: String = (0..200)
            .map(|n| format!("a{{n=\"{}\"}} 1\n", round * 200 + n))
            .collect();
        let done = scraped.body(&body).unwrap();
        assert_eq!((done.added, done.refused), (200, 0));
    }
    assert!(scraped.cache.len() < 2000, "{}", scraped.cache.len());
    // In another order and mixed with old ones it is still each series' own value.
    scraped.body("a{n=\"3999\"} 7\na{n=\"3800\"} 8\n").unwrap();
    let found = scraped.samples("a{n=\"3800\"}");
    assert!(found[0].contains(" 8@"), "{found:?}");
}

/// A server that answers each request with what the handler says (headers and body), over as many connections as come.
fn serve(handler: impl Fn(&str, usize) -> (String, Vec<u8>) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let handler = Arc::new(handler);
    std::thread::spawn(move || {
        let count = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming() {
            let (mut stream, handler, count) = (stream.unwrap(), handler.clone(), count.clone());
            std::thread::spawn(move || {
                let mut request = Vec::new();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    request.push(byte[0]);
                    if request.ends_with(b"\r\n\r\n") {
                        let text = String::from_utf8(std::mem::take(&mut request))
                            .unwrap()
                            .to_lowercase();
                        let (head, body) = handler(&text, count.fetch_add(1, Ordering::SeqCst));
                        let head =
                            format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
                        if stream
                            .write_all(head.as_bytes())
                            .and_then(|()| stream.write_all(&body))
                            .is_err()
                        {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// Waits until a query's answer is as wanted.
async fn until(store: &Store, query: &str, wanted: impl Fn(&[f64]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = Engine::default().instant(store, query, now()).unwrap();
        let Value::Vector(series) = answer.value else {
            panic!("{query} is no vector")
        };
        let values: Vec<f64> = series.iter().map(|series| series.points[0].1).collect();
        if wanted(&values) {
            return;
        }
        assert!(Instant::now() < deadline, "{query} is {values:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn start(
    store: &Store,
    yaml: &str,
    folder: &std::path::Path,
) -> (Arc<Scraper>, CancellationToken, tokio::task::JoinHandle<()>) {
    let scraper = Arc::new(Scraper::new(store.clone(), folder));
    scraper.configure(Config::parse(yaml).unwrap().jobs);
    let cancel = CancellationToken::new();
    let running = tokio::spawn(scraper.clone().run(cancel.clone()));
    (scraper, cancel, running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_exporter_is_scraped_over_http() {
    let seen = Arc::new(Mutex::new(String::new()));
    let last = seen.clone();
    let address = serve(move |request, count| {
        *last.lock().unwrap() = request.to_owned();
        let body = format!("# TYPE asked counter\nasked_total {count}\n# EOF\n");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(body.as_bytes()).unwrap();
        ("200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\nContent-Encoding: gzip".into(), packed.finish().unwrap())
    });
    let store = store();
    let yaml = format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n- job_name: app\n  params: {{a: [b]}}\n  authorization: {{credentials: token}}\n  static_configs: [{{targets: ['{address}'], labels: {{env: test}}}}]\n"
    );
    let (scraper, cancel, running) = start(&store, &yaml, ".".as_ref());
    until(&store, "asked_total{env=\"test\",job=\"app\"}", |values| {
        values.first().is_some_and(|value| *value >= 3.0)
    })
    .await;
    until(&store, "up", |values| values == [1.0]).await;
    until(&store, "scrape_samples_scraped", |values| values == [1.0]).await;
    let request = seen.lock().unwrap().clone();
    for line in [
        "get /metrics?a=b http/1.1",
        "authorization: bearer token",
        "accept: application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.8,*/*;q=0.1",
        "x-prometheus-scrape-timeout-seconds: 0.05",
        "accept-encoding: gzip",
        &format!("host: {address}"),
    ] {
        assert!(request.contains(line), "{line} is not in {request}");
    }
    let shown = scraper.targets_json();
    assert_eq!(shown["activeTargets"][0]["health"], "up");
    assert_eq!(shown["activeTargets"][0]["scrapeInterval"], "50ms");
    // A target that is removed is stale at once.
    scraper.configure(Vec::new());
    until(&store, "up or asked_total", |values| values.is_empty()).await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_fails_is_down_and_says_why() {
    let broken = serve(|_, _| {
        (
            "200 OK\r\nContent-Type: text/plain".into(),
            b"a 1\nb{\n".to_vec(),
        )
    });
    let missing = serve(|_, _| {
        (
            "404 Not Found\r\nContent-Type: text/plain".into(),
            b"a 1\n".to_vec(),
        )
    });
    let page = serve(|_, _| {
        (
            "200 OK\r\nContent-Type: text/html".into(),
            b"<html>".to_vec(),
        )
    });
    let large = serve(|_, _| {
        (
            "200 OK\r\nContent-Type: text/plain".into(),
            vec![b'#'; 4000],
        )
    });
    let slow = serve(|_, _| {
        std::thread::sleep(Duration::from_secs(3));
        ("200 OK\r\nContent-Type: text/plain".into(), Vec::new())
    });
    let moved = serve({
        let broken = broken.clone();
        move |_, _| {
            (
                format!("302 Found\r\nLocation: http://{broken}/x"),
                Vec::new(),
            )
        }
    });
    let store = store();
    let yaml = format!(
        "global: {{scrape_interval: 100ms, body_size_limit: 1KB}}\nscrape_configs:\n- job_name: app\n  static_configs: [{{targets: ['{broken}', '{missing}', '{page}', '{slow}', '{moved}', '{large}', '127.0.0.1:1']}}]\n"
    );
    let (scraper, cancel, running) = start(&store, &yaml, ".".as_ref());
    until(&store, "up", |values| values == [0.0; 7]).await;
    let error = |address: &str| -> String {
        let all = scraper.targets();
        all.into_iter()
            .find(|(_, url, ..)| url.contains(address))
            .and_then(|(.., error)| error)
            .unwrap_or_default()
    };
    assert_eq!(
        error(&broken),
        "line 2, column 3: expected a label's name, found the end of the line"
    );
    assert_eq!(error(&missing), "server returned HTTP status 404 Not Found");
    assert_eq!(
        error(&page),
        "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target"
    );
    assert_eq!(
        error(&slow),
        "context deadline exceeded: no answer within 100ms"
    );
    assert_eq!(error(&moved), error(&broken));
    assert_eq!(error(&large), "body size limit exceeded");
    assert!(
        error("127.0.0.1:1/").starts_with("cannot connect to 127.0.0.1:1: "),
        "{}",
        error("127.0.0.1:1/")
    );
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_come_from_files_endpoints_and_the_program() {
    let exporter = serve(|_, _| {
        (
            "200 OK\r\nContent-Type: text/plain".into(),
            b"a 1\n".to_vec(),
        )
    });
    let endpoint = serve({
        let exporter = exporter.clone();
        move |_, _| {
            (
                "200 OK\r\nContent-Type: application/json".into(),
                format!("[{{\"targets\": [\"{exporter}\"], \"labels\": {{\"from\": \"http\"}}}}]")
                    .into_bytes(),
            )
        }
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("one.json"),
        format!("[{{\"targets\": [\"{exporter}\"], \"labels\": {{\"from\": \"file\"}}}}]"),
    )
    .unwrap();
    std::fs::write(folder.path().join("bad.json"), "[{\"targets\": 3}]").unwrap();
    let store = store();
    let yaml = format!(
        "global: {{scrape_interval: 50ms}}\nscrape_configs:\n- job_name: files\n  file_sd_configs: [{{files: ['*.json'], refresh_interval: 20ms}}]\n- job_name: http\n  http_sd_configs: [{{url: 'http://{endpoint}/', refresh_interval: 50ms}}]\n"
    );
    let (scraper, cancel, running) = start(&store, &yaml, folder.path());
    let mut own = Job::new("own");
    own.interval = 50;
    own.timeout = 50;
    let make: Own = Arc::new(|labels| {
        let text = format!(
            "mine{{of=\"{}\"}} 7\n",
            labels.get("instance").unwrap_or("")
        );
        Box::pin(async move { Ok((text, Format::Text)) })
    });
    scraper.add_job(own, Some(make));
    scraper.set_targets(
        "own",
        vec![TargetGroup {
            targets: vec!["self".into()],
            ..TargetGroup::default()
        }],
    );
    until(&store, "mine{job=\"own\",of=\"self\"}", |values| {
        values == [7.0]
    })
    .await;
    until(&store, "a{from=\"file\"}", |values| values == [1.0]).await;
    until(&store, "a{from=\"http\"}", |values| values == [1.0]).await;
    std::fs::write(folder.path().join("one.json"), "[]").unwrap();
    until(&store, "a{from=\"file\"}", |values| values.is_empty()).await;
    scraper.set_targets("own", Vec::new());
    until(&store, "mine or up{job=\"own\"}", |values| {
        values.is_empty()
    })
    .await;
    cancel.cancel();
    running.await.unwrap();
}
