//! Credentials, and the anew-encrypting of all that is sealed.

use launchway_model::AppName;
use launchway_model::credential::{Credential, CredentialId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError, row};

/// A credential with its sealed secret.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCredential {
    /// What people see of it.
    pub credential: Credential,
    /// The secret, sealed.
    pub ciphertext: Vec<u8>,
}

/// Which sealed value it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealed {
    /// A version of an app's variables.
    Config {
        /// The app.
        app: AppName,
        /// The version.
        version: u64,
    },
    /// A credential's secret.
    Credential {
        /// The app that it is for; none for all.
        app: Option<AppName>,
        /// Its id.
        id: CredentialId,
        /// Its branches.
        branches: Vec<String>,
    },
    /// The address of a receiver of notices.
    Receiver {
        /// Its name.
        name: String,
    },
    /// The secret of an app's webhooks.
    Hook {
        /// The app.
        app: AppName,
    },
}

impl Store {
    /// Stores a credential in place of the one of the same id, app and branches, whose time of making stays.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_credential(&self, stored: &StoredCredential) -> Result<(), StoreError> {
        let credential = &stored.credential;
        sqlx::query(
            "INSERT INTO credential (app, id, branches, kind, description, public, created, changed, ciphertext)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (app, id, branches) DO UPDATE SET kind = excluded.kind, description = excluded.description,
             public = excluded.public, changed = excluded.changed, ciphertext = excluded.ciphertext",
        )
        .bind(scope(credential.app.as_ref()))
        .bind(credential.id.as_str())
        .bind(row::to_json(&credential.branches, "branches")?)
        .bind(credential.kind.as_str())
        .bind(&credential.description)
        .bind(credential.public.as_deref())
        .bind(credential.created.as_millisecond())
        .bind(credential.changed.as_millisecond())
        .bind(&stored.ciphertext)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All credentials, or those that an app may use, in the order of their ids; of one id an app's own come first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn credentials(
        &self,
        app: Option<&AppName>,
    ) -> Result<Vec<StoredCredential>, StoreError> {
        sqlx::query(
            "SELECT * FROM credential WHERE ?1 IS NULL OR app = ?1 OR app = '' ORDER BY id, app DESC, branches DESC",
        )
        .bind(app.map(AppName::as_str))
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(credential_of_row)
        .collect()
    }

    /// Removes a credential; says whether it existed.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_credential(
        &self,
        app: Option<&AppName>,
        id: &CredentialId,
        branches: &[String],
    ) -> Result<bool, StoreError> {
        let done =
            sqlx::query("DELETE FROM credential WHERE app = ?1 AND id = ?2 AND branches = ?3")
                .bind(scope(app))
                .bind(id.as_str())
                .bind(row::to_json(&branches, "branches")?)
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Everything that is sealed, with what it is.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn sealed(&self) -> Result<Vec<(Sealed, Vec<u8>)>, StoreError> {
        let mut all = Vec::new();
        for found in sqlx::query("SELECT app, version, ciphertext FROM config")
            .fetch_all(&self.pool)
            .await?
        {
            let which = Sealed::Config {
                app: row::parsed(&found, "app")?,
                version: row::id(&found, "version")?,
            };
            all.push((which, found.try_get("ciphertext")?));
        }
        for stored in self.credentials(None).await? {
            let which = Sealed::Credential {
                app: stored.credential.app,
                id: stored.credential.id,
                branches: stored.credential.branches,
            };
            all.push((which, stored.ciphertext));
        }
        for stored in self.receivers().await? {
            let name = stored.receiver.name;
            all.push((Sealed::Receiver { name }, stored.ciphertext));
        }
        for found in
            sqlx::query("SELECT app, secret FROM trigger_settings WHERE secret IS NOT NULL")
                .fetch_all(&self.pool)
                .await?
        {
            let which = Sealed::Hook {
                app: row::parsed(&found, "app")?,
            };
            all.push((which, found.try_get("secret")?));
        }
        Ok(all)
    }

    /// Replaces sealed values, all or none.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn reseal(&self, values: &[(Sealed, Vec<u8>)]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for (which, ciphertext) in values {
            let query = match which {
                Sealed::Config { app, version } => sqlx::query(
                    "UPDATE config SET ciphertext = ?1 WHERE app = ?2 AND version = ?3",
                )
                .bind(ciphertext)
                .bind(app.as_str().to_owned())
                .bind(row::number(*version)),
                Sealed::Credential { app, id, branches } => sqlx::query(
                    "UPDATE credential SET ciphertext = ?1 WHERE app = ?2 AND id = ?3 AND branches = ?4",
                )
                .bind(ciphertext)
                .bind(scope(app.as_ref()).to_owned())
                .bind(id.as_str().to_owned())
                .bind(row::to_json(branches, "branches")?),
                Sealed::Receiver { name } => {
                    sqlx::query("UPDATE receiver SET ciphertext = ?1 WHERE name = ?2")
                        .bind(ciphertext)
                        .bind(name.clone())
                }
                Sealed::Hook { app } => {
                    sqlx::query("UPDATE trigger_settings SET secret = ?1 WHERE app = ?2")
                        .bind(ciphertext)
                        .bind(app.as_str().to_owned())
                }
            };
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// The column `app`: empty for all apps, which no app's name is.
fn scope(app: Option<&AppName>) -> &str {
    app.map_or("", AppName::as_str)
}

fn credential_of_row(found: &SqliteRow) -> Result<StoredCredential, StoreError> {
    let app: &str = found.try_get("app")?;
    let kind: &str = found.try_get("kind")?;
    Ok(StoredCredential {
        credential: Credential {
            id: row::parsed(found, "id")?,
            kind: kind
                .parse()
                .map_err(|error: String| StoreError::Unreadable {
                    what: "kind of credential",
                    source: error.into(),
                })?,
            app: if app.is_empty() {
                None
            } else {
                Some(row::parsed(found, "app")?)
            },
            branches: row::json(found, "branches")?,
            description: found.try_get("description")?,
            public: found.try_get("public")?,
            created: row::time(found, "created")?,
            changed: row::time(found, "changed")?,
        },
        ciphertext: found.try_get("ciphertext")?,
    })
}
