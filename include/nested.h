/*
 * nested.h - the C interface of libnested, and its manual
 *
 * libnested trains and runs continually learning sequence models (Nested
 * Learning: Hope, with self-modifying Titans memories and a Continuum Memory
 * System) inside somebody else's process.  This header is the whole contract:
 * a symbol, field or constant that is not in this file is not API.
 *
 * In one minute: a CONTEXT owns threads and memory.  A CONFIG describes an
 * architecture.  A MODEL is weights made from a config.  A TRAINER optimises
 * the weights over batches.  A SESSION is one stream of a model: it reads
 * tokens, remembers them in its memories and, if told to, goes on learning in
 * its CMS levels without touching the model.  A SNAPSHOT freezes a session's
 * state.  nested_model_consolidate() makes a new model out of what sessions
 * have learned.  Complete programs: examples/c/.
 *
 * ---------------------------------------------------------------------------
 * RULES THAT HOLD FOR EVERY FUNCTION
 *
 * R1  No call terminates, hangs or prints.  Bad input, exhausted memory, a
 *     corrupt file or a stale handle yields a negative nested_status.  The
 *     library installs no signal handler, writes nothing to stdout or stderr,
 *     lets no environment variable change results, never changes the working
 *     directory, locale, FP environment or umask, and starts no thread before
 *     a context is created.  A call needs at most 64 KiB of the caller's stack.
 *
 * R2  Handles (pointers to the incomplete structs below) are tickets, not
 *     addresses: the library never dereferences one.  It looks the ticket up
 *     (kind + slot + generation), so NULL, garbage, an already released handle
 *     or a handle of another kind gives NESTED_E_HANDLE, never a crash.  Do
 *     not compute with them and do not send them to another process.
 *
 * R3  Handles are counted.  Every function with an `out` handle gives you one
 *     count; drop it with the matching _release().  An object keeps what it
 *     needs alive: you may release a context before its models and a model
 *     before its sessions, in any order, from any thread (finalizers in
 *     garbage collected languages run in arbitrary order).  _release(NULL) and
 *     a second _release() of the same handle do nothing.  A handle that is
 *     released while another thread is inside a call on it stays usable for
 *     that call and for no other.
 *
 * R4  Threads.  Every function may be called from any thread.  The tag in each
 *     comment says what happens when threads share a handle:
 *       [pure]    touches no mutable object; runs concurrently with anything.
 *       [shared]  reads the object; any number run concurrently with each
 *                 other, and wait for a [serial] call on the same object.
 *       [serial]  changes the object; calls on the same object run one at a
 *                 time (the library locks).  Order between racing threads is
 *                 unspecified.
 *     Distinct sessions of one model run in parallel: they share weights
 *     read-only and own their state.  `const` on a handle parameter means
 *     [shared] or [pure]; a non-const handle means [serial].
 *
 * R5  Callbacks run only on a thread that is inside a nested_* call, with no
 *     library lock held that the callback could want.  They may call [pure]
 *     functions and functions on other objects; calling a function on an
 *     object that is busy further up the same stack gives NESTED_E_REENTRANT.
 *     Sessions, trainers and configs are busy in each of their calls.  A model
 *     is busy while it is evaluated, read for forward() or saving, or
 *     consolidated, and while its trainer works; from a callback of such a call
 *     the model's sessions are busy too.  A session's own callbacks (progress,
 *     tokens) may use the model and its other sessions.  A callback must
 *     return: no longjmp, no C++ exception, no panic across the boundary.
 *
 * R6  All or nothing.  A failing call leaves every object as it was, and
 *     writes nothing through out-pointers except where the comment says how
 *     much was committed.  Long calls commit in whole chunks; a cancelled call
 *     leaves the object valid at the last committed chunk.
 *
 * R7  Memory.  Input arrays and strings are borrowed for the duration of the
 *     call, never longer, unless the comment says "kept".  Output arrays are
 *     the caller's.  Memory that the library hands out is either static,
 *     tied to a handle (the comment says until when), or a nested_blob.
 *     Never free() something you got from here.  Arrays must be aligned to
 *     their element size (NESTED_E_LAYOUT); NULL where something is needed, and
 *     numbers that cannot be an address, are NESTED_E_ARGUMENT.
 *
 * R8  Extensible structs start with `struct_size`; set it with NESTED_INIT(),
 *     for structs that the library fills too.  A library that is newer than
 *     your header uses defaults for fields that you do not have.  A library
 *     that is older than your header accepts the struct when the bytes it does
 *     not know are zero, and otherwise returns NESTED_E_VERSION.  Zero is the
 *     default of every optional field; fields named `reserved` must be zero.
 *     A struct_size below 8 is NESTED_E_ARGUMENT.  Structs marked FROZEN have
 *     no struct_size and never change.
 *
 * R9  Strings are UTF-8.  Text parameters with a length accept
 *     NESTED_NUL_TERMINATED.  Paths are passed to the system unchanged.
 *
 * R10 Determinism.  With equal build, CPU kernel class (nested_build_info()),
 *     config, seed and sequence of calls, results are bit-identical, whatever
 *     the number of threads.  Across CPU classes they agree to the tolerances
 *     in the documentation.
 *
 * R11 fork().  In a forked child, handles made before fork() give
 *     NESTED_E_FORKED unless their context was created with n_threads = 1
 *     (configs, cancels and blobs have no threads and go on working).
 *     _release() is always allowed.  New contexts may be created in the child.
 *
 * R12 Unloading.  The library is linked with -z nodelete: dlclose() is
 *     harmless and does not unmap it.
 * ---------------------------------------------------------------------------
 *
 * Versions: NESTED_ABI is the soname (libnested.so.1).  A program built with
 * any 1.x header runs with every libnested.so.1 that is not older than what it
 * uses, and its source compiles with every later 1.x header.  Within one
 * NESTED_ABI:
 *   - Functions, constants, and fields at the end of structs are added; nothing
 *     is removed, renamed, renumbered or given another type or meaning.
 *     Statuses and enums grow too: expect values that you do not know.
 *   - New functions carry the release that added them ("since 1.2") and a symbol
 *     version node of their own (NESTED_1.2), so the dynamic linker reports a
 *     library that is too old.  New struct fields are covered by R8: every
 *     struct_size that a 1.x header ever had stays valid.
 *   - What is to go is marked DEPRECATED with its replacement, at least two
 *     minor releases ahead, and goes with the next NESTED_ABI only.
 *   - A default, a message, the JSON of the information functions (keys are
 *     only added) and the bits of results (R10) may change in a minor release;
 *     the CHANGELOG says so.  Patch releases change no result but to fix it.
 *   - Files: every 1.x library reads what any earlier one wrote.  A file that
 *     is too new is refused (E_VERSION).
 * Two libraries with different sonames can live in one process; their handles
 * are not exchangeable.  What this header does not mention is not covered.
 */
#ifndef NESTED_H
#define NESTED_H

#include <stddef.h>
#include <stdint.h>

/** Version of this header. */
#define NESTED_VERSION_MAJOR 1
#define NESTED_VERSION_MINOR 0
#define NESTED_VERSION_PATCH 0
/** One integer, ordered: 1.2.3 -> 1002003. */
#define NESTED_VERSION \
    (NESTED_VERSION_MAJOR * 1000000 + NESTED_VERSION_MINOR * 1000 + NESTED_VERSION_PATCH)
