//! What scans of dependencies found, by build.

use launchway_model::scan::{ScanBrief, ScanReport};
use launchway_model::{AppName, BuildId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError, row};

/// Who asked for a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanOrigin {
    /// The build's own steps.
    Steps,
    /// The release that it became.
    Release,
}

impl ScanOrigin {
    fn word(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Release => "release",
        }
    }
}

/// A scan as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredScan {
    /// What was found, last.
    pub report: ScanReport,
    /// Which advisories it was made with.
    pub stamp: String,
    /// The keys of the findings that were known when the build ended: what is not among them is new.
    pub known: Vec<String>,
}

impl Store {
    /// Stores a scan in place of the one before. What was known when the first was stored stays.
    ///
    /// # Errors
    /// The database refuses, or the build does not exist.
    pub async fn save_scan(
        &self,
        build: BuildId,
        origin: ScanOrigin,
        scan: &StoredScan,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO scan (build, origin, stamp, known, brief, report) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (build, origin) DO UPDATE SET stamp = ?3, brief = ?5, report = ?6",
        )
        .bind(row::number(build.0))
        .bind(origin.word())
        .bind(&scan.stamp)
        .bind(row::to_json(&scan.known, "known findings")?)
        .bind(row::to_json(&scan.report.brief(build), "scan")?)
        .bind(row::to_json(&scan.report, "scan")?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A build's scan.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn scan(
        &self,
        build: BuildId,
        origin: ScanOrigin,
    ) -> Result<Option<StoredScan>, StoreError> {
        sqlx::query("SELECT * FROM scan WHERE build = ?1 AND origin = ?2")
            .bind(row::number(build.0))
            .bind(origin.word())
            .fetch_optional(&self.pool)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The scans of the builds that an app's releases came from, newest build first, in short.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn scan_briefs(
        &self,
        app: &AppName,
        limit: u32,
    ) -> Result<Vec<ScanBrief>, StoreError> {
        sqlx::query(
            "SELECT scan.brief FROM scan JOIN build ON build.id = scan.build
             WHERE build.app = ?1 AND scan.origin = 'release' ORDER BY build.id DESC LIMIT ?2",
        )
        .bind(app.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|found| row::json(found, "brief"))
        .collect()
    }
}

fn read(found: &SqliteRow) -> Result<StoredScan, StoreError> {
    Ok(StoredScan {
        report: row::json(found, "report")?,
        stamp: found.try_get("stamp")?,
        known: row::json(found, "known")?,
    })
}
