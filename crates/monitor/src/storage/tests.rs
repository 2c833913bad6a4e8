use super::*;
use crate::labels::{Labels, stale_nan};
use proptest::prelude::*;
use std::collections::BTreeMap;

const HOUR: i64 = 3_600_000;
const START: i64 = 1_700_006_400_000; // a two-hour border

fn options() -> Options {
    Options {
        future_limit: None,
        background: false,
        retention: None,
        sync: SyncPolicy::Never,
        ..Options::default()
    }
}

fn series(name: &str, instance: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", name),
        ("instance", &format!("host{instance}:9100")),
        ("job", "node"),
    ])
}

type Contents = BTreeMap<String, Vec<(i64, u64)>>;

fn contents(store: &Store) -> Contents {
    read(store, &[], i64::MIN, i64::MAX)
}

fn read(store: &Store, matchers: &[Matcher], low: i64, high: i64) -> Contents {
    let mut all = BTreeMap::new();
    let mut selection = store.select(matchers, low, high);
    while let Some(series) = selection.next_series() {
        let samples = series
            .times
            .iter()
            .copied()
            .zip(series.values.iter().map(|v| v.to_bits()))
            .collect();
        assert!(
            all.insert(series.labels.to_string(), samples).is_none(),
            "a series came twice"
        );
    }
    all
}

/// Appends `steps` scrapes of ten series, 15 s apart.
fn fill(store: &Store, from: usize, steps: usize, model: &mut Contents) {
    for step in from..from + steps {
        let mut appender = store.appender();
        for number in 0..10 {
            let labels = series("requests_total", number);
            let time = START + step as i64 * 15_000 + number as i64;
            let value = if step % 100 == 99 {
                stale_nan()
            } else {
                (step * (number + 1)) as f64 / 4.0
            };
            appender.append(&labels, time, value).unwrap();
            model
                .entry(labels.to_string())
                .or_default()
                .push((time, value.to_bits()));
        }
        appender.commit().unwrap();
    }
}

#[test]
fn samples_are_read_back_from_head_blocks_and_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Contents::new();
    {
        let store = Store::open(folder.path(), options()).unwrap();
        fill(&store, 0, 1200, &mut model);
        assert_eq!(contents(&store), model);
        store.compact().unwrap();
        assert_eq!(store.block_list().len(), 2);
        assert_eq!(contents(&store), model);
        let (low, high) = (START + HOUR, START + 3 * HOUR);
        let mut part = model.clone();
        part.values_mut()
            .for_each(|samples| samples.retain(|s| s.0 >= low && s.0 <= high));
        assert_eq!(read(&store, &[], low, high), part);
        let one = [Matcher::new("instance", MatchOp::Regex, "host3:.*").unwrap()];
        assert_eq!(read(&store, &one, i64::MIN, i64::MAX).len(), 1);
        assert!(matches!(
            Store::open(folder.path(), options()),
            Err(StoreError::InUse { .. })
        ));
    }
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(store.damages(), []);
    assert_eq!(contents(&store), model);
    fill(&store, 1200, 10, &mut model);
    assert_eq!(contents(&store), model);
}

#[test]
fn wrong_samples_are_refused_with_their_reason() {
    let store = Store::in_memory(Options {
        out_of_order: Duration::ZERO,
        max_series: 2,
        ..options()
    });
    let mut appender = store.appender();
    let one = appender.append(&series("a", 1), START, 1.0).unwrap();
    assert_eq!(
        appender.commit().unwrap(),
        CommitReport {
            stored: 1,
            ..CommitReport::default()
        }
    );
    assert_eq!(
        appender.append_ref(one, START, 2.0),
        Err(AppendError::DuplicateTimestamp { time: START })
    );
    assert_eq!(appender.append_ref(one, START, 1.0), Ok(()));
    assert_eq!(
        appender.append_ref(one, START - 1, 2.0),
        Err(AppendError::OutOfOrder {
            time: START - 1,
            newest: START
        })
    );
    assert_eq!(
        appender.append(&Labels::empty(), START, 1.0),
        Err(AppendError::EmptyLabels)
    );
    assert_eq!(
        appender.append_ref(SeriesRef(77), START, 2.0),
        Err(AppendError::UnknownSeries)
    );
    appender.append(&series("a", 2), START, 1.0).unwrap();
    assert_eq!(
        appender.append(&series("a", 3), START, 1.0),
        Err(AppendError::TooManySeries { limit: 2 })
    );
    // Two values for one time within a batch: the second cannot be seen before the commit.
    appender.append(&series("a", 2), START, 5.0).unwrap();
    assert_eq!(
        appender.commit().unwrap(),
        CommitReport {
            stored: 1,
            repeated: 1,
            refused: 1,
            late: 0
        }
    );

    let store = Store::in_memory(Options {
        future_limit: Some(Duration::from_secs(600)),
        ..options()
    });
    let far = 32_503_680_000_000;
    assert!(matches!(
        store.appender().append(&series("a", 1), far, 1.0),
        Err(AppendError::TooFarInFuture { .. })
    ));
}

