//! 03: keep sessions in files, branch them, and make one new model out of what several have learnt.
//!
//! New here: `Model::save` and `load`, `Session::save`, `save_delta` and `load`, `fork`, `snapshot`, `restore`,
//! `Model::consolidate`, `evaluate`.
//!
//!     cd bindings/rust && cargo run --example 03_save_fork_consolidate

use nested::{Batch, Config, Consolidation, Context, FitOptions, Learn, Model, Session, Trainer};

/// Mean loss of one text, from a fresh start.
fn loss(model: &Model, text: &[u8]) -> nested::Result<f64> {
    Ok(model.evaluate(&Batch::new(text, 1)?)?.loss)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = "red green blue red green blue. ".repeat(60).into_bytes();
    let ann = "ann likes apples and pears. ".repeat(22).into_bytes();
    let ben = "ben likes trains & boats. ".repeat(24).into_bytes();
    let folder = std::env::temp_dir().join(format!("nested-example-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;

    let context = Context::new()?;
    let config = Config::from_json(
        r#"{"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32, "cms": {"levels": [
            {"chunk": 16, "hidden": 128, "lr": 0.05}, {"chunk": 128, "hidden": 128, "lr": 0.02},
            {"chunk": 0, "hidden": 128}]}}"#,
    )?;
    let made = Model::new(&context, &config, 1)?;
    Trainer::new(&made, r#"{"schedule": {"type": "cosine", "warmup": 20, "total": 150}}"#)?
        .fit(&base, FitOptions { steps: 150, n_seq: 8, seq_len: 64 })?;

    // Files are safetensors; a crash while saving leaves the old file or the new one.
    made.save(folder.join("model.safetensors"))?;
    let model = Model::load(&context, folder.join("model.safetensors"))?;

    // Saved and loaded, a session goes on as if nothing had happened.
    let mut a = Session::new(&model, Learn::On)?;
    a.feed(&ann[..300])?;
    a.save(folder.join("ann.session"))?;
    drop(a);
    let mut a = Session::load(&model, folder.join("ann.session"))?;

    // A fork is a stream of its own; a snapshot is a place to come back to.
    let mut branch = a.fork()?;
    let snapshot = a.snapshot()?;
    a.feed(&ann[300..600])?;
    branch.feed(&ann[300..600])?;
    let same = a.output()? == branch.output()?;
    println!("the session and its fork read the same and predict the same bits: {same}");
    assert!(same);
    branch.restore(&snapshot)?;
    assert_eq!(branch.info()?.position, 300);

    // What a session learnt, alone: a small file for another machine that has the model.
    let mut b = Session::new(&model, Learn::On)?;
    b.feed(&ben)?;
    b.save(folder.join("ben.session"))?;
    b.save_delta(folder.join("ben.delta"))?;
    let size = |name| std::fs::metadata(folder.join(name)).map(|file| file.len());
    println!("ben's session is {} bytes, what it learnt {}", size("ben.session")?, size("ben.delta")?);
    let b = Session::load(&model, folder.join("ben.delta"))?; // a fresh stream that knows

    // Both sessions' levels, merged into a new model; the old model stays as it is.
    let merged =
        model.consolidate([&a, &b], &Consolidation { session_weights: vec![1.0, 1.0], ..Default::default() })?;
    println!("{:<19} {:>10} {:>12}", "loss, nats per byte", "model", "consolidated");
    for (who, text) in [("what ann wrote", &ann), ("what ben wrote", &ben), ("what the model knew", &base)] {
        println!("{who:<19} {:10.3} {:12.3}", loss(&model, &text[..300])?, loss(&merged, &text[..300])?);
    }
    assert!(loss(&merged, &ann[..300])? < loss(&model, &ann[..300])?);
    assert!(loss(&merged, &ben[..300])? < loss(&model, &ben[..300])?);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
