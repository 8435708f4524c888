/**
 * @file
 * nested.hpp - libnested for C++17 and later, header only.
 *
 * Classes own handles and release them; failures are exceptions; callbacks are callables that may throw. Everything else
 * is nested.h: its structs and NESTED_ constants are used as they are, and its comments are the manual. Each function here
 * names the C function it stands for.
 *
 *     nested::context context;                                      // all cores
 *     nested::model model(context, nested::config(json), 1);
 *     nested::trainer(model).fit(tokens, 100, 8, 64, [](const nested_progress &p) { std::cerr << p.loss << "\n"; });
 *     nested::session session(model, NESTED_LEARN_ON);
 *     session.feed(tokens);
 *     for (int32_t token : session.generate(80).tokens) std::cout << char(token);
 *
 * **Owning.** context, model and snapshot are counted by the library: a copy is one more reference to the same object
 * (model::clone() makes another model). The others can only be moved. Objects may go in any order. An object that was
 * moved from holds nothing, and a call on it throws NESTED_E_HANDLE.
 *
 * **Threads.** The objects of the library may be shared between threads as nested.h says ([pure], [shared], [serial]; const
 * members are [shared]). The C++ object that holds the handle is like any variable: do not assign, move or destroy it
 * while another thread uses it.
 *
 * **Callbacks.** A progress or token callback returns void, or bool: true stops. What any callback throws is thrown again
 * by the call that ran it, and the library's object is as after any failure (R6). What a log callback throws while an
 * object is being destroyed is lost.
 */
#ifndef NESTED_HPP
#define NESTED_HPP

#include "nested.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/** libnested for C++. */
namespace nested {

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/** A call that failed: nested_error as an exception. */
class error : public std::runtime_error {
 public:
  /** A failure that is not the library's own word; nested::check() makes the others. */
  error(nested_status status, const std::string &function, const std::string &message, const std::string &place)
      : error(record{status, 0, 0, -1, 0, function, message, place}) {}

  nested_status status() const noexcept { return record_->status; }             /**< NESTED_E_* */
  const std::string &function() const noexcept { return record_->function; }    /**< the C function that failed */
  const std::string &message() const noexcept { return record_->message; }      /**< one English sentence */
  const std::string &place() const noexcept { return record_->place; }          /**< JSON pointer, tensor or argument, or "" */
  int os_error() const noexcept { return record_->os_error; }                   /**< errno, or 0 */
  int callback_code() const noexcept { return record_->callback_code; }         /**< of NESTED_E_CALLBACK, else 0 */
  std::int64_t offset() const noexcept { return record_->offset; }              /**< byte in the text or file, or -1 */
  /** Tokens, steps or sessions that the failed call had committed; 0 where a call does all or nothing. */
  std::uint64_t committed() const noexcept { return record_->committed; }

 protected:
  /** What is known about a failure. */
  struct record {
    nested_status status;                 /**< NESTED_E_* */
    int os_error;                         /**< errno, or 0 */
    int callback_code;                    /**< of NESTED_E_CALLBACK, else 0 */
    std::int64_t offset;                  /**< byte in the text or file, or -1 */
    std::uint64_t committed;              /**< see committed() */
    std::string function;                 /**< text of nested_error */
    std::string message;                  /**< text of nested_error */
    std::string place;                    /**< text of nested_error */
  };
  /** From what is known. */
  explicit error(record &&known) : std::runtime_error(sentence(known)), record_(std::make_shared<record>(std::move(known))) {}

 private:
  friend void check(nested_status status, std::uint64_t committed);

  static std::string sentence(const record &r) {
    std::string text = r.function + ": " + nested_status_name(r.status) + ": " + r.message;
    return r.place.empty() ? text : text + " (" + r.place + ")";
  }

  std::shared_ptr<const record> record_;  // shared, so that copying an exception cannot throw
};

/** NESTED_E_CANCELLED: a cancel token was raised, or a callback returned true. */
class cancelled : public error {
 public:
  using error::error;

 private:
  friend void check(nested_status status, std::uint64_t committed);
};

/** Throws what nested_last_error() says when `status` is negative; for calls of the C interface on this thread. */
inline void check(nested_status status, std::uint64_t committed = 0) {
  if (status >= 0) return;
  nested_error e;
  NESTED_INIT(e);
  (void)nested_last_error(&e);
  auto text = [](const char *t) { return std::string(t ? t : ""); };
  error::record known{status, e.os_error, e.callback_code, e.offset, committed, text(e.function), text(e.message), text(e.place)};
  if (status == NESTED_E_CANCELLED) throw cancelled(std::move(known));
  throw error(std::move(known));
}

/* ---- spans, views and structs ------------------------------------------------------------------------------------ */

/** Elements in a row that somebody else owns: std::span for C++17. Vectors, arrays, std::span and, for const elements,
 *  braced lists become one when they are passed. */
template <class T>
class span {
  template <class C>
  using pointer_of = decltype(std::data(std::declval<C &>()));

 public:
  constexpr span() noexcept = default;  /**< none */
  constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}  /**< `size` elements from `data` */
  /** All of a container whose elements lie in a row. */
  template <class C, class = std::enable_if_t<std::is_convertible_v<
                         std::remove_pointer_t<pointer_of<C>> (*)[], T (*)[]>>>
  constexpr span(C &&container) noexcept : data_(std::data(container)), size_(std::size(container)) {}
  /** A braced list, until the end of the full expression. */
  template <class U = T, class = std::enable_if_t<std::is_const_v<U>>>
  constexpr span(std::initializer_list<std::remove_const_t<T>> list) noexcept : span(std::data(list), list.size()) {}

