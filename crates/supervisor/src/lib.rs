//! The shim that owns one app instance, and the client that starts, adopts and stops shims.
