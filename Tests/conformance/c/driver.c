/*
 * The conformance driver in C: runs a scenario through nested.h and prints what came out.
 * The contract is ../README.md.
 *
 *     driver SCENARIO [--threads N] [--feed SIZE]
 */
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <nested.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- objects and arguments -------------------------------------------------------------------- */

typedef struct {
    char *name;
    int32_t kind; /* NESTED_HANDLE_*, 0 = free */
    void *handle;
} object;

static object objects[64];
static nested_context *context;
static json_t *step; /* the running one */
static const char *id;
static int32_t vocab;
static size_t feed_size;

static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "%s: %s %s\n", id, what, name);
    exit(2);
}

static void drop(object *o)
{
    switch (o->kind) {
    case NESTED_HANDLE_MODEL: nested_model_release(o->handle); break;
    case NESTED_HANDLE_TRAINER: nested_trainer_release(o->handle); break;
    case NESTED_HANDLE_SESSION: nested_session_release(o->handle); break;
    case NESTED_HANDLE_SNAPSHOT: nested_snapshot_release(o->handle); break;
    }
    free(o->name);
    memset(o, 0, sizeof *o);
}

static object *find(const char *name)
{
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
        if (objects[i].kind != 0 && strcmp(objects[i].name, name) == 0) return &objects[i];
    return NULL;
}

static void *named(const char *name, int32_t kind)
{
    object *o = find(name);
    if (o == NULL || o->kind != kind) give_up("no such object:", name);
    return o->handle;
}

static void keep(int32_t kind, void *handle)
{
    size_t i = 0;
    while (objects[i].kind != 0)
        if (++i == sizeof objects / sizeof *objects) give_up("too many objects", "");
    objects[i] = (object){strdup(json_string_value(json_object_get(step, "as"))), kind, handle};
}

static const char *text(const char *key)
{
    const char *value = json_string_value(json_object_get(step, key));
    if (value == NULL) give_up("lacks", key);
    return value;
}

/* Missing numbers are 0. */
static int64_t integer(const char *key) { return json_integer_value(json_object_get(step, key)); }
static double number(const char *key) { return json_number_value(json_object_get(step, key)); }
static int truth(const char *key) { return json_is_true(json_object_get(step, key)); }
static void *of(int32_t kind) { return named(text("of"), kind); }
#define MODEL ((nested_model *)of(NESTED_HANDLE_MODEL))
#define TRAINER ((nested_trainer *)of(NESTED_HANDLE_TRAINER))
#define SESSION ((nested_session *)of(NESTED_HANDLE_SESSION))

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (memory == NULL) give_up("no memory", "");
    return memory;
}

/* The handles of a list of names. */
static void **list_of(const char *key, int32_t kind, size_t *count)
{
    json_t *list = json_object_get(step, key);
    *count = json_array_size(list);
    void **handles = allocate(*count, sizeof *handles);
    for (size_t i = 0; i < *count; i++)
        handles[i] = named(json_string_value(json_array_get(list, i)), kind);
    return handles;
}

/* --- lines ------------------------------------------------------------------------------------ */

static uint64_t hash_of(const void *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static void print_field(const char *field) { printf("%s %s", id, field); }
static void print_int(int64_t value) { printf(" %lld", (long long)value); }
static void print_hash(uint64_t value) { printf(" #%016llx", (unsigned long long)value); }
static void print_float(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) printf(" nan");
    else printf(" 0x%016llx", (unsigned long long)bits);
}
static void end(void) { putchar('\n'); }

static void line_int(const char *field, int64_t value)
{
    print_field(field), print_int(value), end();
}
static void line_float(const char *field, double value)
{
    print_field(field), print_float(value), end();
}
static void line_bytes(const char *field, const void *bytes, size_t size)
{
    print_field(field), print_int((int64_t)size), print_hash(hash_of(bytes, size)), end();
}
static void line_floats(const char *field, const float *values, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double x = values[i];
        sum += x;
        squares += x * x;
    }
    print_field(field), print_int((int64_t)count), print_hash(hash_of(values, count * sizeof *values));
    print_float(sum), print_float(squares), end();
}
static void line_step(const char *field, const nested_step *s)
{
    print_field(field), print_int(s->applied), print_int((int64_t)s->step), print_float(s->loss);
    print_float(s->grad_norm), print_float(s->update_norm), print_float(s->lr), print_float(s->n_targets), end();
}

