use std::ffi::{c_char, CStr, CString};

use nested_sys as sys;

/// A static text of the library.
pub(crate) fn text(pointer: *const c_char) -> &'static str {
    if pointer.is_null() {
        return "";
    }
    // SAFETY: only called with texts that the header says are static.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or("")
}

/// Version of the library that is loaded, ordered: 1.2.3 is 1002003.
pub fn version() -> u32 {
    // SAFETY: [pure].
    unsafe { sys::nested_version() }
}

/// Version of the library that is loaded, as text: `"1.0.0"`.
pub fn version_string() -> &'static str {
    // SAFETY: [pure].
    text(unsafe { sys::nested_version_string() })
}

/// Version of the library's binary interface, the number in `libnested.so.1`.
pub fn abi() -> u32 {
    // SAFETY: [pure].
    unsafe { sys::nested_abi() }
}

/// JSON object with "version", "abi", "compiler", "simd" (kernel class in use), "blas", "json", "features" and
/// "licences".
pub fn build_info() -> &'static str {
    // SAFETY: [pure].
    text(unsafe { sys::nested_build_info() })
}

/// JSON object that describes every struct, constant and function of the C interface.
pub fn abi_info() -> &'static str {
    // SAFETY: [pure].
    text(unsafe { sys::nested_abi_info() })
}

/// Whether a feature is in this build; [`build_info`] lists them.
///
/// ```
/// assert!(nested::has_feature("kind.hope"));
/// assert!(!nested::has_feature("kind.something-else"));
/// ```
pub fn has_feature(name: &str) -> bool {
    // SAFETY: [pure]; the text ends with a NUL.
    CString::new(name).is_ok_and(|name| unsafe { sys::nested_has_feature(name.as_ptr()) } == 1)
}

/// Kinds of objects, for [`live_handles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandleKind {
    /// All kinds together.
    Any,
    /// [`Context`](crate::Context)
    Context,
    /// [`Config`](crate::Config)
    Config,
    /// [`Model`](crate::Model)
    Model,
    /// [`Trainer`](crate::Trainer)
    Trainer,
    /// [`Session`](crate::Session)
    Session,
    /// [`Snapshot`](crate::Snapshot)
    Snapshot,
    /// [`Cancel`](crate::Cancel)
    Cancel,
    /// Bytes on their way out of the library.
    Blob,
}

/// Objects of a kind that are alive in the process, whichever language made them: for leak tests.
///
/// ```
/// use nested::{live_handles, Cancel, HandleKind};
/// let cancel = Cancel::new()?;
/// assert_eq!(live_handles(HandleKind::Cancel), 1);
/// drop(cancel);
/// assert_eq!(live_handles(HandleKind::Cancel), 0);
/// # Ok::<(), nested::Error>(())
/// ```
pub fn live_handles(kind: HandleKind) -> u64 {
    let number = match kind {
        HandleKind::Any => sys::NESTED_HANDLE_ANY,
        HandleKind::Context => sys::NESTED_HANDLE_CONTEXT,
        HandleKind::Config => sys::NESTED_HANDLE_CONFIG,
        HandleKind::Model => sys::NESTED_HANDLE_MODEL,
        HandleKind::Trainer => sys::NESTED_HANDLE_TRAINER,
        HandleKind::Session => sys::NESTED_HANDLE_SESSION,
        HandleKind::Snapshot => sys::NESTED_HANDLE_SNAPSHOT,
        HandleKind::Cancel => sys::NESTED_HANDLE_CANCEL,
        HandleKind::Blob => sys::NESTED_HANDLE_BLOB,
    };
    // SAFETY: [pure].
    crate::handle::count(unsafe { sys::nested_live_handles(number) })
}