  constexpr T *data() const noexcept { return data_; }               /**< the first, or null */
  constexpr std::size_t size() const noexcept { return size_; }      /**< how many */
  constexpr bool empty() const noexcept { return size_ == 0; }       /**< none? */
  constexpr T *begin() const noexcept { return data_; }              /**< the first */
  constexpr T *end() const noexcept { return data_ + size_; }        /**< past the last */
  constexpr T &operator[](std::size_t i) const { return data_[i]; }  /**< unchecked */

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};

/** A struct of nested.h that begins as NESTED_INIT() leaves it: all defaults. */
template <class C>
struct sized : C {
  sized() noexcept : C() { this->struct_size = static_cast<std::uint32_t>(sizeof(C)); }
};

using context_options = sized<nested_context_options>;  /**< see nested_context_options */
using sampling = sized<nested_sampling>;                /**< see nested_sampling */
using level_control = sized<nested_level_control>;      /**< see nested_level_control */
using consolidation = sized<nested_consolidation>;      /**< see nested_consolidation */

/** NESTED_F32 and so on for float, double, int32_t, int64_t and uint8_t. */
template <class T>
constexpr std::int32_t dtype_of() {
  using E = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<E, float>) return NESTED_F32;
  else if constexpr (std::is_same_v<E, double>) return NESTED_F64;
  else if constexpr (std::is_same_v<E, std::int32_t>) return NESTED_I32;
  else if constexpr (std::is_same_v<E, std::int64_t>) return NESTED_I64;
  else { static_assert(std::is_same_v<E, std::uint8_t>, "say the dtype"); return NESTED_U8; }
}

/** nested_dtype_size(). */
inline std::size_t dtype_size(std::int32_t dtype) noexcept { return nested_dtype_size(dtype); }

namespace detail {
template <class T>
std::conditional_t<std::is_const_v<T>, nested_cview, nested_view> view(
    span<T> data, std::initializer_list<std::int64_t> shape, std::int32_t dtype) {
  std::conditional_t<std::is_const_v<T>, nested_cview, nested_view> result{};
  result.data = data.data();
  result.dtype = dtype;
  std::size_t room = data.size();
  bool none = false;
  if (shape.size() == 0) result.ndim = 1, result.shape[0] = static_cast<std::int64_t>(room), none = room == 0;
  for (std::int64_t extent : shape) {
    if (result.ndim == NESTED_MAX_DIMS || extent < 0)
      throw error(NESTED_E_RANGE, "nested::view", "at most 6 dimensions, none negative", "shape");
    result.shape[result.ndim++] = extent;
    if (extent == 0) none = true;
    else room /= static_cast<std::size_t>(extent);
  }
  if (room == 0 && !none)
    throw error(NESTED_E_SHAPE, "nested::view", "the shape has more elements than the data", "shape");
  if (nested_dtype_size(dtype) != sizeof(T))
    throw error(NESTED_E_DTYPE, "nested::view", "the elements are not of this size", "dtype");
  return result;
}
}  // namespace detail

/** A dense nested_view (nested_cview of const elements) of a container: of one dimension, or of a shape that fits into it.
 *  For float16 and bfloat16 in uint16_t say the dtype; for strides fill a nested_view. */
template <class Data>
auto view(Data &&data, std::initializer_list<std::int64_t> shape, std::int32_t dtype) {
  return detail::view(span<std::remove_pointer_t<decltype(std::data(data))>>(data), shape, dtype);
}
/** The same, with the dtype of the elements. */
template <class Data>
auto view(Data &&data, std::initializer_list<std::int64_t> shape = {}) {
  return view(data, shape, dtype_of<std::remove_pointer_t<decltype(std::data(data))>>());
}

/** A nested_cview for what is only read; a nested_view becomes one when it is passed. */
struct read_view : nested_cview {
  read_view(const nested_cview &seen) noexcept : nested_cview(seen) {}  /**< the same */
  /** Of elements that could be written. */
  read_view(const nested_view &seen) noexcept : nested_cview{seen.data, seen.dtype, seen.ndim, {}, {}} {
    for (int axis = 0; axis < NESTED_MAX_DIMS; axis++) shape[axis] = seen.shape[axis], strides[axis] = seen.strides[axis];
  }
};

/** A token for each byte: for models with "vocab" 256. */
inline std::vector<std::int32_t> to_tokens(std::string_view bytes) {
  std::vector<std::int32_t> tokens;
  tokens.reserve(bytes.size());
  for (char byte : bytes) tokens.push_back(static_cast<unsigned char>(byte));
  return tokens;
}
/** A byte for each token. */
inline std::string to_text(span<const std::int32_t> tokens) {
  std::string bytes;
  bytes.reserve(tokens.size());
  for (std::int32_t token : tokens) bytes.push_back(static_cast<char>(token));
  return bytes;
}

/* ---- calls, callbacks, handles ----------------------------------------------------------------------------------- */

namespace detail {
/** One call into the library: keeps what callbacks throw during it, and throws when it has returned.
 *  Calls nest where callbacks call the library again. */
class calling {
 public:
  calling() noexcept : outer_(innermost()) { innermost() = this; }
  ~calling() { innermost() = outer_; }
  calling(const calling &) = delete;
  calling &operator=(const calling &) = delete;

  /** In a catch block of a callback. */
  static void keep() noexcept {
    if (calling *call = innermost(); call && !call->thrown_) call->thrown_ = std::current_exception();
  }

  // committed by reference: it is looked at after the call.
  template <class Count = int>
  void check(nested_status status, const Count &committed = 0) const {
    if (thrown_ && (status == NESTED_OK || status == NESTED_E_CALLBACK)) std::rethrow_exception(thrown_);
    nested::check(status, static_cast<std::uint64_t>(committed));
  }

