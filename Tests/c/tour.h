/* Every function of the header that does work or hands something out, once each, on the same small objects. A step makes one
 * call, gives back what the call made, and returns its status; it can be made again and again. Programs walk the tour on small
 * stacks, under signals, without memory, on a failing disk, in forked children. Tests/abi/test_abi.py wants every function of the
 * header in here. */
#ifndef TOUR_H
#define TOUR_H

#include "check.h"

#define TOUR_TOKENS 64

static const char tour_config[] =
    "{\"kind\":\"hope\",\"vocab\":32,\"d_model\":16,\"n_layers\":2,\"head_dim\":16,\"segment\":8,"
    "\"memory\":{\"memory_chunk\":4,\"projection_chunk\":4},"
    "\"cms\":{\"levels\":[{\"chunk\":8,\"hidden\":16,\"lr\":0.1},{\"chunk\":16,\"hidden\":16,\"lr\":0.05},"
    "{\"chunk\":0,\"hidden\":16}]}}";
static const char tour_reader[] =
    "{\"kind\":\"cms\",\"inputs\":4,\"classes\":3,\"d_model\":16,\"cms\":{\"levels\":[{\"chunk\":4,\"hidden\":16}]}}";
static const char tour_transformer[] =
    "{\"kind\":\"transformer\",\"vocab\":32,\"d_model\":16,\"n_layers\":1,\"head_dim\":16,\"d_ff\":32}";

typedef struct {
    nested_context *context;
    nested_config *config;
    nested_model *model, *spare; /* spare: without a trainer */
    nested_trainer *trainer;
    nested_session *session, *second; /* both learn; of `model` */
    nested_model *reader, *transformer;
    nested_session *vectors; /* of `reader` */
    nested_snapshot *snapshot;        /* of `session`, when it had read 20 tokens */
    nested_snapshot *blank;           /* of `vectors`, fresh */
    nested_cancel *cancel;
    nested_blob *blob, *model_blob, *snapshot_blob;
    const nested_run *run; /* companion of the long calls, or NULL */
    int32_t text[TOUR_TOKENS];
    float values[TOUR_TOKENS * VOCAB];
    float *params;
    size_t n_params;
    char model_file[128], session_file[128], trainer_file[128], output_file[128], checkpoint[1024];
} tour;

typedef struct {
    const char *function;
    nested_status (*go)(tour *);
    int kind; /* NESTED_HANDLE_* that the call needs, 0 = none: what a fork leaves of it depends on that */
} tour_step;

/* A value in place of a status. */
static inline nested_status tour_is(int condition) { return condition ? NESTED_OK : NESTED_E_INTERNAL; }

#define TOUR(name, kind, ...) \
    static nested_status tour_##name(tour *t) \
    { \
        (void)t; \
        __VA_ARGS__ \
    }
#define TOUR_MAKES(name, kind, type, arguments, last) \
    static nested_status tour_##name(tour *t) \
    { \
        type *made = NULL; \
        nested_status status = nested_##name arguments; \
        (void)t; \
        if (status == NESTED_OK) last; \
        else CHECK(made == NULL); \
        return status; \
    }
#define TOUR_FILLS(name, kind, type, arguments) \
    static nested_status tour_##name(tour *t) \
    { \
        type out; \
        (void)t; \
        NESTED_INIT(out); \
        return nested_##name arguments; \
    }

