//! Models that come from elsewhere: mapped files, other libraries' folders, stacked levels; and what a configuration costs.

mod common;

use std::ops::ControlFlow::Break;

use common::{bits, context, file, stream};
use nested::{Batch, Config, Learn, Model, Run, Session, Status, Trainer};

fn transformer() -> Model {
    let config = r#"{"kind": "transformer", "vocab": 64, "d_model": 32, "n_layers": 2, "head_dim": 16, "d_ff": 48}"#;
    Model::new(&context(1), &Config::from_json(config).unwrap(), 3).unwrap()
}

#[test]
fn a_configuration_tells_what_it_costs() {
    let model = common::model();
    let cost = model.config().unwrap().estimate(2, 64).unwrap();
    let info = model.info().unwrap();
    assert_eq!((cost.n_params, cost.weight_bytes), (info.n_params as u64, info.weight_bytes));
    assert!(cost.trainer_bytes >= 2 * cost.weight_bytes && cost.activation_bytes > 0 && cost.session_bytes > 0);
    assert!(cost.flops_train > 2.0 * cost.flops_forward && cost.flops_forward > info.n_params as f64);
    for (rows, length) in [(0, 1), (1, 0)] {
        assert_eq!(model.config().unwrap().estimate(rows, length).unwrap_err().status(), Status::Range);
    }
}

#[test]
fn a_mapped_model_is_the_model() {
    let (model, path) = (common::model(), file("mapped"));
    model.save(&path).unwrap();
    let mapped = Model::load_mapped(model.context(), &path).unwrap();
    assert_eq!(bits(&mapped.parameters().unwrap()), bits(&model.parameters().unwrap()));
    let batch = Batch::new(&stream(1, 40), 2).unwrap();
    assert_eq!(bits(&mapped.forward(&batch).unwrap()), bits(&model.forward(&batch).unwrap()));

    // A change goes to a copy, not to the file.
    Trainer::new(&mapped, "").unwrap().step(&batch).unwrap();
    assert_ne!(bits(&mapped.parameters().unwrap()), bits(&model.parameters().unwrap()));
    let again = Model::load(model.context(), &path).unwrap();
    assert_eq!(bits(&again.parameters().unwrap()), bits(&model.parameters().unwrap()));
    drop(mapped);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Model::load_mapped(model.context(), &path).unwrap_err().status(), Status::Io);
}

#[test]
fn a_stacked_model_predicts_the_same_and_learns() {
    let model = transformer();
    let cms = r#"{"levels": [{"chunk": 16, "lr": 0.1}, {"chunk": 64, "lr": 0.05}]}"#;
    let stacked = model.stack(cms, 1, 5).unwrap();
    let tokens = stream(4, 200);
    let batch = Batch::new(&tokens[..80], 2).unwrap();
    assert_eq!(bits(&stacked.forward(&batch).unwrap()), bits(&model.forward(&batch).unwrap()));
    assert_eq!(stacked.info().unwrap().n_levels, 2);
    assert_eq!(model.stack("", 0, 5).unwrap().info().unwrap().n_levels, 1);
    let mut session = Session::new(&stacked, Learn::On).unwrap();
    session.feed(&tokens).unwrap();
    assert!(session.levels().unwrap().iter().all(|level| level.updates > 0));

    assert_eq!(model.stack(cms, 2, 5).unwrap_err().status(), Status::Range);
    assert_eq!(model.stack(r#"{"level": []}"#, 0, 5).unwrap_err().status(), Status::Config);
    assert_eq!(stacked.stack("", 0, 5).unwrap_err().status(), Status::Unsupported);
    let mut run = Run::new().progress(|_| Break(()));
    assert_eq!(model.stack_with("", 0, 5, &mut run).unwrap_err().status(), Status::Cancelled);
}

#[test]
fn a_folder_that_is_no_checkpoint_is_refused() {
    let folder = file("checkpoint");
    let missing = Model::import(&context(1), &folder).unwrap_err();
    assert_eq!((missing.status(), missing.os_error()), (Status::Io, Some(2)));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.json"), r#"{"architectures": ["BertModel"]}"#).unwrap();
    assert_eq!(Model::import(&context(1), &folder).unwrap_err().status(), Status::Unsupported);
    std::fs::remove_dir_all(&folder).unwrap();
}