 private:
  static calling *&innermost() noexcept {
    static thread_local calling *call = nullptr;
    return call;
  }

  calling *outer_;
  std::exception_ptr thrown_;
};

/** A call, or an exception. */
template <class F, class... A>
void call(F *function, A &&...arguments) {
  calling now;
  now.check(function(std::forward<A>(arguments)...));
}
/** The struct that a call fills; its last argument. */
template <class C, class F, class... A>
C filled(F *function, A &&...arguments) {
  sized<C> result;
  call(function, std::forward<A>(arguments)..., &result);
  return result;
}
/** The object that a call makes; its last argument. Owned here also when a log callback's exception comes first. */
template <class H, class F, class... A>
H made(const std::shared_ptr<void> &kept, F *function, A &&...arguments) {
  H result(nullptr, kept);
  call(function, std::forward<A>(arguments)..., result.out());
  return result;
}

/** Calls back; 0 = go on, 1 = stop, -1 = it threw. */
template <class F, class... A>
std::int32_t answer(F &f, A &&...arguments) noexcept {
  using R = std::invoke_result_t<F &, A...>;
  static_assert(std::is_void_v<R> || std::is_same_v<R, bool>, "a callback returns void, or bool: true stops");
  try {
    if constexpr (std::is_void_v<R>) f(std::forward<A>(arguments)...);
    else if (f(std::forward<A>(arguments)...)) return 1;
    return 0;
  } catch (...) {
    calling::keep();
    return -1;
  }
}
}  // namespace detail

/** What all classes share: one count of one handle, released at the end. */
template <class C, void (*Release)(C *)>
class handle {
 public:
  /** Takes over one count of a C handle, or none of NULL. `kept` dies after it: what C callbacks of the object use. */
  explicit handle(C *raw, std::shared_ptr<void> kept = nullptr) noexcept : raw_(raw), kept_(std::move(kept)) {}
  /** Leaves nothing in `other`. */
  handle(handle &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)), kept_(std::move(other.kept_)) {}
  /** Releases what it held, and leaves nothing in `other`. */
  handle &operator=(handle &&other) noexcept {
    handle old(std::move(*this));
    std::swap(raw_, other.raw_);
    std::swap(kept_, other.kept_);
    return *this;
  }
  ~handle() { Release(raw_); }

  C *native() const noexcept { return raw_; }                                /**< for nested.h; still owned here */
  C **out() noexcept { *this = handle(nullptr, kept_); return &raw_; }       /**< for an out-parameter, after a release */
  const std::shared_ptr<void> &kept() const noexcept { return kept_; }       /**< for objects made from this one */
  explicit operator bool() const noexcept { return raw_ != nullptr; }        /**< false in an object that was moved from */

 private:
  C *raw_;
  std::shared_ptr<void> kept_;
};

/** A handle that the library counts: copies refer to the same object. */
template <class C, void (*Release)(C *), nested_status (*Retain)(C *)>
class shared_handle : public handle<C, Release> {
 public:
  using handle<C, Release>::handle;
  /** One more reference to the object. */
  shared_handle(const shared_handle &other) : shared_handle(nullptr, other.kept()) {
    if (other) detail::call(Retain, other.native());
    *this->out() = other.native();
  }
  shared_handle(shared_handle &&) noexcept = default;             /**< moves */
  shared_handle &operator=(shared_handle &&) noexcept = default;  /**< moves */
  /** One more reference to the object. */
  shared_handle &operator=(const shared_handle &other) { return *this = shared_handle(other); }
};

/** Bytes owned by the library (nested_blob). */
class blob : public handle<nested_blob, nested_blob_release> {
 public:
  using handle::handle;
  const void *data() const noexcept { return nested_blob_data(native()); }  /**< nested_blob_data() */
  std::size_t size() const noexcept { return nested_blob_size(native()); }  /**< nested_blob_size() */
  /** The bytes as text, valid as long as the blob. */
  std::string_view text() const noexcept { return {static_cast<const char *>(data()), size()}; }
};

/* ---- the library ------------------------------------------------------------------------------------------------- */

inline std::uint32_t version() noexcept { return nested_version(); }                /**< nested_version() */
inline std::uint32_t abi() noexcept { return nested_abi(); }                        /**< nested_abi() */
inline const char *version_string() noexcept { return nested_version_string(); }    /**< nested_version_string() */
inline const char *build_info() noexcept { return nested_build_info(); }            /**< nested_build_info(): JSON */
inline const char *abi_info() noexcept { return nested_abi_info(); }                /**< nested_abi_info(): JSON */
inline bool has_feature(const char *name) noexcept { return nested_has_feature(name) == 1; }  /**< nested_has_feature() */
/** nested_live_handles(). */
inline std::int64_t live_handles(std::int32_t handle_kind = NESTED_HANDLE_ANY) noexcept {
  return nested_live_handles(handle_kind);
}

/** Threads, memory, logging (nested_context). */
class context : public shared_handle<nested_context, nested_context_release, nested_context_retain> {
 public:
  /** Called with each record; kept until the context and everything made from it is gone. */
  using log_function = std::function<void(const nested_log_record &)>;

  using shared_handle::shared_handle;
  /** nested_context_create(). `log` takes the place of the options' log and log_user when there is one. */
  explicit context(context_options options = {}, log_function log = nullptr)
      : context(nullptr, log ? std::make_shared<log_function>(std::move(log)) : nullptr) {
    if (kept()) {
      options.log_user = kept().get();
      options.log = [](void *user, const nested_log_record *r) { detail::answer(*static_cast<log_function *>(user), *r); };
    }
    detail::call(nested_context_create, &options, out());
  }
  /** nested_context_memory(). */
  nested_memory_stats memory() const { return detail::filled<nested_memory_stats>(nested_context_memory, native()); }
};