/** Version of the binary interface: see "Versions" above. */
#define NESTED_ABI 1

#if defined(__GNUC__)
#  define NESTED_API __attribute__((visibility("default")))
#  define NESTED_CHECK __attribute__((warn_unused_result))
#else
#  define NESTED_API
#  define NESTED_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Pointer parameters carry no nonnull attribute on purpose: the library
 * checks, and the attribute would let a compiler delete the check. */

/** Zero a struct and stamp its size:  nested_run run; NESTED_INIT(run); */
#define NESTED_INIT(s) nested_init_((void *)&(s), sizeof(s))
static inline void nested_init_(void *p, size_t n)
{
    unsigned char *b = (unsigned char *)p;
    uint32_t size = (uint32_t)n;
    size_t i;
    for (i = 0; i < n; i++) b[i] = 0;
    for (i = 0; i < sizeof size; i++) b[i] = ((const unsigned char *)&size)[i];
}

/** Length argument meaning "this text ends with a NUL". */
#define NESTED_NUL_TERMINATED ((size_t)-1)

/* ========================================================================= *
 *  1. Status codes and errors
 * ========================================================================= */

/** 0 = done, negative = not done (see R6).  Positive values are never used.
 *  Values are permanent.  Treat unknown negative values as failures. */
typedef int32_t nested_status;
enum {
    NESTED_OK            =   0,
    NESTED_E_INTERNAL    =  -1, /**< bug in libnested; object is now poisoned   */
    NESTED_E_ARGUMENT    =  -2, /**< NULL or value that is never valid          */
    NESTED_E_HANDLE      =  -3, /**< NULL, stale, foreign or wrong-kind handle  */
    NESTED_E_RANGE       =  -4, /**< index, token id or number out of range     */
    NESTED_E_SHAPE       =  -5, /**< shape does not match                       */
    NESTED_E_DTYPE       =  -6, /**< element type not accepted here             */
    NESTED_E_LAYOUT      =  -7, /**< stride or alignment not accepted here      */
    NESTED_E_CAPACITY    =  -8, /**< caller's buffer too small; size reported   */
    NESTED_E_NOMEM       =  -9, /**< allocation failed                          */
    NESTED_E_LIMIT       = -10, /**< context memory limit or handle limit       */
    NESTED_E_NOT_FOUND   = -11, /**< no tensor or key of that name              */
    NESTED_E_EXISTS      = -12, /**< there can be only one, and it is there     */
    NESTED_E_UNSUPPORTED = -13, /**< not in this build, on this CPU or kind     */
    NESTED_E_VERSION     = -14, /**< struct or file newer than this library     */
    NESTED_E_CONFIG      = -15, /**< config invalid; `place` is a JSON pointer  */
    NESTED_E_PARSE       = -16, /**< text malformed; `offset` is the byte       */
    NESTED_E_CORRUPT     = -17, /**< file or blob fails its checks              */
    NESTED_E_IO          = -18, /**< `os_error` holds errno                     */
    NESTED_E_REENTRANT   = -19, /**< see R5                                     */
    NESTED_E_CANCELLED   = -20, /**< cancel token fired or callback said stop   */
    NESTED_E_CALLBACK    = -21, /**< callback failed; `callback_code` is its    */
    NESTED_E_STATE       = -22, /**< call not allowed in the object's state     */
    NESTED_E_NUMERIC     = -23, /**< NaN or infinity where finite is required   */
    NESTED_E_MISMATCH    = -24, /**< objects of different architecture/weights  */
    NESTED_E_FORKED      = -25, /**< see R11                                    */
    NESTED_E_POISONED    = -26  /**< object saw E_INTERNAL earlier; release it  */
};

/** Static English name ("NESTED_E_SHAPE"), or "NESTED_E_?" when unknown.  [pure] */
NESTED_API const char *nested_status_name(nested_status status);

/** Everything known about the last failure on this thread. */
typedef struct nested_error {
    uint32_t      struct_size;
    nested_status status;        /**< NESTED_E_*                                */
    int32_t       os_error;      /**< errno, or 0                               */
    int32_t       callback_code; /**< for E_CALLBACK, else 0                    */
    int64_t       offset;        /**< byte offset for E_PARSE/E_CORRUPT, or -1  */
    const char   *function;      /**< entry point that failed, static           */
    const char   *message;       /**< one English sentence, no newline          */
    const char   *place;         /**< JSON pointer, tensor or argument name, "" */
} nested_error;

/** Fills *out about the last failing call on the calling thread (status 0 and
 *  empty texts when there was none).  A successful call does not clear it: look
 *  only after a negative status.  The pointers stay valid until the next
 *  failing nested_* call on this thread; texts longer than the slot (message
 *  383, place 191 bytes) are cut at a character.  Needs no memory, so it works
 *  after E_NOMEM.  Runtimes that move work between threads must call it before
 *  yielding.  [pure] */
NESTED_API nested_status nested_last_error(nested_error *out);

/* ========================================================================= *
 *  2. Library, build and ABI information                 (all [pure], static)
 * ========================================================================= */

NESTED_API uint32_t    nested_version(void);        /**< NESTED_VERSION of the library */
NESTED_API uint32_t    nested_abi(void);            /**< NESTED_ABI of the library     */
NESTED_API const char *nested_version_string(void); /**< "1.0.0"                       */

/** JSON object: "version", "abi", "compiler", "simd" (kernel class in use:
 *  "x86-64-v3", "x86-64-v4"), "blas", "json", "features" (see
 *  nested_has_feature()), "licences". */
NESTED_API const char *nested_build_info(void);

/** JSON object: "structs" (for each public struct its size and the offset,
 *  size and type of each field), "constants", "functions" (result and
 *  parameters).  Bindings compare this with their own declarations in a test. */
NESTED_API const char *nested_abi_info(void);

/** 1 when the named feature is in this build, else 0 (NULL and unknown: 0).
 *  Names: "kind.hope", "cms.sequential", "optim.adamw", "optim.momentum",
 *  "optim.sgd", ... as listed by nested_build_info(). */
NESTED_API int32_t nested_has_feature(const char *name);

/** Objects that are alive in the process, for leak tests: handles that were
 *  given out and not yet released.  NESTED_HANDLE_ANY counts all kinds;
 *  unknown kinds give 0. */
enum {
    NESTED_HANDLE_ANY = 0, NESTED_HANDLE_CONTEXT = 1, NESTED_HANDLE_CONFIG = 2,
    NESTED_HANDLE_MODEL = 3, NESTED_HANDLE_TRAINER = 4, NESTED_HANDLE_SESSION = 5,
    NESTED_HANDLE_SNAPSHOT = 6, NESTED_HANDLE_CANCEL = 7, NESTED_HANDLE_BLOB = 8
};
NESTED_API int64_t nested_live_handles(int32_t handle_kind);

/* ========================================================================= *
 *  3. Handles, blobs, views
 * ========================================================================= */

typedef struct nested_context  nested_context;  /**< threads, memory, logging    */
typedef struct nested_config   nested_config;   /**< architecture description    */
typedef struct nested_model    nested_model;    /**< weights (slow parameters)   */
typedef struct nested_trainer  nested_trainer;  /**< optimizer + gradients       */
typedef struct nested_session  nested_session;  /**< one stream's fast state     */
typedef struct nested_snapshot nested_snapshot; /**< frozen copy of fast state   */
typedef struct nested_cancel   nested_cancel;   /**< thread-safe stop flag       */
typedef struct nested_blob     nested_blob;     /**< bytes owned by the library  */

