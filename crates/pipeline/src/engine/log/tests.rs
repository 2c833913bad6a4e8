use super::*;

fn written(secrets: &[&str], pieces: &[&[u8]]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.log");
    let mask = Arc::new(Mask::new(secrets.iter().copied()));
    let log = StageLog::open(&path, mask).unwrap();
    let mut lines = LineWriter::new(log, LogSource::Out);
    for piece in pieces {
        lines.feed(piece);
    }
    lines.finish();
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| LogLine::parse(line).text.into_owned())
        .collect()
}

#[test]
fn lines_are_whole_whatever_the_writes_were() {
    assert_eq!(
        written(
            &[],
            &[b"a", b"b\r\nc\n\nd", b"\x1b[31mred\x1b[0m", b"\n\xff!"]
        ),
        ["ab", "c", "", "d\x1b[31mred\x1b[0m", "\u{fffd}!"]
    );
}

#[test]
fn a_secret_split_over_writes_is_hidden() {
    assert_eq!(
        written(&["hunter2hunter2"], &[b"x hunt", b"er2hun", b"ter2 y\n"]),
        ["x **** y"]
    );
}

#[test]
fn a_secret_cut_by_line_breaks_is_hidden_whatever_the_writes_were() {
    let secret = "hunter2hunter2";
    assert_eq!(
        written(
            &[secret],
            &[b"x hunter", b"\n", b"2hun\n", b"ter2 y\nend\n"]
        ),
        ["x ****", "****", "**** y", "end"]
    );
    // What only began like it is shown after all.
    assert_eq!(
        written(&[secret], &[b"x hunter\n", b"other\n"]),
        ["x hunter", "other"]
    );
    assert_eq!(written(&[secret], &[b"x hun\n"]), ["x hun"]);
}

#[test]
fn a_line_without_end_is_split_but_no_secret_with_it() {
    let secret = "s3cr3t-s3cr3t";
    for offset in 0..=secret.len() + 1 {
        let mut bytes = vec![b'x'; MAX_LINE - secret.len() / 2 - offset];
        bytes.extend_from_slice(secret.as_bytes());
        bytes.extend_from_slice(&[b'y'; 100]);
        let pieces: Vec<&[u8]> = bytes.chunks(1000).collect();
        let lines = written(&[secret], &pieces);
        let all = lines.concat();
        assert!(!all.contains("s3cr3t"), "{offset}");
        assert!(all.contains("****"), "{offset}");
    }
}

#[test]
fn memory_is_bounded_and_the_tail_is_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = StageLog::open(&folder.path().join("0.log"), Arc::new(Mask::new([]))).unwrap();
    let mut lines = LineWriter::new(log, LogSource::Out);
    for number in 0..5_000 {
        lines.feed(format!("line {number}\n").as_bytes());
    }
    assert!(lines.tail.len() <= TAIL);
    assert_eq!(lines.tail(2), ["line 4998", "line 4999"]);
}

#[test]
#[ignore = "a measurement, not a test"]
#[expect(clippy::print_stdout, reason = "a measurement is printed for a person")]
fn throughput() {
    let cpu = || -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let mask = Arc::new(Mask::new([
        "s3cr3t-T0ken/with+stuff",
        "another-one-of-these",
    ]));
    let log = StageLog::open(Path::new("/dev/null"), mask).unwrap();
    let mut lines = LineWriter::new(log, LogSource::Out);
    let line = "Collecting some-package==1.2.3 from https://files.example.org/packages/some_package-1.2.3.whl (1.2 MB)\n";
    let chunk = line.repeat((256 << 10) / line.len());
    let before = cpu();
    let rounds = (1 << 30) / chunk.len();
    for _ in 0..rounds {
        lines.feed(chunk.as_bytes());
    }
    let ticks = cpu() - before;
    println!(
        "{} MB in {} ms of CPU time",
        (rounds * chunk.len()) >> 20,
        ticks * 10
    );
}
