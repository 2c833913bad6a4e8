use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

#[test]
fn a_whole_folder_changes_hands_and_no_link_leads_out_of_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mine, theirs) = (folder.path().join("mine"), folder.path().join("theirs"));
    fs::create_dir_all(theirs.join("a/b")).unwrap();
    fs::write(theirs.join("a/b/file"), "").unwrap();
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("file"), "").unwrap();
    symlink(&mine, theirs.join("folder")).unwrap();
    symlink(mine.join("file"), theirs.join("a/link")).unwrap();
    hand_over(&theirs, (51_000, 51_001)).unwrap();
    for path in ["", "a", "a/b", "a/b/file", "a/link", "folder"] {
        let found = fs::symlink_metadata(theirs.join(path)).unwrap();
        assert_eq!((found.uid(), found.gid()), (51_000, 51_001), "{path}");
    }
    for path in [mine.clone(), mine.join("file")] {
        assert_eq!(fs::metadata(path).unwrap().uid(), 0);
    }
    // A single file too, and what is there already costs one look.
    hand_over(&mine.join("file"), (51_000, 51_000)).unwrap();
    hand_over(&theirs, (51_000, 51_001)).unwrap();
    assert_eq!(fs::metadata(mine.join("file")).unwrap().uid(), 51_000);
}
