//! The advisory index: one file, mapped into memory, that answers «what affects this package».
//!
//! ```text
//! header   64 bytes: magic, format version, file length, place, length and CRC-32 of the table, header CRC-32
//! payload  per record its summary data, per package its affected versions; each with its own CRC-32
//! table    when it was built, ecosystems, places of records, packages sorted by ecosystem and name
//! ```
//! All numbers are little-endian. Opening checks the header, the length and the table, so a half-written file is
//! found at once; a payload is checked when it is first read, so that a scan touches only the pages it needs.
//!
//! **Invariant**: an index file is never changed in place. A new one is written beside it, synced and renamed.

pub mod builder;
mod codec;
mod reader;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

pub use reader::{AffectedEntry, EcosystemData, EventKind, Index, PackageData, RecordData};

use crate::error::ScanError;

/// The first bytes of an index.
const MAGIC: [u8; 8] = *b"LWADVIDX";

/// The version of the format; a reader takes no other. Versions are stored in their order, so a change of a version
/// order in [`crate::version`] is a change of the format too.
const FORMAT: u32 = 1;

/// Bytes of the header.
const HEADER_BYTES: usize = 64;

/// The current index in a database folder.
pub const CURRENT: &str = "advisories.index";

/// The index before it, used when the current one turns out damaged.
pub const PREVIOUS: &str = "advisories.previous.index";

/// Writes an index into a folder and makes it the current one, keeping the last good one.
///
/// # Errors
/// Where the folder can't be written. The current index stays as it was then.
pub fn publish(folder: &Path, bytes: &[u8]) -> Result<PathBuf, ScanError> {
    let current = folder.join(CURRENT);
    let fresh = folder.join(format!(".{CURRENT}.{}.new", std::process::id()));
    write_synced(&fresh, bytes)?;
    if Index::open(&current).is_ok() {
        // A second name for the good index, put in place in one step; without it there is merely no fallback.
        let link = folder.join(format!(".{PREVIOUS}.{}.new", std::process::id()));
        let _ = fs::remove_file(&link);
        if fs::hard_link(&current, &link)
            .or_else(|_| fs::copy(&current, &link).map(|_| ()))
            .is_ok()
        {
            fs::rename(&link, folder.join(PREVIOUS))
                .map_err(|error| ScanError::io("keep", &current, error))?;
        }
    }
    fs::rename(&fresh, &current).map_err(|error| ScanError::io("replace", &current, error))?;
    if let Ok(folder) = File::open(folder) {
        // The rename itself becomes durable with its folder; some file systems can't sync one.
        let _ = folder.sync_all();
    }
    Ok(current)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), ScanError> {
    let mut file = File::create(path).map_err(|error| ScanError::io("create", path, error))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        ScanError::io("write", path, error)
    })
}

#[cfg(test)]
mod tests;
