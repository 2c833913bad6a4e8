use std::fs;

use proptest::prelude::*;

use super::*;
use crate::package::Origin;

/// `name version line origin` of every package, for short assertions.
fn listed(contents: &Contents) -> Vec<String> {
    contents
        .packages
        .iter()
        .map(|package| {
            let mut text = format!("{} {} :{}", package.name, package.version, package.line);
            if package.origin != Origin::Registry {
                text.push_str(&format!(" {:?}", package.origin));
            }
            if package.dev {
                text.push_str(" dev");
            }
            text
        })
        .collect()
}

fn read_text(kind: Kind, text: &str) -> Vec<String> {
    listed(&parse(kind, text).unwrap())
}

#[test]
fn kinds_are_told_by_name_and_place() {
    let cases = [
        ("a/requirements.txt", Some(Kind::Requirements)),
        ("requirements-dev.txt", Some(Kind::Requirements)),
        ("dev-requirements.txt", Some(Kind::Requirements)),
        ("requirements/base.txt", Some(Kind::Requirements)),
        ("docs/notes.txt", None),
        ("pylock.dev.toml", Some(Kind::Pylock)),
        ("x/package-lock.json", Some(Kind::PackageLock)),
        ("package.json", None),
        ("node_modules/a/package.json", Some(Kind::NodeModule)),
        ("node_modules/@s/a/package.json", Some(Kind::NodeModule)),
        ("node_modules/a/test/package.json", None),
        (
            "site-packages/a-1.0.dist-info/METADATA",
            Some(Kind::DistInfo),
        ),
        ("METADATA", None),
        ("image/var/lib/dpkg/status", Some(Kind::DebianStatus)),
        ("var/lib/dpkg/status.d/libc6", Some(Kind::DebianStatus)),
        ("var/lib/dpkg/status.d/libc6.md5sums", None),
        ("status", None),
        ("buildscript-gradle.lockfile", Some(Kind::GradleLock)),
        ("old.Cargo.lock", None),
    ];
    for (path, kind) in cases {
        assert_eq!(Kind::of(Path::new(path)), kind, "{path}");
    }
    assert_eq!(
        Kind::of_named(Path::new("old.Cargo.lock")),
        Some(Kind::CargoLock)
    );
    for (name, kind) in NAMES {
        assert_eq!(Kind::of(Path::new(name)), Some(kind));
    }
}

#[test]
fn requirements_are_read_with_all_that_pip_accepts() {
    let text = "\u{feff}# top\n-i https://index.example.invalid/simple\nDjango==3.2.4 # why\nrequests[security,socks] == 2.26.0 ; python_version >= '3.6'\n\
                urllib3==1.26.6 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nflask>=2,<3\nattrs\nnumpy==1.*\nodd===2013-x\n\
                pip @ https://example.invalid/pip-22.zip#sha1=aa\n-e git+https://example.invalid/x.git@v1#egg=Thing[extra]\n./wheels/foo_bar-1.2-py3-none-any.whl\n\
                --require-hashes\nzope.interface (==5.0)\n";
    let contents = parse(Kind::Requirements, text).unwrap();
    assert_eq!(
        listed(&contents),
        [
            "Django 3.2.4 :3",
            "requests 2.26.0 :4",
            "urllib3 1.26.6 :5",
            "odd 2013-x :11",
            "foo_bar 1.2 :14 Path",
            "zope.interface 5.0 :16"
        ]
    );
    let open: Vec<_> = contents
        .unresolved
        .iter()
        .map(|open| format!("{} {} :{}", open.name, open.requirement, open.line))
        .collect();
    assert_eq!(
        open,
        [
            "flask >=2,<3 :8",
            "attrs any version :9",
            "numpy ==1.* :10",
            "pip @ https://example.invalid/pip-22.zip#sha1=aa :12",
            "Thing editable :13"
        ]
    );
    assert_eq!(contents.problems, []);
}

