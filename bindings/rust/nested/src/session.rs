use std::fmt;
use std::path::Path;

use nested_sys as sys;

use crate::error::{check, Error, Result, Status};
use crate::handle::{c_path, count, view, zeros, Handle};
use crate::{Model, Run, SaveOptions, Snapshot, Tokens};

/// One stream of a model.
///
/// A session reads tokens and predicts the next one. It writes its memories as it reads, and with [`Learn::On`] its CMS levels
/// learn online, each at its own period; the model stays as it is. Sessions of one model run in parallel threads. How a
/// stream is cut into calls does not matter: feeding 10 + 10 tokens equals feeding 20, bit for bit.
///
/// ```
/// # use nested::{Config, Context, Model};
/// use nested::{Learn, Session};
/// # let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
/// # let model = Model::new(&Context::new()?, &config, 0)?;
/// let (mut one, mut other) = (Session::new(&model, Learn::On)?, Session::new(&model, Learn::On)?);
/// one.feed("to be or not to be")?;
/// other.feed("to be or ")?;
/// other.feed("not to be")?;
/// assert_eq!(one.output()?, other.output()?);
/// # Ok::<(), nested::Error>(())
/// ```
pub struct Session {
    pub(crate) handle: Handle<sys::nested_session>,
    /// Keeps the log closure alive; after the handle.
    model: Model,
}

/// What a session changes as it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Learn {
    /// In-context memories are written, CMS levels are fixed.
    #[default]
    Memory = sys::NESTED_LEARN_MEMORY,
    /// Memories and levels are fixed; the recurrent state advances.
    Off = sys::NESTED_LEARN_OFF,
    /// Memories are written, and CMS levels update as configured.
    On = sys::NESTED_LEARN_ON,
}

/// Options of a new session; made from a [`Learn`], or from `()` for the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Default: [`Learn::Memory`].
    pub learn: Learn,
    /// Of the sampling. Default: 0.
    pub seed: u64,
}

impl From<Learn> for SessionOptions {
    fn from(learn: Learn) -> Self {
        SessionOptions { learn, seed: 0 }
    }
}

impl From<()> for SessionOptions {
    fn from((): ()) -> Self {
        SessionOptions::default()
    }
}

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its mode.
    pub learn: Learn,
    /// Tokens consumed.
    pub position: u64,
    /// Of the sampling.
    pub seed: u64,
    /// Memory that is this session's own.
    pub state_bytes: u64,
    /// Online updates over all levels.
    pub updates: u64,
    /// Updates dropped because they were not finite.
    pub skipped: u64,
    /// Of the model now, see [`ModelInfo::version`](crate::ModelInfo::version).
    pub model_version: u64,
    /// Numbers in an answer, as the model's; of the task "classify" it grows with the labels.
    pub n_outputs: usize,
}

/// What reading some tokens came to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Feed {
    /// Tokens read.
    pub consumed: u64,
    /// Mean surprise in nats of the tokens that had a prediction before them, NaN when none had.
    pub loss: f64,
    /// Online updates made.
    pub updates: u64,
}

/// How likely some tokens are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// Natural log-probability of each token \[n\]; NaN for the very first token of a stream.
    pub logprobs: Vec<f32>,
    /// Their sum, without that NaN.
    pub sum: f64,
}

impl Session {
    /// Opens a stream: `Session::new(&model, ())`, `Session::new(&model, Learn::On)`, or with [`SessionOptions`].
    ///
    /// # Errors
    /// [`Status::NoMemory`], [`Status::Limit`].
    pub fn new(model: &Model, options: impl Into<SessionOptions>) -> Result<Self> {
        let options = options.into();
        let options =
            sys::nested_session_options { learn: options.learn as i32, seed: options.seed, ..Default::default() };
        // SAFETY: live handle, sized struct, `out` is valid for the call.
        Session::create(model, |out| unsafe { sys::nested_session_create(model.raw(), &options, out) })
    }

    /// Opens the session that [`save`](Session::save) wrote, exactly where it was; or, from a delta, a fresh stream on levels
    /// that have learnt.
    ///
    /// # Errors
    /// As [`Model::load`]; [`Status::Mismatch`] with the place `"nested.fingerprint"` on a model of another architecture,
    /// for a delta with `"nested.weights"` on one of other weights.
    pub fn load(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        Session::load_with(model, path, &mut Run::new())
    }

    /// [`load`](Session::load) with a companion.
    ///
    /// # Errors
    /// As [`load`](Session::load); [`Status::Cancelled`].
    pub fn load_with(model: &Model, path: impl AsRef<Path>, run: &mut Run<'_>) -> Result<Self> {
        let (path, run) = (c_path(path.as_ref())?, run.raw());
        // SAFETY: live handle, a path that ends with a NUL, a run that lives as long as the call.
        Session::create(model, |out| unsafe { sys::nested_session_load(model.raw(), path.as_ptr(), &run, out) })
    }

    fn create(model: &Model, function: impl FnOnce(*mut *mut sys::nested_session) -> i32) -> Result<Self> {
        Ok(Session { handle: Handle::create(function)?, model: model.clone() })
    }