/* Prints the error of a call that failed. */
static int failed(nested_status status)
{
    if (status >= 0) return 0;
    nested_error error;
    NESTED_INIT(error);
    nested_last_error(&error);
    printf("%s error %s %s\n", id, nested_status_name(status), error.place[0] ? error.place : "-");
    return 1;
}

/* --- tokens, batches, companions --------------------------------------------------------------- */

static int32_t *generate_tokens(uint64_t state, size_t count)
{
    int32_t *tokens = allocate(count, sizeof *tokens), previous = 0;
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t r = state >> 33;
        previous = r % 4 != 0 ? (previous * 5 + 3) % vocab : (int32_t)((r >> 2) % (uint64_t)vocab);
        tokens[i] = previous;
    }
    return tokens;
}

static int32_t *ids(const char *key, size_t *count)
{
    json_t *value = json_object_get(step, key);
    if (json_is_object(value)) {
        *count = (size_t)json_integer_value(json_object_get(value, "count"));
        return generate_tokens((uint64_t)json_integer_value(json_object_get(value, "seed")), *count);
    }
    *count = json_array_size(value);
    int32_t *tokens = allocate(*count, sizeof *tokens);
    for (size_t i = 0; i < *count; i++)
        tokens[i] = (int32_t)json_integer_value(json_array_get(value, i));
    return tokens;
}

typedef struct {
    nested_batch batch;
    int32_t *tokens, *targets, *classes;
    float *weights, *vectors, *values;
    nested_cview inputs, labels;
} batch;

/* Vectors around the centres of their classes, and what is to be predicted from them. */
static void add_vectors(batch *b, json_t *spec, uint64_t state)
{
    int64_t width = json_integer_value(json_object_get(spec, "inputs"));
    int64_t classes = json_integer_value(json_object_get(spec, "classes"));
    int64_t first = json_integer_value(json_object_get(spec, "first"));
    int64_t outputs = json_integer_value(json_object_get(spec, "outputs"));
    int64_t rows = b->batch.n_seq, length = b->batch.seq_len;
    int positions = json_is_true(json_object_get(spec, "positions"));
    size_t count = (size_t)(positions ? rows * length : rows);
    b->vectors = allocate((size_t)(rows * length * width), sizeof *b->vectors);
    for (int64_t i = 0; i < rows * length; i++) {
        int64_t class = first + (positions ? i : i / length) % classes;
        for (int64_t j = 0; j < width; j++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            float noise = (float)((int64_t)((state >> 33) % 2049) - 1024) / 4096;
            b->vectors[i * width + j] = (float)((class * 7 + j * 5 + class * j * 3) % 9 - 4) / 4 + noise;
        }
    }
    b->inputs = (nested_cview){.data = b->vectors, .dtype = NESTED_F32, .ndim = 3, .shape = {rows, length, width}};
    b->batch.inputs = &b->inputs;
    b->labels = (nested_cview){.ndim = positions ? 2 : 1, .shape = {rows, positions ? length : 0}};
    if (outputs > 0) {
        b->values = allocate(count * (size_t)outputs, sizeof *b->values);
        for (size_t i = 0; i < count; i++)
            for (int64_t m = 0; m < outputs; m++) {
                int64_t class = first + (int64_t)i % classes, at = (int64_t)i * outputs + m;
                b->values[at] = at % 5 == 4 ? NAN : (float)((class * 5 + m * 3) % 7 - 3) / 2;
            }
        b->labels.data = b->values, b->labels.dtype = NESTED_F32;
        b->labels.shape[b->labels.ndim++] = outputs;
    } else {
        b->classes = allocate(count, sizeof *b->classes);
        for (size_t i = 0; i < count; i++) b->classes[i] = (int32_t)(first + (int64_t)i % classes);
        b->labels.data = b->classes, b->labels.dtype = NESTED_I32;
    }
    b->batch.labels = &b->labels;
    if (json_is_true(json_object_get(spec, "weights"))) {
        b->batch.weights = b->weights = allocate(count, sizeof *b->weights);
        for (size_t i = 0; i < count; i++) b->weights[i] = (float)(i % 4) * 0.25f;
    }
}

