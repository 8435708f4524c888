//! Trainer: steps, gradients, all-reduce, files.

mod common;

use std::error::Error as _;

use common::{bits, file, model, stream};
use nested::{Batch, FitOptions, Reduction, Status, Trainer};

const OPTIONS: &str = r#"{"lr": 1e-2, "schedule": {"type": "constant"}}"#;

#[test]
fn a_step_lowers_the_loss() {
    let model = model();
    let mut trainer = Trainer::new(&model, OPTIONS).unwrap();
    let batch = Batch::new(&stream(1, 64), 2).unwrap();
    let version = model.info().unwrap().version;
    let first = trainer.step(&batch).unwrap();
    assert!(first.applied && first.skipped.is_none() && first.step == 1 && first.update_norm > 0.0);
    assert!(model.info().unwrap().version > version);
    let mut last = first;
    for _ in 0..10 {
        last = trainer.step(&batch).unwrap();
    }
    assert!(last.loss < first.loss - 0.1, "{} {}", first.loss, last.loss);
    assert_eq!(last.learning_rate, 1e-2);
}

#[test]
fn one_trainer_per_model() {
    let model = model();
    let trainer = Trainer::new(&model, "").unwrap();
    assert!(trainer.options().unwrap().contains("\"optimizer\":\"adamw\""));
    assert!(format!("{trainer:?}").contains("adamw"));
    assert!(nested::trainer_schema().contains("weight_decay"));
    assert_eq!(Trainer::new(&model, "{}").unwrap_err().status(), Status::Exists);
    drop(trainer);
    Trainer::new(&model, "{}").unwrap();
}

#[test]
fn a_step_is_its_pieces() {
    let (one, other) = (model(), model());
    let batch = Batch::new(&stream(2, 48), 2).unwrap();
    let mut whole = Trainer::new(&one, OPTIONS).unwrap();
    let mut pieces = Trainer::new(&other, OPTIONS).unwrap();
    let step = whole.step(&batch).unwrap();
    pieces.accumulate(&batch).unwrap();
    pieces.zero().unwrap();
    let eval = pieces.accumulate(&batch).unwrap();
    assert_eq!(eval.loss, step.loss);
    assert_eq!(pieces.apply().unwrap(), step);
    assert_eq!(bits(&one.parameters().unwrap()), bits(&other.parameters().unwrap()));
}

#[test]
fn a_gradient_is_lent_and_may_be_written() {
    let model = model();
    let mut trainer = Trainer::new(&model, OPTIONS).unwrap();
    let batch = Batch::new(&stream(2, 48), 2).unwrap();
    trainer.accumulate(&batch).unwrap();
    let gradient = trainer.gradient().unwrap();
    assert_eq!(gradient.values.len(), model.n_params());
    assert_eq!(*gradient.targets, 46.0);
    assert!(gradient.values.iter().any(|&g| g != 0.0));
    gradient.values.fill(0.0);
    *gradient.targets = 100.0;
    assert_eq!(
        trainer.fit(&stream(1, 99), FitOptions { steps: 1, n_seq: 1, seq_len: 8 }).unwrap_err().status(),
        Status::State
    );
    let step = trainer.apply().unwrap();
    assert_eq!((step.targets, step.gradient_norm), (100.0, 0.0));
}

