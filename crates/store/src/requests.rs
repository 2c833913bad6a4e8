//! What running builds ask, what was begun for it, and the answers.

use jiff::Timestamp;
use launchway_model::request::{Answer, Ask, BuildRequestRecord};
use launchway_model::{BuildId, DeployId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::deploys::{self, DeployWork};
use crate::releases::{NewRelease, insert_release};
use crate::{Store, StoreError, row};

/// A request with what only control needs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// What people see of it.
    pub record: BuildRequestRecord,
    /// The id of the deploy or build that was begun for it.
    pub begun: Option<u64>,
}

impl Store {
    /// Remembers a request, where it is not known yet, and gives it as it stands.
    ///
    /// # Errors
    /// The database refuses, or the build does not exist.
    pub async fn open_request(
        &self,
        build: BuildId,
        number: u32,
        ask: &Ask,
        at: Timestamp,
    ) -> Result<StoredRequest, StoreError> {
        sqlx::query(
            "INSERT OR IGNORE INTO request (build, number, ask, asked) VALUES (?1, ?2, ?3, ?4)",
        )
        .bind(row::number(build.0))
        .bind(number)
        .bind(row::to_json(ask, "request")?)
        .bind(at.as_millisecond())
        .execute(&self.pool)
        .await?;
        let found = sqlx::query("SELECT * FROM request WHERE build = ?1 AND number = ?2")
            .bind(row::number(build.0))
            .bind(number)
            .fetch_one(&self.pool)
            .await?;
        request_of_row(&found)
    }

    /// The requests of a build, oldest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn requests(&self, build: BuildId) -> Result<Vec<StoredRequest>, StoreError> {
        sqlx::query("SELECT * FROM request WHERE build = ?1 ORDER BY number")
            .bind(row::number(build.0))
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(request_of_row)
            .collect()
    }

    /// The requests that some build waits for, oldest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn open_requests(&self) -> Result<Vec<StoredRequest>, StoreError> {
        sqlx::query(
            "SELECT request.* FROM request JOIN build ON build.id = request.build
             WHERE settled = 0 AND build.state <> 'finished' ORDER BY build, number",
        )
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(request_of_row)
        .collect()
    }

    /// Remembers the build that was queued for a request.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn begin_request(
        &self,
        build: BuildId,
        number: u32,
        begun: u64,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE request SET begun = ?3 WHERE build = ?1 AND number = ?2")
            .bind(row::number(build.0))
            .bind(number)
            .bind(row::number(begun))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Makes the release that a request asks for and queues its deploy, once.
    ///
    /// # Errors
    /// The database refuses, or the request does not exist.
    pub async fn begin_deploy_for(
        &self,
        build: BuildId,
        number: u32,
        release: &NewRelease,
        now: Timestamp,
    ) -> Result<DeployId, StoreError> {
        let mut transaction = self.write().await?;
        let begun: Option<i64> =
            sqlx::query_scalar("SELECT begun FROM request WHERE build = ?1 AND number = ?2")
                .bind(row::number(build.0))
                .bind(number)
                .fetch_one(&mut *transaction)
                .await?;
        if let Some(begun) = begun {
            return Ok(DeployId(row::unsigned(begun)));
        }
        let made = insert_release(&mut transaction, release, now).await?;
        let deploy = deploys::insert_deploy(
            &mut transaction,
            &release.app,
            made,
            Some(build),
            &DeployWork::Release,
            now,
        )
        .await?;
        sqlx::query("UPDATE request SET begun = ?3 WHERE build = ?1 AND number = ?2")
            .bind(row::number(build.0))
            .bind(number)
            .bind(row::number(deploy.0))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(deploy)
    }

    /// Answers a request; says whether this is the answer that counts.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn answer_request(
        &self,
        build: BuildId,
        number: u32,
        answer: &Answer,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE request SET answer = ?3 WHERE build = ?1 AND number = ?2 AND answer IS NULL AND settled = 0",
        )
        .bind(row::number(build.0))
        .bind(number)
        .bind(row::to_json(answer, "answer")?)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Remembers that a build waits for a request no more.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn settle_request(&self, build: BuildId, number: u32) -> Result<(), StoreError> {
        sqlx::query("UPDATE request SET settled = 1 WHERE build = ?1 AND number = ?2")
            .bind(row::number(build.0))
            .bind(number)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whether a release of this build was made already.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn was_released(&self, build: BuildId) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM release WHERE build = ?1)")
                .bind(row::number(build.0))
                .fetch_one(&self.pool)
                .await?,
        )
    }
}

fn request_of_row(found: &SqliteRow) -> Result<StoredRequest, StoreError> {
    let number: i64 = found.try_get("number")?;
    let begun: Option<i64> = found.try_get("begun")?;
    Ok(StoredRequest {
        record: BuildRequestRecord {
            build: BuildId(row::id(found, "build")?),
            number: u32::try_from(number).unwrap_or(0),
            ask: row::json(found, "ask")?,
            asked: row::time(found, "asked")?,
            answer: row::optional_json(found, "answer")?,
            settled: found.try_get("settled")?,
        },
        begun: begun.map(row::unsigned),
    })
}
