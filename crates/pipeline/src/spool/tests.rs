use std::fs::OpenOptions;
use std::io::Write;

use launchway_model::build::BuildResult;
use launchway_model::runner::LogSource;

use super::*;

fn line(seq: u64, kind: RunnerEventKind) -> String {
    let event = RunnerEvent {
        seq,
        at: jiff::Timestamp::now(),
        kind,
    };
    serde_json::to_string(&event).unwrap() + "\n"
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

#[test]
fn a_spool_that_does_not_exist_yet_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = EventReader::new(folder.path(), 0);
    assert!(reader.read().unwrap().is_empty());
    assert_eq!(reader.offset(), 0);
}

#[test]
fn a_torn_line_waits_for_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = events_path(folder.path());
    let first = line(
        0,
        RunnerEventKind::Started {
            pid: 1,
            protocol: 1,
        },
    );
    let last = line(
        1,
        RunnerEventKind::Finished {
            result: BuildResult::Success,
            problem: None,
        },
    );
    append(&path, first.as_bytes());
    append(&path, &last.as_bytes()[..10]);
    let mut reader = EventReader::new(folder.path(), 0);
    assert_eq!(reader.read().unwrap().len(), 1);
    assert_eq!(reader.offset(), first.len() as u64);
    assert!(reader.read().unwrap().is_empty());
    append(&path, &last.as_bytes()[10..]);
    let events = reader.read().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].seq, 1);
    assert!(reader.finished());
    let mut again = EventReader::new(folder.path(), first.len() as u64);
    assert_eq!(again.read().unwrap()[0].seq, 1);
}

#[test]
fn a_damaged_line_is_an_error_each_time_and_hides_nothing_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = events_path(folder.path());
    let first = line(
        0,
        RunnerEventKind::Started {
            pid: 1,
            protocol: 1,
        },
    );
    append(&path, first.as_bytes());
    append(&path, b"nonsense\n");
    let mut reader = EventReader::new(folder.path(), 0);
    assert_eq!(reader.read().unwrap().len(), 1);
    for _ in 0..2 {
        let error = reader.read().unwrap_err();
        assert!(
            matches!(error, SpoolError::Damaged { offset, .. } if offset == first.len() as u64)
        );
    }
}

#[test]
fn log_lines_come_whole_even_when_they_are_longer_than_one_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.log");
    let long = "x".repeat(MAX_READ * 2 + 17);
    append(&path, format!("5 o {long}\n6 e short\n7 l").as_bytes());
    let mut reader = LogReader::of_file(path, 0);
    let mut lines = Vec::new();
    loop {
        let more = reader.read().unwrap();
        if more.is_empty() {
            break;
        }
        lines.extend(more);
    }
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].text.len(), long.len());
    assert_eq!((lines[1].millis, lines[1].source), (6, LogSource::Err));
}
