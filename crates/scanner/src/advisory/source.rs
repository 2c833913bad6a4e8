//! Where advisory records come from: OSV's `all.zip`, a `.tar.gz` of a database's repository, a folder, or a
//! git checkout (a folder whose `.git` is passed over).
//!
//! Archives are read as streams and never unpacked, so a path in one can't lead anywhere; every record's size
//! and the number of entries are bounded, which disarms zip bombs.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::Format;
use crate::error::ScanError;

/// The largest record that is read; the largest real one is below 4 MiB.
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// The most bytes that one archive may unpack to.
const MAX_TOTAL_BYTES: u64 = 4 << 30;

/// The most entries that an archive or folder may have.
const MAX_ENTRIES: u64 = 4_000_000;

/// A place with records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A zip archive.
    Zip(PathBuf),
    /// A gzipped tar archive.
    TarGz(PathBuf),
    /// A folder, searched to its depths; archives in it are read as well.
    Folder(PathBuf),
}

/// One record as a source holds it.
pub struct RawRecord<'a> {
    /// Where it was found, for messages.
    pub origin: &'a str,
    /// How it is written.
    pub format: Format,
    /// Its bytes, or why they can't be had.
    pub bytes: Result<&'a [u8], String>,
}

impl Source {
    /// Tells by name and kind what a path holds.
    ///
    /// # Errors
    /// Where there is nothing, or a file that is no archive.
    pub fn detect(path: &Path) -> Result<Self, ScanError> {
        let none = |reason: &str| ScanError::NoDatabase {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let meta = fs::metadata(path).map_err(|error| none(&error.to_string()))?;
        if meta.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        Self::archive(path)
            .ok_or_else(|| none("expected a folder of OSV records, a .zip, or a .tar.gz"))
    }

    fn archive(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        if name.ends_with(".zip") {
            Some(Self::Zip(path.to_owned()))
        } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            Some(Self::TarGz(path.to_owned()))
        } else {
            None
        }
    }

    /// Hands every record to `sink`, one after the other.
    ///
    /// # Errors
    /// Where the source as a whole can't be read; a single bad entry is handed on as such.
    pub fn each(&self, sink: &mut dyn FnMut(RawRecord<'_>)) -> Result<(), ScanError> {
        match self {
            Self::Zip(path) => each_in_zip(path, sink),
            Self::TarGz(path) => each_in_tar(path, sink),
            Self::Folder(path) => each_in_folder(path, sink),
        }
    }

    /// What tells one state of the source from another without reading it: sizes, times and count of its files.
    pub(crate) fn stamp(&self) -> Result<String, ScanError> {
        let (mut files, mut bytes, mut newest) = (0_u64, 0_u64, 0_u128);
        let mut note = |meta: &fs::Metadata| {
            files += 1;
            bytes = bytes.wrapping_add(meta.len());
            let changed = meta
                .modified()
                .ok()
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            newest = newest.max(changed.map_or(0, |time| time.as_nanos()));
        };
        match self {
            Self::Zip(path) | Self::TarGz(path) => {
                note(&fs::metadata(path).map_err(|error| ScanError::io("read", path, error))?)
            }
            Self::Folder(path) => walk_folder(path, &mut |file| {
                if let Ok(meta) = fs::metadata(file) {
                    note(&meta);
                }
                Ok(())
            })?,
        }
        Ok(format!("{files}-{bytes}-{newest}"))
    }
}

fn format_of(name: &str) -> Option<Format> {
    let extension = Path::new(name).extension()?;
    if extension.eq_ignore_ascii_case("json") {
        Some(Format::Json)
    } else if extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml") {
        Some(Format::Yaml)
    } else if extension.eq_ignore_ascii_case("md") && is_rustsec(name) {
        Some(Format::RustSec)
    } else {
        None
    }
}

/// RustSec keeps advisories of packages in `crates/PACKAGE/`, and those of the toolchain, which is no package, apart.
fn is_rustsec(name: &str) -> bool {
    let mut parts = name.rsplit('/');
    let is_advisory = parts
        .next()
        .is_some_and(|file| file.starts_with("RUSTSEC-"));
    is_advisory && parts.nth(1) == Some("crates")
}

