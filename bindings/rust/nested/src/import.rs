use std::path::Path;

use nested_sys as sys;

use crate::handle::c_path;
use crate::{Context, Model, Result, Run};
#[cfg(doc)]
use crate::{Session, Status};

impl Model {
    /// Reads a checkpoint of another library: a folder with `config.json` and `model.safetensors`, or its index and shards,
    /// as Hugging Face's transformers writes them, of LlamaForCausalLM. The result is a "transformer" with the same logits.
    ///
    /// ```no_run
    /// use nested::{Context, Learn, Model, Session};
    /// let llama = Model::import(&Context::new()?, "llama")?;
    /// let hope = llama.stack(r#"{"levels": [{"chunk": 64}]}"#, 0, 0)?; // its feed-forwards go on learning
    /// let mut session = Session::new(&hope, Learn::On)?;
    /// # Ok::<(), nested::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Status::Io`], [`Status::Corrupt`], [`Status::Numeric`]; [`Status::Unsupported`] names what this library has no
    /// counterpart for.
    pub fn import(context: &Context, path: impl AsRef<Path>) -> Result<Self> {
        Model::import_with(context, path, &mut Run::new())
    }

    /// [`import`](Model::import) with a companion.
    ///
    /// # Errors
    /// As [`import`](Model::import); [`Status::Cancelled`].
    pub fn import_with(context: &Context, path: impl AsRef<Path>, run: &mut Run<'_>) -> Result<Self> {
        let (path, run) = (c_path(path.as_ref())?, run.raw());
        // SAFETY: live handle, a path that ends with a NUL, a run that lives as long as the call.
        Model::create(context, |out| unsafe { sys::nested_model_import(context.raw(), path.as_ptr(), &run, out) })
    }

    /// Ad-hoc level stacking: a new model of kind "hope-attention" in which the feed-forward of every block of a
    /// "transformer" is level `pretrained` of a CMS, which sessions go on teaching.
    ///
    /// `cms` is JSON as the configuration's "cms"; `""` is `{"levels":[{"chunk":64}]}`. Levels beside the pretrained one
    /// start so that they add nothing: the logits are the model's, bit for bit, until a session learns.
    ///
    /// # Errors
    /// [`Status::Unsupported`] for another kind, [`Status::Config`] as for a configuration, [`Status::Range`] when there
    /// is no such level.
    pub fn stack(&self, cms: &str, pretrained: usize, seed: u64) -> Result<Self> {
        self.stack_with(cms, pretrained, seed, &mut Run::new())
    }

    /// [`stack`](Model::stack) with a companion.
    ///
    /// # Errors
    /// As [`stack`](Model::stack); [`Status::Cancelled`].
    pub fn stack_with(&self, cms: &str, pretrained: usize, seed: u64, run: &mut Run<'_>) -> Result<Self> {
        let (run, level) = (run.raw(), i32::try_from(pretrained).unwrap_or(i32::MAX));
        let text = if cms.is_empty() { std::ptr::null() } else { cms.as_ptr().cast() };
        // SAFETY: live handle, a text as long as it says, a run that lives as long as the call.
        Model::create(self.context(), |out| unsafe {
            sys::nested_model_stack(self.raw(), text, cms.len(), level, seed, &run, out)
        })
    }
}
