use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null_mut, NonNull};

use nested_sys as sys;

use crate::error::{check, Error, Result, Status};

/// A C type that handles point to, and how they are released.
pub(crate) trait Kind {
    const RELEASE: unsafe extern "C" fn(*mut Self);
}

macro_rules! kinds {
    ($($name:ident $release:ident),* $(,)?) => {
        $(impl Kind for sys::$name {
            const RELEASE: unsafe extern "C" fn(*mut Self) = sys::$release;
        })*
    };
}

kinds! {
    nested_context nested_context_release,
    nested_config nested_config_release,
    nested_model nested_model_release,
    nested_trainer nested_trainer_release,
    nested_session nested_session_release,
    nested_snapshot nested_snapshot_release,
    nested_cancel nested_cancel_release,
    nested_blob nested_blob_release,
}

/// One count of an object (R3).
pub(crate) struct Handle<T: Kind>(NonNull<T>);

// SAFETY: every function may be called from any thread, on any handle, and the library locks (R4). A handle is a
// ticket that is looked up, not an address (R2).
unsafe impl<T: Kind> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T: Kind> Sync for Handle<T> {}

impl<T: Kind> Handle<T> {
    /// Calls a function with an `out` handle. The handle is taken over before the status is looked at: the panic of a
    /// log closure goes on from a call that succeeded.
    pub(crate) fn create(function: impl FnOnce(*mut *mut T) -> i32) -> Result<Self> {
        let mut out = null_mut();
        let status = function(&mut out);
        let handle = NonNull::new(out).map(Handle);
        check(status)?;
        handle.ok_or_else(|| Error::new(Status::Internal, "A call gave no handle.", ""))
    }

    /// For the argument of a C function. Whoever changes the object through it holds `&mut` of its owner, or
    /// leaves it to the library to lock.
    pub(crate) fn get(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T: Kind> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: the one count that this value owns.
        unsafe { T::RELEASE(self.get()) }
    }
}

/// A closure that C keeps a pointer to: it does not move, and nothing else refers to it.
pub(crate) struct Kept<F>(NonNull<F>);

// SAFETY: owns an F, as a Box does, and gives out no reference to it.
unsafe impl<F: Send> Send for Kept<F> {}
// SAFETY: as above; only C's callbacks reach the F. Who makes one sees to it that these may run at the same time, or do not.
unsafe impl<F: Send> Sync for Kept<F> {}

// The library's objects stay whole when a call unwinds (R6), so a closure does not make them less so.
impl<F> std::panic::UnwindSafe for Kept<F> {}
impl<F> std::panic::RefUnwindSafe for Kept<F> {}

impl<F> Kept<F> {
    pub(crate) fn new(closure: F) -> Self {
        Kept(NonNull::from(Box::leak(Box::new(closure))))
    }

    pub(crate) fn user(&self) -> *mut std::ffi::c_void {
        self.0.as_ptr().cast()
    }
}

impl<F> Drop for Kept<F> {
    fn drop(&mut self) {
        // SAFETY: from Box::leak, and dropped once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Copies the bytes of a blob out.
pub(crate) fn bytes(function: impl FnOnce(*mut *mut sys::nested_blob) -> i32) -> Result<Vec<u8>> {
    let blob = Handle::create(function)?;
    // SAFETY: the handle is live; the data is valid until its release and `size` bytes long.
    unsafe {
        let data = sys::nested_blob_data(blob.get()).cast::<u8>();
        let size = sys::nested_blob_size(blob.get());
        let mut copy = room(size)?;
        if size > 0 {
            copy.extend_from_slice(std::slice::from_raw_parts(data, size));
        }
        Ok(copy)
    }
}

pub(crate) fn string(function: impl FnOnce(*mut *mut sys::nested_blob) -> i32) -> Result<String> {
    String::from_utf8(bytes(function)?).map_err(|_| Error::new(Status::Internal, "A text is not UTF-8.", ""))
}

/// An empty vector with room for so many elements, or an error where there is none.
pub(crate) fn room<T>(count: usize) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(count).map_err(|error| Error::new(Status::NoMemory, error.to_string(), ""))?;
    Ok(vector)
}

/// Zeros for the library to write over, one for each position of a shape.
pub(crate) fn zeros(shape: &[usize]) -> Result<Vec<f32>> {
    let count = shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent)).unwrap_or(usize::MAX);
    let mut vector = room(count)?;
    vector.resize(count, 0.0);
    Ok(vector)
}

/// A dense view; at most NESTED_MAX_DIMS dimensions.
pub(crate) fn view(values: &mut [f32], shape: &[usize]) -> sys::nested_view {
    let mut view = sys::nested_view {
        data: values.as_mut_ptr().cast(),
        dtype: sys::NESTED_F32,
        ndim: shape.len() as i32,
        shape: [0; sys::NESTED_MAX_DIMS],
        strides: [0; sys::NESTED_MAX_DIMS],
    };
    for (to, &extent) in view.shape.iter_mut().zip(shape) {
        *to = integer(extent);
    }
    view
}

/// A dense view to be read from; at most NESTED_MAX_DIMS dimensions.
pub(crate) fn cview<T>(data: *const T, dtype: i32, shape: &[usize]) -> sys::nested_cview {
    let mut view = sys::nested_cview {
        data: data.cast(),
        dtype,
        ndim: shape.len() as i32,
        shape: [0; sys::NESTED_MAX_DIMS],
        strides: [0; sys::NESTED_MAX_DIMS],
    };
    for (to, &extent) in view.shape.iter_mut().zip(shape) {
        *to = integer(extent);
    }
    view
}

pub(crate) fn c_text(text: &str, place: &str) -> Result<CString> {
    c_bytes(text.as_ref(), place)
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    c_bytes(path.as_os_str(), "path")
}

fn c_bytes(text: &OsStr, place: &str) -> Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| Error::new(Status::Argument, format!("{place} contains a NUL byte."), place))
}

/// A count as C has it; what does not fit is out of every range.
pub(crate) fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count from C, which is never negative.
pub(crate) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
