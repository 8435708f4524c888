//! Nothing is left behind, in whatever order things go. One test, because the count is the process's.

mod common;

use common::{context, file, model_in, stream};
use nested::*;

struct Everything(Vec<Box<dyn std::any::Any + Send>>);

fn everything() -> Everything {
    let context = context(2);
    let model = model_in(&context);
    let config = model.config().unwrap();
    let mut trainer = Trainer::new(&model, "").unwrap();
    trainer.set_allreduce(0, |_| Ok(())).unwrap();
    trainer.step(&Batch::new(&stream(1, 20), 2).unwrap()).unwrap();
    let mut session = Session::new(&model, Learn::On).unwrap();
    session.feed(&stream(1, 50)).unwrap();
    let (fork, snapshot) = (session.fork().unwrap(), session.snapshot().unwrap());
    let merged = model.consolidate([&session, &fork], &Consolidation::default()).unwrap();
    let (tensors, duplicate, cancel) = (merged.tensors(), model.duplicate().unwrap(), Cancel::new().unwrap());
    let again = Snapshot::from_bytes(&model, &snapshot.to_bytes().unwrap()).unwrap();
    Everything(vec![
        Box::new(context),
        Box::new(model),
        Box::new(config),
        Box::new(trainer),
        Box::new(session),
        Box::new(fork),
        Box::new(snapshot),
        Box::new(merged),
        Box::new(tensors),
        Box::new(duplicate),
        Box::new(cancel),
        Box::new(again),
    ])
}

#[test]
fn nothing_is_left() {
    assert_eq!(live_handles(HandleKind::Any), 0);
    let Everything(objects) = everything();
    assert_eq!(live_handles(HandleKind::Model), 3);
    assert_eq!(live_handles(HandleKind::Session), 2);
    drop(objects);
    assert_eq!(live_handles(HandleKind::Any), 0);

    let Everything(objects) = everything();
    objects.into_iter().rev().for_each(drop);
    assert_eq!(live_handles(HandleKind::Any), 0);

    // Each at a place that a generator chooses, half of them in another thread.
    for seed in 1..=10u64 {
        let Everything(mut objects) = everything();
        let mut state = seed;
        while !objects.is_empty() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let object = objects.swap_remove((state >> 33) as usize % objects.len());
            if state >> 60 & 1 == 0 {
                drop(object);
            } else {
                std::thread::spawn(move || drop(object)).join().unwrap();
            }
        }
        assert_eq!(live_handles(HandleKind::Any), 0, "seed {seed}");
    }

    // Calls that fail or panic leave nothing either.
    let context = context(1);
    let before = live_handles(HandleKind::Any);
    for _ in 0..20 {
        assert!(Config::from_json("{").is_err());
        assert!(Model::load(&context, file("none")).is_err());
        let panicked = std::panic::catch_unwind(|| {
            let model = model_in(&context);
            let mut session = Session::new(&model, ()).unwrap();
            let mut run = Run::new().progress(|_| panic!("expected by this test"));
            session.feed_with(&[1], &mut run)
        });
        assert!(panicked.is_err());
    }
    assert_eq!(live_handles(HandleKind::Any), before);
    drop(context);
    assert_eq!(live_handles(HandleKind::Any), 0);
}
