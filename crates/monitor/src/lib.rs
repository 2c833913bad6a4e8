//! Collectors, exposition, scraping, a time-series store, PromQL and alert rules.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod collectors;
pub mod exposition;
pub mod http;
pub mod labels;
pub mod notify;
pub mod promql;
pub mod remote;
pub mod rules;
pub mod scrape;
pub mod storage;
pub mod wire;
pub mod yaml;
