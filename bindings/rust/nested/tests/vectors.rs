//! Models that read vectors: labels, numbers, teaching, predicting, labels that are new.

mod common;

use std::ops::ControlFlow::Break;

use common::{bits, context, file};
use nested::{Batch, Config, Learn, Model, Run, Session, Status, Task, Trainer, IGNORE_TARGET};

fn classifier() -> Model {
    let config = r#"{"kind": "cms", "task": "classify", "inputs": 3, "classes": 2, "d_model": 16, "n_layers": 1,
        "cms": {"levels": [{"chunk": 4, "hidden": 16, "lr": 0.05}, {"chunk": 0, "hidden": 16}]}}"#;
    Model::new(&context(1), &Config::from_json(config).unwrap(), 7).unwrap()
}

/// Rows of `length` vectors around the centre of their class.
fn rows(first: i32, n: usize, length: usize) -> Batch {
    let mut inputs = Vec::new();
    for i in 0..n * length {
        let class = first as usize + (i / length) % 2;
        inputs.extend(
            (0..3).map(|j| ((class * 7 + j * 5 + class * j * 3) % 9) as f32 / 4.0 - 1.0 + (i % 5) as f32 / 40.0),
        );
    }
    let labels: Vec<i32> = (0..n as i32).map(|row| first + row % 2).collect();
    Batch::vectors(inputs, n, length).unwrap().labels(labels).unwrap()
}

#[test]
fn batches_are_checked() {
    assert_eq!(Batch::vectors([1.0; 5], 2, 1).unwrap_err().place(), "batch.inputs");
    assert_eq!(Batch::vectors([], 2, 1).unwrap_err().status(), Status::Shape);
    let batch = Batch::vectors([1.0; 12], 2, 3).unwrap();
    assert_eq!((batch.n_seq(), batch.seq_len(), batch.n_inputs()), (2, 3, 2));
    assert!(batch.clone().labels([1, IGNORE_TARGET]).is_ok() && batch.clone().labels([1; 6]).is_ok());
    assert_eq!(batch.clone().labels([1; 3]).unwrap_err().place(), "batch.labels");
    assert!(batch.clone().values([1.0; 8], 4).is_ok() && batch.clone().values([1.0; 24], 4).is_ok());
    assert_eq!(batch.clone().values([1.0; 9], 4).unwrap_err().place(), "batch.labels");
    assert_eq!(batch.weights([1.0; 3]).unwrap_err().place(), "batch.weights");
}

#[test]
fn a_model_is_trained_on_labelled_rows() {
    let model = classifier();
    let info = model.info().unwrap();
    assert_eq!((info.task, info.vocab, info.n_inputs, info.n_outputs), (Task::Classify, 0, 3, 2));
    let batch = rows(0, 8, 2);
    let mut trainer = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#).unwrap();
    let before = trainer.step(&batch).unwrap().loss;
    for _ in 0..60 {
        trainer.step(&batch).unwrap();
    }
    let after = model.evaluate(&batch).unwrap();
    assert!(after.loss < before && after.accuracy == 1.0 && after.targets == 8.0, "{after:?}");
    let answers = model.forward_rows(&batch).unwrap();
    assert_eq!((answers.len(), model.forward(&batch).unwrap().len()), (8 * 2, 8 * 2 * 2));
    for (row, answer) in answers.chunks(2).enumerate() {
        assert_eq!(answer[1] > answer[0], row % 2 == 1);
    }
    let positions = Batch::vectors([0.5; 12], 2, 2).unwrap().labels([0, 1, IGNORE_TARGET, 1]).unwrap();
    assert_eq!(model.evaluate(&positions.weights([1.0, 2.0, 1.0, 0.5]).unwrap()).unwrap().targets, 3.5);
}

