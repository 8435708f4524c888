//! Models that go on learning after they ship: the safe interface of libnested.
//!
//! A [`Context`] owns threads and memory. A [`Config`] describes an architecture. A [`Model`] is weights made from
//! one. A [`Trainer`] optimises the weights over batches. A [`Session`] is one stream of a model: it reads tokens,
//! remembers them in its memories and, with [`Learn::On`], goes on learning in its CMS levels without touching the
//! model. A [`Snapshot`] freezes a session. [`Model::consolidate`] makes a new model out of what sessions have learnt.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Sampling, Session, Trainer};
//!
//! # fn main() -> nested::Result<()> {
//! let context = Context::new()?; // all cores, no memory limit, silent
//! let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
//! let model = Model::new(&context, &config, 0)?;
//!
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(40);
//! let mut trainer = Trainer::new(&model, r#"{"lr": 1e-2, "schedule": {"type": "constant"}}"#)?;
//! trainer.fit(&text, FitOptions { steps: 10, n_seq: 4, seq_len: 32 })?;
//!
//! let mut session = Session::new(&model, Learn::On)?;
//! let fed = session.feed("zwei drei vier funf sechs. ")?; // reads, and learns from what it reads
//! println!("{} bytes, {:.2} nats each", fed.consumed, fed.loss);
//! let generated = session.generate(20, &Sampling { temperature: 0.5, ..Sampling::default() })?;
//! println!("{}", generated.text());
//! # Ok(())
//! # }
//! ```
//!
//! # Objects and threads
//!
//! Every object is `Send` and `Sync`: the library locks. What the header calls \[shared\] takes `&self` and runs side by
//! side with its like; what it calls \[serial\] takes `&mut self`, so that nobody waits for a lock. [`Context`], [`Model`],
//! [`Snapshot`] and [`Cancel`] are counted handles, as `Arc` is: `clone` gives the same object, and the methods that
//! change a model take `&self` and lock. Drop things in any order; each keeps alive what it needs.
//!
//! # Callbacks
//!
//! Progress, tokens, log and all-reduce are closures. They run on the thread that made the call. A panic in one of them ends
//! the call as a failed callback does and goes on in the caller when the library has returned; the object stays valid.
//! Calling a method on an object that is busy further up the stack gives [`Status::Reentrant`].
//!
//! # Long calls
//!
//! Calls that may take long have a twin whose name ends in `_with`, which takes a [`Run`]: a [`Cancel`] flag to watch and
//! a closure to report to.
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod batch;
mod config;
mod consolidation;
mod context;
mod error;
mod estimate;
mod generation;
mod handle;
mod import;
mod levels;
mod library;
mod model;
mod run;
mod session;
mod snapshot;
mod tensors;
mod tokens;
mod trainer;
mod vectors;

pub mod kinds;

/// The programs in the READMEs run as well.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../../../README.md")]
struct Readmes;

pub use batch::{Batch, Evaluation, IGNORE_TARGET};
pub use config::{config_schema, Config};
pub use consolidation::Consolidation;
pub use context::{Context, ContextBuilder, LogLevel, LogRecord, MemoryStats};
pub use error::{Error, Result, Status};
pub use estimate::Estimate;
pub use generation::{Finish, Generated, Sampling, TokenEvent};
pub use levels::{Level, LevelControl, Levels};
pub use library::{abi, abi_info, build_info, has_feature, live_handles, version, version_string, HandleKind};
pub use model::{Model, ModelInfo, SaveOptions, Task};
pub use run::{Cancel, Progress, Run};
pub use session::{feed_many, feed_many_with, Feed, Learn, Score, Session, SessionInfo, SessionOptions};
pub use snapshot::Snapshot;
pub use tensors::{TensorInfo, Tensors};
pub use tokens::Tokens;
pub use trainer::{trainer_schema, Fit, FitOptions, Gradient, Reduction, Skip, Step, Trainer};
