//! 05: watch a long call, stop it from another thread, and read what an error says. The object is valid after each.
//!
//! New here: `Run`, `Cancel`, `Progress`, `Error` with status, place, message, offset and what was committed.
//!
//!     cd bindings/rust && cargo run --example 05_cancel_progress_errors

use std::ops::ControlFlow::{Break, Continue};
use std::time::Duration;

use nested::{Cancel, Config, Context, FitOptions, Learn, Model, Run, Session, Status, Trainer};

fn main() -> nested::Result<()> {
    let context = Context::new()?;
    let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 64, "n_layers": 2}"#)?;
    let model = Model::new(&context, &config, 0)?;
    let mut session = Session::new(&model, Learn::On)?;

    // Another thread stops a call that would take minutes. What was read until then stays read.
    let stop = Cancel::new()?;
    let other = stop.clone();
    let timer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.raise();
    });
    let endless = vec![b'x'; 2_000_000];
    let mut reports = 0;
    let mut run = Run::new().cancel(&stop).every(Duration::from_millis(50)).progress(|progress| {
        reports += 1;
        println!(
            "  {} {} of {:?}, {:.1} s",
            progress.stage,
            progress.done,
            progress.total,
            progress.elapsed.as_secs_f64()
        );
        Continue(())
    });
    let error = session.feed_with(&endless, &mut run).expect_err("the call is stopped");
    drop(run);
    timer.join().expect("no panic");
    let position = session.info()?.position;
    println!("{error}; {position} bytes were read, {reports} reports");
    assert_eq!((error.status(), error.committed()), (Status::Cancelled, Some(position)));

    // Progress itself may stop a call: here when the loss is good enough.
    let mut trainer = Trainer::new(&model, r#"{"lr": 1e-2, "schedule": {"type": "constant"}}"#)?;
    let text = "enough is as good as a feast. ".repeat(50);
    let mut run = Run::new().progress(|p| if p.loss < 2.5 { Break(()) } else { Continue(()) });
    let error = trainer.fit_with(&text, FitOptions { steps: 500, n_seq: 4, seq_len: 32 }, &mut run).unwrap_err();
    println!("training ended after {} steps: {error}", error.committed().unwrap_or(0));
    assert!(error.committed().is_some_and(|steps| steps > 0 && steps < 500));

    // Errors say what is wrong and where: a JSON pointer, an argument, a byte, errno.
    let show = |what: &str, error: nested::Error, status: Status, place: &str| {
        println!("{what}: {} at {:?}: {}", error.status(), error.place(), error.message());
        assert_eq!((error.status(), error.place()), (status, place));
    };
    let bad = Config::from_json(r#"{"kind": "hope", "cms": {"levels": [{"chunk": -5}]}}"#).unwrap_err();
    show("a configuration", bad, Status::Config, "/cms/levels/0/chunk");
    let before = session.output()?;
    show("a token", session.feed(&[1, 2, 999]).unwrap_err(), Status::Range, "tokens[2]");
    assert_eq!((session.output()?, session.info()?.position), (before, position)); // as it was
    let missing = Model::load(&context, "/no/such/file").unwrap_err();
    assert_eq!(missing.os_error(), Some(2));
    println!("a file: {missing}, errno {:?}", missing.os_error());
    let broken = Config::from_json(r#"{"kind": "hope", "#).unwrap_err();
    println!("a text: {broken}");
    assert!(broken.status() == Status::Parse && broken.offset().is_some());

    // A panic in a callback goes on in the caller, and the session can be used again.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        session.feed_with("more", &mut Run::new().progress(|_| panic!("a callback that panics (on purpose)")))
    }));
    assert!(panicked.is_err());
    session.feed("more")?;
    println!("and the session reads on, at {}", session.info()?.position);
    Ok(())
}