/** Bytes of a blob; a NUL follows the last byte (not counted by size), so JSON
 *  can be used as a C string.  Valid until the blob's release.  NULL / 0 on a
 *  bad handle.  [shared] */
NESTED_API const void *nested_blob_data(const nested_blob *blob);
NESTED_API size_t      nested_blob_size(const nested_blob *blob);
NESTED_API void        nested_blob_release(nested_blob *blob);

enum { /* element types, permanent values */
    NESTED_F32 = 1, NESTED_F64 = 2, NESTED_F16 = 3, NESTED_BF16 = 4,
    NESTED_I32 = 5, NESTED_I64 = 6, NESTED_U8 = 7
};
/** Bytes per element, 0 when unknown.  [pure] */
NESTED_API size_t nested_dtype_size(int32_t dtype);

/** Dimensions of a view at most. */
#define NESTED_MAX_DIMS 6

/** A strided array in caller (nested_view) or read-only (nested_cview) memory.
 *  Only the first ndim entries of shape and strides count.  strides are in
 *  BYTES as in NumPy; all zero means dense row-major.  Negative strides,
 *  strides that let elements overlap and strides that are not a multiple of
 *  the element size are refused (E_LAYOUT); a dimension of extent 1 may have
 *  any stride.  FROZEN. */
typedef struct nested_view {
    void   *data;                     /**< the first element                   */
    int32_t dtype;                    /**< NESTED_F32, ...                     */
    int32_t ndim;                     /**< at most NESTED_MAX_DIMS             */
    int64_t shape[NESTED_MAX_DIMS];   /**< extents, [ndim]                     */
    int64_t strides[NESTED_MAX_DIMS]; /**< bytes, [ndim]; all 0 = dense        */
} nested_view;
/** The same for data that is only read.  FROZEN. */
typedef struct nested_cview {
    const void *data;                     /**< the first element               */
    int32_t     dtype;                    /**< NESTED_F32, ...                 */
    int32_t     ndim;                     /**< at most NESTED_MAX_DIMS         */
    int64_t     shape[NESTED_MAX_DIMS];   /**< extents, [ndim]                 */
    int64_t     strides[NESTED_MAX_DIMS]; /**< bytes, [ndim]; all 0 = dense    */
} nested_cview;

/* ========================================================================= *
 *  4. Context: threads, memory, logging
 * ========================================================================= */

enum { NESTED_LOG_OFF = 0, NESTED_LOG_ERROR = 1, NESTED_LOG_WARN = 2,
       NESTED_LOG_INFO = 3, NESTED_LOG_DEBUG = 4 };

/** What a log callback is told. */
typedef struct nested_log_record {
    uint32_t    struct_size;
    int32_t     level;     /**< NESTED_LOG_*                                  */
    const char *component; /**< "load", "train", "session", ...; static       */
    const char *message;   /**< one complete line without newline; valid      */
                           /**< during the call only                          */
} nested_log_record;
/** Runs on the thread that made the call, after the call has let go of its
 *  objects, so it may call the library. */
typedef void (*nested_log_fn)(void *user, const nested_log_record *record);

/** Of nested_context_create(). */
typedef struct nested_context_options {
    uint32_t struct_size;
    int32_t  n_threads;      /**< 0 = available cores, 1 = start none, <= 1024 */
    uint64_t memory_limit;   /**< bytes of tensor storage, 0 = none           */
    int32_t  log_level;      /**< NESTED_LOG_*: records up to this one        */
    int32_t  reserved;
    nested_log_fn log;       /**< NULL = silent; kept while the context lives */
    void    *log_user;       /**< kept                                        */
} nested_context_options;

/** options may be NULL (all cores, no limit, silent).  Starts n_threads - 1
 *  workers with all signals blocked and a stack of at least 1 MiB.
 *  E_UNSUPPORTED on a CPU older than x86-64-v3.  [pure] */
NESTED_API NESTED_CHECK nested_status
nested_context_create(const nested_context_options *options, nested_context **out);
NESTED_API nested_status nested_context_retain(nested_context *context);
/** The workers stop when the context and everything made from it is gone; the
 *  release that drops the last count waits for them. */
NESTED_API void nested_context_release(nested_context *context);

/** Of nested_context_memory(). */
typedef struct nested_memory_stats {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t in_use;         /**< bytes of tensor storage now                 */
    uint64_t peak;           /**< most there ever was                         */
    uint64_t limit;          /**< memory_limit of the options                 */
    uint64_t n_allocations;  /**< so far; stands still once a loop is warm    */
} nested_memory_stats;
/** [shared] */
NESTED_API nested_status
nested_context_memory(const nested_context *context, nested_memory_stats *out);

/* ========================================================================= *
 *  5. Cancelling and progress
 * ========================================================================= */

/** A flag that any thread may raise.  It outlives the calls that watch it, so
 *  raising it can never race with the end of a call. */
NESTED_API NESTED_CHECK nested_status nested_cancel_create(nested_cancel **out);
/** Async-signal-safe: may be called in a signal handler.  [shared] */
NESTED_API nested_status nested_cancel_raise(nested_cancel *cancel);
/** Lowers the flag for the next call.  Async-signal-safe too. */
NESTED_API nested_status nested_cancel_clear(nested_cancel *cancel);
/** 1 raised, 0 not raised or bad handle. */
NESTED_API int32_t       nested_cancel_is_raised(const nested_cancel *cancel);
NESTED_API void          nested_cancel_release(nested_cancel *cancel);

/** What a progress callback is told. */
typedef struct nested_progress {
    uint32_t    struct_size;
    uint32_t    reserved;
    const char *stage;       /**< "load", "save", "fit", "feed", ...; static  */
    uint64_t    done, total; /**< in steps, tokens or bytes; total 0 = unknown */
    double      elapsed_s;   /**< since the call began                         */
    double      loss;        /**< running loss, NaN when there is none         */
} nested_progress;
/** 0 = go on, > 0 = cancel (E_CANCELLED), < 0 = fail (E_CALLBACK). */
typedef int32_t (*nested_progress_fn)(void *user, const nested_progress *progress);

/** Optional companion of every long call; NULL means none of it.  A call looks
 *  at the cancel token and reports progress between chunks of work (a step of
 *  training, a segment of a stream), and once before it starts. */
typedef struct nested_run {
    uint32_t           struct_size;
    uint32_t           interval_ms; /**< least time between progress calls;    */
                                    /**< 0 = at every chunk                    */
    nested_cancel     *cancel;      /**< or NULL                               */
    nested_progress_fn progress;    /**< or NULL                               */
    void              *user;        /**< passed to progress                    */
} nested_run;

/* ========================================================================= *
 *  6. Configuration
 * ========================================================================= */

