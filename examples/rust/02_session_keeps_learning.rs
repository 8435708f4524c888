//! 02: a session that reads something new gets better at it, while the model stays as it is.
//!
//! New here: `Learn` and its three modes, `Feed`, `Session::info`, `levels`, `reset_levels`, `score`.
//!
//!     cd bindings/rust && cargo run --example 02_session_keeps_learning

use nested::{Config, Context, FitOptions, Learn, Levels, Model, Session, Trainer};

fn main() -> nested::Result<()> {
    let old = "one two three four five six seven eight nine ten. ".repeat(80);
    let new = "eins zwei drei vier sechs acht neun zehn elf! ".repeat(23);
    let new = &new[..1024];

    let config = Config::from_json(
        r#"{"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2, "head_dim": 32, "cms": {"levels": [
            {"chunk": 16, "hidden": 128, "lr": 0.05}, {"chunk": 128, "hidden": 128, "lr": 0.02},
            {"chunk": 0, "hidden": 128}]}}"#,
    )?;
    let model = Model::new(&Context::new()?, &config, 1)?;
    let mut trainer = Trainer::new(&model, r#"{"schedule": {"type": "cosine", "warmup": 20, "total": 150}}"#)?;
    trainer.fit(&old, FitOptions { steps: 150, n_seq: 8, seq_len: 64 })?;
    drop(trainer);
    let weights = model.parameters()?;

    // The same new text into three sessions: what is the surprise (nats per byte) of each quarter?
    println!("{:<8} {:>8} {:>8} {:>8} {:>8}", "learn", "1st", "2nd", "3rd", "4th quarter");
    let mut surprise = Vec::new();
    let mut learner = None;
    for learn in [Learn::Memory, Learn::Off, Learn::On] {
        let mut session = Session::new(&model, learn)?;
        let mut losses = Vec::new();
        for quarter in new.as_bytes().chunks(256) {
            losses.push(session.feed(quarter)?.loss);
        }
        let columns: String = losses.iter().map(|loss| format!(" {loss:8.3}")).collect();
        println!("{:<8}{columns}", format!("{learn:?}"));
        surprise.push(losses[3]);
        learner = Some(session);
    }
    assert!(surprise[2] < surprise[0] && surprise[2] < surprise[1], "the session that learns knows the text best");

    let mut session = learner.expect("the last of the three");
    let info = session.info()?;
    println!(
        "\nafter {} bytes, {} updates, {} bytes of state of its own:",
        info.position, info.updates, info.state_bytes
    );
    for level in session.levels()?.iter().filter(|level| level.layer == 0) {
        println!(
            "  block 0, level {}, chunk {:3}: {:2} updates, moved by {:.4} of {:.2}",
            level.level, level.chunk, level.updates, level.delta_norm, level.weight_norm
        );
    }

    // Score does not teach. Reset forgets what the levels learnt.
    let with = session.score(&new[..256])?.sum;
    session.reset_levels(Levels::ALL)?;
    let without = session.score(&new[..256])?.sum;
    println!("log-probability of 256 bytes: {with:.1} with what the levels learnt, {without:.1} without");
    assert!(with > without);
    assert_eq!(model.parameters()?, weights, "the model is as it was");
    Ok(())
}
