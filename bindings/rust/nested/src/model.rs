use std::fmt;
use std::path::Path;
use std::sync::Arc;

use nested_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::handle::{bytes, c_path, count, view, zeros, Handle};
use crate::{Batch, Config, Context, Evaluation, Run, Tensors};

/// The weights of one network. A counted handle: `clone` gives the same weights, [`duplicate`](Model::duplicate) new ones.
///
/// Sessions of a model run in parallel threads and share its weights. Methods that change the weights take `&self` and
/// lock: sessions that run at the time see the old or the new weights, never a mixture in one chunk.
///
/// ```
/// use nested::{Batch, Config, Context, Model};
/// let context = Context::builder().threads(1).build()?;
/// let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
/// let model = Model::new(&context, &config, 0)?;
/// let loss = model.evaluate(&Batch::new("to be or not to be", 1)?)?.loss;
/// assert!((loss - 256f64.ln()).abs() < 0.5); // knows nothing yet
/// # Ok::<(), nested::Error>(())
/// ```
#[derive(Clone)]
pub struct Model(Arc<Shared>);

struct Shared {
    handle: Handle<sys::nested_model>,
    info: ModelInfo,
    /// Keeps the log closure alive; after the handle.
    context: Context,
}

/// What a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Blocks.
    pub n_layers: usize,
    /// CMS levels of a layer, or 0.
    pub n_levels: usize,
    /// What it is for.
    pub task: Task,
    /// Token ids are 0..vocab; 0 = it reads vectors.
    pub vocab: usize,
    /// Width.
    pub d_model: usize,
    /// Numbers in an input vector, or 0.
    pub n_inputs: usize,
    /// Numbers in an answer: vocab, classes or outputs.
    pub n_outputs: usize,
    /// Named tensors.
    pub n_tensors: usize,
    /// Parameters.
    pub n_params: usize,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Grows with each change of the weights.
    pub version: u64,
    /// Hash of the canonical configuration: equal for models whose states can be exchanged.
    pub fingerprint: u64,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Task {
    /// "lm": the next token.
    Lm,
    /// "classify": a class for a row or a position.
    Classify,
    /// "regress": numbers for a row or a position.
    Regress,
}

/// How something is written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveOptions {
    /// Wait until the disk has it before the file gets its name. Default: true.
    pub sync: bool,
    /// Of a session, only what its CMS levels have learnt. Default: false.
    pub delta: bool,
}

impl Default for SaveOptions {
    fn default() -> Self {
        SaveOptions { sync: true, delta: false }
    }
}

impl SaveOptions {
    pub(crate) fn flags(self) -> u32 {
        (if self.sync { 0 } else { sys::NESTED_SAVE_NO_SYNC }) | (if self.delta { sys::NESTED_SAVE_DELTA } else { 0 })
    }
}

impl Model {
    /// Initialises weights from a configuration, which is copied, and a seed.
    ///
    /// # Errors
    /// As [`Config::validate`]; [`Status::NoMemory`], or [`Status::Limit`] for the context's memory limit.
    pub fn new(context: &Context, config: &Config, seed: u64) -> Result<Self> {
        // SAFETY: live handles, `out` is valid for the call.
        Model::create(context, |out| unsafe { sys::nested_model_create(context.raw(), config.handle.get(), seed, out) })
    }

    /// Reads the file that [`save`](Model::save) wrote.
    ///
    /// # Errors
    /// [`Status::Io`] with [`Error::os_error`], [`Status::Corrupt`], [`Status::Numeric`] for values that are not
    /// finite, [`Status::Version`].
    pub fn load(context: &Context, path: impl AsRef<Path>) -> Result<Self> {
        Model::load_with(context, path, &mut Run::new())
    }

    /// [`load`](Model::load) with a companion.
    ///
    /// # Errors
    /// As [`load`](Model::load); [`Status::Cancelled`].
    pub fn load_with(context: &Context, path: impl AsRef<Path>, run: &mut Run<'_>) -> Result<Self> {
        let (path, run) = (c_path(path.as_ref())?, run.raw());
        // SAFETY: live handle, a path that ends with a NUL, a run that lives as long as the call.
        Model::create(context, |out| unsafe { sys::nested_model_load(context.raw(), path.as_ptr(), 0, &run, out) })
    }

    /// [`load`](Model::load) that maps the file instead of copying it: weights are read when they are used, and processes
    /// share the memory. Nothing is checked but the header. A change of the weights copies them first.
    ///
    /// The file must stay as it is while the model lives, or what it computes means nothing; a file that is cut short
    /// ends the process. That is for the caller to see to, as with every mapped file.
    ///
    /// # Errors
    /// As [`load`](Model::load); [`Status::Unsupported`] for files that are not float32 in this library's layout.
    pub fn load_mapped(context: &Context, path: impl AsRef<Path>) -> Result<Self> {
        let path = c_path(path.as_ref())?;
        // SAFETY: live handle, a path that ends with a NUL.
        Model::create(context, |out| unsafe {
            sys::nested_model_load(context.raw(), path.as_ptr(), sys::NESTED_LOAD_MMAP, std::ptr::null(), out)
        })
    }

