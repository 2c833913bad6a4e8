use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

/// Asserts that the versions stand in strictly rising order, each against each.
fn rising(scheme: Scheme, versions: &[&str]) {
    for (left_at, left) in versions.iter().enumerate() {
        for (right_at, right) in versions.iter().enumerate() {
            assert_eq!(
                compare(scheme, left, right),
                left_at.cmp(&right_at),
                "{scheme:?}: {left} and {right}"
            );
        }
    }
}

fn equal(scheme: Scheme, versions: &[&str]) {
    for left in versions {
        for right in versions {
            assert_eq!(
                compare(scheme, left, right),
                Ordering::Equal,
                "{scheme:?}: {left} and {right}"
            );
        }
    }
}

#[test]
fn python_order_is_that_of_pep_440() {
    // The specification's own "Summary of permitted suffixes and relative ordering".
    rising(
        Scheme::Pep440,
        &[
            "1.dev0",
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0rc1.dev456",
            "1.0rc1",
            "1.0",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.0.15",
            "1.1.dev1",
            "1!0.5",
        ],
    );
    equal(Scheme::Pep440, &["1.0", "1.0.0", "v1", "1.0+local.1"]);
    rising(Scheme::Pep440, &["0.8.0-garbage!", "0.0.1.dev0"]);
}

#[test]
fn python_canonical_form_is_shared_by_equal_versions() {
    for text in ["1.0", "1", "1.0.0", "v1.0", "1.0+cpu"] {
        assert_eq!(canonical(Scheme::Pep440, text), "1");
    }
    assert_eq!(
        canonical(Scheme::Pep440, "1.0.0-ALPHA2"),
        canonical(Scheme::Pep440, "1a2")
    );
    assert_eq!(canonical(Scheme::Pep440, "0"), "0");
    assert_eq!(canonical(Scheme::Pep440, "0.0"), "0");
    assert_eq!(
        canonical(Scheme::Pep440, "2021.05.30"),
        canonical(Scheme::Pep440, "2021.5.30")
    );
}

#[test]
fn semver_order_is_that_of_the_specification() {
    // Section 11 of semver.org.
    rising(
        Scheme::SemVer,
        &[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "2.0.0",
            "2.1.0",
            "2.1.1",
        ],
    );
    equal(Scheme::SemVer, &["1.2", "v1.2.0", "1.2.0+build", "=1.2.0"]);
}

#[test]
fn go_pseudo_versions_stand_before_their_release() {
    // The three forms of go.dev/ref/mod#pseudo-versions.
    rising(
        Scheme::SemVer,
        &[
            "v0.0.0-20191109021931-daa7c04131f5",
            "v0.0.0-20200109021931-daa7c04131f5",
            "v1.2.3-pre",
            "v1.2.3-pre.0.20191109021931-daa7c04131f5",
            "v1.2.3",
            "v1.2.4-0.20191109021931-daa7c04131f5",
            "v1.2.4",
            "v2.0.0+incompatible",
        ],
    );
}

#[test]
fn nuget_has_four_parts_and_no_case() {
    rising(
        Scheme::NuGet,
        &["1.0.0-Alpha", "1.0.0-beta", "1.0.0", "1.0.0.1", "1.0.1"],
    );
    equal(Scheme::NuGet, &["1.0", "1.0.0", "1.0.0.0", "1.0.0+abc"]);
    equal(Scheme::NuGet, &["1.0.0-RC1", "1.0.0-rc1"]);
}

#[test]
fn maven_order_is_that_of_the_pom_reference() {
    // "1" < "1.1" and so on, from the version order specification's end result examples.
    rising(Scheme::Maven, &["1", "1.1"]);
    rising(Scheme::Maven, &["1-snapshot", "1", "1-sp"]);
    rising(Scheme::Maven, &["1-foo2", "1-foo10"]);
    rising(Scheme::Maven, &["1-foo", "1-1", "1.1"]);
    equal(Scheme::Maven, &["1.foo", "1-foo"]);
    equal(Scheme::Maven, &["1.ga", "1-ga", "1-0", "1.0", "1"]);
    rising(Scheme::Maven, &["1-sp", "1-ga-1"]);
    equal(Scheme::Maven, &["1-ga-1", "1-1"]);
    equal(Scheme::Maven, &["1-a1", "1-alpha-1"]);
    rising(
        Scheme::Maven,
        &[
            "1.0-alpha-1",
            "1.0-beta-1",
            "1.0-milestone-1",
            "1.0-rc1",
            "1.0-SNAPSHOT",
            "1.0",
            "1.0-sp",
            "1.0-whatever",
            "1.0.1",
        ],
    );
    rising(Scheme::Maven, &["1.0.RC2", "1.0-RC3", "1.0.1"]);
    equal(Scheme::Maven, &["1.0.0-cr1", "1-rc1", "1.0.0.RC1"]);
    rising(Scheme::Maven, &["2.9.10", "2.9.10.1", "2.10.0"]);
    rising(
        Scheme::Maven,
        &["31.1-android", "31.1-jre", "32.0.0-android"],
    );
}

