//! Monitors in a few words, receivers of notices, silences, and notices until they are delivered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use launchway_model::AppName;
use launchway_model::alert::{Alert, AlertSeverity};
use launchway_model::notice::{Change, Monitor, Receiver, Silence};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError, row};

/// How many changes are kept.
const KEPT: i64 = 1000;

/// A receiver with its sealed address.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReceiver {
    /// What people see of it.
    pub receiver: Receiver,
    /// Its address, sealed.
    pub ciphertext: Vec<u8>,
}

/// A notice that waits for its delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredNotice {
    /// Its number.
    pub id: u64,
    /// Whom it is for.
    pub receiver: String,
    /// What it says, as JSON.
    pub body: String,
    /// When it was made.
    pub created: Timestamp,
    /// How often it was tried in vain.
    pub attempts: u64,
    /// When it is tried next.
    pub next: Timestamp,
}

impl Store {
    /// All monitors by name.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn monitors(&self) -> Result<Vec<Monitor>, StoreError> {
        let rows = sqlx::query("SELECT * FROM monitor ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                Ok(Monitor {
                    name: found.try_get("name")?,
                    app: app(found)?,
                    words: found.try_get("words")?,
                    created: row::time(found, "created")?,
                })
            })
            .collect()
    }

    /// Stores a monitor in place of one of the same name.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn set_monitor(&self, monitor: &Monitor) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO monitor (name, app, words, created) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET app = excluded.app, words = excluded.words, created = excluded.created",
        )
        .bind(&monitor.name)
        .bind(monitor.app.as_ref().map(AppName::as_str))
        .bind(&monitor.words)
        .bind(monitor.created.as_millisecond())
        .execute(&mut *transaction)
        .await?;
        change(
            &mut transaction,
            &format!("monitor {} set: {}", monitor.name, monitor.words),
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes a monitor; `false` where there is none.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_monitor(&self, name: &str) -> Result<bool, StoreError> {
        self.remove("DELETE FROM monitor WHERE name = ?1", name, "monitor")
            .await
    }

    /// All receivers by name.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn receivers(&self) -> Result<Vec<StoredReceiver>, StoreError> {
        let rows = sqlx::query("SELECT * FROM receiver ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                let least: &str = found.try_get("least")?;
                Ok(StoredReceiver {
                    receiver: Receiver {
                        name: found.try_get("name")?,
                        kind: found.try_get("kind")?,
                        // The column's check allows two words alone.
                        least: match least {
                            "critical" => AlertSeverity::Critical,
                            _ => AlertSeverity::Warning,
                        },
                        app: app(found)?,
                        created: row::time(found, "created")?,
                    },
                    ciphertext: found.try_get("ciphertext")?,
                })
            })
            .collect()
    }

    /// Stores a receiver in place of one of the same name.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn set_receiver(&self, stored: &StoredReceiver) -> Result<(), StoreError> {
        let receiver = &stored.receiver;
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO receiver (name, kind, least, app, created, ciphertext) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, least = excluded.least, app = excluded.app,
             created = excluded.created, ciphertext = excluded.ciphertext",
        )
        .bind(&receiver.name)
        .bind(&receiver.kind)
        .bind(receiver.least.word())
        .bind(receiver.app.as_ref().map(AppName::as_str))
        .bind(receiver.created.as_millisecond())
        .bind(&stored.ciphertext)
        .execute(&mut *transaction)
        .await?;
        change(
            &mut transaction,
            &format!("receiver {} set ({})", receiver.name, receiver.kind),
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes a receiver with the notices that wait for it; `false` where there is none.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_receiver(&self, name: &str) -> Result<bool, StoreError> {
        self.remove("DELETE FROM receiver WHERE name = ?1", name, "receiver")
            .await
    }

    /// Silences that are not over at `now`.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, StoreError> {
        let rows = sqlx::query("SELECT * FROM silence WHERE ends > ?1 ORDER BY id")
            .bind(now.as_millisecond())
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                Ok(Silence {
                    id: row::id(found, "id")?,
                    matchers: row::json(found, "matchers")?,
                    starts: row::time(found, "starts")?,
                    ends: row::time(found, "ends")?,
                    comment: found.try_get("comment")?,
                })
            })
            .collect()
    }

    /// Stores a silence; its number is given by the database.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn add_silence(&self, silence: &Silence) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO silence (matchers, starts, ends, comment) VALUES (?1, ?2, ?3, ?4) RETURNING id",
        )
        .bind(row::to_json(&silence.matchers, "matchers")?)
        .bind(silence.starts.as_millisecond())
        .bind(silence.ends.as_millisecond())
        .bind(&silence.comment)
        .fetch_one(&mut *transaction)
        .await?;
        change(
            &mut transaction,
            &format!("silence {id} until {}: {}", silence.ends, silence.comment),
        )
        .await?;
        transaction.commit().await?;
        Ok(row::unsigned(id))
    }

    /// Ends a silence; `false` where there is none.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_silence(&self, id: u64) -> Result<bool, StoreError> {
        self.remove(
            "DELETE FROM silence WHERE id = CAST(?1 AS INTEGER)",
            &id.to_string(),
            "silence",
        )
        .await
    }

    /// What receivers were told last, as JSON, by receiver and group.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn notice_groups(&self) -> Result<BTreeMap<(String, String), String>, StoreError> {
        let rows = sqlx::query("SELECT receiver, key, state FROM notice_group")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                Ok((
                    (found.try_get("receiver")?, found.try_get("key")?),
                    found.try_get("state")?,
                ))
            })
            .collect()
    }

    /// Stores a notice and, in the same step, what its receiver has then been told of the group; no state ends the group.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn add_notice(
        &self,
        receiver: &str,
        group: &str,
        state: Option<&str>,
        body: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        match state {
            Some(state) => {
                sqlx::query(
                    "INSERT INTO notice_group (receiver, key, state) VALUES (?1, ?2, ?3)
                     ON CONFLICT (receiver, key) DO UPDATE SET state = excluded.state",
                )
                .bind(receiver)
                .bind(group)
                .bind(state)
                .execute(&mut *transaction)
                .await?;
            }
            None => {
                sqlx::query("DELETE FROM notice_group WHERE receiver = ?1 AND key = ?2")
                    .bind(receiver)
                    .bind(group)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        if let Some(body) = body {
            sqlx::query(
                "INSERT INTO notice (receiver, body, created, next) VALUES (?1, ?2, ?3, ?3)",
            )
            .bind(receiver)
            .bind(body)
            .bind(now.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Notices that wait, the oldest first, a hundred at most.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn notices(&self) -> Result<Vec<StoredNotice>, StoreError> {
        let rows = sqlx::query("SELECT * FROM notice ORDER BY next, id LIMIT 100")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                Ok(StoredNotice {
                    id: row::id(found, "id")?,
                    receiver: found.try_get("receiver")?,
                    body: found.try_get("body")?,
                    created: row::time(found, "created")?,
                    attempts: row::id(found, "attempts")?,
                    next: row::time(found, "next")?,
                })
            })
            .collect()
    }

    /// A notice was delivered, or given up.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_notice(&self, id: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM notice WHERE id = ?1")
            .bind(row::number(id))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A notice could not be delivered and is tried again.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn postpone_notice(
        &self,
        id: u64,
        next: Timestamp,
        error: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE notice SET attempts = attempts + 1, next = ?2, error = ?3 WHERE id = ?1",
        )
        .bind(row::number(id))
        .bind(next.as_millisecond())
        .bind(error)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Alerts by their numbers.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn alerts_by_id(&self, ids: &[u64]) -> Result<Vec<Alert>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM alert WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY id",
        )
        .bind(row::to_json(&ids, "numbers")?)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(crate::alerts::read).collect()
    }

    /// Who changed what of monitors, receivers and silences, the newest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn notice_changes(&self, limit: u32) -> Result<Vec<Change>, StoreError> {
        let rows = sqlx::query("SELECT at, what FROM notice_change ORDER BY id DESC LIMIT ?1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                Ok(Change {
                    at: row::time(found, "at")?,
                    what: found.try_get("what")?,
                })
            })
            .collect()
    }

    async fn remove(
        &self,
        statement: &'static str,
        name: &str,
        what: &str,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let gone = sqlx::query(statement)
            .bind(name)
            .execute(&mut *transaction)
            .await?
            .rows_affected()
            > 0;
        if gone {
            change(&mut transaction, &format!("{what} {name} removed")).await?;
        }
        transaction.commit().await?;
        Ok(gone)
    }
}

async fn change(
    transaction: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
    what: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO notice_change (at, what) VALUES (?1, ?2)")
        .bind(Timestamp::now().as_millisecond())
        .bind(what)
        .execute(&mut **transaction)
        .await?;
    sqlx::query("DELETE FROM notice_change WHERE id <= (SELECT max(id) FROM notice_change) - ?1")
        .bind(KEPT)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn app(found: &SqliteRow) -> Result<Option<AppName>, StoreError> {
    let name: Option<&str> = found.try_get("app")?;
    name.map(|_| row::parsed(found, "app")).transpose()
}
