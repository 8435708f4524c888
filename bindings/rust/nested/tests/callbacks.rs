//! Closures: what they are told, how they stop a call, and their panics.

mod common;

use std::cell::Cell;
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{file, model, model_in, stream};
use nested::{
    Batch, Cancel, Context, FitOptions, Learn, LogLevel, Model, Progress, Run, Sampling, Session, Status, Trainer,
};

/// Runs something that panics, without the message, and returns the message.
fn panic_of<R>(body: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).err().expect("a panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

#[test]
fn progress_is_told_how_far_it_is() {
    let model = model();
    let mut trainer = Trainer::new(&model, "").unwrap();
    let mut seen: Vec<Progress> = Vec::new();
    let mut run = Run::new().progress(|progress| {
        seen.push(*progress);
        Continue(())
    });
    trainer.fit_with(&stream(1, 99), FitOptions { steps: 3, n_seq: 1, seq_len: 8 }, &mut run).unwrap();
    drop(run);
    let mut done: Vec<u64> = seen.iter().map(|p| p.done).collect();
    done.dedup();
    assert_eq!(done, [0, 1, 2, 3]);
    assert!(seen.iter().all(|p| p.stage == "fit" && p.total == Some(3)));
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    assert!(first.loss.is_nan() && last.loss > 0.0 && last.elapsed > first.elapsed);

    let mut count = 0;
    let mut rare = Run::new().every(Duration::from_secs(3600)).progress(|_| {
        count += 1;
        Continue(())
    });
    Session::new(&model, ()).unwrap().feed_with(&stream(1, 500), &mut rare).unwrap();
    drop(rare);
    assert_eq!(count, 1, "once before it starts");
}

#[test]
fn every_long_call_stops_when_progress_says_so() {
    let (model, path) = (model(), file("stopped"));
    let mut session = Session::new(&model, ()).unwrap();
    session.feed(&stream(1, 3)).unwrap();
    let mut trainer = Trainer::new(&model, "").unwrap();
    let batch = Batch::new(&stream(1, 20), 2).unwrap();
    let mut calls = 0;
    let mut run = Run::new().progress(|_| {
        calls += 1;
        Break(())
    });
    let saving = nested::SaveOptions::default();
    let on_token = |_: &nested::TokenEvent| -> ControlFlow<()> { unreachable!() };
    model.save(&path).unwrap();
    session.save(path.with_extension("session")).unwrap();
    trainer.save(path.with_extension("trainer")).unwrap();
    let errors = [
        model.evaluate_with(&batch, &mut run).map(drop),
        model.forward_with(&batch, &mut run).map(drop),
        model.save_with(&path, saving, &mut run),
        Model::load_with(model.context(), &path, &mut run).map(drop),
        model.consolidate_with([&session], &Default::default(), &mut run).map(drop),
        trainer.step_with(&batch, &mut run).map(drop),
        trainer.accumulate_with(&batch, &mut run).map(drop),
        trainer.apply_with(&mut run).map(drop),
        trainer.fit_with(&stream(1, 99), FitOptions { steps: 3, n_seq: 1, seq_len: 8 }, &mut run).map(drop),
        trainer.save_with(path.with_extension("trainer"), saving, &mut run),
        trainer.load_with(path.with_extension("trainer"), &mut run),
        session.feed_with(&stream(1, 9), &mut run).map(drop),
        session.feed_logits_with(&stream(1, 9), &mut run).map(drop),
        session.score_with(&stream(1, 9), &mut run).map(drop),
        session.generate_with(9, &Sampling::default(), on_token, &mut run).map(drop),
        session.save_with(path.with_extension("session"), saving, &mut run),
        Session::load_with(&model, path.with_extension("session"), &mut run).map(drop),
        nested::feed_many_with([&mut session], &[1], &mut run).map(drop),
    ];
    drop(run);
    assert_eq!(calls, errors.len());
    for (i, error) in errors.into_iter().enumerate() {
        assert_eq!(error.unwrap_err().status(), Status::Cancelled, "call {i}");
    }
    assert_eq!(session.info().unwrap().position, 3);
    for suffix in ["", "session", "trainer"] {
        std::fs::remove_file(path.with_extension(suffix)).unwrap();
    }
}

#[test]
fn another_thread_cancels_a_call() {
    let model = model();
    let cancel = Cancel::new().unwrap();
    let mut session = Session::new(&model, Learn::On).unwrap();
    let tokens = stream(1, 2_000_000);
    let error = std::thread::scope(|scope| {
        let other = cancel.clone();
        let (began, begin) = std::sync::mpsc::channel();
        scope.spawn(move || {
            begin.recv().unwrap();
            other.raise();
        });
        let mut run = Run::new().cancel(&cancel).progress(|progress| {
            if progress.done > 100 {
                let _ = began.send(());
            }
            Continue(())
        });
        session.feed_with(&tokens, &mut run).unwrap_err()
    });
    assert!(cancel.is_raised() && format!("{cancel:?}") == "Cancel(true)");
    assert_eq!(error.status(), Status::Cancelled);
    let position = session.info().unwrap().position;
    assert!(position > 100 && error.committed() == Some(position));

    // The same state as a session that was fed exactly that.
    let mut other = Session::new(&model, Learn::On).unwrap();
    other.feed(&tokens[..position as usize]).unwrap();
    cancel.clear();
    let mut run = Run::new().cancel(&cancel);
    session.feed_with(&[1, 2, 3], &mut run).unwrap();
    other.feed(&[1, 2, 3]).unwrap();
    assert_eq!(session.output().unwrap(), other.output().unwrap());
}

#[test]
fn a_cancelled_fit_keeps_its_steps() {
    let model = model();
    let mut trainer = Trainer::new(&model, "").unwrap();
    let mut run = Run::new().progress(|p| if p.done == 2 { Break(()) } else { Continue(()) });
    let options = FitOptions { steps: 5, n_seq: 1, seq_len: 8 };
    let error = trainer.fit_with(&stream(1, 99), options, &mut run).unwrap_err();
    assert_eq!((error.status(), error.committed()), (Status::Cancelled, Some(2)));
    assert_eq!(trainer.step(&Batch::new(&stream(1, 8), 1).unwrap()).unwrap().step, 3);
}

#[test]
fn a_panic_in_progress_goes_on_after_the_call() {
    let model = model();
    let mut session = Session::new(&model, Learn::On).unwrap();
    let message = panic_of(|| {
        let mut run = Run::new().progress(|p| if p.done > 100 { panic!("at {}", p.done) } else { Continue(()) });
        session.feed_with(&stream(1, 1000), &mut run)
    });
    let position = session.info().unwrap().position;
    assert!(message.starts_with("at ") && position > 100 && position < 1000);
    session.feed(&stream(2, 10)).unwrap();
    assert_eq!(session.info().unwrap().position, position + 10);
}

#[test]
fn a_panic_in_the_token_closure_goes_on_after_the_call() {
    let model = model();
    let mut session = Session::new(&model, ()).unwrap();
    session.feed(&stream(1, 5)).unwrap();
    let on_token = |event: &nested::TokenEvent| if event.index == 3 { panic!("four") } else { Continue(()) };
    let message = panic_of(|| session.generate_with(20, &Sampling::default(), on_token, &mut Run::new()));
    assert_eq!(message, "four");
    let position = session.info().unwrap().position;
    assert!((8..=9).contains(&position), "{position}");
    session.generate(5, &Sampling::default()).unwrap();
}

#[test]
fn a_panic_in_allreduce_applies_nothing() {
    let model = model();
    let before = model.parameters().unwrap();
    let mut trainer = Trainer::new(&model, "").unwrap();
    trainer.set_allreduce(0, |_| panic!("no network")).unwrap();
    let batch = Batch::new(&stream(1, 20), 2).unwrap();
    assert_eq!(panic_of(|| trainer.step(&batch)), "no network");
    assert_eq!(model.parameters().unwrap(), before);
    trainer.clear_allreduce().unwrap();
    assert!(trainer.step(&batch).unwrap().applied);
}

#[test]
fn a_panic_in_the_log_loses_no_object() {
    let angry = Arc::new(Mutex::new(false));
    let records = Arc::new(Mutex::new(Vec::new()));
    let (closure_angry, closure_records) = (angry.clone(), records.clone());
    let context = Context::builder()
        .threads(1)
        .log(LogLevel::Debug, move |record| {
            closure_records.lock().unwrap().push((record.level, record.component, record.message.to_owned()));
            let angry = *closure_angry.lock().unwrap();
            assert!(!angry, "disk full");
        })
        .build()
        .unwrap();
    let model = model_in(&context);
    let bytes = model.to_bytes().unwrap();
    assert!(records.lock().unwrap().iter().any(|(level, _, message)| *level == LogLevel::Info && !message.is_empty()));
    let alive = context.memory().unwrap().in_use;
    *angry.lock().unwrap() = true;
    assert_eq!(panic_of(|| Model::from_bytes(&context, &bytes[..9])), "disk full");
    assert_eq!(panic_of(|| model_in(&context)), "disk full");
    *angry.lock().unwrap() = false;
    assert_eq!(context.memory().unwrap().in_use, alive, "the model whose creation was logged is gone");

    // The closure lives as long as what logs into it.
    drop((context, records));
    drop(model.context().clone());
    let error = model.tensors().get("none").unwrap_err();
    assert_eq!(error.status(), Status::NotFound);
    assert_eq!(Arc::strong_count(&angry), 2);
    let session = Session::new(&model, ()).unwrap();
    drop(model);
    assert_eq!(Arc::strong_count(&angry), 2);
    drop(session);
    assert_eq!(Arc::strong_count(&angry), 1);
}

#[test]
fn a_busy_object_is_reentrant_and_others_are_free() {
    let model = model();
    let batch = Batch::new(&stream(1, 20), 2).unwrap();
    let mut other = Session::new(&model, ()).unwrap();
    let stranger = common::model();
    let mut run = Run::new().progress(|_| {
        assert_eq!(model.evaluate(&batch).unwrap_err().status(), Status::Reentrant);
        assert_eq!(other.feed(&[1]).unwrap_err().status(), Status::Reentrant);
        stranger.evaluate(&batch).unwrap();
        Continue(())
    });
    model.evaluate_with(&batch, &mut run).unwrap();
    drop(run);

    // A session's own callbacks may use the model and its other sessions.
    let mut session = Session::new(&model, ()).unwrap();
    let mut run = Run::new().progress(|_| {
        model.evaluate(&batch).unwrap();
        other.feed(&[1]).unwrap();
        Continue(())
    });
    session.feed_with(&[1, 2], &mut run).unwrap();
}

#[test]
fn a_panic_passes_through_nested_calls() {
    let (model, stranger) = (model(), common::model());
    let batch = Batch::new(&stream(1, 20), 2).unwrap();
    let depth = Cell::new(0);
    let message = panic_of(|| {
        let mut outer = Run::new().progress(|_| {
            let mut inner = Run::new().progress(|_| {
                depth.set(2);
                panic!("deep")
            });
            let _ = stranger.evaluate_with(&batch, &mut inner);
            unreachable!("the panic goes on");
        });
        model.evaluate_with(&batch, &mut outer)
    });
    assert_eq!((message.as_str(), depth.get()), ("deep", 2));
    model.evaluate(&batch).unwrap();
    stranger.evaluate(&batch).unwrap();
}
