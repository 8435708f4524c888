use nested_sys as sys;

use crate::error::{Error, Result, Status};
use crate::{Model, Run, Session};

/// How [`Model::consolidate`] merges.
#[derive(Clone, Debug, PartialEq)]
pub struct Consolidation {
    /// CMS levels to take, n_levels = the head of the tasks "classify" and "regress"; empty (default) is all.
    pub levels: Vec<usize>,
    /// Fraction of what was learnt that moves into the model, more than 0. Default: 1.
    pub strength: f64,
    /// Largest norm of the change of a tensor; 0 (default) is off.
    pub max_norm: f64,
    /// Weight of each session, not negative; they are normalised. Empty (default) is equal weights.
    pub session_weights: Vec<f64>,
}

impl Default for Consolidation {
    fn default() -> Self {
        Consolidation { levels: Vec::new(), strength: 1.0, max_norm: 0.0, session_weights: Vec::new() }
    }
}

impl Model {
    /// Makes a new model: the weights plus the weighted mean of what the sessions' CMS levels learnt. The sessions and this
    /// model stay as they are.
    ///
    /// ```
    /// # use nested::{Config, Context, Model};
    /// use nested::{Consolidation, Learn, Session};
    /// # let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
    /// # let model = Model::new(&Context::new()?, &config, 0)?;
    /// let mut ann = Session::new(&model, Learn::On)?;
    /// ann.feed(&"ann likes apples. ".repeat(20))?;
    /// let mut ben = Session::new(&model, Learn::On)?;
    /// ben.feed(&"ben likes trains. ".repeat(20))?;
    /// let wiser = model.consolidate([&ann, &ben], &Consolidation { strength: 0.5, ..Default::default() })?;
    /// assert_ne!(wiser.parameters()?, model.parameters()?);
    /// # Ok::<(), nested::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Status::Mismatch`] for a session of another architecture, [`Status::Argument`] without a session,
    /// [`Status::Shape`] unless there are no weights or one for each session, [`Status::Range`] for other options out of range.
    pub fn consolidate<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a Session>,
        options: &Consolidation,
    ) -> Result<Model> {
        self.consolidate_with(sessions, options, &mut Run::new())
    }

    /// [`consolidate`](Model::consolidate) with a companion.
    ///
    /// # Errors
    /// As [`consolidate`](Model::consolidate); [`Status::Cancelled`].
    pub fn consolidate_with<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a Session>,
        options: &Consolidation,
        run: &mut Run<'_>,
    ) -> Result<Model> {
        let sessions: Vec<_> = sessions.into_iter().map(|session| session.handle.get().cast_const()).collect();
        let weights = &options.session_weights;
        if !weights.is_empty() && weights.len() != sessions.len() {
            let message = format!("{} weights for {} sessions.", weights.len(), sessions.len());
            return Err(Error::new(Status::Shape, message, "options.session_weights"));
        }
        if options.strength == 0.0 {
            return Err(Error::new(Status::Range, "strength is more than 0.", "options.strength"));
        }
        let bit = |&level: &usize| u32::try_from(level).ok().and_then(|level| 1u32.checked_shl(level));
        let Some(level_mask) = options.levels.iter().map(bit).try_fold(0, |mask, bit| Some(mask | bit?)) else {
            return Err(Error::new(Status::Range, "There is no such level.", "options.levels"));
        };
        let options = sys::nested_consolidation {
            level_mask,
            strength: options.strength,
            max_norm: options.max_norm,
            session_weights: if weights.is_empty() { std::ptr::null() } else { weights.as_ptr() },
            ..Default::default()
        };
        let run = run.raw();
        // SAFETY: live handles; arrays of as many elements as it says, which live as long as the call, as does the run.
        Model::create(self.context(), |out| unsafe {
            sys::nested_model_consolidate(self.raw(), sessions.as_ptr(), sessions.len(), &options, &run, out)
        })
    }
}
