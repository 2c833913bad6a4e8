//! Writing an archive: tar in zstd, sealed or not, with the manifest at its end.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use launchway_model::Problem;
use launchway_model::home::Home;
use launchway_store::{Store, copy};
use sha2::{Digest as _, Sha256};

use super::contents::{self, Item, Kind};
use super::seal::{Passphrase, Sealing};
use super::{FORMAT, HOME, MANIFEST, Manifest, ManifestFile, What, block_on};
use crate::problem;

/// zstd's level: the default is as good as gzip's best, at the speed of a disk.
const LEVEL: i32 = 3;
/// How often a file that changes while it is read is read again.
const TRIES: u32 = 3;

/// Where the archive's bytes go.
enum Out {
    Plain(BufWriter<File>),
    Sealed(Box<Sealing<BufWriter<File>>>),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Sealed(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Sealed(out) => out.flush(),
        }
    }
}

impl Out {
    fn finish(self) -> std::io::Result<()> {
        let mut out = match self {
            Self::Plain(out) => out,
            Self::Sealed(out) => out.finish()?,
        };
        out.flush()?;
        out.get_ref().sync_all()
    }
}

/// Writes the archive of a home to a new file.
pub(super) fn write(
    home: &Home,
    archive: &Path,
    scratch: &Path,
    created: Timestamp,
    passphrase: Option<&Passphrase>,
    what: What,
) -> Result<(), Problem> {
    let failed = |error: std::io::Error| problem::file("write", archive, &error);
    // The database comes first: what it names in files was there before it was copied.
    let database = scratch.join("database");
    block_on(copy::copy(&home.database(), &database))?;
    let trees = match what.without_releases {
        true => Vec::new(),
        false => serving_trees(home, &database, scratch)?,
    };
    let items = contents::list(home, &trees)?;
    let file = {
        use std::os::unix::fs::OpenOptionsExt as _;
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(archive)
            .map_err(failed)?
    };
    let file = BufWriter::with_capacity(1 << 18, file);
    let out = match passphrase {
        Some(passphrase) => Out::Sealed(Box::new(Sealing::begin(file, passphrase)?)),
        None => Out::Plain(file),
    };
    let encoder = zstd::Encoder::new(out, LEVEL).map_err(failed)?;
    let mut writer = Writer {
        tar: tar::Builder::new(encoder),
        files: Vec::new(),
        archive,
    };
    for item in &items {
        writer.item(home, item, &database, scratch)?;
    }
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created,
        home: home.root().to_owned(),
        files: writer.files,
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Problem::internal("the manifest cannot be written").cause(error))?;
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    writer
        .tar
        .append_data(&mut header, MANIFEST, text.as_slice())
        .map_err(failed)?;
    let encoder = writer.tar.into_inner().map_err(failed)?;
    encoder.finish().and_then(Out::finish).map_err(failed)
}

/// The trees that serve, by a copy of the database.
fn serving_trees(home: &Home, database: &Path, scratch: &Path) -> Result<Vec<PathBuf>, Problem> {
    // Opening for work leaves traces in a file; the copy that goes into the archive stays as it is.
    let read = scratch.join("database-to-read");
    std::fs::copy(database, &read).map_err(|error| problem::file("copy", database, &error))?;
    let serving = block_on(async {
        let store = Store::open(&read).await?;
        let serving = store.serving_releases().await;
        store.close().await;
        serving
    })?;
    Ok(serving
        .into_iter()
        .map(|release| home.tree(&release.app, release.build))
        .collect())
}

struct Writer<'a> {
    tar: tar::Builder<zstd::Encoder<'static, Out>>,
    files: Vec<ManifestFile>,
    archive: &'a Path,
}

impl Writer<'_> {
    fn item(
        &mut self,
        home: &Home,
        item: &Item,
        database: &Path,
        scratch: &Path,
    ) -> Result<(), Problem> {
        let source = home.root().join(&item.path);
        let name = Path::new(HOME).join(&item.path);
        let failed = |error: std::io::Error| problem::file("write", self.archive, &error);
        match item.kind {
            Kind::Folder => match self.tar.append_dir(&name, &source) {
                Err(error) if source.exists() => Err(failed(error)),
                _ => Ok(()),
            },
            Kind::Link => {
                let Ok(target) = std::fs::read_link(&source) else {
                    return Ok(());
                };
                let mut header = tar::Header::new_gnu();
                if let Ok(data) = std::fs::symlink_metadata(&source) {
                    header.set_metadata(&data);
                }
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                self.tar
                    .append_link(&mut header, &name, &target)
                    .map_err(failed)
            }
            Kind::File if source == home.database() => self.file(item, &source, database, true),
            Kind::File if copy::is_sqlite(&source) => {
                let copied = scratch.join("copy-of-a-database");
                let _ = std::fs::remove_file(&copied);
                block_on(copy::copy(&source, &copied))?;
                self.file(item, &source, &copied, true)
            }
            Kind::File => self.file(item, &source, &source, false),
        }
    }

    /// Appends what `content` holds under the name and the rights of `source`.
    fn file(
        &mut self,
        item: &Item,
        source: &Path,
        content: &Path,
        sqlite: bool,
    ) -> Result<(), Problem> {
        let failed = |error: std::io::Error| problem::file("write", self.archive, &error);
        for turn in 1..=TRIES {
            let mut file = match File::open(content) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(problem::file("read", content, &error)),
            };
            let unreadable = |error: std::io::Error| problem::file("read", content, &error);
            let before = file.metadata().map_err(unreadable)?;
            let rights = std::fs::symlink_metadata(source).unwrap_or_else(|_| before.clone());
            let mut header = tar::Header::new_gnu();
            header.set_metadata(&rights);
            header.set_size(before.len());
            // A header has promised a size: a file that shrinks is filled up, and read again below.
            let mut hashing = Hashing {
                inner: (&mut file).chain(std::io::repeat(0)).take(before.len()),
                hash: Sha256::new(),
            };
            self.tar
                .append_data(&mut header, Path::new(HOME).join(&item.path), &mut hashing)
                .map_err(failed)?;
            let sha256 = hex(&hashing.hash.finalize());
            let after = file.metadata().map_err(unreadable)?;
            let steady =
                after.len() == before.len() && after.modified().ok() == before.modified().ok();
            if steady || turn == TRIES {
                // Of two entries of one name the later one counts.
                self.files.push(ManifestFile {
                    path: item.path.clone(),
                    bytes: before.len(),
                    sha256,
                    sqlite,
                });
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Hashes what passes.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}

/// In lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
