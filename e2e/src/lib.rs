//! Drives the real binary as a user would: an installation started by `launchway up`, repositories made with the real git,
//! requests through the real proxy, pages in a real browser.
//!
//! Nothing here knows the inside of the platform but its messages (`launchway-model`), and nothing outlives the test
//! process: each `up` is tied to it, and ends with its apps when the tests end, however they end.

pub mod binary;
pub mod chromium;
pub mod http;
pub mod installation;
pub mod load;
pub mod machines;
pub mod processes;
pub mod repository;
pub mod small_disk;
pub mod waiting;

pub use binary::launchway;
pub use installation::{Installation, Ran, Setup};
pub use load::{Load, Report};
pub use repository::Repository;
pub use small_disk::SmallDisk;
pub use waiting::{until, until_some};
