use std::io::Write;

use super::*;

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn write(folder: &Path, name: &str, lines: &[(i64, &str)]) {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(name))
        .unwrap();
    for (millis, text) in lines {
        let line = LogLine {
            millis: *millis,
            source: LogSource::Out,
            text: (*text).into(),
        };
        file.write_all(line.to_file_line().as_bytes()).unwrap();
    }
}

fn follower(folder: &Path, lines: usize) -> Follower {
    let query = LogQuery {
        lines,
        ..LogQuery::default()
    };
    Follower {
        folder: folder.to_owned(),
        query,
        files: BTreeMap::new(),
    }
}

fn texts(lines: Vec<AppLogLine>) -> Vec<String> {
    lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn the_last_lines_of_all_instances_are_in_the_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.web.v1.1.log.1", &[(1, "rotated away")]);
    write(
        folder.path(),
        "a.web.v1.1.log",
        &[(2, "one"), (5, "four"), (6, "five")],
    );
    write(
        folder.path(),
        "a.worker.v1.2.log",
        &[(3, "two"), (4, "three")],
    );
    write(folder.path(), "notes.txt", &[(7, "not a log")]);
    assert_eq!(
        texts(follower(folder.path(), 3).last_lines()),
        ["three", "four", "five"]
    );
    assert_eq!(
        texts(follower(folder.path(), 100).last_lines()),
        ["rotated away", "one", "two", "three", "four", "five"]
    );
    let mut only = follower(folder.path(), 100);
    only.query.process = Some("worker".parse().unwrap());
    assert_eq!(texts(only.last_lines()), ["two", "three"]);
    only.query = LogQuery {
        instance: Some(id("a.web.v1.1")),
        lines: 1,
        ..LogQuery::default()
    };
    assert_eq!(texts(only.last_lines()), ["five"]);
    assert!(
        follower(&folder.path().join("nowhere"), 5)
            .last_lines()
            .is_empty()
    );
}

#[test]
fn following_misses_nothing_of_new_instances_rotation_and_half_lines() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.web.v1.1.log");
    write(folder.path(), "a.web.v1.1.log", &[(1, "old")]);
    let mut follower = follower(folder.path(), 0);
    assert!(follower.last_lines().is_empty());
    write(folder.path(), "a.web.v1.1.log", &[(2, "added")]);
    assert_eq!(texts(follower.added()), ["added"]);
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(b"3 o half").unwrap();
    assert!(
        follower.added().is_empty(),
        "a line without its end is not whole"
    );
    file.write_all(b" and half\n4 o before\n").unwrap();
    std::fs::rename(&log, rotated(&log)).unwrap();
    write(folder.path(), "a.web.v1.1.log", &[(5, "after")]);
    write(folder.path(), "a.web.v2.2.log", &[(6, "new instance")]);
    let mut all = texts(follower.added());
    all.extend(texts(follower.added()));
    assert_eq!(all, ["half and half", "before", "new instance", "after"]);
    assert!(follower.added().is_empty());
}

#[tokio::test]
async fn last_words_are_the_apps_own() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("x.log");
    std::fs::write(
        &log,
        "1 o one\n2 e two\n3 l exited with code 1\n4 o three\n",
    )
    .unwrap();
    assert_eq!(last_words(&log, 2).await, ["two", "three"]);
    assert!(last_words(&folder.path().join("none"), 2).await.is_empty());
}

#[test]
fn the_logs_of_the_newest_ended_instances_and_of_living_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "a.web.v1.1.log",
        "a.web.v1.1.log.1",
        "a.web.v1.2.log",
        "a.web.v2.3.log",
        "a.web.v2.10.log",
    ] {
        write(folder.path(), name, &[(1, "x")]);
    }
    std::fs::write(folder.path().join("other"), "").unwrap();
    sweep(folder.path(), 2, 1000, |id| id.serial() == 1).unwrap();
    let mut left: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "a.web.v1.1.log",
            "a.web.v1.1.log.1",
            "a.web.v2.10.log",
            "a.web.v2.3.log",
            "other"
        ]
    );
}

#[test]
fn the_logs_of_ended_instances_stay_within_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for serial in 1..=4 {
        std::fs::write(
            folder.path().join(format!("a.web.v1.{serial}.log")),
            vec![b'x'; 100],
        )
        .unwrap();
    }
    sweep(folder.path(), 100, 250, |_| false).unwrap();
    let left = |serial: u32| {
        folder
            .path()
            .join(format!("a.web.v1.{serial}.log"))
            .exists()
    };
    assert_eq!([1, 2, 3, 4].map(left), [false, false, true, true]);
}
