/* Hosts that load the library by hand: dlopen and dlclose a hundred times, in threads, with live handles, with a thread that ends after
 * the last dlclose, with every mode of the loader, and two copies of the file at different paths in one process.
 * usage: unload LIBRARY COPY. Prints "ok N" and returns 0, or says which check failed. */
#define _GNU_SOURCE
#include "nested.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int checks;

#define CHECK(condition) \
    do { \
        __atomic_add_fetch(&checks, 1, __ATOMIC_RELAXED); \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, dlerror()); \
            exit(1); \
        } \
    } while (0)

/* One copy of the library, by its functions. */
#define FUNCTIONS(X) \
    X(nested_version) X(nested_live_handles) X(nested_context_create) X(nested_context_release) X(nested_config_from_json) \
    X(nested_config_release) X(nested_model_create) X(nested_model_release) X(nested_model_get_info) X(nested_session_create) \
    X(nested_session_feed) X(nested_session_output) X(nested_session_release) X(nested_last_error)
typedef struct {
    void *loaded;
#define FIELD(name) __typeof__(&name) name;
    FUNCTIONS(FIELD)
} library;

static library load(const char *path, int mode)
{
    library l;
    l.loaded = dlopen(path, mode);
    CHECK(l.loaded != NULL);
#define FIND(name) CHECK((*(void **)&l.name = dlsym(l.loaded, #name)) != NULL);
    FUNCTIONS(FIND)
    return l;
}

enum { VOCAB = 32 };
static const char json[] = "{\"kind\":\"hope\",\"vocab\":32,\"d_model\":32,\"n_layers\":1,\"head_dim\":16,\"segment\":8}";

typedef struct {
    nested_context *context;
    nested_model *model;
    nested_session *session;
} objects;

static objects make(const library *l, int threads)
{
    objects o = {NULL, NULL, NULL};
    nested_context_options options;
    nested_session_options learning;
    nested_config *config = NULL;
    NESTED_INIT(options);
    NESTED_INIT(learning);
    options.n_threads = threads;
    learning.learn = NESTED_LEARN_ON;
    CHECK(l->nested_context_create(&options, &o.context) == NESTED_OK);
    CHECK(l->nested_config_from_json(json, NESTED_NUL_TERMINATED, &config) == NESTED_OK);
    CHECK(l->nested_model_create(o.context, config, 1, &o.model) == NESTED_OK);
    CHECK(l->nested_session_create(o.model, &learning, &o.session) == NESTED_OK);
    l->nested_config_release(config);
    return o;
}

static void use(const library *l, const objects *o, float *logits)
{
    int32_t text[20];
    size_t count = 0;
    int i;
    for (i = 0; i < 20; i++) text[i] = i * 7 % VOCAB;
    CHECK(l->nested_session_feed(o->session, text, 20, NULL, NULL, NULL) == NESTED_OK);
    CHECK(l->nested_session_output(o->session, logits, VOCAB, &count) == NESTED_OK);
}

static void drop(const library *l, const objects *o)
{
    l->nested_context_release(o->context);
    l->nested_model_release(o->model);
    l->nested_session_release(o->session);
}

static float wanted[VOCAB];

static void whole(const library *l, int threads)
{
    objects o = make(l, threads);
    float logits[VOCAB];
    use(l, &o, logits);
    CHECK(memcmp(logits, wanted, sizeof logits) == 0);
    drop(l, &o);
}

static const char *path, *copy;

/* Again and again; the objects of one load work in the next. */
static void again(void)
{
    objects kept = {NULL, NULL, NULL};
    float logits[VOCAB];
    int i;
    for (i = 0; i < 100; i++) {
        library l = load(path, i % 2 ? RTLD_NOW : RTLD_LAZY);
        if (i > 0) {
            use(&l, &kept, logits);
            CHECK(memcmp(logits, wanted, sizeof logits) == 0);
            drop(&l, &kept);
        }
        kept = make(&l, 1 + i % 3);
        CHECK(dlclose(l.loaded) == 0);
    }
    {
        library l = load(path, RTLD_NOW);
        drop(&l, &kept);
        CHECK(l.nested_live_handles(NESTED_HANDLE_ANY) == 0);
        CHECK(dlclose(l.loaded) == 0);
    }
}

