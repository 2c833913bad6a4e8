use std::os::unix::fs::PermissionsExt;

use super::*;

/// An archive of entries: a header's kind, a path as raw bytes, and a content or a link's target.
fn archive(folder: &Path, entries: &[(tar::EntryType, &str, &str)]) -> PathBuf {
    let path = folder.join("tree");
    let encoder = zstd::Encoder::new(File::create(&path).unwrap(), 1).unwrap();
    let mut builder = tar::Builder::new(encoder.auto_finish());
    for (kind, name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        // The builder's own functions refuse such names; a liar's would not.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        if *kind == tar::EntryType::Regular {
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        } else {
            header.set_size(0);
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        }
    }
    drop(builder);
    path
}

#[test]
fn a_tree_keeps_its_links_and_rights() {
    use tar::EntryType::{Directory, Regular, Symlink};
    let folder = tempfile::tempdir().unwrap();
    let packed = archive(
        folder.path(),
        &[
            (Directory, "bin/", ""),
            (Regular, "bin/run", "#!/bin/sh\n"),
            (Symlink, "bin/python", "/usr/bin/python3"),
            (Symlink, "here", "bin/run"),
        ],
    );
    let tree = folder.path().join("7");
    unpack(&packed, &tree).unwrap();
    assert_eq!(
        fs::read_to_string(tree.join("here")).unwrap(),
        "#!/bin/sh\n"
    );
    assert_eq!(
        fs::read_link(tree.join("bin/python")).unwrap(),
        Path::new("/usr/bin/python3")
    );
    let mode = fs::metadata(tree.join("bin/run")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o700, 0o700);
    assert!(!folder.path().join("7.incoming").exists());
}

#[test]
fn an_archive_never_writes_outside_its_tree() {
    use tar::EntryType::{Char, Link, Regular, Symlink};
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let there = outside.path().to_str().unwrap();
    for entries in [
        vec![(Regular, "../victim", "x")],
        vec![(Regular, "a/../../victim", "x")],
        vec![(Symlink, "out", there), (Regular, "out/victim", "x")],
        vec![(Link, "hard", "../victim")],
        vec![(Char, "device", "")],
    ] {
        let folder = tempfile::tempdir_in(outside.path()).unwrap();
        let packed = archive(folder.path(), &entries);
        let tree = folder.path().join("7");
        assert!(unpack(&packed, &tree).is_err(), "{entries:?}");
        assert!(!tree.exists(), "{entries:?}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    }
    // A leading slash is taken off, as every tar does.
    let folder = tempfile::tempdir().unwrap();
    let packed = archive(folder.path(), &[(Regular, "/etc/launchway-test", "x")]);
    unpack(&packed, &folder.path().join("7")).unwrap();
    assert!(folder.path().join("7/etc/launchway-test").exists());
    assert!(!Path::new("/etc/launchway-test").exists());
}

#[test]
fn a_piece_is_appended_once_however_often_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log/0.log");
    assert_eq!(append(&file, 0, b"abc", false).unwrap(), 3);
    assert_eq!(append(&file, 0, b"abc", false).unwrap(), 3);
    assert_eq!(append(&file, 9, b"xyz", false).unwrap(), 3);
    assert_eq!(append(&file, 3, b"de", true).unwrap(), 5);
    assert_eq!(fs::read(&file).unwrap(), b"abcde");
}
