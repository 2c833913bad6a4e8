use std::fs;
use std::time::{Duration, SystemTime};

use super::watch::{Fullness, fullness};
use super::{sweep, usage};

#[test]
fn the_least_recently_used_layers_go_first_and_a_set_in_use_stays() {
    let cache = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    for (set, layer, age) in [("pip", "a", 300), ("pip", "b", 100), ("npm", "c", 400)] {
        let folder = cache.path().join("layers").join(set);
        fs::create_dir_all(folder.join(layer)).unwrap();
        fs::write(folder.join("lock"), "").unwrap();
        fs::write(folder.join(layer).join("file"), vec![1; 100_000]).unwrap();
        let used = fs::File::create(folder.join(layer).join("used")).unwrap();
        used.set_modified(now - Duration::from_secs(age)).unwrap();
    }
    let all = usage::size(cache.path());
    assert!(all >= 300_000, "{all}");
    assert_eq!(sweep::sweep_cache(cache.path(), all), 0);
    // A build works with the oldest one's set.
    let lock = fs::File::options()
        .write(true)
        .open(cache.path().join("layers/npm/lock"))
        .unwrap();
    lock.lock_shared().unwrap();
    assert_eq!(sweep::sweep_cache(cache.path(), all - 50_000), 1);
    assert!(!cache.path().join("layers/pip/a").exists());
    assert!(cache.path().join("layers/npm/c").exists());
    drop(lock);
    assert_eq!(sweep::sweep_cache(cache.path(), 0), 2);
}

#[test]
fn a_file_with_two_links_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), vec![1; 64 << 10]).unwrap();
    let once = usage::size(folder.path());
    fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
    assert_eq!(usage::size(folder.path()), once);
}

#[test]
fn a_disk_is_full_before_the_last_byte_is_gone() {
    let gib = 1 << 30;
    assert_eq!(fullness(100 * gib, 200 * gib, 16 << 20), Fullness::Roomy);
    assert_eq!(fullness(gib / 2, 200 * gib, 16 << 20), Fullness::Low);
    assert_eq!(fullness(gib / 2, gib, 16 << 20), Fullness::Roomy);
    assert_eq!(fullness(8 << 20, 200 * gib, 16 << 20), Fullness::Full);
    assert_eq!(fullness(0, 0, 0), Fullness::Full);
}