fn each_in_folder(folder: &Path, sink: &mut dyn FnMut(RawRecord<'_>)) -> Result<(), ScanError> {
    let mut buffer = Vec::new();
    walk_folder(folder, &mut |path| {
        if let Some(archive) = Source::archive(path) {
            return archive.each(sink);
        }
        let origin = path.to_string_lossy();
        let Some(format) = format_of(&origin) else {
            return Ok(());
        };
        buffer.clear();
        let read = File::open(path)
            .and_then(|file| file.take(MAX_RECORD_BYTES + 1).read_to_end(&mut buffer));
        let bytes = match read {
            Err(error) => Err(error.to_string()),
            Ok(_) if buffer.len() as u64 > MAX_RECORD_BYTES => {
                Err("the record is too large".to_owned())
            }
            Ok(_) => Ok(buffer.as_slice()),
        };
        sink(RawRecord {
            origin: &origin,
            format,
            bytes,
        });
        Ok(())
    })
}

/// Visits the files below a folder in a fixed order, without following links and without `.git`.
fn walk_folder(
    folder: &Path,
    visit: &mut dyn FnMut(&Path) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let walker = ignore::WalkBuilder::new(folder)
        .standard_filters(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for (count, entry) in walker.enumerate() {
        if count as u64 > MAX_ENTRIES {
            return Err(ScanError::archive(
                folder,
                "the folder holds too many files",
            ));
        }
        let entry =
            entry.map_err(|error| ScanError::io("read", folder, std::io::Error::other(error)))?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            visit(entry.path())?;
        }
    }
    Ok(())
}

fn each_in_zip(path: &Path, sink: &mut dyn FnMut(RawRecord<'_>)) -> Result<(), ScanError> {
    let file = File::open(path).map_err(|error| ScanError::io("open", path, error))?;
    let map = map_file(&file).map_err(|error| ScanError::io("map", path, error))?;
    let archive = rawzip::ZipArchive::from_slice(&map[..])
        .map_err(|error| ScanError::archive(path, error))?;
    let mut entries = archive.entries();
    let mut buffer = Vec::new();
    let mut total = 0_u64;
    let mut count = 0_u64;
    while let Some(entry) = entries
        .next_entry()
        .map_err(|error| ScanError::archive(path, error))?
    {
        count += 1;
        let name = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
        if count > MAX_ENTRIES || total > MAX_TOTAL_BYTES {
            return Err(ScanError::archive(path, "the archive unpacks to too much"));
        }
        let Some(format) = format_of(&name) else {
            continue;
        };
        buffer.clear();
        let unpacked = unpack(&archive, &entry, &mut buffer);
        total += buffer.len() as u64;
        sink(RawRecord {
            origin: &name,
            format,
            bytes: unpacked.map(|()| buffer.as_slice()),
        });
    }
    if count < archive.entries_hint() {
        return Err(ScanError::archive(
            path,
            "the archive's directory ends too early",
        ));
    }
    Ok(())
}

fn unpack(
    archive: &rawzip::ZipSliceArchive<&[u8]>,
    entry: &rawzip::ZipFileHeaderRecord<'_>,
    buffer: &mut Vec<u8>,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let local = archive
        .get_entry(entry.wayfinder())
        .map_err(|error| text(&error))?;
    match entry.compression_method() {
        rawzip::CompressionMethod::STORE => {
            let reader = local.verifying_reader(local.data());
            reader.take(MAX_RECORD_BYTES + 1).read_to_end(buffer)
        }
        rawzip::CompressionMethod::DEFLATE => {
            let reader = local.verifying_reader(flate2::bufread::DeflateDecoder::new(local.data()));
            reader.take(MAX_RECORD_BYTES + 1).read_to_end(buffer)
        }
        _ => return Err("its compression method is not supported".to_owned()),
    }
    .map_err(|error| text(&error))?;
    if buffer.len() as u64 > MAX_RECORD_BYTES {
        Err("the record is too large".to_owned())
    } else {
        Ok(())
    }
}

/// Reads the ustar, GNU and pax forms as far as regular files need it: 512-byte headers, size and kind.
fn each_in_tar(path: &Path, sink: &mut dyn FnMut(RawRecord<'_>)) -> Result<(), ScanError> {
    let file = File::open(path).map_err(|error| ScanError::io("open", path, error))?;
    let broken = |error: std::io::Error| ScanError::archive(path, error);
    let mut reader = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
    let mut header = [0_u8; 512];
    let mut buffer = Vec::new();
    let (mut count, mut total) = (0_u64, 0_u64);
    loop {
        reader.read_exact(&mut header).map_err(broken)?;
        if header.iter().all(|byte| *byte == 0) {
            // Reading to the end checks gzip's own checksum.
            std::io::copy(&mut reader.by_ref().take(1 << 20), &mut std::io::sink())
                .map_err(broken)?;
            return Ok(());
        }
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u64::from(*byte)
                }
            })
            .sum();
        let (Some(size), Some(checksum)) = (octal(&header[124..136]), octal(&header[148..156]))
        else {
            return Err(ScanError::archive(path, "a tar header is damaged"));
        };
        count += 1;
        total = total.saturating_add(size);
        if checksum != sum {
            return Err(ScanError::archive(path, "a tar header's checksum is wrong"));
        }
        if count > MAX_ENTRIES || total > MAX_TOTAL_BYTES {
            return Err(ScanError::archive(path, "the archive unpacks to too much"));
        }
        let name_end = header[..100]
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(100);
        let name = String::from_utf8_lossy(&header[..name_end]).into_owned();
        let is_file = matches!(header[156], 0 | b'0');
        let padded = size.div_ceil(512) * 512;
        match format_of(&name).filter(|_| is_file) {
            Some(format) if size <= MAX_RECORD_BYTES => {
                buffer.resize(padded as usize, 0);
                reader.read_exact(&mut buffer).map_err(broken)?;
                sink(RawRecord {
                    origin: &name,
                    format,
                    bytes: Ok(&buffer[..size as usize]),
                });
            }
            other => {
                let skipped =
                    std::io::copy(&mut reader.by_ref().take(padded), &mut std::io::sink())
                        .map_err(broken)?;
                if skipped < padded {
                    return Err(ScanError::archive(path, "the archive ends inside an entry"));
                }
                if let Some(format) = other {
                    sink(RawRecord {
                        origin: &name,
                        format,
                        bytes: Err("the record is too large".to_owned()),
                    });
                }
            }
        }
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field)
        .ok()?
        .trim_matches(|c: char| c == '\0' || c == ' ');
    u64::from_str_radix(text, 8).ok()
}

/// Maps a file that is replaced by renaming and never changed in place.
pub(crate) fn map_file(file: &File) -> std::io::Result<Mmap> {
    #[expect(
        unsafe_code,
        reason = "a mapping is sound while nobody changes the file; ours are only ever replaced by rename"
    )]
    // SAFETY: archives and indexes are written under another name and renamed into place.
    unsafe {
        Mmap::map(file)
    }
}

#[cfg(test)]
mod tests;
