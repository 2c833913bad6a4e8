//! From launchway.toml, a Procfile or a Jenkinsfile to one plan, and the engine that runs it.