/** Model kinds, as text in a config ("kind") and as numbers here. */
enum {
    NESTED_KIND_HOPE           = 1, /**< "hope": self-modifying Titans + CMS          */
    NESTED_KIND_HOPE_ATTENTION = 2, /**< "hope-attention": causal attention + CMS     */
    NESTED_KIND_TITANS         = 3, /**< "titans": memory with momentum               */
    NESTED_KIND_TRANSFORMER    = 4, /**< "transformer": Transformer++ (Llama)         */
    NESTED_KIND_RETNET         = 5, /**< "retnet": multi-scale retention              */
    NESTED_KIND_CMS            = 6, /**< "cms": vectors in, one CMS, a head           */
    NESTED_KIND_DELTANET       = 7, /**< "deltanet": the delta rule                   */
    NESTED_KIND_GATED_DELTANET = 8, /**< "gated-deltanet": the gated delta rule       */
    NESTED_KIND_TTT_LINEAR     = 9, /**< "ttt-linear": test-time training, a matrix   */
    NESTED_KIND_SRWM           = 10, /**< "srwm": the self-referential weight matrix  */
    NESTED_KIND_TTT_MLP        = 11  /**< "ttt-mlp": test-time training, an MLP       */
};
enum {
    NESTED_TASK_LM       = 1, /**< "lm": predict the next token                */
    NESTED_TASK_CLASSIFY = 2, /**< "classify": one label per row or position   */
    NESTED_TASK_REGRESS  = 3  /**< "regress": numbers per row or position      */
};

/** Defaults for a kind, with "vocab" 256 (bytes), ready for
 *  nested_model_create(); kind "cms" needs "inputs" as well.  E_RANGE for an
 *  unknown kind.  [pure] */
NESTED_API NESTED_CHECK nested_status
nested_config_create(int32_t kind, nested_config **out);

/** From JSON, e.g. {"kind":"hope","vocab":256,"d_model":128,"n_layers":2} or
 *  {"preset":"hope-1m","vocab":256}.  Unknown keys, duplicate keys, wrong
 *  types and depth > 32 are errors (E_PARSE with the byte offset, E_CONFIG with
 *  the JSON pointer), never ignored.  Checks everything that _validate()
 *  checks.  [pure] */
NESTED_API NESTED_CHECK nested_status
nested_config_from_json(const char *json, size_t length, nested_config **out);

/** Set one key by JSON pointer, e.g. "/d_model" or "/cms/levels/1/chunk".
 *  Type and range are checked at once; rules between keys by _validate().
 *  Derived keys keep their value: after "/d_model" set "/head_dim" and
 *  "/n_heads" as well.  set_string takes a NUL-terminated value; booleans and
 *  lists go through set_json, which replaces a whole subtree.  E_NOT_FOUND when
 *  the pointer leads nowhere.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_config_set_int(nested_config *config, const char *pointer, int64_t value);
NESTED_API NESTED_CHECK nested_status
nested_config_set_float(nested_config *config, const char *pointer, double value);
NESTED_API NESTED_CHECK nested_status
nested_config_set_string(nested_config *config, const char *pointer, const char *value);
NESTED_API NESTED_CHECK nested_status
nested_config_set_json(nested_config *config, const char *pointer,
                       const char *json, size_t length);

/** E_NOT_FOUND when there is no such key, E_CONFIG when it holds another type
 *  (get_float accepts an integer).  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_config_get_int(const nested_config *config, const char *pointer, int64_t *out);
NESTED_API NESTED_CHECK nested_status
nested_config_get_float(const nested_config *config, const char *pointer, double *out);
/** Canonical JSON: every key present, sorted, so equal configs are equal
 *  bytes.  pointer "" or NULL = whole document.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_config_to_json(const nested_config *config, const char *pointer, nested_blob **out);
/** E_CONFIG with the place, E_UNSUPPORTED for what this build lacks.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_config_validate(const nested_config *config);

/** JSON Schema of the configuration, with defaults, ranges and help.  Static. [pure] */
NESTED_API const char *nested_config_schema(void);
NESTED_API void nested_config_release(nested_config *config);

/** What a configuration costs, within 5 %. */
typedef struct nested_estimate {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t n_params;         /**< elements of all weights                     */
    uint64_t weight_bytes;     /**< of the weights                              */
    uint64_t trainer_bytes;    /**< what a trainer with default options takes:  */
                               /**< gradients and the optimizer's state         */
    uint64_t activation_bytes; /**< what the first training step on             */
                               /**< [n_seq, seq_len] takes besides              */
    uint64_t session_bytes;    /**< state of one session after seq_len tokens,  */
                               /**< once every level has learnt                 */
    double   flops_forward;    /**< per token, at length seq_len                */
    double   flops_train;      /**< per token: forward and backward             */
} nested_estimate;
/** Counts without making the model: bytes as nested_context_memory() shows
 *  them, for any number of threads; not the weights' second layout that
 *  evaluation and sessions keep (weight_bytes once more).  A multiplication
 *  with its addition is two flops: of matrix products, attention (the keys that
 *  a query sees) and memories, those included that the backward pass makes
 *  again; not what is done element by element.  Rows of CLASSIFY and REGRESS have
 *  one label each, and without classes nothing is trained.  n_seq as of a batch,
 *  seq_len 1 to 1048576, and no more than 1024 segments of Titans' mode mac or of
 *  a meta-learnt row (E_RANGE).  What is not valid is refused as by _validate(), and meta
 *  "exact" as E_UNSUPPORTED.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_config_estimate(const nested_config *config, int64_t n_seq, int64_t seq_len,
                       nested_estimate *out);

/* ========================================================================= *
 *  7. Models (weights)
 * ========================================================================= */

/** Initialises weights from config and seed.  The config is validated and
 *  copied.  [shared] on both */
NESTED_API NESTED_CHECK nested_status
nested_model_create(nested_context *context, const nested_config *config,
                    uint64_t seed, nested_model **out);
/** Independent copy.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_clone(const nested_model *model, nested_model **out);
NESTED_API nested_status nested_model_retain(nested_model *model);
NESTED_API void          nested_model_release(nested_model *model);

/** Of nested_model_get_info(). */
typedef struct nested_model_info {
    uint32_t struct_size;
    int32_t  kind, task;             /**< NESTED_KIND_*, NESTED_TASK_*         */
    int32_t  n_layers;               /**< blocks                               */
    int32_t  n_levels;               /**< CMS levels per layer, 0 = none       */
    int32_t  dtype;                  /**< of the weights: NESTED_F32           */
    int64_t  vocab;                  /**< token ids, 0 = it reads vectors      */
    int64_t  d_model;                /**< width                                */
    uint64_t n_tensors;              /**< named tensors                        */
    uint64_t n_params, weight_bytes; /**< elements and bytes of all of them    */
    uint64_t version;                /**< grows with each change of the weights */
    uint64_t fingerprint;            /**< hash of the canonical config         */
    int64_t  n_inputs;               /**< numbers in an input vector, or 0     */
    int64_t  n_outputs;              /**< of a position: vocab, classes or     */
                                     /**< outputs                              */
} nested_model_info;
/** [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_get_info(const nested_model *model, nested_model_info *out);
/** A copy of the model's configuration.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_get_config(const nested_model *model, nested_config **out);

/* --- named tensors -------------------------------------------------------- */

/** One named tensor of a model. */
typedef struct nested_tensor_info {
    uint32_t    struct_size;
    int32_t     dtype, ndim;   /**< NESTED_F32, ...; dimensions                */
    int32_t     layer, level;  /**< -1 when not applicable                     */
    int32_t     reserved;
    int64_t     shape[NESTED_MAX_DIMS]; /**< extents, [ndim]                   */
    uint64_t    n_elements;    /**< their product                              */
    uint64_t    flat_offset;   /**< first element in the flat parameter and    */
                               /**< gradient order                             */
    const char *name;          /**< "blocks.0.cms.1.up.weight"; valid while    */
                               /**< the model lives                            */
} nested_tensor_info;

