use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine;

use super::download::Crc32c;
use super::*;

/// A bucket on the loopback, with faults on demand.
struct Bucket {
    address: String,
    shared: Arc<Mutex<Shared>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    files: HashMap<String, Vec<u8>>,
    /// End the next answers to this path after so many bytes of the body.
    cut: HashMap<String, Vec<usize>>,
    /// Answer the next requests with these statuses.
    statuses: Vec<u16>,
    /// Send a wrong checksum.
    wrong_checksum: bool,
    /// Requests, with their range.
    log: Vec<String>,
}

impl Bucket {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (inner, stopping) = (Arc::clone(&shared), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let _ = answer(stream.unwrap(), &inner);
            }
        });
        Self {
            address,
            shared,
            stop,
            thread: Some(thread),
        }
    }

    fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.shared
            .lock()
            .unwrap()
            .files
            .insert(format!("/{path}"), bytes.into());
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().unwrap().log)
    }

    fn options(&self, database: &Path, now: &str) -> UpdateOptions {
        let mut options = UpdateOptions::new(database, vec![Ecosystem::PyPi]);
        options.base_url = format!("http://{}", self.address);
        options.pause = Duration::from_millis(1);
        options.now = Some(now.parse().unwrap());
        options
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut if_range) = (None, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                range = value
                    .trim()
                    .strip_prefix("bytes=")
                    .and_then(|r| r.trim_end_matches('-').parse::<usize>().ok())
            }
            "if-range" => if_range = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut shared = shared.lock().unwrap();
    shared.log.push(match range {
        Some(from) => format!("{path} {from}-"),
        None => path.clone(),
    });
    let mut stream = stream;
    if let Some(status) = shared.statuses.pop() {
        return write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let Some(body) = shared.files.get(&path).cloned() else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let mut crc = Crc32c::new();
    crc.add(&body);
    let crc = crc.finish() ^ u32::from(shared.wrong_checksum);
    let etag = format!("\"{crc:08x}-{}\"", body.len());
    let hash = base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes());
    let from = range.filter(|from| *from < body.len() && if_range.as_deref() == Some(&etag));
    let rest = &body[from.unwrap_or(0)..];
    let head = match from {
        Some(from) => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
            body.len() - 1,
            body.len()
        ),
        None => "200 OK".to_owned(),
    };
    write!(
        stream,
        "HTTP/1.1 {head}\r\nContent-Length: {}\r\nETag: {etag}\r\nx-goog-hash: crc32c={hash},md5=AAAA\r\nConnection: close\r\n\r\n",
        rest.len()
    )?;
    let cut = shared
        .cut
        .get_mut(&path)
        .and_then(Vec::pop)
        .unwrap_or(rest.len())
        .min(rest.len());
    stream.write_all(&rest[..cut])?;
    stream.flush()
}

fn record(id: &str, modified: &str, fixed: &str) -> String {
    format!(
        r#"{{"id": "{id}", "modified": "{modified}", "details": "{}", "affected": [{{"package": {{"ecosystem": "PyPI", "name": "flask"}}, "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}"}}]}}]}}]}}"#,
        // Text that doesn't pack well makes the archive long enough to be cut.
        (0..200)
            .map(|n: u32| format!("{:x}", n.wrapping_mul(2_654_435_761)))
            .collect::<String>()
    )
}

