/* Turns bytes into calls. Each byte or two choose a function of nested.h and its arguments from small pools: handles that
 * live, that are released, that are of another kind; texts; files; lengths that the buffers have. Callbacks take the same
 * bytes and make calls of their own. No sequence may crash, hang, answer NESTED_E_INTERNAL, write a handle where it
 * failed, or leave a handle behind when everything has been released. */
#include "fuzz.h"

#include <math.h>

enum { POOL = 4, FLOATS = 1 << 14, TOKENS = 32, CALLS = 80, DEPTH = 3 /* of callbacks: what is borrowed during a call is of its depth */ };
enum { CONTEXT, CONFIG, MODEL, TRAINER, SESSION, SNAPSHOT, CANCEL, BLOB, KINDS };

static const uint8_t *next, *end;
static int calls, depth;
static void *pool[KINDS][POOL]; /* released handles stay: they are stale */
static float floats[FLOATS];
static double doubles[TOKENS];
static int32_t tokens[TOKENS];
static char folder[64], path[96];

static uint32_t byte(void) { return next < end ? *next++ : 0; }
static uint32_t pick(uint32_t n) { return byte() % n; }
static uint64_t word(void)
{
    uint64_t w = 0;
    int i;
    for (i = 0; i < 8; i++) w = w << 8 | byte();
    return w;
}

static int64_t integer(void)
{
    static const int64_t values[] = {0, 1, 2, 3, 4, 5, 7, 8, 16, -1, -2, 33, 256, 1ll << 31, 1ll << 32, 1ll << 62, INT64_MAX, INT64_MIN};
    uint32_t i = pick(sizeof values / sizeof *values + 1);
    return i < sizeof values / sizeof *values ? values[i] : (int64_t)word();
}

static double real(void)
{
    static const double values[] = {0, 1, -1, 0.5, 0.9, 1e-3, 1e300, -1e300, 1e-310, NAN, INFINITY, -INFINITY, 2, 100};
    return values[pick(sizeof values / sizeof *values)];
}

/* Mostly a handle of the kind; else one of another kind, NULL or garbage. */
static void *handle(int kind)
{
    uint32_t b = byte();
    if (b < 240) return pool[kind][b % POOL];
    if (b < 252) return pool[b % KINDS][b / KINDS % POOL];
    return b == 252 ? (void *)(uintptr_t)word() : NULL;
}

static void release(int kind, void *h)
{
    switch (kind) {
    case CONTEXT: nested_context_release(h); break;
    case CONFIG: nested_config_release(h); break;
    case MODEL: nested_model_release(h); break;
    case TRAINER: nested_trainer_release(h); break;
    case SESSION: nested_session_release(h); break;
    case SNAPSHOT: nested_snapshot_release(h); break;
    case CANCEL: nested_cancel_release(h); break;
    default: nested_blob_release(h);
    }
}

/* What a call gave takes the place of another handle; a failing call must have given nothing. */
static void *const untouched = (void *)(uintptr_t)0x5a5a;
static void keep(int kind, nested_status status, void *h)
{
    void **place = &pool[kind][pick(POOL)];
    if (answer(status) < 0) {
        HOLDS(h == untouched);
        return;
    }
    HOLDS(h != untouched && h != NULL);
    accepted++;
    release(kind, *place);
    *place = h;
}
#define MAKE(kind, type, call) \
    do { \
        type *made = untouched; \
        nested_status status_ = (call); \
        keep(kind, status_, made); \
    } while (0)

static const char *const configurations[] = {
    tiny_config,
    "{\"vocab\":4,\"d_model\":8,\"n_layers\":2,\"head_dim\":4,\"segment\":3,\"memory\":{\"memory_chunk\":2,\"projection_chunk\":4},"
    "\"cms\":{\"levels\":[{\"chunk\":2,\"hidden\":4,\"optimizer\":\"adamw\"},{\"chunk\":4,\"hidden\":8,\"optimizer\":\"momentum\"},"
    "{\"chunk\":0,\"hidden\":4}]}}",
    "{\"vocab\":8,\"d_model\":4,\"n_layers\":1,\"head_dim\":4,\"tie_embeddings\":false,\"memory\":{\"type\":\"mlp\",\"memory_chunk\":2,"
    "\"projection_chunk\":2,\"expansion\":1,\"eta_max\":0.1},\"cms\":{\"levels\":[{\"chunk\":1,\"hidden\":4,\"lr\":1}]}}",
    "{}", "{\"preset\":\"hope-1m\"}", "{\"vocab\":", ""};
