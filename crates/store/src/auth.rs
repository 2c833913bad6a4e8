//! Hashes of tokens, login codes and sessions; never the secrets themselves.

use jiff::Timestamp;
use sqlx::Row;

use crate::{Store, StoreError, row};

/// SHA-256 of a secret of 256 random bits.
pub type Hash = [u8; 32];

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// Its id.
    pub id: u64,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The hash of its secret.
    pub hash: Hash,
}

impl Store {
    /// All tokens, oldest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn tokens(&self) -> Result<Vec<StoredToken>, StoreError> {
        let rows = sqlx::query("SELECT id, name, created, hash FROM token ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                let hash: &[u8] = found.try_get("hash")?;
                Ok(StoredToken {
                    id: row::id(found, "id")?,
                    name: found.try_get("name")?,
                    created: row::time(found, "created")?,
                    hash: hash.try_into().map_err(|error| StoreError::Unreadable {
                        what: "token hash",
                        source: Box::new(error),
                    })?,
                })
            })
            .collect()
    }

    /// Stores a token and gives its id.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn add_token(
        &self,
        name: &str,
        hash: &Hash,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO token (name, hash, created) VALUES (?1, ?2, ?3) RETURNING id",
        )
        .bind(name)
        .bind(hash.as_slice())
        .bind(now.as_millisecond())
        .fetch_one(&self.pool)
        .await?;
        Ok(row::unsigned(id))
    }

    /// Removes a token; says whether it existed.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_token(&self, id: u64) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM token WHERE id = ?1")
            .bind(row::number(id))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stores a login code, and forgets those that have expired.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn add_login_code(
        &self,
        hash: &Hash,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM login_code WHERE expires <= ?1")
            .bind(now.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO login_code (hash, expires) VALUES (?1, ?2)")
            .bind(hash.as_slice())
            .bind(expires.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Spends a login code for a session in one transaction; says whether the code was valid.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn redeem(
        &self,
        code: &Hash,
        session: &Hash,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let spent = sqlx::query("DELETE FROM login_code WHERE hash = ?1 AND expires > ?2")
            .bind(code.as_slice())
            .bind(now.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        if spent.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM session WHERE expires <= ?1")
            .bind(now.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO session (hash, created, expires) VALUES (?1, ?2, ?3)")
            .bind(session.as_slice())
            .bind(now.as_millisecond())
            .bind(expires.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The hashes of all sessions that are valid at `now`.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn sessions(&self, now: Timestamp) -> Result<Vec<Hash>, StoreError> {
        let rows = sqlx::query("SELECT hash FROM session WHERE expires > ?1")
            .bind(now.as_millisecond())
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|found| {
                let hash: &[u8] = found.try_get("hash")?;
                hash.try_into().map_err(|error| StoreError::Unreadable {
                    what: "session hash",
                    source: Box::new(error),
                })
            })
            .collect()
    }

    /// Ends a session; says whether it existed.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn end_session(&self, hash: &Hash) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM session WHERE hash = ?1")
            .bind(hash.as_slice())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