#[test]
fn a_comment_hides_no_requirement() {
    let text = "# note \\\nflask==2.2.2\na==1 \\\n  # why \\\nb==2 -C x=y\n";
    assert_eq!(
        read_text(Kind::Requirements, text),
        ["flask 2.2.2 :2", "a 1 :3", "b 2 :5"]
    );
}

#[test]
fn wrong_requirement_lines_are_named_and_the_rest_is_read() {
    let contents = parse(
        Kind::Requirements,
        "a==1\n==2\nb=1\n--frobnicate\nc==not a version\nd[x==1\ne==2\n",
    )
    .unwrap();
    assert_eq!(listed(&contents), ["a 1 :1", "e 2 :7"]);
    assert_eq!(
        contents
            .problems
            .iter()
            .map(|problem| problem.line)
            .collect::<Vec<_>>(),
        [2, 3, 4, 5, 6]
    );
}

#[test]
fn includes_are_followed_and_circles_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(
        root.join("requirements.txt"),
        "-r sub/base.txt\n-c pins.txt\nflask\nattrs\n-r missing.txt\n-r ../../etc/passwd\n",
    )
    .unwrap();
    fs::write(root.join("sub/base.txt"), "a==1\n-r ../requirements.txt\n").unwrap();
    fs::write(root.join("pins.txt"), "Flask==2.2.2\nunused==1\n").unwrap();
    let files = requirements::read(&root.join("requirements.txt"), root);
    let main = &files
        .iter()
        .find(|(path, _)| path.ends_with("requirements.txt"))
        .unwrap()
        .1;
    assert_eq!(listed(main), ["flask 2.2.2 :3"]);
    assert_eq!(main.unresolved[0].name, "attrs");
    assert_eq!(
        main.problems
            .iter()
            .map(|problem| problem.line)
            .collect::<Vec<_>>(),
        [5, 6]
    );
    let base = &files
        .iter()
        .find(|(path, _)| path.ends_with("base.txt"))
        .unwrap()
        .1;
    assert_eq!(listed(base), ["a 1 :1"]);
    assert_eq!(base.problems[0].line, 2);
    assert!(
        base.problems[0].message.contains("circle"),
        "{:?}",
        base.problems
    );
    let pins = &files
        .iter()
        .find(|(path, _)| path.ends_with("pins.txt"))
        .unwrap()
        .1;
    assert_eq!(listed(pins), [""; 0], "a constraint alone installs nothing");
}

#[test]
fn python_lock_files() {
    let poetry = "[[package]]\nname = \"flask\"\nversion = \"2.2.2\"\ncategory = \"main\"\n\n[[package]]\nname = \"mine\"\nversion = \"0.1\"\n[package.source]\ntype = \"directory\"\nurl = \"x\"\n\n[[package]]\nname = \"pytest\"\nversion = \"7\"\ngroups = [\"dev\"]\n";
    assert_eq!(
        read_text(Kind::PoetryLock, poetry),
        ["flask 2.2.2 :2", "mine 0.1 :7 Path", "pytest 7 :14 dev"]
    );
    let uv = "version = 1\n[[package]]\nname = \"flask\"\nversion = \"2.2.2\"\nsource = { registry = \"https://x\" }\n[[package]]\nname = \"me\"\nversion = \"0\"\nsource = { editable = \".\" }\n[[package]]\nname = \"g\"\nversion = \"1\"\nsource = { git = \"https://x\" }\n[[package]]\nname = \"dyn\"\nsource = { virtual = \".\" }\n";
    assert_eq!(
        read_text(Kind::UvLock, uv),
        ["flask 2.2.2 :3", "me 0 :7 Path", "g 1 :11 Git"]
    );
    let pdm = "[[package]]\nname = \"flask\"\nversion = \"2.2.2\"\ngroups = [\"default\"]\n[[package]]\nname = \"t\"\nversion = \"1\"\ngroups = [\"test\"]\n[[package]]\nname = \"g\"\nversion = \"1\"\ngit = \"https://x\"\n";
    assert_eq!(
        read_text(Kind::PdmLock, pdm),
        ["flask 2.2.2 :2", "t 1 :6 dev", "g 1 :10 Git"]
    );
    let pylock = "lock-version = \"1.0\"\n[[packages]]\nname = \"attrs\"\nversion = \"25.1.0\"\nwheels = []\n[[packages]]\nname = \"d\"\nversion = \"1\"\n[packages.directory]\npath = \".\"\n";
    assert_eq!(
        read_text(Kind::Pylock, pylock),
        ["attrs 25.1.0 :3", "d 1 :7 Path"]
    );
    let pipfile = "{\n \"_meta\": {\"hash\": {}},\n \"default\": {\n  \"flask\": {\"version\": \"==2.2.2\"},\n  \"here\": {\"path\": \".\"}\n },\n \"develop\": {\n  \"pytest\": {\"version\": \"==7.0\"}\n }\n}";
    assert_eq!(
        read_text(Kind::PipfileLock, pipfile),
        ["flask 2.2.2 :4", "pytest 7.0 :8 dev"]
    );
}