/* In place, because it holds views that it points to. */
static void make_batch(batch *out, uint64_t number)
{
    json_t *spec = json_object_get(step, "batch");
    memset(out, 0, sizeof *out);
    NESTED_INIT(out->batch);
    out->batch.n_seq = json_integer_value(json_object_get(spec, "rows"));
    out->batch.seq_len = json_integer_value(json_object_get(spec, "length"));
    if (json_object_get(spec, "inputs") != NULL) {
        add_vectors(out, spec, (uint64_t)json_integer_value(json_object_get(spec, "seed")) + number);
        return;
    }
    batch b = *out;
    size_t count = (size_t)(b.batch.n_seq * b.batch.seq_len);
    b.tokens = generate_tokens((uint64_t)json_integer_value(json_object_get(spec, "seed")) + number, count);
    b.batch.tokens = b.tokens;
    if (json_is_true(json_object_get(spec, "targets"))) {
        b.batch.targets = b.targets = allocate(count, sizeof *b.targets);
        for (size_t i = 0; i < count; i++)
            b.targets[i] = i % 5 == 4 ? NESTED_IGNORE_TARGET : b.tokens[(i + 1) % count];
    }
    if (json_is_true(json_object_get(spec, "weights"))) {
        b.batch.weights = b.weights = allocate(count, sizeof *b.weights);
        for (size_t i = 0; i < count; i++) b.weights[i] = (float)(i % 4) * 0.25f;
    }
    *out = b;
}

static void free_batch(batch *b)
{
    free(b->tokens), free(b->targets), free(b->weights), free(b->vectors), free(b->values), free(b->classes);
}

static int32_t count_down(void *user, const nested_progress *progress)
{
    (void)progress;
    return --*(int64_t *)user == 0;
}

/* The companion that "cancel_at" asks for: NULL without one. */
static nested_run *make_run(nested_run *run, int64_t *left)
{
    NESTED_INIT(*run);
    run->progress = count_down;
    run->user = left;
    return (*left = integer("cancel_at")) > 0 ? run : NULL;
}

/* --- steps: models and trainers ----------------------------------------------------------------- */

static void keep_model(nested_status status, nested_model *model)
{
    nested_model_info info;
    if (failed(status)) return;
    keep(NESTED_HANDLE_MODEL, model);
    NESTED_INIT(info);
    if (!failed(nested_model_get_info(model, &info))) line_int("params", (int64_t)info.n_params);
}

static void do_model(void)
{
    nested_config *config = NULL;
    nested_model *model = NULL;
    nested_model_info info;
    char *json = json_dumps(json_object_get(step, "config"), 0);
    nested_status status = nested_config_from_json(json, strlen(json), &config);
    if (status == NESTED_OK) status = nested_model_create(context, config, (uint64_t)integer("seed"), &model);
    keep_model(status, model);
    NESTED_INIT(info);
    if (status == NESTED_OK && !failed(nested_model_get_info(model, &info)))
        print_field("fingerprint"), print_hash(info.fingerprint), end();
    nested_config_release(config);
    free(json);
}

static void do_clone(void)
{
    nested_model *model = NULL;
    nested_status status = nested_model_clone(MODEL, &model);
    keep_model(status, model);
}

static void do_weights(void)
{
    nested_model_info info;
    NESTED_INIT(info);
    if (failed(nested_model_get_info(MODEL, &info))) return;
    float *values = allocate(info.n_params, sizeof *values);
    if (!failed(nested_model_params_get(MODEL, values, info.n_params))) line_floats("weights", values, info.n_params);
    free(values);
}

static void do_scale(void)
{
    int64_t index;
    nested_tensor_info info;
    NESTED_INIT(info);
    if (failed(nested_model_tensor_find(MODEL, text("tensor"), &index))) return;
    if (failed(nested_model_tensor_at(MODEL, index, &info))) return;
    float *values = allocate(info.n_elements, sizeof *values), factor = (float)number("factor");
    nested_view view = {.data = values, .dtype = NESTED_F32, .ndim = info.ndim};
    memcpy(view.shape, info.shape, sizeof view.shape);
    nested_cview changed = {.data = values, .dtype = NESTED_F32, .ndim = info.ndim};
    memcpy(changed.shape, info.shape, sizeof changed.shape);
    if (!failed(nested_model_tensor_get(MODEL, index, &view))) {
        for (uint64_t i = 0; i < info.n_elements; i++) values[i] *= factor;
        if (!failed(nested_model_tensor_set(MODEL, index, &changed))
            && !failed(nested_model_tensor_get(MODEL, index, &view)))
            line_floats("tensor", values, info.n_elements);
    }
    free(values);
}

