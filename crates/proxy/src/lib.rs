//! The data plane: routes, TLS, balancing, health and draining.
