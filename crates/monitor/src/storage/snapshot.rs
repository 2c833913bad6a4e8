//! A copy of a running store for backup: a folder that [`Store::open`] opens.

use super::head::lock;
use super::log::sync_folder;
use super::{Store, StoreError, compact};
use std::fs::File;
use std::io::Read;
use std::path::Path;

impl Store {
    /// Copies the store as it is now. Blocks are hard links where the file system allows it (they never change), the
    /// log is copied up to its last whole frame, so everything committed before the call is in the copy. The target must
    /// not exist, or be an empty folder. Appends go on meanwhile.
    ///
    /// # Errors
    /// The target cannot be written or is not empty. What was copied until then stays there.
    pub fn snapshot(&self, target: &Path) -> Result<(), StoreError> {
        let Some(folder) = &self.shared.folder else {
            return Err(StoreError::io("snapshot", Path::new("a store in memory"))(
                std::io::ErrorKind::Unsupported.into(),
            ));
        };
        std::fs::create_dir_all(target).map_err(StoreError::io("create", target))?;
        if std::fs::read_dir(target)
            .map_err(StoreError::io("list", target))?
            .next()
            .is_some()
        {
            return Err(StoreError::io("snapshot into", target)(
                std::io::ErrorKind::DirectoryNotEmpty.into(),
            ));
        }
        let (blocks, log) = (target.join("blocks"), target.join("log"));
        for path in [&blocks, &log] {
            std::fs::create_dir(path).map_err(StoreError::io("create", path))?;
        }
        // While this is held no block and no segment is deleted, and no block appears whose samples are in the log too.
        let _one_at_a_time = lock(&self.shared.compaction);
        for block in &self.shared.block_set().blocks {
            let Some(name) = block.path.file_name() else {
                continue;
            };
            let to = blocks.join(name);
            if std::fs::hard_link(&block.path, &to).is_err() {
                std::fs::copy(&block.path, &to)
                    .map_err(StoreError::io("copy the block to", &to))?;
            }
        }
        let extent = lock(&self.shared.log)
            .as_ref()
            .map(super::log::Log::extent)
            .unwrap_or_default();
        for (path, length) in extent {
            let Some(name) = path.file_name() else {
                continue;
            };
            copy_start(&path, &log.join(name), length)?;
        }
        compact::write_metadata(&self.shared)?;
        let metadata = folder.join("metadata.json");
        if metadata.exists() {
            let to = target.join("metadata.json");
            std::fs::copy(&metadata, &to).map_err(StoreError::io("copy to", &to))?;
        }
        [&blocks, &log]
            .into_iter()
            .try_for_each(|path| sync_folder(path))?;
        sync_folder(target)
    }
}

fn copy_start(from: &Path, to: &Path, length: u64) -> Result<(), StoreError> {
    let source = File::open(from).map_err(StoreError::io("read", from))?;
    let mut target = File::create(to).map_err(StoreError::io("create", to))?;
    std::io::copy(&mut source.take(length), &mut target).map_err(StoreError::io("write", to))?;
    target.sync_all().map_err(StoreError::io("sync", to))
}