static void print_eval(nested_status status, const nested_eval *eval, int labelled)
{
    if (failed(status)) return;
    line_float("loss", eval->loss);
    line_float("targets", eval->n_targets);
    if (labelled) line_float("accuracy", eval->accuracy);
}

static void do_evaluate(void)
{
    batch b;
    make_batch(&b, 0);
    nested_eval eval;
    NESTED_INIT(eval);
    print_eval(nested_model_evaluate(MODEL, &b.batch, NULL, &eval), &eval, b.vectors != NULL);
    free_batch(&b);
}

static void do_forward(void)
{
    batch b;
    nested_model_info info;
    make_batch(&b, 0);
    NESTED_INIT(info);
    if (failed(nested_model_get_info(MODEL, &info))) return;
    int64_t rows = b.batch.n_seq, positions = b.vectors != NULL ? 1 : b.batch.seq_len;
    size_t count = (size_t)(rows * positions * info.n_outputs);
    float *logits = allocate(count, sizeof *logits);
    nested_view view = {.data = logits, .dtype = NESTED_F32, .ndim = 3, .shape = {rows, positions, info.n_outputs}};
    if (b.vectors != NULL) view.ndim = 2, view.shape[1] = info.n_outputs;
    if (!failed(nested_model_forward(MODEL, &b.batch, NULL, &view))) line_floats("logits", logits, count);
    free(logits);
    free_batch(&b);
}

static void do_trainer(void)
{
    nested_trainer *trainer = NULL;
    char *json = json_dumps(json_object_get(step, "options"), 0);
    if (!failed(nested_trainer_create(MODEL, json, strlen(json), &trainer))) keep(NESTED_HANDLE_TRAINER, trainer);
    free(json);
}

static void do_train(void)
{
    for (int64_t k = 0; k < integer("steps"); k++) {
        char field[32];
        nested_step s;
        batch b;
        make_batch(&b, (uint64_t)k);
        NESTED_INIT(s);
        snprintf(field, sizeof field, "step.%lld", (long long)k);
        int bad = failed(nested_trainer_step(TRAINER, &b.batch, NULL, &s));
        free_batch(&b);
        if (bad) return;
        line_step(field, &s);
    }
}

static void do_accumulate(void)
{
    batch b;
    make_batch(&b, 0);
    nested_eval eval;
    NESTED_INIT(eval);
    print_eval(nested_trainer_accumulate(TRAINER, &b.batch, NULL, &eval), &eval, 0);
    free_batch(&b);
}

static void do_gradient(void)
{
    float *data;
    size_t count;
    double *targets;
    if (failed(nested_trainer_gradient(TRAINER, &data, &count, &targets))) return;
    line_floats("gradient", data, count);
    line_float("targets", *targets);
}

static void do_exchange(void)
{
    float *data[2];
    size_t count, pair;
    double *targets[2];
    void **trainers = list_of("of", NESTED_HANDLE_TRAINER, &pair);
    int bad = pair != 2;
    for (int i = 0; i < 2 && !bad; i++) bad = failed(nested_trainer_gradient(trainers[i], &data[i], &count, &targets[i]));
    if (!bad) {
        for (size_t i = 0; i < count; i++) data[0][i] = data[1][i] = data[0][i] + data[1][i];
        *targets[0] = *targets[1] = *targets[0] + *targets[1];
    }
    free(trainers);
}

static void do_apply(void)
{
    nested_step s;
    NESTED_INIT(s);
    if (!failed(nested_trainer_apply(TRAINER, NULL, &s))) line_step("step", &s);
}

static void do_zero(void) { failed(nested_trainer_zero(TRAINER)); }