/** A flag that any thread may raise to stop calls (nested_cancel). */
class cancel : public handle<nested_cancel, nested_cancel_release> {
 public:
  using handle::handle;
  cancel() : cancel(nullptr) { check(nested_cancel_create(out())); }  /**< nested_cancel_create() */
  void raise() const { check(nested_cancel_raise(native())); }        /**< nested_cancel_raise(), for signal handlers too */
  void clear() const { check(nested_cancel_clear(native())); }        /**< nested_cancel_clear(), for signal handlers too */
  bool is_raised() const noexcept { return nested_cancel_is_raised(native()) == 1; }  /**< nested_cancel_is_raised() */
};

/** Companion of every long call (nested_run): `{}`, a cancel token, a progress callback, or `{callback, token}`. */
class run {
 public:
  run() = default;  /**< nobody watches */
  run(const cancel &token) : cancel_(token.native()) {}  /**< stops when the token is raised */
  /** Calls back between chunks of work, at most once in `interval_ms`. */
  template <class F, class = std::enable_if_t<std::is_invocable_v<F &, const nested_progress &>>>
  run(F progress, std::uint32_t interval_ms = 0)
      : interval_ms_(interval_ms),
        progress_([f = std::move(progress)](const nested_progress &p) mutable { return detail::answer(f, p); }) {}
  /** Both. */
  template <class F, class = std::enable_if_t<std::is_invocable_v<F &, const nested_progress &>>>
  run(F progress, const cancel &token, std::uint32_t interval_ms = 0) : run(std::move(progress), interval_ms) {
    cancel_ = token.native();
  }
  /** As C wants it: a nested_run that points into this object, and becomes a pointer to itself. */
  struct for_c : sized<nested_run> {
    operator const nested_run *() const noexcept { return this; }  /**< for calls */
  };
  /** For calls of nested.h. */
  for_c native() const noexcept {
    for_c result;
    result.interval_ms = interval_ms_;
    result.cancel = cancel_;
    if (progress_) {
      result.user = const_cast<answering *>(&progress_);
      result.progress = [](void *user, const nested_progress *p) { return (*static_cast<answering *>(user))(*p); };
    }
    return result;
  }

 private:
  using answering = std::function<std::int32_t(const nested_progress &)>;
  std::uint32_t interval_ms_ = 0;
  nested_cancel *cancel_ = nullptr;
  answering progress_;
};

/** An architecture (nested_config). */
class config : public handle<nested_config, nested_config_release> {
 public:
  using handle::handle;
  /** nested_config_from_json(). */
  explicit config(std::string_view json) : config(nullptr) {
    check(nested_config_from_json(json.data(), json.size(), out()));
  }
  /** nested_config_create(): the defaults of a NESTED_KIND_*. */
  static config defaults(std::int32_t kind = NESTED_KIND_HOPE) {
    return detail::made<config>(nullptr, nested_config_create, kind);
  }
  /** nested_config_set_int(), _set_float() or _set_string() by the value's type; bools go through set_json(). */
  template <class T>
  config &set(const std::string &pointer, const T &value) {
    if constexpr (std::is_same_v<T, bool>) return set_json(pointer, value ? "true" : "false");
    else if constexpr (std::is_integral_v<T>) {
      if (value > T{} && static_cast<std::uint64_t>(value) > INT64_MAX)
        throw error(NESTED_E_RANGE, "nested::config::set", "the integer does not fit into 64 bits with sign", pointer);
      check(nested_config_set_int(native(), pointer.c_str(), static_cast<std::int64_t>(value)));
    } else if constexpr (std::is_floating_point_v<T>)
      check(nested_config_set_float(native(), pointer.c_str(), static_cast<double>(value)));
    else check(nested_config_set_string(native(), pointer.c_str(), std::string(value).c_str()));
    return *this;
  }
  /** nested_config_set_json(). */
  config &set_json(const std::string &pointer, std::string_view json) {
    check(nested_config_set_json(native(), pointer.c_str(), json.data(), json.size()));
    return *this;
  }
  /** nested_config_get_int(). */
  std::int64_t get_int(const std::string &pointer) const {
    std::int64_t result = 0;
    check(nested_config_get_int(native(), pointer.c_str(), &result));
    return result;
  }
  /** nested_config_get_float(). */
  double get_float(const std::string &pointer) const {
    double result = 0;
    check(nested_config_get_float(native(), pointer.c_str(), &result));
    return result;
  }
  /** nested_config_to_json(). */
  std::string json(const std::string &pointer = "") const {
    blob result(nullptr);
    check(nested_config_to_json(native(), pointer.c_str(), result.out()));
    return std::string(result.text());
  }
  void validate() const { check(nested_config_validate(native())); }              /**< nested_config_validate() */
  /** nested_config_estimate(): what it costs, without making it. */
  nested_estimate estimate(std::int64_t n_seq, std::int64_t seq_len) const {
    return detail::filled<nested_estimate>(nested_config_estimate, native(), n_seq, seq_len);
  }
  static const char *schema() noexcept { return nested_config_schema(); }         /**< nested_config_schema(): JSON */
};

/* ---- models and trainers ----------------------------------------------------------------------------------------- */