#[test]
fn npm_lock_files() {
    let first = "{\n \"lockfileVersion\": 1,\n \"dependencies\": {\n  \"a\": {\n   \"version\": \"1.0.0\",\n   \"dependencies\": {\n    \"b\": {\"version\": \"2.0.0\", \"dev\": true}\n   }\n  },\n  \"alias\": {\"version\": \"npm:@s/real@3.0.0\"},\n  \"g\": {\"version\": \"git+ssh://git@x/y.git#abc\"},\n  \"f\": {\"version\": \"file:../f\"}\n }\n}";
    assert_eq!(
        read_text(Kind::PackageLock, first),
        [
            "a 1.0.0 :4",
            "b 2.0.0 :7 dev",
            "@s/real 3.0.0 :10",
            "g git+ssh://git@x/y.git#abc :11 Git",
            "f file:../f :12 Path"
        ]
    );
    let third = "{\n \"lockfileVersion\": 3,\n \"packages\": {\n  \"\": {\"name\": \"me\", \"version\": \"1.0.0\"},\n  \"packages/x\": {\"version\": \"1.0.0\"},\n  \"node_modules/x\": {\"resolved\": \"packages/x\", \"link\": true},\n  \"node_modules/a\": {\"version\": \"1.0.0\", \"resolved\": \"https://registry.example.invalid/a.tgz\"},\n  \"node_modules/a/node_modules/@s/b\": {\"version\": \"2.0.0\", \"dev\": true},\n  \"node_modules/c\": {\"name\": \"d\", \"version\": \"4.0.0\", \"resolved\": \"git+ssh://x\"}\n }\n}";
    assert_eq!(
        read_text(Kind::PackageLock, third),
        ["a 1.0.0 :7", "@s/b 2.0.0 :8 dev", "d 4.0.0 :9 Git"]
    );
}

#[test]
fn yarn_lock_files() {
    let classic = "# yarn lockfile v1\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1.0\":\n  version \"7.1.2\"\n  resolved \"https://registry.example.invalid/x.tgz\"\n  dependencies:\n    version \"1\"\n\nlodash@^4:\n  version \"4.17.20\"\n\"x@npm:real@^1\":\n  version \"1.0.0\"\n\"g@git+https://x/y.git\":\n  version \"0.1.0\"\n  resolved \"git+https://x/y.git#abc\"\n";
    assert_eq!(
        read_text(Kind::YarnLock, classic),
        [
            "@babel/core 7.1.2 :3",
            "lodash 4.17.20 :9",
            "real 1.0.0 :11",
            "g 0.1.0 :13 Git"
        ]
    );
    assert_eq!(
        parse(Kind::YarnLock, "lodash@^4:\n  resolved \"x\"\n")
            .unwrap_err()
            .line,
        1
    );
    assert_eq!(
        parse(Kind::YarnLock, "\n  version \"1\"\n")
            .unwrap_err()
            .line,
        2
    );
    let berry = "__metadata:\n  version: 6\n\n\"lodash@npm:^4.17.0\":\n  version: 4.17.21\n  resolution: \"lodash@npm:4.17.21\"\n  linkType: hard\n\n\"me@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"me@workspace:.\"\n\n\"@s/x@patch:@s/x@npm%3A1.0.0#y\":\n  version: 1.0.0\n  resolution: \"@s/x@patch:@s/x@npm%3A1.0.0#y::version=1.0.0\"\n";
    assert_eq!(
        read_text(Kind::YarnLock, berry),
        [
            "lodash 4.17.21 :4",
            "me 0.0.0-use.local :9 Path",
            "@s/x 1.0.0 :13"
        ]
    );
}

