use super::*;

#[test]
fn python_names_follow_pep_503() {
    for name in [
        "Friendly-Bard",
        "FRIENDLY-BARD",
        "friendly.bard",
        "friendly_bard",
        "friendly--bard",
        "FrIeNdLy-._.-bArD",
    ] {
        assert_eq!(Ecosystem::PyPi.normalize(name), "friendly-bard");
    }
}

#[test]
fn names_survive_a_round_trip() {
    for name in [
        "PyPI",
        "npm",
        "crates.io",
        "Go",
        "Maven",
        "RubyGems",
        "Packagist",
        "NuGet",
        "Debian:12",
        "Debian",
    ] {
        assert_eq!(Ecosystem::from_osv(name).unwrap().to_string(), name);
    }
    assert_eq!(Ecosystem::from_osv("Hackage"), None);
}

#[test]
fn package_urls_follow_the_purl_types() {
    assert_eq!(
        Ecosystem::Npm.purl("@babel/core", "7.0.0"),
        "pkg:npm/%40babel/core@7.0.0"
    );
    assert_eq!(
        Ecosystem::Maven.purl("org.apache:log4j", "1.0"),
        "pkg:maven/org.apache/log4j@1.0"
    );
    assert_eq!(
        Ecosystem::PyPi.purl("Zope.Interface", "5.0+x"),
        "pkg:pypi/zope-interface@5.0%2Bx"
    );
    assert_eq!(
        Ecosystem::Go.purl("github.com/a/b", "v1.0.0"),
        "pkg:golang/github.com/a/b@v1.0.0"
    );
}
