use super::*;
use crate::storage::block_build::BlockBuilder;
use proptest::prelude::*;

type Runs = Vec<Vec<(i64, f64)>>;

/// Two parts of 1000 s each.
fn build(path: &Path, first: &Runs, second: &Runs) -> Vec<Labels> {
    let labels: Vec<Labels> = (0..first.len())
        .map(|i| Labels::from_pairs([("a", format!("{i:04}")), ("b", "x".into())]))
        .collect();
    let mut builder = BlockBuilder::create(&path.with_extension("tmp"), 0, 2_000_000).unwrap();
    for (start, runs) in [(0, first), (1_000_000, second)] {
        builder.begin_part(start, start + 1_000_000).unwrap();
        for (at, run) in runs.iter().enumerate() {
            let (times, values): (Vec<i64>, Vec<f64>) =
                run.iter().map(|s| (s.0 + start, s.1)).unzip();
            builder.add_run(at as u32, &times, &values).unwrap();
        }
    }
    builder.finish(&labels, path).unwrap();
    labels
}

fn read(block: &Arc<Block>, series: u32, low: i64, high: i64) -> Result<Vec<(i64, u64)>, usize> {
    let (mut times, mut values) = (vec![], vec![]);
    BlockCursor::new(block.clone(), Unzip::default()).read(
        series,
        low,
        high,
        &mut times,
        &mut values,
    )?;
    Ok(times
        .into_iter()
        .zip(values.iter().map(|v| v.to_bits()))
        .collect())
}

fn runs() -> impl Strategy<Value = Runs> {
    let run = prop::collection::btree_map(
        0i64..1_000_000,
        prop_oneof![any::<f64>(), (0i64..99).prop_map(|v| v as f64)],
        0..30,
    );
    prop::collection::vec(run.prop_map(|m| m.into_iter().collect()), 12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn runs_come_back(first in runs(), second in runs(), low in 0i64..2_000_000, high in 0i64..2_000_000) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.block");
        prop_assume!(first.iter().chain(&second).any(|run| !run.is_empty()));
        build(&path, &first, &second);
        let block = Arc::new(Block::open(&path).ok().unwrap());
        let mut all = BlockCursor::new(block.clone(), Unzip::default());
        for at in 0..first.len() {
            let expected: Vec<(i64, u64)> = first[at].iter().map(|s| (s.0, s.1.to_bits()))
                .chain(second[at].iter().map(|s| (s.0 + 1_000_000, s.1.to_bits()))).collect();
            let (mut times, mut values) = (vec![], vec![]);
            prop_assert!(all.read(at as u32, i64::MIN, i64::MAX, &mut times, &mut values).is_ok());
            prop_assert_eq!(&times.into_iter().zip(values.iter().map(|v| v.to_bits())).collect::<Vec<_>>(), &expected);
            let part: Vec<_> = expected.into_iter().filter(|s| s.0 >= low && s.0 <= high).collect();
            prop_assert_eq!(read(&block, at as u32, low, high), Ok(part));
        }
    }
}

fn regular() -> Runs {
    (0..300)
        .map(|s| {
            (0..60)
                .map(|i| (i * 15_000, (s * i) as f64 / 10.0 + (i as f64).sqrt()))
                .collect()
        })
        .collect()
}

/// A series far from the last one begins a group of its own; one after a small gap does not.
#[test]
fn gaps_between_series() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.block");
    let mut runs: Runs = vec![vec![]; 2000];
    for at in [3, 50, 1500, 1999] {
        runs[at] = vec![(at as i64, 1.5)];
    }
    build(&path, &runs, &vec![vec![]; 2000]);
    let block = Arc::new(Block::open(&path).ok().unwrap());
    for (at, run) in runs.iter().enumerate() {
        let expected: Vec<_> = run.iter().map(|s| (s.0, s.1.to_bits())).collect();
        assert_eq!(read(&block, at as u32, 0, i64::MAX), Ok(expected));
    }
}

/// Wherever a byte is wrong the block is refused or the samples read are those written or the damage is said.
#[test]
fn every_flipped_byte_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.block");
    let runs: Runs = regular().into_iter().take(8).collect();
    build(&path, &runs, &runs);
    let bytes = std::fs::read(&path).unwrap();
    let (mut refused, mut said) = (0, 0);
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x41;
        // A new file each time: the earlier one may still be mapped.
        let path = folder.path().join(format!("{at}.block"));
        std::fs::write(&path, &wrong).unwrap();
        match Block::open(&path) {
            Err(_) => refused += 1,
            Ok(block) => {
                let block = Arc::new(block);
                let complete = (0..8).all(|series| {
                    read(&block, series, i64::MIN, i64::MAX).is_ok_and(|read| {
                        let run = &runs[series as usize];
                        assert!(
                            read.iter()
                                .zip(run)
                                .all(|(a, b)| *a == (b.0, b.1.to_bits())),
                            "byte {at}"
                        );
                        true
                    })
                });
                assert!(
                    !complete,
                    "byte {at} of {} was wrong and nothing noticed",
                    bytes.len()
                );
                said += 1;
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
    assert!(refused > 100 && said > 100, "{refused} {said}");
}

#[test]
fn a_block_cut_at_any_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.block");
    let runs: Runs = regular().into_iter().take(3).collect();
    build(&path, &runs, &runs);
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        let path = folder.path().join("cut.block");
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Block::open(&path).is_err(), "cut at {length}");
    }
}

#[test]
fn series_that_share_their_times_take_little_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.block");
    let runs: Runs = (0..1000)
        .map(|s| {
            (0..60)
                .map(|i| (i * 15_000 + i % 7, (s + i * (s % 5)) as f64))
                .collect()
        })
        .collect();
    build(&path, &runs, &runs);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 120_000 / 4, "{size} bytes for 120000 samples");
}
