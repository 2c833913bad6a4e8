//! The whole suite once more without io_uring: what the other tests run by is what this machine has, and both must do the same.

use std::process::Command;

use crate::harness::DRIVER;

#[test]
fn everything_holds_by_readiness_too() {
    if std::env::var_os(DRIVER).is_some() {
        return;
    }
    let suite = std::env::current_exe().unwrap();
    let run = Command::new(suite)
        .env(DRIVER, "readiness")
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "by readiness:\n{}",
        String::from_utf8_lossy(&run.stdout)
    );
}
