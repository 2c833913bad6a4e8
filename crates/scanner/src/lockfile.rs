//! Lock files, manifests and installed environments: which there are, and how each is read.
//!
//! Every reader takes text and gives [`Contents`]; only Python's `-r` includes and Maven's parents lead to other
//! files, and those two readers take a folder that they may not leave. A reader never guesses a version: what a
//! file doesn't pin is listed as unresolved.

mod cargo;
mod composer;
mod debian;
mod golang;
mod gradle;
mod installed;
mod maven;
mod npm;
mod nuget;
mod pnpm;
mod python;
pub mod requirements;
mod ruby;
mod yarn;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::ecosystem::Ecosystem;
use crate::located::{MAX_BYTES, SyntaxError};
use crate::package::{Package, Unresolved};

/// A kind of file that names packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// pip's `requirements.txt`.
    Requirements,
    /// `poetry.lock`.
    PoetryLock,
    /// `uv.lock`.
    UvLock,
    /// `Pipfile.lock`.
    PipfileLock,
    /// `pdm.lock`.
    PdmLock,
    /// `pylock.toml` and `pylock.*.toml` (PEP 751).
    Pylock,
    /// `METADATA` in a `.dist-info` folder, `PKG-INFO` in an `.egg-info` folder.
    DistInfo,
    /// `package-lock.json` and `npm-shrinkwrap.json`.
    PackageLock,
    /// `yarn.lock`, both forms.
    YarnLock,
    /// `pnpm-lock.yaml`.
    PnpmLock,
    /// `package.json` of a package in `node_modules`.
    NodeModule,
    /// `Cargo.lock`.
    CargoLock,
    /// `go.mod`.
    GoMod,
    /// `go.sum`.
    GoSum,
    /// `pom.xml`.
    PomXml,
    /// `gradle.lockfile`.
    GradleLock,
    /// `Gemfile.lock` and `gems.locked`.
    GemfileLock,
    /// `composer.lock`.
    ComposerLock,
    /// `packages.lock.json`.
    NuGetLock,
    /// `var/lib/dpkg/status` and the files of `status.d`.
    DebianStatus,
}

/// File names that are enough to tell a kind.
const NAMES: [(&str, Kind); 19] = [
    ("requirements.txt", Kind::Requirements),
    ("poetry.lock", Kind::PoetryLock),
    ("uv.lock", Kind::UvLock),
    ("Pipfile.lock", Kind::PipfileLock),
    ("pdm.lock", Kind::PdmLock),
    ("pylock.toml", Kind::Pylock),
    ("package-lock.json", Kind::PackageLock),
    ("npm-shrinkwrap.json", Kind::PackageLock),
    ("yarn.lock", Kind::YarnLock),
    ("pnpm-lock.yaml", Kind::PnpmLock),
    ("Cargo.lock", Kind::CargoLock),
    ("go.mod", Kind::GoMod),
    ("go.sum", Kind::GoSum),
    ("pom.xml", Kind::PomXml),
    ("gradle.lockfile", Kind::GradleLock),
    ("Gemfile.lock", Kind::GemfileLock),
    ("gems.locked", Kind::GemfileLock),
    ("composer.lock", Kind::ComposerLock),
    ("packages.lock.json", Kind::NuGetLock),
];