    /// An independent copy of a running session.
    ///
    /// # Errors
    /// [`Status::NoMemory`], [`Status::Limit`].
    pub fn fork(&self) -> Result<Self> {
        // SAFETY: live handle, `out` is valid for the call.
        Session::create(&self.model, |out| unsafe { sys::nested_session_fork(self.handle.get(), out) })
    }

    /// The model that it is a stream of.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where it is.
    ///
    /// # Errors
    /// [`Status::Forked`].
    pub fn info(&self) -> Result<SessionInfo> {
        let mut r = sys::nested_session_info::default();
        // SAFETY: live handle, sized struct.
        check(unsafe { sys::nested_session_get_info(self.handle.get(), &mut r) })?;
        Ok(SessionInfo {
            learn: match r.learn {
                sys::NESTED_LEARN_OFF => Learn::Off,
                sys::NESTED_LEARN_ON => Learn::On,
                _ => Learn::Memory,
            },
            position: count(r.position),
            seed: r.seed,
            state_bytes: r.state_bytes,
            updates: r.n_updates,
            skipped: r.n_skipped,
            model_version: r.model_version,
            n_outputs: count(r.n_outputs) as usize,
        })
    }

    /// Back to the state after its creation, in the present mode.
    ///
    /// # Errors
    /// [`Status::NoMemory`].
    pub fn reset(&mut self) -> Result<()> {
        // SAFETY: live handle.
        check(unsafe { sys::nested_session_reset(self.handle.get()) })
    }

    /// Switches the mode. Gradients count from the token at which learning was switched on; switching it off drops the
    /// pending ones.
    ///
    /// # Errors
    /// [`Status::NoMemory`].
    pub fn set_learn(&mut self, learn: Learn) -> Result<()> {
        // SAFETY: live handle.
        check(unsafe { sys::nested_session_set_learn(self.handle.get(), learn as i32) })
    }

    /// Reads tokens, at least one.
    ///
    /// # Errors
    /// [`Status::Argument`] for no tokens, [`Status::Range`] for one outside the vocabulary, [`Status::NoMemory`].
    /// [`Error::committed`] says how many were read.
    pub fn feed<T: Tokens + ?Sized>(&mut self, tokens: &T) -> Result<Feed> {
        self.feed_with(tokens, &mut Run::new())
    }

    /// [`feed`](Session::feed) with a companion, which is told after each segment.
    ///
    /// # Errors
    /// As [`feed`](Session::feed); [`Status::Cancelled`], which keeps what was read.
    pub fn feed_with<T: Tokens + ?Sized>(&mut self, tokens: &T, run: &mut Run<'_>) -> Result<Feed> {
        self.read(&tokens.tokens(), run, std::ptr::null())
    }

    /// Reads tokens and returns the outputs \[n, n_outputs\] after each: logits.
    ///
    /// # Errors
    /// As [`feed`](Session::feed).
    pub fn feed_logits<T: Tokens + ?Sized>(&mut self, tokens: &T) -> Result<Vec<f32>> {
        self.feed_logits_with(tokens, &mut Run::new())
    }

    /// [`feed_logits`](Session::feed_logits) with a companion.
    ///
    /// # Errors
    /// As [`feed_with`](Session::feed_with).
    pub fn feed_logits_with<T: Tokens + ?Sized>(&mut self, tokens: &T, run: &mut Run<'_>) -> Result<Vec<f32>> {
        let tokens = tokens.tokens();
        let shape = [tokens.len(), self.n_outputs()?];
        let mut logits = zeros(&shape)?;
        self.read(&tokens, run, &view(&mut logits, &shape))?;
        Ok(logits)
    }

    /// `logits` is NULL or has room for what is read.
    fn read(&mut self, tokens: &[i32], run: &mut Run<'_>, logits: *const sys::nested_view) -> Result<Feed> {
        let (run, mut r) = (run.raw(), sys::nested_feed::default());
        // SAFETY: live handle, as many tokens as it says, sized structs; the run lives as long as the call.
        check(unsafe {
            sys::nested_session_feed(self.handle.get(), tokens.as_ptr(), tokens.len(), &run, logits, &mut r)
        })
        .map_err(|error| error.with_committed(count(r.n_consumed)))?;
        Ok(Feed { consumed: count(r.n_consumed), loss: r.loss, updates: r.n_updates })
    }

    /// Outputs \[n_outputs\] after the last token or vector: logits, or the numbers of the task "regress".
    ///
    /// # Errors
    /// [`Status::State`] before the first token.
    pub fn output(&self) -> Result<Vec<f32>> {
        let (mut logits, mut size) = (zeros(&[self.n_outputs()?])?, 0);
        // SAFETY: live handle, an array of as many elements as it says, `size` is valid for the call.
        check(unsafe { sys::nested_session_output(self.handle.get(), logits.as_mut_ptr(), logits.len(), &mut size) })?;
        Ok(logits)
    }

    /// Natural log-probability of each token given the stream and the tokens before it. The session does not move and
    /// learns nothing.
    ///
    /// # Errors
    /// As [`feed`](Session::feed).
    pub fn score<T: Tokens + ?Sized>(&self, tokens: &T) -> Result<Score> {
        self.score_with(tokens, &mut Run::new())
    }

