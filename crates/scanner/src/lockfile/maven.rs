//! pom.xml: dependencies with properties, parents beside it and dependencyManagement.
//!
//! A version that stands in a remote parent or an imported bill of materials is not known here: such a dependency
//! is listed as unresolved. `gradle.lockfile` or a scan of what is installed knows more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Contents, load};
use crate::ecosystem::Ecosystem;
use crate::located::SyntaxError;
use crate::located::xml::{self, Element};
use crate::package::{Package, Unresolved};

/// How many parents are followed.
const MAX_PARENTS: usize = 20;

/// How many properties one value may lead through, which also ends circles.
const MAX_SUBSTITUTIONS: usize = 30;

/// The longest value that properties may grow to.
const MAX_VALUE_BYTES: usize = 4096;

pub(super) fn read(text: &str, path: &Path, root: &Path) -> Result<Contents, SyntaxError> {
    let project = xml::parse(text)?;
    if project.name != "project" {
        return Err(SyntaxError::at_line(
            project.line,
            format!("expected the element `project`, found `{}`", project.name),
        ));
    }
    let mut model = Model::default();
    let mut parents = vec![project];
    // The nearest definition counts, so parents are added after their children.
    while let Some(parent) = parents
        .last()
        .filter(|_| parents.len() <= MAX_PARENTS)
        .and_then(|last| last.child("parent"))
    {
        let relative = parent.text_of("relativePath").unwrap_or("../pom.xml");
        let depth = parents.len();
        let Some(found) = local_parent(path, relative, depth, root, parent, &mut model.folders)
        else {
            break;
        };
        parents.push(found);
    }
    for project in &parents {
        model.add(project);
    }
    let mut contents = Contents::default();
    let project = &parents[0];
    let profiles = project
        .child("profiles")
        .into_iter()
        .flat_map(|profiles| profiles.children_named("profile"));
    for part in std::iter::once(project).chain(profiles) {
        for dependency in part
            .child("dependencies")
            .into_iter()
            .flat_map(|list| list.children_named("dependency"))
        {
            model.dependency(dependency, &mut contents);
        }
    }
    // A parent's own dependencies are inherited.
    for parent in &parents[1..] {
        for dependency in parent
            .child("dependencies")
            .into_iter()
            .flat_map(|list| list.children_named("dependency"))
        {
            let mut inherited = dependency.clone();
            inherited.line = project.child("parent").map_or(1, |parent| parent.line);
            model.dependency(&inherited, &mut contents);
        }
    }
    Ok(contents)
}

/// Loads a parent from the tree if it is the one that is asked for and lies inside of the scanned folder.
fn local_parent(
    path: &Path,
    relative: &str,
    depth: usize,
    root: &Path,
    wanted: &Element,
    folders: &mut Vec<PathBuf>,
) -> Option<Element> {
    if relative.is_empty() || root.as_os_str().is_empty() {
        return None;
    }
    let folder = if depth == 1 {
        path.parent()?.to_owned()
    } else {
        folders.last()?.clone()
    };
    let mut target = folder.join(relative);
    if target.is_dir() {
        target.push("pom.xml");
    }
    let target = target.canonicalize().ok()?;
    if !target.starts_with(root.canonicalize().ok()?) {
        return None;
    }
    let found = load(&target).ok().and_then(|text| xml::parse(&text).ok())?;
    if found.text_of("artifactId") != wanted.text_of("artifactId") {
        return None;
    }
    folders.push(target.parent()?.to_owned());
    Some(found)
}

#[derive(Default)]
struct Model {
    properties: HashMap<String, String>,
    managed: HashMap<String, (String, Option<String>)>,
    /// The folders of parents that were found.
    folders: Vec<PathBuf>,
}

impl Model {
    fn add(&mut self, project: &Element) {
        for property in project
            .child("properties")
            .into_iter()
            .flat_map(|properties| &properties.children)
        {
            self.properties
                .entry(property.name.clone())
                .or_insert_with(|| property.text.clone());
        }
        let parent = project.child("parent");
        for name in ["groupId", "artifactId", "version"] {
            let own = project
                .text_of(name)
                .or_else(|| parent.and_then(|parent| parent.text_of(name)));
            if let Some(value) = own {
                self.properties
                    .entry(format!("project.{name}"))
                    .or_insert_with(|| value.to_owned());
                self.properties
                    .entry(format!("pom.{name}"))
                    .or_insert_with(|| value.to_owned());
            }
            if let Some(value) = parent.and_then(|parent| parent.text_of(name)) {
                self.properties
                    .entry(format!("project.parent.{name}"))
                    .or_insert_with(|| value.to_owned());
            }
        }
        let managed = project
            .child("dependencyManagement")
            .and_then(|management| management.child("dependencies"));
        for dependency in managed
            .into_iter()
            .flat_map(|list| list.children_named("dependency"))
        {
            if let (Some(name), Some(version)) =
                (self.name(dependency), dependency.text_of("version"))
            {
                let scope = dependency.text_of("scope").map(str::to_owned);
                self.managed
                    .entry(name)
                    .or_insert_with(|| (version.to_owned(), scope));
            }
        }
    }

    fn name(&self, dependency: &Element) -> Option<String> {
        let group = self.expand(dependency.text_of("groupId")?)?;
        let artifact = self.expand(dependency.text_of("artifactId")?)?;
        Some(format!("{group}:{artifact}"))
    }

    /// Replaces properties; `None` where one is not known.
    fn expand(&self, text: &str) -> Option<String> {
        let mut value = text.to_owned();
        for _ in 0..MAX_SUBSTITUTIONS {
            let Some(start) = value.find("${") else {
                return Some(value);
            };
            let end = start + value[start..].find('}')?;
            let replacement = self.properties.get(&value[start + 2..end])?;
            value = format!("{}{replacement}{}", &value[..start], &value[end + 1..]);
            if value.len() > MAX_VALUE_BYTES {
                return None;
            }
        }
        None
    }

    fn dependency(&self, dependency: &Element, contents: &mut Contents) {
        let line = dependency
            .child("version")
            .or_else(|| dependency.child("artifactId"))
            .map_or(dependency.line, |child| child.line);
        let Some(name) = self.name(dependency) else {
            contents.problems.push(SyntaxError::at_line(
                dependency.line,
                "a dependency needs `groupId` and `artifactId` with known properties",
            ));
            return;
        };
        let managed = self.managed.get(&name);
        let written = dependency
            .text_of("version")
            .or_else(|| managed.map(|(version, _)| version.as_str()));
        let scope = dependency
            .text_of("scope")
            .or_else(|| managed.and_then(|(_, scope)| scope.as_deref()));
        let open = |requirement: &str| Unresolved {
            ecosystem: Ecosystem::Maven,
            name: name.clone(),
            requirement: requirement.to_owned(),
            line,
        };
        let Some(written) = written else {
            contents.unresolved.push(open("managed elsewhere"));
            return;
        };
        let Some(version) = self.expand(written) else {
            contents.unresolved.push(open(written));
            return;
        };
        // `[1.0]` is exactly 1.0; other brackets are ranges.
        let exact = version
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .filter(|inner| !inner.contains(','));
        let version = exact.unwrap_or(&version);
        if version.is_empty()
            || version.starts_with(['[', '('])
            || matches!(version, "LATEST" | "RELEASE")
        {
            contents.unresolved.push(open(version));
            return;
        }
        contents.packages.push(
            Package::new(Ecosystem::Maven, name.clone(), version, line).dev(scope == Some("test")),
        );
    }
}
