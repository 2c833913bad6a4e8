//! Looking at the free room, and what is done when it runs out.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use launchway_model::alert::{AlertSeverity, NewAlert};
use launchway_model::home::Home;
use tokio_util::sync::CancellationToken;

use super::{blocking, room, sweep};
use crate::{Control, alerts, problem};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(3);
/// How many looks lie between two sweeps of the caches: ten minutes.
const SWEEP_EVERY: u32 = 200;
/// The kind of our alerts.
const KIND: &str = "disk";
/// Below this, and below a twentieth of the disk, a person is warned.
const LOW: u64 = 1 << 30;

/// How full the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fullness {
    /// There is room.
    Roomy,
    /// Somebody should look.
    Low,
    /// Nothing new can be written.
    Full,
}

/// The file that is given up when the disk is full.
pub(super) fn reserve(home: &Home) -> PathBuf {
    home.root().join("reserve")
}

/// How full a disk is by its free room, without what a reserve of this size holds.
pub(super) fn fullness(free: u64, total: u64, reserve: u64) -> Fullness {
    if free < reserve.max(1 << 20) {
        Fullness::Full
    } else if free < (total / 20).min(LOW) {
        Fullness::Low
    } else {
        Fullness::Roomy
    }
}

/// Looks until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut told = None;
    let mut looks: u32 = 0;
    let mut failed = false;
    loop {
        let looked = look(&control, &mut told).await;
        match &looked {
            Err(problem) if !failed => tracing::warn!(%problem, "the disk cannot be watched"),
            _ => {}
        }
        failed = looked.is_err();
        looks += 1;
        if looks.is_multiple_of(SWEEP_EVERY)
            && let Err(problem) = sweep(&control, control.settings().budgets.cache_bytes).await
        {
            tracing::warn!(%problem, "caches cannot be swept");
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Looks once, acts, and tells what changed since the last time that telling succeeded.
async fn look(
    control: &Control,
    told: &mut Option<Fullness>,
) -> Result<(), launchway_model::Problem> {
    let home = control.settings().home.clone();
    let wanted = control.settings().budgets.reserve_bytes;
    let (free, total, held) = blocking(move || {
        let failed = |error| problem::file("look at", home.root(), &error);
        let (free, total) = room(home.root()).map_err(failed)?;
        // A small disk is not taken up by its reserve.
        let wanted = wanted.min(total / 64);
        let held = keep_reserve(&reserve(&home), wanted, free);
        Ok((free, total, held))
    })
    .await?;
    let found = fullness(free, total, held.wanted);
    if found == Fullness::Full && *told != Some(Fullness::Full) {
        tracing::error!(free, "the disk is full; build caches are given up");
        sweep(control, 0).await?;
    }
    if *told != Some(found) {
        tell(control, found, free).await?;
        *told = Some(found);
    }
    Ok(())
}

/// What became of the reserve.
struct Held {
    wanted: u64,
}

/// Gives the reserve up where nothing else is free, and takes it again where there is room for it four times.
fn keep_reserve(path: &Path, wanted: u64, free: u64) -> Held {
    let has = std::fs::metadata(path).map_or(0, |data| data.len());
    if has > 0 && free < wanted / 2 {
        let _ = std::fs::remove_file(path);
    } else if has < wanted && free > wanted.saturating_mul(4) {
        let written = std::fs::File::create(path).and_then(|mut file| {
            // Blocks without writing them, where the file system can.
            let flags = rustix::fs::FallocateFlags::empty();
            if rustix::fs::fallocate(&file, flags, 0, wanted).is_ok() {
                return Ok(());
            }
            let piece = vec![0; 1 << 16];
            let mut left = usize::try_from(wanted).unwrap_or(0);
            while left > 0 {
                let now = left.min(piece.len());
                file.write_all(&piece[..now])?;
                left -= now;
            }
            Ok(())
        });
        if written.is_err() {
            let _ = std::fs::remove_file(path);
        }
    }
    Held { wanted }
}

async fn tell(
    control: &Control,
    found: Fullness,
    free: u64,
) -> Result<(), launchway_model::Problem> {
    let place = control.settings().home.root().display().to_string();
    let mebibytes = free >> 20;
    let alert = match found {
        Fullness::Roomy => {
            alerts::clear(control, KIND, "home").await?;
            return Ok(());
        }
        Fullness::Low => NewAlert::new(
            KIND,
            "home",
            AlertSeverity::Warning,
            format!("the disk of {place} is nearly full: {mebibytes} MiB are left"),
        ),
        Fullness::Full => NewAlert::new(
            KIND,
            "home",
            AlertSeverity::Critical,
            format!("the disk of {place} is full: what serves goes on, builds and deploys fail"),
        ),
    };
    let mut alert = alert;
    alert.details.insert(
        "hint".to_owned(),
        "See what takes it with `launchway disk`, and free some.".into(),
    );
    alerts::raise(control, alert).await?;
    Ok(())
}