/** Number of tensors, 0 on a bad handle.  Order is fixed by the config. [shared] */
NESTED_API int64_t nested_model_tensor_count(const nested_model *model);
/** E_RANGE when there is no such index.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_at(const nested_model *model, int64_t index, nested_tensor_info *out);
/** E_NOT_FOUND when there is no such name.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_find(const nested_model *model, const char *name, int64_t *out_index);

/** Copies a tensor into dst (F32, F64, F16 or BF16, converting).  Shape must
 *  match, or dst must be 1-D of the same number of elements.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_get(const nested_model *model, int64_t index, const nested_view *dst);
/** Copies src (F32, F64, F16 or BF16) into a tensor; E_NUMERIC when an element
 *  is not finite as float32.  Sessions that run at the time see the old or the
 *  new weights, never a mixture in one chunk.  A trainer keeps its optimizer
 *  state.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_set(nested_model *model, int64_t index, const nested_cview *src);
/** Zero-copy read access: valid until the next [serial] call on the model or
 *  any call on its trainer, or the model's last release.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_borrow(const nested_model *model, int64_t index, nested_cview *out);

/** All parameters as one float32 vector, in flat order.  count must equal
 *  n_params (E_SHAPE); E_NUMERIC as above.  [shared] / [serial] */
NESTED_API NESTED_CHECK nested_status
nested_model_params_get(const nested_model *model, float *dst, size_t count);
NESTED_API NESTED_CHECK nested_status
nested_model_params_set(nested_model *model, const float *src, size_t count);

/* --- saving and loading (safetensors) ------------------------------------- */

enum {
    NESTED_SAVE_NO_SYNC = 1u << 0, /**< skip fsync before the rename            */
    NESTED_SAVE_DELTA   = 1u << 1  /**< nested_session_save(): only what the    */
                                   /**< levels have learnt                      */
};
enum {
    /** Map the file instead of copying it: weights are read when they are
     *  used, nothing is checked but the header, and processes share the memory.
     *  Results are the same bits.  The file must stay as it is while the model
     *  lives: where it was written to, weights change, and where it became
     *  shorter, the system ends the process (SIGBUS).  Replacing it by rename, as
     *  saving does, is safe.  A change of the weights copies them first.  What is
     *  mapped is no memory of the context, and evaluation and sessions make no
     *  second layout of it, so decoding is slower.  E_UNSUPPORTED for files that
     *  are not float32 in this library's layout, and for _load_bytes(). */
    NESTED_LOAD_MMAP = 1u << 0
};

/** Files are plain safetensors; config and format version travel in
 *  __metadata__.  Saving writes a temporary file beside `path`, syncs and
 *  renames, so a crash never leaves half a file.  Loading checks every length,
 *  offset, name and shape (E_CORRUPT), and that values are finite (E_NUMERIC).
 *  E_IO with `os_error` for what the system refuses (ENOENT: there is no such
 *  file).  flags of load: NESTED_LOAD_*.  `run` may be NULL.  save [shared],
 *  load [shared] on the context. */
NESTED_API NESTED_CHECK nested_status
nested_model_save(const nested_model *model, const char *path, uint32_t flags,
                  const nested_run *run);
NESTED_API NESTED_CHECK nested_status
nested_model_load(nested_context *context, const char *path, uint32_t flags,
                  const nested_run *run, nested_model **out);
/** The same bytes in memory.  load_bytes copies them; flags: 0.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_save_blob(const nested_model *model, uint32_t flags, nested_blob **out);
NESTED_API NESTED_CHECK nested_status
nested_model_load_bytes(nested_context *context, const void *bytes, size_t size,
                        uint32_t flags, nested_model **out);

/** Reads a checkpoint of another library: a directory with config.json and
 *  model.safetensors, or its index and shards, as Hugging Face's transformers
 *  writes them, of LlamaForCausalLM (float32, float16 or bfloat16; tied or not;
 *  grouped heads; rope_scaling "llama3" and "linear").  The result is a
 *  "transformer" with the same logits.  E_UNSUPPORTED names what this library
 *  has no counterpart for.  [shared] on the context */
NESTED_API NESTED_CHECK nested_status
nested_model_import(nested_context *context, const char *path, const nested_run *run,
                    nested_model **out);

/** Ad-hoc level stacking (Nested Learning, section 7.3): a new model of kind
 *  "hope-attention" in which the feed-forward of every block of a "transformer"
 *  is level `pretrained` of a CMS, which sessions go on teaching.  cms: JSON as
 *  the configuration's "cms"; NULL or empty = {"levels":[{"chunk":64}]}.  Levels
 *  beside the pretrained one start so that they add nothing: the logits are the
 *  model's, bit for bit, until a session learns.  E_UNSUPPORTED for another
 *  kind, E_CONFIG as for a configuration, E_RANGE when there is no such level.
 *  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_stack(const nested_model *model, const char *cms, size_t length,
                   int32_t pretrained, uint64_t seed, const nested_run *run,
                   nested_model **out);

/* ========================================================================= *
 *  8. Batches and evaluation
 * ========================================================================= */

#define NESTED_IGNORE_TARGET (-100) /**< a target that adds no loss            */

/** Rows are sequences; every row is a fresh stream from position 0.  For rows
 *  of different lengths pad the tokens and set the targets of the padding to
 *  NESTED_IGNORE_TARGET. */
typedef struct nested_batch {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t  n_seq, seq_len;   /**< both at least 1                             */
    const int32_t *tokens;     /**< [n_seq, seq_len], dense, 0 <= id < vocab    */
    const int32_t *targets;    /**< the same shape, ids or NESTED_IGNORE_TARGET; */
                               /**< NULL = the next token of the row (the last  */
                               /**< position of each row has no target)         */
    const float   *weights;    /**< the same shape, loss weights, finite and    */
                               /**< >= 0; NULL = all 1                          */
    const nested_cview *inputs;/**< instead of tokens, for kinds that read      */
                               /**< vectors: [n_seq, seq_len, n_inputs], F32,   */
                               /**< F64, F16 or BF16, finite                    */
    const nested_cview *labels;/**< instead of targets, for the other tasks.    */
                               /**< CLASSIFY: I32 or I64, [n_seq] (one for the  */
                               /**< whole row: the mean over it is classified)  */
                               /**< or [n_seq, seq_len], ids or                 */
                               /**< NESTED_IGNORE_TARGET.  REGRESS: floats,     */
                               /**< [n_seq, n_outputs] or [n_seq, seq_len,      */
                               /**< n_outputs]; a NaN = not known.  weights are */
                               /**< [n_seq] beside labels of rows               */
} nested_batch;

/** Loss of a batch. */
typedef struct nested_eval {
    uint32_t struct_size;
    uint32_t reserved;
    double   loss;          /**< weighted mean in nats, NaN without targets     */
    double   perplexity;    /**< exp(loss); NaN for REGRESS, whose loss is half */
                            /**< the squared error summed over the outputs      */
    double   n_targets;     /**< targets that counted, by their weights         */
    double   accuracy;      /**< CLASSIFY: share of targets that were ranked    */
                            /**< first, by their weights; else NaN              */
} nested_eval;

