//! The library as a whole: information, and that nothing of the header is forgotten.

use nested::{abi_info, build_info, has_feature, live_handles, Cancel, HandleKind};

#[test]
fn the_library_tells_about_itself() {
    assert!(nested::version() >= 1_000_000);
    assert_eq!(nested::version_string(), env!("CARGO_PKG_VERSION"), "the crates carry the library's version");
    assert_eq!(nested::abi(), 1);
    assert!(build_info().contains("\"simd\"") && abi_info().contains("\"nested_run\""));
    assert!(has_feature("optim.adamw") && !has_feature("optim.none") && !has_feature("a\0b"));
}

#[test]
fn handles_are_counted() {
    let cancels: Vec<_> = (0..3).map(|_| Cancel::new().unwrap()).collect();
    let same = cancels.clone();
    assert_eq!(live_handles(HandleKind::Cancel), 3);
    assert!(live_handles(HandleKind::Any) >= 3);
    drop(cancels);
    assert_eq!(live_handles(HandleKind::Cancel), 3);
    drop(same);
    assert_eq!(live_handles(HandleKind::Cancel), 0);
}

/// A function that is added to the header gets a method here, or a line in this list.
#[test]
fn every_function_has_its_place() {
    let left_to_sys = [
        "nested_context_retain",      // Arc counts
        "nested_model_retain",        // Arc counts
        "nested_snapshot_retain",     // Arc counts
        "nested_dtype_size",          // everything is f32
        "nested_model_tensor_borrow", // its end is not a lifetime: any change of the model ends it
    ];
    let mut sources = String::new();
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        sources += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    let declared = include_str!("../../nested-sys/src/bindings.rs");
    let functions = declared.lines().filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next());
    let mut count = 0;
    for function in functions {
        count += 1;
        let used = sources.contains(&format!("sys::{function}("))
            || sources.contains(&format!("{} {function},", function.trim_end_matches("_release")));
        assert_ne!(used, left_to_sys.contains(&function), "{function}");
    }
    assert!(count > 80, "{count}");
}
