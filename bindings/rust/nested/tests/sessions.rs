//! Sessions: streams, generation, snapshots, files, levels, consolidation.

mod common;

use std::ops::ControlFlow;

use common::{bits, file, model, stream};
use nested::{
    feed_many, Batch, Consolidation, Finish, Learn, LevelControl, Levels, Model, Run, Sampling, Session,
    SessionOptions, Snapshot, Status,
};

fn learning(model: &Model) -> Session {
    Session::new(model, Learn::On).unwrap()
}

#[test]
fn a_stream_does_not_depend_on_how_it_is_cut() {
    let model = model();
    let tokens = stream(1, 150);
    let (mut whole, mut cut) = (learning(&model), learning(&model));
    let logits = whole.feed_logits(&tokens).unwrap();
    let mut pieces = Vec::new();
    for piece in tokens.chunks(7) {
        pieces.extend(cut.feed_logits(piece).unwrap());
    }
    assert_eq!(logits.len(), 150 * 64);
    assert_eq!(bits(&logits), bits(&pieces));
    assert_eq!(whole.output().unwrap(), logits[149 * 64..]);
    let info = whole.info().unwrap();
    assert_eq!((info.position, info.learn, info.skipped), (150, Learn::On, 0));
    assert!(info.updates > 0 && info.updates == cut.info().unwrap().updates);
}

#[test]
fn feed_tells_loss_and_updates() {
    let model = model();
    let mut session = learning(&model);
    let first = session.feed(&[1]).unwrap();
    assert!(first.consumed == 1 && first.loss.is_nan() && first.updates == 0);
    let fed = session.feed(&stream(1, 80)).unwrap();
    assert_eq!(fed.consumed, 80);
    assert!(fed.loss > 0.0);
    assert_eq!(fed.updates, session.info().unwrap().updates);
    session.reset().unwrap();
    assert_eq!(session.info().unwrap().position, 0);
}

#[test]
fn modes_can_be_switched() {
    let model = model();
    let mut session = Session::new(&model, ()).unwrap();
    assert_eq!(session.info().unwrap().learn, Learn::Memory);
    assert_eq!(session.feed(&stream(1, 80)).unwrap().updates, 0);
    session.set_learn(Learn::On).unwrap();
    assert!(session.feed(&stream(1, 80)).unwrap().updates > 0);
    session.set_learn(Learn::Off).unwrap();
    assert_eq!(session.info().unwrap().learn, Learn::Off);
    assert!(format!("{session:?}").contains("Off"));
    assert_eq!(session.model().info().unwrap(), model.info().unwrap());
}

#[test]
fn score_does_not_move_the_session() {
    let model = model();
    let mut session = learning(&model);
    let fresh = session.score(&stream(2, 5)).unwrap();
    assert!(fresh.logprobs[0].is_nan() && fresh.sum.is_finite());
    session.feed(&stream(1, 20)).unwrap();
    let before = session.output().unwrap();
    let score = session.score(&stream(2, 5)).unwrap();
    let sum: f64 = score.logprobs.iter().map(|&x| f64::from(x)).sum();
    assert!(score.logprobs.len() == 5 && (score.sum - sum).abs() < 1e-4);
    assert_eq!(session.output().unwrap(), before);
}

#[test]
fn generation_depends_on_seed_and_position_only() {
    let model = model();
    let sampling = Sampling { temperature: 1.0, top_k: 30, top_p: 0.95, ..Sampling::default() };
    let passage = |seed: u64| {
        let mut session = Session::new(&model, SessionOptions { seed, ..Default::default() }).unwrap();
        session.feed(&stream(1, 10)).unwrap();
        let generated = session.generate(30, &sampling).unwrap();
        assert_eq!((generated.finish, generated.tokens.len()), (Finish::Length, 30));
        assert_eq!(session.info().unwrap().position, 40);
        generated.tokens
    };
    assert_eq!(passage(1), passage(1));
    assert_ne!(passage(1), passage(2));
}