/** Rows of tokens or of vectors, with targets or labels or neither, borrowed (nested_batch). */
struct batch : sized<nested_batch> {
  /** [n_seq, seq_len] tokens, and targets and weights of the same shape or none. */
  batch(span<const std::int32_t> rows, std::int64_t sequences, std::int64_t length,
        span<const std::int32_t> row_targets = {}, span<const float> row_weights = {}) {
    auto fits = [&](std::size_t size, const char *place) {
      if (sequences < 1 || length < 1 || size / static_cast<std::size_t>(length) != static_cast<std::size_t>(sequences) ||
          size % static_cast<std::size_t>(length) != 0)
        throw error(NESTED_E_SHAPE, "nested::batch", "expected n_seq * seq_len elements, got " + std::to_string(size), place);
    };
    fits(rows.size(), "tokens");
    if (!row_targets.empty()) fits(row_targets.size(), "targets");
    if (!row_weights.empty()) fits(row_weights.size(), "weights");
    n_seq = sequences, seq_len = length, tokens = rows.data(), targets = row_targets.data(), weights = row_weights.data();
  }
  /** Vectors: a view [n_seq, seq_len, n_inputs], or [n_seq, n_inputs] of rows of one vector. */
  explicit batch(const read_view &vectors) : inputs_(vectors) {
    if (vectors.ndim == 2) {
      inputs_.ndim = 3;
      inputs_.shape[2] = vectors.shape[1], inputs_.shape[1] = 1;
      inputs_.strides[2] = vectors.strides[1];
    }
    if (inputs_.ndim != 3)
      throw error(NESTED_E_SHAPE, "nested::batch", "expected [n_seq, seq_len, n_inputs] or [n_seq, n_inputs]", "inputs");
    n_seq = inputs_.shape[0], seq_len = inputs_.shape[1], inputs = &inputs_;
  }
  /** Borrows what `other` does. */
  batch(const batch &other) noexcept : sized<nested_batch>(other), inputs_(other.inputs_), labels_(other.labels_) { point(); }
  /** Borrows what `other` does. */
  batch &operator=(const batch &other) noexcept {
    static_cast<nested_batch &>(*this) = other;
    inputs_ = other.inputs_, labels_ = other.labels_;
    point();
    return *this;
  }
  /** Adds labels as nested_batch says, and a weight for each label (each row's, when the labels are those of rows). */
  batch &labelled(const read_view &with, span<const float> label_weights = {}) {
    labels_ = with, labels = &labels_;
    const auto rows = static_cast<std::size_t>(n_seq), positions = rows * static_cast<std::size_t>(seq_len);
    if (!label_weights.empty() && label_weights.size() != rows && label_weights.size() != positions)
      throw error(NESTED_E_SHAPE, "nested::batch", "expected a weight for each label", "weights");
    weights = label_weights.data();
    return *this;
  }

 private:
  void point() noexcept {  // into this object, not into the one that it is a copy of
    if (inputs) inputs = &inputs_;
    if (labels) labels = &labels_;
  }
  nested_cview inputs_{}, labels_{};
};

/** Weights (nested_model). */
class model : public shared_handle<nested_model, nested_model_release, nested_model_retain> {
 public:
  using shared_handle::shared_handle;
  /** nested_model_create(). */
  model(const context &where, const config &architecture, std::uint64_t seed = 0) : model(nullptr, where.kept()) {
    detail::call(nested_model_create, where.native(), architecture.native(), seed, out());
  }
  /** nested_model_load(). */
  static model load(const context &where, const std::string &path, const run &how = {}) {
    return detail::made<model>(where.kept(), nested_model_load, where.native(), path.c_str(), 0u, how.native());
  }
  /** nested_model_load(); `flags`: NESTED_LOAD_*. */
  static model load(const context &where, const std::string &path, std::uint32_t flags, const run &how = {}) {
    return detail::made<model>(where.kept(), nested_model_load, where.native(), path.c_str(), flags, how.native());
  }
  /** nested_model_import(): a directory that Hugging Face's transformers wrote. */
  static model from_checkpoint(const context &where, const std::string &path, const run &how = {}) {
    return detail::made<model>(where.kept(), nested_model_import, where.native(), path.c_str(), how.native());
  }
  /** nested_model_load_bytes(). */
  static model from_bytes(const context &where, const void *bytes, std::size_t size) {
    return detail::made<model>(where.kept(), nested_model_load_bytes, where.native(), bytes, size, 0u);
  }
  /** nested_model_save(); `flags`: NESTED_SAVE_*. */
  void save(const std::string &path, std::uint32_t flags = 0, const run &how = {}) const {
    detail::call(nested_model_save, native(), path.c_str(), flags, how.native());
  }
  /** nested_model_save_blob(). */
  blob to_blob() const { return detail::made<blob>(nullptr, nested_model_save_blob, native(), 0u); }
  /** nested_model_clone(): another model. */
  model clone() const { return detail::made<model>(kept(), nested_model_clone, native()); }
  /** nested_model_stack(): a "hope-attention" whose level `pretrained` is the feed-forward; `cms` is JSON. */
  model stack(std::string_view cms = {}, std::int32_t pretrained = 0, std::uint64_t seed = 0, const run &how = {}) const {
    return detail::made<model>(kept(), nested_model_stack, native(), cms.data(), cms.size(), pretrained, seed, how.native());
  }
  /** nested_model_get_info(). */
  nested_model_info info() const { return detail::filled<nested_model_info>(nested_model_get_info, native()); }
  /** nested_model_get_config(). */
  config architecture() const { return detail::made<config>(nullptr, nested_model_get_config, native()); }

