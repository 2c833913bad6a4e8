use super::*;
use crate::storage::head::{Border, lock};
use proptest::prelude::*;

const BORDER: Border = Border {
    accept_from: i64::MIN,
    newest: 0,
    late: i64::MAX,
    window: 7_200_000,
};

/// Writes batches of (series, time, value) and gives the segment's path and where each frame ends.
fn write(folder: &Path, batches: &[Vec<(usize, i64, f64)>]) -> (PathBuf, Vec<u64>) {
    let series: Vec<MemSeries> = (0..5)
        .map(|i| MemSeries::new(Labels::from_pairs([("n", i.to_string())]), 0))
        .collect();
    let mut log = Log::create(folder.to_owned(), 0, 7_200_000, vec![]).unwrap();
    let mut ends = vec![log.length];
    for batch in batches {
        log.begin(batch[0].1).unwrap();
        for &(at, time, value) in batch {
            let mut state = lock(&series[at].state);
            series[at].push(&mut state, &BORDER, time, value);
            log.add(&series[at], &mut state, time, value);
        }
        log.finish().unwrap();
        ends.push(log.length);
    }
    (log.path.clone(), ends)
}

type Read = Vec<(String, i64, u64)>;

fn read(path: &Path) -> (Read, Replayed) {
    let mut all = vec![];
    let replayed = replay(
        path,
        |l| l.get("n").unwrap_or("?").to_owned(),
        |s: &String, t, v| all.push((s.clone(), t, v.to_bits())),
    )
    .unwrap();
    (all, replayed)
}

fn expected(batches: &[Vec<(usize, i64, f64)>]) -> Read {
    batches
        .iter()
        .flatten()
        .map(|(s, t, v)| (s.to_string(), *t, v.to_bits()))
        .collect()
}

fn batches() -> impl Strategy<Value = Vec<Vec<(usize, i64, f64)>>> {
    let value = prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0i64..50).prop_map(|v| v as f64)
    ];
    let sample = (0usize..5, -1_000_000i64..1_000_000, value);
    prop::collection::vec(prop::collection::vec(sample, 1..20), 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(batches in batches()) {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = write(folder.path(), &batches);
        let (all, replayed) = read(&path);
        prop_assert_eq!(all, expected(&batches));
        prop_assert_eq!((replayed.whole, replayed.torn), (*ends.last().unwrap(), 0));
    }

    #[test]
    fn a_flipped_byte_is_found(batches in batches(), at in any::<prop::sample::Index>(), with in 1u8..) {
        let folder = tempfile::tempdir().unwrap();
        let (path, ends) = write(folder.path(), &batches);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = 8 + at.index(bytes.len() - 8);
        bytes[at] ^= with;
        std::fs::write(&path, &bytes).unwrap();
        let (all, replayed) = read(&path);
        let whole = ends.iter().filter(|end| **end <= at as u64).count() - 1;
        prop_assert_eq!(all, expected(&batches[..whole]));
        prop_assert_eq!(replayed.whole, ends[whole]);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), with_crc in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000001.wal");
        let mut file = MAGIC.to_vec();
        if with_crc {
            file.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            file.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        }
        file.extend_from_slice(&bytes);
        std::fs::write(&path, &file).unwrap();
        read(&path);
    }
}

/// A write torn at any byte costs its own frame and nothing before it.
#[test]
fn torn_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let batches: Vec<Vec<_>> = (0..6i64)
        .map(|b| {
            (0..5)
                .map(|s| (s, b * 15_000, b as f64 * 1.5 + s as f64))
                .collect()
        })
        .collect();
    let (path, ends) = write(folder.path(), &batches);
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let (all, replayed) = read(&path);
        let whole = ends
            .iter()
            .filter(|end| **end <= length as u64)
            .count()
            .saturating_sub(1);
        assert_eq!(all, expected(&batches[..whole]), "cut at {length}");
        let good = if length < 8 { 0 } else { ends[whole] };
        assert_eq!(
            (replayed.whole, replayed.torn),
            (good, length as u64 - good),
            "cut at {length}"
        );
    }
}

#[test]
fn a_later_format_is_refused_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000001.wal");
    std::fs::write(&path, b"LWWAL002whatever").unwrap();
    assert!(matches!(
        replay(&path, drop, |(), _, _| {}),
        Err(StoreError::Format { found: 2, .. })
    ));
}

#[test]
fn segments_turn_over_at_windows_and_are_deleted_when_they_are_in_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let series = MemSeries::new(Labels::from_pairs([("n", "x".repeat(1000))]), 0);
    let mut log = Log::create(folder.path().to_owned(), 0, 7_200_000, vec![]).unwrap();
    let mut time = 0;
    while time < 3 * 7_200_000 {
        log.begin(time).unwrap();
        for _ in 0..100 {
            let mut state = lock(&series.state);
            log.add(&series, &mut state, time, (time as f64).sin());
            time += 200;
        }
        log.finish().unwrap();
    }
    assert_eq!(log.extent().len(), 3);
    let gone = log.take_before(7_200_000);
    assert_eq!(gone.len(), 1);
    let (all, _) = {
        let mut all = 0;
        let replayed = replay(&log.extent()[0].0, drop, |(), _, _| all += 1).unwrap();
        (all, replayed)
    };
    assert_eq!(all, 36_000);
    log.close_before(i64::MAX).unwrap();
    assert_eq!(log.take_before(i64::MAX).len(), 2);
}
