//! Looks again at what serves whenever the advisories change, and raises an alert for what is new.
//!
//! New is what was not known when the release's build ended: what was known then has passed its gate and stands on the
//! release's page. An alert lasts until the finding is gone from what serves, by an upgrade, a withdrawn advisory, or a
//! decision to live with it; a release that brings it along again does not end it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::alert::{Alert, AlertSeverity, NewAlert};
use launchway_model::deploy::Release;
use launchway_model::scan::{FindingLevel, ScanFinding, ScanReport, ScanVerdict};
use launchway_model::{AppName, Problem, ReleaseNumber};
use launchway_store::{ScanOrigin, StoredScan};
use tokio_util::sync::CancellationToken;

use crate::alerts::{self, Which};
use crate::{Control, problem};

/// The kind of alerts.
pub(crate) const KIND: &str = "vulnerability";
/// How often the advisories' file is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Watches until it is cancelled.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut records = control.wake.records();
    let mut seen = BTreeMap::new();
    loop {
        if let Err(problem) = look(&control, &mut seen).await {
            tracing::warn!(%problem, "what serves cannot be looked at for new vulnerabilities");
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = records.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        records.mark_unchanged();
    }
}

/// What was looked at last, by app.
type Seen = BTreeMap<AppName, (ReleaseNumber, String)>;

/// Looks at each app whose release or whose advisories are others than last time.
async fn look(control: &Control, seen: &mut Seen) -> Result<(), Problem> {
    let stamp = super::stamp(control, Timestamp::now());
    let serving = control
        .store
        .serving_releases()
        .await
        .map_err(problem::store)?;
    let gone: Vec<AppName> = seen
        .keys()
        .filter(|app| !serving.iter().any(|release| release.app == **app))
        .cloned()
        .collect();
    for app in gone {
        seen.remove(&app);
    }
    for release in serving {
        let now = (release.number, stamp.clone());
        if seen.get(&release.app) == Some(&now) {
            continue;
        }
        // One that fails is tried again with the next change, not every few seconds.
        seen.insert(release.app.clone(), now);
        match report(control, &release, &stamp).await {
            Ok(Some((report, known))) => tell(control, &release, &report, &known).await?,
            Ok(None) => {}
            Err(problem) => {
                tracing::warn!(app = %release.app, %problem, "a release cannot be scanned again");
            }
        }
    }
    Ok(())
}

/// What is known of a release with these advisories, and what was known when its build ended. None where its tree is gone.
async fn report(
    control: &Control,
    release: &Release,
    stamp: &str,
) -> Result<Option<(ScanReport, BTreeSet<String>)>, Problem> {
    let stored = control
        .store
        .scan(release.build, ScanOrigin::Release)
        .await
        .map_err(problem::store)?;
    let known = stored
        .as_ref()
        .map(|scan| scan.known.clone())
        .unwrap_or_default();
    if let Some(scan) = stored.filter(|scan| scan.stamp == stamp) {
        return Ok(Some((scan.report, known.into_iter().collect())));
    }
    let tree = control.settings().home.tree(&release.app, release.build);
    if !tree.exists() {
        return Ok(None);
    }
    let report = super::scan(control, &release.app, release.build, &release.spec.scan).await?;
    let scan = StoredScan {
        report,
        stamp: stamp.to_owned(),
        known,
    };
    control
        .store
        .save_scan(release.build, ScanOrigin::Release, &scan)
        .await
        .map_err(problem::store)?;
    tracing::info!(app = %release.app, release = %release.number, found = scan.report.words(), "scanned again");
    control.wake.changed();
    Ok(Some((scan.report, scan.known.into_iter().collect())))
}

/// Raises what is new and ends what is gone.
async fn tell(
    control: &Control,
    release: &Release,
    report: &ScanReport,
    known: &BTreeSet<String>,
) -> Result<(), Problem> {
    if report.verdict == ScanVerdict::Unknown {
        // Without advisories nothing is new, and nothing is known to be gone.
        return Ok(());
    }
    let open: Vec<Alert> = alerts::list(control, Which::Open, Some(&release.app), u32::MAX)
        .await?
        .into_iter()
        .filter(|alert| alert.kind == KIND)
        .collect();
    let gate = release.spec.scan.is_gate();
    let mut lasting = BTreeSet::new();
    for finding in &report.findings {
        let counts = if gate {
            finding.fails
        } else {
            finding.counts()
        };
        let key = format!("{}/{}", release.app, finding.key());
        let before = open.iter().find(|alert| alert.key == key);
        if !counts || (before.is_none() && known.contains(&finding.key())) {
            continue;
        }
        let now = alert(release, finding, key.clone());
        // Another release with the same finding is no news for whoever was told.
        let is_told = before.is_some_and(|before| {
            before.summary == now.summary && before.details.get("hint") == now.details.get("hint")
        });
        if !is_told {
            alerts::raise(control, now).await?;
        }
        lasting.insert(key);
    }
    for alert in open.iter().filter(|alert| !lasting.contains(&alert.key)) {
        alerts::clear(control, KIND, &alert.key).await?;
    }
    Ok(())
}

fn alert(release: &Release, finding: &ScanFinding, key: String) -> NewAlert {
    let severity = match finding.level {
        FindingLevel::Critical => AlertSeverity::Critical,
        _ => AlertSeverity::Warning,
    };
    let summary = format!(
        "{} ({}) in {} {}, which {} serves",
        finding.id,
        finding.level.word(),
        finding.package,
        finding.version,
        release.app
    );
    let alert = NewAlert::new(KIND, key, severity, summary)
        .of(release.app.clone())
        .hint(match (&finding.fixed, &finding.command) {
            (Some(fixed), Some(command)) => format!("Upgrade to {fixed}: `{command}`."),
            (Some(fixed), None) => format!("Upgrade {} to {fixed}.", finding.package),
            (None, _) => "No version mends it yet; see what the advisory advises.".to_owned(),
        })
        .detail(
            "link",
            format!("/apps/{}/releases/{}", release.app, release.number.0),
        )
        .detail("place", finding.place.clone());
    if finding.url.is_empty() {
        alert
    } else {
        alert.detail("advisory", finding.url.clone())
    }
}
