//! Alerts: raised once while they are open, ended, and kept for a while.

use jiff::Timestamp;
use launchway_model::AppName;
use launchway_model::alert::{Alert, AlertSeverity, NewAlert};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use crate::{Counter, Store, StoreError, row};

/// How many alerts that are over are kept.
const KEPT: i64 = 1000;

/// What raising an alert did.
#[derive(Debug, Clone, PartialEq)]
pub enum Raised {
    /// It was not open before.
    New(Alert),
    /// It was open with another severity, summary or other details.
    Changed(Alert),
    /// It is open as it was.
    Same(Alert),
}

/// Which alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// Those that last.
    #[default]
    Open,
    /// Those that are over as well.
    All,
}

impl Store {
    /// Raises an alert, or changes the one of its kind and key that is open.
    ///
    /// # Errors
    /// The database refuses, or the alert's app does not exist.
    pub async fn raise_alert(
        &self,
        alert: &NewAlert,
        now: Timestamp,
    ) -> Result<Raised, StoreError> {
        let details = row::to_json(&alert.details, "alert details")?;
        let mut transaction = self.write().await?;
        let open =
            sqlx::query("SELECT * FROM alert WHERE kind = ?1 AND key = ?2 AND ended IS NULL")
                .bind(&alert.kind)
                .bind(&alert.key)
                .fetch_optional(&mut *transaction)
                .await?;
        if let Some(open) = &open {
            let open = read(open)?;
            if open.severity == alert.severity
                && open.summary == alert.summary
                && open.details == alert.details
                && open.app == alert.app
            {
                return Ok(Raised::Same(open));
            }
            let revision = next_revision(&mut transaction).await?;
            let changed = sqlx::query(
                "UPDATE alert SET app = ?2, severity = ?3, summary = ?4, details = ?5, revision = ?6
                 WHERE id = ?1 RETURNING *",
            )
            .bind(row::number(open.id))
            .bind(alert.app.as_ref().map(AppName::as_str))
            .bind(alert.severity.word())
            .bind(&alert.summary)
            .bind(&details)
            .bind(revision)
            .fetch_one(&mut *transaction)
            .await?;
            let changed = read(&changed)?;
            transaction.commit().await?;
            return Ok(Raised::Changed(changed));
        }
        let revision = next_revision(&mut transaction).await?;
        let made = sqlx::query(
            "INSERT INTO alert (app, kind, key, severity, summary, details, raised, revision)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING *",
        )
        .bind(alert.app.as_ref().map(AppName::as_str))
        .bind(&alert.kind)
        .bind(&alert.key)
        .bind(alert.severity.word())
        .bind(&alert.summary)
        .bind(&details)
        .bind(now.as_millisecond())
        .bind(revision)
        .fetch_one(&mut *transaction)
        .await?;
        let made = read(&made)?;
        sqlx::query(
            "DELETE FROM alert WHERE ended IS NOT NULL AND id IN
                 (SELECT id FROM alert WHERE ended IS NOT NULL ORDER BY revision DESC LIMIT -1 OFFSET ?1)",
        )
        .bind(KEPT)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Raised::New(made))
    }

    /// Ends the open alert of a kind and key; gives it where there was one.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn end_alert(
        &self,
        kind: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Alert>, StoreError> {
        let mut transaction = self.write().await?;
        let open: Option<i64> = sqlx::query_scalar(
            "SELECT id FROM alert WHERE kind = ?1 AND key = ?2 AND ended IS NULL",
        )
        .bind(kind)
        .bind(key)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(id) = open else {
            return Ok(None);
        };
        let revision = next_revision(&mut transaction).await?;
        let ended =
            sqlx::query("UPDATE alert SET ended = ?2, revision = ?3 WHERE id = ?1 RETURNING *")
                .bind(id)
                .bind(now.as_millisecond())
                .bind(revision)
                .fetch_one(&mut *transaction)
                .await?;
        let ended = read(&ended)?;
        transaction.commit().await?;
        Ok(Some(ended))
    }

    /// Alerts, open ones first and the newest first among each; of one app where it is given.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn alerts(
        &self,
        which: Which,
        app: Option<&AppName>,
        limit: u32,
    ) -> Result<Vec<Alert>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM alert WHERE (?1 OR ended IS NULL) AND (?2 IS NULL OR app = ?2)
             ORDER BY ended IS NOT NULL, coalesce(ended, raised) DESC, id DESC LIMIT ?3",
        )
        .bind(which == Which::All)
        .bind(app.map(AppName::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Alerts that were raised, changed or ended after a revision, in the order of these changes. One that changed twice
    /// is there once, as it is now.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn alerts_since(&self, revision: u64, limit: u32) -> Result<Vec<Alert>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM alert WHERE revision > ?1 ORDER BY revision LIMIT ?2")
                .bind(row::number(revision))
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(read).collect()
    }

    /// The revision of the last change of an alert; 0 where there was none.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn alert_revision(&self) -> Result<u64, StoreError> {
        let value: Option<i64> = sqlx::query_scalar("SELECT value FROM counter WHERE name = ?1")
            .bind(Counter::Alert.name())
            .fetch_optional(&self.pool)
            .await?;
        Ok(value.map_or(0, row::unsigned))
    }
}

/// The counter outlives the alerts that are deleted, so that a reader's number never runs ahead of it.
async fn next_revision(transaction: &mut Transaction<'static, Sqlite>) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO counter (name, value) VALUES (?1, 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
    )
    .bind(Counter::Alert.name())
    .fetch_one(&mut **transaction)
    .await?)
}

pub(crate) fn read(found: &SqliteRow) -> Result<Alert, StoreError> {
    let app: Option<&str> = found.try_get("app")?;
    let severity: &str = found.try_get("severity")?;
    let ended: Option<i64> = found.try_get("ended")?;
    Ok(Alert {
        id: row::id(found, "id")?,
        app: app.map(|_| row::parsed(found, "app")).transpose()?,
        kind: found.try_get("kind")?,
        key: found.try_get("key")?,
        // The column's check allows these two words alone.
        severity: match severity {
            "critical" => AlertSeverity::Critical,
            _ => AlertSeverity::Warning,
        },
        summary: found.try_get("summary")?,
        details: row::json(found, "details")?,
        raised_at: row::time(found, "raised")?,
        ended_at: ended.map(|_| row::time(found, "ended")).transpose()?,
        revision: row::id(found, "revision")?,
    })
}
