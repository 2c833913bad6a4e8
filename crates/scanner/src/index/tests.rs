use std::fs;

use super::builder::{Builder, build};
use super::*;
use crate::advisory::source::Source;
use crate::advisory::{Format, Record};
use crate::ecosystem::Ecosystem;

fn record(id: &str, ecosystem: &str, name: &str, more: &str) -> Record {
    let text = format!(
        r#"{{"id": "{id}", "modified": "2024-01-01T00:00:00Z" {more}, "affected": [{{"package": {{"ecosystem": "{ecosystem}", "name": "{name}"}},
        "ranges": [{{"type": "ECOSYSTEM", "events": [{{"fixed": "2.0"}}, {{"introduced": "0"}}]}}], "versions": ["1.0", "1.0.0", "1.5"]}}]}}"#
    );
    Record::parse(text.as_bytes(), Format::Json).unwrap()
}

fn small() -> Vec<u8> {
    let mut builder = Builder::new();
    builder.add(record("A-1", "PyPI", "Flask", ""));
    builder.add(record("A-2", "npm", "left-pad", ""));
    builder.add(record("A-2", "npm", "other", ""));
    builder.add(record(
        "A-3",
        "npm",
        "gone",
        r#", "withdrawn": "2024-01-01T00:00:00Z""#,
    ));
    builder.add(record("A-4", "Hackage", "x", ""));
    builder.add(record("A-5", "Debian:12", "openssl", ""));
    builder.set_fetched("npm", 1_700_000_000);
    let (bytes, report) = builder.finish(1_710_000_000).unwrap();
    assert_eq!(
        (
            report.records,
            report.withdrawn,
            report.repeated,
            report.foreign
        ),
        (3, 1, 1, 1)
    );
    bytes
}

#[test]
fn what_goes_in_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(&publish(folder.path(), &small()).unwrap()).unwrap();
    index.verify().unwrap();
    let flask = index.package(&Ecosystem::PyPi, "flask").unwrap().unwrap();
    assert_eq!(flask.versions, ["0", "1", "1.5", "2.0"]);
    assert_eq!(
        flask.entries[0].ranges,
        [[(EventKind::IntroducedFirst, 0), (EventKind::Fixed, 3)]]
    );
    assert_eq!(
        flask.entries[0].listed,
        [1, 2],
        "1.0 and 1.0.0 are one version"
    );
    assert_eq!(index.record(flask.entries[0].record).unwrap().id, "A-1");
    assert_eq!(index.package(&Ecosystem::Npm, "gone").unwrap(), None);
    assert_eq!(index.package(&Ecosystem::CratesIo, "flask").unwrap(), None);
    assert_eq!(index.built_at(), 1_710_000_000);
    assert_eq!(
        index.ecosystem(&Ecosystem::Npm).unwrap().as_of(),
        1_700_000_000
    );
    assert_eq!(index.ecosystem(&Ecosystem::Go), None);
    assert!(index.covers(&Ecosystem::Debian("12".into())).unwrap());
    assert!(!index.covers(&Ecosystem::Debian("13".into())).unwrap());
    assert!(!index.covers(&Ecosystem::Debian("1".into())).unwrap());
}

#[test]
fn every_cut_and_every_changed_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let whole = small();
    let path = folder.path().join("x.index");
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(Index::open(&path).is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        let noticed = Index::open(&path).and_then(|index| index.verify());
        assert!(noticed.is_err(), "changed at {at}");
    }
}

#[test]
fn the_last_good_index_stands_in_for_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), &small()).unwrap();
    publish(folder.path(), &small()).unwrap();
    assert!(Index::open_folder(folder.path()).unwrap().1.is_none());
    // As after a crash of a program that wrote in place: half of the file.
    let half = small();
    fs::remove_file(folder.path().join(CURRENT)).unwrap();
    fs::write(folder.path().join(CURRENT), &half[..half.len() / 2]).unwrap();
    let (index, note) = Index::open_folder(folder.path()).unwrap();
    assert_eq!(index.record_count(), 3);
    assert!(note.unwrap().contains("last good"));
    // A damaged current index never becomes the last good one.
    publish(folder.path(), &small()).unwrap();
    assert!(Index::open(&folder.path().join(PREVIOUS)).is_ok());
    fs::remove_file(folder.path().join(PREVIOUS)).unwrap();
    fs::write(folder.path().join(CURRENT), b"junk").unwrap();
    assert!(Index::open_folder(folder.path()).is_err());
}

#[test]
fn unreadable_records_are_reported_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.json"), "{\n\"id\": }").unwrap();
    fs::write(folder.path().join("good.json"), r#"{"id": "G", "modified": "2024-01-01T00:00:00Z", "affected": [{"package": {"ecosystem": "npm", "name": "x"}, "versions": ["1.0.0"]}]}"#).unwrap();
    let (_, report) = build(&[Source::detect(folder.path()).unwrap()], 0).unwrap();
    assert_eq!((report.records, report.unreadable), (1, 1));
    assert!(
        report.problems[0].contains("bad.json: line 2, column 7"),
        "{:?}",
        report.problems
    );
}