static void *in_thread(void *unused)
{
    int i;
    (void)unused;
    for (i = 0; i < 25; i++) {
        library l = load(path, RTLD_NOW | RTLD_LOCAL);
        whole(&l, 1 + i % 2);
        CHECK(dlclose(l.loaded) == 0);
    }
    return NULL;
}

/* A thread that has used the library, with an error of its own, ends when everybody has closed it. */
static pthread_barrier_t used, closed;
static library for_late;

static void *late(void *unused)
{
    nested_error e;
    (void)unused;
    whole(&for_late, 2);
    CHECK(for_late.nested_model_get_info(NULL, NULL) < 0);
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&closed);
    NESTED_INIT(e);
    CHECK(for_late.nested_last_error(&e) == NESTED_OK && e.status < 0 && e.message[0] != '\0');
    return NULL;
}

static void threads(void)
{
    pthread_t thread[4];
    int i;
    for (i = 0; i < 4; i++) CHECK(pthread_create(&thread[i], NULL, in_thread, NULL) == 0);
    for (i = 0; i < 4; i++) CHECK(pthread_join(thread[i], NULL) == 0);
    CHECK(pthread_barrier_init(&used, NULL, 2) == 0 && pthread_barrier_init(&closed, NULL, 2) == 0);
    for_late = load(path, RTLD_NOW);
    CHECK(pthread_create(&thread[0], NULL, late, NULL) == 0);
    pthread_barrier_wait(&used);
    CHECK(dlclose(for_late.loaded) == 0);
    pthread_barrier_wait(&closed);
    CHECK(pthread_join(thread[0], NULL) == 0);
}

static void *feeding(void *l)
{
    int i;
    for (i = 0; i < 30; i++) whole((const library *)l, 2);
    return NULL;
}

/* Two files, two libraries: nothing of one is known to the other, and both give the same bits, also at the same time. */
static void copies(int mode)
{
    library a = load(path, mode), b = load(copy, mode);
    nested_model_info info;
    nested_session *session = NULL;
    pthread_t thread[2];
    objects o;
    CHECK(a.nested_version != b.nested_version);
    o = make(&a, 2);
    CHECK(a.nested_live_handles(NESTED_HANDLE_ANY) == 3 && b.nested_live_handles(NESTED_HANDLE_ANY) == 0);
    NESTED_INIT(info);
    CHECK(b.nested_model_get_info(o.model, &info) == NESTED_E_HANDLE);
    CHECK(b.nested_session_create(o.model, NULL, &session) == NESTED_E_HANDLE);
    b.nested_model_release(o.model);
    CHECK(a.nested_model_get_info(o.model, &info) == NESTED_OK);
    CHECK(pthread_create(&thread[0], NULL, feeding, &a) == 0 && pthread_create(&thread[1], NULL, feeding, &b) == 0);
    CHECK(pthread_join(thread[0], NULL) == 0 && pthread_join(thread[1], NULL) == 0);
    drop(&a, &o);
    CHECK(a.nested_live_handles(NESTED_HANDLE_ANY) == 0 && b.nested_live_handles(NESTED_HANDLE_ANY) == 0);
    CHECK(dlclose(b.loaded) == 0 && dlclose(a.loaded) == 0);
}

int main(int count, char **arguments)
{
    static const int modes[] = {RTLD_LOCAL, RTLD_GLOBAL, RTLD_LOCAL | RTLD_DEEPBIND, RTLD_GLOBAL | RTLD_DEEPBIND};
    library l;
    objects o;
    size_t i;
    if (count != 3) return 2;
    alarm(60);
    path = arguments[1];
    copy = arguments[2];
    l = load(path, RTLD_NOW);
    o = make(&l, 1);
    use(&l, &o, wanted);
    drop(&l, &o);
    CHECK(dlclose(l.loaded) == 0);
    again();
    threads();
    for (i = 0; i < sizeof modes / sizeof *modes; i++) copies(RTLD_NOW | modes[i]);
    printf("ok %d\n", checks);
    return 0;
}
