//! One section for each kind of model; `{"kind": ...}` of a [`Config`](crate::Config).
//!
//! Every kind is trained, streamed, saved and forked by the same calls. Which keys a kind has, with defaults and ranges, is in
//! [`config_schema`](crate::config_schema).
//!
//! # hope
//!
//! Hope: self-modifying Titans, whose memories write keys, values, learning rates and themselves as they read, and
//! a Continuum Memory System (CMS) in the place of the feed-forward, whose levels learn in a session at their own pace.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1,
//!     "cms": {"levels": [{"chunk": 16, "lr": 0.02}, {"chunk": 64, "lr": 0.01}]}}"#)?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, Learn::On)?;
//! session.feed(&text)?;
//! assert!(session.levels()?.iter().all(|level| level.updates > 0 && level.delta_norm.is_finite()));
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # hope-attention
//!
//! Softmax attention in the place of Hope's memories, with the same CMS. The variants of a CMS are "sequential" (the
//! default), "nested" and "independent".
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(r#"{"kind": "hope-attention", "vocab": 256, "d_model": 32, "n_layers": 1,
//!     "cms": {"variant": "nested", "levels": [{"chunk": 8}, {"chunk": 32, "optimizer": "momentum"}]}}"#)?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, Learn::On)?;
//! session.feed(&text)?;
//! assert!(session.levels()?.iter().all(|level| level.updates > 0 && level.delta_norm.is_finite()));
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # titans
//!
//! A neural memory that learns by gradient descent with momentum as it reads. Modes: "lmm" is the memory alone; "mac" gives
//! attention what the memory recalls as context; "mag" gates attention by the memory; "mal" puts attention behind it.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Model, Session, Trainer};
//! for mode in ["lmm", "mac", "mag", "mal"] {
//!     let mut config = Config::from_json(r#"{"kind": "titans", "vocab": 256, "d_model": 32, "n_layers": 1, "head_dim": 16,
//!         "titans": {"persistent": 4, "segment": 16, "window": 16}}"#)?;
//!     config.set_str("/titans/mode", mode)?;
//!     let model = Model::new(&Context::new()?, &config, 0)?;
//!     let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//!     let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!         .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//!     assert!(fit.last_loss < 256f64.ln(), "{mode}");
//!     let (mut whole, mut cut) = (Session::new(&model, ())?, Session::new(&model, ())?);
//!     let all = whole.feed_logits("the quick")?;
//!     let parts = [cut.feed_logits("the q")?, cut.feed_logits("uick")?].concat();
//!     assert_eq!(all, parts, "{mode}");
//! }
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # transformer
//!
//! Transformer++ as in Llama: rotary attention, grouped heads, a window, SwiGLU. It learns nothing in a session, until
//! [`Model::stack`](crate::Model::stack) makes its feed-forwards levels.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(
//!     r#"{"kind": "transformer", "vocab": 256, "d_model": 32, "n_layers": 1, "head_dim": 16, "n_kv_heads": 1, "window": 64}"#,
//! )?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, ())?;
//! let mut fork = session.fork()?;
//! assert_eq!(session.feed_logits("abc")?, fork.feed_logits("abc")?);
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # retnet
//!
//! Multi-scale retention: a state that decays at a fixed rate in each head.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(
//!     r#"{"kind": "retnet", "vocab": 256, "d_model": 32, "n_layers": 1, "head_dim": 16}"#,
//! )?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, ())?;
//! let mut fork = session.fork()?;
//! assert_eq!(session.feed_logits("abc")?, fork.feed_logits("abc")?);
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # deltanet
//!
//! A matrix memory that is written by the delta rule.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(
//!     r#"{"kind": "deltanet", "vocab": 256, "d_model": 32, "n_layers": 1, "head_dim": 16}"#,
//! )?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, ())?;
//! let mut fork = session.fork()?;
//! assert_eq!(session.feed_logits("abc")?, fork.feed_logits("abc")?);
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # gated-deltanet
//!
//! The delta rule on a memory that a gate lets forget.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(
//!     r#"{"kind": "gated-deltanet", "vocab": 256, "d_model": 32, "n_layers": 1, "head_dim": 16}"#,
//! )?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, ())?;
//! let mut fork = session.fork()?;
//! assert_eq!(session.feed_logits("abc")?, fork.feed_logits("abc")?);
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # ttt-linear
//!
//! Test-time training: the state is a matrix, and reading takes gradient steps on it, a few tokens at a time.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(
//!     r#"{"kind": "ttt-linear", "vocab": 256, "d_model": 32, "n_layers": 1, "head_dim": 16}"#,
//! )?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, ())?;
//! let mut fork = session.fork()?;
//! assert_eq!(session.feed_logits("abc")?, fork.feed_logits("abc")?);
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # ttt-mlp
//!
//! The same with a state that is an MLP of one hidden layer.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(
//!     r#"{"kind": "ttt-mlp", "vocab": 256, "d_model": 32, "n_layers": 1, "head_dim": 16}"#,
//! )?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, ())?;
//! let mut fork = session.fork()?;
//! assert_eq!(session.feed_logits("abc")?, fork.feed_logits("abc")?);
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # srwm
//!
//! The self-referential weight matrix: it makes the keys, values and rates by which it is written.
//!
//! ```
//! use nested::{Config, Context, FitOptions, Learn, Model, Session, Trainer};
//! let config = Config::from_json(
//!     r#"{"kind": "srwm", "vocab": 256, "d_model": 32, "n_layers": 1, "head_dim": 16}"#,
//! )?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let text = "the quick brown fox jumps over the lazy dog. ".repeat(8);
//! let fit = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?
//!     .fit(&text, FitOptions { steps: 8, n_seq: 2, seq_len: 32 })?;
//! assert!(fit.last_loss < 256f64.ln()); // better than chance
//! let mut session = Session::new(&model, ())?;
//! let mut fork = session.fork()?;
//! assert_eq!(session.feed_logits("abc")?, fork.feed_logits("abc")?);
//! # Ok::<(), nested::Error>(())
//! ```
//!
//! # cms
//!
//! Vectors in, one CMS, a head: for the tasks "classify" and "regress". A session is taught labelled rows, and a label that has
//! not been seen before adds a class.
//!
//! ```
//! use nested::{Batch, Config, Context, Learn, Model, Session, Trainer};
//! let config = Config::from_json(r#"{"kind": "cms", "task": "classify", "inputs": 2, "classes": 2, "d_model": 16,
//!     "n_layers": 1, "cms": {"levels": [{"chunk": 4, "lr": 0.05}]}}"#)?;
//! let model = Model::new(&Context::new()?, &config, 0)?;
//! let batch = Batch::vectors([0.0, 1.0, 1.0, 0.0, 0.1, 0.9, 0.9, 0.2], 4, 1)?.labels([0, 1, 0, 1])?;
//! let mut trainer = Trainer::new(&model, r#"{"lr": 0.01, "schedule": {"type": "constant"}}"#)?;
//! for _ in 0..50 {
//!     trainer.step(&batch)?;
//! }
//! assert_eq!(model.evaluate(&batch)?.accuracy, 1.0);
//! let mut session = Session::new(&model, Learn::On)?;
//! session.teach(&Batch::vectors([-1.0, -1.0], 1, 1)?.labels([2])?)?;
//! assert_eq!(session.predict(&batch)?.len(), 4 * 3);
//! # Ok::<(), nested::Error>(())
//! ```
