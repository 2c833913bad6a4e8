//! The HTTP edge of control: API, pages, sessions, OpenAPI, git over HTTP.
