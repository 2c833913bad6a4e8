//! Copies of SQLite files while others write to them, and looking whether a file is whole.
//!
//! The copy is made by SQLite's own online backup (<https://www.sqlite.org/backup.html>), which works in every journal mode,
//! keeps row numbers as they are, and holds no writer up in WAL mode. It works for any SQLite file: ours, and those that an
//! app keeps in its persistent paths.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::{StoreError, schema};

/// The first bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Pages that are copied at once; between two pieces others may write.
const PAGES: i32 = 512;
/// The pause where another process holds the file.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How often such a pause is taken before the copy is given up: twenty seconds.
const BUSY_TURNS: u32 = 1000;

/// Whether a file begins as a SQLite database does.
pub fn is_sqlite(path: &Path) -> bool {
    use std::io::Read as _;
    let mut begin = [0; MAGIC.len()];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut begin))
        .is_ok_and(|()| begin == *MAGIC)
}

/// Copies a database as it is at one moment to a new file. Nothing is migrated.
///
/// # Errors
/// The source cannot be read or stays locked, or the copy cannot be written.
pub async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = connect(from, false).await?;
    let mut target = connect(to, true).await?;
    let copied = run(&mut source, &mut target, from).await;
    source.close().await?;
    target.close().await?;
    copied
}

/// What SQLite finds wrong with a file; nothing where it is whole.
///
/// # Errors
/// It cannot be opened as a database at all.
pub async fn faults(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut connection = connect(path, false).await?;
    let lines: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// What a version of Launchway makes of an installation's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// The schema's generation in the file.
    pub found: i64,
    /// The generation after this version opened it.
    pub becomes: i64,
}

/// Opens a copy of an installation's database as this version would open the original, migrations included.
///
/// # Errors
/// This version cannot use it: it is too new, damaged, or a migration fails.
pub async fn try_out(copy: &Path) -> Result<Trial, StoreError> {
    let found = {
        let pool = pool(copy).await?;
        let found = schema::generation(&pool).await?;
        pool.close().await;
        found
    };
    let store = crate::Store::open(copy).await?;
    let becomes = schema::generation(&store.pool).await?;
    // What a start reads first.
    store.apps().await?;
    store.serving_releases().await?;
    store.close().await;
    Ok(Trial { found, becomes })
}

async fn pool(path: &Path) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(SqliteConnectOptions::new().filename(path))
        .await
        .map_err(|source| open_error(path, source))
}

async fn connect(path: &Path, make: bool) -> Result<SqliteConnection, StoreError> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(make)
        .busy_timeout(Duration::from_secs(10))
        .connect()
        .await
        .map_err(|source| open_error(path, source))
}

fn open_error(path: &Path, source: sqlx::Error) -> StoreError {
    StoreError::Open {
        path: path.to_owned(),
        source,
    }
}

async fn run(
    source: &mut SqliteConnection,
    target: &mut SqliteConnection,
    from: &Path,
) -> Result<(), StoreError> {
    let mut source = source.lock_handle().await?;
    let mut target = target.lock_handle().await?;
    let mut turns = 0;
    let mut backup =
        backup::Backup::begin(&mut source, &mut target).map_err(|code| failed(from, code))?;
    loop {
        match backup.step(PAGES) {
            backup::Step::Done => return Ok(()),
            backup::Step::More => {}
            backup::Step::Busy if turns < BUSY_TURNS => {
                turns += 1;
                // Another process holds its file; this thread is a blocking one of the caller's.
                std::thread::sleep(BUSY_PAUSE);
            }
            backup::Step::Busy => return Err(failed(from, libsqlite3_sys::SQLITE_BUSY)),
            backup::Step::Failed(code) => return Err(failed(from, code)),
        }
    }
}

fn failed(from: &Path, code: i32) -> StoreError {
    StoreError::Copy {
        path: from.to_owned(),
        code,
    }
}

/// The four functions of SQLite's online backup.
#[expect(
    unsafe_code,
    reason = "SQLite's online backup has no safe wrapper in sqlx"
)]
mod backup {
    use std::marker::PhantomData;
    use std::ptr::NonNull;

    use libsqlite3_sys as sys;
    use sqlx::sqlite::LockedSqliteHandle;

    /// What a step came to.
    pub(super) enum Step {
        Done,
        More,
        Busy,
        Failed(i32),
    }

    /// A copy that is under way. It borrows both connections' locks, so that nobody else uses or closes them meanwhile.
    pub(super) struct Backup<'c> {
        backup: NonNull<sys::sqlite3_backup>,
        _connections: PhantomData<&'c mut ()>,
    }

    impl<'c> Backup<'c> {
        pub(super) fn begin(
            source: &'c mut LockedSqliteHandle<'_>,
            target: &'c mut LockedSqliteHandle<'_>,
        ) -> Result<Self, i32> {
            let (source, target) = (source.as_raw_handle(), target.as_raw_handle());
            // SAFETY: both handles are open and locked for as long as this value lives; the names are static C strings.
            let backup = unsafe {
                sys::sqlite3_backup_init(
                    target.as_ptr(),
                    c"main".as_ptr(),
                    source.as_ptr(),
                    c"main".as_ptr(),
                )
            };
            match NonNull::new(backup) {
                Some(backup) => Ok(Self {
                    backup,
                    _connections: PhantomData,
                }),
                // SAFETY: the handle is open.
                None => Err(unsafe { sys::sqlite3_errcode(target.as_ptr()) }),
            }
        }

        pub(super) fn step(&mut self, pages: i32) -> Step {
            // SAFETY: the backup was begun and is finished by `drop` alone.
            match unsafe { sys::sqlite3_backup_step(self.backup.as_ptr(), pages) } {
                sys::SQLITE_DONE => Step::Done,
                sys::SQLITE_OK => Step::More,
                sys::SQLITE_BUSY | sys::SQLITE_LOCKED => Step::Busy,
                code => Step::Failed(code),
            }
        }
    }

    impl Drop for Backup<'_> {
        fn drop(&mut self) {
            // SAFETY: called once; the code repeats what `step` said.
            unsafe {
                sys::sqlite3_backup_finish(self.backup.as_ptr());
            }
        }
    }
}

#[cfg(test)]
mod tests;
