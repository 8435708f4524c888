//! Errors: status, place, byte, errno; and every status of the header is known.

mod common;

use std::error::Error as _;

use common::{context, file, model, stream};
use nested::{Batch, Config, Error, Model, Session, Snapshot, Status, Trainer};

#[test]
fn every_status_of_the_library_is_known() {
    let info = nested::abi_info();
    let codes: Vec<(&str, i32)> = info
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.split_once("\": "))
        .filter(|(name, _)| name.starts_with("NESTED_E_"))
        .map(|(name, value)| (name, value.trim_end_matches(',').parse().unwrap()))
        .collect();
    assert_eq!(codes.len(), 26, "a status was added: error.rs has to learn it");
    let known = [
        Status::Internal,
        Status::Argument,
        Status::Handle,
        Status::Range,
        Status::Shape,
        Status::Dtype,
        Status::Layout,
        Status::Capacity,
        Status::NoMemory,
        Status::Limit,
        Status::NotFound,
        Status::Exists,
        Status::Unsupported,
        Status::Version,
        Status::Config,
        Status::Parse,
        Status::Corrupt,
        Status::Io,
        Status::Reentrant,
        Status::Cancelled,
        Status::Callback,
        Status::State,
        Status::Numeric,
        Status::Mismatch,
        Status::Forked,
        Status::Poisoned,
    ];
    let mine: Vec<(&str, i32)> = known.iter().map(|status| (status.name(), status.code())).collect();
    assert_eq!(mine, codes);
    assert_eq!(Status::Other(-99).name(), "NESTED_E_?");
}

#[test]
fn malformed_text_has_the_byte() {
    let error = Config::from_json(r#"{"kind": "hope",, }"#).unwrap_err();
    assert_eq!(error.status(), Status::Parse);
    assert_eq!(error.offset(), Some(17));
    assert_eq!(error.function(), "nested_config_from_json");
    assert!(error.to_string().ends_with("(byte 17) [NESTED_E_PARSE]"), "{error}");
}

#[test]
fn invalid_configuration_has_the_json_pointer() {
    let error = Config::from_json(r#"{"kind": "hope", "vocab": 64, "memory": {"memory_chunk": -4}}"#).unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::Config, "/memory/memory_chunk"));
    let config = Config::hope().unwrap();
    assert_eq!(config.get_int("/no/such/key").unwrap_err().status(), Status::NotFound);
    let error = Trainer::new(&model(), r#"{"rate": 1}"#).unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::Config, "/rate"));
}

#[test]
fn a_missing_file_has_errno_and_becomes_an_io_error() {
    let error = Model::load(&context(1), "/no/such/model").unwrap_err();
    assert_eq!((error.status(), error.os_error()), (Status::Io, Some(2)));
    let io = std::io::Error::from(error);
    assert_eq!(io.kind(), std::io::ErrorKind::NotFound);
    assert!(io.get_ref().unwrap().downcast_ref::<Error>().is_some());
}

#[test]
fn a_damaged_file_is_refused() {
    let (path, model) = (file("damaged"), model());
    let mut bytes = model.to_bytes().unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(Model::load(model.context(), &path).unwrap_err().status(), Status::Corrupt);
    assert_eq!(Model::from_bytes(model.context(), &bytes).unwrap_err().status(), Status::Corrupt);
    assert_eq!(Snapshot::from_bytes(&model, b"nothing").unwrap_err().status(), Status::Corrupt);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_c_could_not_take_is_refused_before() {
    let model = model();
    let mut session = Session::new(&model, ()).unwrap();
    for (error, status, place) in [
        (model.save("a\0b").unwrap_err(), Status::Argument, "path"),
        (Config::hope().unwrap().set_int("/a\0b", 1).unwrap_err(), Status::Argument, "pointer"),
        (Batch::new("abc", 2).unwrap_err(), Status::Shape, "batch.tokens"),
        (Batch::new("abc", 0).unwrap_err(), Status::Shape, "batch.tokens"),
        (Batch::new("", 1).unwrap_err(), Status::Shape, "batch.tokens"),
        (Batch::new("abcd", 2).unwrap().targets(&[1, 2]).unwrap_err(), Status::Shape, "batch.targets"),
        (Batch::new("abcd", 2).unwrap().weights(vec![1.0; 3]).unwrap_err(), Status::Shape, "batch.weights"),
        (nested::feed_many([&mut session], &[1, 2]).unwrap_err(), Status::Shape, "tokens"),
        (nested::feed_many([], &[0; 0]).unwrap_err(), Status::Shape, "tokens"),
    ] {
        assert_eq!((error.status(), error.place(), error.function()), (status, place, ""));
        assert!(error.source().is_none());
    }
}

#[test]
fn a_failed_call_leaves_the_object_as_it_was() {
    let model = model();
    let mut session = Session::new(&model, ()).unwrap();
    assert_eq!(session.output().unwrap_err().status(), Status::State);
    assert_eq!(session.generate(1, &nested::Sampling::default()).unwrap_err().status(), Status::State);
    session.feed(&stream(1, 10)).unwrap();
    let before = session.output().unwrap();
    let error = session.feed(&[1, 2, 64]).unwrap_err();
    assert_eq!((error.status(), error.place()), (Status::Range, "tokens[2]"));
    assert_eq!(error.committed(), Some(0));
    assert_eq!(session.feed(&[0; 0]).unwrap_err().status(), Status::Argument);
    assert_eq!(session.info().unwrap().position, 10);
    assert_eq!(session.output().unwrap(), before);
}

#[test]
fn a_memory_limit_is_an_error() {
    let context = nested::Context::builder().threads(1).memory_limit(1 << 16).build().unwrap();
    let config = Config::from_json(common::CONFIG).unwrap();
    let error = Model::new(&context, &config, 0).unwrap_err();
    assert_eq!(error.status(), Status::Limit);
    assert_eq!(nested::Context::builder().threads(5000).build().unwrap_err().status(), Status::Range);
}