#[test]
fn pnpm_lock_files() {
    let five = "lockfileVersion: 5.4\npackages:\n  /lodash/4.17.21:\n    resolution: {integrity: x}\n    dev: false\n  /@s/a/1.0.0_peer@2.0.0:\n    resolution: {integrity: x}\n    dev: true\n";
    assert_eq!(
        read_text(Kind::PnpmLock, five),
        ["lodash 4.17.21 :3", "@s/a 1.0.0 :6 dev"]
    );
    let six = "lockfileVersion: '6.0'\npackages:\n  /lodash@4.17.21:\n    resolution: {integrity: x}\n  /@s/a@1.0.0(peer@2.0.0):\n    resolution: {integrity: x}\n";
    assert_eq!(
        read_text(Kind::PnpmLock, six),
        ["lodash 4.17.21 :3", "@s/a 1.0.0 :5"]
    );
    let nine = "lockfileVersion: '9.0'\npackages:\n  lodash@4.17.21:\n    resolution: {integrity: x}\n  '@s/a@1.0.0':\n    resolution: {integrity: x}\n  b@https://codeload.github.com/x/b/tar.gz/abc:\n    resolution: {tarball: 'https://codeload.github.com/x/b/tar.gz/abc'}\n    version: 2.0.0\n  c@file:c:\n    resolution: {directory: c, type: directory}\nsnapshots:\n  lodash@4.17.21: {}\n";
    assert_eq!(
        read_text(Kind::PnpmLock, nine),
        [
            "lodash 4.17.21 :3",
            "@s/a 1.0.0 :5",
            "b 2.0.0 :7 Url",
            "c file:c :10 Path"
        ]
    );
}

#[test]
fn rust_lock_files() {
    let text = "version = 4\n\n[[package]]\nname = \"me\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"smallvec\"\nversion = \"0.6.9\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\n[[package]]\nname = \"g\"\nversion = \"1.0.0\"\nsource = \"git+https://x#abc\"\n\n[[package]]\nname = \"o\"\nversion = \"1.0.0\"\nsource = \"registry+https://other.example.invalid/index\"\n";
    assert_eq!(
        read_text(Kind::CargoLock, text),
        [
            "me 0.1.0 :4 Path",
            "smallvec 0.6.9 :8",
            "g 1.0.0 :13 Git",
            "o 1.0.0 :18 Url"
        ]
    );
    assert_eq!(
        parse(Kind::CargoLock, "[[package]]\nname = \"x\"\n")
            .unwrap_err()
            .line,
        1
    );
}

