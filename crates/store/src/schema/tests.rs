use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::*;

const FIRST: &str = "CREATE TABLE one (value INTEGER) STRICT; INSERT INTO one VALUES (41);";
const SECOND: &str = "ALTER TABLE one ADD COLUMN more TEXT; UPDATE one SET value = value + 1;";
const BROKEN: &str = "UPDATE one SET value = 0; THIS IS NOT SQL;";

async fn database(path: &Path) -> SqlitePool {
    SqlitePool::connect_with(
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true),
    )
    .await
    .unwrap()
}

async fn value(pool: &SqlitePool) -> i64 {
    sqlx::query_scalar("SELECT value FROM one")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn migrates_step_by_step_and_keeps_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let pool = database(&path).await;
    apply(&pool, &path, &[FIRST]).await.unwrap();
    apply(&pool, &path, &[FIRST, SECOND]).await.unwrap();
    apply(&pool, &path, &[FIRST, SECOND]).await.unwrap();
    assert_eq!(value(&pool).await, 42);
    let copy = database(&folder.path().join("a.db.schema-1")).await;
    assert_eq!(
        value(&copy).await,
        41,
        "the copy is from before the migration"
    );
}

#[tokio::test]
async fn a_failed_migration_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let pool = database(&path).await;
    apply(&pool, &path, &[FIRST]).await.unwrap();
    let error = apply(&pool, &path, &[FIRST, BROKEN]).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Migrate { to: 2, .. }),
        "{error:?}"
    );
    assert_eq!(value(&pool).await, 41);
    apply(&pool, &path, &[FIRST, SECOND]).await.unwrap();
    assert_eq!(value(&pool).await, 42);
}

#[tokio::test]
async fn a_database_of_the_next_version_is_read_and_a_later_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let pool = database(&path).await;
    apply(&pool, &path, &[FIRST, SECOND]).await.unwrap();
    apply(&pool, &path, &[FIRST]).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 3")
        .execute(&pool)
        .await
        .unwrap();
    let error = apply(&pool, &path, &[FIRST]).await.unwrap_err();
    assert!(
        matches!(error, StoreError::TooNew { found: 3, known: 1 }),
        "{error:?}"
    );
}