#[test]
fn allreduce_sees_the_gradient_and_then_the_targets() {
    let model = model();
    let n_params = model.n_params();
    let mut trainer = Trainer::new(&model, OPTIONS).unwrap();
    let batch = Batch::new(&stream(2, 48), 2).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    trainer
        .set_allreduce(1000, move |part| {
            match part {
                Reduction::Gradient(values) => {
                    sender.send(values.len()).unwrap();
                    values.iter_mut().for_each(|g| *g *= 2.0); // a second worker with the same gradient
                }
                Reduction::Targets(targets) => *targets *= 2.0,
                _ => unreachable!(),
            }
            Ok(())
        })
        .unwrap();
    let mut moved = trainer; // the closure does not move with the trainer
    let step = moved.step(&batch).unwrap();
    assert_eq!(step.targets, 92.0);
    let sizes: Vec<usize> = receiver.try_iter().collect();
    assert_eq!(sizes.iter().sum::<usize>(), n_params);
    assert_eq!(sizes.len(), n_params.div_ceil(1000));
    moved.clear_allreduce().unwrap();
    assert!(receiver.recv().is_err(), "the closure is gone");
    assert_eq!(moved.step(&batch).unwrap().targets, 46.0);
}

#[test]
fn a_failing_allreduce_is_the_source_of_the_error() {
    let model = model();
    let before = model.parameters().unwrap();
    let mut trainer = Trainer::new(&model, OPTIONS).unwrap();
    trainer.set_allreduce(0, |_| Err("the network is down".into())).unwrap();
    let error = trainer.step(&Batch::new(&stream(2, 48), 2).unwrap()).unwrap_err();
    assert_eq!(error.status(), Status::Callback);
    assert_eq!(error.source().unwrap().to_string(), "the network is down");
    assert_eq!(model.parameters().unwrap(), before);
    let next = model.evaluate(&Batch::new(&[64], 1).unwrap()).unwrap_err();
    assert!(next.source().is_none());
}

#[test]
fn training_resumes_bit_for_bit() {
    let path = file("trainer");
    let (one, other) = (model(), model());
    let text = stream(5, 400);
    let options = FitOptions { steps: 4, n_seq: 2, seq_len: 16 };
    let mut whole = Trainer::new(&one, OPTIONS).unwrap();
    let fit = whole.fit(&text, options).unwrap();
    assert_eq!((fit.steps, fit.skipped), (4, 0));

    let half = FitOptions { steps: 2, ..options };
    let mut begun = Trainer::new(&other, OPTIONS).unwrap();
    begun.fit(&text, half).unwrap();
    begun.save(&path).unwrap();
    drop(begun);
    let mut resumed = Trainer::new(&other, "").unwrap();
    resumed.load(&path).unwrap();
    assert_eq!(resumed.options().unwrap(), whole.options().unwrap());
    let fit_2 = resumed.fit(&text, half).unwrap();
    assert_eq!(fit_2.last_loss, fit.last_loss);
    assert_eq!(bits(&one.parameters().unwrap()), bits(&other.parameters().unwrap()));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_learning_rate_can_be_set() {
    let model = model();
    let mut trainer = Trainer::new(&model, OPTIONS).unwrap();
    let batch = Batch::new(&stream(2, 48), 2).unwrap();
    trainer.set_learning_rate(Some(0.5e-3)).unwrap();
    assert_eq!(trainer.step(&batch).unwrap().learning_rate, 0.5e-3);
    trainer.set_learning_rate(None).unwrap();
    assert_eq!(trainer.step(&batch).unwrap().learning_rate, 1e-2);
    assert_eq!(trainer.set_learning_rate(Some(-1.0)).unwrap_err().status(), Status::Range);
    assert_eq!(trainer.set_learning_rate(Some(f64::NAN)).unwrap_err().status(), Status::Numeric);
    assert_eq!(trainer.model().n_params(), model.n_params());
}

#[test]
fn a_window_longer_than_the_text_is_refused() {
    let model = model();
    let mut trainer = Trainer::new(&model, "").unwrap();
    let error = trainer.fit(&stream(1, 8), FitOptions { steps: 1, n_seq: 1, seq_len: 8 }).unwrap_err();
    assert_eq!((error.status(), error.committed()), (Status::Range, Some(0)));
    let error = trainer.fit(&stream(1, 8), FitOptions { steps: 1, n_seq: usize::MAX, seq_len: 4 }).unwrap_err();
    assert_eq!(error.status(), Status::Range);
}
