//! Configurations, models, tensors, files.

mod common;

use common::{bits, context, file, model, model_in, stream};
use nested::{Batch, Config, Model, Run, SaveOptions, Status, IGNORE_TARGET};

#[test]
fn a_configuration_is_read_changed_and_written() {
    let mut config: Config = common::CONFIG.parse().unwrap();
    assert_eq!(config.get_int("/d_model").unwrap(), 32);
    config.set_float("/cms/levels/1/lr", 0.5).unwrap();
    assert_eq!(config.get_float("/cms/levels/1/lr").unwrap(), 0.5);
    config.set_int("/cms/levels/0/chunk", 4).unwrap();
    config.set_str("/cms/levels/0/optimizer", "sgd").unwrap();
    config.set_json("/memory", r#"{"memory_chunk": 8}"#).unwrap();
    config.validate().unwrap();
    assert!(config.to_json_at("/memory").unwrap().contains("\"memory_chunk\":8"));
    let again = Config::from_json(&config.to_json().unwrap()).unwrap();
    assert_eq!(again.to_json().unwrap(), config.to_json().unwrap());
    assert!(format!("{config:?}").contains("d_model"));
    assert!(nested::config_schema().contains("d_model"));
    config.set_int("/cms/levels/1/chunk", 6).unwrap(); // not a multiple of the 4 before it
    assert_eq!(config.validate().unwrap_err().status(), Status::Config);
}

#[test]
fn a_model_says_what_it_is() {
    let model = model();
    let info = model.info().unwrap();
    assert_eq!((info.n_layers, info.n_levels, info.vocab, info.d_model), (2, 3, 64, 32));
    assert_eq!(info.n_params, model.n_params());
    assert_eq!(info.weight_bytes, 4 * model.n_params() as u64);
    assert_eq!(
        info.fingerprint,
        Model::new(model.context(), &model.config().unwrap(), 8).unwrap().info().unwrap().fingerprint
    );
    assert!(format!("{model:?}").contains("n_params"));
}

#[test]
fn a_clone_is_the_same_model_and_a_duplicate_is_not() {
    let model = model();
    let (same, other) = (model.clone(), model.duplicate().unwrap());
    let before = model.parameters().unwrap();
    assert_eq!(other.parameters().unwrap(), before);
    let halved: Vec<f32> = before.iter().map(|x| x / 2.0).collect();
    same.set_parameters(&halved).unwrap();
    assert_eq!(model.parameters().unwrap(), halved);
    assert_eq!(other.parameters().unwrap(), before);
    assert_eq!(model.set_parameters(&halved[1..]).unwrap_err().status(), Status::Shape);
    assert_eq!(model.set_parameters(&vec![f32::NAN; halved.len()]).unwrap_err().status(), Status::Numeric);
    assert_eq!(model.parameters().unwrap(), halved);
}

#[test]
fn tensors_are_slices_of_the_parameters() {
    let model = model();
    let (tensors, all) = (model.tensors(), model.parameters().unwrap());
    let mut end = 0;
    for tensor in tensors.iter() {
        let tensor = tensor.unwrap();
        assert_eq!(tensor.flat_offset, end);
        end = tensor.range().end;
        assert_eq!(tensors.get(&tensor.name).unwrap(), all[tensor.range()], "{}", tensor.name);
        assert_eq!(tensors.info(&tensor.name).unwrap(), tensor);
    }
    assert_eq!(end, all.len());
    assert_eq!(tensors.len(), model.info().unwrap().n_tensors);
    let info = tensors.info("blocks.1.cms.2.up.weight").unwrap();
    assert_eq!((info.layer, info.level), (Some(1), Some(2)));

    let changed = vec![0.25; info.count()];
    tensors.set(&info.name, &changed).unwrap();
    assert_eq!(model.parameters().unwrap()[info.range()], changed);
    assert_eq!(tensors.set(&info.name, &changed[1..]).unwrap_err().status(), Status::Shape);
    let error = tensors.get("no.such.tensor").unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::NotFound, "no.such.tensor"));
}

#[test]
fn the_loss_is_that_of_the_logits() {
    let model = model();
    let tokens = stream(3, 24);
    let batch = Batch::new(&tokens, 2).unwrap();
    let logits = model.forward(&batch).unwrap();
    assert_eq!(logits.len(), 2 * 12 * 64);
    let mut sum = 0.0;
    for row in 0..2 {
        for t in 0..11 {
            let at = &logits[(row * 12 + t) * 64..][..64];
            let norm: f64 = at.iter().map(|&x| f64::from(x).exp()).sum();
            sum += norm.ln() - f64::from(at[tokens[row * 12 + t + 1] as usize]);
        }
    }
    let eval = model.evaluate(&batch).unwrap();
    assert_eq!(eval.targets, 22.0);
    assert!((eval.loss - sum / 22.0).abs() < 1e-4 * eval.loss, "{} {}", eval.loss, sum / 22.0);
    assert!((eval.perplexity - eval.loss.exp()).abs() < 1e-9 * eval.perplexity);
}

#[test]
fn targets_and_weights_count() {
    let model = model();
    let tokens = stream(4, 8);
    let targets = [1, 2, IGNORE_TARGET, 4, 5, IGNORE_TARGET, 7, 8];
    let weights = [1.0, 0.5, 9.0, 0.0, 1.0, 9.0, 1.0, 1.0];
    let batch = Batch::new(&tokens, 1).unwrap().targets(&targets).unwrap();
    assert_eq!(model.evaluate(&batch).unwrap().targets, 6.0);
    assert_eq!(model.evaluate(&batch.clone().weights(weights).unwrap()).unwrap().targets, 4.5);
    let bad = batch.weights([-1.0; 8]).unwrap();
    assert!(model.evaluate(&bad).unwrap_err().place().starts_with("batch.weights"));
}

#[test]
fn a_model_is_saved_and_loaded() {
    let (path, model) = (file("model"), model());
    let context = context(2);
    model.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), model.to_bytes().unwrap());
    let unsynced = SaveOptions { sync: false, ..Default::default() };
    model.save_with(&path, unsynced, &mut Run::new()).unwrap();
    let loaded = Model::load(&context, &path).unwrap();
    assert_eq!(bits(&loaded.parameters().unwrap()), bits(&model.parameters().unwrap()));
    let loaded = Model::from_bytes(&context, &model.to_bytes().unwrap()).unwrap();
    assert_eq!(bits(&loaded.parameters().unwrap()), bits(&model.parameters().unwrap()));
    let delta = SaveOptions { delta: true, ..Default::default() };
    assert!(model.save_with(&path, delta, &mut Run::new()).is_err());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn memory_is_counted() {
    let context = context(1);
    let before = context.memory().unwrap().in_use;
    let model = model_in(&context);
    assert!(context.memory().unwrap().in_use >= before + 4 * model.n_params() as u64);
    drop(model);
    assert_eq!(context.memory().unwrap().in_use, before);
}
