//! Stamps the program with a digest of its sources: two builds that may give different results for
//! one scenario are told apart by it.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/search/digest.rs"]
mod digest;

/// What results are made of, from a package's folder on. A package made for a registry has all of it
/// but perhaps the lock file.
const SOURCES: [&str; 4] = ["src", "scenarios", "Cargo.toml", "Cargo.lock"];

fn main() {
    let root = |name| PathBuf::from(env::var_os(name).expect("Cargo sets it"));
    let mut all = digest::Digest::default();
    add(&root("CARGO_MANIFEST_DIR"), &mut all);
    // Its own build script says where it is: beside this package's sources or not.
    add(&root("DEP_METRON_ENGINE_ROOT"), &mut all);
    println!("cargo:rustc-env=METRON_SIM_BUILD={}", all.hex());
}

fn add(root: &Path, all: &mut digest::Digest) {
    let mut files = Vec::new();
    for source in SOURCES.map(|source| root.join(source)).iter().filter(|source| source.exists()) {
        println!("cargo:rerun-if-changed={}", source.display());
        collect(source, &mut files);
    }
    files.sort();
    for file in &files {
        let name = file.strip_prefix(root).unwrap_or(file);
        all.add(name.to_string_lossy().replace('\\', "/").as_bytes());
        all.add(&fs::read(file).unwrap_or_default());
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_owned());
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        collect(&entry.path(), files);
    }
}