static void do_fit(void)
{
    nested_fit fit;
    nested_run run;
    int64_t left;
    size_t count;
    int32_t *tokens = ids("tokens", &count);
    NESTED_INIT(fit);
    if (!failed(nested_trainer_fit(TRAINER, tokens, count, integer("steps"), integer("rows"), integer("length"),
            make_run(&run, &left), &fit))) {
        line_int("steps", (int64_t)fit.n_steps);
        line_int("skipped", (int64_t)fit.n_skipped);
        print_field("loss"), print_float(fit.mean_loss), print_float(fit.last_loss), end();
    }
    free(tokens);
}

/* --- steps: sessions ----------------------------------------------------------------------------- */

static int32_t mode(const char *key)
{
    const char *name = text(key);
    return strcmp(name, "on") == 0 ? NESTED_LEARN_ON : strcmp(name, "off") == 0 ? NESTED_LEARN_OFF : NESTED_LEARN_MEMORY;
}

static void keep_session(nested_status status, nested_session *session)
{
    if (!failed(status)) keep(NESTED_HANDLE_SESSION, session);
}

static void do_session(void)
{
    nested_session *session = NULL;
    nested_session_options options;
    NESTED_INIT(options);
    options.learn = mode("learn");
    options.seed = (uint64_t)integer("seed");
    nested_status status = nested_session_create(MODEL, &options, &session);
    keep_session(status, session);
}

static void do_fork(void)
{
    nested_session *session = NULL;
    nested_status status = nested_session_fork(SESSION, &session);
    keep_session(status, session);
}

static void do_learn(void) { failed(nested_session_set_learn(SESSION, mode("mode"))); }
static void do_reset(void) { failed(nested_session_reset(SESSION)); }

static void do_feed(void)
{
    size_t count;
    int32_t *tokens = ids("tokens", &count);
    float *logits = allocate(count * (size_t)vocab, sizeof *logits);
    size_t size = feed_size > 0 ? feed_size : count;
    for (size_t at = 0; at < count; at += size) {
        size_t n = count - at < size ? count - at : size;
        nested_view view = {
            .data = logits + at * (size_t)vocab, .dtype = NESTED_F32, .ndim = 2, .shape = {(int64_t)n, vocab}};
        if (failed(nested_session_feed(SESSION, tokens + at, n, NULL, &view, NULL))) goto done;
    }
    line_floats("logits", logits, count * (size_t)vocab);
done:
    free(logits);
    free(tokens);
}

static int64_t session_outputs(void)
{
    nested_session_info info;
    NESTED_INIT(info);
    return failed(nested_session_get_info(SESSION, &info)) ? 0 : info.n_outputs;
}

static void do_feed_vectors(void)
{
    batch b;
    int64_t outputs = session_outputs();
    make_batch(&b, 0);
    int64_t width = b.inputs.shape[2], count = b.batch.n_seq, size = feed_size > 0 ? (int64_t)feed_size : count;
    float *values = allocate((size_t)(count * outputs), sizeof *values);
    for (int64_t at = 0; at < count; at += size) {
        int64_t n = count - at < size ? count - at : size;
        nested_cview inputs = {.data = b.vectors + at * width, .dtype = NESTED_F32, .ndim = 2, .shape = {n, width}};
        nested_view view = {.data = values + at * outputs, .dtype = NESTED_F32, .ndim = 2, .shape = {n, outputs}};
        if (failed(nested_session_feed_vectors(SESSION, &inputs, NULL, &view, NULL))) goto done;
    }
    line_floats("outputs", values, (size_t)(count * outputs));
done:
    free(values);
    free_batch(&b);
}

static void do_teach(void)
{
    batch b;
    nested_eval eval;
    make_batch(&b, 0);
    NESTED_INIT(eval);
    print_eval(nested_session_teach(SESSION, &b.batch, NULL, &eval), &eval, 1);
    free_batch(&b);
}

static void do_predict(void)
{
    batch b;
    int64_t outputs = session_outputs();
    make_batch(&b, 0);
    size_t count = (size_t)(b.batch.n_seq * outputs);
    float *answers = allocate(count, sizeof *answers);
    nested_view view = {.data = answers, .dtype = NESTED_F32, .ndim = 2, .shape = {b.batch.n_seq, outputs}};
    if (!failed(nested_session_predict(SESSION, &b.batch, NULL, &view))) line_floats("answers", answers, count);
    free(answers);
    free_batch(&b);
}

