use std::io::Write;

use super::*;

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
    for (name, bytes) in entries {
        let (mut entry, config) = archive
            .new_file(name)
            .compression_method(rawzip::CompressionMethod::DEFLATE)
            .start()
            .unwrap();
        let encoder =
            flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
        let mut writer = config.wrap(encoder);
        writer.write_all(bytes).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    out
}

type Collected = (
    Vec<(String, Result<Vec<u8>, String>)>,
    Result<(), ScanError>,
);

fn collect(source: &Source) -> Collected {
    let mut seen = Vec::new();
    let result =
        source.each(&mut |raw| seen.push((raw.origin.to_owned(), raw.bytes.map(<[u8]>::to_vec))));
    (seen, result)
}

#[test]
fn zip_entries_are_read_without_being_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.zip");
    fs::write(
        &path,
        zip(&[
            ("a.json", b"{}"),
            ("../../escape.json", b"1"),
            ("notes.txt", b"x"),
        ]),
    )
    .unwrap();
    let (seen, result) = collect(&Source::detect(&path).unwrap());
    result.unwrap();
    assert_eq!(seen[0], ("a.json".to_owned(), Ok(b"{}".to_vec())));
    assert_eq!(seen.len(), 2);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing may be written"
    );
    assert!(!folder.path().parent().unwrap().join("escape.json").exists());
}

#[test]
fn a_zip_bomb_stays_one_bad_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.zip");
    let bomb = vec![b' '; MAX_RECORD_BYTES as usize + 100];
    fs::write(&path, zip(&[("bomb.json", &bomb), ("good.json", b"{}")])).unwrap();
    let (seen, result) = collect(&Source::Zip(path));
    result.unwrap();
    assert!(seen[0].1.as_ref().unwrap_err().contains("large"));
    assert_eq!(seen[1].1, Ok(b"{}".to_vec()));
}

#[test]
fn damaged_archives_are_errors_wherever_they_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.zip");
    let whole = zip(&[
        (
            "a.json",
            br#"{"id": "A", "some": "text that is long enough to be packed"}"#,
        ),
        ("b.json", b"{}"),
    ]);
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (_, result) = collect(&Source::Zip(path.clone()));
        assert!(result.is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        fs::write(&path, &changed).unwrap();
        // Either the archive or the entry is refused, or the change lay in a field without meaning (a date).
        let _ = collect(&Source::Zip(path.clone()));
    }
}

fn tar_gz(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in entries {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[156] = b'0';
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().div_ceil(512) * 512, 0);
    }
    tar.resize(tar.len() + 1024, 0);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&tar).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn tar_archives_and_folders_give_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("db.tar.gz"),
        tar_gz(&[
            ("vulns/a.yaml", b"id: A"),
            ("README.md", b"no"),
            ("b.json", b"{}"),
        ]),
    )
    .unwrap();
    let (packed, result) = collect(&Source::detect(&folder.path().join("db.tar.gz")).unwrap());
    result.unwrap();
    assert_eq!(
        packed
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["vulns/a.yaml", "b.json"]
    );
    let plain = folder.path().join("plain");
    fs::create_dir_all(plain.join("vulns")).unwrap();
    fs::create_dir_all(plain.join(".git")).unwrap();
    fs::write(plain.join("vulns/a.yaml"), "id: A").unwrap();
    fs::write(plain.join(".git/c.json"), "{}").unwrap();
    fs::write(plain.join("b.json"), "{}").unwrap();
    let (loose, result) = collect(&Source::detect(&plain).unwrap());
    result.unwrap();
    assert_eq!(loose.len(), 2);
    let truncated = tar_gz(&[("a.json", &[b'x'; 5000])]);
    fs::write(
        folder.path().join("cut.tgz"),
        &truncated[..truncated.len() / 2],
    )
    .unwrap();
    assert!(
        collect(&Source::detect(&folder.path().join("cut.tgz")).unwrap())
            .1
            .is_err()
    );
}

#[test]
fn a_stamp_changes_with_the_source() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), "{}").unwrap();
    let source = Source::detect(folder.path()).unwrap();
    let before = source.stamp().unwrap();
    assert_eq!(source.stamp().unwrap(), before);
    fs::write(folder.path().join("b.json"), "{}").unwrap();
    assert_ne!(source.stamp().unwrap(), before);
}