  std::int64_t tensor_count() const noexcept { return nested_model_tensor_count(native()); }  /**< nested_model_tensor_count() */
  /** nested_model_tensor_at(). */
  nested_tensor_info tensor_at(std::int64_t index) const {
    return detail::filled<nested_tensor_info>(nested_model_tensor_at, native(), index);
  }
  /** nested_model_tensor_find(). */
  std::int64_t tensor_find(const std::string &name) const {
    std::int64_t result = -1;
    detail::call(nested_model_tensor_find, native(), name.c_str(), &result);
    return result;
  }
  /** nested_model_tensor_get() into a view. */
  void tensor_get(std::int64_t index, const nested_view &to) const {
    detail::call(nested_model_tensor_get, native(), index, &to);
  }
  /** nested_model_tensor_get() as a vector, in row-major order. */
  std::vector<float> tensor_get(std::int64_t index) const {
    std::vector<float> result(static_cast<std::size_t>(tensor_at(index).n_elements));
    tensor_get(index, view(result));
    return result;
  }
  /** nested_model_tensor_set(). */
  void tensor_set(std::int64_t index, const nested_cview &from) {
    detail::call(nested_model_tensor_set, native(), index, &from);
  }
  /** nested_model_tensor_set() from as many elements. */
  void tensor_set(std::int64_t index, span<const float> from) { tensor_set(index, view(from)); }
  /** nested_model_tensor_borrow(): nested.h says until when. */
  nested_cview tensor_borrow(std::int64_t index) const {
    nested_cview result{};
    detail::call(nested_model_tensor_borrow, native(), index, &result);
    return result;
  }
  /** nested_model_params_get(): all weights. */
  std::vector<float> params() const {
    std::vector<float> result(static_cast<std::size_t>(info().n_params));
    detail::call(nested_model_params_get, native(), result.data(), result.size());
    return result;
  }
  /** nested_model_params_set(). */
  void set_params(span<const float> from) { detail::call(nested_model_params_set, native(), from.data(), from.size()); }

  /** nested_model_evaluate(). */
  nested_eval evaluate(const batch &rows, const run &how = {}) const {
    return detail::filled<nested_eval>(nested_model_evaluate, native(), &rows, how.native());
  }
  /** nested_model_forward() into a view [n_seq, seq_len, vocab], or [n_seq, n_outputs] of the other tasks. */
  void forward(const batch &rows, const nested_view &to, const run &how = {}) const {
    detail::call(nested_model_forward, native(), &rows, how.native(), &to);
  }
};

/** Optimizer and gradients of a model (nested_trainer). */
class trainer : public handle<nested_trainer, nested_trainer_release> {
 public:
  /** The collected gradient, inside the trainer: valid until the next call on it. */
  struct gradient_view {
    span<float> sum;    /**< over the targets, in flat order; writable */
    double *n_targets;  /**< behind it; writable */
  };

  using handle::handle;
  /** nested_trainer_create(); `options` are JSON. */
  explicit trainer(model &trained, std::string_view options = "{}") : trainer(nullptr, trained.kept()) {
    detail::call(nested_trainer_create, trained.native(), options.data(), options.size(), out());
  }
  static const char *schema() noexcept { return nested_trainer_schema(); }  /**< nested_trainer_schema(): JSON */
  /** nested_trainer_get_options(): JSON. */
  std::string options() const {
    blob result(nullptr);
    detail::call(nested_trainer_get_options, native(), result.out());
    return std::string(result.text());
  }
  /** nested_trainer_step(). */
  nested_step step(const batch &rows, const run &how = {}) {
    return detail::filled<nested_step>(nested_trainer_step, native(), &rows, how.native());
  }
  /** nested_trainer_fit(); on a failure error::committed() counts the steps made. */
  nested_fit fit(span<const std::int32_t> tokens, std::int64_t steps, std::int64_t n_seq, std::int64_t seq_len,
                 const run &how = {}) {
    sized<nested_fit> result;
    const run::for_c r = how.native();
    detail::calling().check(nested_trainer_fit(native(), tokens.data(), tokens.size(), steps, n_seq, seq_len, &r, &result),
                            result.n_steps);
    return result;
  }
  /** nested_trainer_accumulate(). */
  nested_eval accumulate(const batch &rows, const run &how = {}) {
    return detail::filled<nested_eval>(nested_trainer_accumulate, native(), &rows, how.native());
  }
  /** nested_trainer_gradient(). */
  gradient_view gradient() {
    float *sum = nullptr;
    std::size_t count = 0;
    double *n_targets = nullptr;
    detail::call(nested_trainer_gradient, native(), &sum, &count, &n_targets);
    return {{sum, count}, n_targets};
  }
  /** nested_trainer_apply(). */
  nested_step apply(const run &how = {}) {
    return detail::filled<nested_step>(nested_trainer_apply, native(), how.native());
  }
  void zero() { detail::call(nested_trainer_zero, native()); }  /**< nested_trainer_zero() */
  /** nested_trainer_set_allreduce(). `hook` is called with a span<float>, and with a span<double> for the count of targets,
   *  to replace what is in it by the sum over all workers: `[](auto values) { ... }`. It lives as long as the trainer. */
  template <class Hook>
  void set_allreduce(Hook hook, std::size_t bucket_elements = 0) {
    auto held = std::make_shared<Hook>(std::move(hook));
    auto called = [](void *user, void *data, std::size_t count, std::int32_t dtype) -> std::int32_t {
      auto call = [&](auto values) { (*static_cast<Hook *>(user))(values); };
      if (dtype == NESTED_F32) return detail::answer(call, span<float>(static_cast<float *>(data), count));
      return detail::answer(call, span<double>(static_cast<double *>(data), count));
    };
    detail::call(nested_trainer_set_allreduce, native(), called, held.get(), bucket_elements);
    hook_ = std::move(held);
  }
  /** Removes the hook. */
  void set_allreduce(std::nullptr_t) {
    detail::call(nested_trainer_set_allreduce, native(), nullptr, nullptr, std::size_t{0});
    hook_ = nullptr;
  }
  void set_lr(double lr) { detail::call(nested_trainer_set_lr, native(), lr); }  /**< nested_trainer_set_lr() */
  /** nested_trainer_save(); `flags`: NESTED_SAVE_*. */
  void save(const std::string &path, std::uint32_t flags = 0, const run &how = {}) const {
    detail::call(nested_trainer_save, native(), path.c_str(), flags, how.native());
  }
  /** nested_trainer_load(): takes over what was saved. */
  void load(const std::string &path, const run &how = {}) {
    detail::call(nested_trainer_load, native(), path.c_str(), how.native());
  }