static void do_read(void)
{
    nested_feed fed;
    nested_run run;
    int64_t left;
    size_t count;
    int32_t *tokens = ids("tokens", &count);
    NESTED_INIT(fed);
    if (!failed(nested_session_feed(SESSION, tokens, count, make_run(&run, &left), NULL, &fed))) {
        print_field("read"), print_int(fed.n_consumed), print_float(fed.loss), print_int((int64_t)fed.n_updates), end();
    }
    free(tokens);
}

static void do_info(void)
{
    nested_session_info info;
    NESTED_INIT(info);
    if (failed(nested_session_get_info(SESSION, &info))) return;
    print_field("session"), print_int(info.position), print_int((int64_t)info.n_updates);
    print_int((int64_t)info.n_skipped), end();
}

static void do_output(void)
{
    size_t count;
    size_t size = (size_t)session_outputs();
    float *logits = allocate(size, sizeof *logits);
    if (!failed(nested_session_output(SESSION, logits, size, &count))) line_floats("logits", logits, count);
    free(logits);
}

static void do_score(void)
{
    size_t count;
    int32_t *tokens = ids("tokens", &count);
    float *logprobs = allocate(count, sizeof *logprobs);
    if (!failed(nested_session_score(SESSION, tokens, count, NULL, logprobs, NULL))) line_floats("logprobs", logprobs, count);
    free(logprobs);
    free(tokens);
}

typedef struct {
    int64_t stop_at, cancel_at, seen;
    double *logprobs;
    nested_cancel *cancel;
} listener;

static int32_t listen(void *user, const nested_token_event *event)
{
    listener *l = user;
    l->logprobs[l->seen++] = event->logprob;
    if (l->seen == l->cancel_at) failed(nested_cancel_raise(l->cancel));
    return l->seen == l->stop_at;
}

static void do_generate(void)
{
    static const char *const finishes[] = {"-", "length", "stop", "callback"};
    size_t most = (size_t)integer("count"), made = 0, stops;
    int32_t finish = 0, *dst = allocate(most, sizeof *dst), *stop = ids("stop", &stops);
    listener l = {integer("stop_at"), integer("cancel_at"), 0, allocate(most, sizeof(double)), NULL};
    nested_run run;
    nested_sampling sampling;
    NESTED_INIT(run);
    NESTED_INIT(sampling);
    sampling.temperature = number("temperature");
    sampling.top_k = (int32_t)integer("top_k");
    sampling.top_p = number("top_p");
    sampling.min_p = number("min_p");
    sampling.repetition_penalty = number("repetition_penalty");
    sampling.repetition_window = integer("repetition_window");
    sampling.stop_tokens = stop;
    sampling.n_stop_tokens = stops;
    if (!failed(nested_cancel_create(&l.cancel))) {
        run.cancel = l.cancel;
        if (!failed(nested_session_generate(SESSION, &sampling, most, listen, &l, &run, dst, &made, &finish))) {
            print_field("tokens");
            for (size_t i = 0; i < made; i++) print_int(dst[i]);
            end();
            print_field("logprobs");
            for (int64_t i = 0; i < l.seen; i++) print_float(l.logprobs[i]);
            end();
            print_field("finish"), printf(" %s", finishes[finish]), end();
        }
        nested_cancel_release(l.cancel);
    }
    free(l.logprobs), free(stop), free(dst);
}

static void do_feed_many(void)
{
    size_t count, n;
    int32_t *tokens = ids("tokens", &count);
    void **sessions = list_of("of", NESTED_HANDLE_SESSION, &n);
    float *logits = allocate(count * (size_t)vocab, sizeof *logits);
    for (size_t at = 0; at < count; at += n) {
        nested_view view = {
            .data = logits + at * (size_t)vocab, .dtype = NESTED_F32, .ndim = 2, .shape = {(int64_t)n, vocab}};
        if (failed(nested_sessions_feed((nested_session *const *)sessions, n, tokens + at, NULL, &view, NULL))) goto done;
    }
    line_floats("logits", logits, count * (size_t)vocab);
done:
    free(logits), free(sessions), free(tokens);
}

/* --- steps: levels ------------------------------------------------------------------------------- */

