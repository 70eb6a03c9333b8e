//! Links the compiler's runtime into the programs, on Linux with glibc: what they then ask of a machine is glibc alone.
//! Grafana's own image is an Alpine with the core of a glibc beside it, and has no libgcc_s.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") != "linux" || target("ENV") != "gnu" {
        return;
    }
    // std asks the linker for `-lgcc_s`: this folder is searched first, and answers with the static parts.
    let folder = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&folder).join("libgcc_s.so"), "GROUP ( -lgcc_eh -lgcc )\n")
        .expect("it is cargo's own folder");
    println!("cargo::rustc-link-arg-bins=-L{folder}");
}
