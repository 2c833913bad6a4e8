//! End-to-end tests: the real binary, as a user would drive it. One binary, so that it is linked once.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod agents;
mod apps;
mod backups;
mod bad_input;
mod bad_start;
mod examples;
mod full_disk;
mod kills;
mod microblog;
mod page;
mod pipeline;
mod push;
mod rollouts;
mod secrets;
mod storefront;
mod up;
mod upgrade;
