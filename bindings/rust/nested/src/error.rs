use std::any::Any;
use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::Arc;

use nested_sys as sys;

use crate::library::text;

/// What the calls of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:ident;)*) => {
        /// Why a call failed: `NESTED_E_*` of the header.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Status {
            $($(#[$doc])* $name,)*
            /// A status that is newer than this crate; to be treated as a failure.
            Other(i32),
        }

        impl Status {
            /// The number in the header; permanent.
            pub fn code(self) -> i32 {
                match self {
                    $(Status::$name => sys::$value,)*
                    Status::Other(code) => code,
                }
            }

            pub(crate) fn from_code(code: i32) -> Self {
                match code {
                    $(sys::$value => Status::$name,)*
                    _ => Status::Other(code),
                }
            }
        }
    };
}

statuses! {
    /// A bug in libnested; the object is now poisoned.
    Internal = NESTED_E_INTERNAL;
    /// A value that is never valid.
    Argument = NESTED_E_ARGUMENT;
    /// A stale, foreign or wrong-kind handle: safe code does not meet it.
    Handle = NESTED_E_HANDLE;
    /// An index, token id or number out of range.
    Range = NESTED_E_RANGE;
    /// A shape or length that does not match.
    Shape = NESTED_E_SHAPE;
    /// An element type that is not accepted here.
    Dtype = NESTED_E_DTYPE;
    /// A stride or alignment that is not accepted here.
    Layout = NESTED_E_LAYOUT;
    /// A buffer that is too small.
    Capacity = NESTED_E_CAPACITY;
    /// Memory is exhausted.
    NoMemory = NESTED_E_NOMEM;
    /// The context's memory limit, or the limit of handles.
    Limit = NESTED_E_LIMIT;
    /// No tensor or key of that name.
    NotFound = NESTED_E_NOT_FOUND;
    /// There can be only one, and it is there.
    Exists = NESTED_E_EXISTS;
    /// Not in this build, on this processor or for this kind of model.
    Unsupported = NESTED_E_UNSUPPORTED;
    /// A file that is newer than the library.
    Version = NESTED_E_VERSION;
    /// A configuration is invalid; [`Error::place`] is a JSON pointer.
    Config = NESTED_E_CONFIG;
    /// A text is malformed; [`Error::offset`] is the byte.
    Parse = NESTED_E_PARSE;
    /// A file or a snapshot fails its checks.
    Corrupt = NESTED_E_CORRUPT;
    /// The system refused; [`Error::os_error`] is `errno`.
    Io = NESTED_E_IO;
    /// The object is busy further up the same stack.
    Reentrant = NESTED_E_REENTRANT;
    /// A [`Cancel`](crate::Cancel) was raised, or a progress closure said stop.
    Cancelled = NESTED_E_CANCELLED;
    /// A callback failed.
    Callback = NESTED_E_CALLBACK;
    /// The call is not allowed in the object's present state.
    State = NESTED_E_STATE;
    /// NaN or infinity where a finite number is required.
    Numeric = NESTED_E_NUMERIC;
    /// Objects of different architectures or weights were put together.
    Mismatch = NESTED_E_MISMATCH;
    /// The object was made before `fork()` and has threads.
    Forked = NESTED_E_FORKED;
    /// The object saw [`Status::Internal`] earlier.
    Poisoned = NESTED_E_POISONED;
}

impl Status {
    /// The name in the header, for example `"NESTED_E_SHAPE"`.
    pub fn name(self) -> &'static str {
        // SAFETY: [pure]; answers with a static text for every number.
        text(unsafe { sys::nested_status_name(self.code()) })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call failed, and every object is as it was before it.
///
/// Where a long call had committed a part of its work, [`Error::committed`] says how much.
///
/// ```
/// let error = nested::Config::from_json(r#"{"kind": "hope", "d_model": "wide"}"#).unwrap_err();
/// assert_eq!(error.status(), nested::Status::Config);
/// assert_eq!(error.place(), "/d_model");
/// println!("{error}");
/// ```
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    status: Status,
    message: String,
    place: String,
    function: &'static str,
    os_error: i32,
    offset: i64,
    committed: Option<u64>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// What this crate finds wrong before it calls the library.
    pub(crate) fn new(status: Status, message: impl Into<String>, place: &str) -> Self {
        Error(Box::new(Details {
            status,
            message: message.into(),
            place: place.into(),
            function: "",
            os_error: 0,
            offset: -1,
            committed: None,
            source: None,
        }))
    }

