//! A static site: a folder with an index.html, served by the proxy without any process.

use launchway_model::app::FilesSpec;

use super::super::draft::Draft;
use super::Sight;

/// Where a site's files usually are; the root comes last, since it holds more than the site.
const FOLDERS: [&str; 8] = [
    "public", "dist", "site", "_site", "www", "htdocs", "html", ".",
];

pub(super) fn detect(sight: &Sight<'_>) -> Option<Draft> {
    let folder = FOLDERS
        .into_iter()
        .find(|folder| sight.is_file(&format!("{folder}/index.html")))?;
    Some(Draft {
        sources: vec![format!(
            "{}: a static site",
            if folder == "." {
                "index.html".to_owned()
            } else {
                format!("{folder}/index.html")
            }
        )],
        files: Some(FilesSpec {
            folder: folder.to_owned(),
            fallback: None,
        }),
        stages: Some(Vec::new()),
        ..Draft::default()
    })
}
