use super::*;

#[test]
fn memory_kills_are_read_from_both_versions() {
    let v2 = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
    assert_eq!(memory_kills(v2), Some(2));
    assert_eq!(
        memory_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
        Some(1)
    );
    assert_eq!(memory_kills("oom_kill_disable 0\nunder_oom 0\n"), None);
}

#[test]
fn the_unit_or_the_top_is_launchways_own() {
    let mount = Path::new("/sys/fs/cgroup");
    let base = |own, root| v2_base(mount, own, root).map(|path| path.display().to_string());
    let unit = "/sys/fs/cgroup/system.slice/launchway.service";
    assert_eq!(
        base("/system.slice/launchway.service", true).as_deref(),
        Some(unit)
    );
    assert_eq!(
        base("/system.slice/launchway.service/main", false).as_deref(),
        Some(unit)
    );
    assert_eq!(
        base("/user.slice/x.scope", true).as_deref(),
        Some("/sys/fs/cgroup/launchway")
    );
    // A group that is not there is not writable.
    assert_eq!(base("/launchway-test-none/main", false), None);
}

#[test]
fn a_limit_that_was_set_is_no_longer_left() {
    let mut limit = Some(5);
    take(&mut limit, |_| Err(io::ErrorKind::PermissionDenied.into()));
    assert_eq!(limit, Some(5));
    take(&mut limit, |_| Ok(()));
    assert_eq!(limit, None);
    assert_eq!(cpu_quota(1500), 150_000);
    assert_eq!(cpu_quota(1), 1000);
}
