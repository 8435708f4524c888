//! Finds libnested: in the folder that NESTED_LIB_DIR names, else where pkg-config says. Nothing else is looked at.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=NESTED_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-lib=dylib=nested");
    // None: pkg-config knows the library and it is where the linker looks by itself.
    if let Some(folder) = folder() {
        println!("cargo:rustc-link-search=native={}", folder.display());
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
        println!("cargo:lib_dir={}", folder.display());
        reachable(&folder);
    }
}

fn folder() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("NESTED_LIB_DIR") {
        let folder = PathBuf::from(&given);
        match folder.canonicalize() {
            Ok(folder) if folder.join("libnested.so").exists() => return Some(folder),
            _ => panic!("NESTED_LIB_DIR is {given:?}, and there is no libnested.so"),
        }
    }
    let answer = Command::new("pkg-config").args(["--libs-only-L", "nested >= 1.0"]).output();
    match answer {
        Ok(answer) if answer.status.success() => String::from_utf8_lossy(&answer.stdout)
            .split_whitespace()
            .find_map(|word| word.strip_prefix("-L").map(PathBuf::from)),
        Ok(answer) => panic!(
            "libnested is not installed where pkg-config looks. Install it, or set NESTED_LIB_DIR.\n{}",
            String::from_utf8_lossy(&answer.stderr)
        ),
        Err(error) => {
            panic!("NESTED_LIB_DIR is not set, and pkg-config does not run: {error}")
        }
    }
}

/// Cargo runs tests, documentation tests and examples with those search paths in LD_LIBRARY_PATH that lie under
/// its own target folder: a link in there is what they find. (Documentation tests have no other way: no rpath.)
fn reachable(folder: &Path) {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let link = out.join("libnested.so.1");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(folder.join("libnested.so.1"), &link).expect("link to libnested");
    println!("cargo:rustc-link-search=native={}", out.display());
}
