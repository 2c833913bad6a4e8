//! Agents, their leases of builds, and what a build needs of the machine that it runs on.
//!
//! What an agent last said is kept as the JSON that control made of it: this crate does not read it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use launchway_model::BuildId;
use launchway_model::agent::LeaseId;
use launchway_model::build::BuildState;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::auth::Hash;
use crate::{Store, StoreError, row};

/// An agent without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAgent {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The hash of its token.
    pub hash: Hash,
    /// When it was made.
    pub created: Timestamp,
    /// Labels that it has whatever it says itself.
    pub labels: BTreeSet<String>,
    /// Whether it is to be given nothing.
    pub drained: bool,
    /// When it last said something, as of the last time that this was written.
    pub seen: Option<Timestamp>,
    /// What it said, as JSON.
    pub report: Option<String>,
}

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredLease {
    /// Its number.
    pub id: LeaseId,
    /// Of which build.
    pub build: BuildId,
    /// Of which agent.
    pub agent: u64,
}

impl Store {
    /// All agents, by name.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn agents(&self) -> Result<Vec<StoredAgent>, StoreError> {
        sqlx::query("SELECT * FROM agent ORDER BY name")
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(agent_of_row)
            .collect()
    }

    /// Stores an agent and gives its id; none where its name is taken.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn add_agent(
        &self,
        name: &str,
        hash: &Hash,
        labels: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO agent (name, hash, created, labels) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO NOTHING RETURNING id",
        )
        .bind(name)
        .bind(hash.as_slice())
        .bind(now.as_millisecond())
        .bind(row::to_json(labels, "labels")?)
        .fetch_optional(&self.pool)
        .await?;
        Ok(id.map(row::unsigned))
    }

    /// Removes an agent, its token and its leases.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_agent(&self, id: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM agent WHERE id = ?1")
            .bind(row::number(id))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Lets an agent take builds, or not.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_drained(&self, id: u64, drained: bool) -> Result<(), StoreError> {
        sqlx::query("UPDATE agent SET drained = ?2 WHERE id = ?1")
            .bind(row::number(id))
            .bind(drained)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Remembers when an agent last said something, and what.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn agent_said(
        &self,
        id: u64,
        report: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE agent SET seen = ?2, report = ?3 WHERE id = ?1")
            .bind(row::number(id))
            .bind(now.as_millisecond())
            .bind(report)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All leases.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn leases(&self) -> Result<Vec<StoredLease>, StoreError> {
        let rows = sqlx::query("SELECT id, build, agent FROM lease")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                Ok(StoredLease {
                    id: LeaseId(row::id(found, "id")?),
                    build: BuildId(row::id(found, "build")?),
                    agent: row::id(found, "agent")?,
                })
            })
            .collect()
    }

    /// Takes a build from the queue for an agent, in one transaction with its lease; none where it does not wait any more.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn begin_build_on(
        &self,
        build: BuildId,
        agent: u64,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<LeaseId>, StoreError> {
        let state = BuildState::Running { since: now };
        let mut transaction = self.write().await?;
        let done = sqlx::query(
            "UPDATE build SET state = 'running', detail = ?2, agent = ?3 WHERE id = ?1 AND state = 'queued'",
        )
        .bind(row::number(build.0))
        .bind(row::to_json(&state, "build state")?)
        .bind(name)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        let lease: i64 = sqlx::query_scalar(
            "INSERT INTO lease (build, agent, at) VALUES (?1, ?2, ?3) RETURNING id",
        )
        .bind(row::number(build.0))
        .bind(row::number(agent))
        .bind(now.as_millisecond())
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(LeaseId(row::unsigned(lease))))
    }

    /// Ends a lease; one that is not there has ended already.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn end_lease(&self, id: LeaseId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM lease WHERE id = ?1")
            .bind(row::number(id.0))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Puts a running build back into the queue for another attempt and ends its lease, in one transaction. Says whether it
    /// ran.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn queue_again(&self, build: BuildId, reason: &str) -> Result<bool, StoreError> {
        let state = BuildState::Queued {
            reason: reason.to_owned(),
        };
        let mut transaction = self.write().await?;
        let done = sqlx::query(
            "UPDATE build SET state = 'queued', detail = ?2, agent = NULL, pid = NULL, stages = '[]', spec = NULL,
                tests = NULL, attempt = attempt + 1
             WHERE id = ?1 AND state = 'running'",
        )
        .bind(row::number(build.0))
        .bind(row::to_json(&state, "build state")?)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM lease WHERE build = ?1")
            .bind(row::number(build.0))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Which attempt of a build this is, from 1.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn attempt(&self, build: BuildId) -> Result<u32, StoreError> {
        let attempt: Option<u32> = sqlx::query_scalar("SELECT attempt FROM build WHERE id = ?1")
            .bind(row::number(build.0))
            .fetch_optional(&self.pool)
            .await?;
        Ok(attempt.unwrap_or(1))
    }

    /// What a build needs, as the JSON that control made of it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn needs(&self, build: BuildId) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT needs FROM build_needs WHERE build = ?1")
                .bind(row::number(build.0))
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    /// The needs of the newest finished builds of an app, newest first, each with its branch's request.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn needs_of(
        &self,
        app: &launchway_model::AppName,
    ) -> Result<Vec<(BuildId, String)>, StoreError> {
        let rows = sqlx::query(
            "SELECT build.id AS id, needs FROM build JOIN build_needs ON build_needs.build = build.id
             WHERE app = ?1 AND swept = 0 ORDER BY build.id DESC",
        )
        .bind(app.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|found| Ok((BuildId(row::id(found, "id")?), found.try_get("needs")?)))
            .collect()
    }

    /// Remembers what a build needs.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_needs(&self, build: BuildId, needs: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO build_needs (build, needs) VALUES (?1, ?2) ON CONFLICT (build) DO UPDATE SET needs = ?2")
            .bind(row::number(build.0))
            .bind(needs)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Says why builds wait, all at once; nothing changes for those that do not.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn explain_waits(&self, waits: &[(BuildId, String)]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for (id, reason) in waits {
            let state = BuildState::Queued {
                reason: reason.clone(),
            };
            sqlx::query("UPDATE build SET detail = ?2 WHERE id = ?1 AND state = 'queued'")
                .bind(row::number(id.0))
                .bind(row::to_json(&state, "build state")?)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn agent_of_row(found: &SqliteRow) -> Result<StoredAgent, StoreError> {
    let hash: &[u8] = found.try_get("hash")?;
    let seen: Option<i64> = found.try_get("seen")?;
    Ok(StoredAgent {
        id: row::id(found, "id")?,
        name: found.try_get("name")?,
        hash: hash.try_into().map_err(|error| StoreError::Unreadable {
            what: "agent's token hash",
            source: Box::new(error),
        })?,
        created: row::time(found, "created")?,
        labels: row::json(found, "labels")?,
        drained: found.try_get("drained")?,
        seen: seen.and_then(|seen| Timestamp::from_millisecond(seen).ok()),
        report: found.try_get("report")?,
    })
}
