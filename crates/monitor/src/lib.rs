//! Collectors, exposition, scraping, a time-series store, PromQL and alert rules.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod labels;
pub mod promql;
pub mod storage;
