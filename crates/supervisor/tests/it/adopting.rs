//! What a new control finds of the one before.

use std::time::{Duration, Instant};

use launchway_model::instance::InstanceState;
use launchway_supervisor::{Adopted, ShimLink};
use rustix::process::Signal;

use crate::support::{Host, Installation, died, running, seen, signal};

#[tokio::test]
async fn a_new_control_finds_the_app_as_it_was() {
    for host in Host::all() {
        let site = Installation::on(host);
        let handle = site.start("sleep 4000009").await;
        let pid = running(&handle).await;
        let spec = handle.spec().clone();
        drop(handle);
        let Adopted::Live(handle) = site.adopt_one().await else {
            panic!("not alive");
        };
        assert_eq!(handle.spec(), &spec);
        assert_eq!(running(&handle).await, pid);
        signal(pid, Signal::KILL);
        seen(&handle, "a restart", |view| view.status.restarts == 1).await;
        handle.stop(None).await.unwrap();
    }
}

/// The process that started a shim is killed; the shim and its app are not its concern.
#[test]
fn a_shim_outlives_the_process_that_started_it() {
    let site = Installation::new();
    let starter = tokio::runtime::Runtime::new().unwrap();
    let (pid, shim) = starter.block_on(async {
        let handle = site.start("sleep 4000010").await;
        (running(&handle).await, handle.status().shim_pid)
    });
    // All tasks and connections of the first control end here, as in a crash.
    drop(starter);
    let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    assert!(
        !status.contains(&format!("PPid:\t{}\n", std::process::id())),
        "{status}"
    );
    let next = tokio::runtime::Runtime::new().unwrap();
    next.block_on(async {
        let Adopted::Live(handle) = site.adopt_one().await else {
            panic!("not alive");
        };
        assert_eq!(running(&handle).await, pid);
        handle.stop(None).await.unwrap();
    });
}

#[tokio::test]
async fn a_dead_shim_is_found_with_its_last_state() {
    let site = Installation::new();
    let handle = site.start("sleep 4000011").await;
    let pid = running(&handle).await;
    signal(handle.status().shim_pid, Signal::KILL);
    died(&handle).await;
    let Adopted::Dead(dead) = site.adopt_one().await else {
        panic!("alive");
    };
    assert_eq!(&dead.instance, handle.instance());
    assert_eq!(dead.spec.as_ref(), Some(handle.spec()));
    let last = dead.last.unwrap();
    assert!(matches!(last.state, InstanceState::Running { pid: last, .. } if last == pid));
    site.supervisor.remove(&dead.instance).await.unwrap();
    assert!(site.supervisor.adopt_all().await.is_empty());
}

#[tokio::test]
async fn a_stopped_instance_is_found_as_stopped() {
    let site = Installation::new();
    let handle = site.start("sleep 4000012").await;
    handle.stop(None).await.unwrap();
    let Adopted::Dead(dead) = site.adopt_one().await else {
        panic!("alive");
    };
    assert!(matches!(
        dead.last.unwrap().state,
        InstanceState::Stopped { .. }
    ));
    assert_eq!(dead.leftovers, 0);
}

#[tokio::test]
async fn a_halted_shim_does_not_hold_up_the_rest() {
    let site = Installation::new();
    let halted = site.start("sleep 4000013").await;
    let other = site.start("sleep 4000014").await;
    let pid = running(&halted).await;
    running(&other).await;
    signal(halted.status().shim_pid, Signal::STOP);
    let began = Instant::now();
    let adopted = site.supervisor.adopt_all().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let mut live = 0;
    for found in adopted {
        let Adopted::Live(handle) = found else {
            panic!("{found:?}");
        };
        live += 1;
        if handle.instance() == halted.instance() {
            // As it last wrote of itself; then it speaks again, and the handle hears it.
            assert!(
                matches!(handle.status().state, InstanceState::Running { pid: last, .. } if last == pid)
            );
            signal(handle.status().shim_pid, Signal::CONT);
            signal(pid, Signal::KILL);
            seen(&handle, "news", |view| view.status.restarts == 1).await;
        }
    }
    assert_eq!(live, 2);
    for handle in [halted, other] {
        handle.stop(None).await.unwrap();
        assert_eq!(handle.watch().borrow().link, ShimLink::Ended);
    }
}

#[tokio::test]
async fn folders_that_are_no_instances_are_left_alone() {
    let site = Installation::new();
    std::fs::create_dir(site.home.instances().join("lost+found")).unwrap();
    std::fs::create_dir(site.home.instances().join("shop.web.v1.99999")).unwrap();
    let Adopted::Dead(dead) = site.adopt_one().await else {
        panic!("alive");
    };
    assert_eq!((dead.spec, dead.last), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_shims_are_adopted() {
    const MANY: usize = 40;
    let site = Installation::new();
    let mut handles = Vec::new();
    for _ in 0..MANY {
        handles.push(site.start("sleep 4000015").await);
    }
    drop(handles);
    let began = Instant::now();
    let adopted = site.supervisor.adopt_all().await;
    println!("{MANY} shims adopted in {:?}", began.elapsed());
    assert_eq!(adopted.len(), MANY);
    for found in adopted {
        let Adopted::Live(handle) = found else {
            panic!("{found:?}");
        };
        handle.stop(None).await.unwrap();
    }
}