/** Loss of a batch from fresh state, weights unchanged.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_evaluate(const nested_model *model, const nested_batch *batch,
                      const nested_run *run, nested_eval *out);
/** Outputs of a batch from fresh state (LM and CLASSIFY: logits); targets are
 *  not looked at.  dst: [n_seq, seq_len, n_outputs], or for CLASSIFY and REGRESS
 *  [n_seq, n_outputs], one answer for each row; F32 or F64.  What a failed or
 *  cancelled call leaves in dst is unspecified.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_model_forward(const nested_model *model, const nested_batch *batch,
                     const nested_run *run, const nested_view *dst);

/* ========================================================================= *
 *  9. Training (outer optimisation of the weights)
 * ========================================================================= */

/** Attaches an optimizer to a model: one trainer per model at a time
 *  (E_EXISTS).  options: JSON, NULL or empty = {}.  Keys, with their defaults:
 *    {"optimizer":"adamw","lr":3e-3,"betas":[0.9,0.95],"eps":1e-8,
 *     "weight_decay":0.1,"momentum":0.9,"clip":1.0,"accumulate":1,"seed":0,
 *     "slow":{"beta":0.9,"weight":1.0,"period":100},
 *     "schedule":{"type":"cosine","warmup":100,"total":1000,"floor":0.1,
 *                 "decay":200},"groups":[]}
 *  A group is {"pattern":"blocks.*.cms.*", and what differs for parameters of
 *  such names: lr, weight_decay, betas, eps, momentum}; a later one wins.
 *  Errors as for nested_config_from_json().  [serial] on the model */
NESTED_API NESTED_CHECK nested_status
nested_trainer_create(nested_model *model, const char *options, size_t length,
                      nested_trainer **out);
/** JSON Schema of the options.  Static.  [pure] */
NESTED_API const char *nested_trainer_schema(void);
/** The options in force, every key present.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_trainer_get_options(const nested_trainer *trainer, nested_blob **out);
NESTED_API void nested_trainer_release(nested_trainer *trainer);

enum { NESTED_SKIP_NONE = 0, NESTED_SKIP_NO_TARGETS = 1, NESTED_SKIP_NONFINITE = 2 };

/** One optimizer step. */
typedef struct nested_step {
    uint32_t struct_size;
    int32_t  applied;     /**< 1, or 0 when the update was skipped              */
    int32_t  skip_reason; /**< NESTED_SKIP_*                                    */
    int32_t  reserved;
    uint64_t step;        /**< optimizer steps so far                           */
    double   n_targets;   /**< behind this step, over all workers               */
    double   loss;        /**< mean over this worker's, NaN when there are none */
    double   grad_norm;   /**< of the mean gradient of what was due to step,    */
                          /**< before clipping                                  */
    double   update_norm; /**< of the change of the weights                     */
    double   lr;          /**< the schedule's value for this step               */
} nested_step;

/** One optimizer step: forward, backward, reduce, clip, update.  With the
 *  option "accumulate" at k, the first k - 1 of every k calls only collect
 *  (applied 0, NESTED_SKIP_NONE).  A CMS level steps when it has seen `chunk`
 *  targets, all other parameters each time.  A gradient that is not finite is
 *  dropped and changes nothing else (applied 0).  On failure or
 *  cancel the weights, the optimizer and the gradient are as before.  [serial];
 *  sessions of the model wait only while the update is written, and see whole
 *  steps. */
NESTED_API NESTED_CHECK nested_status
nested_trainer_step(nested_trainer *trainer, const nested_batch *batch,
                    const nested_run *run, nested_step *out);

/** The same in pieces, for gradient accumulation and data parallelism:
 *  accumulate() any number of times, then apply(), or zero().  out of
 *  accumulate: the loss of this batch; may be NULL.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_trainer_accumulate(nested_trainer *trainer, const nested_batch *batch,
                          const nested_run *run, nested_eval *out);
NESTED_API NESTED_CHECK nested_status
nested_trainer_apply(nested_trainer *trainer, const nested_run *run, nested_step *out);
NESTED_API NESTED_CHECK nested_status nested_trainer_zero(nested_trainer *trainer);

/** The flat float32 gradient, summed (not averaged) over the accumulated
 *  targets, in the order of nested_tensor_info.flat_offset.  Zero-copy and
 *  writable: valid until the next call on the trainer.  *out_n_targets points
 *  to the number of targets behind it, writable too: gradient / n_targets is
 *  the gradient of the mean loss.  out_count and out_n_targets may be NULL.
 *  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_trainer_gradient(nested_trainer *trainer, float **out_data, size_t *out_count,
                        double **out_n_targets);

/** Called by step(), apply() and fit() on the calling thread, bucket by bucket
 *  in flat order, to replace `data` (dtype F32) by its sum over all workers.
 *  The last call of a step carries the target count (count 1, dtype F64).
 *  With the optimizer "dgd" the buckets go on behind the gradient's n_params
 *  elements, with the layers' summed inputs.
 *  0 = done, anything else = failure (E_CALLBACK, nothing applied). */
typedef int32_t (*nested_allreduce_fn)(void *user, void *data, size_t count, int32_t dtype);
/** hook NULL removes it.  hook and user are kept.  bucket_elements 0 = 1 Mi.
 *  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_trainer_set_allreduce(nested_trainer *trainer, nested_allreduce_fn hook, void *user,
                             size_t bucket_elements);

/** Overrides the schedule; negative returns to it; E_NUMERIC when it is not
 *  finite.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_trainer_set_lr(nested_trainer *trainer, double lr);

/** Of nested_trainer_fit(). */
typedef struct nested_fit {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t n_steps;        /**< steps made, also set on failure and cancel   */
    uint64_t n_skipped;      /**< of these, updates skipped                    */
    double   mean_loss;      /**< over the steps of this call, NaN before the  */
                             /**< first                                        */
    double   last_loss;      /**< of the last step                             */
} nested_fit;

/** Makes `steps` optimizer steps over random windows of a token array: each
 *  step reads options.accumulate batches of n_seq windows of seq_len + 1
 *  tokens (the last one is a target only).  Windows depend on the trainer's
 *  seed and on how many it has drawn, so a resumed trainer sees what the
 *  uninterrupted one would.  n_tokens must be at least seq_len + 1 (E_RANGE).
 *  E_STATE while a gradient is collected or lent (apply or zero it).  Progress:
 *  stage "fit", done = steps, loss = of the last step.  A cancelled call keeps
 *  the steps made (R6).  out may be NULL.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_trainer_fit(nested_trainer *trainer, const int32_t *tokens, size_t n_tokens,
                   int64_t steps, int64_t n_seq, int64_t seq_len,
                   const nested_run *run, nested_fit *out);

/** Everything of the trainer except the weights (nested_model_save()): options,
 *  optimizer state, step and level counts, accumulated gradient.  A trainer
 *  made for the saved model and loaded from the file continues bit for bit.
 *  load takes the options from the file; E_MISMATCH when the file belongs to
 *  another architecture.  flags: NESTED_SAVE_*.  [shared] / [serial] */
NESTED_API NESTED_CHECK nested_status
nested_trainer_save(const nested_trainer *trainer, const char *path, uint32_t flags,
                    const nested_run *run);
