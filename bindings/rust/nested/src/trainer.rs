use std::error::Error as StdError;
use std::ffi::c_void;
use std::fmt;
use std::path::Path;

use nested_sys as sys;

use crate::error::{check, contain, fail, Error, Result, Status};
use crate::handle::{c_path, integer, string, Handle, Kept};
use crate::library::text;
use crate::{Batch, Evaluation, Model, Run, SaveOptions, Tokens};

/// Optimizer and gradients of one model; a model has at most one trainer at a time.
///
/// ```
/// # use nested::{Config, Context, Model};
/// use nested::{FitOptions, Trainer};
/// # let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
/// # let model = Model::new(&Context::new()?, &config, 0)?;
/// let mut trainer = Trainer::new(&model, r#"{"lr": 3e-3, "schedule": {"type": "cosine", "warmup": 5, "total": 20}}"#)?;
/// let text = "the rain in spain stays mainly in the plain. ".repeat(20);
/// let fit = trainer.fit(&text, FitOptions { steps: 20, n_seq: 4, seq_len: 32 })?;
/// assert!(fit.last_loss < fit.mean_loss);
/// # Ok::<(), nested::Error>(())
/// ```
pub struct Trainer {
    handle: Handle<sys::nested_trainer>,
    /// The library has a pointer to it as long as the trainer lives; after the handle.
    hook: Option<Kept<Hook>>,
    model: Model,
}

type Hook = Box<dyn FnMut(Reduction<'_>) -> std::result::Result<(), Box<dyn StdError + Send + Sync>> + Send>;

/// One optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// False when the update was skipped, or when the call only collected (option "accumulate").
    pub applied: bool,
    /// Why an update was not made.
    pub skipped: Option<Skip>,
    /// Optimizer steps so far.
    pub step: u64,
    /// Targets behind this step, over all workers.
    pub targets: f64,
    /// Mean over this worker's targets in nats, NaN when there are none.
    pub loss: f64,
    /// Norm of the mean gradient of what was due to step, before clipping.
    pub gradient_norm: f64,
    /// Norm of the change of the weights.
    pub update_norm: f64,
    /// The schedule's value for this step.
    pub learning_rate: f64,
}

/// Why an update was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// There were no targets.
    NoTargets,
    /// The gradient was not finite.
    NonFinite,
}

impl From<sys::nested_step> for Step {
    fn from(r: sys::nested_step) -> Self {
        Step {
            applied: r.applied != 0,
            skipped: match r.skip_reason {
                sys::NESTED_SKIP_NO_TARGETS => Some(Skip::NoTargets),
                sys::NESTED_SKIP_NONFINITE => Some(Skip::NonFinite),
                _ => None,
            },
            step: r.step,
            targets: r.n_targets,
            loss: r.loss,
            gradient_norm: r.grad_norm,
            update_norm: r.update_norm,
            learning_rate: r.lr,
        }
    }
}

/// What [`Trainer::fit`] is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FitOptions {
    /// Optimizer steps.
    pub steps: usize,
    /// Windows of one batch.
    pub n_seq: usize,
    /// Predictions of one window.
    pub seq_len: usize,
}

/// Several optimizer steps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Fit {
    /// Steps made.
    pub steps: u64,
    /// Of these, steps whose update was skipped.
    pub skipped: u64,
    /// Mean over the steps of this call in nats, NaN when there were none.
    pub mean_loss: f64,
    /// Loss of the last step.
    pub last_loss: f64,
}

/// The gradient that a trainer has collected, lent for writing: see [`Trainer::gradient`].
#[derive(Debug)]
pub struct Gradient<'a> {
    /// \[n_params\] in the order of [`TensorInfo::flat_offset`](crate::TensorInfo::flat_offset): the sum over the targets, not
    /// the mean.
    pub values: &'a mut [f32],
    /// Targets behind it: `values / targets` is the gradient of the mean loss.
    pub targets: &'a mut f64,
}

