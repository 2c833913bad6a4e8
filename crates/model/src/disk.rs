//! What an installation keeps on its disk, by kind and app.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AppName;

/// `GET /disk`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskUsage {
    /// The size of the disk that the home is on, in bytes.
    pub total_bytes: u64,
    /// What is free on it for Launchway, in bytes.
    pub free_bytes: u64,
    /// What is held in reserve, so that records can be written though nothing is free, in bytes.
    pub reserve_bytes: u64,
    /// Each kind, the largest first.
    pub kinds: Vec<KindUsage>,
}

/// What one kind takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KindUsage {
    /// `builds`, `releases`, `logs`, `caches`, `persistent`, `repositories`, `metrics`, `database`, `backups`, `proxy`.
    pub kind: String,
    /// In bytes.
    pub bytes: u64,
    /// What it is kept within, in bytes: of each app where it is kept by app, else in all. What a rollback needs is kept
    /// beyond it. Absent where only a person removes any of it.
    pub budget_bytes: Option<u64>,
    /// By app, where it is kept by app.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub apps: BTreeMap<AppName, u64>,
}