/* X(name, kind of the handle, how): the functions in the order of the header. */
#define TOUR_STEPS(CALL, MAKES, FILLS) \
    CALL(status_name, 0, return tour_is(nested_status_name(0)[0] == 'N');) \
    FILLS(last_error, 0, nested_error, (&out)) \
    CALL(version, 0, return tour_is(nested_version() == NESTED_VERSION);) \
    CALL(abi, 0, return tour_is(nested_abi() == NESTED_ABI);) \
    CALL(version_string, 0, return tour_is(nested_version_string()[0] == '1');) \
    CALL(build_info, 0, return tour_is(nested_build_info()[0] == '{');) \
    CALL(abi_info, 0, return tour_is(nested_abi_info()[0] == '{');) \
    CALL(has_feature, 0, return tour_is(nested_has_feature("kind.hope") == 1);) \
    CALL(live_handles, 0, return tour_is(nested_live_handles(NESTED_HANDLE_ANY) > 8);) \
    CALL(blob_data, NESTED_HANDLE_BLOB, return tour_is(nested_blob_data(t->blob) != NULL);) \
    CALL(blob_size, NESTED_HANDLE_BLOB, return tour_is(nested_blob_size(t->blob) > 0);) \
    CALL(blob_release, 0, nested_blob_release(NULL); return NESTED_OK;) \
    CALL(dtype_size, 0, return tour_is(nested_dtype_size(NESTED_F64) == 8);) \
    CALL(context_create, 0, return tour_context(t);) \
    CALL(context_retain, 0, return nested_context_retain(t->context);) \
    CALL(context_release, 0, nested_context_release(t->context); return NESTED_OK;) \
    FILLS(context_memory, NESTED_HANDLE_CONTEXT, nested_memory_stats, (t->context, &out)) \
    MAKES(cancel_create, 0, nested_cancel, (&made), nested_cancel_release(made)) \
    CALL(cancel_raise, NESTED_HANDLE_CANCEL, return nested_cancel_raise(t->cancel);) \
    CALL(cancel_clear, NESTED_HANDLE_CANCEL, return nested_cancel_clear(t->cancel);) \
    CALL(cancel_is_raised, NESTED_HANDLE_CANCEL, return tour_is(nested_cancel_is_raised(t->cancel) == 0);) \
    CALL(cancel_release, 0, nested_cancel_release(NULL); return NESTED_OK;) \
    MAKES(config_create, 0, nested_config, (NESTED_KIND_HOPE, &made), nested_config_release(made)) \
    MAKES(config_from_json, 0, nested_config, (tour_config, NESTED_NUL_TERMINATED, &made), nested_config_release(made)) \
    CALL(config_set_int, NESTED_HANDLE_CONFIG, return nested_config_set_int(t->config, "/vocab", 32);) \
    CALL(config_set_float, NESTED_HANDLE_CONFIG, return nested_config_set_float(t->config, "/norm_eps", 1e-6);) \
    CALL(config_set_string, NESTED_HANDLE_CONFIG, return nested_config_set_string(t->config, "/kind", "hope");) \
    CALL(config_set_json, NESTED_HANDLE_CONFIG, return nested_config_set_json(t->config, "/vocab", "32", 2);) \
    CALL(config_get_int, NESTED_HANDLE_CONFIG, int64_t out = 0; return nested_config_get_int(t->config, "/vocab", &out);) \
    CALL(config_get_float, NESTED_HANDLE_CONFIG, double out = 0; return nested_config_get_float(t->config, "/norm_eps", &out);) \
    MAKES(config_to_json, NESTED_HANDLE_CONFIG, nested_blob, (t->config, NULL, &made), nested_blob_release(made)) \
    CALL(config_validate, NESTED_HANDLE_CONFIG, return nested_config_validate(t->config);) \
    CALL(config_schema, 0, return tour_is(nested_config_schema()[0] == '{');) \
    CALL(config_release, 0, nested_config_release(NULL); return NESTED_OK;) \
    CALL(config_estimate, NESTED_HANDLE_CONFIG, nested_estimate out; NESTED_INIT(out); return nested_config_estimate(t->config, 1, 8, &out);) \
    MAKES(model_create, NESTED_HANDLE_CONTEXT, nested_model, (t->context, t->config, 3, &made), nested_model_release(made)) \
    MAKES(model_clone, NESTED_HANDLE_MODEL, nested_model, (t->model, &made), nested_model_release(made)) \
    CALL(model_retain, 0, return nested_model_retain(t->model);) \
    CALL(model_release, 0, nested_model_release(t->model); return NESTED_OK;) \
    FILLS(model_get_info, NESTED_HANDLE_MODEL, nested_model_info, (t->model, &out)) \
    MAKES(model_get_config, NESTED_HANDLE_MODEL, nested_config, (t->model, &made), nested_config_release(made)) \
    CALL(model_tensor_count, 0, return tour_is(nested_model_tensor_count(t->model) > 0);) \
    FILLS(model_tensor_at, NESTED_HANDLE_MODEL, nested_tensor_info, (t->model, 1, &out)) \
    CALL(model_tensor_find, NESTED_HANDLE_MODEL, \
         int64_t out = 0; return nested_model_tensor_find(t->model, "blocks.0.mixer.q.weight", &out);) \
    CALL(model_tensor_get, NESTED_HANDLE_MODEL, return tour_tensor(t, 0);) \
    CALL(model_tensor_set, NESTED_HANDLE_MODEL, return tour_tensor(t, 1);) \
    CALL(model_tensor_borrow, NESTED_HANDLE_MODEL, nested_cview out; return nested_model_tensor_borrow(t->model, 0, &out);) \
    CALL(model_params_get, NESTED_HANDLE_MODEL, return nested_model_params_get(t->model, t->params, t->n_params);) \
    CALL(model_params_set, NESTED_HANDLE_MODEL, return nested_model_params_set(t->spare, t->params, t->n_params);) \
    CALL(model_save, NESTED_HANDLE_MODEL, return nested_model_save(t->model, t->output_file, 0, t->run);) \
    MAKES(model_load, NESTED_HANDLE_CONTEXT, nested_model, (t->context, t->model_file, 0, t->run, &made), nested_model_release(made)) \
    MAKES(model_save_blob, NESTED_HANDLE_MODEL, nested_blob, (t->model, 0, &made), nested_blob_release(made)) \
    MAKES(model_load_bytes, NESTED_HANDLE_CONTEXT, nested_model, \
          (t->context, nested_blob_data(t->model_blob), nested_blob_size(t->model_blob), 0, &made), nested_model_release(made)) \
    MAKES(model_import, NESTED_HANDLE_CONTEXT, nested_model, (t->context, t->checkpoint, t->run, &made), nested_model_release(made)) \
    MAKES(model_stack, NESTED_HANDLE_MODEL, nested_model, \
          (t->transformer, NULL, 0, 0, 1, t->run, &made), nested_model_release(made)) \
    CALL(model_evaluate, NESTED_HANDLE_MODEL, \
         nested_batch batch = make_batch(t->text, 2, 24); nested_eval out; NESTED_INIT(out); \
         return nested_model_evaluate(t->model, &batch, t->run, &out);) \
    CALL(model_forward, NESTED_HANDLE_MODEL, \
         nested_batch batch = make_batch(t->text, 2, 24); nested_view view = dense_view(t->values, NESTED_F32, 2, 24); \
         view.ndim = 3; view.shape[2] = VOCAB; return nested_model_forward(t->model, &batch, t->run, &view);) \
    MAKES(trainer_create, NESTED_HANDLE_MODEL, nested_trainer, (t->spare, "{\"lr\":0.01}", NESTED_NUL_TERMINATED, &made), \
          nested_trainer_release(made)) \
    CALL(trainer_schema, 0, return tour_is(nested_trainer_schema()[0] == '{');) \
    MAKES(trainer_get_options, NESTED_HANDLE_TRAINER, nested_blob, (t->trainer, &made), nested_blob_release(made)) \
    CALL(trainer_release, 0, nested_trainer_release(NULL); return NESTED_OK;) \
    CALL(trainer_step, NESTED_HANDLE_TRAINER, \
         nested_batch batch = make_batch(t->text, 2, 24); return nested_trainer_step(t->trainer, &batch, t->run, NULL);) \
    CALL(trainer_accumulate, NESTED_HANDLE_TRAINER, \
         nested_batch batch = make_batch(t->text, 2, 24); return nested_trainer_accumulate(t->trainer, &batch, t->run, NULL);) \
    CALL(trainer_apply, NESTED_HANDLE_TRAINER, return nested_trainer_apply(t->trainer, t->run, NULL);) \
    CALL(trainer_gradient, NESTED_HANDLE_TRAINER, \
         float *data = NULL; return nested_trainer_gradient(t->trainer, &data, NULL, NULL);) \
    CALL(trainer_zero, NESTED_HANDLE_TRAINER, return nested_trainer_zero(t->trainer);) \
    CALL(trainer_set_allreduce, NESTED_HANDLE_TRAINER, return nested_trainer_set_allreduce(t->trainer, NULL, NULL, 0);) \
    CALL(trainer_set_lr, NESTED_HANDLE_TRAINER, return nested_trainer_set_lr(t->trainer, -1);) \
    CALL(trainer_fit, NESTED_HANDLE_TRAINER, \
         return nested_trainer_fit(t->trainer, t->text, TOUR_TOKENS, 2, 2, 16, t->run, NULL);) \
    CALL(trainer_save, NESTED_HANDLE_TRAINER, return nested_trainer_save(t->trainer, t->output_file, 0, t->run);) \
    CALL(trainer_load, NESTED_HANDLE_TRAINER, return nested_trainer_load(t->trainer, t->trainer_file, t->run);) \
    MAKES(session_create, NESTED_HANDLE_MODEL, nested_session, (t->model, NULL, &made), nested_session_release(made)) \
    MAKES(session_fork, NESTED_HANDLE_SESSION, nested_session, (t->session, &made), nested_session_release(made)) \
    CALL(session_reset, NESTED_HANDLE_SESSION, return nested_session_reset(t->second);) \
    CALL(session_set_learn, NESTED_HANDLE_SESSION, return nested_session_set_learn(t->session, NESTED_LEARN_ON);) \
    CALL(session_release, 0, nested_session_release(NULL); return NESTED_OK;) \
    FILLS(session_get_info, NESTED_HANDLE_SESSION, nested_session_info, (t->session, &out)) \
    CALL(session_feed, NESTED_HANDLE_SESSION, \
         nested_view view = dense_view(t->values, NESTED_F32, TOUR_TOKENS, VOCAB); \
         return nested_session_feed(t->session, t->text, TOUR_TOKENS, t->run, &view, NULL);) \
    CALL(session_feed_vectors, NESTED_HANDLE_SESSION, \
         nested_cview inputs = tour_inputs(t, 2, 0); return nested_session_feed_vectors(t->vectors, &inputs, t->run, NULL, NULL);) \
    CALL(session_teach, NESTED_HANDLE_SESSION, return tour_teach(t, 0, NULL);) \
    CALL(session_predict, NESTED_HANDLE_SESSION, return tour_predict(t);) \
    CALL(sessions_feed, NESTED_HANDLE_SESSION, \
         nested_session *list[2]; list[0] = t->session; list[1] = t->second; \
         return nested_sessions_feed(list, 2, t->text, t->run, NULL, NULL);) \
    CALL(session_output, NESTED_HANDLE_SESSION, \
         size_t out = 0; return nested_session_output(t->session, t->values, VOCAB, &out);) \
    CALL(session_score, NESTED_HANDLE_SESSION, \
         double out = 0; return nested_session_score(t->session, t->text, 40, t->run, t->values, &out);) \
    CALL(session_generate, NESTED_HANDLE_SESSION, \
         nested_sampling sampling; NESTED_INIT(sampling); sampling.temperature = 1; sampling.top_p = 0.9; \
         return nested_session_generate(t->session, &sampling, 12, NULL, NULL, t->run, NULL, NULL, NULL);) \
    MAKES(session_snapshot, NESTED_HANDLE_SESSION, nested_snapshot, (t->session, &made), nested_snapshot_release(made)) \
    CALL(session_restore, NESTED_HANDLE_SESSION, return nested_session_restore(t->session, t->snapshot);) \
    MAKES(snapshot_to_blob, NESTED_HANDLE_SNAPSHOT, nested_blob, (t->snapshot, &made), nested_blob_release(made)) \
    MAKES(snapshot_delta_to_blob, NESTED_HANDLE_SNAPSHOT, nested_blob, (t->snapshot, &made), nested_blob_release(made)) \
    MAKES(snapshot_from_bytes, NESTED_HANDLE_MODEL, nested_snapshot, \
          (t->model, nested_blob_data(t->snapshot_blob), nested_blob_size(t->snapshot_blob), &made), nested_snapshot_release(made)) \
    CALL(snapshot_retain, 0, return nested_snapshot_retain(t->snapshot);) \
    CALL(snapshot_release, 0, nested_snapshot_release(t->snapshot); return NESTED_OK;) \
    CALL(session_save, NESTED_HANDLE_SESSION, return nested_session_save(t->session, t->output_file, 0, t->run);) \
    MAKES(session_load, NESTED_HANDLE_MODEL, nested_session, (t->model, t->session_file, t->run, &made), \
          nested_session_release(made)) \
    FILLS(session_level, NESTED_HANDLE_SESSION, nested_level, (t->session, 0, 0, &out)) \
    CALL(session_level_control, NESTED_HANDLE_SESSION, \
         nested_level_control control; NESTED_INIT(control); control.lr_scale = 1; \
         return nested_session_level_control(t->session, -1, -1, &control);) \
    CALL(session_level_flush, NESTED_HANDLE_SESSION, return nested_session_level_flush(t->session, -1, -1);) \
    CALL(session_level_reset, NESTED_HANDLE_SESSION, return nested_session_level_reset(t->session, -1, -1);) \
    CALL(model_consolidate, NESTED_HANDLE_MODEL, return tour_consolidate(t);)