    /// [`score`](Session::score) with a companion.
    ///
    /// # Errors
    /// As [`score`](Session::score); [`Status::Cancelled`].
    pub fn score_with<T: Tokens + ?Sized>(&self, tokens: &T, run: &mut Run<'_>) -> Result<Score> {
        let (tokens, run, mut sum) = (tokens.tokens(), run.raw(), 0.0);
        let mut logprobs = zeros(&[tokens.len()])?;
        // SAFETY: live handle, arrays of as many elements as it says; the run lives as long as the call.
        check(unsafe {
            sys::nested_session_score(
                self.handle.get(),
                tokens.as_ptr(),
                tokens.len(),
                &run,
                logprobs.as_mut_ptr(),
                &mut sum,
            )
        })?;
        Ok(Score { logprobs, sum })
    }

    /// A frozen copy of the state.
    ///
    /// # Errors
    /// [`Status::NoMemory`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        // SAFETY: live handle, `out` is valid for the call.
        Snapshot::create(&self.model, |out| unsafe { sys::nested_session_snapshot(self.handle.get(), out) })
    }

    /// Puts the session into a snapshot's state, its mode and seed included.
    ///
    /// # Errors
    /// [`Status::Mismatch`] for a snapshot of another architecture.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        // SAFETY: live handles.
        check(unsafe { sys::nested_session_restore(self.handle.get(), snapshot.raw()) })
    }

    /// Writes the whole session to a safetensors file, whole or not at all: loaded on the same weights it goes on bit for bit.
    ///
    /// # Errors
    /// As [`Model::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, SaveOptions::default(), &mut Run::new())
    }

    /// Writes only what the CMS levels have learnt: a small file for another machine that has the model.
    ///
    /// # Errors
    /// As [`Model::save`].
    pub fn save_delta(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, SaveOptions { delta: true, ..Default::default() }, &mut Run::new())
    }

    /// [`save`](Session::save) with options and a companion.
    ///
    /// # Errors
    /// As [`Model::save`]; [`Status::Cancelled`].
    pub fn save_with(&self, path: impl AsRef<Path>, options: SaveOptions, run: &mut Run<'_>) -> Result<()> {
        let (path, run) = (c_path(path.as_ref())?, run.raw());
        // SAFETY: live handle, a path that ends with a NUL, a run that lives as long as the call.
        check(unsafe { sys::nested_session_save(self.handle.get(), path.as_ptr(), options.flags(), &run) })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.info()).finish()
    }
}

/// Feeds one token to each of many sessions of one model as a batch, and returns the logits \[count, vocab\].
///
/// Each result equals that of a call for the session alone, bit for bit.
///
/// ```
/// # use nested::{Config, Context, Model};
/// use nested::{feed_many, Session};
/// # let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
/// # let model = Model::new(&Context::new()?, &config, 0)?;
/// let mut sessions = (0..3).map(|_| Session::new(&model, ())).collect::<nested::Result<Vec<_>>>()?;
/// let logits = feed_many(&mut sessions, "abc")?;
/// assert_eq!(logits.len(), 3 * model.vocab());
/// # Ok::<(), nested::Error>(())
/// ```
///
/// # Errors
/// [`Status::Shape`] unless there is one token for each session, [`Status::Mismatch`] for sessions of several models. When
/// a feed fails after the checks, [`Error::committed`] sessions in order have advanced.
pub fn feed_many<'a, T: Tokens + ?Sized>(
    sessions: impl IntoIterator<Item = &'a mut Session>,
    tokens: &T,
) -> Result<Vec<f32>> {
    feed_many_with(sessions, tokens, &mut Run::new())
}

/// [`feed_many`] with a companion.
///
/// # Errors
/// As [`feed_many`]; [`Status::Cancelled`].
pub fn feed_many_with<'a, T: Tokens + ?Sized>(
    sessions: impl IntoIterator<Item = &'a mut Session>,
    tokens: &T,
    run: &mut Run<'_>,
) -> Result<Vec<f32>> {
    let sessions: Vec<_> = sessions.into_iter().collect();
    let tokens = tokens.tokens();
    let Some(first) = sessions.first().filter(|_| sessions.len() == tokens.len()) else {
        let message = format!("{} sessions and {} tokens.", sessions.len(), tokens.len());
        return Err(Error::new(Status::Shape, message, "tokens"));
    };
    let shape = [sessions.len(), first.model.vocab()];
    let mut logits = zeros(&shape)?;
    let handles: Vec<_> = sessions.iter().map(|session| session.handle.get()).collect();
    let (run, mut done) = (run.raw(), 0);
    // SAFETY: live handles, distinct because each is borrowed by `&mut`; arrays of as many elements as it says; the view
    // has room for its shape; the run lives as long as the call.
    check(unsafe {
        sys::nested_sessions_feed(
            handles.as_ptr(),
            handles.len(),
            tokens.as_ptr(),
            &run,
            &view(&mut logits, &shape),
            &mut done,
        )
    })
    .map_err(|error| error.with_committed(done as u64))?;
    Ok(logits)
}