 private:
  std::shared_ptr<void> hook_;
};

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

/** A frozen state of a session (nested_snapshot). */
class snapshot : public shared_handle<nested_snapshot, nested_snapshot_release, nested_snapshot_retain> {
 public:
  using shared_handle::shared_handle;
  /** nested_snapshot_from_bytes(). */
  static snapshot from_bytes(const model &of, const void *bytes, std::size_t size) {
    return detail::made<snapshot>(of.kept(), nested_snapshot_from_bytes, of.native(), bytes, size);
  }
  /** nested_snapshot_to_blob(), or nested_snapshot_delta_to_blob(): only what the levels learnt. */
  blob to_blob(bool delta = false) const {
    return detail::made<blob>(nullptr, delta ? nested_snapshot_delta_to_blob : nested_snapshot_to_blob, native());
  }
};

/** What session::generate() wrote. */
struct generated {
  std::vector<std::int32_t> tokens;  /**< committed, in order */
  std::int32_t finish = 0;           /**< NESTED_FINISH_* */
};

/** One stream of a model (nested_session). */
class session : public handle<nested_session, nested_session_release> {
 public:
  using handle::handle;
  /** nested_session_create(); `learn`: NESTED_LEARN_*. */
  explicit session(const model &of, std::int32_t learn = NESTED_LEARN_MEMORY, std::uint64_t seed = 0)
      : session(nullptr, of.kept()) {
    sized<nested_session_options> options;
    options.learn = learn;
    options.seed = seed;
    detail::call(nested_session_create, of.native(), &options, out());
  }
  /** nested_session_load(). */
  static session load(const model &of, const std::string &path, const run &how = {}) {
    return detail::made<session>(of.kept(), nested_session_load, of.native(), path.c_str(), how.native());
  }
  /** nested_session_save(); `flags`: NESTED_SAVE_*. */
  void save(const std::string &path, std::uint32_t flags = 0, const run &how = {}) const {
    detail::call(nested_session_save, native(), path.c_str(), flags, how.native());
  }
  /** nested_session_fork(). */
  session fork() const { return detail::made<session>(kept(), nested_session_fork, native()); }
  /** nested_session_snapshot(). */
  nested::snapshot snapshot() const { return detail::made<nested::snapshot>(kept(), nested_session_snapshot, native()); }
  /** nested_session_restore(). */
  void restore(const nested::snapshot &state) { detail::call(nested_session_restore, native(), state.native()); }
  void reset() { detail::call(nested_session_reset, native()); }  /**< nested_session_reset() */
  /** nested_session_set_learn(). */
  void set_learn(std::int32_t learn) { detail::call(nested_session_set_learn, native(), learn); }
  /** nested_session_get_info(). */
  nested_session_info info() const { return detail::filled<nested_session_info>(nested_session_get_info, native()); }

  /** nested_session_feed() without logits; on a failure error::committed() counts the tokens read. */
  nested_feed feed(span<const std::int32_t> tokens, const run &how = {}) { return feed_(tokens, nullptr, how); }
  /** nested_session_feed() with logits: a view [vocab] or [n, vocab]. */
  nested_feed feed(span<const std::int32_t> tokens, const nested_view &logits, const run &how = {}) {
    return feed_(tokens, &logits, how);
  }
  /** nested_session_feed_vectors() without outputs: a view [n, n_inputs]. */
  nested_feed feed_vectors(const read_view &inputs, const run &how = {}) { return feed_vectors_(inputs, nullptr, how); }
  /** nested_session_feed_vectors() with outputs: a view [n_outputs] or [n, n_outputs]. */
  nested_feed feed_vectors(const read_view &inputs, const nested_view &outputs, const run &how = {}) {
    return feed_vectors_(inputs, &outputs, how);
  }
  /** nested_session_teach(); on a failure error::committed() counts the targets learnt. */
  nested_eval teach(const batch &rows, const run &how = {}) {
    sized<nested_eval> result;
    const run::for_c r = how.native();
    detail::calling().check(nested_session_teach(native(), &rows, &r, &result), result.n_targets);
    return result;
  }
  /** nested_session_predict() into a view: as for model::forward(), with the session's n_outputs. */
  void predict(const batch &rows, const nested_view &to, const run &how = {}) const {
    detail::call(nested_session_predict, native(), &rows, how.native(), &to);
  }
  /** nested_session_predict() as a vector [n_seq, n_outputs], for CLASSIFY and REGRESS. */
  std::vector<float> predict(const batch &rows, const run &how = {}) const {
    const std::int64_t outputs = info().n_outputs;
    std::vector<float> result(static_cast<std::size_t>(rows.n_seq * outputs));
    predict(rows, view(result, {rows.n_seq, outputs}), how);
    return result;
  }
  /** nested_session_output(): logits of the last position. */
  std::vector<float> output() const {
    std::size_t count = 0;
    nested_status status = nested_session_output(native(), nullptr, 0, &count);  // E_CAPACITY, with the count
    std::vector<float> result(count);
    if (count > 0) status = nested_session_output(native(), result.data(), count, &count);
    check(status);
    return result;
  }
  /** nested_session_score(): the sum; `logprobs` [n] gets each token's when it is not empty. */
  double score(span<const std::int32_t> tokens, span<float> logprobs = {}, const run &how = {}) const {
    if (!logprobs.empty() && logprobs.size() != tokens.size())
      throw error(NESTED_E_SHAPE, "nested::session::score", "expected one element for each token", "logprobs");
    double sum = 0;
    const run::for_c r = how.native();
    detail::call(nested_session_score, native(), tokens.data(), tokens.size(), &r, logprobs.data(), &sum);
    return sum;
  }
  /** nested_session_generate(); on a failure error::committed() counts the tokens. */
  generated generate(std::size_t max_tokens, const sampling &how = {}, const run &watched = {}) {
    auto go_on = [](const nested_token_event &) {};
    return generate(max_tokens, how, go_on, watched);
  }
  /** The same, calling `on_token` with each nested_token_event. */
  template <class F, class = std::enable_if_t<std::is_invocable_v<F &, const nested_token_event &>>>
  generated generate(std::size_t max_tokens, const sampling &how, F &&on_token, const run &watched = {}) {
    using callee = std::remove_reference_t<F>;
    auto called = [](void *user, const nested_token_event *event) {
      return detail::answer(**static_cast<callee **>(user), *event);
    };
    callee *callback = std::addressof(on_token);
    const run::for_c r = watched.native();
    generated result;
    result.tokens.resize(max_tokens);
    std::size_t count = 0;
    detail::calling().check(nested_session_generate(native(), &how, max_tokens, called, &callback, &r, result.tokens.data(),
                                                    &count, &result.finish), count);
    result.tokens.resize(count);
    return result;
  }

