use launchway_model::runner::LogLine;
use proptest::prelude::*;
use rustix::pipe::{PipeFlags, pipe_with};

use super::*;

fn all_text(log: &Log) -> Vec<(LogSource, String)> {
    let mut text = String::new();
    for number in (0..=log.kept).rev() {
        text += &fs::read_to_string(log.numbered(number)).unwrap_or_default();
    }
    text.lines()
        .map(|line| {
            let line = LogLine::parse(line);
            assert!(line.millis > 0, "not a log line: {}", line.text);
            (line.source, line.text.into_owned())
        })
        .collect()
}

/// Feeds chunks through a real pipe and gives the lines that were logged.
fn logged(chunks: &[&[u8]]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::new(folder.path().join("log"), 1 << 30, 0);
    let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
    let mut stream = Stream::new(read, LogSource::Out);
    let mut buffer = vec![0; 4096];
    for chunk in chunks {
        for part in chunk.chunks(4096) {
            rustix::io::write(&write, part).unwrap();
            stream.read(&mut buffer, 4, &mut log);
        }
    }
    drop(write);
    stream.read(&mut buffer, 1, &mut log);
    log.flush();
    all_text(&log).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn lines_come_whole_however_they_are_cut() {
    assert_eq!(
        logged(&[b"one\ntw", b"o\r\n", b"\n", b"last"]),
        ["one", "two", "", "last"]
    );
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    assert_eq!(logged(&[b"a\xff\xfeb\n"]), ["a\u{fffd}\u{fffd}b"]);
}

#[test]
fn long_lines_are_cut_between_characters() {
    // 2 + 3 * 10922 bytes, so that no cut falls on the border of a character by itself.
    let line = format!("xy{}\n", "\u{20ac}".repeat(10_922));
    let pieces = logged(&[line.as_bytes()]);
    assert_eq!(pieces.len(), 3);
    assert!(pieces.iter().all(|piece| piece.len() <= LONGEST_LINE));
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
    assert_eq!(pieces.concat(), line.trim_end());
}

#[test]
fn a_full_file_moves_on_and_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = Log::new(path.clone(), 100, 2);
    for number in 0..40 {
        log.line(LogSource::Out, format!("line {number:02}").as_bytes());
        log.flush();
    }
    let lines = all_text(&log);
    assert_eq!(lines.last().unwrap().1, "line 39");
    assert!(lines.len() < 40 && lines.len() > 6, "{lines:?}");
    for (at, line) in lines.iter().rev().enumerate() {
        assert_eq!(line.1, format!("line {:02}", 39 - at));
    }
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    assert!(
        names
            .iter()
            .all(|entry| entry.metadata().unwrap().len() <= 100)
    );
    names.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = names.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(names, ["log", "log.1", "log.2"]);
}

#[test]
fn an_existing_log_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    Log::new(path.clone(), 1000, 1).say("first");
    let mut log = Log::new(path, 1000, 1);
    log.say("second");
    let lines = all_text(&log);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], (LogSource::Launchway, "second".to_owned()));
}

#[test]
fn what_cannot_be_written_is_counted_and_owned_up_to() {
    let folder = tempfile::tempdir().unwrap();
    // A file where the log's folder should be: nothing can be opened, as root too.
    let blocked = folder.path().join("logs");
    fs::write(&blocked, "").unwrap();
    let mut log = Log::new(blocked.join("log"), 1000, 1);
    for _ in 0..3 {
        log.line(LogSource::Out, b"lost");
        log.flush();
    }
    assert!(log.wakes_at().is_some());
    fs::remove_file(&blocked).unwrap();
    log.retry_at = Some(Instant::now());
    log.line(LogSource::Out, b"kept");
    log.flush();
    assert_eq!(log.wakes_at(), None);
    let lines: Vec<String> = all_text(&log).into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        lines,
        [
            "3 lines are missing here: the log could not be written",
            "kept"
        ]
    );
}

proptest! {
    #[test]
    fn nothing_is_lost_or_invented(
        lines in proptest::collection::vec("[a-z\u{e4}\u{20ac}\u{1f600} ]{0,40}", 0..40),
        cuts in proptest::collection::vec(1..50_usize, 1..20),
    ) {
        let mut bytes = Vec::new();
        for line in &lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        let mut chunks = Vec::new();
        let mut rest = &bytes[..];
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        prop_assert_eq!(logged(&chunks), lines);
    }
}
