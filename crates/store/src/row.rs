//! Between columns and the model's types.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::StoreError;

/// A count or id as SQLite keeps it. Ours are counted up from 1 and never come near the sign bit.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count or id as the model keeps it.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The column as a count or id.
pub(crate) fn id(row: &SqliteRow, column: &'static str) -> Result<u64, StoreError> {
    Ok(unsigned(row.try_get(column)?))
}

/// The column as a time.
pub(crate) fn time(row: &SqliteRow, column: &'static str) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(row.try_get(column)?).map_err(|error| unreadable(column, error))
}

/// The column parsed from its text form, such as a name.
pub(crate) fn parsed<T>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error| unreadable(column, error))
}

/// The column read from JSON.
pub(crate) fn json<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, StoreError> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

/// The column read from JSON, where it is not NULL.
pub(crate) fn optional_json<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(text).map_err(|error| unreadable(column, error)))
        .transpose()
}

/// A value as JSON text.
pub(crate) fn to_json<T: Serialize>(value: &T, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| unreadable(what, error))
}

/// The word that `serde(tag = "state")` gave a state, for its searched column.
pub(crate) fn state_word<T: Serialize>(
    value: &T,
    what: &'static str,
) -> Result<String, StoreError> {
    let value = serde_json::to_value(value).map_err(|error| unreadable(what, error))?;
    match value.get("state").and_then(|word| word.as_str()) {
        Some(word) => Ok(word.to_owned()),
        None => Err(unreadable(what, std::fmt::Error)),
    }
}

fn unreadable(
    what: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Unreadable {
        what,
        source: Box::new(source),
    }
}
