//! 01: train a small byte-level model on a text and let it write.
//!
//! New here: `Context`, `Config`, `Model`, `Trainer::fit_with` with progress, `Session`, `feed`, `generate_with`.
//!
//!     cd bindings/rust && cargo run --example 01_train_generate [text file]

use std::io::Write;
use std::ops::ControlFlow::Continue;
use std::time::Duration;

use nested::{Config, Context, FitOptions, Model, Run, Sampling, Session, Trainer};

const STORY: &str =
    "the river reads the rain and the rain reads the river. what the river reads it keeps for a while, \
                     and what it keeps it tells the sea. ";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A model of this kind reads token ids; here a token is a byte.
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => STORY.repeat(40).into_bytes(),
    };

    let context = Context::new()?; // all cores, no limit, silent
    let config = Config::from_json(
        r#"{"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32,
            "cms": {"levels": [{"chunk": 64, "hidden": 128}, {"chunk": 0, "hidden": 128}]}}"#,
    )?;
    let model = Model::new(&context, &config, 1)?;

    // 60 steps over random windows: 8 rows of 64 bytes each.
    let options = r#"{"lr": 3e-3, "schedule": {"type": "cosine", "warmup": 10, "total": 60}}"#;
    let mut trainer = Trainer::new(&model, options)?;
    let mut run = Run::new().every(Duration::from_millis(100)).progress(|p| {
        eprint!("\r{} {}/{}, loss {:.3}   ", p.stage, p.done, p.total.unwrap_or(0), p.loss);
        Continue(()) // Break(()) would cancel
    });
    let fit = trainer.fit_with(&text, FitOptions { steps: 60, n_seq: 8, seq_len: 64 }, &mut run)?;
    eprintln!();
    println!("{} steps, loss of the last one {:.3} nats per byte", fit.steps, fit.last_loss);
    assert!(fit.last_loss < fit.mean_loss);

    // A session is one stream: feed a beginning, then sample.
    let mut session = Session::new(&model, ())?;
    session.feed(&text[..32])?;
    print!("{} | ", String::from_utf8_lossy(&text[..32]));
    let sampling = Sampling { temperature: 0.7, top_k: 20, ..Sampling::default() };
    let print = |event: &nested::TokenEvent| {
        print!("{}", char::from(event.token as u8));
        let _ = std::io::stdout().flush();
        Continue(()) // Break(()) would stop
    };
    let generated = session.generate_with(80, &sampling, print, &mut Run::new())?;
    println!();
    assert_eq!(generated.tokens.len(), 80);
    Ok(())
}