#[test]
fn go_files() {
    let text = "module example.invalid/me\n\ngo 1.21 // comment\ntoolchain go1.21.3\n\nrequire (\n\tgithub.com/a/b v1.2.3\n\tgithub.com/c/d v0.0.0-20200101000000-abcdefabcdef // indirect\n)\nrequire \"github.com/e/f\" v2.0.0+incompatible\nreplace github.com/a/b => github.com/fork/b v1.2.4\nreplace github.com/c/d v0.0.0-20200101000000-abcdefabcdef => ../d\nexclude github.com/z/z v1.0.0\nretract [v1.0.0, v1.1.0]\n";
    assert_eq!(
        read_text(Kind::GoMod, text),
        [
            "stdlib 1.21.3 :4",
            "github.com/fork/b v1.2.4 :7",
            "github.com/c/d v0.0.0-20200101000000-abcdefabcdef :8 Path",
            "github.com/e/f v2.0.0+incompatible :10"
        ]
    );
    assert!(golang::read_mod(text).unwrap().is_complete);
    assert!(!golang::read_mod("module x\ngo 1.16\n").unwrap().is_complete);
    assert_eq!(
        parse(Kind::GoMod, "module x\nrequire (\n")
            .unwrap_err()
            .line,
        2
    );
    assert_eq!(
        parse(Kind::GoMod, "module x\nfrob y\n").unwrap_err().line,
        2
    );
    let sum = "github.com/a/b v1.2.3 h1:aa=\ngithub.com/a/b v1.2.3/go.mod h1:bb=\ngithub.com/a/b v1.10.0 h1:cc=\ngithub.com/c/d v1.0.0/go.mod h1:dd=\n";
    assert_eq!(read_text(Kind::GoSum, sum), ["github.com/a/b v1.10.0 :3"]);
    assert_eq!(parse(Kind::GoSum, "one two\n").unwrap_err().line, 1);
}

#[test]
fn java_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("app")).unwrap();
    fs::write(root.join("pom.xml"), "<project><groupId>g</groupId><artifactId>parent</artifactId><version>9</version><properties><jackson.version>2.9.8</jackson.version></properties><dependencyManagement><dependencies><dependency><groupId>g</groupId><artifactId>managed</artifactId><version>${jackson.version}</version></dependency></dependencies></dependencyManagement></project>").unwrap();
    let pom = "<?xml version=\"1.0\"?>\n<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<parent><groupId>g</groupId><artifactId>parent</artifactId><version>9</version></parent>\n<artifactId>app</artifactId>\n<properties><a>${b}</a><b>1.5</b><loop>${loop}</loop></properties>\n<dependencies>\n<dependency><groupId>g</groupId>\n<artifactId>one</artifactId>\n<version>${a}</version></dependency>\n<dependency><groupId>g</groupId><artifactId>managed</artifactId></dependency>\n<dependency><groupId>${project.groupId}</groupId><artifactId>self</artifactId><version>${project.version}</version><scope>test</scope></dependency>\n<dependency><groupId>g</groupId><artifactId>range</artifactId><version>[1,2)</version></dependency>\n<dependency><groupId>g</groupId><artifactId>exact</artifactId><version>[1.1]</version></dependency>\n<dependency><groupId>g</groupId><artifactId>loop</artifactId><version>${loop}</version></dependency>\n<dependency><groupId>g</groupId><artifactId>bom</artifactId></dependency>\n</dependencies>\n</project>\n";
    fs::write(root.join("app/pom.xml"), pom).unwrap();
    let files = read(Kind::PomXml, &root.join("app/pom.xml"), root).unwrap();
    assert_eq!(
        listed(&files[0].1),
        [
            "g:one 1.5 :9",
            "g:managed 2.9.8 :10",
            "g:self 9 :11 dev",
            "g:exact 1.1 :13"
        ]
    );
    let open: Vec<_> = files[0]
        .1
        .unresolved
        .iter()
        .map(|open| format!("{} {}", open.name, open.requirement))
        .collect();
    assert_eq!(
        open,
        ["g:range [1,2)", "g:loop ${loop}", "g:bom managed elsewhere"]
    );
    let error = parse(Kind::PomXml, "<project>\n<a></b>\n</project>").unwrap_err();
    assert_eq!(error.line, 2, "{error}");
    let gradle = "# comment\norg.x:y:1.0=compileClasspath,runtimeClasspath\norg.x:t:2.0=testRuntimeClasspath\nempty=annotationProcessor\n";
    assert_eq!(
        read_text(Kind::GradleLock, gradle),
        ["org.x:y 1.0 :2", "org.x:t 2.0 :3 dev"]
    );
    assert_eq!(parse(Kind::GradleLock, "\nnonsense\n").unwrap_err().line, 2);
}

