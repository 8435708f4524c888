/* Rule R3: releases in the middle of calls and from other threads. Each long call of the tour runs in one thread; from its callback, and
 * from another thread meanwhile, everything is released, twice, in all orders. The call ends as it would; afterwards nothing is left. */
#include "tour.h"

#include <pthread.h>

static tour t;

typedef struct {
    void *handle;
    void (*release)(void *);
} held;

#define RELEASER(kind) \
    static void release_##kind(void *handle) { nested_##kind##_release((nested_##kind *)handle); }
RELEASER(context)
RELEASER(model)
RELEASER(session)
RELEASER(snapshot)
RELEASER(trainer)
RELEASER(config)

enum { N_HELD = 12, N_ORDERS = 24 };

static void all_held(held *list)
{
    held all[N_HELD] = {
        {t.context, release_context}, {t.model, release_model}, {t.session, release_session}, {t.snapshot, release_snapshot},
        {t.trainer, release_trainer}, {t.second, release_session}, {t.spare, release_model}, {t.config, release_config},
        {t.vectors, release_session}, {t.reader, release_model}, {t.transformer, release_model}, {t.blank, release_snapshot}};
    memcpy(list, all, sizeof all);
}

/* Permutation `order` of the first four; the rest in front or behind. */
static void release_all(int order, int twice)
{
    held list[N_HELD], rest[4];
    int left = 4, i, divisor = 6, at;
    all_held(list);
    memcpy(rest, list, sizeof rest);
    for (i = 0; i < 4; i++) {
        at = order / divisor % left;
        list[i] = rest[at];
        memmove(rest + at, rest + at + 1, (size_t)(3 - at) * sizeof *rest);
        order %= divisor;
        left--;
        divisor = left > 1 ? divisor / left : 1;
    }
    for (i = 0; i < N_HELD; i++) {
        list[i].release(list[i].handle);
        if (twice) list[i].release(list[i].handle);
    }
}

static int order, where, released;
static nested_context *context_gone;

static void *elsewhere(void *unused)
{
    (void)unused;
    release_all(order, 1);
    return NULL;
}

static int32_t in_the_middle(void *user, const nested_progress *p)
{
    nested_memory_stats stats;
    (void)p;
    CHECK(user == &order);
    if (released++) return 0;
    if (where == 0) release_all(order, 1);
    else {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, elsewhere, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
    NESTED_INIT(stats);
    FAILS(NESTED_E_HANDLE, nested_context_memory(context_gone, &stats));
    CHECK(nested_live_handles(NESTED_HANDLE_ANY) == 4); /* three blobs and a cancel token */
    return 0;
}

static void during(const char *name)
{
    int i;
    for (i = 0; strcmp(tour_steps[i].function, name) != 0; i++) continue;
    for (where = 0; where < 2; where++)
        for (order = where; order < N_ORDERS; order += 2) {
            nested_run run;
            tour_open(&t, 2);
            context_gone = t.context;
            NESTED_INIT(run);
            run.progress = in_the_middle;
            run.user = &order;
            t.run = &run;
            released = 0;
            OK(tour_steps[i].go(&t));
            CHECK(released > 0);
            t.run = NULL;
            FAILS(NESTED_E_HANDLE, nested_trainer_zero(t.trainer));
            tour_close(&t); /* all of it once more */
            CHECK(nested_live_handles(NESTED_HANDLE_ANY) == 0);
        }
}

/* Threads that release the same handles at the same time: one of them does it. */
static pthread_barrier_t barrier;

static void *racing(void *which)
{
    pthread_barrier_wait(&barrier);
    release_all(*(int *)which, 0);
    return NULL;
}

static void *feeding(void *unused)
{
    nested_status status = NESTED_OK;
    (void)unused;
    pthread_barrier_wait(&barrier);
    while (status == NESTED_OK) status = nested_session_feed(t.session, t.text, 8, NULL, NULL, NULL);
    FAILS(NESTED_E_HANDLE, status);
    return NULL;
}

static void races(void)
{
    int orders[4], round, i;
    pthread_t threads[5];
    CHECK(pthread_barrier_init(&barrier, NULL, 5) == 0);
    for (round = 0; round < 60; round++) {
        tour_open(&t, 2);
        for (i = 0; i < 4; i++) {
            orders[i] = (round * 7 + i * 5) % N_ORDERS;
            CHECK(pthread_create(&threads[i], NULL, racing, &orders[i]) == 0);
        }
        CHECK(pthread_create(&threads[4], NULL, feeding, NULL) == 0);
        for (i = 0; i < 5; i++) CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(nested_live_handles(NESTED_HANDLE_ANY) == 4);
        tour_close(&t);
        CHECK(nested_live_handles(NESTED_HANDLE_ANY) == 0);
    }
    CHECK(pthread_barrier_destroy(&barrier) == 0);
}

int main(void)
{
    static const char *const calls[] = {
        "nested_session_feed", "nested_sessions_feed", "nested_session_generate", "nested_session_score", "nested_trainer_fit",
        "nested_model_evaluate", "nested_model_save", "nested_model_load", "nested_session_load", "nested_model_consolidate"};
    size_t i;
    alarm(120);
    for (i = 0; i < sizeof calls / sizeof *calls; i++) during(calls[i]);
    races();
    remove_scratch();
    return done();
}