static const char *const options_texts[] = {
    "{}", "{\"optimizer\":\"sgd\",\"lr\":0.1,\"schedule\":{\"type\":\"constant\"}}",
    "{\"optimizer\":\"momentum\",\"accumulate\":2,\"lr\":0.01}", "{\"lr\":1e30,\"clip\":0}", "{\"x\":1}", "["};
static const char *const pointers[] = {
    "", "/vocab", "/d_model", "/n_layers", "/head_dim", "/segment", "/cms/levels/0/chunk", "/cms/levels", "/memory", "/memory/type",
    "/kind", "/tie_embeddings", "/norm_eps", "/cms/levels/9/chunk", "/~2", "x", "/cms/levels/0/lr", "/n_heads"};
static const char *const values[] = {
    "4", "8", "\"mlp\"", "\"linear\"", "true", "[{\"chunk\":2,\"hidden\":4}]", "{}", "null", "1e-5", "[]", "\"hope\"", "[1", "64"};
#define ONE_OF(list) (list)[pick(sizeof(list) / sizeof *(list))]
static const char *maybe(const char *text) { return byte() == 255 ? NULL : text; }

static const char *file(void)
{
    uint32_t i = pick(6);
    if (i == 5) return maybe("");
    snprintf(path, sizeof path, "%s/%s%u", folder, i == 4 ? "missing/" : "", i % 4);
    return path;
}

static void step(void);

/* Callbacks: mostly go on, sometimes stop, fail or call into the library. */
static int32_t reply(void)
{
    uint32_t b = byte();
    if (b > 200 && depth + 1 < DEPTH) {
        depth++;
        step();
        depth--;
    }
    return b < 8 ? 1 : b < 16 ? -7 : 0;
}
static int32_t on_progress(void *user, const nested_progress *progress)
{
    HOLDS(user == floats && progress->stage != NULL && progress->struct_size >= sizeof(nested_progress));
    return reply();
}
static int32_t on_token(void *user, const nested_token_event *event)
{
    HOLDS(user == tokens && event->token >= 0 && event->logprob <= 0);
    return reply();
}
static int32_t on_reduce(void *user, void *data, size_t count, int32_t dtype)
{
    HOLDS(user == doubles && count > 0);
    if (dtype == NESTED_F64) ((double *)data)[0] *= byte() == 255 ? real() : 1;
    else ((float *)data)[count - 1] *= byte() == 255 ? (float)real() : 1;
    return reply();
}
static void on_log(void *user, const nested_log_record *record)
{
    HOLDS(user == folder && record->message != NULL && record->component != NULL);
    reply();
}

static const nested_run *run(void)
{
    static nested_run runs[DEPTH];
    nested_run *r = &runs[depth];
    uint32_t b = byte();
    if (b < 160) return NULL;
    NESTED_INIT(*r);
    if (b & 1) r->cancel = handle(CANCEL);
    if (b & 2) {
        r->progress = on_progress;
        r->user = floats;
    }
    if ((b & 12) == 12) r->interval_ms = 1000;
    return r;
}

/* Structs of the right size, or of another: then with enough room behind them. */
typedef union {
    uint32_t struct_size;
    unsigned char bytes[256];
    nested_context_options context;
    nested_memory_stats memory;
    nested_model_info model;
    nested_tensor_info tensor;
    nested_eval eval;
    nested_step step;
    nested_fit fit;
    nested_session_options session;
    nested_session_info session_info;
    nested_feed feed;
    nested_level level;
    nested_level_control control;
    nested_consolidation consolidation;
    nested_error error;
    nested_sampling sampling;
    nested_batch batch;
    nested_estimate estimate;
} any_struct;

static any_struct *structure(any_struct *s, size_t size)
{
    static const uint32_t sizes[] = {0, 4, 7, 8, 12, 16, 24, 200, 256};
    memset(s, 0, sizeof *s);
    s->struct_size = byte() < 240 ? (uint32_t)size : ONE_OF(sizes);
    return s;
}
#define STRUCT(field) (&structure(&any, sizeof any.field)->field)
#define MAYBE(field) (byte() < 200 ? STRUCT(field) : NULL)

static const nested_batch *batch(void)
{
    static any_struct rooms[DEPTH];
    static float all_weights[DEPTH][TOKENS];
    static int32_t all_targets[DEPTH][TOKENS];
    nested_batch *b = &rooms[depth].batch;
    float *weights = all_weights[depth];
    int32_t *targets = all_targets[depth];
    int i;
    memset(&rooms[depth], 0, sizeof rooms[depth]);
    b->struct_size = sizeof *b;
    b->n_seq = 1 + pick(3);
    b->seq_len = 1 + pick(8);
    b->tokens = tokens;
    for (i = 0; i < TOKENS; i++) targets[i] = tokens[TOKENS - 1 - i];
    for (i = 0; i < TOKENS; i++) weights[i] = (float)(i % 3);
    switch (pick(12)) {
    case 0: b->targets = targets; break;
    case 1: b->targets = targets; b->weights = weights; targets[0] = NESTED_IGNORE_TARGET; break;
    case 2: b->weights = weights; weights[0] = (float)real(); break;
    case 3: b->n_seq = integer(); b->tokens = NULL; break;
    case 4: b->seq_len = 0; break;
    case 5: b->struct_size = pick(64); b->seq_len = b->n_seq = 1; break;
    case 6: b->tokens = (const int32_t *)((const char *)tokens + 1); break;
    case 7: return NULL;
    }
    return b;
}