#[test]
fn generation_stops_where_it_is_told() {
    let model = model();
    let mut session = Session::new(&model, ()).unwrap();
    session.feed(&stream(1, 10)).unwrap();
    let start = session.snapshot().unwrap();
    let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
    let mut events = Vec::new();
    let go_on = |event: &nested::TokenEvent| {
        events.push(*event);
        ControlFlow::Continue(())
    };
    let whole = session.generate_with(20, &sampling, go_on, &mut Run::new()).unwrap();
    assert_eq!(events.iter().map(|e| e.token).collect::<Vec<_>>(), whole.tokens);
    assert!(events.iter().enumerate().all(|(i, e)| e.index == i as u64 && e.logprob < 0.0));

    session.restore(&start).unwrap();
    let sixth = |event: &nested::TokenEvent| {
        if event.index == 5 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let cut = session.generate_with(20, &sampling, sixth, &mut Run::new()).unwrap();
    assert_eq!((cut.finish, &cut.tokens[..]), (Finish::Callback, &whole.tokens[..6]));

    session.restore(&start).unwrap();
    let last = *whole.tokens.last().unwrap();
    let first = whole.tokens.iter().position(|&t| t == last).unwrap();
    let stopped = session.generate(20, &Sampling { stop: vec![last], ..sampling }).unwrap();
    assert_eq!((stopped.finish, &stopped.tokens[..]), (Finish::Stop, &whole.tokens[..=first]));
}

#[test]
fn a_bias_forbids_tokens() {
    let model = model();
    let mut session = Session::new(&model, ()).unwrap();
    session.feed(&[1]).unwrap();
    let mut logit_bias = vec![f32::NEG_INFINITY; 64];
    logit_bias[42] = 0.0;
    let only = session.generate(5, &Sampling { logit_bias, ..Sampling::default() }).unwrap();
    assert_eq!(only.tokens, [42; 5]);
    assert_eq!(only.text(), "*****");
    let short = Sampling { logit_bias: vec![0.0; 63], ..Sampling::default() };
    assert_eq!(session.generate(5, &short).unwrap_err().place(), "sampling.logit_bias");
    let negative = Sampling { temperature: -1.0, ..Sampling::default() };
    assert_eq!(session.generate(5, &negative).unwrap_err().status(), Status::Range);
    assert!(session.generate(usize::MAX, &Sampling::default()).is_err());
}

#[test]
fn a_fork_goes_its_own_way() {
    let model = model();
    let mut session = learning(&model);
    session.feed(&stream(1, 50)).unwrap();
    let mut branch = session.fork().unwrap();
    session.feed(&stream(2, 50)).unwrap();
    assert_eq!(branch.info().unwrap().position, 50);
    branch.feed(&stream(2, 50)).unwrap();
    assert_eq!(bits(&branch.output().unwrap()), bits(&session.output().unwrap()));
}

#[test]
fn a_session_is_saved_and_goes_on_bit_for_bit() {
    let (path, model) = (file("session"), model());
    let mut session = learning(&model);
    session.feed(&stream(1, 77)).unwrap();
    session.save(&path).unwrap();
    let snapshot = session.snapshot().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), snapshot.to_bytes().unwrap());
    session.feed(&stream(2, 50)).unwrap();

    let mut loaded = Session::load(&model, &path).unwrap();
    loaded.feed(&stream(2, 50)).unwrap();
    assert_eq!(bits(&loaded.output().unwrap()), bits(&session.output().unwrap()));
    let mut restored = Session::new(&model, ()).unwrap();
    restored.restore(&Snapshot::from_bytes(&model, &snapshot.to_bytes().unwrap()).unwrap()).unwrap();
    restored.feed(&stream(2, 50)).unwrap();
    assert_eq!(bits(&restored.output().unwrap()), bits(&session.output().unwrap()));
    assert_eq!(restored.info().unwrap().learn, Learn::On);
    assert!(format!("{:?}", snapshot.clone()).starts_with("Snapshot"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_delta_carries_what_was_learnt_to_the_same_weights_only() {
    let (path, model) = (file("delta"), model());
    let mut session = Session::new(&model, SessionOptions { learn: Learn::On, seed: 9 }).unwrap();
    session.feed(&stream(1, 100)).unwrap();
    session.save_delta(&path).unwrap();
    let bytes = session.snapshot().unwrap().delta_to_bytes().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(bytes.len() < session.snapshot().unwrap().to_bytes().unwrap().len());

    let loaded = Session::load(&model, &path).unwrap();
    let info = loaded.info().unwrap();
    assert_eq!((info.position, info.learn, info.seed), (0, Learn::On, 9));
    for (a, b) in loaded.levels().unwrap().iter().zip(session.levels().unwrap()) {
        assert_eq!(a.delta_norm, b.delta_norm);
    }
    let merged = |s: &Session| model.consolidate([s], &Consolidation::default()).unwrap().parameters().unwrap();
    assert_eq!(bits(&merged(&loaded)), bits(&merged(&session)));

    let other = Model::new(model.context(), &model.config().unwrap(), 8).unwrap();
    let error = Session::load(&other, &path).unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::Mismatch, "nested.weights"));
    let error = Snapshot::from_bytes(&other, &bytes).unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::Mismatch, "nested.weights"));
    let narrow = nested::Config::from_json(r#"{"kind": "hope", "vocab": 64, "d_model": 16, "n_layers": 1}"#).unwrap();
    let other = Model::new(model.context(), &narrow, 7).unwrap();
    let error = Session::load(&other, &path).unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::Mismatch, "nested.fingerprint"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn many_sessions_are_fed_as_each_alone() {
    let model = model();
    let open = || (0..3).map(|_| learning(&model)).collect::<Vec<_>>();
    let (mut many, mut alone) = (open(), open());
    let tokens = stream(1, 60);
    for round in tokens.chunks(3) {
        let logits = feed_many(&mut many, round).unwrap();
        for (i, session) in alone.iter_mut().enumerate() {
            let one = session.feed_logits(&round[i..=i]).unwrap();
            assert_eq!(bits(&one), bits(&logits[i * 64..][..64]));
        }
    }
    let other = common::model();
    let mut stranger = Session::new(&other, ()).unwrap();
    let error = feed_many(many.iter_mut().chain([&mut stranger]), &[0; 4]).unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::Mismatch, "sessions[3]"));
}