#[test]
fn other_lock_files() {
    let gemfile = "GIT\n  remote: https://x\n  revision: abc\n  specs:\n    mine (0.1)\n\nGEM\n  remote: https://x/\n  specs:\n    nokogiri (1.15.4-x86_64-linux)\n      racc (~> 1.4)\n    nokogiri (1.15.4-arm64-darwin)\n    racc (1.7.1)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  nokogiri\n\nBUNDLED WITH\n   2.4.1\n";
    assert_eq!(
        read_text(Kind::GemfileLock, gemfile),
        ["mine 0.1 :5 Git", "nokogiri 1.15.4 :10", "racc 1.7.1 :13"]
    );
    let composer = "{\n \"packages\": [\n  {\n   \"name\": \"Symfony/HTTP-kernel\",\n   \"version\": \"v5.4.0\"\n  },\n  {\"name\": \"a/b\", \"version\": \"dev-main\"}\n ],\n \"packages-dev\": [{\"name\": \"c/d\", \"version\": \"1.0\"}]\n}";
    assert_eq!(
        read_text(Kind::ComposerLock, composer),
        [
            "Symfony/HTTP-kernel v5.4.0 :4",
            "a/b dev-main :7 Git",
            "c/d 1.0 :9 dev"
        ]
    );
    let nuget = "{\n \"version\": 1,\n \"dependencies\": {\n  \"net6.0\": {\n   \"Newtonsoft.Json\": {\"type\": \"Direct\", \"resolved\": \"12.0.1\"},\n   \"mine\": {\"type\": \"Project\"}\n  }\n }\n}";
    assert_eq!(
        read_text(Kind::NuGetLock, nuget),
        ["Newtonsoft.Json 12.0.1 :5"]
    );
    let status = "Package: libc6\nStatus: install ok installed\nSource: glibc (2.36-9)\nVersion: 2.36-9+b1\nDescription: x\n more: y\n\nPackage: libc-bin\nStatus: install ok installed\nSource: glibc\nVersion: 2.36-9\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: bash\nStatus: install ok installed\nVersion: 5.2-1\n";
    assert_eq!(
        read_text(Kind::DebianStatus, status),
        ["glibc 2.36-9 :1", "bash 5.2-1 :17"]
    );
}

#[test]
fn a_debian_image_tells_its_release() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("var/lib/dpkg")).unwrap();
    fs::create_dir_all(folder.path().join("etc")).unwrap();
    fs::write(
        folder.path().join("etc/os-release"),
        "ID=debian\nVERSION_ID=\"12\"\n",
    )
    .unwrap();
    let status = folder.path().join("var/lib/dpkg/status");
    fs::write(&status, "Package: bash\nVersion: 5.2-1\n").unwrap();
    let files = read(Kind::DebianStatus, &status, folder.path()).unwrap();
    assert_eq!(
        files[0].1.packages[0].ecosystem,
        Ecosystem::Debian("12".into())
    );
}

#[test]
fn installed_packages() {
    let metadata = "Metadata-Version: 2.1\nName: Flask\nVersion: 2.2.2\n\nVersion: in the text\n";
    assert_eq!(read_text(Kind::DistInfo, metadata), ["Flask 2.2.2 :3"]);
    assert_eq!(
        read_text(
            Kind::NodeModule,
            "{\n\"name\": \"a\",\n\"version\": \"1.0.0\"}"
        ),
        ["a 1.0.0 :3"]
    );
    assert!(parse(Kind::DistInfo, "Name: x\n").is_err());
}

