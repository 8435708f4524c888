use std::ffi::{c_void, CStr};
use std::fmt;
use std::sync::Arc;

use nested_sys as sys;

use crate::error::{check, contain, Result};
use crate::handle::{Handle, Kept};
use crate::library::text;

/// Threads, memory and log of what is made from it. A counted handle: `clone` gives the same context.
///
/// ```
/// use nested::{Context, LogLevel};
/// let context = Context::builder()
///     .threads(2)
///     .memory_limit(200 << 20)
///     .log(LogLevel::Info, |record| eprintln!("{}: {}", record.component, record.message))
///     .build()?;
/// assert_eq!(context.memory()?.limit, 200 << 20);
/// # Ok::<(), nested::Error>(())
/// ```
#[derive(Clone)]
pub struct Context(Arc<Shared>);

struct Shared {
    handle: Handle<sys::nested_context>,
    /// The library may log as long as anything made from the context lives. All of that holds an `Arc` of this, and the
    /// handle goes first.
    _log: Option<Kept<Log>>,
}

type Log = Box<dyn Fn(&LogRecord<'_>) + Send + Sync>;

impl Context {
    /// All cores, no limit, silent.
    ///
    /// # Errors
    /// As [`ContextBuilder::build`].
    pub fn new() -> Result<Self> {
        Context::builder().build()
    }

    /// Options, to be ended with [`ContextBuilder::build`].
    pub fn builder() -> ContextBuilder {
        ContextBuilder::default()
    }

    /// Tensor storage of the context.
    ///
    /// # Errors
    /// [`Status::Forked`](crate::Status::Forked).
    pub fn memory(&self) -> Result<MemoryStats> {
        let mut r = sys::nested_memory_stats::default();
        // SAFETY: live handle, sized struct.
        check(unsafe { sys::nested_context_memory(self.raw(), &mut r) })?;
        Ok(MemoryStats { in_use: r.in_use, peak: r.peak, limit: r.limit, allocations: r.n_allocations })
    }

    pub(crate) fn raw(&self) -> *mut sys::nested_context {
        self.0.handle.get()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.memory()).finish()
    }
}

/// Options of a [`Context`].
#[derive(Default)]
#[must_use]
pub struct ContextBuilder {
    threads: usize,
    memory_limit: u64,
    log: Option<(LogLevel, Log)>,
}

impl ContextBuilder {
    /// Threads that compute, at most 1024: 0 (default) is one per available core, 1 starts none.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Bytes of tensor storage; 0 (default) is no limit.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Runs `log` for each record up to a level, on the thread that made the call, after the call has let go of its
    /// objects: the closure may call the library. Default: silent.
    pub fn log(mut self, level: LogLevel, log: impl Fn(&LogRecord<'_>) + Send + Sync + 'static) -> Self {
        self.log = Some((level, Box::new(log)));
        self
    }

    /// Starts the context's threads.
    ///
    /// # Errors
    /// [`Status::Range`](crate::Status::Range) for too many threads, [`Status::Unsupported`](crate::Status::Unsupported)
    /// on a processor older than x86-64-v3.
    pub fn build(self) -> Result<Context> {
        let mut options = sys::nested_context_options {
            n_threads: i32::try_from(self.threads).unwrap_or(i32::MAX),
            memory_limit: self.memory_limit,
            ..Default::default()
        };
        let log = self.log.map(|(level, log)| {
            options.log_level = level as i32;
            Kept::new(log)
        });
        if let Some(log) = &log {
            options.log = Some(on_log);
            options.log_user = log.user();
        }
        // SAFETY: sized struct. on_log and its user live as long as the context (see Shared).
        let handle = Handle::create(|out| unsafe { sys::nested_context_create(&options, out) })?;
        Ok(Context(Arc::new(Shared { handle, _log: log })))
    }
}

unsafe extern "C" fn on_log(user: *mut c_void, record: *const sys::nested_log_record) {
    contain(|| {
        // SAFETY: `user` is the Log of build(), which several threads may call at once; the record and its texts are
        // valid during this call.
        unsafe {
            let (log, record) = (&*user.cast::<Log>(), &*record);
            let message = CStr::from_ptr(record.message).to_string_lossy();
            let level = LogLevel::from_code(record.level);
            log(&LogRecord { level, component: text(record.component), message: &message });
        }
        0
    });
}

impl fmt::Debug for ContextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextBuilder")
            .field("threads", &self.threads)
            .field("memory_limit", &self.memory_limit)
            .field("log", &self.log.as_ref().map(|(level, _)| level))
            .finish()
    }
}

/// How much is logged, and how grave a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// Failures of calls.
    Error = sys::NESTED_LOG_ERROR as isize,
    /// What went on in spite of something, for example a skipped update.
    Warn = sys::NESTED_LOG_WARN as isize,
    /// What was made, loaded and saved.
    Info = sys::NESTED_LOG_INFO as isize,
    /// Everything.
    Debug = sys::NESTED_LOG_DEBUG as isize,
}

impl LogLevel {
    fn from_code(code: i32) -> Self {
        match code {
            sys::NESTED_LOG_ERROR => LogLevel::Error,
            sys::NESTED_LOG_WARN => LogLevel::Warn,
            sys::NESTED_LOG_INFO => LogLevel::Info,
            _ => LogLevel::Debug,
        }
    }
}

/// One complete line of the library's log.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// How grave it is.
    pub level: LogLevel,
    /// `"load"`, `"train"`, `"session"`, ...
    pub component: &'static str,
    /// The line, without a newline.
    pub message: &'a str,
}

/// Tensor storage of a context, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Now.
    pub in_use: u64,
    /// The most there ever was.
    pub peak: u64,
    /// The limit of the options, 0 for none.
    pub limit: u64,
    /// Allocations so far; stands still once a loop is warm.
    pub allocations: u64,
}
