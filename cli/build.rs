//! Packs the addresses that the loader corrects: they are read whole at each start, and each of
//! them takes 24 bytes otherwise, most of a megabyte that stays in memory. The GNU C library
//! understands it from 2.36 on.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