/* There are as many as nested_session_level() knows of. */
static void do_levels(void)
{
    nested_level v;
    NESTED_INIT(v);
    for (int32_t layer = 0; nested_session_level(SESSION, layer, 0, &v) == NESTED_OK; layer++)
        for (int32_t level = 0; nested_session_level(SESSION, layer, level, &v) == NESTED_OK; level++) {
            printf("%s level.%d.%d", id, layer, level);
            print_int(v.chunk), print_int(v.frozen), print_int(v.last_update), print_int(v.next_update);
            print_int((int64_t)v.n_updates), print_int((int64_t)v.n_skipped), print_int((int64_t)v.n_params);
            print_float(v.lr), print_float(v.weight_norm), print_float(v.delta_norm);
            print_float(v.last_grad_norm), print_float(v.last_update_norm), print_float(v.pending_norm), end();
        }
}

#define WHERE (int32_t)integer("layer"), (int32_t)integer("level")

static void do_control(void)
{
    nested_level_control control;
    NESTED_INIT(control);
    control.lr_scale = number("scale");
    if (json_object_get(step, "freeze") != NULL) control.frozen = truth("freeze") ? 1 : -1;
    failed(nested_session_level_control(SESSION, WHERE, &control));
}

static void do_flush(void) { failed(nested_session_level_flush(SESSION, WHERE)); }
static void do_forget(void) { failed(nested_session_level_reset(SESSION, WHERE)); }

/* --- steps: snapshots, files, consolidation ------------------------------------------------------ */

static nested_status to_blob(const nested_snapshot *snapshot, int delta, nested_blob **out)
{
    return delta ? nested_snapshot_delta_to_blob(snapshot, out) : nested_snapshot_to_blob(snapshot, out);
}

static void print_snapshot(const nested_snapshot *snapshot, int delta)
{
    nested_blob *blob;
    if (failed(to_blob(snapshot, delta, &blob))) return;
    line_bytes("bytes", nested_blob_data(blob), nested_blob_size(blob));
    nested_blob_release(blob);
}

static void do_snapshot(void)
{
    nested_snapshot *snapshot;
    if (failed(nested_session_snapshot(SESSION, &snapshot))) return;
    keep(NESTED_HANDLE_SNAPSHOT, snapshot);
    print_snapshot(snapshot, 0);
}

static void do_delta(void) { print_snapshot(of(NESTED_HANDLE_SNAPSHOT), 1); }

static void do_reread(void)
{
    nested_blob *blob;
    nested_snapshot *snapshot;
    if (failed(to_blob(named(text("snapshot"), NESTED_HANDLE_SNAPSHOT), truth("delta"), &blob))) return;
    if (!failed(nested_snapshot_from_bytes(MODEL, nested_blob_data(blob), nested_blob_size(blob), &snapshot)))
        keep(NESTED_HANDLE_SNAPSHOT, snapshot);
    nested_blob_release(blob);
}

static void do_restore(void)
{
    failed(nested_session_restore(SESSION, named(text("snapshot"), NESTED_HANDLE_SNAPSHOT)));
}

static void do_save(void)
{
    object *o = find(text("of"));
    const char *path = text("file");
    uint32_t flags = NESTED_SAVE_NO_SYNC | (truth("delta") ? NESTED_SAVE_DELTA : 0u);
    if (o == NULL) give_up("no such object:", text("of"));
    if (failed(
            o->kind == NESTED_HANDLE_MODEL     ? nested_model_save(o->handle, path, flags, NULL)
            : o->kind == NESTED_HANDLE_TRAINER ? nested_trainer_save(o->handle, path, flags, NULL)
                                               : nested_session_save(o->handle, path, flags, NULL)))
        return;
    FILE *file = fopen(path, "rb");
    if (file == NULL) give_up("cannot read", path);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    char *bytes = allocate(size, 1);
    rewind(file);
    if (fread(bytes, 1, size, file) != size) give_up("cannot read", path);
    fclose(file);
    line_bytes("file", bytes, size);
    free(bytes);
}

static void do_load_model(void)
{
    nested_model *model = NULL;
    nested_status status = nested_model_load(context, text("file"), 0, NULL, &model);
    keep_model(status, model);
}

static void do_load_trainer(void) { failed(nested_trainer_load(TRAINER, text("file"), NULL)); }

static void do_load_session(void)
{
    nested_session *session = NULL;
    nested_status status = nested_session_load(MODEL, text("file"), NULL, &session);
    keep_session(status, session);
}

