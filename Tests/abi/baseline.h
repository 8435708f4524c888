/* include/nested.h of the last release without its comments: to_witness.py --baseline */
#ifndef NESTED_H
#define NESTED_H 
#include <stddef.h>
#include <stdint.h>
#define NESTED_VERSION_MAJOR 1
#define NESTED_VERSION_MINOR 0
#define NESTED_VERSION_PATCH 0
#define NESTED_VERSION \
    (NESTED_VERSION_MAJOR * 1000000 + NESTED_VERSION_MINOR * 1000 + NESTED_VERSION_PATCH)
#define NESTED_ABI 1
#if defined(__GNUC__)
#define NESTED_API __attribute__((visibility("default")))
#define NESTED_CHECK __attribute__((warn_unused_result))
#else
#define NESTED_API 
#define NESTED_CHECK 
#endif
#ifdef __cplusplus
extern "C" {
#endif
#define NESTED_INIT(s) nested_init_((void *)&(s), sizeof(s))
static inline void nested_init_(void *p, size_t n)
{
    unsigned char *b = (unsigned char *)p;
    uint32_t size = (uint32_t)n;
    size_t i;
    for (i = 0; i < n; i++) b[i] = 0;
    for (i = 0; i < sizeof size; i++) b[i] = ((const unsigned char *)&size)[i];
}
#define NESTED_NUL_TERMINATED ((size_t)-1)
typedef int32_t nested_status;
enum {
    NESTED_OK = 0,
    NESTED_E_INTERNAL = -1,
    NESTED_E_ARGUMENT = -2,
    NESTED_E_HANDLE = -3,
    NESTED_E_RANGE = -4,
    NESTED_E_SHAPE = -5,
    NESTED_E_DTYPE = -6,
    NESTED_E_LAYOUT = -7,
    NESTED_E_CAPACITY = -8,
    NESTED_E_NOMEM = -9,
    NESTED_E_LIMIT = -10,
    NESTED_E_NOT_FOUND = -11,
    NESTED_E_EXISTS = -12,
    NESTED_E_UNSUPPORTED = -13,
    NESTED_E_VERSION = -14,
    NESTED_E_CONFIG = -15,
    NESTED_E_PARSE = -16,
    NESTED_E_CORRUPT = -17,
    NESTED_E_IO = -18,
    NESTED_E_REENTRANT = -19,
    NESTED_E_CANCELLED = -20,
    NESTED_E_CALLBACK = -21,
    NESTED_E_STATE = -22,
    NESTED_E_NUMERIC = -23,
    NESTED_E_MISMATCH = -24,
    NESTED_E_FORKED = -25,
    NESTED_E_POISONED = -26
};
NESTED_API const char *nested_status_name(nested_status status);
typedef struct nested_error {
    uint32_t struct_size;
    nested_status status;
    int32_t os_error;
    int32_t callback_code;
    int64_t offset;
    const char *function;
    const char *message;
    const char *place;
} nested_error;
NESTED_API nested_status nested_last_error(nested_error *out);
NESTED_API uint32_t nested_version(void);
NESTED_API uint32_t nested_abi(void);
NESTED_API const char *nested_version_string(void);
NESTED_API const char *nested_build_info(void);
NESTED_API const char *nested_abi_info(void);
NESTED_API int32_t nested_has_feature(const char *name);
enum {
    NESTED_HANDLE_ANY = 0, NESTED_HANDLE_CONTEXT = 1, NESTED_HANDLE_CONFIG = 2,
    NESTED_HANDLE_MODEL = 3, NESTED_HANDLE_TRAINER = 4, NESTED_HANDLE_SESSION = 5,
    NESTED_HANDLE_SNAPSHOT = 6, NESTED_HANDLE_CANCEL = 7, NESTED_HANDLE_BLOB = 8
};
NESTED_API int64_t nested_live_handles(int32_t handle_kind);
typedef struct nested_context nested_context;
typedef struct nested_config nested_config;
typedef struct nested_model nested_model;
typedef struct nested_trainer nested_trainer;
typedef struct nested_session nested_session;
typedef struct nested_snapshot nested_snapshot;
typedef struct nested_cancel nested_cancel;
typedef struct nested_blob nested_blob;
NESTED_API const void *nested_blob_data(const nested_blob *blob);
NESTED_API size_t nested_blob_size(const nested_blob *blob);
NESTED_API void nested_blob_release(nested_blob *blob);
enum {
    NESTED_F32 = 1, NESTED_F64 = 2, NESTED_F16 = 3, NESTED_BF16 = 4,
    NESTED_I32 = 5, NESTED_I64 = 6, NESTED_U8 = 7
};
NESTED_API size_t nested_dtype_size(int32_t dtype);
#define NESTED_MAX_DIMS 6
typedef struct nested_view {
    void *data;
    int32_t dtype;
    int32_t ndim;
    int64_t shape[NESTED_MAX_DIMS];
    int64_t strides[NESTED_MAX_DIMS];
} nested_view;
typedef struct nested_cview {
    const void *data;
    int32_t dtype;
    int32_t ndim;
    int64_t shape[NESTED_MAX_DIMS];
    int64_t strides[NESTED_MAX_DIMS];
} nested_cview;
enum { NESTED_LOG_OFF = 0, NESTED_LOG_ERROR = 1, NESTED_LOG_WARN = 2,
       NESTED_LOG_INFO = 3, NESTED_LOG_DEBUG = 4 };
typedef struct nested_log_record {
    uint32_t struct_size;
    int32_t level;
    const char *component;
    const char *message;
} nested_log_record;
typedef void (*nested_log_fn)(void *user, const nested_log_record *record);
typedef struct nested_context_options {
    uint32_t struct_size;
    int32_t n_threads;
    uint64_t memory_limit;
    int32_t log_level;
    int32_t reserved;
    nested_log_fn log;
    void *log_user;
} nested_context_options;
NESTED_API NESTED_CHECK nested_status
nested_context_create(const nested_context_options *options, nested_context **out);
NESTED_API nested_status nested_context_retain(nested_context *context);
NESTED_API void nested_context_release(nested_context *context);
typedef struct nested_memory_stats {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t in_use;
    uint64_t peak;
    uint64_t limit;
    uint64_t n_allocations;
} nested_memory_stats;
NESTED_API nested_status
nested_context_memory(const nested_context *context, nested_memory_stats *out);
NESTED_API NESTED_CHECK nested_status nested_cancel_create(nested_cancel **out);
NESTED_API nested_status nested_cancel_raise(nested_cancel *cancel);
NESTED_API nested_status nested_cancel_clear(nested_cancel *cancel);
NESTED_API int32_t nested_cancel_is_raised(const nested_cancel *cancel);
NESTED_API void nested_cancel_release(nested_cancel *cancel);
typedef struct nested_progress {
    uint32_t struct_size;
    uint32_t reserved;
    const char *stage;
    uint64_t done, total;
    double elapsed_s;
    double loss;
} nested_progress;
typedef int32_t (*nested_progress_fn)(void *user, const nested_progress *progress);
typedef struct nested_run {
    uint32_t struct_size;
    uint32_t interval_ms;
    nested_cancel *cancel;
    nested_progress_fn progress;
    void *user;
} nested_run;
enum {
    NESTED_KIND_HOPE = 1
};
enum { NESTED_TASK_LM = 1 };
NESTED_API NESTED_CHECK nested_status
nested_config_create(int32_t kind, nested_config **out);
NESTED_API NESTED_CHECK nested_status
nested_config_from_json(const char *json, size_t length, nested_config **out);
NESTED_API NESTED_CHECK nested_status
nested_config_set_int(nested_config *config, const char *pointer, int64_t value);
NESTED_API NESTED_CHECK nested_status
nested_config_set_float(nested_config *config, const char *pointer, double value);
NESTED_API NESTED_CHECK nested_status
nested_config_set_string(nested_config *config, const char *pointer, const char *value);
NESTED_API NESTED_CHECK nested_status
nested_config_set_json(nested_config *config, const char *pointer,
                       const char *json, size_t length);
NESTED_API NESTED_CHECK nested_status
nested_config_get_int(const nested_config *config, const char *pointer, int64_t *out);
NESTED_API NESTED_CHECK nested_status
nested_config_get_float(const nested_config *config, const char *pointer, double *out);
NESTED_API NESTED_CHECK nested_status
nested_config_to_json(const nested_config *config, const char *pointer, nested_blob **out);
NESTED_API NESTED_CHECK nested_status
nested_config_validate(const nested_config *config);
NESTED_API const char *nested_config_schema(void);
NESTED_API void nested_config_release(nested_config *config);
NESTED_API NESTED_CHECK nested_status
nested_model_create(nested_context *context, const nested_config *config,
                    uint64_t seed, nested_model **out);
NESTED_API NESTED_CHECK nested_status
nested_model_clone(const nested_model *model, nested_model **out);
NESTED_API nested_status nested_model_retain(nested_model *model);
NESTED_API void nested_model_release(nested_model *model);
typedef struct nested_model_info {
    uint32_t struct_size;
    int32_t kind, task;
    int32_t n_layers;
    int32_t n_levels;
    int32_t dtype;
    int64_t vocab, d_model;
    uint64_t n_tensors;
    uint64_t n_params, weight_bytes;
    uint64_t version;
    uint64_t fingerprint;
} nested_model_info;
NESTED_API NESTED_CHECK nested_status
nested_model_get_info(const nested_model *model, nested_model_info *out);
NESTED_API NESTED_CHECK nested_status
nested_model_get_config(const nested_model *model, nested_config **out);
typedef struct nested_tensor_info {
    uint32_t struct_size;
    int32_t dtype, ndim;
    int32_t layer, level;
    int32_t reserved;
    int64_t shape[NESTED_MAX_DIMS];
    uint64_t n_elements;
    uint64_t flat_offset;
    const char *name;
} nested_tensor_info;
NESTED_API int64_t nested_model_tensor_count(const nested_model *model);
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_at(const nested_model *model, int64_t index, nested_tensor_info *out);
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_find(const nested_model *model, const char *name, int64_t *out_index);
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_get(const nested_model *model, int64_t index, const nested_view *dst);
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_set(nested_model *model, int64_t index, const nested_cview *src);
NESTED_API NESTED_CHECK nested_status
nested_model_tensor_borrow(const nested_model *model, int64_t index, nested_cview *out);
NESTED_API NESTED_CHECK nested_status
nested_model_params_get(const nested_model *model, float *dst, size_t count);
NESTED_API NESTED_CHECK nested_status
nested_model_params_set(nested_model *model, const float *src, size_t count);
enum {
    NESTED_SAVE_NO_SYNC = 1u << 0,
    NESTED_SAVE_DELTA = 1u << 1
};
NESTED_API NESTED_CHECK nested_status
nested_model_save(const nested_model *model, const char *path, uint32_t flags,
                  const nested_run *run);
NESTED_API NESTED_CHECK nested_status
nested_model_load(nested_context *context, const char *path, uint32_t flags,
                  const nested_run *run, nested_model **out);
NESTED_API NESTED_CHECK nested_status
nested_model_save_blob(const nested_model *model, uint32_t flags, nested_blob **out);
NESTED_API NESTED_CHECK nested_status
nested_model_load_bytes(nested_context *context, const void *bytes, size_t size,
                        uint32_t flags, nested_model **out);
#define NESTED_IGNORE_TARGET (-100)
typedef struct nested_batch {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n_seq, seq_len;
    const int32_t *tokens;
    const int32_t *targets;
    const float *weights;
} nested_batch;
typedef struct nested_eval {
    uint32_t struct_size;
    uint32_t reserved;
    double loss;
    double perplexity;
    double n_targets;
} nested_eval;
NESTED_API NESTED_CHECK nested_status
nested_model_evaluate(const nested_model *model, const nested_batch *batch,
                      const nested_run *run, nested_eval *out);
NESTED_API NESTED_CHECK nested_status
nested_model_forward(const nested_model *model, const nested_batch *batch,
                     const nested_run *run, const nested_view *dst);
NESTED_API NESTED_CHECK nested_status
nested_trainer_create(nested_model *model, const char *options, size_t length,
                      nested_trainer **out);
NESTED_API const char *nested_trainer_schema(void);
NESTED_API NESTED_CHECK nested_status
nested_trainer_get_options(const nested_trainer *trainer, nested_blob **out);
NESTED_API void nested_trainer_release(nested_trainer *trainer);
enum { NESTED_SKIP_NONE = 0, NESTED_SKIP_NO_TARGETS = 1, NESTED_SKIP_NONFINITE = 2 };
typedef struct nested_step {
    uint32_t struct_size;
    int32_t applied;
    int32_t skip_reason;
    int32_t reserved;
    uint64_t step;
    double n_targets;
    double loss;
    double grad_norm;
    double update_norm;
    double lr;
} nested_step;
NESTED_API NESTED_CHECK nested_status
nested_trainer_step(nested_trainer *trainer, const nested_batch *batch,
                    const nested_run *run, nested_step *out);
NESTED_API NESTED_CHECK nested_status
nested_trainer_accumulate(nested_trainer *trainer, const nested_batch *batch,
                          const nested_run *run, nested_eval *out);
NESTED_API NESTED_CHECK nested_status
nested_trainer_apply(nested_trainer *trainer, const nested_run *run, nested_step *out);
NESTED_API NESTED_CHECK nested_status nested_trainer_zero(nested_trainer *trainer);
NESTED_API NESTED_CHECK nested_status
nested_trainer_gradient(nested_trainer *trainer, float **out_data, size_t *out_count,
                        double **out_n_targets);
typedef int32_t (*nested_allreduce_fn)(void *user, void *data, size_t count, int32_t dtype);
NESTED_API NESTED_CHECK nested_status
nested_trainer_set_allreduce(nested_trainer *trainer, nested_allreduce_fn hook, void *user,
                             size_t bucket_elements);
NESTED_API NESTED_CHECK nested_status
nested_trainer_set_lr(nested_trainer *trainer, double lr);
typedef struct nested_fit {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t n_steps;
    uint64_t n_skipped;
    double mean_loss;
    double last_loss;
} nested_fit;
NESTED_API NESTED_CHECK nested_status
nested_trainer_fit(nested_trainer *trainer, const int32_t *tokens, size_t n_tokens,
                   int64_t steps, int64_t n_seq, int64_t seq_len,
                   const nested_run *run, nested_fit *out);
NESTED_API NESTED_CHECK nested_status
nested_trainer_save(const nested_trainer *trainer, const char *path, uint32_t flags,
                    const nested_run *run);
NESTED_API NESTED_CHECK nested_status
nested_trainer_load(nested_trainer *trainer, const char *path, const nested_run *run);
enum {
    NESTED_LEARN_MEMORY = 0,
    NESTED_LEARN_OFF = 1,
    NESTED_LEARN_ON = 2
};
typedef struct nested_session_options {
    uint32_t struct_size;
    int32_t learn;
    uint64_t seed;
} nested_session_options;
NESTED_API NESTED_CHECK nested_status
nested_session_create(const nested_model *model, const nested_session_options *options,
                      nested_session **out);
NESTED_API NESTED_CHECK nested_status
nested_session_fork(const nested_session *session, nested_session **out);
NESTED_API NESTED_CHECK nested_status nested_session_reset(nested_session *session);
NESTED_API NESTED_CHECK nested_status
nested_session_set_learn(nested_session *session, int32_t learn);
NESTED_API void nested_session_release(nested_session *session);
typedef struct nested_session_info {
    uint32_t struct_size;
    int32_t learn;
    int64_t position;
    uint64_t seed;
    uint64_t state_bytes;
    uint64_t n_updates;
    uint64_t n_skipped;
    uint64_t model_version;
} nested_session_info;
NESTED_API NESTED_CHECK nested_status
nested_session_get_info(const nested_session *session, nested_session_info *out);
typedef struct nested_feed {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n_consumed;
    double loss;
    uint64_t n_updates;
} nested_feed;
NESTED_API NESTED_CHECK nested_status
nested_session_feed(nested_session *session, const int32_t *tokens, size_t n,
                    const nested_run *run, const nested_view *logits, nested_feed *out);
NESTED_API NESTED_CHECK nested_status
nested_sessions_feed(nested_session *const *sessions, size_t count, const int32_t *tokens,
                     const nested_run *run, const nested_view *logits, size_t *out_done);
NESTED_API NESTED_CHECK nested_status
nested_session_output(const nested_session *session, float *dst, size_t capacity,
                      size_t *out_count);
NESTED_API NESTED_CHECK nested_status
nested_session_score(const nested_session *session, const int32_t *tokens, size_t n,
                     const nested_run *run, float *logprobs, double *out_sum);
typedef struct nested_sampling {
    uint32_t struct_size;
    int32_t top_k;
    double temperature;
    double top_p, min_p;
    double repetition_penalty;
    int64_t repetition_window;
    const int32_t *stop_tokens;
    uint64_t n_stop_tokens;
    const float *logit_bias;
} nested_sampling;
enum { NESTED_FINISH_LENGTH = 1, NESTED_FINISH_STOP = 2, NESTED_FINISH_CALLBACK = 3 };
typedef struct nested_token_event {
    uint32_t struct_size;
    int32_t token;
    int64_t index;
    double logprob;
} nested_token_event;
typedef int32_t (*nested_token_fn)(void *user, const nested_token_event *event);
NESTED_API NESTED_CHECK nested_status
nested_session_generate(nested_session *session, const nested_sampling *sampling,
                        size_t max_tokens, nested_token_fn on_token, void *user,
                        const nested_run *run, int32_t *dst, size_t *out_count,
                        int32_t *out_finish);
NESTED_API NESTED_CHECK nested_status
nested_session_snapshot(const nested_session *session, nested_snapshot **out);
NESTED_API NESTED_CHECK nested_status
nested_session_restore(nested_session *session, const nested_snapshot *snapshot);
NESTED_API NESTED_CHECK nested_status
nested_snapshot_to_blob(const nested_snapshot *snapshot, nested_blob **out);
NESTED_API NESTED_CHECK nested_status
nested_snapshot_delta_to_blob(const nested_snapshot *snapshot, nested_blob **out);
NESTED_API NESTED_CHECK nested_status
nested_snapshot_from_bytes(const nested_model *model, const void *bytes, size_t size,
                           nested_snapshot **out);
NESTED_API nested_status nested_snapshot_retain(nested_snapshot *snapshot);
NESTED_API void nested_snapshot_release(nested_snapshot *snapshot);
NESTED_API NESTED_CHECK nested_status
nested_session_save(const nested_session *session, const char *path, uint32_t flags,
                    const nested_run *run);
NESTED_API NESTED_CHECK nested_status
nested_session_load(const nested_model *model, const char *path, const nested_run *run,
                    nested_session **out);
typedef struct nested_level {
    uint32_t struct_size;
    int32_t layer, level;
    int32_t frozen;
    int64_t chunk;
    int64_t last_update;
    int64_t next_update;
    uint64_t n_updates;
    uint64_t n_skipped;
    uint64_t n_params;
    double lr;
    double weight_norm;
    double delta_norm;
    double last_grad_norm;
    double last_update_norm;
    double pending_norm;
} nested_level;
NESTED_API NESTED_CHECK nested_status
nested_session_level(const nested_session *session, int32_t layer, int32_t level,
                     nested_level *out);
typedef struct nested_level_control {
    uint32_t struct_size;
    int32_t frozen;
    double lr_scale;
} nested_level_control;
NESTED_API NESTED_CHECK nested_status
nested_session_level_control(nested_session *session, int32_t layer, int32_t level,
                             const nested_level_control *control);
NESTED_API NESTED_CHECK nested_status
nested_session_level_flush(nested_session *session, int32_t layer, int32_t level);
NESTED_API NESTED_CHECK nested_status
nested_session_level_reset(nested_session *session, int32_t layer, int32_t level);
typedef struct nested_consolidation {
    uint32_t struct_size;
    uint32_t level_mask;
    double strength;
    double max_norm;
    const double *session_weights;
} nested_consolidation;
NESTED_API NESTED_CHECK nested_status
nested_model_consolidate(const nested_model *model, const nested_session *const *sessions,
                         size_t count, const nested_consolidation *options,
                         const nested_run *run, nested_model **out);
#ifdef __cplusplus
}
#endif
#endif
