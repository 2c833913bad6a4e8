//! .NET's packages.lock.json: per target framework, packages at resolved versions.

use super::Contents;
use crate::ecosystem::Ecosystem;
use crate::located::{SyntaxError, json};
use crate::package::Package;

pub(super) fn read(text: &str) -> Result<Contents, SyntaxError> {
    let document = json::parse(text)?;
    document.expect_map("packages.lock.json")?;
    let mut contents = Contents::default();
    let Some(frameworks) = document.get("dependencies") else {
        return Ok(contents);
    };
    for framework in frameworks.expect_map("`dependencies`")? {
        for entry in framework.node.expect_map("a target framework")? {
            // Projects of the same solution are listed beside packages, without a version.
            if entry.node.text("type") == Some("Project") {
                continue;
            }
            let Some(version) = entry.node.text("resolved") else {
                return Err(SyntaxError::at_line(
                    entry.line,
                    format!("`{}` has no `resolved` version", entry.key),
                ));
            };
            contents.packages.push(Package::new(
                Ecosystem::NuGet,
                entry.key.as_ref(),
                version,
                entry.line,
            ));
        }
    }
    Ok(contents)
}