impl Kind {
    /// Tells the kind of a file met in a tree by its name and place.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        // Most files of a tree end here, so the cheap test comes first.
        let parent = || {
            path.parent()
                .and_then(Path::file_name)
                .and_then(|name| name.to_str())
                .unwrap_or_default()
        };
        match name.as_bytes().last()? {
            b'k' | b'm' | b'l' | b'e' | b'd' | b'n' | b'j' | b't' | b'A' | b'O' | b's' => {}
            _ => return (parent() == "status.d").then_some(Self::DebianStatus),
        }
        if let Some((_, kind)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(*kind);
        }
        let lower = name.to_ascii_lowercase();
        if let Some(stem) = lower.strip_suffix(".txt") {
            let is_requirements = stem.starts_with("requirements")
                || stem.ends_with("requirements")
                || parent() == "requirements";
            return is_requirements.then_some(Self::Requirements);
        }
        match name {
            "METADATA" if parent().ends_with(".dist-info") => Some(Self::DistInfo),
            "PKG-INFO" if parent().ends_with(".egg-info") => Some(Self::DistInfo),
            "package.json" if is_in_node_modules(path) => Some(Self::NodeModule),
            "status"
                if path.ends_with("var/lib/dpkg/status") || path.ends_with("lib/dpkg/status") =>
            {
                Some(Self::DebianStatus)
            }
            _ if lower.starts_with("pylock.") && lower.ends_with(".toml") => Some(Self::Pylock),
            _ if lower.ends_with("gradle.lockfile") => Some(Self::GradleLock),
            _ if parent() == "status.d" && !lower.ends_with(".md5sums") => Some(Self::DebianStatus),
            _ => None,
        }
    }

    /// Tells the kind of a file that somebody named outright: a prefix to a known name is accepted,
    /// as in `old.Cargo.lock`.
    pub fn of_named(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        Self::of(path).or_else(|| {
            NAMES
                .iter()
                .find(|(known, _)| name.ends_with(known))
                .map(|(_, kind)| *kind)
        })
    }

    /// The ecosystem whose data is needed to say anything about a file of this kind.
    pub fn ecosystem(self) -> Ecosystem {
        match self {
            Self::Requirements
            | Self::PoetryLock
            | Self::UvLock
            | Self::PipfileLock
            | Self::PdmLock
            | Self::Pylock
            | Self::DistInfo => Ecosystem::PyPi,
            Self::PackageLock | Self::YarnLock | Self::PnpmLock | Self::NodeModule => {
                Ecosystem::Npm
            }
            Self::CargoLock => Ecosystem::CratesIo,
            Self::GoMod | Self::GoSum => Ecosystem::Go,
            Self::PomXml | Self::GradleLock => Ecosystem::Maven,
            Self::GemfileLock => Ecosystem::RubyGems,
            Self::ComposerLock => Ecosystem::Packagist,
            Self::NuGetLock => Ecosystem::NuGet,
            Self::DebianStatus => Ecosystem::Debian(String::new()),
        }
    }

    /// Whether it describes what is installed, rather than what was asked for.
    pub fn is_installed(self) -> bool {
        matches!(self, Self::DistInfo | Self::NodeModule | Self::DebianStatus)
    }

    /// The command with which a person moves a package of such a file to a version.
    pub fn upgrade_command(self, name: &str, from: &str, to: &str) -> String {
        match self {
            Self::Requirements | Self::DistInfo => format!("pip install '{name}=={to}'"),
            Self::PoetryLock => format!("poetry add '{name}>={to}'"),
            Self::UvLock => format!("uv lock --upgrade-package '{name}=={to}'"),
            Self::PipfileLock => format!("pipenv upgrade '{name}=={to}'"),
            Self::PdmLock => format!("pdm update '{name}>={to}'"),
            Self::Pylock => format!("pip lock '{name}=={to}'"),
            Self::PackageLock | Self::NodeModule => format!("npm install {name}@{to}"),
            Self::YarnLock => format!("yarn up {name}@{to}"),
            Self::PnpmLock => format!("pnpm update {name}@{to}"),
            Self::CargoLock => format!("cargo update -p {name}@{from} --precise {to}"),
            Self::GoMod | Self::GoSum => format!("go get {name}@v{}", to.trim_start_matches('v')),
            Self::PomXml => {
                format!("mvn versions:use-dep-version -Dincludes={name} -DdepVersion={to}")
            }
            Self::GradleLock => format!("gradle dependencies --update-locks {name}:{to}"),
            Self::GemfileLock => format!("bundle update {name}"),
            Self::ComposerLock => format!("composer require {name}:^{to}"),
            Self::NuGetLock => format!("dotnet add package {name} --version {to}"),
            Self::DebianStatus => format!("apt-get install --only-upgrade {name}"),
        }
    }
}

/// Whether a `package.json` is the root of a package, directly in `node_modules` or in a scope there.
fn is_in_node_modules(path: &Path) -> bool {
    let mut names = path
        .components()
        .rev()
        .skip(2)
        .filter_map(|part| part.as_os_str().to_str());
    match names.next() {
        Some("node_modules") => true,
        Some(scope) if scope.starts_with('@') => names.next() == Some("node_modules"),
        _ => false,
    }
}

