//! Every reader of a lock file, a manifest or an installed package: the binary's name says which.
#![no_main]

use launchway_scanner::lockfile::{Kind, parse};
use libfuzzer_sys::fuzz_target;

const KIND: Kind = kind(env!("CARGO_BIN_NAME"));

const fn kind(name: &str) -> Kind {
    match name.as_bytes() {
        b"requirements" => Kind::Requirements,
        b"poetry_lock" => Kind::PoetryLock,
        b"uv_lock" => Kind::UvLock,
        b"pipfile_lock" => Kind::PipfileLock,
        b"pdm_lock" => Kind::PdmLock,
        b"pylock" => Kind::Pylock,
        b"dist_info" => Kind::DistInfo,
        b"package_lock" => Kind::PackageLock,
        b"yarn_lock" => Kind::YarnLock,
        b"pnpm_lock" => Kind::PnpmLock,
        b"node_module" => Kind::NodeModule,
        b"cargo_lock" => Kind::CargoLock,
        b"go_mod" => Kind::GoMod,
        b"go_sum" => Kind::GoSum,
        b"pom_xml" => Kind::PomXml,
        b"gradle_lock" => Kind::GradleLock,
        b"gemfile_lock" => Kind::GemfileLock,
        b"composer_lock" => Kind::ComposerLock,
        b"nuget_lock" => Kind::NuGetLock,
        b"debian_status" => Kind::DebianStatus,
        _ => panic!("a target must be named after a kind"),
    }
}

fuzz_target!(|text: &str| {
    if let Ok(contents) = parse(KIND, text) {
        let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX).max(1);
        for package in contents.packages {
            assert!(package.line <= lines, "a place must lie in the file");
        }
    }
});
