//! 04: one model, many users: a session for each, in parallel threads, with the results of one after another.
//!
//! New here: `ContextBuilder`, sessions in threads, `feed_many`.
//!
//!     cd bindings/rust && cargo run --example 04_many_sessions

use nested::{feed_many, Config, Context, Learn, Model, Session, SessionOptions};

/// Reads a user's text, in pieces as they might come in, and says what comes next.
fn read(model: &Model, text: &str) -> nested::Result<Session> {
    let mut session = Session::new(model, SessionOptions { learn: Learn::On, seed: 1 })?;
    for piece in text.as_bytes().chunks(100) {
        session.feed(piece)?;
    }
    Ok(session)
}

fn main() -> nested::Result<()> {
    let context = Context::builder().threads(2).memory_limit(200 << 20).build()?;
    let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2}"#)?;
    let model = Model::new(&context, &config, 0)?;
    let texts: Vec<String> = (0..6).map(|i| format!("user {i} likes the number {}. ", i * 7).repeat(20)).collect();

    // Each thread has a session of its own; they share the weights, which nobody changes.
    let mut sessions = std::thread::scope(|scope| {
        let threads: Vec<_> = texts.iter().map(|text| scope.spawn(|| read(&model, text))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<nested::Result<Vec<_>>>()
    })?;

    for (session, text) in sessions.iter().zip(&texts) {
        let alone = read(&model, text)?;
        let same = session.output()? == alone.output()? && session.levels()? == alone.levels()?;
        println!(
            "{:>4} bytes, {:>2} updates; the same bits as alone: {same}",
            session.info()?.position,
            session.info()?.updates
        );
        assert!(same);
    }

    // The next byte for all of them in one call.
    let logits = feed_many(&mut sessions, "uuuuuu")?;
    for (user, row) in logits.chunks(model.vocab()).enumerate() {
        let likely = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a vocabulary is not empty");
        println!("user {user}: after 'u' comes {:?}", char::from(likely as u8));
    }
    let memory = context.memory()?;
    println!("{} KiB in use, {} KiB at most", memory.in_use >> 10, memory.peak >> 10);
    Ok(())
}