/// What a file names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// Packages at versions.
    pub packages: Vec<Package>,
    /// Requirements without one version.
    pub unresolved: Vec<Unresolved>,
    /// Lines that could not be read, though the rest was.
    pub problems: Vec<SyntaxError>,
}

/// A file and what it names.
pub type FileContents = (PathBuf, Contents);

/// Reads a file of a kind, and the files that it includes. `root` is the folder that includes may not leave.
///
/// # Errors
/// Where the file as a whole can't be read.
pub fn read(kind: Kind, path: &Path, root: &Path) -> Result<Vec<FileContents>, SyntaxError> {
    if kind == Kind::Requirements {
        return Ok(requirements::read(path, root));
    }
    let text = load(path)?;
    let contents = match kind {
        Kind::PomXml => maven::read(&text, path, root)?,
        Kind::DebianStatus => debian::read(&text, &debian::release_beside(path))?,
        Kind::DistInfo => installed::read_dist_info(&text, path.parent())?,
        other => parse(other, &text)?,
    };
    Ok(vec![(path.to_owned(), contents)])
}

/// Reads the text of a file of a kind, with nothing around it: no includes, no parents, no release.
///
/// # Errors
/// Where the text isn't of that kind.
pub fn parse(kind: Kind, text: &str) -> Result<Contents, SyntaxError> {
    match kind {
        Kind::Requirements => Ok(requirements::parse(text).contents),
        Kind::PoetryLock => python::poetry(text),
        Kind::UvLock => python::uv(text),
        Kind::PipfileLock => python::pipfile(text),
        Kind::PdmLock => python::pdm(text),
        Kind::Pylock => python::pylock(text),
        Kind::DistInfo => installed::read_dist_info(text, None),
        Kind::PackageLock => npm::read(text),
        Kind::YarnLock => yarn::read(text),
        Kind::PnpmLock => pnpm::read(text),
        Kind::NodeModule => installed::read_node_module(text),
        Kind::CargoLock => cargo::read(text),
        Kind::GoMod => golang::read_mod(text).map(|module| module.contents),
        Kind::GoSum => golang::read_sum(text),
        Kind::PomXml => maven::read(text, Path::new("pom.xml"), Path::new("")),
        Kind::GradleLock => gradle::read(text),
        Kind::GemfileLock => ruby::read(text),
        Kind::ComposerLock => composer::read(text),
        Kind::NuGetLock => nuget::read(text),
        Kind::DebianStatus => debian::read(text, ""),
    }
}

/// Whether a `go.mod` names every module that the build needs (Go 1.17 and later), so that `go.sum`, which
/// also lists versions that were only looked at, needn't be read.
pub fn go_mod_is_complete(path: &Path) -> bool {
    load(path)
        .and_then(|text| golang::read_mod(&text))
        .is_ok_and(|module| module.is_complete)
}

/// Loads a text file within limits.
///
/// # Errors
/// Where it can't be read, is too large, or isn't UTF-8; the last names the line.
pub fn load(path: &Path) -> Result<String, SyntaxError> {
    let mut bytes = Vec::new();
    let whole = |message: String| SyntaxError::at_line(0, message);
    let file = File::open(path).map_err(|error| whole(format!("cannot open the file: {error}")))?;
    // A lock file that is a pipe or a device would never end.
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(whole("this is no regular file".to_owned()));
    }
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| whole(format!("cannot read the file: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(whole(format!(
            "the file is larger than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    decode(bytes)
}

fn decode(bytes: Vec<u8>) -> Result<String, SyntaxError> {
    // Windows' shells write requirements files so; pip reads them too.
    if let Some(rest) = bytes.strip_prefix(&[0xff, 0xfe]) {
        let units = rest
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        return char::decode_utf16(units)
            .collect::<Result<String, _>>()
            .map_err(|_| {
                SyntaxError::at_line(0, "the file begins as UTF-16 and isn't; save it as UTF-8")
            });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..valid];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = before
            .iter()
            .rev()
            .take_while(|byte| **byte != b'\n')
            .count()
            + 1;
        SyntaxError {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            message: "this is not UTF-8 text".to_owned(),
        }
    })
}

/// Lines with their numbers from 1.
fn numbered(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1_u32..).zip(text.lines())
}

#[cfg(test)]
mod tests;