NESTED_API NESTED_CHECK nested_status
nested_trainer_load(nested_trainer *trainer, const char *path, const nested_run *run);

/* ========================================================================= *
 *  10. Sessions: streaming inference and online learning
 *
 *  A session is one stream: convolution tails, Titans memories and the online
 *  copy of the CMS levels, with their clock.  Levels that never learned are
 *  shared with the model.
 * ========================================================================= */

enum {
    NESTED_LEARN_MEMORY = 0, /**< default: in-context memories are written, levels fixed */
    NESTED_LEARN_OFF    = 1, /**< memories and levels fixed; recurrent state advances,    */
                             /**< which the memory of every kind but "hope" and "titans"  */
                             /**< is: retention, delta rule, ttt, srwm, keys and values   */
    NESTED_LEARN_ON     = 2  /**< memories and CMS levels update as configured            */
};

/** Of nested_session_create(). */
typedef struct nested_session_options {
    uint32_t struct_size;
    int32_t  learn;          /**< NESTED_LEARN_*                                */
    uint64_t seed;           /**< for sampling                                  */
} nested_session_options;

/** [shared] on the model.  options may be NULL (NESTED_LEARN_MEMORY, seed 0). */
NESTED_API NESTED_CHECK nested_status
nested_session_create(const nested_model *model, const nested_session_options *options,
                      nested_session **out);
/** Independent copy of a running session.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_session_fork(const nested_session *session, nested_session **out);
/** Back to the state after create, in the present mode.  [serial] */
NESTED_API NESTED_CHECK nested_status nested_session_reset(nested_session *session);
/** Gradients count from the token at which learning was switched on; switching
 *  it off drops the pending ones.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_set_learn(nested_session *session, int32_t learn);
NESTED_API void nested_session_release(nested_session *session);

/** Of nested_session_get_info(). */
typedef struct nested_session_info {
    uint32_t struct_size;
    int32_t  learn;          /**< NESTED_LEARN_*                                */
    int64_t  position;       /**< tokens consumed                               */
    uint64_t seed;           /**< for sampling                                  */
    uint64_t state_bytes;    /**< memory that is this session's own             */
    uint64_t n_updates;      /**< online updates over all levels                */
    uint64_t n_skipped;      /**< updates dropped because they were not finite  */
    uint64_t model_version;  /**< of the model now, see nested_model_info       */
    int64_t  n_outputs;      /**< as the model's; CLASSIFY: grows with labels   */
} nested_session_info;
/** [shared] */
NESTED_API NESTED_CHECK nested_status
nested_session_get_info(const nested_session *session, nested_session_info *out);

/** Of nested_session_feed(). */
typedef struct nested_feed {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t  n_consumed;     /**< committed tokens; also set on failure/cancel  */
    double   loss;           /**< mean surprise (nats) of the tokens that had a */
                             /**< prediction before them, NaN when none had     */
    uint64_t n_updates;      /**< online updates made by this call              */
} nested_feed;

/** Advances the stream by n tokens (n >= 1).  logits: NULL, [vocab] for the
 *  last position, or [n, vocab] for all; F32 or F64 ([1, vocab] and n = 1: the
 *  same).  Chunk boundaries depend only on the position, so feeding 10 + 10
 *  tokens equals feeding 20, bit for bit.  out may be NULL.  After a failure or
 *  cancel *out says how many tokens were committed, and logits of [n, vocab]
 *  are valid for these.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_feed(nested_session *session, const int32_t *tokens, size_t n,
                    const nested_run *run, const nested_view *logits, nested_feed *out);
/** The same for kinds that read vectors: inputs [n, n_inputs], outputs NULL,
 *  [n_outputs] of the last or [n, n_outputs].  Inputs without targets teach
 *  nothing, and count on the clock; with NESTED_LEARN_ON a level whose period
 *  ends steps with what it was taught before.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_feed_vectors(nested_session *session, const nested_cview *inputs,
                            const nested_run *run, const nested_view *outputs,
                            nested_feed *out);
/** Learns labelled rows (CLASSIFY, REGRESS), whatever the mode: each row is a
 *  fresh sequence through the session's levels, of which the head is one; the
 *  clock advances by its length, and levels whose period ends step.  A label
 *  that has not been seen (>= n_outputs, < 2^24) adds a row of zeros to the
 *  head; rows between take no part in the softmax until their label comes.  A
 *  row is one segment: its gradient is taken at the weights at its start, and
 *  then every level whose period ended within it steps once.  With labels of
 *  positions, kind "cms" learns input by input instead.  The stream, if there
 *  is one, stays where it is.  out: the loss before learning from each row.
 *  Rows commit one by one; *out counts those that did, also on failure and
 *  cancel.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_teach(nested_session *session, const nested_batch *batch,
                     const nested_run *run, nested_eval *out);
/** Answers for rows, each a fresh sequence through the session's levels, which
 *  stay as they are.  dst as for nested_model_forward(), with the session's
 *  n_outputs; a label that was never seen has -1e30.  Memories are written
 *  within a row, whatever the mode; labels and weights are not looked at.
 *  [shared], but answers of one session are given one after another */
NESTED_API NESTED_CHECK nested_status
nested_session_predict(const nested_session *session, const nested_batch *batch,
                       const nested_run *run, const nested_view *dst);
/** Feeds one token to each of many sessions of one model as a batch.  Sessions
 *  must be distinct (E_ARGUMENT) and of one model (E_MISMATCH); each result
 *  equals the single call bit for bit.  logits: NULL or [count, vocab].
 *  Arguments are checked for all sessions before any is fed; when a feed fails
 *  after that (E_NOMEM, E_CANCELLED), *out_done sessions in array order have
 *  advanced.  out_done may be NULL.  [serial] on every session */
NESTED_API NESTED_CHECK nested_status
nested_sessions_feed(nested_session *const *sessions, size_t count, const int32_t *tokens,
                     const nested_run *run, const nested_view *logits, size_t *out_done);

/** Logits of the last position, float32.  *out_count gets the size needed, also
 *  with E_CAPACITY; dst may be NULL when capacity is 0.  E_STATE before the
 *  first token.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_session_output(const nested_session *session, float *dst, size_t capacity,
                      size_t *out_count);

/** Natural log-probability of each token given the stream and the tokens
 *  before it, and their sum.  Does not advance or teach the session: it works
 *  on a fork in the session's mode.  Before the first token of a stream there
 *  is no prediction: that token scores NaN and is left out of the sum.
 *  logprobs: [n] or NULL; out_sum may be NULL.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_session_score(const nested_session *session, const int32_t *tokens, size_t n,
                     const nested_run *run, float *logprobs, double *out_sum);

/* --- generation ----------------------------------------------------------- */

/** How nested_session_generate() chooses a token. */
typedef struct nested_sampling {
    uint32_t struct_size;
    int32_t  top_k;                /**< 0 = off                                 */
    double   temperature;          /**< 0 = greedy                              */
    double   top_p, min_p;         /**< 0 = off, else in (0, 1]                 */
    double   repetition_penalty;   /**< 0 or 1 = off                            */
    int64_t  repetition_window;    /**< tokens looked back on; 0 = 64           */
    const int32_t *stop_tokens;    /**< [n_stop_tokens]; a stop token is        */
                                   /**< emitted and fed, then the call ends     */
    uint64_t n_stop_tokens;        /**< 0 = none                                */
    const float   *logit_bias;     /**< [vocab] or NULL                         */
} nested_sampling;