static nested_status tour_context(tour *t)
{
    nested_context_options options;
    nested_context *made = NULL;
    nested_status status;
    (void)t;
    NESTED_INIT(options);
    options.n_threads = 2;
    status = nested_context_create(&options, &made);
    nested_context_release(made);
    return status;
}

static nested_status tour_tensor(tour *t, int set)
{
    double *copy = (double *)(void *)t->values; /* a converting view needs a copy inside */
    nested_view view = dense_view(copy, NESTED_F64, 0, VOCAB * 16);
    nested_cview source;
    nested_status status = nested_model_tensor_get(t->spare, 0, &view);
    if (!set || status != NESTED_OK) return status;
    memset(&source, 0, sizeof source);
    source.data = copy;
    source.dtype = NESTED_F64;
    source.ndim = 1;
    source.shape[0] = VOCAB * 16;
    return nested_model_tensor_set(t->spare, 0, &source);
}

/* Rows of three vectors, or with two dimensions vectors: two and six in all, but for the first `done` of them. */
static nested_cview tour_inputs(tour *t, int32_t ndim, int64_t done)
{
    nested_cview view;
    memset(&view, 0, sizeof view);
    view.data = t->params + done * (ndim == 2 ? 4 : 12);
    view.dtype = NESTED_F32;
    view.ndim = ndim;
    view.shape[0] = (ndim == 2 ? 6 : 2) - done;
    view.shape[1] = ndim == 2 ? 4 : 3;
    view.shape[2] = 4;
    return view;
}

