//! composer.lock.

use super::Contents;
use crate::ecosystem::Ecosystem;
use crate::located::{SyntaxError, Value, json};
use crate::package::{Origin, Package};

pub(super) fn read(text: &str) -> Result<Contents, SyntaxError> {
    let document = json::parse(text)?;
    document.expect_map("composer.lock")?;
    let mut contents = Contents::default();
    for (section, dev) in [("packages", false), ("packages-dev", true)] {
        let Some(list) = document
            .get(section)
            .filter(|list| list.value != Value::Null)
        else {
            continue;
        };
        for package in list.expect_list(&format!("`{section}`"))? {
            let (Some(name), Some(version)) = (package.get("name"), package.text("version")) else {
                return Err(SyntaxError::at_line(
                    package.line,
                    "a package needs `name` and `version`",
                ));
            };
            let by_path = package
                .get("dist")
                .is_some_and(|dist| dist.text("type") == Some("path"));
            // A branch has no place among versions: what it held is known to its repository alone.
            let origin = if by_path {
                Origin::Path
            } else if version.starts_with("dev-") || version.ends_with("-dev") {
                Origin::Git
            } else {
                Origin::Registry
            };
            contents.packages.push(
                Package::new(
                    Ecosystem::Packagist,
                    name.as_text().unwrap_or_default(),
                    version,
                    name.line,
                )
                .from(origin)
                .dev(dev),
            );
        }
    }
    Ok(contents)
}
