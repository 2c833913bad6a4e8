//! What the scanner is measured with, the same at every run: records, lock files, a tree.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::{FILES, LOCK_FILES, RECORDS};

/// Records as the Python database has them: about fifty listed versions, a range or two, some text.
pub(super) fn write_archive(path: &Path) -> anyhow::Result<()> {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut file = BufWriter::new(File::create(path)?);
    let mut archive = rawzip::ZipArchiveWriter::new(&mut file);
    for number in 0..RECORDS {
        let package = random(6_000);
        let fixed = random(9) + 1;
        let versions: Vec<String> = (0..random(90) + 10)
            .map(|n| format!("\"{}.{}.{}\"", n / 20, n % 20, random(5)))
            .collect();
        let details: String = (0..random(250) + 50)
            .map(|_| format!("word{} ", random(4_000)))
            .collect();
        let record = format!(
            r#"{{"schema_version": "1.6.0", "id": "PYSEC-2024-{number}", "modified": "2024-06-01T00:00:00Z", "published": "2024-01-01T00:00:00Z", "aliases": ["CVE-2024-{number}", "GHSA-{number:04}-aaaa-bbbb"], "details": "{details}", "severity": [{{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:H"}}], "references": [{{"type": "WEB", "url": "https://example.invalid/{number}"}}, {{"type": "FIX", "url": "https://example.invalid/{number}/fix"}}], "affected": [{{"package": {{"ecosystem": "PyPI", "name": "package-{package}"}}, "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}.0"}}, {{"introduced": "{fixed}.5"}}, {{"fixed": "{fixed}.7.1"}}]}}], "versions": [{}]}}]}}"#,
            versions.join(", ")
        );
        let (mut entry, config) = archive
            .new_file(format!("PYSEC-2024-{number}.json"))
            .compression_method(rawzip::CompressionMethod::DEFLATE)
            .start()?;
        let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
        let mut writer = config.wrap(encoder);
        writer.write_all(record.as_bytes())?;
        let (encoder, descriptor) = writer.finish()?;
        encoder.finish()?;
        entry.finish(descriptor)?;
    }
    archive.finish()?;
    file.flush()?;
    Ok(())
}

/// A lock file whose packages mostly are in the database and mostly are not affected, as in life.
pub(super) fn write_lock(path: &Path, from: usize, count: usize) -> anyhow::Result<()> {
    let lines: String = (from..from + count)
        .map(|n| {
            format!(
                "package-{n}=={}.{}.{}\n",
                if n % 50 == 0 { 1 } else { 30 },
                n % 7,
                n % 3
            )
        })
        .collect();
    fs::write(path, lines)?;
    Ok(())
}

pub(super) fn write_tree(root: &Path) -> anyhow::Result<()> {
    fs::create_dir(root)?;
    fs::write(
        root.join(".gitignore"),
        "/target/\n*.pyc\n__pycache__/\n!keep.pyc\nbuild/**/*.o\n",
    )?;
    let folders = FILES / 100;
    for folder in 0..folders {
        let path = root.join(format!(
            "part-{}/module-{}/code-{folder}",
            folder % 10,
            folder % 50
        ));
        fs::create_dir_all(&path)?;
        for file in 0..100 {
            let name = if file % 10 == 0 {
                format!("cache-{file}.pyc")
            } else {
                format!("source_file_{file}.py")
            };
            File::create(path.join(name))?;
        }
        if folder % (folders / LOCK_FILES) == 0 {
            write_lock(&path.join("requirements.txt"), folder * 7 % 5_000, 100)?;
        }
    }
    Ok(())
}