/// What an all-reduce closure is to replace by its sum over all workers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reduction<'a> {
    /// The next bucket of the flat gradient.
    Gradient(&'a mut [f32]),
    /// The number of targets: the last call of a step.
    Targets(&'a mut f64),
}

impl Trainer {
    /// Attaches an optimizer to a model.
    ///
    /// `options` is a JSON object, `"{}"` or `""` for the defaults:
    ///
    /// ```json
    /// {"optimizer": "adamw", "lr": 3e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "momentum": 0.9,
    ///  "clip": 1.0, "accumulate": 1, "seed": 0,
    ///  "schedule": {"type": "cosine", "warmup": 100, "total": 1000, "floor": 0.1}}
    /// ```
    ///
    /// [`trainer_schema`] lists all.
    ///
    /// # Errors
    /// [`Status::Exists`] when the model has a trainer; [`Status::Parse`] and [`Status::Config`] as for
    /// [`Config::from_json`](crate::Config::from_json).
    pub fn new(model: &Model, options: &str) -> Result<Self> {
        let options = if options.is_empty() { "{}" } else { options };
        // SAFETY: live handle, a text as long as it says, `out` is valid for the call.
        let handle = Handle::create(|out| unsafe {
            sys::nested_trainer_create(model.raw(), options.as_ptr().cast(), options.len(), out)
        })?;
        Ok(Trainer { handle, hook: None, model: model.clone() })
    }

    /// The model whose weights it changes.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// JSON of the options in force, every key present.
    ///
    /// # Errors
    /// [`Status::NoMemory`].
    pub fn options(&self) -> Result<String> {
        // SAFETY: live handle, `out` is valid for the call.
        string(|out| unsafe { sys::nested_trainer_get_options(self.handle.get(), out) })
    }

    /// One optimizer step on a batch: forward, backward, reduce, clip, update.
    ///
    /// With the option "accumulate" at k, the first k - 1 of every k calls only collect. A gradient that is not finite changes
    /// nothing and says so in [`Step::skipped`]. When the call fails, weights, optimizer and gradient are as before.
    ///
    /// # Errors
    /// As [`Model::evaluate`]; [`Status::Callback`] when the all-reduce closure fails.
    pub fn step(&mut self, batch: &Batch) -> Result<Step> {
        self.step_with(batch, &mut Run::new())
    }

    /// [`step`](Trainer::step) with a companion.
    ///
    /// # Errors
    /// As [`step`](Trainer::step); [`Status::Cancelled`].
    pub fn step_with(&mut self, batch: &Batch, run: &mut Run<'_>) -> Result<Step> {
        let (run, mut out) = (run.raw(), sys::nested_step::default());
        // SAFETY: live handle, sized structs; batch, run and hook live as long as the call.
        check(batch.lend(|batch| unsafe { sys::nested_trainer_step(self.handle.get(), batch, &run, &mut out) }))?;
        Ok(out.into())
    }

    /// Makes optimizer steps on random windows of a text, each of `seq_len` + 1 tokens (the last one is a target only).
    ///
    /// Windows depend on the trainer's seed and on how many it has drawn, so a resumed trainer sees what an uninterrupted one
    /// would.
    ///
    /// # Errors
    /// [`Status::Range`] when the text is shorter than a window, [`Status::State`] while a gradient is collected or lent;
    /// as [`step`](Trainer::step). [`Error::committed`] says how many steps were made.
    pub fn fit<T: Tokens + ?Sized>(&mut self, tokens: &T, options: FitOptions) -> Result<Fit> {
        self.fit_with(tokens, options, &mut Run::new())
    }

    /// [`fit`](Trainer::fit) with a companion, which is told after each step.
    ///
    /// # Errors
    /// As [`fit`](Trainer::fit); [`Status::Cancelled`], which keeps the steps made.
    pub fn fit_with<T: Tokens + ?Sized>(&mut self, tokens: &T, options: FitOptions, run: &mut Run<'_>) -> Result<Fit> {
        let (tokens, run, mut out) = (tokens.tokens(), run.raw(), sys::nested_fit::default());
        let (steps, n_seq, seq_len) = (integer(options.steps), integer(options.n_seq), integer(options.seq_len));
        // SAFETY: as in step_with, and as many tokens as it says.
        check(unsafe {
            sys::nested_trainer_fit(
                self.handle.get(),
                tokens.as_ptr(),
                tokens.len(),
                steps,
                n_seq,
                seq_len,
                &run,
                &mut out,
            )
        })
        .map_err(|error| error.with_committed(out.n_steps))?;
        Ok(Fit { steps: out.n_steps, skipped: out.n_skipped, mean_loss: out.mean_loss, last_loss: out.last_loss })
    }

    /// Adds the gradient of a batch, to be used by [`apply`](Trainer::apply).
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn accumulate(&mut self, batch: &Batch) -> Result<Evaluation> {
        self.accumulate_with(batch, &mut Run::new())
    }

    /// [`accumulate`](Trainer::accumulate) with a companion.
    ///
    /// # Errors
    /// As [`accumulate`](Trainer::accumulate); [`Status::Cancelled`].
    pub fn accumulate_with(&mut self, batch: &Batch, run: &mut Run<'_>) -> Result<Evaluation> {
        let (run, mut out) = (run.raw(), sys::nested_eval::default());
        // SAFETY: as in step_with.
        check(batch.lend(|batch| unsafe { sys::nested_trainer_accumulate(self.handle.get(), batch, &run, &mut out) }))?;
        Ok(out.into())
    }

    /// One update with the gradient collected so far, which is used up.
    ///
    /// # Errors
    /// As [`step`](Trainer::step).
    pub fn apply(&mut self) -> Result<Step> {
        self.apply_with(&mut Run::new())
    }

    /// [`apply`](Trainer::apply) with a companion.
    ///
    /// # Errors
    /// As [`apply`](Trainer::apply); [`Status::Cancelled`].
    pub fn apply_with(&mut self, run: &mut Run<'_>) -> Result<Step> {
        let (run, mut out) = (run.raw(), sys::nested_step::default());
        // SAFETY: as in step_with.
        check(unsafe { sys::nested_trainer_apply(self.handle.get(), &run, &mut out) })?;
        Ok(out.into())
    }

    /// Drops the gradient collected so far.
    ///
    /// # Errors
    /// [`Status::Forked`].
    pub fn zero(&mut self) -> Result<()> {
        // SAFETY: live handle.
        check(unsafe { sys::nested_trainer_zero(self.handle.get()) })
    }

    /// The gradient collected so far, lent without a copy: read it, or write what other workers have added.
    ///
    /// # Errors
    /// [`Status::NoMemory`].
    pub fn gradient(&mut self) -> Result<Gradient<'_>> {
        let (mut data, mut count, mut targets) = (std::ptr::null_mut(), 0, std::ptr::null_mut());
        // SAFETY: live handle, out-pointers valid for the call.
        check(unsafe { sys::nested_trainer_gradient(self.handle.get(), &mut data, &mut count, &mut targets) })?;
        // SAFETY: valid until the next call on the trainer, which the borrow of self keeps away.
        unsafe { Ok(Gradient { values: std::slice::from_raw_parts_mut(data, count), targets: &mut *targets }) }
    }

    /// Sums gradients over several processes that train together: in `step`, `apply` and `fit` the closure is called
    /// bucket by bucket in flat order and then for the number of targets, to replace each by its sum over all workers.
    ///
    /// `bucket` is the number of elements of a call, 0 for 1 Mi. An error of the closure fails the call with
    /// [`Status::Callback`], is its [`source`](std::error::Error::source), and nothing is applied.
    ///
    /// ```
    /// # use nested::{Batch, Config, Context, Model, Trainer};
    /// use nested::Reduction;
    /// # let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
    /// # let model = Model::new(&Context::new()?, &config, 0)?;
    /// # let mut trainer = Trainer::new(&model, "")?;
    /// # fn sum_f32(_: &mut [f32]) -> std::io::Result<()> { Ok(()) }
    /// # fn sum_f64(_: &mut f64) -> std::io::Result<()> { Ok(()) }
    /// trainer.set_allreduce(0, |part| {
    ///     match part {
    ///         Reduction::Gradient(values) => sum_f32(values)?, // over MPI, TCP, ...
    ///         Reduction::Targets(targets) => sum_f64(targets)?,
    ///         _ => return Err("something new to reduce".into()),
    ///     }
    ///     Ok(())
    /// })?;
    /// # trainer.step(&Batch::new("one of the workers", 1)?)?;
    /// # Ok::<(), nested::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Status::Range`] for a bucket that is too large.
    pub fn set_allreduce<F>(&mut self, bucket: usize, closure: F) -> Result<()>
    where
        F: FnMut(Reduction<'_>) -> std::result::Result<(), Box<dyn StdError + Send + Sync>> + Send + 'static,
    {
        let hook = Kept::<Hook>::new(Box::new(closure));
        // SAFETY: live handle. The hook lives until it is replaced or the trainer is gone.
        check(unsafe {
            sys::nested_trainer_set_allreduce(self.handle.get(), Some(on_allreduce), hook.user(), bucket)
        })?;
        self.hook = Some(hook);
        Ok(())
    }

    /// Removes the closure of [`set_allreduce`](Trainer::set_allreduce).
    ///
    /// # Errors
    /// [`Status::Forked`].
    pub fn clear_allreduce(&mut self) -> Result<()> {
        // SAFETY: live handle.
        check(unsafe { sys::nested_trainer_set_allreduce(self.handle.get(), None, std::ptr::null_mut(), 0) })?;
        self.hook = None;
        Ok(())
    }

    /// Overrides the schedule; None returns to it.
    ///
    /// # Errors
    /// [`Status::Range`] for a negative rate, [`Status::Numeric`] for one that is not finite.
    pub fn set_learning_rate(&mut self, rate: Option<f64>) -> Result<()> {
        if rate.is_some_and(|rate| rate < 0.0) {
            return Err(Error::new(Status::Range, "A learning rate is not negative.", "rate"));
        }
        // SAFETY: live handle.
        check(unsafe { sys::nested_trainer_set_lr(self.handle.get(), rate.unwrap_or(-1.0)) })
    }

    /// Writes everything but the weights: with [`Model::save`] training resumes bit for bit.
    ///
    /// # Errors
    /// As [`Model::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, SaveOptions::default(), &mut Run::new())
    }

    /// [`save`](Trainer::save) with options and a companion.
    ///
    /// # Errors
    /// As [`Model::save_with`].
    pub fn save_with(&self, path: impl AsRef<Path>, options: SaveOptions, run: &mut Run<'_>) -> Result<()> {
        let (path, run) = (c_path(path.as_ref())?, run.raw());
        // SAFETY: live handle, a path that ends with a NUL, a run that lives as long as the call.
        check(unsafe { sys::nested_trainer_save(self.handle.get(), path.as_ptr(), options.flags(), &run) })
    }

    /// Takes over what [`save`](Trainer::save) wrote, options included.
    ///
    /// # Errors
    /// As [`Model::load`]; [`Status::Mismatch`] when the file belongs to another architecture.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.load_with(path, &mut Run::new())
    }

    /// [`load`](Trainer::load) with a companion.
    ///
    /// # Errors
    /// As [`load`](Trainer::load); [`Status::Cancelled`].
    pub fn load_with(&mut self, path: impl AsRef<Path>, run: &mut Run<'_>) -> Result<()> {
        let (path, run) = (c_path(path.as_ref())?, run.raw());
        // SAFETY: as in save_with.
        check(unsafe { sys::nested_trainer_load(self.handle.get(), path.as_ptr(), &run) })
    }
}

unsafe extern "C" fn on_allreduce(user: *mut c_void, data: *mut c_void, count: usize, dtype: i32) -> i32 {
    contain(|| {
        // SAFETY: `user` is the hook of the trainer that the call on this thread works on, by `&mut`; `data` are `count`
        // elements of the type.
        let (hook, part) = unsafe {
            let part = if dtype == sys::NESTED_F64 {
                Reduction::Targets(&mut *data.cast::<f64>())
            } else {
                Reduction::Gradient(std::slice::from_raw_parts_mut(data.cast::<f32>(), count))
            };
            (&mut *user.cast::<Hook>(), part)
        };
        hook(part).map_or_else(fail, |()| 0)
    })
}

impl fmt::Debug for Trainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trainer({})", self.options().unwrap_or_default())
    }
}

/// JSON Schema of the options of [`Trainer::new`], with defaults and help.
pub fn trainer_schema() -> &'static str {
    // SAFETY: [pure], static.
    text(unsafe { sys::nested_trainer_schema() })
}
