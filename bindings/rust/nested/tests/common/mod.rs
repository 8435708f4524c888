//! What the tests share.
#![allow(dead_code)]

use std::path::PathBuf;

use nested::{Config, Context, Model};

pub const CONFIG: &str = r#"{"kind": "hope", "vocab": 64, "d_model": 32, "n_layers": 2, "head_dim": 16, "cms": {"levels": [
    {"chunk": 8, "hidden": 32, "lr": 0.05}, {"chunk": 32, "hidden": 32, "lr": 0.02}, {"chunk": 0, "hidden": 32}]}}"#;

pub fn context(threads: usize) -> Context {
    Context::builder().threads(threads).build().unwrap()
}

pub fn model() -> Model {
    model_in(&context(1))
}

pub fn model_in(context: &Context) -> Model {
    Model::new(context, &Config::from_json(CONFIG).unwrap(), 7).unwrap()
}

/// Ids 0..64 with something to learn in them.
pub fn stream(seed: u64, n: usize) -> Vec<i32> {
    let mut state = seed;
    let mut previous = 0;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let r = state >> 33;
            previous = if r % 4 == 0 { (r >> 2) % 64 } else { (previous * 5 + 3) % 64 };
            previous as i32
        })
        .collect()
}

/// A file of a test's own.
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}