  /** nested_session_level(). */
  nested_level level(std::int32_t layer, std::int32_t level) const {
    return detail::filled<nested_level>(nested_session_level, native(), layer, level);
  }
  /** nested_session_level_control(); -1: all. */
  void control_levels(const level_control &control, std::int32_t layer = -1, std::int32_t level = -1) {
    detail::call(nested_session_level_control, native(), layer, level, &control);
  }
  /** nested_session_level_flush(); -1: all. */
  void flush_levels(std::int32_t layer = -1, std::int32_t level = -1) {
    detail::call(nested_session_level_flush, native(), layer, level);
  }
  /** nested_session_level_reset(); -1: all. */
  void reset_levels(std::int32_t layer = -1, std::int32_t level = -1) {
    detail::call(nested_session_level_reset, native(), layer, level);
  }

 private:
  nested_feed feed_(span<const std::int32_t> tokens, const nested_view *logits, const run &how) {
    sized<nested_feed> result;
    const run::for_c r = how.native();
    detail::calling().check(nested_session_feed(native(), tokens.data(), tokens.size(), &r, logits, &result), result.n_consumed);
    return result;
  }
  nested_feed feed_vectors_(const nested_cview &inputs, const nested_view *outputs, const run &how) {
    sized<nested_feed> result;
    const run::for_c r = how.native();
    detail::calling().check(nested_session_feed_vectors(native(), &inputs, &r, outputs, &result), result.n_consumed);
    return result;
  }
};

namespace detail {
inline nested_session *raw_of(session &one) noexcept { return one.native(); }
inline nested_session *raw_of(session *one) noexcept { return one->native(); }
inline const nested_session *raw_of(const session &one) noexcept { return one.native(); }
inline const nested_session *raw_of(const session *one) noexcept { return one->native(); }

template <class Handle, class Sessions>
std::vector<Handle> raw_all(Sessions &sessions) {
  std::vector<Handle> result;
  for (auto &one : sessions) result.push_back(raw_of(one));
  return result;
}

template <class Sessions>
void feed_each(Sessions &sessions, span<const std::int32_t> tokens, const nested_view *logits, const run &how) {
  auto raw = raw_all<nested_session *>(sessions);
  if (raw.size() != tokens.size())
    throw error(NESTED_E_SHAPE, "nested::feed_each", "expected one token for each session", "tokens");
  const run::for_c r = how.native();
  std::size_t done = 0;
  calling().check(nested_sessions_feed(raw.data(), raw.size(), tokens.data(), &r, logits, &done), done);
}
}  // namespace detail

/** nested_sessions_feed(): a token for each of several sessions (a range of sessions or of pointers, or `{&a, &b}`). On a
 *  failure error::committed() counts the sessions that went on. */
template <class Sessions = std::initializer_list<session *>>
void feed_each(Sessions &&sessions, span<const std::int32_t> tokens, const run &how = {}) {
  detail::feed_each(sessions, tokens, nullptr, how);
}
/** The same with logits: a view [count, vocab]. */
template <class Sessions = std::initializer_list<session *>>
void feed_each(Sessions &&sessions, span<const std::int32_t> tokens, const nested_view &logits, const run &how = {}) {
  detail::feed_each(sessions, tokens, &logits, how);
}

/** nested_model_consolidate(): a new model out of what the sessions (as for feed_each()) have learnt. */
template <class Sessions = std::initializer_list<const session *>>
model consolidate(const model &base, const Sessions &sessions, const consolidation &options = {},
                  const run &how = {}) {
  auto raw = detail::raw_all<const nested_session *>(sessions);
  const run::for_c r = how.native();
  model result(nullptr, base.kept());
  detail::call(nested_model_consolidate, base.native(), raw.data(), raw.size(), &options, &r, result.out());
  return result;
}

}  // namespace nested

#endif  // NESTED_HPP
