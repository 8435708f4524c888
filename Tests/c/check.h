/* What every C test program shares: counted checks, and small objects to work on. A failed check prints where and ends
 * the program with 1; a program that gets through prints "ok N". */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "nested.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int checks_done; /* counted from any thread: ThreadSanitizer looks on */
static inline void count_check(void) { __atomic_fetch_add(&checks_done, 1, __ATOMIC_RELAXED); }

/* Where failures are told: standard error, unless a test watches that. */
static FILE *check_output;
static inline FILE *tell(void) { return check_output != NULL ? check_output : stderr; }

static inline void check_failed(const char *file, int line, const char *what)
{
    nested_error e;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK && e.status != 0)
        fprintf(tell(), "last error: %s in %s: %s [%s]\n", nested_status_name(e.status), e.function, e.message,
                e.place);
    fprintf(tell(), "%s:%d: %s\n", file, line, what);
    exit(1);
}

#define CHECK(condition) \
    do { \
        count_check(); \
        if (!(condition)) check_failed(__FILE__, __LINE__, #condition); \
    } while (0)

/* Done, or the program ends with the library's words. */
#define OK(call) CHECK((call) == NESTED_OK)

static inline void check_status(nested_status got, nested_status wanted, const char *file, int line, const char *call)
{
    nested_error e;
    count_check();
    if (got != wanted) {
        fprintf(tell(), "wanted %s, got %s\n", nested_status_name(wanted), nested_status_name(got));
        check_failed(file, line, call);
    }
    /* Every failure has a text, the status and a function. */
    NESTED_INIT(e);
    if (nested_last_error(&e) != NESTED_OK || e.status != wanted || e.message[0] == '\0' || e.function[0] == '\0')
        check_failed(file, line, "the last error belongs to the failing call");
}

/* Fails with exactly this status, and says why. */
#define FAILS(wanted, call) check_status((call), (wanted), __FILE__, __LINE__, #call)

static inline int done(void)
{
    CHECK(nested_live_handles(NESTED_HANDLE_ANY) == 0);
    printf("ok %d\n", checks_done);
    return 0;
}

#define VOCAB 32

static const char small_config[] =
    "{\"kind\":\"hope\",\"vocab\":32,\"d_model\":32,\"n_layers\":2,\"head_dim\":16,\"segment\":8,"
    "\"memory\":{\"memory_chunk\":4,\"projection_chunk\":4},"
    "\"cms\":{\"levels\":[{\"chunk\":8,\"hidden\":32,\"lr\":0.1},{\"chunk\":16,\"hidden\":32,\"lr\":0.05},"
    "{\"chunk\":0,\"hidden\":32}]}}";

static inline nested_context *make_context(int32_t threads)
{
    nested_context_options options;
    nested_context *context = NULL;
    NESTED_INIT(options);
    options.n_threads = threads;
    OK(nested_context_create(&options, &context));
    return context;
}

static inline nested_config *make_config(const char *json)
{
    nested_config *config = NULL;
    OK(nested_config_from_json(json, NESTED_NUL_TERMINATED, &config));
    return config;
}

static inline nested_model *make_model(nested_context *context, uint64_t seed)
{
    nested_config *config = make_config(small_config);
    nested_model *model = NULL;
    OK(nested_model_create(context, config, seed, &model));
    nested_config_release(config);
    return model;
}

static inline nested_session *make_session(const nested_model *model, int32_t learn)
{
    nested_session_options options;
    nested_session *session = NULL;
    NESTED_INIT(options);
    options.learn = learn;
    options.seed = 7;
    OK(nested_session_create(model, &options, &session));
    return session;
}

/* A text with some order in it: the same for everybody. */
static inline void fill_tokens(int32_t *tokens, size_t n, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1u;
    size_t i;
    for (i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        tokens[i] = (i > 1 && (state >> 30)) ? (tokens[i - 1] + 3) % VOCAB : (int32_t)((state >> 16) % VOCAB);
    }
}

static inline nested_view dense_view(void *data, int32_t dtype, int64_t rows, int64_t columns)
{
    nested_view view;
    memset(&view, 0, sizeof view);
    view.data = data;
    view.dtype = dtype;
    view.ndim = rows > 0 ? 2 : 1;
    view.shape[0] = rows > 0 ? rows : columns;
    view.shape[1] = rows > 0 ? columns : 0;
    return view;
}

static inline nested_batch make_batch(const int32_t *tokens, int64_t n_seq, int64_t seq_len)
{
    nested_batch batch;
    NESTED_INIT(batch);
    batch.n_seq = n_seq;
    batch.seq_len = seq_len;
    batch.tokens = tokens;
    return batch;
}

static inline void read_params(const nested_model *model, float **params, size_t *count)
{
    nested_model_info info;
    NESTED_INIT(info);
    OK(nested_model_get_info(model, &info));
    *count = (size_t)info.n_params;
    *params = (float *)malloc(*count * sizeof(float));
    CHECK(*params != NULL);
    OK(nested_model_params_get(model, *params, *count));
}

/* Equal bits. */
static inline int same(const void *a, const void *b, size_t size) { return memcmp(a, b, size) == 0; }

static inline int same_weights(const nested_model *a, const nested_model *b)
{
    float *x, *y;
    size_t n, m;
    int result;
    read_params(a, &x, &n);
    read_params(b, &y, &m);
    result = n == m && same(x, y, n * sizeof(float));
    free(x);
    free(y);
    return result;
}

/* A file in a directory of this program's own. */
static char scratch_directory[] = "/tmp/nested-c-test-XXXXXX";

static inline const char *scratch(const char *name)
{
    static char paths[8][128];
    static int made, next;
    char *path = paths[next++ % 8];
    if (!made) {
        CHECK(mkdtemp(scratch_directory) != NULL);
        made = 1;
    }
    snprintf(path, sizeof paths[0], "%s/%s", scratch_directory, name);
    return path;
}

/* At the end: the test has removed its files, and the library has left none. */
static inline void remove_scratch(void) { CHECK(rmdir(scratch_directory) == 0); }

#endif
