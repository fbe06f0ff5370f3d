//! Tells the build script of `metron-sim`, which stamps the program with a digest of its sources,
//! where the engine's are.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it");
    println!("cargo::metadata=root={root}");
}
