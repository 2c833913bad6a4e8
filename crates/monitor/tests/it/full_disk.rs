//! A disk that takes no more: commits say so, nothing acknowledged is lost, and the store goes on when it can.
//!
//! A limit on the size of a file stands in for the full disk: the system's answer to the write is an error in both cases.

use launchway_monitor::labels::Labels;
use launchway_monitor::storage::{Options, Store, StoreError, SyncPolicy};
use std::path::Path;
use std::process::Command;

const FOLDER: &str = "LAUNCHWAY_TEST_FULL";
const START: i64 = 1_700_006_400_000;

fn options() -> Options {
    Options {
        future_limit: None,
        retention: None,
        sync: SyncPolicy::Never,
        background: false,
        ..Options::default()
    }
}

fn labels(series: i64) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("series", &series.to_string())])
}

/// The child with the limit: does nothing unless the test below starts it.
#[test]
fn the_writer_with_a_limit() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let store = Store::open(Path::new(&folder), options()).unwrap();
    let (mut failed, mut acknowledged) = (0, Vec::new());
    for step in 0..400i64 {
        let mut appender = store.appender();
        for series in 0..100 {
            // Values without a pattern, so that the log grows.
            let value = f64::from_bits(
                0x3ff0_0000_0000_0000 | (step * 7_919_777 + series * 104_729_333) as u64,
            );
            appender
                .append(&labels(series), START + step * 1000, value)
                .unwrap();
        }
        match appender.commit() {
            Ok(report) => {
                assert_eq!(report.stored, 100);
                acknowledged.push(step);
            }
            Err(StoreError::Io { action, .. }) => {
                assert!(action.contains("log"), "{action}");
                failed += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failed > 0, "the limit was never met");
    // What the log could not take is still answered from memory.
    let mut selection = store.select(&[], i64::MIN, i64::MAX);
    assert_eq!(selection.next_series().unwrap().times.len(), 400);
    drop(selection);
    // A block needs more than the limit allows: an error, and nothing half-written is taken for a block.
    let mut appender = store.appender();
    appender
        .append(&labels(0), START + 3 * 3_600_000, 1.0)
        .unwrap();
    let _ = appender.commit();
    assert!(store.compact().is_err());
    assert_eq!(store.block_list(), []);
    let text: Vec<String> = acknowledged.iter().map(i64::to_string).collect();
    std::fs::write(Path::new(&folder).join("acknowledged"), text.join(" ")).unwrap();
}

#[test]
fn a_full_disk_costs_only_what_was_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact full_disk::the_writer_with_a_limit --nocapture"])
        .arg(binary)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let acknowledged = std::fs::read_to_string(folder.path().join("acknowledged")).unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(store.damages(), [], "a failed write is taken back");
    let mut selection = store.select(&[], i64::MIN, i64::MAX);
    let mut found = 0;
    while let Some(series) = selection.next_series() {
        found += 1;
        for step in acknowledged
            .split(' ')
            .map(|step| step.parse::<i64>().unwrap())
        {
            assert!(
                series.times.binary_search(&(START + step * 1000)).is_ok(),
                "step {step} of {} is lost",
                series.labels
            );
        }
    }
    assert_eq!(found, 100);
}
