//! Lists the files of `migrations/` by their numbers, so that two changes that each add one meet in no shared list.

use std::path::Path;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder");
    let folder = Path::new(&root).join("migrations");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .expect("the crate has a folder of migrations")
        .map(|entry| {
            let entry = entry.expect("a folder of ours can be read");
            entry.file_name().to_string_lossy().into_owned()
        })
        .filter(|name| name.ends_with(".sql"))
        .collect();
    files.sort();
    let mut list = String::from("&[\n");
    let mut last = 0;
    for file in files {
        let (number, _) = file
            .split_once('_')
            .unwrap_or_else(|| panic!("{file}: a migration is called NNNN_name.sql"));
        let number: i64 = number
            .parse()
            .unwrap_or_else(|_| panic!("{file}: a migration begins with its number"));
        assert!(number > last, "{file}: another migration has its number");
        last = number;
        let path = folder.join(&file);
        println!("cargo::rerun-if-changed={}", path.display());
        list.push_str(&format!(
            "    Migration {{ number: {number}, sql: include_str!({path:?}) }},\n"
        ));
    }
    list.push_str("]\n");
    let out = std::env::var("OUT_DIR").expect("cargo names the folder for what is generated");
    std::fs::write(Path::new(&out).join("migrations.rs"), list)
        .expect("that folder can be written");
}
