use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::*;

const FIRST: Migration = Migration {
    number: 1,
    sql: "CREATE TABLE one (value INTEGER) STRICT; INSERT INTO one VALUES (41);",
};
const SECOND: Migration = Migration {
    number: 20,
    sql: "ALTER TABLE one ADD COLUMN more TEXT; UPDATE one SET value = value + 1;",
};
/// Written at the same time as [`SECOND`] by somebody else, with a smaller number.
const BESIDE: Migration = Migration {
    number: 10,
    sql: "CREATE TABLE beside (value INTEGER) STRICT;",
};
const BROKEN: Migration = Migration {
    number: 30,
    sql: "UPDATE one SET value = 0; THIS IS NOT SQL;",
};

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
    apply(&pool, &path, &[FIRST], 2).await.unwrap();
    apply(&pool, &path, &[FIRST, SECOND], 3).await.unwrap();
    apply(&pool, &path, &[FIRST, SECOND], 3).await.unwrap();
    assert_eq!(value(&pool).await, 42);
    let copy = database(&copy_before(&path, 2)).await;
    assert_eq!(
        value(&copy).await,
        41,
        "the copy is from before the migration"
    );
}

#[tokio::test]
async fn a_database_from_before_the_table_of_migrations_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let pool = database(&path).await;
    sqlx::raw_sql(FIRST.sql).execute(&pool).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 1")
        .execute(&pool)
        .await
        .unwrap();
    apply(&pool, &path, &[FIRST, SECOND], 2).await.unwrap();
    assert_eq!(value(&pool).await, 42);
}

#[tokio::test]
async fn a_migration_with_a_smaller_number_than_the_last_one_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let pool = database(&path).await;
    apply(&pool, &path, &[FIRST, SECOND], 2).await.unwrap();
    apply(&pool, &path, &[FIRST, BESIDE, SECOND], 2)
        .await
        .unwrap();
    assert_eq!(value(&pool).await, 42, "no step is done twice");
    sqlx::raw_sql("INSERT INTO beside VALUES (1)")
        .execute(&pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failed_migration_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let pool = database(&path).await;
    apply(&pool, &path, &[FIRST], 2).await.unwrap();
    let error = apply(&pool, &path, &[FIRST, SECOND, BROKEN], 3)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Migrate { to: 30, .. }),
        "{error:?}"
    );
    assert_eq!(value(&pool).await, 41);
    assert_eq!(generation(&pool).await.unwrap(), 2);
    apply(&pool, &path, &[FIRST, SECOND], 3).await.unwrap();
    assert_eq!(value(&pool).await, 42);
}

#[tokio::test]
async fn a_database_of_the_next_version_is_used_and_a_later_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let pool = database(&path).await;
    apply(&pool, &path, &[FIRST, SECOND], 3).await.unwrap();
    apply(&pool, &path, &[FIRST], 2).await.unwrap();
    assert_eq!(generation(&pool).await.unwrap(), 3, "it stays as it is");
    // Forward again after having gone back: nothing is done twice.
    apply(&pool, &path, &[FIRST, SECOND], 3).await.unwrap();
    assert_eq!(value(&pool).await, 42);
    sqlx::raw_sql("PRAGMA user_version = 4")
        .execute(&pool)
        .await
        .unwrap();
    let error = apply(&pool, &path, &[FIRST], 2).await.unwrap_err();
    assert!(
        matches!(error, StoreError::TooNew { found: 4, known: 2 }),
        "{error:?}"
    );
}