#[test]
fn wrong_encodings_name_their_place() {
    let error = decode(b"a==1\nb==\xff\n".to_vec()).unwrap_err();
    assert_eq!((error.line, error.column), (2, 4));
    let wide: Vec<u8> = std::iter::once(0xfeff_u16)
        .chain("a==1\n".encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(decode(wide).unwrap(), "a==1\n");
}

#[test]
fn hostile_texts_end_in_good_time() {
    let many = 30_000;
    let texts = [
        "[",
        "{",
        "(",
        "- ",
        "? ",
        "a: ",
        "!",
        "&a ",
        "*a ",
        "[[a]]\n",
        "a.",
        "<a>",
        "<!--",
        "&amp;",
        "\"",
        "'",
        "\\\n",
        "a\n",
        "a==1\n",
        "{a: ",
        "|\n",
        "> ",
        "\t",
        "  specs:\n",
        "a@b, ",
        "\"a@1\":\n",
        "require (",
    ];
    let started = std::time::Instant::now();
    for text in texts {
        let text = text.repeat(many / text.len());
        for start in [
            "",
            "lockfileVersion: 9\npackages:\n ",
            "__metadata:\nx: ",
            "a = ",
            "<project>",
            "GEM\n  specs:\n",
            "{\"packages\": ",
        ] {
            let text = format!("{start}{text}");
            for kind in ALL {
                let _ = parse(kind, &text);
            }
        }
    }
    // Some 3,800 readings of 30 kB each; a reader that is quadratic in one of them takes minutes by itself.
    assert!(started.elapsed().as_secs() < 300, "{:?}", started.elapsed());
}

const ALL: [Kind; 20] = [
    Kind::Requirements,
    Kind::PoetryLock,
    Kind::UvLock,
    Kind::PipfileLock,
    Kind::PdmLock,
    Kind::Pylock,
    Kind::DistInfo,
    Kind::PackageLock,
    Kind::YarnLock,
    Kind::PnpmLock,
    Kind::NodeModule,
    Kind::CargoLock,
    Kind::GoMod,
    Kind::GoSum,
    Kind::PomXml,
    Kind::GradleLock,
    Kind::GemfileLock,
    Kind::ComposerLock,
    Kind::NuGetLock,
    Kind::DebianStatus,
];

/// One true text of every shape, to be mutilated.
const SEEDS: [&str; 9] = [
    "-r a.txt\nDjango[x]==3.2.4 ; a \\\n --hash=sha256:a\n-e git+https://x#egg=a\n./a-1-py3-none-any.whl\n",
    "[[package]]\nname = \"a\"\nversion = \"1\"\nsource = { git = \"x\" }\n[[packages]]\nname = \"b\"\n",
    "{\"packages\": {\"node_modules/a\": {\"version\": \"1\"}}, \"dependencies\": {\"a\": {\"b\": {\"resolved\": \"1\", \"version\": \"npm:x@1\"}}}}",
    "lockfileVersion: '9.0'\npackages:\n  '@s/a@1.0.0(b)':\n    resolution: {tarball: x}\n",
    "__metadata:\n  version: 6\n\"a@npm:1\":\n  version: 1\n  resolution: \"a@npm:1\"\n",
    "module x\ngo 1.20\nrequire (\n\ta v1 // c\n)\nreplace a v1 => \"b\" v2\n",
    "<project><parent><relativePath>x</relativePath></parent><dependencies><dependency><groupId>${a}</groupId><artifactId>b</artifactId><version>[1]</version></dependency></dependencies></project>",
    "GEM\n  specs:\n    a (1-x)\nPackage: a\nStatus: install ok installed\nSource: b (1)\nVersion: 1\n",
    "\"a@^1\", b@2:\n  version \"1\"\n  resolved \"x\"\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_mutilated_file_makes_a_reader_panic(seed in 0..SEEDS.len(), cut in 0.0..1.0_f64, at in 0.0..1.0_f64, insert in "[\\[\\]{}()\"'@:=<>/\\\\,;#\n \t\0é-]{0,4}") {
        let mut text = SEEDS[seed].to_owned();
        let place = |share: f64, text: &str| {
            let mut at = (share * text.len() as f64) as usize;
            while !text.is_char_boundary(at) { at -= 1; }
            at
        };
        let position = place(at, &text);
        text.insert_str(position, &insert);
        text.truncate(place(0.3 + cut * 0.7, &text));
        for kind in ALL {
            let _ = parse(kind, &text);
        }
    }

    #[test]
    fn no_garbage_makes_a_reader_panic(text in "\\PC{0,80}") {
        for kind in ALL {
            let _ = parse(kind, &text);
        }
    }
}
