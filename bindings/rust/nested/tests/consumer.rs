//! A program outside this workspace finds the library by pkg-config, and is told what to do where there is none.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = r##"
fn main() -> nested::Result<()> {
    let config = nested::Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
    let model = nested::Model::new(&nested::Context::new()?, &config, 0)?;
    let mut session = nested::Session::new(&model, nested::Learn::On)?;
    println!("consumed {}", session.feed("hello")?.consumed);
    Ok(())
}
"##;

fn cargo(folder: &Path, pkg_config: &Path, command: &str) -> Output {
    Command::new(env!("CARGO"))
        .args([command, "--offline", "--quiet"])
        .current_dir(folder)
        .env_remove("NESTED_LIB_DIR")
        .env_remove("LD_LIBRARY_PATH")
        .env("PKG_CONFIG_PATH", pkg_config)
        .env("PKG_CONFIG_LIBDIR", pkg_config)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .unwrap()
}

#[test]
fn a_program_outside_finds_the_library() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("consumer");
    let (pkg_config, nothing) = (folder.join("pkgconfig"), folder.join("nothing"));
    for folder in [&folder.join("src"), &pkg_config, &nothing] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let manifest = format!(
        "[package]\nname = \"consumer\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n\
         [dependencies]\nnested = {{ path = \"{}\" }}\n",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/main.rs"), PROGRAM).unwrap();

    let missing = cargo(&folder, &nothing, "build");
    let words = String::from_utf8_lossy(&missing.stderr);
    assert!(!missing.status.success());
    assert!(words.contains("Install it, or set NESTED_LIB_DIR."), "{words}");

    let library = std::env::var("NESTED_LIB_DIR").expect("cargo test sets it, see .cargo/config.toml");
    let pc = format!("Name: nested\nDescription: test\nVersion: 1.0.0\nLibs: -L{library} -lnested\n");
    std::fs::write(pkg_config.join("nested.pc"), pc).unwrap();
    let found = cargo(&folder, &pkg_config, "run");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    assert_eq!(String::from_utf8_lossy(&found.stdout), "consumed 5\n");
}
