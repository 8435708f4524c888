//! What may cross threads, and that threads change nothing.

mod common;

use common::{bits, context, model, model_in, stream};
use nested::*;

fn send_and_sync<T: Send + Sync + 'static>() {}
fn send<T: Send>() {}

#[test]
fn objects_cross_threads() {
    send_and_sync::<Context>();
    send_and_sync::<Config>();
    send_and_sync::<Model>();
    send_and_sync::<Tensors>();
    send_and_sync::<Trainer>();
    send_and_sync::<Session>();
    send_and_sync::<Snapshot>();
    send_and_sync::<Cancel>();
    send_and_sync::<Error>();
    send_and_sync::<Batch>();
    send::<Gradient<'_>>();
}

/// Runs `threads` streams, each in a thread of its own or one after another.
fn outputs(model: &Model, parallel: bool) -> Vec<Vec<u32>> {
    let work = |i: u64| {
        let mut session = Session::new(model, Learn::On).unwrap();
        session.feed(&stream(i, 300)).unwrap();
        let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
        session.generate(20, &sampling).unwrap();
        bits(&session.output().unwrap())
    };
    if !parallel {
        return (0..4).map(work).collect();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|i| scope.spawn(move || work(i))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn streams_in_threads_equal_streams_one_after_another() {
    let serial = outputs(&model(), false);
    for threads in [1, 2, 3] {
        assert_eq!(outputs(&model_in(&context(threads)), true), serial, "{threads} threads");
    }
}

#[test]
fn shared_calls_run_side_by_side() {
    let model = model();
    let mut session = Session::new(&model, ()).unwrap();
    session.feed(&stream(1, 20)).unwrap();
    let expected = session.score(&stream(2, 50)).unwrap();
    let (session, expected) = (&session, &expected);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(&session.score(&stream(2, 50)).unwrap(), expected);
                    session.snapshot().unwrap().to_bytes().unwrap();
                    session.fork().unwrap().feed(&[1]).unwrap();
                }
            });
        }
    });
    assert_eq!(session.info().unwrap().position, 20);
}

#[test]
fn weights_change_while_sessions_read() {
    let model = model();
    let tokens = stream(1, 400);
    std::thread::scope(|scope| {
        let (model, tokens) = (&model, &tokens);
        let reader = scope.spawn(move || {
            let mut session = Session::new(model, ()).unwrap();
            session.feed(tokens).unwrap();
            session.output().unwrap()
        });
        scope.spawn(move || {
            let mut trainer = Trainer::new(model, "").unwrap();
            trainer.fit(tokens, FitOptions { steps: 5, n_seq: 2, seq_len: 16 }).unwrap();
        });
        assert!(reader.join().unwrap().iter().all(|x| x.is_finite()));
    });
}

#[test]
fn sessions_move_to_the_thread_that_wants_them() {
    let model = model();
    let mut session = Session::new(&model, Learn::On).unwrap();
    drop(model);
    for i in 0..3 {
        session = std::thread::spawn(move || {
            session.feed(&stream(i, 20)).unwrap();
            session
        })
        .join()
        .unwrap();
    }
    assert_eq!(session.info().unwrap().position, 60);
}