/* A view of `floats`: nothing of it lies outside, whatever shape it claims that a call accepts. */
static const nested_view *view(int64_t rows, int64_t columns)
{
    static nested_view views[DEPTH];
    nested_view *view = &views[depth];
    static const int32_t dtypes[] = {NESTED_F32, NESTED_F32, NESTED_F32, NESTED_F64, NESTED_F16, NESTED_BF16, NESTED_I32, 0, 99};
    memset(view, 0, sizeof *view);
    view->data = byte() == 255 ? NULL : floats;
    view->dtype = ONE_OF(dtypes);
    if (rows < 0 || columns < 0 || (columns > 0 && rows > FLOATS / 2 / columns)) return NULL;
    view->ndim = rows > 0 ? 2 : 1;
    view->shape[0] = rows > 0 ? rows : columns;
    view->shape[1] = rows > 0 ? columns : 0;
    switch (pick(16)) {
    case 0: view->ndim = 3; view->shape[2] = 1; break;
    case 1: view->ndim = (int32_t)integer(); break;
    case 2: view->shape[0] = -1; break;
    case 3: view->strides[0] = 3; break;
    case 4: view->strides[0] = -16; break;
    case 5: view->data = (char *)floats + 1; break;
    }
    return view;
}

/* Only models with few parameters are kept, so that every buffer is large enough. */
static void keep_model(nested_status status, void *h)
{
    nested_model_info info;
    if (status == NESTED_OK) {
        NESTED_INIT(info);
        HOLDS(nested_model_get_info(h, &info) == NESTED_OK);
        if (info.vocab > 64 || info.n_params > FLOATS) {
            nested_model_release(h);
            return;
        }
    }
    keep(MODEL, status, h);
}
#define MAKE_MODEL(call) \
    do { \
        nested_model *made = untouched; \
        nested_status status_ = (call); \
        keep_model(status_, made); \
    } while (0)

static void library_call(uint32_t which)
{
    any_struct any;
    nested_error e;
    switch (which) {
    case 0: HOLDS(nested_status_name((nested_status)integer()) != NULL); break;
    case 1: NESTED_INIT(e); HOLDS(nested_last_error(byte() < 200 ? &e : NULL) <= 0); break;
    case 2: HOLDS(nested_version() >= NESTED_VERSION && nested_abi() == NESTED_ABI && nested_version_string() != NULL); break;
    case 3: HOLDS(nested_build_info() != NULL && nested_abi_info() != NULL && nested_config_schema() != NULL); break;
    case 4: HOLDS(nested_trainer_schema() != NULL && nested_has_feature(maybe("kind.hope")) <= 1); break;
    case 5: HOLDS(nested_live_handles((int32_t)integer()) >= 0 && nested_dtype_size((int32_t)integer()) <= 8); break;
    case 6: {
        nested_context_options *o = MAYBE(context);
        if (o != NULL) {
            o->n_threads = byte() < 250 ? (int32_t)(1 + pick(2)) : -1;
            o->memory_limit = 1u << (byte() < 200 ? 22 : pick(24));
            o->log_level = NESTED_LOG_DEBUG;
            o->log = byte() & 1 ? on_log : NULL;
            o->log_user = folder;
        }
        MAKE(CONTEXT, nested_context, nested_context_create(o, &made));
        break;
    }
    case 7: answer(nested_context_memory(handle(CONTEXT), MAYBE(memory))); break;
    case 8: {
        void *h = handle(CONTEXT);
        if (nested_context_retain(h) == NESTED_OK) nested_context_release(h);
        h = handle(MODEL);
        if (nested_model_retain(h) == NESTED_OK) nested_model_release(h);
        h = handle(SNAPSHOT);
        if (nested_snapshot_retain(h) == NESTED_OK) nested_snapshot_release(h);
        break;
    }
    case 9: MAKE(CANCEL, nested_cancel, nested_cancel_create(&made)); break;
    case 10: answer(nested_cancel_raise(handle(CANCEL))); break;
    case 11: answer(nested_cancel_clear(handle(CANCEL))); break;
    case 12: HOLDS(nested_cancel_is_raised(handle(CANCEL)) <= 1); break;
    case 13: {
        void *blob = handle(BLOB);
        const char *bytes = nested_blob_data(blob);
        HOLDS(bytes == NULL || bytes[nested_blob_size(blob)] == 0);
        break;
    }
    default: { /* the most frequent: something goes */
        uint32_t kind = pick(KINDS);
        release((int)kind, handle(byte() == 255 ? (int)pick(KINDS) : (int)kind));
    }
    }
}

