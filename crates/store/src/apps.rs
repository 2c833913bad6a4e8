//! Apps, their formation, domains and configuration.

use std::collections::BTreeMap;

use jiff::Timestamp;
use launchway_model::route::Maintenance;
use launchway_model::{AppName, DeployId, ProcessType, ReleaseNumber};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::deploys::DeployWork;
use crate::releases::{NewRelease, insert_release};
use crate::{Store, StoreError, deploys, row};

/// An app as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredApp {
    /// Its name.
    pub name: AppName,
    /// When it was made.
    pub created: Timestamp,
    /// The branch whose green builds are deployed; absent until one was deployed or pushed.
    pub branch: Option<String>,
    /// Whether a person stopped it.
    pub stopped: bool,
    /// The text of a launchway.toml kept outside the repository.
    pub description: Option<String>,
    /// The release that serves.
    pub serving: Option<ReleaseNumber>,
    /// The version of the configuration in force; 0 is the empty one.
    pub config_version: u64,
    /// How many instances of each process type are wanted, where a person said so.
    pub formation: BTreeMap<ProcessType, u32>,
    /// The host names added to it.
    pub domains: Vec<String>,
    /// While it is in maintenance.
    pub maintenance: Option<Maintenance>,
}

/// How a change of the configuration went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChanged {
    /// The new version is in force.
    Changed {
        /// Its number.
        version: u64,
        /// The release and deploy that take it into service, where one was asked for.
        deploy: Option<(ReleaseNumber, DeployId)>,
    },
    /// Another change came first; nothing was written.
    Raced,
}

impl Store {
    /// All apps, by name.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn apps(&self) -> Result<Vec<StoredApp>, StoreError> {
        self.select_apps(None).await
    }

    /// One app.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn app(&self, name: &AppName) -> Result<Option<StoredApp>, StoreError> {
        Ok(self.select_apps(Some(name)).await?.pop())
    }

    /// How many apps there are.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn app_count(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM app")
            .fetch_one(&self.pool)
            .await?;
        Ok(row::unsigned(count))
    }

    /// Makes the app where it does not exist, and says whether it did.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn ensure_app(&self, name: &AppName, now: Timestamp) -> Result<bool, StoreError> {
        let done =
            sqlx::query("INSERT INTO app (name, created) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
                .bind(name.as_str())
                .bind(now.as_millisecond())
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes an app with all its records; says whether it existed.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn delete_app(&self, name: &AppName) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        // Releases refer to builds without a cascade, so they go first.
        sqlx::query("DELETE FROM release WHERE app = ?1")
            .bind(name.as_str())
            .execute(&mut *transaction)
            .await?;
        let done = sqlx::query("DELETE FROM app WHERE name = ?1")
            .bind(name.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Sets the app's branch where it has none yet, and gives the one in force.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn adopt_branch(&self, name: &AppName, branch: &str) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar(
            "UPDATE app SET branch = coalesce(branch, ?2) WHERE name = ?1 RETURNING branch",
        )
        .bind(name.as_str())
        .bind(branch)
        .fetch_one(&self.pool)
        .await?)
    }

    /// Puts an app into maintenance or out of it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_maintenance(
        &self,
        name: &AppName,
        maintenance: Option<&Maintenance>,
    ) -> Result<(), StoreError> {
        let maintenance = maintenance
            .map(|page| row::to_json(page, "maintenance"))
            .transpose()?;
        sqlx::query("UPDATE app SET maintenance = ?2 WHERE name = ?1")
            .bind(name.as_str())
            .bind(maintenance)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Keeps or removes the description outside the repository.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_description(
        &self,
        name: &AppName,
        toml: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE app SET description = ?2 WHERE name = ?1")
            .bind(name.as_str())
            .bind(toml)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Gives a domain to an app; the answer is the app that has it now, another one where it was taken.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn add_domain(&self, name: &AppName, domain: &str) -> Result<AppName, StoreError> {
        let owner = sqlx::query(
            "INSERT INTO domain (domain, app) VALUES (?1, ?2)
             ON CONFLICT (domain) DO UPDATE SET app = app RETURNING app",
        )
        .bind(domain)
        .bind(name.as_str())
        .fetch_one(&self.pool)
        .await?;
        row::parsed(&owner, "app")
    }

    /// Takes a domain from an app; says whether it had it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_domain(&self, name: &AppName, domain: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM domain WHERE domain = ?1 AND app = ?2")
            .bind(domain)
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The encrypted variables of a version; absent for version 0.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn config(
        &self,
        name: &AppName,
        version: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT ciphertext FROM config WHERE app = ?1 AND version = ?2")
                .bind(name.as_str())
                .bind(row::number(version))
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    /// Puts version `base + 1` of the configuration in force, and queues the deploy of the release that takes it into
    /// service, where one is given, in one transaction. Nothing happens where `base` is not in force any more.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn change_config(
        &self,
        name: &AppName,
        base: u64,
        ciphertext: &[u8],
        release: Option<NewRelease>,
        now: Timestamp,
    ) -> Result<ConfigChanged, StoreError> {
        let version = base + 1;
        let mut transaction = self.write().await?;
        let done = sqlx::query(
            "UPDATE app SET config_version = ?3 WHERE name = ?1 AND config_version = ?2",
        )
        .bind(name.as_str())
        .bind(row::number(base))
        .bind(row::number(version))
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(ConfigChanged::Raced);
        }
        sqlx::query(
            "INSERT INTO config (app, version, created, ciphertext) VALUES (?1, ?2, ?3, ?4)",
        )
        .bind(name.as_str())
        .bind(row::number(version))
        .bind(now.as_millisecond())
        .bind(ciphertext)
        .execute(&mut *transaction)
        .await?;
        let deploy = match release {
            None => None,
            Some(release) => {
                let number = insert_release(&mut transaction, &release, now).await?;
                let deploy = deploys::insert_deploy(
                    &mut transaction,
                    name,
                    number,
                    None,
                    &DeployWork::Release,
                    now,
                )
                .await?;
                Some((number, deploy))
            }
        };
        transaction.commit().await?;
        Ok(ConfigChanged::Changed { version, deploy })
    }

    async fn select_apps(&self, name: Option<&AppName>) -> Result<Vec<StoredApp>, StoreError> {
        let name = name.map(AppName::as_str);
        let mut connection = self.pool.acquire().await?;
        let rows = sqlx::query(
            "SELECT name, created, branch, stopped, description, serving, config_version, maintenance FROM app
             WHERE ?1 IS NULL OR name = ?1 ORDER BY name",
        )
        .bind(name)
        .fetch_all(&mut *connection)
        .await?;
        let mut apps = rows.iter().map(app_of_row).collect::<Result<Vec<_>, _>>()?;
        let rows = sqlx::query(
            "SELECT app, process, instances FROM formation WHERE ?1 IS NULL OR app = ?1",
        )
        .bind(name)
        .fetch_all(&mut *connection)
        .await?;
        for found in &rows {
            if let Some(app) = of_name(&mut apps, found)? {
                let instances = u32::try_from(row::id(found, "instances")?).unwrap_or(u32::MAX);
                app.formation
                    .insert(row::parsed(found, "process")?, instances);
            }
        }
        let rows = sqlx::query(
            "SELECT app, domain FROM domain WHERE ?1 IS NULL OR app = ?1 ORDER BY domain",
        )
        .bind(name)
        .fetch_all(&mut *connection)
        .await?;
        for found in &rows {
            if let Some(app) = of_name(&mut apps, found)? {
                app.domains.push(found.try_get("domain")?);
            }
        }
        Ok(apps)
    }
}

