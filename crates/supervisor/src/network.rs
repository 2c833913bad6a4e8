//! The private networks of instances, where Launchway is root.