static void config_call(uint32_t which)
{
    nested_config *config = handle(CONFIG);
    int64_t number;
    double fraction;
    switch (which) {
    case 0: MAKE(CONFIG, nested_config, nested_config_create(byte() < 200 ? NESTED_KIND_HOPE : (int32_t)integer(), &made)); break;
    case 1: {
        const char *json = maybe(ONE_OF(configurations));
        MAKE(CONFIG, nested_config, nested_config_from_json(json, NESTED_NUL_TERMINATED, &made));
        break;
    }
    case 2: answer(nested_config_set_int(config, maybe(ONE_OF(pointers)), integer())); break;
    case 3: answer(nested_config_set_float(config, maybe(ONE_OF(pointers)), real())); break;
    case 4: answer(nested_config_set_string(config, maybe(ONE_OF(pointers)), maybe(ONE_OF(values)))); break;
    case 5: answer(nested_config_set_json(config, maybe(ONE_OF(pointers)), maybe(ONE_OF(values)), NESTED_NUL_TERMINATED)); break;
    case 6: answer(nested_config_get_int(config, maybe(ONE_OF(pointers)), &number)); break;
    case 7: answer(nested_config_get_float(config, maybe(ONE_OF(pointers)), &fraction)); break;
    case 8: MAKE(BLOB, nested_blob, nested_config_to_json(config, maybe(ONE_OF(pointers)), &made)); break;
    default: answer(nested_config_validate(config));
    }
}

static void model_call(uint32_t which)
{
    any_struct any;
    nested_model *model = handle(MODEL);
    nested_model_info info;
    int64_t index = integer();
    NESTED_INIT(info);
    if (nested_model_get_info(model, &info) != NESTED_OK) info.n_params = 3;
    switch (which) {
    case 0: case 1: MAKE_MODEL(nested_model_create(handle(CONTEXT), handle(CONFIG), word(), &made)); break;
    case 2: MAKE_MODEL(nested_model_clone(model, &made)); break;
    case 3: answer(nested_model_get_info(model, MAYBE(model))); break;
    case 4: MAKE(CONFIG, nested_config, nested_model_get_config(model, &made)); break;
    case 5: {
        nested_tensor_info *tensor = STRUCT(tensor);
        int64_t count = nested_model_tensor_count(model), found = 0;
        if (count > 0 && byte() < 200) index = (int64_t)((uint64_t)index % (uint64_t)count);
        if (answer(nested_model_tensor_at(model, index, tensor)) == NESTED_OK && tensor->struct_size == sizeof *tensor)
            HOLDS(nested_model_tensor_find(model, tensor->name, &found) == NESTED_OK && found == index);
        break;
    }
    case 6: case 7: {
        const nested_view *v;
        nested_tensor_info tensor;
        NESTED_INIT(tensor);
        index &= 7;
        if (nested_model_tensor_at(model, index, &tensor) != NESTED_OK) tensor.n_elements = 4;
        v = view(0, (int64_t)tensor.n_elements);
        if (which == 6) answer(nested_model_tensor_get(model, index, v));
        else {
            nested_cview c;
            memset(&c, 0, sizeof c);
            if (v != NULL) memcpy(&c, v, sizeof c);
            answer(nested_model_tensor_set(model, index, v != NULL ? &c : NULL));
        }
        break;
    }
    case 8: {
        nested_cview c;
        if (answer(nested_model_tensor_borrow(model, index & 7, &c)) == NESTED_OK)
            HOLDS(c.ndim >= 1 && c.dtype == NESTED_F32 && !isnan(((const float *)c.data)[0]));
        break;
    }
    case 9: answer(nested_model_params_get(model, byte() < 240 ? floats : NULL, byte() < 200 ? (size_t)info.n_params : 5)); break;
    case 10: answer(nested_model_params_set(model, byte() < 240 ? floats : NULL, byte() < 200 ? (size_t)info.n_params : 5)); break;
    case 11: answer(nested_model_save(model, file(), byte() < 250 ? NESTED_SAVE_NO_SYNC : byte(), run())); break;
    case 12: MAKE_MODEL(nested_model_load(handle(CONTEXT), file(), byte() / 255, run(), &made)); break;
    case 13: MAKE(BLOB, nested_blob, nested_model_save_blob(model, byte() / 255, &made)); break;
    case 14: {
        void *blob = handle(BLOB);
        size_t size = nested_blob_size(blob);
        MAKE_MODEL(nested_model_load_bytes(handle(CONTEXT), nested_blob_data(blob), byte() < 200 ? size : size / 2, 0, &made));
        break;
    }
    case 15: answer(nested_model_evaluate(model, batch(), run(), MAYBE(eval))); break;
    case 16: {
        const nested_batch *b = batch();
        nested_view v;
        const nested_view *flat = b != NULL ? view(b->n_seq * b->seq_len, info.vocab) : NULL;
        if (flat != NULL) {
            v = *flat;
            if (byte() < 240) {
                v.ndim = 3;
                v.shape[0] = b->n_seq;
                v.shape[1] = b->seq_len;
                v.shape[2] = info.vocab;
            }
        }
        answer(nested_model_forward(model, b, run(), flat != NULL ? &v : NULL));
        break;
    }
    default: {
        const nested_session *sessions[POOL];
        size_t i, count = pick(POOL + 1);
        nested_consolidation *o = MAYBE(consolidation);
        for (i = 0; i < POOL; i++) sessions[i] = handle(SESSION);
        if (o != NULL && o->struct_size >= sizeof *o) {
            o->level_mask = byte() & 15;
            o->strength = real();
            o->max_norm = real();
            if (byte() & 1) {
                doubles[0] = real();
                o->session_weights = doubles;
            }
        }
        MAKE_MODEL(nested_model_consolidate(model, sessions, count, o, run(), &made));
    }
    }
}

