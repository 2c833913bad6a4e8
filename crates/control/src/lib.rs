//! Every decision: sources, builds, releases, deploys, reconciliation, routes.