#[test]
fn ruby_order_is_that_of_gem_version() {
    // From Gem::Version's documentation and tests.
    rising(
        Scheme::Gem,
        &["1.8.2.a", "1.8.2.b", "1.8.2.b.1", "1.8.2", "1.8.2.1"],
    );
    rising(Scheme::Gem, &["1.0.a.2", "1.0.b1", "1.0"]);
    equal(Scheme::Gem, &["1.2", "1.2.0", "1.2.0.0"]);
    equal(Scheme::Gem, &["1.2.b1", "1.2.b.1"]);
    rising(Scheme::Gem, &["5.2.4.rc1", "5.2.4", "5.2.4.1"]);
    rising(Scheme::Gem, &["1.0-beta", "1.0"]);
}

#[test]
fn debian_order_is_that_of_dpkg() {
    // deb-version(7): "~~", "~~a", "~", the empty part, "a".
    rising(Scheme::Debian, &["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0a"]);
    rising(
        Scheme::Debian,
        &[
            "1.2.3-1",
            "1.2.3-1+deb12u1",
            "1.2.3-1.1",
            "1.2.3-2",
            "1.2.10-1",
            "1:0.1-1",
            "2:0.1-1",
        ],
    );
    equal(Scheme::Debian, &["0:1.0-1", "1.0-1", "1.00-1"]);
    rising(Scheme::Debian, &["7.6-0", "7.6p2-4"]);
}

#[test]
fn composer_order_is_that_of_version_compare() {
    rising(
        Scheme::Composer,
        &[
            "1.0-dev",
            "1.0-alpha1",
            "1.0-alpha2",
            "1.0-beta1",
            "1.0-RC1",
            "1.0",
            "1.0-pl1",
            "1.0.1",
            "1.2",
            "1.10",
        ],
    );
    equal(Scheme::Composer, &["v1.0.0", "1.0", "1.0.0.0", "1"]);
    equal(Scheme::Composer, &["1.0-a1", "1.0.0-alpha1"]);
}

const SCHEMES: [Scheme; 7] = [
    Scheme::Pep440,
    Scheme::SemVer,
    Scheme::Maven,
    Scheme::Gem,
    Scheme::Composer,
    Scheme::NuGet,
    Scheme::Debian,
];

fn version() -> impl Strategy<Value = String> {
    "[0-9]{1,3}([.][0-9]{1,3}){0,3}([-.~+_]?(a|b|alpha|beta|rc|RC|pre|dev|post|sp|final|x|SNAPSHOT)[.-]?[0-9]{0,2}){0,2}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_order_is_total(a in version(), b in version(), c in version()) {
        for scheme in SCHEMES {
            let (ab, bc, ac) = (compare(scheme, &a, &b), compare(scheme, &b, &c), compare(scheme, &a, &c));
            prop_assert_eq!(compare(scheme, &a, &a), Ordering::Equal);
            prop_assert_eq!(ab, compare(scheme, &b, &a).reverse());
            if ab == bc || bc == Ordering::Equal {
                prop_assert_eq!(ab, ac, "{:?}: {} {} {}", scheme, a, b, c);
            }
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(a in ".{0,40}", b in ".{0,40}") {
        for scheme in SCHEMES {
            let _ = compare(scheme, &a, &b);
            let _ = canonical(scheme, &a);
        }
    }

    #[test]
    fn semver_agrees_with_the_semver_crate(
        a in "[0-9]{1,2}[.][0-9]{1,2}[.][0-9]{1,2}(-[a-c1-9]{1,3}([.][a-c1-9]{1,2}){0,2})?([+][a-z]{1,3})?",
        b in "[0-9]{1,2}[.][0-9]{1,2}[.][0-9]{1,2}(-[a-c1-9]{1,3}([.][a-c1-9]{1,2}){0,2})?([+][a-z]{1,3})?",
    ) {
        if let (Ok(left), Ok(right)) = (::semver::Version::parse(&a), ::semver::Version::parse(&b)) {
            prop_assert_eq!(compare(Scheme::SemVer, &a, &b), left.cmp_precedence(&right));
        }
    }

    #[test]
    fn canonical_python_versions_are_equal_to_what_they_stand_for(a in version()) {
        let canonical = canonical(Scheme::Pep440, &a).into_owned();
        prop_assert_eq!(compare(Scheme::Pep440, &a, &canonical), Ordering::Equal);
    }
}