static void trainer_call(uint32_t which)
{
    any_struct any;
    nested_trainer *trainer = handle(TRAINER);
    switch (which) {
    case 0: case 1: {
        const char *options = maybe(ONE_OF(options_texts));
        MAKE(TRAINER, nested_trainer, nested_trainer_create(handle(MODEL), options, options ? NESTED_NUL_TERMINATED : byte() & 1, &made));
        break;
    }
    case 2: MAKE(BLOB, nested_blob, nested_trainer_get_options(trainer, &made)); break;
    case 3: answer(nested_trainer_step(trainer, batch(), run(), MAYBE(step))); break;
    case 4: answer(nested_trainer_accumulate(trainer, batch(), run(), MAYBE(eval))); break;
    case 5: answer(nested_trainer_apply(trainer, run(), MAYBE(step))); break;
    case 6: answer(nested_trainer_zero(trainer)); break;
    case 7: {
        float *gradient;
        double *targets;
        size_t count;
        if (answer(nested_trainer_gradient(trainer, &gradient, &count, &targets)) == NESTED_OK) {
            if (byte() & 1) gradient[count - 1] = (float)real();
            if (byte() & 1) *targets = real();
        }
        break;
    }
    case 8: answer(nested_trainer_set_allreduce(trainer, byte() & 1 ? on_reduce : NULL, doubles, pick(3) * 100)); break;
    case 9: answer(nested_trainer_set_lr(trainer, real())); break;
    case 10: {
        int64_t steps = pick(4), rows = 1 + pick(3), length = byte() < 220 ? 1 + pick(8) : integer();
        if (byte() > 220) steps = -(int64_t)byte();
        if (byte() > 220) rows = integer();
        answer(nested_trainer_fit(trainer, tokens, byte() < 240 ? TOKENS : 2, steps, rows, length, run(), MAYBE(fit)));
        break;
    }
    case 11: answer(nested_trainer_save(trainer, file(), NESTED_SAVE_NO_SYNC, run())); break;
    default: answer(nested_trainer_load(trainer, file(), run()));
    }
}