#[test]
fn a_session_is_taught_and_learns_new_labels() {
    let model = classifier();
    let before = model.parameters().unwrap();
    let mut session = Session::new(&model, Learn::On).unwrap();
    let first = session.teach(&rows(0, 8, 1)).unwrap();
    for _ in 0..40 {
        session.teach(&rows(0, 8, 1)).unwrap();
    }
    assert!(session.teach(&rows(0, 8, 1)).unwrap().loss < first.loss);
    session.teach(&rows(5, 2, 1)).unwrap(); // labels 5 and 6 are new
    let info = session.info().unwrap();
    assert_eq!((info.n_outputs, model.n_outputs()), (7, 2));
    assert_eq!(info.position, 42 * 8 + 2);
    let unlabelled = rows(0, 4, 3);
    let answers = session.predict(&unlabelled).unwrap();
    assert_eq!((answers.len(), session.predict_positions(&unlabelled).unwrap().len()), (4 * 7, 4 * 3 * 7));
    assert_eq!(session.info().unwrap(), info, "predicting changes nothing");
    assert_eq!(model.parameters().unwrap(), before);

    // The head is the last of the levels.
    let levels = session.levels().unwrap();
    assert_eq!((levels.len(), levels[2].layer, levels[2].level), (3, 1, 0));
    assert!(levels[2].updates > 0 && levels[2].delta_norm > 0.0);

    // It comes back from files with what it learnt.
    let path = file("taught");
    session.save(&path).unwrap();
    let mut loaded = Session::load(&model, &path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut fork = session.fork().unwrap();
    for other in [&mut loaded, &mut fork] {
        assert_eq!(bits(&other.predict(&unlabelled).unwrap()), bits(&answers));
        other.teach(&rows(5, 4, 1)).unwrap();
    }
    assert_eq!(bits(&loaded.predict(&unlabelled).unwrap()), bits(&fork.predict(&unlabelled).unwrap()));
    let consolidated = model.consolidate([&session], &Default::default()).unwrap();
    assert_eq!(consolidated.n_outputs(), 7);
}

#[test]
fn vectors_are_fed_however_they_are_cut() {
    let model = classifier();
    let inputs: Vec<f32> = (0..30 * 3).map(|i| ((i * 7) % 11) as f32 / 11.0).collect();
    let (mut whole, mut cut) = (Session::new(&model, Learn::On).unwrap(), Session::new(&model, Learn::On).unwrap());
    let all = whole.feed_vectors_outputs(&inputs).unwrap();
    assert_eq!(all.len(), 30 * 2);
    let mut parts = cut.feed_vectors_outputs(&inputs[..3]).unwrap();
    assert_eq!(cut.feed_vectors(&inputs[3..18]).unwrap().consumed, 5);
    parts.extend(cut.feed_vectors_outputs(&inputs[18..]).unwrap());
    assert_eq!(bits(&parts[2..]), bits(&all[6 * 2..]));
    assert_eq!(bits(&cut.output().unwrap()), bits(&all[29 * 2..]));
    assert_eq!(cut.feed_vectors(&inputs[1..]).unwrap_err().status(), Status::Shape);
    assert_eq!(cut.feed_vectors(&[f32::NAN; 3]).unwrap_err().status(), Status::Numeric);
    assert_eq!(cut.info().unwrap().position, 30);
}

#[test]
fn numbers_are_learnt_too() {
    let config = r#"{"kind": "cms", "task": "regress", "inputs": 2, "outputs": 2, "d_model": 16, "n_layers": 1,
        "cms": {"levels": [{"chunk": 4, "hidden": 16, "lr": 0.02}]}}"#;
    let model = Model::new(&context(1), &Config::from_json(config).unwrap(), 7).unwrap();
    let batch = Batch::vectors([0.0, 1.0, 1.0, 0.0], 2, 1).unwrap().values([1.0, -1.0, f32::NAN, 0.5], 2).unwrap();
    let mut session = Session::new(&model, Learn::On).unwrap();
    let before = session.teach(&batch).unwrap();
    assert!(before.accuracy.is_nan() && before.perplexity.is_nan());
    for _ in 0..200 {
        session.teach(&batch).unwrap();
    }
    assert!(session.teach(&batch).unwrap().loss < before.loss / 2.0);
    assert_eq!(session.predict(&batch).unwrap().len(), 4);
}

#[test]
fn long_calls_stop_when_progress_says_so() {
    let model = classifier();
    let mut session = Session::new(&model, Learn::On).unwrap();
    let (batch, vectors) = (rows(0, 4, 1), [0.5; 30]);
    let mut calls = 0;
    let mut run = Run::new().progress(|_| {
        calls += 1;
        Break(())
    });
    let errors = [
        model.forward_rows_with(&batch, &mut run).map(drop),
        session.teach_with(&batch, &mut run).map(drop),
        session.predict_with(&batch, &mut run).map(drop),
        session.feed_vectors_with(&vectors, &mut run).map(drop),
        session.feed_vectors_outputs_with(&vectors, &mut run).map(drop),
    ];
    drop(run);
    assert_eq!(calls, errors.len());
    for (i, error) in errors.into_iter().enumerate() {
        assert_eq!(error.unwrap_err().status(), Status::Cancelled, "call {i}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let (words, vectors) = (common::model(), classifier());
    let mut session = Session::new(&words, ()).unwrap();
    assert_eq!(session.feed_vectors(&[1.0]).unwrap_err().status(), Status::Unsupported);
    assert_eq!(session.teach(&rows(0, 2, 1)).unwrap_err().status(), Status::Unsupported);
    let mut session = Session::new(&vectors, ()).unwrap();
    assert!(session.feed("abc").is_err());
    assert!(session.teach(&Batch::new("abcd", 2).unwrap()).is_err());
    let too_large = Batch::vectors([1.0; 3], 1, 1).unwrap().labels([1 << 24]).unwrap();
    assert_eq!(session.teach(&too_large).unwrap_err().status(), Status::Range);
    assert_eq!(session.info().unwrap().n_outputs, 2);
}