#[test]
fn late_samples_are_sorted_in_and_survive() {
    let folder = tempfile::tempdir().unwrap();
    let labels = series("late", 1);
    let times: Vec<i64> = (0..100)
        .map(|i| START + 2 * HOUR - 300_000 + ((i * 37) % 100) * 6_000)
        .collect();
    let mut model: Vec<(i64, u64)> = times.iter().map(|t| (*t, (*t as f64).to_bits())).collect();
    model.sort_unstable();
    let model = Contents::from([(labels.to_string(), model)]);
    {
        let store = Store::open(folder.path(), options()).unwrap();
        let mut appender = store.appender();
        let mut late = 0;
        for time in &times {
            appender.append(&labels, *time, *time as f64).unwrap();
            late += appender.commit().unwrap().late;
        }
        assert!(late > 50, "{late}");
        assert_eq!(
            appender.append(&labels, times[0], 0.5),
            Err(AppendError::DuplicateTimestamp { time: times[0] })
        );
        assert!(matches!(
            appender.append(&labels, START, 0.5),
            Err(AppendError::TooOld { .. })
        ));
        assert_eq!(contents(&store), model);
    }
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(contents(&store), model);
    let mut appender = store.appender();
    appender
        .append(&series("other", 1), START + 3 * HOUR, 0.0)
        .unwrap();
    appender.commit().unwrap();
    store.compact().unwrap();
    assert_eq!(store.block_list().len(), 1);
    assert_eq!(
        read(
            &store,
            &[Matcher::equal("__name__", "late")],
            i64::MIN,
            i64::MAX
        ),
        model
    );
}

#[test]
fn idle_series_leave_memory_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut appender = store.appender();
    let old = appender.append(&series("old", 1), START, 1.0).unwrap();
    appender.commit().unwrap();
    for hour in 1..12 {
        appender
            .append(&series("new", 1), START + hour * HOUR, 1.0)
            .unwrap();
        appender.commit().unwrap();
        store.compact().unwrap();
    }
    assert_eq!(store.stats().series, 1);
    assert_eq!(
        appender.append_ref(old, START + 12 * HOUR, 1.0),
        Err(AppendError::UnknownSeries)
    );
    appender
        .append(&series("old", 1), START + 12 * HOUR, 2.0)
        .unwrap();
    appender.commit().unwrap();
    assert_eq!(contents(&store)[&series("old", 1).to_string()].len(), 2);
    assert_eq!(
        store.label_values("__name__", &[], i64::MIN, i64::MAX),
        ["new", "old"]
    );
    assert_eq!(
        store.label_names(&[], i64::MIN, i64::MAX),
        ["__name__", "instance", "job"]
    );
    let old_only = [Matcher::equal("__name__", "old")];
    assert_eq!(
        store.label_values("job", &old_only, i64::MIN, i64::MAX),
        ["node"]
    );
}

#[test]
fn blocks_are_merged_and_retired() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Contents::new();
    let day = Options {
        merged_window: Duration::from_secs(6 * 3600),
        ..options()
    };
    let store = Store::open(folder.path(), day.clone()).unwrap();
    fill(&store, 0, 240 * 20, &mut model);
    store.compact().unwrap();
    let list = store.block_list();
    assert!(
        list.len() < 6 && list.iter().any(|b| b.1 - b.0 == 6 * HOUR),
        "{list:?}"
    );
    assert_eq!(contents(&store), model);
    let (low, high) = (START + HOUR, START + 9 * HOUR);
    let mut part = model.clone();
    part.values_mut()
        .for_each(|samples| samples.retain(|s| s.0 >= low && s.0 <= high));
    assert_eq!(read(&store, &[], low, high), part);
    drop(store);
    let store = Store::open(
        folder.path(),
        Options {
            retention: Some(Duration::from_secs(7 * 3600)),
            ..day.clone()
        },
    )
    .unwrap();
    assert_eq!(contents(&store), model);
    store.compact().unwrap();
    let oldest = store.time_range().unwrap().0;
    assert!(
        oldest > START + 5 * HOUR && oldest <= START + 13 * HOUR,
        "{}",
        oldest - START
    );
    drop(store);
    let store = Store::open(
        folder.path(),
        Options {
            max_bytes: Some(1),
            ..day
        },
    )
    .unwrap();
    store.compact().unwrap();
    assert_eq!(store.block_list(), []);
    assert!(!contents(&store).is_empty());
}