static void session_call(uint32_t which)
{
    any_struct any;
    nested_session *session = handle(SESSION);
    size_t n = 1 + pick(TOKENS), wanted = 8, done = 0;
    int32_t layer = (int32_t)pick(4) - 1, level = (int32_t)pick(4) - 1, finish;
    double sum;
    switch (which) {
    case 0: case 1: {
        nested_session_options *o = MAYBE(session);
        if (o != NULL && o->struct_size >= sizeof *o) {
            o->learn = byte() < 250 ? (int32_t)pick(3) : (int32_t)integer();
            o->seed = word();
        }
        MAKE(SESSION, nested_session, nested_session_create(handle(MODEL), o, &made));
        break;
    }
    case 2: MAKE(SESSION, nested_session, nested_session_fork(session, &made)); break;
    case 3: answer(nested_session_reset(session)); break;
    case 4: answer(nested_session_set_learn(session, byte() < 240 ? (int32_t)pick(3) : (int32_t)integer())); break;
    case 5: answer(nested_session_get_info(session, MAYBE(session_info))); break;
    case 6: case 7: case 8: {
        const nested_view *v = NULL;
        if (nested_session_output(session, NULL, 0, &wanted) == NESTED_OK) wanted = 8;
        if (byte() < 60) v = view(byte() & 1 ? (int64_t)n : 0, (int64_t)wanted);
        answer(nested_session_feed(session, byte() < 250 ? tokens : NULL, byte() < 250 ? n : 0, run(), v, MAYBE(feed)));
        break;
    }
    case 9: {
        nested_session *sessions[POOL];
        size_t i, count = pick(POOL + 1);
        for (i = 0; i < POOL; i++) sessions[i] = byte() < 240 ? pool[SESSION][i] : handle(SESSION);
        answer(nested_sessions_feed(sessions, count, tokens, run(), byte() < 60 ? view((int64_t)count, 4) : NULL, &done));
        HOLDS(done <= count);
        break;
    }
    case 10: answer(nested_session_output(session, byte() < 240 ? floats : NULL, byte() < 200 ? FLOATS : pick(8), &wanted)); break;
    case 11: answer(nested_session_score(session, tokens, n, run(), byte() < 128 ? floats : NULL, &sum)); break;
    case 12: {
        nested_sampling *s = MAYBE(sampling);
        static int32_t out[TOKENS];
        if (s != NULL && s->struct_size >= sizeof *s) {
            s->top_k = (int32_t)integer();
            s->temperature = real();
            s->top_p = real();
            s->min_p = real();
            s->repetition_penalty = real();
            s->repetition_window = integer();
            s->stop_tokens = byte() & 1 ? tokens : NULL;
            s->n_stop_tokens = pick(5);
            s->logit_bias = byte() & 1 ? floats : NULL;
        }
        nested_token_fn callback = byte() & 1 ? on_token : NULL;
        int32_t *into = byte() & 1 ? out : NULL;
        answer(nested_session_generate(session, s, n, callback, tokens, run(), into, &done, &finish));
        HOLDS(done <= n);
        break;
    }
    case 13: MAKE(SNAPSHOT, nested_snapshot, nested_session_snapshot(session, &made)); break;
    case 14: answer(nested_session_restore(session, handle(SNAPSHOT))); break;
    case 15: MAKE(BLOB, nested_blob, nested_snapshot_to_blob(handle(SNAPSHOT), &made)); break;
    case 16: MAKE(BLOB, nested_blob, nested_snapshot_delta_to_blob(handle(SNAPSHOT), &made)); break;
    case 17: {
        void *blob = handle(BLOB);
        MAKE(SNAPSHOT, nested_snapshot, nested_snapshot_from_bytes(handle(MODEL), nested_blob_data(blob), nested_blob_size(blob), &made));
        break;
    }
    case 18: answer(nested_session_save(session, file(), NESTED_SAVE_NO_SYNC | (byte() & 1 ? NESTED_SAVE_DELTA : 0), run())); break;
    case 19: MAKE(SESSION, nested_session, nested_session_load(handle(MODEL), file(), run(), &made)); break;
    case 20: answer(nested_session_level(session, layer, level, MAYBE(level))); break;
    case 21: {
        nested_level_control *c = MAYBE(control);
        if (c != NULL && c->struct_size >= sizeof *c) {
            c->frozen = (int32_t)integer();
            c->lr_scale = real();
        }
        answer(nested_session_level_control(session, layer, level, c));
        break;
    }
    case 22: answer(nested_session_level_flush(session, layer, level)); break;
    default: answer(nested_session_level_reset(session, layer, level));
    }
}

