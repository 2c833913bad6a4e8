//! Alerts of each sort: open and over, of the machine and of an app.

use launchway_model::alert::{Alert, AlertSeverity};

use super::{Samples, name};

impl Samples {
    pub fn alerts(&self) -> Vec<Alert> {
        let alert = |id, app: Option<&str>, kind: &str, severity, summary: &str, ago| Alert {
            id,
            app: app.map(name),
            kind: kind.to_owned(),
            key: id.to_string(),
            severity,
            summary: summary.to_owned(),
            details: serde_json::Map::new(),
            raised_at: self.ago(ago),
            ended_at: None,
            revision: id,
        };
        let mut disk = alert(
            1,
            None,
            "disk",
            AlertSeverity::Critical,
            "97 % of the disk are used",
            400.0,
        );
        disk.details.insert(
            "hint".to_owned(),
            "Free some space, or lower what is kept: `launchway help settings`.".into(),
        );
        disk.details
            .insert("path".to_owned(), "/var/lib/launchway".into());
        let mut hole = alert(
            2,
            Some("shop"),
            "vulnerability",
            AlertSeverity::Warning,
            "GHSA-9wx4-h78v-vm56 (medium) in requests 2.31.0, which v7 serves",
            90_000.0,
        );
        hole.details.insert(
            "hint".to_owned(),
            "Upgrade requests to 2.32.0 or later.".into(),
        );
        hole.details.insert("link".to_owned(), "/app".into());
        let mut over = alert(
            3,
            Some("blog"),
            "monitor",
            AlertSeverity::Warning,
            "p95 of blog is above 500 ms",
            500_000.0,
        );
        over.ended_at = Some(self.ago(450_000.0));
        vec![disk, hole, over]
    }
}
