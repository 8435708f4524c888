use std::fmt;
use std::sync::Arc;

use nested_sys as sys;

use crate::error::Result;
use crate::handle::{bytes, Handle};
use crate::Model;

/// A frozen copy of a session's state. A counted handle: `clone` gives the same snapshot.
///
/// ```
/// # use nested::{Config, Context, Model};
/// use nested::{Session, Snapshot};
/// # let config = Config::from_json(r#"{"kind": "hope", "vocab": 256, "d_model": 32, "n_layers": 1}"#)?;
/// # let model = Model::new(&Context::new()?, &config, 0)?;
/// let mut session = Session::new(&model, ())?;
/// session.feed("so far")?;
/// let bytes = session.snapshot()?.to_bytes()?;
/// session.feed(" and further")?;
/// session.restore(&Snapshot::from_bytes(&model, &bytes)?)?;
/// assert_eq!(session.info()?.position, 6);
/// # Ok::<(), nested::Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot(Arc<Shared>);

struct Shared {
    handle: Handle<sys::nested_snapshot>,
    /// Keeps the log closure alive; after the handle.
    _model: Model,
}

impl Snapshot {
    pub(crate) fn create(model: &Model, function: impl FnOnce(*mut *mut sys::nested_snapshot) -> i32) -> Result<Self> {
        Ok(Snapshot(Arc::new(Shared { handle: Handle::create(function)?, _model: model.clone() })))
    }

    pub(crate) fn raw(&self) -> *mut sys::nested_snapshot {
        self.0.handle.get()
    }

    /// Reads what [`to_bytes`](Snapshot::to_bytes), [`delta_to_bytes`](Snapshot::delta_to_bytes) or
    /// [`Session::save`](crate::Session::save) wrote.
    ///
    /// # Errors
    /// [`Status::Corrupt`](crate::Status::Corrupt); as [`Session::load`](crate::Session::load).
    pub fn from_bytes(model: &Model, bytes: &[u8]) -> Result<Self> {
        // SAFETY: live handle, and bytes as many as it says.
        Snapshot::create(model, |out| unsafe {
            sys::nested_snapshot_from_bytes(model.raw(), bytes.as_ptr().cast(), bytes.len(), out)
        })
    }

    /// The bytes that [`Session::save`](crate::Session::save) would write.
    ///
    /// # Errors
    /// [`Status::NoMemory`](crate::Status::NoMemory).
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // SAFETY: live handle, `out` is valid for the call.
        bytes(|out| unsafe { sys::nested_snapshot_to_blob(self.raw(), out) })
    }

    /// Only what the CMS levels have learnt, as [`Session::save_delta`](crate::Session::save_delta) would write it.
    ///
    /// # Errors
    /// [`Status::NoMemory`](crate::Status::NoMemory).
    pub fn delta_to_bytes(&self) -> Result<Vec<u8>> {
        // SAFETY: live handle, `out` is valid for the call.
        bytes(|out| unsafe { sys::nested_snapshot_delta_to_blob(self.raw(), out) })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