static void do_consolidate(void)
{
    size_t count;
    nested_model *model = NULL;
    nested_consolidation options;
    void **sessions = list_of("sessions", NESTED_HANDLE_SESSION, &count);
    json_t *weights = json_object_get(step, "weights"), *levels = json_object_get(step, "levels");
    double *shares = allocate(count, sizeof *shares);
    NESTED_INIT(options);
    for (size_t i = 0; i < json_array_size(levels); i++)
        options.level_mask |= 1u << json_integer_value(json_array_get(levels, i));
    for (size_t i = 0; i < count; i++) shares[i] = json_number_value(json_array_get(weights, i));
    options.strength = number("strength");
    options.max_norm = number("max_norm");
    options.session_weights = weights != NULL ? shares : NULL;
    nested_status status = nested_model_consolidate(
        MODEL, (const nested_session *const *)sessions, count, &options, NULL, &model);
    keep_model(status, model);
    free(shares), free(sessions);
}

static void do_stack(void)
{
    nested_model *model = NULL;
    char *cms = json_dumps(json_object_get(step, "cms"), 0);
    nested_status status = nested_model_stack(
        MODEL, cms, cms != NULL ? strlen(cms) : 0, (int32_t)integer("pretrained"), (uint64_t)integer("seed"), NULL, &model);
    keep_model(status, model);
    free(cms);
}

static void do_release(void)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(step, "of"), i, name)
    {
        object *o = find(json_string_value(name));
        if (o == NULL) give_up("no such object:", json_string_value(name));
        drop(o);
    }
}

/* --- the program --------------------------------------------------------------------------------- */

#define STEP(name) {#name, do_##name}
static const struct {
    const char *name;
    void (*run)(void);
} steps[] = {
    STEP(model), STEP(clone), STEP(weights), STEP(scale), STEP(evaluate), STEP(forward), STEP(trainer), STEP(train),
    STEP(accumulate), STEP(gradient), STEP(exchange), STEP(apply), STEP(zero), STEP(fit), STEP(session), STEP(learn),
    STEP(feed), STEP(read), STEP(info), STEP(output), STEP(score), STEP(generate), STEP(feed_many), STEP(levels),
    STEP(control), STEP(flush), STEP(forget), STEP(snapshot), STEP(delta), STEP(reread), STEP(restore), STEP(fork),
    STEP(reset), STEP(save), STEP(load_model), STEP(load_trainer), STEP(load_session), STEP(consolidate), STEP(release),
    STEP(feed_vectors), STEP(teach), STEP(predict), STEP(stack),
};

static void run_step(void)
{
    const char *as = json_string_value(json_object_get(step, "as"));
    object *old = as != NULL ? find(as) : NULL;
    if (old != NULL) drop(old);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (strcmp(steps[i].name, text("step")) == 0) {
            steps[i].run();
            return;
        }
    give_up("unknown step", text("step"));
}

int main(int argc, char **argv)
{
    size_t i;
    json_error_t error;
    nested_context_options options;
    setlocale(LC_ALL, "");
    id = argv[0];
    NESTED_INIT(options);
    options.n_threads = 1;
    for (int at = 2; at + 1 < argc; at += 2) {
        if (strcmp(argv[at], "--threads") == 0) options.n_threads = atoi(argv[at + 1]);
        else if (strcmp(argv[at], "--feed") == 0) feed_size = (size_t)atoi(argv[at + 1]);
        else give_up("unknown option", argv[at]);
    }
    json_t *scenario = json_load_file(argc > 1 ? argv[1] : "", JSON_REJECT_DUPLICATES, &error);
    if (scenario == NULL) give_up("cannot read the scenario:", error.text);
    printf("# c, decimal point %s, %s\n", localeconv()->decimal_point, nested_build_info());
    vocab = (int32_t)json_integer_value(json_object_get(scenario, "vocab"));
    if (failed(nested_context_create(&options, &context))) return 2;
    json_array_foreach(json_object_get(scenario, "steps"), i, step)
    {
        id = text("id");
        run_step();
        fflush(stdout);
    }
    for (i = 0; i < sizeof objects / sizeof *objects; i++) drop(&objects[i]);
    nested_context_release(context);
    printf("end handles %lld\n", (long long)nested_live_handles(NESTED_HANDLE_ANY));
    json_decref(scenario);
    return 0;
}