enum { NESTED_FINISH_LENGTH = 1, NESTED_FINISH_STOP = 2, NESTED_FINISH_CALLBACK = 3 };

/** What a token callback is told. */
typedef struct nested_token_event {
    uint32_t struct_size;
    int32_t  token;                /**< chosen and read                         */
    int64_t  index;                /**< 0-based in this call                    */
    double   logprob;              /**< under the untempered distribution       */
} nested_token_event;
/** 0 = go on, > 0 = stop after this token (not an error), < 0 = E_CALLBACK. */
typedef int32_t (*nested_token_fn)(void *user, const nested_token_event *event);

/** Samples up to max_tokens into dst ([max_tokens] or NULL) and feeds them to
 *  the stream, which must have a prediction (E_STATE before the first token).
 *  Randomness comes from the session's seed and position only.  Generated
 *  tokens advance state and memories and add no level gradient.  on_token and
 *  sampling (NULL = greedy) may be NULL.  *out_count is the number committed,
 *  also on failure; out_finish gets NESTED_FINISH_*; both may be NULL. [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_generate(nested_session *session, const nested_sampling *sampling,
                        size_t max_tokens, nested_token_fn on_token, void *user,
                        const nested_run *run, int32_t *dst, size_t *out_count,
                        int32_t *out_finish);

/* --- snapshots and files -------------------------------------------------- */

/** A frozen copy of the session's state.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_session_snapshot(const nested_session *session, nested_snapshot **out);
/** Puts the session into the snapshot's state, its mode and seed included.
 *  The model must have the same fingerprint (E_MISMATCH).  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_restore(nested_session *session, const nested_snapshot *snapshot);
/** The bytes that nested_session_save() writes, whole and as a delta.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_snapshot_to_blob(const nested_snapshot *snapshot, nested_blob **out);
NESTED_API NESTED_CHECK nested_status
nested_snapshot_delta_to_blob(const nested_snapshot *snapshot, nested_blob **out);
/** Reads them back for a model of the same fingerprint (E_MISMATCH); checks
 *  everything (E_CORRUPT).  The bytes are copied.  [shared] on the model */
NESTED_API NESTED_CHECK nested_status
nested_snapshot_from_bytes(const nested_model *model, const void *bytes, size_t size,
                           nested_snapshot **out);
NESTED_API nested_status nested_snapshot_retain(nested_snapshot *snapshot);
NESTED_API void          nested_snapshot_release(nested_snapshot *snapshot);

/** The whole session in one safetensors file: clock, memories, levels, pending
 *  gradients and optimizer state.  Load on the same weights and continue =
 *  continue, bit for bit.  Written as nested_model_save() writes.
 *
 *  With NESTED_SAVE_DELTA only what the CMS levels have learnt, which is small
 *  and can be sent to another machine that has the model.  Loading it gives a
 *  fresh stream, in the saved mode and with the saved seed, on levels with
 *  exactly these weights; consolidate it, or go on from there.  It is refused
 *  on other weights (E_MISMATCH, place "nested.weights"), as every session is
 *  on another configuration (place "nested.fingerprint").
 *
 *  [shared] on the session / on the model */
NESTED_API NESTED_CHECK nested_status
nested_session_save(const nested_session *session, const char *path, uint32_t flags,
                    const nested_run *run);
NESTED_API NESTED_CHECK nested_status
nested_session_load(const nested_model *model, const char *path, const nested_run *run,
                    nested_session **out);

/* ========================================================================= *
 *  11. Continuum Memory System: looking inside
 * ========================================================================= */

/** State of one CMS level of one layer of a session. */
typedef struct nested_level {
    uint32_t struct_size;
    int32_t  layer, level;    /**< which one; level 0 is the fastest            */
    int32_t  frozen;          /**< 1 = never updates online                     */
    int64_t  chunk;           /**< updates once per `chunk` tokens; 0 = never   */
    int64_t  last_update;     /**< position of the last update, -1 = none       */
    int64_t  next_update;     /**< position of the next one, -1 = never         */
    uint64_t n_updates;       /**< so far                                       */
    uint64_t n_skipped;       /**< updates dropped because they were not finite */
    uint64_t n_params;        /**< parameters                                   */
    double   lr;              /**< effective inner learning rate                */
    double   weight_norm;     /**< of the online weights                        */
    double   delta_norm;      /**< distance from the model's weights            */
    double   last_grad_norm;  /**< of the last update, before clipping          */
    double   last_update_norm; /**< of the change of the weights                */
    double   pending_norm;    /**< of the gradient collected since last_update  */
} nested_level;

/** layer in [0, n_layers), level in [0, n_levels); level 0 is the fastest.
 *  The head of CLASSIFY and REGRESS is layer n_layers, level 0.
 *  E_RANGE otherwise.  [shared] */
NESTED_API NESTED_CHECK nested_status
nested_session_level(const nested_session *session, int32_t layer, int32_t level,
                     nested_level *out);

/** Of nested_session_level_control(). */
typedef struct nested_level_control {
    uint32_t struct_size;
    int32_t  frozen;          /**< 0 = leave, 1 = freeze, -1 = thaw             */
    double   lr_scale;        /**< 0 = leave, else factor on the configured lr, */
                              /**< > 0                                          */
} nested_level_control;
/** layer or level -1 = all; a level of all layers does not include the head.
 *  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_level_control(nested_session *session, int32_t layer, int32_t level,
                             const nested_level_control *control);
/** Ends the running segment and applies every gradient whose target is known,
 *  now instead of at the chunk boundary; the clock is untouched.  layer or
 *  level -1 = all.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_level_flush(nested_session *session, int32_t layer, int32_t level);
/** Returns levels to the model's weights (forgets what they learned), with
 *  their optimizer state and pending gradient.  A head forgets the labels that
 *  the model does not know.  layer or level -1 = all, as above.  [serial] */
NESTED_API NESTED_CHECK nested_status
nested_session_level_reset(nested_session *session, int32_t layer, int32_t level);

/* ========================================================================= *
 *  12. Consolidation
 * ========================================================================= */

/** Of nested_model_consolidate(). */
typedef struct nested_consolidation {
    uint32_t struct_size;
    uint32_t level_mask;      /**< bit l = include level l, bit n_levels = the  */
                              /**< head of CLASSIFY and REGRESS; 0 = all        */
    double   strength;        /**< 0 = default 1.0; fraction of delta that moves */
    double   max_norm;        /**< clip of the merged delta per tensor, 0 = off */
    const double *session_weights; /**< [count] >= 0, sum > 0, or NULL = equal; */
                                   /**< normalised                              */
} nested_consolidation;

/** Makes a new model: weights + weighted mean of what the sessions' CMS levels
 *  learned.  The sessions and the old model stay as they are.  All sessions
 *  must have its fingerprint (E_MISMATCH); count >= 1.  options may be NULL.
 *  [shared] on all */
NESTED_API NESTED_CHECK nested_status
nested_model_consolidate(const nested_model *model, const nested_session *const *sessions,
                         size_t count, const nested_consolidation *options,
                         const nested_run *run, nested_model **out);

#ifdef __cplusplus
}
#endif
#endif /* NESTED_H */
