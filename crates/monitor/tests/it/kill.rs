//! kill -9 of a real process that appends: everything it acknowledged is there afterwards, to the bit.

use launchway_monitor::labels::Labels;
use launchway_monitor::storage::{Options, Store, SyncPolicy};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "LAUNCHWAY_TEST_STORE";
const START: i64 = 1_700_006_400_000;
const SERIES: usize = 50;

/// Windows of a minute, so that blocks are written and merged all the time while the process is killed.
fn options(background: bool) -> Options {
    Options {
        window: Duration::from_secs(60),
        merged_window: Duration::from_secs(600),
        out_of_order: Duration::from_secs(5),
        future_limit: None,
        retention: None,
        sync: SyncPolicy::Interval(Duration::from_millis(20)),
        background,
        ..Options::default()
    }
}

fn labels(series: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("series", &series.to_string())])
}

fn value(series: usize, step: i64) -> f64 {
    ((series as i64 * 31 + step * 7) % 1000) as f64 / 8.0 + if step % 97 == 0 { 0.1 } else { 0.0 }
}

/// The child: does nothing unless the test below starts it.
#[test]
fn the_writer_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let store = Store::open(Path::new(&folder), options(true)).unwrap();
    let first = store
        .time_range()
        .map_or(0, |(_, newest)| (newest - START) / 1000 + 1);
    let mut out = std::io::stdout().lock();
    // Ended by the kill; bounded in case that the parent is gone.
    for step in first..first + 200_000 {
        let mut appender = store.appender();
        for series in 0..SERIES {
            appender
                .append(&labels(series), START + step * 1000, value(series, step))
                .unwrap();
        }
        appender.commit().unwrap();
        if writeln!(out, "ack {step}")
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut newest = -1;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::the_writer_that_is_killed",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Long enough for the background thread to be in the middle of something, at another place each time.
        let deadline = Instant::now() + Duration::from_millis(300 + round as u64 * 137);
        for line in lines.by_ref() {
            if let Some((_, step)) = line.unwrap().split_once("ack ") {
                newest = step.trim().parse().unwrap();
                if Instant::now() > deadline {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Lines that were in the pipe were acknowledged, too; the last may be cut.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        for step in rest
            .iter()
            .filter_map(|line| line.strip_prefix("ack ")?.parse::<i64>().ok())
        {
            newest = newest.max(step);
        }
        assert!(newest >= 0, "the child wrote nothing");
        check(folder.path(), newest, round);
    }
}

fn check(folder: &Path, newest: i64, round: usize) {
    let store = Store::open(folder, options(false)).unwrap();
    for damage in store.damages() {
        // A frame cut by the kill was not acknowledged; anything else would be a loss.
        assert!(damage.what.contains("the log was cut"), "{damage:?}");
    }
    let mut selection = store.select(&[], i64::MIN, i64::MAX);
    let mut found = 0;
    while let Some(series) = selection.next_series() {
        found += 1;
        let number: usize = series.labels.get("series").unwrap().parse().unwrap();
        let count = series.times.len() as i64;
        assert!(
            count > newest,
            "round {round}, series {number}: {count} samples, {newest} acknowledged"
        );
        for (at, (time, stored)) in series.times.iter().zip(series.values).enumerate() {
            assert_eq!(
                *time,
                START + at as i64 * 1000,
                "round {round}, series {number}"
            );
            assert_eq!(
                stored.to_bits(),
                value(number, at as i64).to_bits(),
                "round {round}, series {number}"
            );
        }
    }
    assert_eq!((found, selection.damaged()), (SERIES, 0));
    if round > 3 {
        assert!(
            !store.block_list().is_empty(),
            "no block was written before the kills"
        );
    }
}
