//! Cargo.lock, versions 1 to 4.
//!
//! A package without `source` is part of the workspace. Only the public registry's packages are matched, as
//! RustSec's advisories speak of no other.

use super::Contents;
use crate::ecosystem::Ecosystem;
use crate::located::{SyntaxError, toml};
use crate::package::{Origin, Package};

const PUBLIC: [&str; 2] = [
    "registry+https://github.com/rust-lang/crates.io-index",
    "sparse+https://index.crates.io/",
];

pub(super) fn read(text: &str) -> Result<Contents, SyntaxError> {
    let document = toml::parse(text)?;
    let mut contents = Contents::default();
    let Some(list) = document.get("package") else {
        return Ok(contents);
    };
    for table in list.expect_list("`package`")? {
        let (Some(name), Some(version)) = (table.get("name"), table.text("version")) else {
            return Err(SyntaxError::at_line(
                table.line,
                "a package needs `name` and `version`",
            ));
        };
        let origin = match table.text("source") {
            None => Origin::Path,
            Some(source) if PUBLIC.contains(&source) => Origin::Registry,
            Some(source) if source.starts_with("git+") => Origin::Git,
            Some(_) => Origin::Url,
        };
        contents.packages.push(
            Package::new(
                Ecosystem::CratesIo,
                name.as_text().unwrap_or_default(),
                version,
                name.line,
            )
            .from(origin),
        );
    }
    Ok(contents)
}