#[test]
fn levels_learn_at_their_own_periods() {
    let model = model();
    let mut session = learning(&model);
    session.feed(&stream(1, 65)).unwrap();
    let levels = session.levels().unwrap();
    assert_eq!(levels.len(), 6);
    assert_eq!(
        levels.iter().map(|l| (l.layer, l.level)).collect::<Vec<_>>(),
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    );
    let (fast, slow, fixed) = (levels[0], levels[1], levels[2]);
    assert_eq!((fast.chunk, fast.updates, fast.last_update), (8, 8, Some(64)));
    assert_eq!((slow.chunk, slow.updates, slow.next_update), (32, 2, Some(96)));
    assert_eq!((fixed.updates, fixed.last_update, fixed.next_update), (0, None, None));
    assert!(fast.delta_norm > 0.0 && fixed.delta_norm == 0.0 && fast.learning_rate == f64::from(0.05f32));
    assert_eq!(session.level(2, 0).unwrap_err().status(), Status::Range);
    assert_eq!(session.level(usize::MAX, 0).unwrap_err().status(), Status::Range);

    let fastest = Levels { level: Some(0), ..Levels::ALL };
    session.control_levels(fastest, LevelControl { frozen: Some(true), ..Default::default() }).unwrap();
    session.control_levels(Levels::ALL, LevelControl { lr_scale: Some(0.5), ..Default::default() }).unwrap();
    session.feed(&stream(2, 64)).unwrap();
    assert!(session.level(0, 0).unwrap().frozen);
    assert_eq!(session.level(0, 0).unwrap().updates, 8);
    assert_eq!(session.level(1, 1).unwrap().learning_rate, slow.learning_rate / 2.0);
    session.control_levels(fastest, LevelControl { frozen: Some(false), ..Default::default() }).unwrap();
    assert!(!session.level(1, 0).unwrap().frozen);
    for scale in [0.0, -1.0, f64::NAN] {
        assert!(session
            .control_levels(Levels::ALL, LevelControl { lr_scale: Some(scale), ..Default::default() })
            .is_err());
    }

    session.feed(&stream(3, 5)).unwrap();
    let before = session.level(0, 1).unwrap();
    session.flush_levels(Levels { layer: Some(0), level: Some(1) }).unwrap();
    assert_eq!(session.level(0, 1).unwrap().updates, before.updates + 1);
    session.reset_levels(Levels { layer: Some(0), ..Levels::ALL }).unwrap();
    assert_eq!(session.level(0, 1).unwrap().delta_norm, 0.0);
    assert!(session.level(1, 1).unwrap().delta_norm > 0.0);
}

#[test]
fn sessions_are_consolidated_into_a_new_model() {
    let model = model();
    let before = model.parameters().unwrap();
    let (mut a, mut b) = (learning(&model), learning(&model));
    a.feed(&stream(1, 100)).unwrap();
    b.feed(&stream(2, 100)).unwrap();
    let with = |options: Consolidation| model.consolidate([&a, &b], &options);
    let merged = with(Consolidation::default()).unwrap().parameters().unwrap();
    assert_ne!(merged, before);
    assert_eq!(model.parameters().unwrap(), before);

    let weighted = Consolidation { session_weights: vec![2.0, 0.0], ..Default::default() };
    let only_a = model.consolidate([&a], &Consolidation::default()).unwrap().parameters().unwrap();
    assert_eq!(bits(&with(weighted).unwrap().parameters().unwrap()), bits(&only_a));
    let fastest = with(Consolidation { levels: vec![0], ..Default::default() }).unwrap();
    let slow = "blocks.0.cms.1.up.weight";
    assert_eq!(fastest.tensors().get(slow).unwrap(), model.tensors().get(slow).unwrap());

    for (options, status) in [
        (Consolidation { session_weights: vec![1.0], ..Default::default() }, Status::Shape),
        (Consolidation { strength: 0.0, ..Default::default() }, Status::Range),
        (Consolidation { levels: vec![3], ..Default::default() }, Status::Range),
        (Consolidation { levels: vec![32], ..Default::default() }, Status::Range),
        (Consolidation { levels: vec![usize::MAX], ..Default::default() }, Status::Range),
    ] {
        assert_eq!(with(options.clone()).unwrap_err().status(), status, "{options:?}");
    }
    assert_eq!(model.consolidate([], &Consolidation::default()).unwrap_err().status(), Status::Argument);
    let batch = Batch::new(&stream(1, 50), 1).unwrap();
    assert!(model.evaluate(&batch).unwrap().loss.is_finite());
}
