/* nested_model_import() of the committed checkpoints that transformers wrote, and nested_model_stack() of what it made:
 * stopped, failed and refused at every report and limit, with everything as before; bad directories. */
#include "check.h"

#include <sys/stat.h>

static nested_context *context;
static const char *const names[] = {"grouped", "linear", "llama3", "sharded", "tied"};
#define NAMES (sizeof names / sizeof *names)

/* --- directories ---------------------------------------------------------------------------------- */

static const char *fixture(const char *name)
{
    static char paths[2][4096];
    static int next;
    const char *root = getenv("NESTED_SOURCE");
    char *path = paths[next++ % 2];
    CHECK(root != NULL);
    snprintf(path, sizeof paths[0], "%s/Tests/peers/fixtures/llama/%s", root, name);
    return path;
}

static unsigned char *contents(const char *directory, const char *name, size_t *size)
{
    char path[4400];
    unsigned char *bytes = (unsigned char *)malloc(1 << 20);
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "rb");
    CHECK(bytes != NULL && file != NULL);
    *size = fread(bytes, 1, (1 << 20) - 1, file);
    bytes[*size] = 0;
    CHECK(fclose(file) == 0);
    return bytes;
}

static void write_file(const char *directory, const char *name, const void *bytes, size_t size)
{
    char path[512];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static void copy_file(const char *from, const char *to, const char *name)
{
    size_t size;
    unsigned char *bytes = contents(from, name, &size);
    write_file(to, name, bytes, size);
    free(bytes);
}

static void remove_file(const char *directory, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    CHECK(unlink(path) == 0);
}

/* `name` of the fixture with the first `old` in it replaced. */
static void edited(const char *from, const char *to, const char *name, const char *old, const char *new)
{
    size_t size;
    char *text = (char *)contents(from, name, &size), *at = strstr(text, old);
    char *result = (char *)malloc(size + strlen(new) + 1);
    CHECK(at != NULL && result != NULL);
    snprintf(result, size + strlen(new) + 1, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    write_file(to, name, result, strlen(result));
    free(text);
    free(result);
}

/* --- what is imported ----------------------------------------------------------------------------- */

typedef struct {
    int calls, stop_at, answer;
    uint64_t last, total;
    nested_cancel *raise;
} watcher;

static int32_t watch(void *user, const nested_progress *p)
{
    watcher *w = (watcher *)user;
    CHECK(strcmp(p->stage, "import") == 0 || strcmp(p->stage, "stack") == 0);
    CHECK(p->done >= w->last && (p->total == 0 || p->done <= p->total));
    w->last = p->done;
    w->total = p->total;
    if (++w->calls != w->stop_at) return 0;
    if (w->raise != NULL) OK(nested_cancel_raise(w->raise));
    return w->answer;
}

static nested_run watched(watcher *w, int stop_at, int answer)
{
    nested_run run;
    NESTED_INIT(run);
    memset(w, 0, sizeof *w);
    w->stop_at = stop_at;
    w->answer = answer;
    run.progress = watch;
    run.user = w;
    return run;
}

static uint64_t in_use(void)
{
    nested_memory_stats stats;
    NESTED_INIT(stats);
    OK(nested_context_memory(context, &stats));
    return stats.in_use;
}

/* Numbers of an array in expected.json. */
static size_t numbers(const char *text, const char *key, double *out, size_t most)
{
    char name[32];
    char *at;
    size_t n = 0;
    snprintf(name, sizeof name, "\"%s\":[", key);
    at = strstr(text, name);
    CHECK(at != NULL);
    for (at += strlen(name) - 1; *at == '[' || *at == ','; n++) {
        CHECK(n < most);
        out[n] = strtod(at + 1, &at);
    }
    CHECK(*at == ']');
    return n;
}

static void imported_is_what_transformers_has(const char *name)
{
    static double tokens_there[64], logits_there[64 * VOCAB];
    static float logits[64 * VOCAB];
    int32_t tokens[64];
    size_t size, n, i;
    char *expected = (char *)contents(fixture(name), "expected.json", &size);
    double largest = 0, worst = 0;
    nested_model *model = NULL;
    nested_batch batch;
    nested_view view;
    watcher w;
    nested_run run = watched(&w, -1, 0);
    OK(nested_model_import(context, fixture(name), &run, &model));
    {
        nested_model_info info;
        NESTED_INIT(info);
        OK(nested_model_get_info(model, &info));
        CHECK(info.kind == NESTED_KIND_TRANSFORMER && info.vocab == VOCAB && info.n_levels == 0);
        CHECK(w.calls > 3 && w.last == w.total && w.total == info.weight_bytes);
    }
    n = numbers(expected, "tokens", tokens_there, 64);
    CHECK(n > 8 && numbers(expected, "logits", logits_there, 64 * VOCAB) == n * VOCAB);
    for (i = 0; i < n; i++) tokens[i] = (int32_t)tokens_there[i];
    batch = make_batch(tokens, 1, (int64_t)n);
    view = dense_view(logits, NESTED_F32, 0, 0);
    view.ndim = 3;
    view.shape[0] = 1;
    view.shape[1] = (int64_t)n;
    view.shape[2] = VOCAB;
    OK(nested_model_forward(model, &batch, NULL, &view));
    for (i = 0; i < n * VOCAB; i++) {
        largest = fmax(largest, fabs(logits_there[i]));
        worst = fmax(worst, fabs(logits_there[i] - (double)logits[i]));
    }
    CHECK(worst < 1e-4 * largest);
    free(expected);
    nested_model_release(model);
}

/* At the k-th report, for every k: the handle stays NULL, no memory stays, and the next import is whole. */
static void imports_are_stopped(const char *name)
{
    nested_model *whole = NULL, *model = NULL;
    nested_cancel *cancel = NULL;
    watcher w;
    nested_run run = watched(&w, -1, 0);
    uint64_t held;
    int total, at;
    OK(nested_cancel_create(&cancel));
    OK(nested_model_import(context, fixture(name), &run, &whole));
    held = in_use();
    total = w.calls;
    for (at = 1; at <= total; at++) {
        run = watched(&w, at, 1);
        FAILS(NESTED_E_CANCELLED, nested_model_import(context, fixture(name), &run, &model));
        run = watched(&w, at, -1);
        FAILS(NESTED_E_CALLBACK, nested_model_import(context, fixture(name), &run, &model));
        CHECK(model == NULL && in_use() == held);
    }
    OK(nested_cancel_raise(cancel));
    run = watched(&w, -1, 0);
    run.cancel = cancel;
    FAILS(NESTED_E_CANCELLED, nested_model_import(context, fixture(name), &run, &model));
    CHECK(model == NULL && in_use() == held);
    OK(nested_cancel_clear(cancel));
    OK(nested_model_import(context, fixture(name), &run, &model));
    CHECK(same_weights(whole, model));
    nested_cancel_release(cancel);
    nested_model_release(model);
    nested_model_release(whole);
}

/* Every limit below what an import, or a stacking, takes is refused before it is passed. */
static void memory_is_limited(void)
{
    uint64_t limit, first_import = 0, first_stack = 0;
    for (limit = 1024; limit <= 1 << 20 && first_stack == 0; limit += limit / 4) {
        nested_context_options options;
        nested_context *small = NULL;
        nested_model *model = NULL, *stacked = NULL;
        nested_memory_stats stats;
        nested_status status;
        uint64_t before;
        NESTED_INIT(options);
        NESTED_INIT(stats);
        options.n_threads = 1;
        options.memory_limit = limit;
        OK(nested_context_create(&options, &small));
        OK(nested_context_memory(small, &stats));
        before = stats.in_use;
        status = nested_model_import(small, fixture("tied"), NULL, &model);
        if (status == NESTED_OK) {
            if (first_import == 0) first_import = limit;
            OK(nested_context_memory(small, &stats));
            before = stats.in_use;
            status = nested_model_stack(model, NULL, 0, 0, 1, NULL, &stacked);
            if (status == NESTED_OK) first_stack = limit;
        } else {
            CHECK(model == NULL && first_import == 0);
        }
        if (status != NESTED_OK) {
            FAILS(NESTED_E_LIMIT, status);
            CHECK(stacked == NULL);
            OK(nested_context_memory(small, &stats));
            CHECK(stats.in_use == before);
        }
        CHECK(stats.peak <= limit);
        nested_model_release(stacked);
        nested_model_release(model);
        nested_context_release(small);
    }
    CHECK(first_import > 1024 && first_stack > first_import);
}

/* --- what is refused ------------------------------------------------------------------------------ */

static void refused_at(nested_status wanted, const char *path, const char *place)
{
    nested_model *model = NULL;
    uint64_t held = in_use();
    nested_error e;
    FAILS(wanted, nested_model_import(context, path, NULL, &model));
    NESTED_INIT(e);
    OK(nested_last_error(&e));
    CHECK(place == NULL || strcmp(e.place, place) == 0);
    CHECK(model == NULL && in_use() == held);
}

static void bad_directories(void)
{
    const char *path = scratch("checkpoint");
    const char *from = fixture("sharded");
    static const char index[] = "model.safetensors.index.json", first[] = "model-00001-of-00002.safetensors",
                      second[] = "model-00002-of-00002.safetensors";
    static const char *const bad[][3] = {
        {"model-00002-of-00002.safetensors\"", "../tied/model.safetensors\"", ""},
        {"model-00002-of-00002.safetensors\"", "model-00001-of-00002.safetensors\"", ""},
        {"model.layers.1.mlp.down_proj.weight", "model.layers.1.mlp.other.weight", ""},
        {"\"weight_map\"", "\"map\"", "/weight_map"},
    };
    size_t i, size;
    unsigned char *bytes;
    nested_model *model = NULL;
    refused_at(NESTED_E_IO, path, NULL); /* not there */
    FAILS(NESTED_E_ARGUMENT, nested_model_import(context, NULL, NULL, &model));
    FAILS(NESTED_E_ARGUMENT, nested_model_import(context, path, NULL, NULL));
    CHECK(mkdir(path, 0700) == 0);
    refused_at(NESTED_E_IO, path, NULL); /* empty */
    copy_file(from, path, "config.json");
    refused_at(NESTED_E_IO, path, NULL); /* neither weights nor index */
    copy_file(from, path, index);
    refused_at(NESTED_E_IO, path, NULL); /* without its files */
    copy_file(from, path, first);
    copy_file(from, path, second);
    OK(nested_model_import(context, path, NULL, &model));
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        edited(from, path, index, bad[i][0], bad[i][1]);
        refused_at(NESTED_E_CORRUPT, path, bad[i][2][0] ? bad[i][2] : NULL);
    }
    write_file(path, index, "{", 1);
    refused_at(NESTED_E_PARSE, path, index);
    copy_file(from, path, index);

    bytes = contents(from, second, &size);
    write_file(path, second, bytes, size - 1);
    refused_at(NESTED_E_CORRUPT, path, NULL);
    write_file(path, second, bytes, 4);
    refused_at(NESTED_E_CORRUPT, path, NULL);
    memset(bytes + size - 2, 0xFF, 2); /* a NaN, of whatever floats */
    write_file(path, second, bytes, size);
    refused_at(NESTED_E_NUMERIC, path, NULL);
    free(bytes);
    copy_file(from, path, second);

    write_file(path, "config.json", "{}", 2);
    refused_at(NESTED_E_CONFIG, path, "/architectures");
    write_file(path, "config.json", "[", 1);
    refused_at(NESTED_E_PARSE, path, "config.json");
    edited(from, path, "config.json", "\"silu\"", "\"gelu\"");
    refused_at(NESTED_E_UNSUPPORTED, path, "/hidden_act");
    edited(from, path, "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000");
    refused_at(NESTED_E_CORRUPT, path, NULL);
    edited(from, path, "config.json", "\"vocab_size\": 32", "\"vocab_size\": 16777216");
    refused_at(NESTED_E_SHAPE, path, "model.embed_tokens.weight");
    copy_file(from, path, "config.json");
    {
        nested_model *again = NULL;
        OK(nested_model_import(context, path, NULL, &again));
        CHECK(same_weights(model, again));
        nested_model_release(again);
    }
    nested_model_release(model);
    remove_file(path, "config.json");
    remove_file(path, index);
    remove_file(path, first);
    remove_file(path, second);
    CHECK(rmdir(path) == 0);
}

/* --- levels for what was imported ----------------------------------------------------------------- */

static const char levels[] =
    "{\"levels\":[{\"chunk\":8,\"hidden\":12,\"lr\":0.2},{\"chunk\":16,\"lr\":0.2},{\"chunk\":0,\"hidden\":8}]}";

static void stacking(const char *name)
{
    static float before[200 * VOCAB], after[200 * VOCAB];
    int32_t text[200];
    nested_model *model = NULL, *stacked = NULL, *again = NULL, *other = NULL;
    nested_model_info info;
    nested_batch batch;
    nested_view view = dense_view(before, NESTED_F32, 0, 0);
    nested_feed fed;
    nested_session *session;
    watcher w;
    nested_run run;
    size_t i;
    OK(nested_model_import(context, fixture(name), NULL, &model));
    OK(nested_model_stack(model, levels, NESTED_NUL_TERMINATED, 1, 5, NULL, &stacked));
    OK(nested_model_stack(model, levels, strlen(levels), 1, 5, NULL, &again));
    CHECK(same_weights(stacked, again));
    NESTED_INIT(info);
    OK(nested_model_get_info(stacked, &info));
    CHECK(info.kind == NESTED_KIND_HOPE_ATTENTION && info.n_levels == 3);

    /* The same logits; then it learns a text that repeats itself, and the Transformer stays. */
    for (i = 0; i < 200; i++) text[i] = (int32_t)(i % 10 * 3);
    batch = make_batch(text, 1, 200);
    view.ndim = 3;
    view.shape[0] = 1;
    view.shape[1] = 200;
    view.shape[2] = VOCAB;
    OK(nested_model_forward(model, &batch, NULL, &view));
    view.data = after;
    OK(nested_model_forward(stacked, &batch, NULL, &view));
    CHECK(same(before, after, sizeof before));
    session = make_session(stacked, NESTED_LEARN_ON);
    NESTED_INIT(fed);
    OK(nested_session_feed(session, text, 200, NULL, NULL, &fed));
    CHECK(fed.n_updates > 20);
    {
        nested_session *plain = make_session(model, NESTED_LEARN_MEMORY);
        nested_feed without;
        NESTED_INIT(without);
        OK(nested_session_feed(plain, text, 200, NULL, NULL, &without));
        CHECK(fed.loss < without.loss);
        nested_session_release(plain);
    }
    nested_session_release(session);
    OK(nested_model_forward(model, &batch, NULL, &view));
    CHECK(same(before, after, sizeof before));

    /* Refused, stopped: nothing made, the model as it was. */
    FAILS(NESTED_E_UNSUPPORTED, nested_model_stack(stacked, NULL, 0, 0, 1, NULL, &other));
    FAILS(NESTED_E_RANGE, nested_model_stack(model, levels, strlen(levels), 3, 1, NULL, &other));
    FAILS(NESTED_E_RANGE, nested_model_stack(model, NULL, 0, -1, 1, NULL, &other));
    FAILS(NESTED_E_PARSE, nested_model_stack(model, "{", 1, 0, 1, NULL, &other));
    FAILS(NESTED_E_CONFIG, nested_model_stack(model, "{\"level\":[]}", NESTED_NUL_TERMINATED, 0, 1, NULL, &other));
    FAILS(NESTED_E_CONFIG, nested_model_stack(model, "{\"mlp\":\"gelu\"}", NESTED_NUL_TERMINATED, 0, 1, NULL, &other));
    FAILS(NESTED_E_ARGUMENT, nested_model_stack(model, NULL, 0, 0, 1, NULL, NULL));
    run = watched(&w, -1, 0);
    OK(nested_model_stack(model, NULL, 0, 0, 1, &run, &other));
    nested_model_release(other);
    other = NULL;
    for (i = (size_t)w.calls; i > 0; i--) {
        run = watched(&w, (int)i, 1);
        FAILS(NESTED_E_CANCELLED, nested_model_stack(model, NULL, 0, 0, 1, &run, &other));
        run = watched(&w, (int)i, -1);
        FAILS(NESTED_E_CALLBACK, nested_model_stack(model, NULL, 0, 0, 1, &run, &other));
        CHECK(other == NULL);
    }
    OK(nested_model_forward(model, &batch, NULL, &view));
    CHECK(same(before, after, sizeof before));
    nested_model_release(again);
    nested_model_release(stacked);
    nested_model_release(model);
}

int main(void)
{
    size_t i;
    context = make_context(2);
    for (i = 0; i < NAMES; i++) {
        imported_is_what_transformers_has(names[i]);
        imports_are_stopped(names[i]);
        stacking(names[i]);
    }
    memory_is_limited();
    bad_directories();
    nested_context_release(context);
    remove_scratch();
    return done();
}
