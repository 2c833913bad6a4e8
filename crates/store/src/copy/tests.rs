use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::Store;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_database_that_is_being_written_is_copied_whole() {
    let folder = tempfile::tempdir().unwrap();
    for mode in ["wal", "delete"] {
        let from = folder.path().join(format!("{mode}.db"));
        let pool = pool_making(&from).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "PRAGMA journal_mode = {mode};
             CREATE TABLE pair (left INTEGER, right INTEGER, ballast BLOB);
             INSERT INTO pair VALUES (0, 0, zeroblob(400000));"
        )))
        .execute(&pool)
        .await
        .unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let writing = tokio::spawn({
            let (pool, ended) = (pool.clone(), ended.clone());
            async move {
                while !ended.load(Ordering::Relaxed) {
                    sqlx::raw_sql("UPDATE pair SET left = left + 1, right = right + 1")
                        .execute(&pool)
                        .await
                        .unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        for turn in 0..5 {
            let to = folder.path().join(format!("{mode}-copy-{turn}.db"));
            copy(&from, &to).await.unwrap();
            assert_eq!(faults(&to).await.unwrap(), Vec::<String>::new());
            assert!(is_sqlite(&to));
            let copied = pool_making(&to).await;
            let (left, right): (i64, i64) = sqlx::query_as("SELECT left, right FROM pair")
                .fetch_one(&copied)
                .await
                .unwrap();
            assert_eq!(left, right, "no transaction is there by half");
        }
        ended.store(true, Ordering::Relaxed);
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("launchway.db");
    Store::open(&path).await.unwrap().close().await;
    assert_eq!(faults(&path).await.unwrap(), Vec::<String>::new());
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in &mut bytes[4096 * 2..4096 * 3] {
        *byte ^= 0x5a;
    }
    std::fs::write(&path, bytes).unwrap();
    let found = faults(&path).await;
    assert!(
        found.as_ref().map_or(true, |faults| !faults.is_empty()),
        "{found:?}"
    );
    std::fs::write(&path, "no database").unwrap();
    assert!(!is_sqlite(&path));
    assert!(faults(&path).await.is_err());
}

#[tokio::test]
async fn a_copy_of_a_later_version_but_one_is_refused_and_the_original_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("launchway.db");
    Store::open(&path).await.unwrap().close().await;
    let trial = folder.path().join("trial.db");
    copy(&path, &trial).await.unwrap();
    let tried = try_out(&trial).await.unwrap();
    assert_eq!(tried.found, tried.becomes);
    // The next version's migration.
    let pool = pool_making(&path).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "ALTER TABLE app ADD COLUMN faked_by_the_next TEXT; PRAGMA user_version = {}",
        tried.found + 1
    )))
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    std::fs::remove_file(&trial).unwrap();
    copy(&path, &trial).await.unwrap();
    assert_eq!(try_out(&trial).await.unwrap().becomes, tried.found + 1);
    let pool = pool_making(&path).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "PRAGMA user_version = {}",
        tried.found + 2
    )))
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    std::fs::remove_file(&trial).unwrap();
    copy(&path, &trial).await.unwrap();
    assert!(matches!(
        try_out(&trial).await,
        Err(StoreError::TooNew { .. })
    ));
}

async fn pool_making(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(2)
        .connect_with(
            SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .busy_timeout(Duration::from_secs(10)),
        )
        .await
        .unwrap()
}