static nested_status tour_teach(tour *t, int64_t done, nested_eval *out)
{
    static const int64_t labels[2] = {2, 0};
    nested_cview inputs = tour_inputs(t, 3, done), classes;
    nested_batch batch;
    NESTED_INIT(batch);
    batch.n_seq = 2 - done;
    batch.seq_len = 3;
    batch.inputs = &inputs;
    memset(&classes, 0, sizeof classes);
    classes.data = labels + done;
    classes.dtype = NESTED_I64;
    classes.ndim = 1;
    classes.shape[0] = 2 - done;
    batch.labels = &classes;
    return nested_session_teach(t->vectors, &batch, t->run, out);
}

static nested_status tour_predict(tour *t)
{
    nested_cview inputs = tour_inputs(t, 3, 0);
    nested_view answers = dense_view(t->values, NESTED_F32, 2, 3);
    nested_batch batch;
    NESTED_INIT(batch);
    batch.n_seq = 2;
    batch.seq_len = 3;
    batch.inputs = &inputs;
    return nested_session_predict(t->vectors, &batch, t->run, &answers);
}

static nested_status tour_consolidate(tour *t)
{
    const nested_session *list[2];
    nested_model *made = NULL;
    nested_status status;
    list[0] = t->session;
    list[1] = t->second;
    status = nested_model_consolidate(t->model, list, 2, NULL, t->run, &made);
    nested_model_release(made);
    return status;
}

