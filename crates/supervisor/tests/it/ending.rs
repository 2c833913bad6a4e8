//! Stopping, and what becomes of an app when its shim is killed.

use std::time::{Duration, Instant};

use launchway_model::instance::{Exit, InstanceState};
use launchway_supervisor::ShimLink;
use rustix::process::Signal;

use crate::support::{
    Host, Installation, died, line, log_lines, output, processes_with, running, seen, signal, until,
};

/// Starts children in every way that loses a parent: a plain one, one in a session of its own, and one that forked twice into a
/// session of its own with its output closed. `WORD` makes their command lines the test's own.
const SCATTERED: &str = "sleep WORD1 & setsid sleep WORD2 & \
    (setsid sh -c 'sleep WORD3 >/dev/null 2>&1 & sleep 0.1' &) ; \
    (setsid sh -c 'exec setsid sh -c \"trap : TERM HUP; while true; do sleep WORD4; done\"' >/dev/null 2>&1 &) ; \
    echo scattered; sleep WORD5";

fn scattered(word: &str) -> String {
    SCATTERED.replace("WORD", word)
}

/// Waits until all of them run, the one that ignores TERM at its work.
async fn all_scattered(word: &str) {
    for number in 1..=5 {
        let command = format!("sleep\0{word}{number}\0");
        until("all of them", || {
            (!processes_with(&command).is_empty()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_killed_shim_leaves_nothing() {
    for (number, host) in Host::all().into_iter().enumerate() {
        let word = format!("51000{number}");
        let site = Installation::on(host);
        let handle = site.start(&scattered(&word)).await;
        line(handle.spec(), "scattered").await;
        all_scattered(&word).await;
        signal(handle.status().shim_pid, Signal::KILL);
        // Not the client: nobody but the kernel or the guard may be needed.
        drop(handle);
        until("their end", || {
            processes_with(&word).is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn control_hears_of_a_killed_shim_once_nothing_is_left() {
    for (number, host) in Host::all().into_iter().enumerate() {
        let word = format!("52000{number}");
        let site = Installation::on(host);
        let handle = site.start(&scattered(&word)).await;
        line(handle.spec(), "scattered").await;
        let pid = running(&handle).await;
        signal(handle.status().shim_pid, Signal::KILL);
        let view = died(&handle).await;
        assert_eq!(processes_with(&word), [0; 0], "{host:?}");
        assert!(
            matches!(view.status.state, InstanceState::Running { pid: last, .. } if last == pid),
            "{view:?}"
        );
        // A new shim may take the same folder.
        let again = site.supervisor.start(handle.spec().clone()).await.unwrap();
        running(&again).await;
        again.stop(Some(Duration::ZERO)).await.unwrap();
    }
}

#[tokio::test]
async fn a_guard_and_a_shim_that_are_killed_together_leave_nothing() {
    for (number, host) in [Host::Guarded, Host::Locked].into_iter().enumerate() {
        if !Host::all().contains(&host) {
            return;
        }
        let word = format!("53000{number}");
        let site = Installation::on(host);
        let handle = site.start(&scattered(&word)).await;
        all_scattered(&word).await;
        let shim = handle.status().shim_pid;
        let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
        let guard = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .unwrap();
        let guard: u32 = guard.trim().parse().unwrap();
        assert_ne!(guard, 1, "no guard");
        // Halted first, so that neither sees the other's end.
        signal(guard, Signal::STOP);
        signal(shim, Signal::STOP);
        signal(guard, Signal::KILL);
        signal(shim, Signal::KILL);
        died(&handle).await;
        assert_eq!(processes_with(&word), [0; 0], "{host:?}");
    }
}

#[tokio::test]
async fn a_shim_whose_guard_is_killed_goes_on() {
    if !Host::all().contains(&Host::Guarded) {
        return;
    }
    let site = Installation::on(Host::Guarded);
    let handle = site.start("sleep 4000017").await;
    let pid = running(&handle).await;
    let shim = handle.status().shim_pid;
    let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    let guard = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .unwrap();
    signal(guard.trim().parse().unwrap(), Signal::KILL);
    until("the shim's word about it", || {
        log_lines(handle.spec())
            .iter()
            .any(|(_, text)| text.contains("guard"))
            .then_some(())
    })
    .await;
    assert_eq!(running(&handle).await, pid);
    handle.stop(None).await.unwrap();
}

#[tokio::test]
async fn stop_reaches_the_whole_tree() {
    for (number, host) in Host::all().into_iter().enumerate() {
        let word = format!("54000{number}");
        let site = Installation::on(host);
        let handle = site.start(&scattered(&word)).await;
        line(handle.spec(), "scattered").await;
        all_scattered(&word).await;
        // One of them ignores TERM, so that the grace time runs out.
        handle.stop(Some(Duration::from_millis(300))).await.unwrap();
        assert_eq!(processes_with(&word), [0; 0], "{host:?}");
        let said = log_lines(handle.spec());
        assert!(
            said.iter()
                .any(|(_, text)| text.contains("time to stop is over")),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn an_app_that_ignores_term_is_killed_after_the_grace_time() {
    for host in Host::all() {
        let site = Installation::on(host);
        let mut spec = site.spec("trap '' TERM; echo deaf; while true; do sleep 0.05; done");
        spec.grace_ms = 400;
        let handle = site.supervisor.start(spec).await.unwrap();
        line(handle.spec(), "deaf").await;
        let asked = Instant::now();
        let exit = handle.stop(None).await.unwrap();
        assert!(asked.elapsed() >= Duration::from_millis(400));
        assert_eq!(exit, Some(Exit::Signal(9)), "{host:?}");
        assert_eq!(handle.watch().borrow().link, ShimLink::Ended);
    }
}

#[tokio::test]
async fn an_app_may_take_its_time_to_stop() {
    let site = Installation::new();
    let command = "trap 'echo saving; sleep 0.3; echo saved; exit 5' TERM; echo up; \
                   while true; do sleep 0.02; done";
    let handle = site.start(command).await;
    line(handle.spec(), "up").await;
    assert_eq!(handle.stop(None).await.unwrap(), Some(Exit::Code(5)));
    assert_eq!(output(handle.spec()), ["up", "saving", "saved"]);
}

/// As `npm start` does: a shell whose child is the server. The child gets its chance to end well.
#[tokio::test]
async fn a_server_behind_a_shell_ends_gracefully() {
    for host in Host::all() {
        let site = Installation::on(host);
        let server =
            "trap \"echo drained; exit 0\" TERM; echo serving; while true; do sleep 0.02; done";
        let handle = site
            .start(&format!("true && sh -c '{server}'; echo after"))
            .await;
        line(handle.spec(), "serving").await;
        handle.stop(None).await.unwrap();
        assert!(
            output(handle.spec()).contains(&"drained".to_owned()),
            "{host:?}"
        );
    }
}

/// The main process crashes and its child goes on holding the port: the next start must not meet it.
#[tokio::test]
async fn a_crash_ends_what_the_main_process_left() {
    for (number, host) in Host::all().into_iter().enumerate() {
        let word = format!("55000{number}");
        let site = Installation::on(host);
        let command = format!(
            "setsid sh -c 'trap : TERM; while true; do sleep {word}; done' & echo started; sleep 1000"
        );
        let handle = site.start(&command).await;
        line(handle.spec(), "started").await;
        let left = until("the child", || {
            let found = processes_with(&format!("trap : TERM; while true; do sleep {word}"));
            // Both the shell that started it and itself.
            (found.len() == 2).then_some(found)
        })
        .await;
        let main = running(&handle).await;
        signal(main, Signal::KILL);
        seen(&handle, "a restart", |view| view.status.restarts == 1).await;
        for pid in left {
            assert!(
                !std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|command| command.contains(&word)),
                "{host:?}: {pid} outlived its run"
            );
        }
        handle.stop(Some(Duration::ZERO)).await.unwrap();
        assert_eq!(processes_with(&word), [0; 0]);
    }
}

/// An app that puts itself into the background looks like one that ended: the log says so.
#[tokio::test]
async fn an_app_must_stay_in_the_foreground() {
    for host in Host::all() {
        let site = Installation::on(host);
        let handle = site.start("setsid sleep 4000018 & exit 0").await;
        let view = seen(&handle, "a restart", |view| view.status.restarts > 0).await;
        assert_eq!(view.status.last_exit, Some(Exit::Code(0)));
        let said = log_lines(handle.spec());
        assert!(
            said.iter()
                .any(|(_, text)| text.contains("must stay in the foreground")),
            "{host:?}: {said:?}"
        );
        handle.stop(Some(Duration::ZERO)).await.unwrap();
    }
}

#[tokio::test]
async fn a_shim_that_gets_term_stops_its_app() {
    for host in Host::all() {
        let site = Installation::on(host);
        let handle = site.start("sleep 4000006").await;
        running(&handle).await;
        signal(handle.status().shim_pid, Signal::TERM);
        let view = seen(&handle, "its end", |view| view.link != ShimLink::Live).await;
        assert_eq!(view.link, ShimLink::Ended, "{host:?}");
        assert_eq!(
            view.status.state,
            InstanceState::Stopped {
                exit: Some(Exit::Signal(15))
            }
        );
    }
}

#[tokio::test]
async fn a_halted_shim_and_a_halted_app_can_be_stopped() {
    let site = Installation::new();
    let handle = site.start("sleep 4000007").await;
    let pid = running(&handle).await;
    signal(pid, Signal::STOP);
    signal(handle.status().shim_pid, Signal::STOP);
    assert_eq!(handle.stop(None).await.unwrap(), Some(Exit::Signal(15)));
}

/// An app cannot end its own shim.
#[tokio::test]
async fn an_app_that_kills_all_it_can_reach_kills_itself_alone() {
    let site = Installation::on(Host::Plain);
    if !launchway_supervisor::sandbox::abilities().processes {
        println!("skipped: no process namespaces here");
        return;
    }
    let handle = site
        .start("trap '' TERM; kill -9 -1; kill -9 1; echo unharmed; sleep 1000")
        .await;
    line(handle.spec(), "unharmed").await;
    assert_eq!(handle.watch().borrow().link, ShimLink::Live);
    handle.stop(Some(Duration::ZERO)).await.unwrap();
}