fn zip(records: &[(&str, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
    for (id, text) in records {
        let (mut entry, config) = archive
            .new_file(format!("{id}.json"))
            .compression_method(rawzip::CompressionMethod::DEFLATE)
            .start()
            .unwrap();
        let encoder =
            flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
        let mut writer = config.wrap(encoder);
        writer.write_all(text.as_bytes()).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    out
}

/// A bucket with two records, one of them on this second of the list.
fn stocked() -> Bucket {
    let bucket = Bucket::start();
    let records = [
        ("A-1", record("A-1", "2024-01-01T00:00:00Z", "1.0")),
        ("A-2", record("A-2", "2024-01-02T00:00:00Z", "2.0")),
    ];
    bucket.put("PyPI/all.zip", zip(&records));
    bucket.put(
        "PyPI/modified_id.csv",
        "2024-01-02T00:00:00Z,A-2\n2024-01-01T00:00:00Z,A-1\n",
    );
    bucket.put("PyPI/A-2.json", records[1].1.clone());
    bucket
}

fn run(options: &UpdateOptions) -> UpdateReport {
    update(options, &mut |_| {}).unwrap()
}

fn affected(database: &Path, version: &str) -> usize {
    let (index, _) = Index::open_folder(database).unwrap();
    crate::matching::match_package(&index, &Ecosystem::PyPi, "flask", version)
        .unwrap()
        .hits
        .len()
}

#[test]
fn first_everything_then_only_what_changed() {
    let bucket = stocked();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("db");
    let report = run(&bucket.options(&database, "2024-02-01T00:00:00Z"));
    assert!(
        matches!(report.done[..], [(_, Action::Full { resumed: 0, .. })]),
        "{report:?}"
    );
    assert_eq!(report.build.records, 2);
    assert_eq!(affected(&database, "0.5"), 2);
    bucket.log();

    // Nothing has changed: the list and the record of the last second are looked at, the archive isn't.
    let report = run(&bucket.options(&database, "2024-02-02T00:00:00Z"));
    assert!(!bucket.log().iter().any(|path| path.contains("all.zip")));
    assert!(matches!(
        report.done[0].1,
        Action::Current | Action::Delta(1)
    ));
    let index = Index::open_folder(&database).unwrap().0;
    let fetched: Timestamp = "2024-02-02T00:00:00Z".parse().unwrap();
    assert_eq!(
        index.ecosystem(&Ecosystem::PyPi).unwrap().as_of(),
        fetched.as_second()
    );
    assert_eq!(
        run(&bucket.options(&database, "2024-02-03T00:00:00Z")).done[0].1,
        Action::Current
    );

    // A record changes and one is new.
    bucket.log();
    bucket.put(
        "PyPI/A-1.json",
        record("A-1", "2024-03-01T00:00:00Z", "3.0"),
    );
    bucket.put(
        "PyPI/A-3.json",
        record("A-3", "2024-03-02T00:00:00Z", "4.0"),
    );
    bucket.put(
        "PyPI/modified_id.csv",
        "2024-03-02T00:00:00Z,PyPI/A-3\n2024-03-01T00:00:00Z,A-1\n2024-01-02T00:00:00Z,A-2\n",
    );
    let report = run(&bucket.options(&database, "2024-03-03T00:00:00Z"));
    assert_eq!(report.done[0].1, Action::Delta(2));
    assert_eq!(affected(&database, "2.5"), 2);
    assert_eq!(affected(&database, "3.5"), 1);

    // Too much has changed: the archive is fetched again, and what was fetched one by one is dropped.
    let mut options = bucket.options(&database, "2024-03-04T00:00:00Z");
    options.max_delta = 0;
    bucket.put(
        "PyPI/all.zip",
        zip(&[("A-9", record("A-9", "2024-03-05T00:00:00Z", "9.0"))]),
    );
    assert!(matches!(run(&options).done[0].1, Action::Full { .. }));
    assert_eq!(affected(&database, "0.5"), 1);
}

#[test]
fn a_broken_download_goes_on_where_it_ended() {
    let bucket = stocked();
    let folder = tempfile::tempdir().unwrap();
    bucket
        .shared
        .lock()
        .unwrap()
        .cut
        .insert("/PyPI/all.zip".into(), vec![100, 700]);
    let report = run(&bucket.options(folder.path(), "2024-02-01T00:00:00Z"));
    assert!(report.failed.is_empty(), "{report:?}");
    let log = bucket.log();
    let tries: Vec<&String> = log.iter().filter(|line| line.contains("all.zip")).collect();
    assert_eq!(
        tries,
        ["/PyPI/all.zip", "/PyPI/all.zip 700-", "/PyPI/all.zip 800-"]
    );
    assert_eq!(affected(folder.path(), "0.5"), 2);
}

#[test]
fn a_download_goes_on_in_the_next_run_unless_the_content_changed() {
    let bucket = stocked();
    let folder = tempfile::tempdir().unwrap();
    let mut options = bucket.options(folder.path(), "2024-02-01T00:00:00Z");
    options.retries = 0;
    bucket
        .shared
        .lock()
        .unwrap()
        .cut
        .insert("/PyPI/all.zip".into(), vec![600]);
    let report = run(&options);
    assert!(
        report.failed[0].1.to_string().contains("after 600 of"),
        "{report:?}"
    );
    assert!(report.index.is_none());
    let report = run(&options);
    assert!(
        matches!(report.done[0].1, Action::Full { resumed: 600, .. }),
        "{report:?}"
    );
    // Now with other content in between.
    let other = tempfile::tempdir().unwrap();
    let mut options = bucket.options(other.path(), "2024-02-01T00:00:00Z");
    options.retries = 0;
    bucket
        .shared
        .lock()
        .unwrap()
        .cut
        .insert("/PyPI/all.zip".into(), vec![600]);
    run(&options);
    bucket.put(
        "PyPI/all.zip",
        zip(&[("A-5", record("A-5", "2024-01-05T00:00:00Z", "5.0"))]),
    );
    let report = run(&options);
    assert!(
        matches!(report.done[0].1, Action::Full { resumed: 0, .. }),
        "{report:?}"
    );
    assert_eq!(affected(other.path(), "0.5"), 1);
}

#[test]
fn what_is_damaged_never_replaces_what_is_good() {
    let bucket = stocked();
    let folder = tempfile::tempdir().unwrap();
    run(&bucket.options(folder.path(), "2024-02-01T00:00:00Z"));
    let mut options = bucket.options(folder.path(), "2024-02-02T00:00:00Z");
    options.max_delta = 0;
    options.retries = 1;
    let good = zip(&[("A-7", record("A-7", "2024-01-07T00:00:00Z", "7.0"))]);
    let mut broken = good.clone();
    broken[100] ^= 0xff;
    for bytes in [broken, b"no archive".to_vec(), Vec::new(), zip(&[])] {
        bucket.put("PyPI/all.zip", bytes);
        let report = run(&options);
        assert_eq!(report.failed.len(), 1, "{report:?}");
        assert_eq!(
            affected(folder.path(), "0.5"),
            2,
            "the old data still counts"
        );
    }
    bucket.put("PyPI/all.zip", good);
    bucket.shared.lock().unwrap().wrong_checksum = true;
    let report = run(&options);
    assert!(
        report.failed[0].1.to_string().contains("checksum"),
        "{report:?}"
    );
    bucket.shared.lock().unwrap().wrong_checksum = false;
    assert!(run(&options).failed.is_empty());
    assert_eq!(affected(folder.path(), "0.5"), 1);
}

#[test]
fn servers_in_trouble_are_asked_again_and_lists_are_checked() {
    let bucket = stocked();
    let folder = tempfile::tempdir().unwrap();
    bucket.shared.lock().unwrap().statuses = vec![503, 429];
    assert!(
        run(&bucket.options(folder.path(), "2024-02-01T00:00:00Z"))
            .failed
            .is_empty()
    );
    bucket.log();
    bucket.shared.lock().unwrap().statuses = vec![403];
    assert_eq!(
        run(&bucket.options(folder.path(), "2024-02-01T00:00:00Z"))
            .failed
            .len(),
        1
    );
    assert_eq!(bucket.log().len(), 1, "a refusal is final");
    for list in [
        "2024-01-01T00:00:00Z,../../../etc/passwd\n",
        "yesterday,A-1\n",
        "<html>",
    ] {
        bucket.put("PyPI/modified_id.csv", list);
        let report = run(&bucket.options(folder.path(), "2024-02-01T00:00:00Z"));
        assert_eq!(report.failed.len(), 1, "{list}");
    }
    assert_eq!(affected(folder.path(), "0.5"), 2);
}

#[test]
fn a_record_that_is_not_the_one_asked_for_is_refused() {
    let bucket = stocked();
    let folder = tempfile::tempdir().unwrap();
    run(&bucket.options(folder.path(), "2024-02-01T00:00:00Z"));
    bucket.put("PyPI/modified_id.csv", "2024-03-02T00:00:00Z,A-3\n");
    bucket.put(
        "PyPI/A-3.json",
        record("A-4", "2024-03-02T00:00:00Z", "4.0"),
    );
    let report = run(&bucket.options(folder.path(), "2024-03-03T00:00:00Z"));
    assert!(report.failed[0].1.to_string().contains("A-4"), "{report:?}");
    // A record that has vanished sends the update to the archive.
    bucket.shared.lock().unwrap().files.remove("/PyPI/A-3.json");
    let report = run(&bucket.options(folder.path(), "2024-03-03T00:00:00Z"));
    assert!(
        matches!(report.done[0].1, Action::Full { .. }),
        "{report:?}"
    );
}

#[test]
fn two_updates_of_one_folder_exclude_each_other() {
    let bucket = stocked();
    let folder = tempfile::tempdir().unwrap();
    let _held = lock(folder.path()).unwrap();
    let error = update(
        &bucket.options(folder.path(), "2024-02-01T00:00:00Z"),
        &mut |_| {},
    )
    .unwrap_err();
    assert!(error.to_string().contains("under way"));
}

#[test]
fn the_checksum_is_that_of_its_standard() {
    let sum = |bytes: &[u8]| {
        let mut crc = Crc32c::new();
        crc.add(bytes);
        crc.finish()
    };
    // RFC 3720 appendix B.4, and the usual check value.
    assert_eq!(sum(&[0; 32]), 0x8a91_36aa);
    assert_eq!(sum(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(sum(b"123456789"), 0xe306_9283);
}

proptest::proptest! {
    #[test]
    fn no_list_of_changes_makes_its_reader_panic(text in "(2024-01-01T00:00:00Z|,|PyPI/|A-1|\n|\\PC){0,30}") {
        if let Ok(changes) = parse_changes(&text, "PyPI") {
            proptest::prop_assert!(changes.iter().all(|(_, id)| is_id(id)));
        }
    }
}