#[test]
fn a_snapshot_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Contents::new();
    let store = Store::open(folder.path(), options()).unwrap();
    store.set_metadata(
        "requests_total",
        Metadata {
            kind: MetricKind::Counter,
            unit: String::new(),
            help: "Requests.".into(),
        },
    );
    fill(&store, 0, 1000, &mut model);
    store.compact().unwrap();
    let target = folder.path().join("copy");
    store.snapshot(&target).unwrap();
    assert!(store.snapshot(&target).is_err());
    let copied = model.clone();
    fill(&store, 1000, 5, &mut model);
    let copy = Store::open(&target, options()).unwrap();
    assert_eq!(copy.damages(), []);
    assert_eq!(contents(&copy), copied);
    assert_eq!(copy.metadata()["requests_total"].kind, MetricKind::Counter);
    assert_eq!(contents(&store), model);
}

#[test]
fn damage_is_cut_reported_and_the_rest_serves() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Contents::new();
    {
        let store = Store::open(folder.path(), options()).unwrap();
        fill(&store, 0, 240 * 7, &mut model);
        store.compact().unwrap();
        assert_eq!(store.block_list().len(), 3);
    }
    let mut blocks: Vec<_> = std::fs::read_dir(folder.path().join("blocks"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    blocks.sort();
    // A frame in the first block, the footer of the second.
    let mut bytes = std::fs::read(&blocks[0]).unwrap();
    bytes[9] ^= 0xff;
    std::fs::write(&blocks[0], &bytes).unwrap();
    let bytes = std::fs::read(&blocks[1]).unwrap();
    std::fs::write(&blocks[1], &bytes[..bytes.len() - 3]).unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(store.damages().len(), 1);
    let mut selection = store.select(&[], i64::MIN, i64::MAX);
    let mut found = 0;
    while let Some(series) = selection.next_series() {
        found += series.times.len();
    }
    assert!(selection.damaged() > 0);
    assert!((240 * 10..240 * 7 * 10).contains(&found), "{found}");
    assert!(
        store
            .damages()
            .iter()
            .any(|damage| damage.what.contains("checksum")),
        "{:?}",
        store.damages()
    );
    assert!(blocks[1].with_extension("damaged").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Appends, late samples, restarts, compactions and snapshots in any order lose and invent nothing.
    #[test]
    fn the_store_behaves_like_a_map(
        actions in prop::collection::vec((0u8..20, 0usize..4, 1i64..900_000, -900_000i64..900_000), 1..150),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { window: Duration::from_secs(1200), merged_window: Duration::from_secs(4800), ..options() };
        let mut store = Store::open(folder.path(), options.clone()).unwrap();
        let mut model: BTreeMap<String, BTreeMap<i64, u64>> = BTreeMap::new();
        let mut now = START;
        for (action, number, step, offset) in actions {
            match action {
                0 => { drop(store); store = Store::open(folder.path(), options.clone()).unwrap(); }
                1 => store.compact().unwrap(),
                _ => {
                    let labels = series("m", number);
                    now += step / 4;
                    let time = if action < 8 { now + offset } else { now };
                    let value = step as f64;
                    let mut appender = store.appender();
                    if appender.append(&labels, time, value).is_ok() && appender.commit().unwrap().stored == 1 {
                        let old = model.entry(labels.to_string()).or_default().insert(time, value.to_bits());
                        prop_assert!(old.is_none());
                    }
                }
            }
            prop_assert_eq!(store.damages(), vec![]);
        }
        let expected: Contents = model.into_iter().map(|(l, s)| (l, s.into_iter().collect())).collect();
        prop_assert_eq!(contents(&store), expected);
    }
}