TOUR_STEPS(TOUR, TOUR_MAKES, TOUR_FILLS)

#define TOUR_ENTRY(name, kind, ...) {"nested_" #name, tour_##name, kind},
static const tour_step tour_steps[] = {TOUR_STEPS(TOUR_ENTRY, TOUR_ENTRY, TOUR_ENTRY)};
enum { TOUR_LENGTH = sizeof tour_steps / sizeof *tour_steps };

static inline nested_model *tour_model(tour *t, const char *json)
{
    nested_config *config = make_config(json);
    nested_model *model = NULL;
    OK(nested_model_create(t->context, config, 4, &model));
    nested_config_release(config);
    return model;
}

/* The objects, and a folder with files to load. At the end of the program: remove_scratch(). */
static inline void tour_open(tour *t, int32_t threads)
{
    memset(t, 0, sizeof *t);
    fill_tokens(t->text, TOUR_TOKENS, 9);
    t->context = make_context(threads);
    t->config = make_config(tour_config);
    OK(nested_model_create(t->context, t->config, 1, &t->model));
    OK(nested_model_create(t->context, t->config, 2, &t->spare));
    OK(nested_trainer_create(t->model, "{\"lr\":0.01}", NESTED_NUL_TERMINATED, &t->trainer));
    t->session = make_session(t->model, NESTED_LEARN_ON);
    t->second = make_session(t->model, NESTED_LEARN_ON);
    t->reader = tour_model(t, tour_reader);
    t->transformer = tour_model(t, tour_transformer);
    t->vectors = make_session(t->reader, NESTED_LEARN_ON);
    OK(nested_session_snapshot(t->vectors, &t->blank));
    snprintf(t->checkpoint, sizeof t->checkpoint, "%.*s/../peers/fixtures/llama/tied",
             (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
    OK(nested_session_feed(t->session, t->text, 20, NULL, NULL, NULL));
    OK(nested_session_snapshot(t->session, &t->snapshot));
    OK(nested_cancel_create(&t->cancel));
    OK(nested_config_to_json(t->config, NULL, &t->blob));
    OK(nested_model_save_blob(t->model, 0, &t->model_blob));
    OK(nested_snapshot_to_blob(t->snapshot, &t->snapshot_blob));
    read_params(t->spare, &t->params, &t->n_params);
    snprintf(t->model_file, sizeof t->model_file, "%s", scratch("model"));
    snprintf(t->session_file, sizeof t->session_file, "%s", scratch("session"));
    snprintf(t->trainer_file, sizeof t->trainer_file, "%s", scratch("trainer"));
    snprintf(t->output_file, sizeof t->output_file, "%s", scratch("output"));
    OK(nested_model_save(t->model, t->model_file, NESTED_SAVE_NO_SYNC, NULL));
    OK(nested_session_save(t->session, t->session_file, NESTED_SAVE_NO_SYNC, NULL));
    OK(nested_trainer_save(t->trainer, t->trainer_file, NESTED_SAVE_NO_SYNC, NULL));
}

static inline void tour_release(tour *t)
{
    nested_blob_release(t->blob);
    nested_blob_release(t->model_blob);
    nested_blob_release(t->snapshot_blob);
    nested_cancel_release(t->cancel);
    nested_snapshot_release(t->snapshot);
    nested_snapshot_release(t->blank);
    nested_session_release(t->session);
    nested_session_release(t->second);
    nested_session_release(t->vectors);
    nested_model_release(t->reader);
    nested_model_release(t->transformer);
    nested_trainer_release(t->trainer);
    nested_model_release(t->model);
    nested_model_release(t->spare);
    nested_config_release(t->config);
    nested_context_release(t->context);
}

static inline void tour_close(tour *t)
{
    tour_release(t);
    free(t->params);
    CHECK(unlink(t->model_file) == 0 && unlink(t->session_file) == 0 && unlink(t->trainer_file) == 0);
    (void)unlink(t->output_file);
}

/* A hash over everything that the tour's objects are: what a refused call must not change. */
static inline uint64_t tour_mix(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *b = (const unsigned char *)bytes;
    uint64_t word = 0;
    for (; n > 0; b += sizeof word, n -= n < sizeof word ? n : sizeof word) {
        memcpy(&word, b, n < sizeof word ? n : sizeof word);
        hash = (hash ^ word) * 1099511628211u;
        hash ^= hash >> 32;
    }
    return hash;
}

static inline uint64_t tour_hash(tour *t)
{
    uint64_t hash = 14695981039346656037u;
    nested_session *sessions[3];
    nested_model *models[3];
    FILE *file;
    char path[160], bytes[4096];
    size_t n;
    int i;
    sessions[0] = t->session;
    sessions[1] = t->second;
    models[0] = t->model;
    models[1] = t->spare;
    sessions[2] = t->vectors;
    models[2] = t->transformer;
    for (i = 0; i < 3; i++) {
        nested_snapshot *snapshot = NULL;
        nested_blob *blob = NULL;
        OK(nested_session_snapshot(sessions[i], &snapshot));
        OK(nested_snapshot_to_blob(snapshot, &blob));
        hash = tour_mix(hash, nested_blob_data(blob), nested_blob_size(blob));
        nested_blob_release(blob);
        nested_snapshot_release(snapshot);
        OK(nested_model_save_blob(models[i], 0, &blob));
        hash = tour_mix(hash, nested_blob_data(blob), nested_blob_size(blob));
        nested_blob_release(blob);
    }
    {
        nested_blob *json = NULL;
        OK(nested_config_to_json(t->config, NULL, &json));
        hash = tour_mix(hash, nested_blob_data(json), nested_blob_size(json));
        nested_blob_release(json);
    }
    snprintf(path, sizeof path, "%s/hash", scratch_directory);
    OK(nested_trainer_save(t->trainer, path, NESTED_SAVE_NO_SYNC, NULL));
    file = fopen(path, "rb");
    CHECK(file != NULL && unlink(path) == 0);
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0) hash = tour_mix(hash, bytes, n);
    fclose(file);
    return hash;
}

#endif