/* Vectors and labels for a model of so many inputs and outputs: of `floats` and `tokens`, within them whatever is claimed. */
static const nested_batch *labelled(int64_t width, int64_t outputs)
{
    static any_struct rooms[DEPTH];
    static nested_cview all_inputs[DEPTH], all_labels[DEPTH];
    static int32_t all_ids[DEPTH][TOKENS];
    nested_batch *b = &rooms[depth].batch;
    nested_cview *inputs = &all_inputs[depth], *labels = &all_labels[depth];
    int i, whole = byte() & 1;
    memset(&rooms[depth], 0, sizeof rooms[depth]);
    memset(inputs, 0, sizeof *inputs);
    memset(labels, 0, sizeof *labels);
    b->struct_size = sizeof *b;
    b->n_seq = 1 + pick(3);
    b->seq_len = 1 + pick(4);
    if (width < 1 || width > 8) width = 1 + pick(8);
    if (outputs < 1 || outputs > 8) outputs = 1;
    for (i = 0; i < TOKENS; i++) all_ids[depth][i] = tokens[i] < 0 ? NESTED_IGNORE_TARGET : tokens[i];
    *inputs = (nested_cview){.data = floats, .dtype = NESTED_F32, .ndim = 3, .shape = {b->n_seq, b->seq_len, width}};
    *labels = (nested_cview){.data = all_ids[depth], .dtype = NESTED_I32, .ndim = whole ? 1 : 2, .shape = {b->n_seq, whole ? 0 : b->seq_len}};
    b->inputs = inputs;
    b->labels = labels;
    if (byte() & 1) {
        labels->data = floats + 7;
        labels->dtype = NESTED_F32;
        labels->shape[labels->ndim++] = outputs;
    }
    switch (pick(20)) {
    case 0: all_ids[depth][0] = (int32_t)pick(40); break;
    case 1: all_ids[depth][0] = (int32_t)word(); break;
    case 2: inputs->dtype = NESTED_F64; break;
    case 3: inputs->dtype = byte() & 1 ? NESTED_F16 : NESTED_BF16; break;
    case 4: inputs->dtype = (int32_t)integer(); break;
    case 5: labels->dtype = byte() & 1 ? NESTED_F16 : (int32_t)integer(); break;
    case 6: inputs->ndim = (int32_t)integer(); break;
    case 7: labels->ndim = pick(7); break;
    case 8: b->labels = NULL; break;
    case 9: b->inputs = NULL; break;
    case 10: b->tokens = tokens; break;
    case 11: b->weights = floats; break;
    case 12: b->n_seq = integer(); break;
    case 13: inputs->shape[pick(3)] = -1; break;
    case 14: inputs->strides[0] = 3; break;
    case 15: return NULL;
    }
    return b;
}

static const char *const vector_configurations[] = {
    "{\"kind\":\"cms\",\"task\":\"classify\",\"inputs\":3,\"classes\":2,\"d_model\":4,\"n_layers\":1,"
    "\"cms\":{\"levels\":[{\"chunk\":2,\"hidden\":4},{\"chunk\":4,\"hidden\":4,\"optimizer\":\"adamw\"}]}}",
    "{\"kind\":\"cms\",\"task\":\"regress\",\"inputs\":2,\"outputs\":2,\"d_model\":4,\"n_layers\":1,"
    "\"cms\":{\"levels\":[{\"chunk\":1,\"hidden\":4,\"lr\":1}]}}",
    "{\"kind\":\"transformer\",\"vocab\":4,\"d_model\":4,\"n_layers\":1,\"head_dim\":4,\"d_ff\":4}",
    "{\"kind\":\"cms\",\"task\":\"classify\",\"vocab\":4,\"classes\":2,\"d_model\":4,\"n_layers\":1}"};
static const char *const level_texts[] = {
    "", "{\"levels\":[{\"chunk\":2}]}", "{\"levels\":[{\"chunk\":2,\"hidden\":4},{\"chunk\":4}]}", "{\"x\":1}", "[", "{\"levels\":[]}"};
static const char *const checkpoint_texts[] = {
    "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":4,\"num_hidden_layers\":1,\"num_attention_heads\":1,\"vocab_size\":4,"
    "\"intermediate_size\":4}",
    "{\"architectures\":[\"BertModel\"]}", "{", "{}", "[]", "{\"hidden_size\":1e300}"};