/// Writes the wanted counts of an app's process types; types that are not named keep theirs.
pub(crate) async fn write_formation(
    connection: &mut SqliteConnection,
    app: &AppName,
    formation: &BTreeMap<ProcessType, u32>,
) -> Result<(), StoreError> {
    for (process, instances) in formation {
        sqlx::query(
            "INSERT INTO formation (app, process, instances) VALUES (?1, ?2, ?3)
             ON CONFLICT (app, process) DO UPDATE SET instances = excluded.instances",
        )
        .bind(app.as_str())
        .bind(process.as_str())
        .bind(i64::from(*instances))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn app_of_row(found: &SqliteRow) -> Result<StoredApp, StoreError> {
    let serving: Option<i64> = found.try_get("serving")?;
    Ok(StoredApp {
        name: row::parsed(found, "name")?,
        created: row::time(found, "created")?,
        branch: found.try_get("branch")?,
        stopped: found.try_get("stopped")?,
        description: found.try_get("description")?,
        serving: serving.map(|number| ReleaseNumber(row::unsigned(number))),
        config_version: row::id(found, "config_version")?,
        formation: BTreeMap::new(),
        domains: Vec::new(),
        maintenance: row::optional_json(found, "maintenance")?,
    })
}

/// The app of a row's column `app`, among apps in the order of their names.
fn of_name<'a>(
    apps: &'a mut [StoredApp],
    found: &SqliteRow,
) -> Result<Option<&'a mut StoredApp>, StoreError> {
    let name: &str = found.try_get("app")?;
    let place = apps.binary_search_by(|app| app.name.as_str().cmp(name));
    Ok(place.ok().map(|place| &mut apps[place]))
}
