//! gradle.lockfile: `group:artifact:version=configurations`.

use super::{Contents, numbered};
use crate::ecosystem::Ecosystem;
use crate::located::SyntaxError;
use crate::package::Package;

pub(super) fn read(text: &str) -> Result<Contents, SyntaxError> {
    let mut contents = Contents::default();
    for (line, text) in numbered(text) {
        let content = text.trim();
        if content.is_empty() || content.starts_with('#') || content.starts_with("empty=") {
            continue;
        }
        let coordinates = content.split_once('=');
        let parts: Vec<&str> = coordinates
            .map(|(left, _)| left.split(':').collect())
            .unwrap_or_default();
        let [group, artifact, version] = parts[..] else {
            return Err(SyntaxError::at_line(
                line,
                "expected `group:artifact:version=configurations`",
            ));
        };
        let configurations = coordinates.map_or("", |(_, right)| right);
        let dev = !configurations.is_empty()
            && configurations
                .split(',')
                .all(|name| name.trim().to_ascii_lowercase().starts_with("test"));
        contents.packages.push(
            Package::new(
                Ecosystem::Maven,
                format!("{group}:{artifact}"),
                version,
                line,
            )
            .dev(dev),
        );
    }
    Ok(contents)
}