    /// Reads what [`to_bytes`](Model::to_bytes) gave, or the bytes of a file.
    ///
    /// # Errors
    /// As [`load`](Model::load).
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<Self> {
        // SAFETY: live handle, and bytes as many as it says.
        Model::create(context, |out| unsafe {
            sys::nested_model_load_bytes(context.raw(), bytes.as_ptr().cast(), bytes.len(), 0, out)
        })
    }

    pub(crate) fn create(context: &Context, function: impl FnOnce(*mut *mut sys::nested_model) -> i32) -> Result<Self> {
        let handle = Handle::create(function)?;
        let info = read_info(&handle)?;
        Ok(Model(Arc::new(Shared { handle, info, context: context.clone() })))
    }

    /// An independent copy of the weights.
    ///
    /// # Errors
    /// [`Status::NoMemory`], [`Status::Limit`].
    pub fn duplicate(&self) -> Result<Self> {
        // SAFETY: live handle, `out` is valid for the call.
        Model::create(self.context(), |out| unsafe { sys::nested_model_clone(self.raw(), out) })
    }

    /// The context that it was made from.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    pub(crate) fn raw(&self) -> *mut sys::nested_model {
        self.0.handle.get()
    }

    /// What it is now.
    ///
    /// # Errors
    /// [`Status::Forked`].
    pub fn info(&self) -> Result<ModelInfo> {
        read_info(&self.0.handle)
    }

    /// Token ids are 0..vocab; 0 = it reads vectors.
    pub fn vocab(&self) -> usize {
        self.0.info.vocab
    }

    /// Numbers in an input vector, or 0.
    pub fn n_inputs(&self) -> usize {
        self.0.info.n_inputs
    }

    /// Numbers in an answer: vocab, classes or outputs.
    pub fn n_outputs(&self) -> usize {
        self.0.info.n_outputs
    }

    /// Number of parameters.
    pub fn n_params(&self) -> usize {
        self.0.info.n_params
    }

    /// How many CMS levels each layer has; the head of the tasks "classify" and "regress" is one more layer, with one level.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (usize, usize)> {
        let info = self.0.info;
        let head = (info.task != Task::Lm).then_some((info.n_layers, 1));
        (0..info.n_layers).map(move |layer| (layer, info.n_levels)).chain(head)
    }

    /// A copy of its configuration.
    ///
    /// # Errors
    /// [`Status::NoMemory`].
    pub fn config(&self) -> Result<Config> {
        // SAFETY: live handle, `out` is valid for the call.
        let handle = Handle::create(|out| unsafe { sys::nested_model_get_config(self.raw(), out) })?;
        Ok(Config { handle })
    }

    /// Its named tensors.
    pub fn tensors(&self) -> Tensors {
        Tensors::new(self.clone())
    }

    /// All weights as one vector \[n_params\], in the order of [`TensorInfo::flat_offset`](crate::TensorInfo::flat_offset).
    ///
    /// # Errors
    /// [`Status::NoMemory`]; [`Status::Reentrant`] from a callback of a call that works on the model.
    pub fn parameters(&self) -> Result<Vec<f32>> {
        let mut values = zeros(&[self.n_params()])?;
        // SAFETY: live handle, and an array of as many elements as it says.
        check(unsafe { sys::nested_model_params_get(self.raw(), values.as_mut_ptr(), values.len()) })?;
        Ok(values)
    }

    /// Replaces all weights \[n_params\]. A trainer keeps its optimizer state.
    ///
    /// # Errors
    /// [`Status::Shape`] for another number of values, [`Status::Numeric`] when one is not finite.
    pub fn set_parameters(&self, values: &[f32]) -> Result<()> {
        // SAFETY: live handle, and an array of as many elements as it says. The library locks.
        check(unsafe { sys::nested_model_params_set(self.raw(), values.as_ptr(), values.len()) })
    }

    /// Loss of a batch; the weights stay as they are.
    ///
    /// # Errors
    /// [`Status::Range`] for a token outside the vocabulary, [`Status::Numeric`] for bad weights of the loss.
    pub fn evaluate(&self, batch: &Batch) -> Result<Evaluation> {
        self.evaluate_with(batch, &mut Run::new())
    }

    /// [`evaluate`](Model::evaluate) with a companion.
    ///
    /// # Errors
    /// As [`evaluate`](Model::evaluate); [`Status::Cancelled`].
    pub fn evaluate_with(&self, batch: &Batch, run: &mut Run<'_>) -> Result<Evaluation> {
        let (run, mut out) = (run.raw(), sys::nested_eval::default());
        // SAFETY: live handle, sized structs; batch and run live as long as the call.
        check(batch.lend(|batch| unsafe { sys::nested_model_evaluate(self.raw(), batch, &run, &mut out) }))?;
        Ok(out.into())
    }

    /// Outputs \[n_seq, seq_len, n_outputs\] of every position of a batch, whose targets are not looked at: logits, or the
    /// numbers of the task "regress".
    ///
    /// # Errors
    /// As [`evaluate`](Model::evaluate).
    pub fn forward(&self, batch: &Batch) -> Result<Vec<f32>> {
        self.forward_with(batch, &mut Run::new())
    }

    /// [`forward`](Model::forward) with a companion.
    ///
    /// # Errors
    /// As [`forward`](Model::forward); [`Status::Cancelled`].
    pub fn forward_with(&self, batch: &Batch, run: &mut Run<'_>) -> Result<Vec<f32>> {
        self.outputs(batch, &[batch.n_seq(), batch.seq_len(), self.n_outputs()], run)
    }

    /// Outputs \[n_seq, n_outputs\] of the tasks "classify" and "regress", one answer for each row of a batch.
    ///
    /// # Errors
    /// As [`evaluate`](Model::evaluate); [`Status::Shape`] for other tasks.
    pub fn forward_rows(&self, batch: &Batch) -> Result<Vec<f32>> {
        self.forward_rows_with(batch, &mut Run::new())
    }

    /// [`forward_rows`](Model::forward_rows) with a companion.
    ///
    /// # Errors
    /// As [`forward_rows`](Model::forward_rows); [`Status::Cancelled`].
    pub fn forward_rows_with(&self, batch: &Batch, run: &mut Run<'_>) -> Result<Vec<f32>> {
        self.outputs(batch, &[batch.n_seq(), self.n_outputs()], run)
    }

    fn outputs(&self, batch: &Batch, shape: &[usize], run: &mut Run<'_>) -> Result<Vec<f32>> {
        let mut outputs = zeros(shape)?;
        let (run, dst) = (run.raw(), view(&mut outputs, shape));
        // SAFETY: as in evaluate_with, and the view has room for its shape.
        check(batch.lend(|batch| unsafe { sys::nested_model_forward(self.raw(), batch, &run, &dst) }))?;
        Ok(outputs)
    }

    /// Writes a safetensors file, whole or not at all: a crash leaves the old file or the new one.
    ///
    /// # Errors
    /// [`Status::Io`] with [`Error::os_error`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, SaveOptions::default(), &mut Run::new())
    }

    /// [`save`](Model::save) with options and a companion.
    ///
    /// # Errors
    /// As [`save`](Model::save); [`Status::Cancelled`]; [`Status::Argument`] for [`SaveOptions::delta`].
    pub fn save_with(&self, path: impl AsRef<Path>, options: SaveOptions, run: &mut Run<'_>) -> Result<()> {
        let (path, run) = (c_path(path.as_ref())?, run.raw());
        // SAFETY: live handle, a path that ends with a NUL, a run that lives as long as the call.
        check(unsafe { sys::nested_model_save(self.raw(), path.as_ptr(), options.flags(), &run) })
    }

    /// The bytes that [`save`](Model::save) writes.
    ///
    /// # Errors
    /// [`Status::NoMemory`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // SAFETY: live handle, `out` is valid for the call.
        bytes(|out| unsafe { sys::nested_model_save_blob(self.raw(), 0, out) })
    }
}

fn read_info(handle: &Handle<sys::nested_model>) -> Result<ModelInfo> {
    let mut r = sys::nested_model_info::default();
    // SAFETY: live handle, sized struct.
    check(unsafe { sys::nested_model_get_info(handle.get(), &mut r) })?;
    let size =
        |value: u64| usize::try_from(value).map_err(|_| Error::new(Status::Internal, "A size is too large.", ""));
    Ok(ModelInfo {
        n_layers: size(count(r.n_layers.into()))?,
        n_levels: size(count(r.n_levels.into()))?,
        task: match r.task {
            sys::NESTED_TASK_CLASSIFY => Task::Classify,
            sys::NESTED_TASK_REGRESS => Task::Regress,
            _ => Task::Lm,
        },
        vocab: size(count(r.vocab))?,
        d_model: size(count(r.d_model))?,
        n_inputs: size(count(r.n_inputs))?,
        n_outputs: size(count(r.n_outputs))?,
        n_tensors: size(r.n_tensors)?,
        n_params: size(r.n_params)?,
        weight_bytes: r.weight_bytes,
        version: r.version,
        fingerprint: r.fingerprint,
    })
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Model").field(&self.info()).finish()
    }
}