    /// What the library says about the call that has just failed on this thread.
    fn last(status: i32) -> Self {
        let mut record = sys::nested_error::default();
        // SAFETY: the struct is sized; the texts in it are valid until the next failing call on this thread.
        let (function, message, place) = unsafe {
            sys::nested_last_error(&mut record);
            (text(record.function), owned(record.message), owned(record.place))
        };
        let mut error = Error::new(Status::from_code(status), message, &place);
        error.0.function = function;
        error.0.os_error = record.os_error;
        error.0.offset = record.offset;
        error
    }

    pub(crate) fn with_committed(mut self, committed: u64) -> Self {
        self.0.committed = Some(committed);
        self
    }

    /// The kind of failure.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// One English sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// JSON pointer into a configuration, tensor name or argument name; `""` when there is none.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// The C function that failed; `""` where this crate refused the call itself.
    pub fn function(&self) -> &str {
        self.0.function
    }

    /// `errno` of a failed file operation.
    pub fn os_error(&self) -> Option<i32> {
        (self.0.os_error != 0).then_some(self.0.os_error)
    }

    /// Byte in a malformed text or a corrupt file.
    pub fn offset(&self) -> Option<u64> {
        u64::try_from(self.0.offset).ok()
    }

    /// What a failed or cancelled call has done all the same: tokens of a feed or of a generation, steps of a fit,
    /// sessions of [`feed_many`](crate::feed_many).
    pub fn committed(&self) -> Option<u64> {
        self.0.committed
    }
}

/// Copies a text out.
///
/// # Safety
/// `pointer` is NULL or a text that ends with a NUL.
unsafe fn owned(pointer: *const std::ffi::c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as above.
    unsafe { std::ffi::CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        if !self.place().is_empty() {
            write!(f, " (at {})", self.place())?;
        }
        if let Some(offset) = self.offset() {
            write!(f, " (byte {offset})")?;
        }
        write!(f, " [{}]", self.status())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("status", &self.0.status)
            .field("message", &self.0.message)
            .field("place", &self.0.place)
            .field("function", &self.0.function)
            .field("os_error", &self.os_error())
            .field("offset", &self.offset())
            .field("committed", &self.0.committed)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    /// What the closure of [`Trainer::set_allreduce`](crate::Trainer::set_allreduce) returned.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|e| &**e as _)
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = error.os_error().map(std::io::Error::from_raw_os_error);
        std::io::Error::new(kind.map_or(std::io::ErrorKind::Other, |e| e.kind()), error)
    }
}

/// What closures left behind on this thread, until the call that ran them has returned.
#[derive(Default)]
struct Left {
    panic: Option<Box<dyn Any + Send>>,
    failure: Option<Arc<dyn StdError + Send + Sync>>,
}

thread_local! {
    static LEFT: RefCell<Left> = RefCell::default();
}

/// Runs a closure inside a callback of the library: its panic must not cross C. -1 makes the library end the call.
pub(crate) fn contain(body: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let mut panic = Some(panic);
        let _ = LEFT.try_with(|left| {
            let mut left = left.borrow_mut();
            if left.panic.is_none() {
                left.panic = panic.take();
            }
        });
        // Nobody is there to resume a second one (a log has many records), and its destructor may panic too.
        std::mem::forget(panic);
        -1
    })
}

/// Keeps the error of a callback, to be the source of the call's.
pub(crate) fn fail(failure: Box<dyn StdError + Send + Sync>) -> i32 {
    LEFT.with(|left| left.borrow_mut().failure = Some(failure.into()));
    -1
}

/// Ends a call of the library: goes on with the panic of a callback, else turns the status into a result.
pub(crate) fn check(status: i32) -> Result<()> {
    let left = LEFT.try_with(RefCell::take).unwrap_or_default();
    if let Some(panic) = left.panic {
        resume_unwind(panic);
    }
    if status >= 0 {
        return Ok(());
    }
    let mut error = Error::last(status);
    error.0.source = left.failure;
    Err(error)
}
