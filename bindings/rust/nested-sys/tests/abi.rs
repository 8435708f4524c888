//! The library that is linked, the declarations, and the numbers that they were generated from agree.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::Command;

fn text(pointer: *const std::ffi::c_char) -> &'static str {
    // SAFETY: static texts of the library end with a NUL.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
}

/// `bindings.rs` asserts at compile time what `abi.json` says, and `Tests/abi/generate.py --check` that both come
/// from the header of today. What is left: does the library say the same?
#[test]
fn the_library_is_the_one_that_is_declared() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../Tests/abi/abi.json");
    let declared = std::fs::read_to_string(path).unwrap();
    // SAFETY: [pure] functions.
    let (told, abi) = unsafe { (text(nested_sys::nested_abi_info()), nested_sys::nested_abi()) };
    for (told, declared) in told.lines().zip(declared.lines()) {
        assert_eq!(told, declared);
    }
    assert_eq!(told.trim_end().len(), declared.trim_end().len());
    assert_eq!(abi, nested_sys::NESTED_ABI);
}

#[test]
fn default_fills_in_the_size() {
    let mut options = nested_sys::nested_context_options::default();
    assert_eq!(options.struct_size, 40);
    options.n_threads = 1;
    let mut context = std::ptr::null_mut();
    // SAFETY: pointers are valid for the calls.
    unsafe {
        assert_eq!(nested_sys::nested_context_create(&options, &mut context), 0);
        let mut stats = nested_sys::nested_memory_stats::default();
        assert_eq!(nested_sys::nested_context_memory(context, &mut stats), 0);
        assert_eq!(stats.limit, 0);
        nested_sys::nested_context_release(context);
    }
}

fn compile(source: &Path) -> std::process::Output {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    Command::new(rustc)
        .args(["--edition=2021", "--crate-type=lib", "--emit=metadata", "-Anon_camel_case_types", "-o"])
        .arg(source.with_extension("rmeta"))
        .arg(source)
        .output()
        .unwrap()
}

/// The compile-time checks are worth something: with one field changed the file does not compile.
#[test]
fn a_wrong_declaration_does_not_compile() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let bindings = include_str!("../src/bindings.rs");
    let source = folder.join("declared.rs");
    std::fs::write(&source, bindings).unwrap();
    let right = compile(&source);
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    for (what, by) in [
        ("pub position: i64", "pub position: i32"),
        ("pub seed: u64,\n    /// memory", "/// memory"),
        (
            "    pub n_targets: f64,\n    /// CLASSIFY: share of targets that were ranked\n    /// first, by their weights; else NaN\n    pub accuracy: f64,",
            "    pub accuracy: f64,\n    pub n_targets: f64,",
        ),
    ] {
        assert!(bindings.contains(what), "{what}");
        std::fs::write(&source, bindings.replacen(what, by, 1)).unwrap();
        let wrong = compile(&source);
        assert!(!wrong.status.success(), "{what}");
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("assertion failed"), "{what}");
    }
}
