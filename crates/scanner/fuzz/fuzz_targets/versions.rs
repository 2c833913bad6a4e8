//! Version orders: two halves of the input compare the same both ways round, in every scheme.
#![no_main]

use launchway_scanner::ecosystem::Scheme;
use launchway_scanner::version::{canonical, compare};
use libfuzzer_sys::fuzz_target;

const SCHEMES: [Scheme; 7] =
    [Scheme::Pep440, Scheme::SemVer, Scheme::Maven, Scheme::Gem, Scheme::Composer, Scheme::NuGet, Scheme::Debian];

fuzz_target!(|text: &str| {
    let (left, right) = text.split_once('\n').unwrap_or((text, ""));
    for scheme in SCHEMES {
        assert_eq!(compare(scheme, left, right), compare(scheme, right, left).reverse());
        assert!(compare(scheme, left, left).is_eq());
        let _ = canonical(scheme, left);
    }
});
