use std::ffi::c_void;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use nested_sys as sys;

use crate::error::{contain, Result};
use crate::handle::Handle;
use crate::library::text;

/// A flag that any thread may raise to stop the calls that watch it. A counted handle: `clone` gives the same flag.
///
/// ```
/// use nested::{Cancel, Config, Context, Model, Run, Session, Status};
/// # fn main() -> nested::Result<()> {
/// # let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
/// # let model = Model::new(&Context::new()?, &config, 0)?;
/// let stop = Cancel::new()?;
/// let other = stop.clone();
/// std::thread::spawn(move || other.raise());
///
/// let mut session = Session::new(&model, ())?;
/// let long = vec![b'x'; 10_000_000];
/// let error = session.feed_with(&long, &mut Run::new().cancel(&stop)).unwrap_err();
/// assert_eq!(error.status(), Status::Cancelled);
/// assert_eq!(error.committed(), Some(session.info()?.position)); // valid, at the last committed chunk
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cancel(Arc<Handle<sys::nested_cancel>>);

impl Cancel {
    /// A flag that is not raised.
    ///
    /// # Errors
    /// [`Status::NoMemory`](crate::Status::NoMemory), [`Status::Limit`](crate::Status::Limit).
    pub fn new() -> Result<Self> {
        // SAFETY: `out` is valid for the call.
        let handle = Handle::create(|out| unsafe { sys::nested_cancel_create(out) })?;
        Ok(Cancel(Arc::new(handle)))
    }

    /// Stops the calls that watch this flag, now and until [`clear`](Cancel::clear). Async-signal-safe.
    pub fn raise(&self) {
        // SAFETY: live handle, so the call cannot fail; so too below.
        unsafe { sys::nested_cancel_raise(self.0.get()) };
    }

    /// Lowers the flag. Async-signal-safe.
    pub fn clear(&self) {
        // SAFETY: as in raise.
        unsafe { sys::nested_cancel_clear(self.0.get()) };
    }

    /// Whether the flag is up.
    pub fn is_raised(&self) -> bool {
        // SAFETY: as in raise.
        unsafe { sys::nested_cancel_is_raised(self.0.get()) == 1 }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_raised()).finish()
    }
}

/// What a progress closure is told.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// `"load"`, `"save"`, `"fit"`, `"feed"`, ...
    pub stage: &'static str,
    /// In steps, tokens or bytes.
    pub done: u64,
    /// None when it is not known.
    pub total: Option<u64>,
    /// Since the call began.
    pub elapsed: Duration,
    /// Running loss in nats, NaN when there is none.
    pub loss: f64,
}

type OnProgress<'a> = Box<dyn FnMut(&Progress) -> ControlFlow<()> + 'a>;

/// Companion of a long call: what may stop it, and whom it tells how far it is.
///
/// The call looks at the flag and reports between chunks of work (a step of training, a segment of a stream), and once
/// before it starts. One `Run` can be used for many calls.
///
/// ```
/// use std::{ops::ControlFlow, time::Duration};
/// use nested::Run;
/// let mut seen = 0;
/// let mut run = Run::new().every(Duration::from_millis(100)).progress(|progress| {
///     seen = progress.done;
///     eprintln!("{} {}/{:?}, loss {:.3}", progress.stage, progress.done, progress.total, progress.loss);
///     if progress.loss < 0.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// });
/// # let _ = &mut run;
/// ```
#[derive(Default)]
#[must_use]
pub struct Run<'a> {
    cancel: Option<Cancel>,
    interval: Duration,
    progress: Option<OnProgress<'a>>,
}

impl<'a> Run<'a> {
    /// Watches nothing and tells nobody.
    pub fn new() -> Self {
        Run::default()
    }

    /// The call ends with [`Status::Cancelled`](crate::Status::Cancelled) when this flag is raised.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Reports to a closure; [`ControlFlow::Break`] ends the call with
    /// [`Status::Cancelled`](crate::Status::Cancelled).
    pub fn progress(mut self, progress: impl FnMut(&Progress) -> ControlFlow<()> + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Least time between reports; zero (default) reports at every chunk.
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Points into this run, which nobody else touches as long as the result is used.
    pub(crate) fn raw(&mut self) -> sys::nested_run {
        let mut raw = sys::nested_run {
            interval_ms: u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX),
            cancel: self.cancel.as_ref().map_or(std::ptr::null_mut(), |c| c.0.get()),
            ..Default::default()
        };
        if let Some(progress) = &mut self.progress {
            raw.progress = Some(on_progress);
            raw.user = std::ptr::from_mut(progress).cast();
        }
        raw
    }
}

unsafe extern "C" fn on_progress(user: *mut c_void, record: *const sys::nested_progress) -> i32 {
    contain(|| {
        // SAFETY: `user` is the closure of the Run that the call on this thread was given; the record is valid during
        // this call.
        let (progress, r) = unsafe { (&mut *user.cast::<OnProgress<'_>>(), &*record) };
        let report = Progress {
            stage: text(r.stage),
            done: r.done,
            total: (r.total != 0).then_some(r.total),
            elapsed: Duration::try_from_secs_f64(r.elapsed_s).unwrap_or_default(),
            loss: r.loss,
        };
        i32::from(progress(&report).is_break())
    })
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("cancel", &self.cancel)
            .field("interval", &self.interval)
            .field("progress", &self.progress.is_some())
            .finish()
    }
}
