//! The app's output: complete where there is room, and never in the app's way.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use launchway_model::runner::LogSource;
use launchway_supervisor::ShimLink;

use crate::support::{Host, Installation, line, log_lines, output, running, seen, until};

#[tokio::test]
async fn both_outputs_are_kept_apart_and_in_order() {
    let site = Installation::new();
    let mut spec = site.spec("echo one; echo two >&2; printf 'thr'; sleep 0.1; printf 'ee\\nfour'");
    spec.restart = false;
    let handle = site.supervisor.start(spec).await.unwrap();
    seen(&handle, "its end", |view| view.link == ShimLink::Ended).await;
    let lines = log_lines(handle.spec());
    let of = |wanted| -> Vec<&str> {
        lines
            .iter()
            .filter(|(source, _)| *source == wanted)
            .map(|(_, text)| text.as_str())
            .collect()
    };
    assert_eq!(of(LogSource::Out), ["one", "three", "four"]);
    assert_eq!(of(LogSource::Err), ["two"]);
    assert_eq!(of(LogSource::Launchway), ["ended with exit code 0"]);
}

#[tokio::test]
async fn a_flood_is_rotated_and_its_end_is_there() {
    let site = Installation::new();
    let line = "x".repeat(99);
    let mut spec = site.spec(&format!(
        "yes {line} | head -c 200000000; echo; echo the end"
    ));
    spec.restart = false;
    spec.log_bytes = 4 << 20;
    spec.log_files = 2;
    let handle = site.supervisor.start(spec).await.unwrap();
    // In the midst of it, the shim answers.
    let mut view = handle.watch();
    view.wait_for(|view| view.link == ShimLink::Ended)
        .await
        .unwrap();
    let lines = log_lines(handle.spec());
    assert_eq!(lines[lines.len() - 2].1, "the end");
    let kept = lines.iter().filter(|(_, text)| *text == line).count();
    assert!(kept > 8 << 20 >> 7, "{kept}");
    let folder = handle.spec().log.parent().unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let size = entry.metadata().unwrap().len();
        assert!(size <= 4 << 20, "{:?}: {size}", entry.path());
        files += 1;
    }
    assert_eq!(files, 3);
}

#[tokio::test]
async fn a_shim_in_a_flood_answers_and_stops() {
    let site = Installation::new();
    let handle = site.start("yes").await;
    running(&handle).await;
    until("many lines", || {
        let log = std::fs::metadata(&handle.spec().log).ok()?;
        (log.len() > 1 << 20).then_some(())
    })
    .await;
    handle.restart().await.unwrap();
    seen(&handle, "a restart", |view| view.status.restarts == 1).await;
    handle.stop(Some(Duration::from_secs(5))).await.unwrap();
    // What a flood leaves in memory is the buffers alone.
}

#[tokio::test]
async fn a_flood_does_not_grow_the_shim() {
    let site = Installation::new();
    let handle = site.start("yes | head -c 10000000; yes | tr -d '\\n' | head -c 20000000; echo; echo over; sleep 1000").await;
    line(handle.spec(), "over").await;
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", handle.status().shim_pid)).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 2048, "{kib} KiB of its own");
    handle.stop(Some(Duration::ZERO)).await.unwrap();
}

/// A small file system, gone with the test.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(path: &Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=0777"),
                "small",
            ])
            .arg(path)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_holds_up_no_app() {
    let site = Installation::new();
    let logs = site.open_folder("home/logs/shop");
    let Some(_disk) = SmallDisk::at(&logs, "1m") else {
        println!("skipped: only root can make a small disk");
        return;
    };
    let filled = logs.join("filler");
    let mut spec = site.spec(&format!(
        "yes | head -c 10000000; touch {}; while [ ! -e {} ]; do sleep 0.02; done; sleep 1.2; echo room again; sleep 1000",
        site.path("flooded").display(),
        site.path("freed").display(),
    ));
    spec.log_bytes = 100 << 20;
    std::fs::write(&filled, vec![0; 500_000]).unwrap();
    let handle = site.supervisor.start(spec).await.unwrap();
    // The app wrote ten times what there was room for, and went on.
    until("the app's next step", || {
        site.path("flooded").exists().then_some(())
    })
    .await;
    assert_eq!(handle.watch().borrow().link, ShimLink::Live);
    std::fs::remove_file(&filled).unwrap();
    std::fs::write(site.path("freed"), "").unwrap();
    line(handle.spec(), "room again").await;
    let lines = log_lines(handle.spec());
    let missing: u64 = lines
        .iter()
        .filter_map(|(source, text)| {
            assert!(
                text == "y" || *source == LogSource::Launchway || text == "room again",
                "{text}"
            );
            text.split_once(" lines are missing here")?
                .0
                .parse::<u64>()
                .ok()
        })
        .sum();
    let kept = output(handle.spec())
        .iter()
        .filter(|text| *text == "y")
        .count() as u64;
    assert_eq!(missing + kept, 5_000_000);
    handle.stop(None).await.unwrap();
}

#[tokio::test]
async fn an_instance_folder_without_room_stops_nothing() {
    let site = Installation::new();
    let instances = site.home.instances();
    let Some(_disk) = SmallDisk::at(&instances, "128k") else {
        println!("skipped: only root can make a small disk");
        return;
    };
    let handle = site.start("sleep 4000008").await;
    let first = running(&handle).await;
    let mut filler = std::fs::File::create(instances.join("filler")).unwrap();
    while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
    crate::support::signal(first, rustix::process::Signal::KILL);
    seen(&handle, "a restart", |view| view.status.restarts == 1).await;
    running(&handle).await;
    drop(filler);
    std::fs::remove_file(instances.join("filler")).unwrap();
    // The state on disk catches up.
    let state = site.home.instance(handle.instance()).join("state.json");
    until("the state", || {
        std::fs::read_to_string(&state)
            .ok()
            .filter(|text| text.contains("\"restarts\":1") && text.contains("running"))
    })
    .await;
    handle.stop(None).await.unwrap();
}

#[tokio::test]
async fn the_logs_of_all_hosts_can_be_read() {
    for host in Host::all() {
        let site = Installation::on(host);
        let handle = site.start("echo hello; sleep 1000").await;
        line(handle.spec(), "hello").await;
        handle.stop(Some(Duration::ZERO)).await.unwrap();
    }
}