static void vector_call(uint32_t which)
{
    any_struct any;
    nested_model *model = handle(MODEL);
    nested_session *session = handle(SESSION);
    nested_model_info info;
    nested_session_info stream;
    NESTED_INIT(info);
    NESTED_INIT(stream);
    if (nested_model_get_info(model, &info) != NESTED_OK) info.n_inputs = info.n_outputs = 2;
    if (nested_session_get_info(session, &stream) != NESTED_OK) stream.n_outputs = 2;
    switch (which) {
    case 0: {
        const char *text = ONE_OF(vector_configurations);
        MAKE(CONFIG, nested_config, nested_config_from_json(text, NESTED_NUL_TERMINATED, &made));
        break;
    }
    case 1: {
        nested_config *config = NULL;
        if (answer(nested_config_from_json(ONE_OF(vector_configurations), NESTED_NUL_TERMINATED, &config)) < 0) break;
        MAKE_MODEL(nested_model_create(handle(CONTEXT), config, word(), &made));
        nested_config_release(config);
        break;
    }
    case 2: case 3: {
        const nested_batch *b = labelled(info.n_inputs, 1);
        nested_cview inputs;
        if (b == NULL || b->inputs == NULL) {
            answer(nested_session_feed_vectors(session, NULL, run(), NULL, MAYBE(feed)));
            break;
        }
        inputs = *b->inputs;
        if (byte() < 240) inputs.ndim = 2, inputs.shape[1] = inputs.shape[2];
        const nested_view *v = byte() < 60 ? view(byte() & 1 ? inputs.shape[0] : 0, stream.n_outputs) : NULL;
        answer(nested_session_feed_vectors(session, &inputs, run(), v, MAYBE(feed)));
        break;
    }
    case 4: case 5: answer(nested_session_teach(session, labelled(info.n_inputs, info.n_outputs), run(), MAYBE(eval))); break;
    case 6: {
        const nested_batch *b = labelled(info.n_inputs, 1);
        answer(nested_session_predict(session, b, run(), b != NULL ? view(b->n_seq, stream.n_outputs) : NULL));
        break;
    }
    case 7: answer(nested_trainer_step(handle(TRAINER), labelled(info.n_inputs, info.n_outputs), run(), MAYBE(step))); break;
    case 8: {
        const nested_batch *b = labelled(info.n_inputs, info.n_outputs);
        if (byte() & 1) answer(nested_model_evaluate(model, b, run(), MAYBE(eval)));
        else answer(nested_model_forward(model, b, run(), b != NULL ? view(b->n_seq, info.n_outputs) : NULL));
        break;
    }
    case 9: {
        int64_t rows = integer(), length = integer();
        answer(nested_config_estimate(handle(CONFIG), rows, length, MAYBE(estimate)));
        break;
    }
    case 10: {
        const char *text = maybe(ONE_OF(level_texts));
        int32_t level = (int32_t)integer();
        size_t length = text == NULL ? 0 : byte() < 250 ? NESTED_NUL_TERMINATED : strlen(text) / 2;
        MAKE_MODEL(nested_model_stack(model, text, length, byte() < 200 ? (int32_t)pick(2) : level, word(), run(), &made));
        break;
    }
    case 11: {
        char config[96];
        snprintf(config, sizeof config, "%s/config.json", folder);
        if (byte() & 1) {
            FILE *f = fopen(config, "w");
            HOLDS(f != NULL && fputs(ONE_OF(checkpoint_texts), f) >= 0 && fclose(f) == 0);
        }
        MAKE_MODEL(nested_model_import(handle(CONTEXT), byte() < 200 ? folder : file(), run(), &made));
        unlink(config);
        break;
    }
    default: MAKE_MODEL(nested_model_load(handle(CONTEXT), file(), NESTED_LOAD_MMAP, run(), &made));
    }
}

static void step(void)
{
    if (next >= end || calls++ > CALLS) return;
    uint32_t group = byte(); /* the first 224 as they were before there were vectors: the corpus goes on meaning what it did */
    if (group >= 224) {
        vector_call(pick(13));
        return;
    }
    switch (group % 8) {
    case 0: library_call(pick(20)); break;
    case 1: config_call(pick(10)); break;
    case 2: case 3: model_call(pick(18)); break;
    case 4: trainer_call(pick(13)); break;
    default: session_call(pick(24));
    }
}

static void remove_folder(void)
{
    rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nested_context_options options;
    nested_config *config = NULL;
    nested_model *model = NULL;
    nested_context *context = NULL;
    int i, kind;
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s/nested-machine-XXXXXX", memory_folder());
        HOLDS(mkdtemp(folder) != NULL);
        atexit(remove_folder);
    }
    next = data;
    end = data + size;
    calls = depth = 0;
    for (i = 0; i < TOKENS; i++) tokens[i] = (i * 7 + i / 3) % VOCAB;
    for (i = 0; i < FLOATS; i++) floats[i] = (float)(i % 17 - 8) / 16;
    for (i = 0; i < TOKENS; i++) doubles[i] = 1;
    /* Something to work on from the first byte. */
    NESTED_INIT(options);
    options.n_threads = 1;
    options.memory_limit = 4u << 20;
    HOLDS(nested_context_create(&options, &context) == NESTED_OK);
    HOLDS(nested_config_from_json(tiny_config, NESTED_NUL_TERMINATED, &config) == NESTED_OK);
    HOLDS(nested_model_create(context, config, 1, &model) == NESTED_OK);
    pool[CONTEXT][0] = context;
    pool[CONFIG][0] = config;
    pool[MODEL][0] = model;
    if (byte() & 1) tokens[0] = -1;
    while (next < end && calls <= CALLS) step();
    for (kind = 0; kind < KINDS; kind++)
        for (i = 0; i < POOL; i++) {
            release(kind, pool[kind][i]);
            pool[kind][i] = NULL;
        }
    HOLDS(nested_live_handles(NESTED_HANDLE_ANY) == 0);
    for (i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%d", folder, i);
        unlink(path);
    }
    return 0;
}
