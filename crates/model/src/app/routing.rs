//! Which requests of an app go to which of its processes or folders.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AppSpec, BTreeSet, FilesSpec};
use crate::names::ProcessType;
use crate::route::Rules;

/// Where requests of some hosts and paths go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteSpec {
    /// Hosts of its own; all hosts of the app where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The path prefix, by whole segments; `/` is every path.
    pub path: String,
    /// Whether the prefix is taken off before the request goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip_prefix: bool,
    /// What answers.
    pub to: RouteTo,
    /// Rules in place of the app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub rules: Option<Rules>,
}

/// What answers a route's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum RouteTo {
    /// The instances of a process type.
    Process {
        /// Which.
        process: ProcessType,
    },
    /// Files of the tree, served by the proxy.
    Files(FilesSpec),
}

/// Which of `example.org` and `www.example.org` is sent to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Www {
    /// `www.example.org` is sent to `example.org`.
    Remove,
    /// `example.org` is sent to `www.example.org`.
    Add,
}

impl AppSpec {
    /// Whether instances of a process type take requests.
    pub fn takes_requests(&self, process: &ProcessType) -> bool {
        process.is_web()
            || self.processes.get(process).is_some_and(|spec| spec.http)
            || self
                .routes
                .iter()
                .any(|route| matches!(&route.to, RouteTo::Process { process: to } if to == process))
    }

    /// All routes: those that are written, and every path to `web` (or, without one, to the files) where none of them
    /// says where every path goes.
    pub fn all_routes(&self) -> Vec<RouteSpec> {
        let mut routes = self.routes.clone();
        let has_root = routes
            .iter()
            .any(|route| route.path == "/" && route.hosts.is_empty());
        let to = if self.processes.contains_key(&ProcessType::web()) {
            Some(RouteTo::Process {
                process: ProcessType::web(),
            })
        } else {
            self.files.clone().map(RouteTo::Files)
        };
        if let Some(to) = to.filter(|_| !has_root) {
            routes.push(RouteSpec {
                hosts: Vec::new(),
                path: "/".to_owned(),
                strip_prefix: false,
                to,
                rules: None,
            });
        }
        routes
    }
}

/// The process types whose address a text asks for: `${process.NAME.url}`.
pub fn references(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once("${process.") {
        rest = behind;
        if let Some((name, _)) = behind.split_once(".url}")
            && !name.contains(['$', '}', ' '])
        {
            found.insert(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::ProcessSpec;

    #[test]
    fn references_are_found_wherever_they_stand() {
        assert_eq!(
            references("a ${process.backend.url}/x ${process.api.url} ${process.oops} $X"),
            BTreeSet::from(["backend".to_owned(), "api".to_owned()])
        );
        assert!(references("${process. .url} plain").is_empty());
    }

    #[test]
    fn every_path_goes_to_web_unless_a_route_says_otherwise() {
        let mut spec = AppSpec::default();
        assert!(spec.all_routes().is_empty(), "workers alone have no route");
        spec.files = Some(FilesSpec {
            folder: "dist".to_owned(),
            fallback: None,
        });
        assert!(matches!(spec.all_routes()[0].to, RouteTo::Files(_)));
        spec.processes
            .insert(ProcessType::web(), ProcessSpec::new("run"));
        assert!(matches!(spec.all_routes()[0].to, RouteTo::Process { .. }));
        let api = RouteSpec {
            hosts: Vec::new(),
            path: "/api".to_owned(),
            strip_prefix: false,
            to: RouteTo::Process {
                process: "backend".parse().unwrap(),
            },
            rules: None,
        };
        spec.routes.push(api.clone());
        assert_eq!(spec.all_routes().len(), 2);
        assert!(spec.takes_requests(&"backend".parse().unwrap()));
        assert!(!spec.takes_requests(&"worker".parse().unwrap()));
        spec.routes.push(RouteSpec {
            path: "/".to_owned(),
            ..api
        });
        assert_eq!(spec.all_routes().len(), 2);
    }
}
