//! The tree of a build as one file.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// How hard it is packed: the link is seldom slower than this.
const LEVEL: i32 = 1;

/// Packs a tree: files, folders and links as they are, and nothing else.
pub(crate) fn pack(tree: &Path, to: &Path) -> io::Result<()> {
    let encoder = zstd::Encoder::new(File::create(to)?, LEVEL)?;
    let mut builder = tar::Builder::new(encoder);
    builder.follow_symlinks(false);
    add(&mut builder, tree, Path::new(""))?;
    builder.into_inner()?.finish()?.sync_all()
}

fn add<W: io::Write>(builder: &mut tar::Builder<W>, folder: &Path, name: &Path) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            builder.append_dir(&name, &path)?;
            add(builder, &path, &name)?;
        } else if kind.is_file() || kind.is_symlink() {
            builder.append_path_with_name(&path, &name)?;
        } else {
            tracing::debug!(path = %path.display(), "neither file nor folder nor link: not delivered");
        }
    }
    Ok(())
}
