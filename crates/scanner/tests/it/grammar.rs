//! Checks XML against content models: the children of each element in order, its attributes, its text's type.
//!
//! The notation holds what the published XML schemas of two report formats say, one element a line. A child named
//! `severity` may be an element of two types in one schema; the wider one is written down.

use std::collections::HashMap;

use launchway_scanner::located::xml::{self, Element};
use regex::Regex;

struct Model {
    children: Option<Regex>,
    decimal: bool,
    attributes: Vec<(String, bool)>,
}

/// Asserts that a document follows a grammar.
#[track_caller]
pub(crate) fn check(document: &str, grammar: &str) {
    let mut models = HashMap::new();
    let names = Regex::new(r"[A-Za-z0-9-]+").unwrap();
    for line in grammar
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (name, rest) = line.split_once(':').unwrap();
        let (content, attributes) = rest.split_once('@').unwrap_or((rest, ""));
        let attributes = attributes
            .split_whitespace()
            .map(|word| (word.trim_end_matches('!').to_owned(), word.ends_with('!')))
            .collect();
        let content = content.trim();
        let children = if content.starts_with('=') {
            None
        } else {
            // Each child's name becomes `<name>` in a text that the pattern must match.
            let pattern = names.replace_all(content, "(?:<$0>)").replace(' ', "");
            Some(Regex::new(&format!("^{pattern}$")).unwrap())
        };
        models.insert(
            name.to_owned(),
            Model {
                children,
                decimal: content.contains("decimal"),
                attributes,
            },
        );
    }
    let root = xml::parse(document).unwrap();
    let first = grammar
        .lines()
        .find(|line| !line.starts_with('#'))
        .unwrap()
        .split(':')
        .next()
        .unwrap();
    assert_eq!(root.name, first);
    element(&root, &models);
}

#[track_caller]
fn element(found: &Element, models: &HashMap<String, Model>) {
    let model = models
        .get(&found.name)
        .unwrap_or_else(|| panic!("line {}: `{}` is no element", found.line, found.name));
    let children: String = found
        .children
        .iter()
        .map(|child| format!("<{}>", child.name))
        .collect();
    match &model.children {
        Some(order) => {
            assert!(
                order.is_match(&children),
                "line {}: `{}` may not hold {children}",
                found.line,
                found.name
            );
            assert_eq!(
                found.text, "",
                "line {}: `{}` may hold no text",
                found.line, found.name
            );
        }
        None => assert_eq!(
            children, "",
            "line {}: `{}` may hold no elements",
            found.line, found.name
        ),
    }
    if model.decimal {
        assert!(
            found.text.parse::<f64>().is_ok(),
            "line {}: `{}` is no number",
            found.line,
            found.text
        );
    }
    for (name, required) in &model.attributes {
        assert!(
            !required || found.attribute(name).is_some(),
            "line {}: `{}` needs `{name}`",
            found.line,
            found.name
        );
    }
    for (name, _) in found.attributes.iter().filter(|(name, _)| name != "xmlns") {
        assert!(
            model.attributes.iter().any(|(known, _)| known == name),
            "line {}: `{}` may not have `{name}`",
            found.line,
            found.name
        );
    }
    for child in &found.children {
        element(child, models);
    }
}
