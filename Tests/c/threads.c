/* Rules R4 and R10: many sessions in many threads, shared handles, releases in the middle; and the same bits for any
 * number of threads. */
#include "check.h"

#include <pthread.h>

#define THREADS 8
#define N 120

static nested_context *context;
static nested_model *model;
static int32_t text[N * 4];
static float wanted[THREADS][VOCAB], got[THREADS][VOCAB];
static nested_session *shared;
static int stop;

static void stream(nested_session *session, int which, float *logits)
{
    nested_view v = dense_view(logits, NESTED_F32, 0, VOCAB);
    int at;
    for (at = 0; at < N; at += 1 + which)
        OK(nested_session_feed(session, text + which * 17 + at, (size_t)(at + 1 + which < N ? 1 + which : N - at), NULL,
                               &v, NULL));
}

static void *own_session(void *user)
{
    int which = *(int *)user;
    nested_session *session = make_session(model, which % 3);
    stream(session, which, got[which]);
    nested_session_release(session);
    return NULL;
}

/* Trains while others read: they see whole steps, so nothing but finite numbers. */
static void *train(void *user)
{
    nested_trainer *trainer = NULL;
    nested_batch batch = make_batch(text, 2, 24);
    int i;
    (void)user;
    OK(nested_trainer_create(model, "{\"lr\":0.001}", NESTED_NUL_TERMINATED, &trainer));
    for (i = 0; i < 10; i++) OK(nested_trainer_step(trainer, &batch, NULL, NULL));
    nested_trainer_release(trainer);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *read_on(void *user)
{
    nested_session *session = make_session(model, NESTED_LEARN_ON);
    float logits[VOCAB];
    nested_view v = dense_view(logits, NESTED_F32, 0, VOCAB);
    int i, j;
    (void)user;
    for (i = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST) || i < 3; i++) {
        OK(nested_session_feed(session, text + i % N, 9, NULL, &v, NULL));
        for (j = 0; j < VOCAB; j++)
            if (!isfinite(logits[j])) break;
        CHECK(j == VOCAB);
    }
    nested_session_release(session);
    return NULL;
}

/* Everything at once on one session: no order, no crash; the tokens that were fed are counted. */
static void *hammer(void *user)
{
    int which = *(int *)user, i;
    for (i = 0; i < 60; i++) {
        nested_session_info info;
        nested_session *copy = NULL;
        nested_snapshot *snapshot = NULL;
        NESTED_INIT(info);
        OK(nested_session_feed(shared, text + i, 3, NULL, NULL, NULL));
        if ((i + which) % 4 == 0) {
            OK(nested_session_fork(shared, &copy));
            OK(nested_session_feed(copy, text, 2, NULL, NULL, NULL));
            nested_session_release(copy);
        }
        if ((i + which) % 5 == 0) {
            OK(nested_session_snapshot(shared, &snapshot));
            nested_snapshot_release(snapshot);
        }
        OK(nested_session_get_info(shared, &info));
        OK(nested_session_score(shared, text, 2, NULL, NULL, NULL));
    }
    return NULL;
}

/* One thread releases what another uses: E_HANDLE or done. */
static void *use_until_gone(void *user)
{
    nested_status status;
    do status = nested_session_feed((nested_session *)user, text, 1, NULL, NULL, NULL);
    while (status == NESTED_OK);
    CHECK(status == NESTED_E_HANDLE);
    return NULL;
}

static void run_all(void *(*body)(void *), int n)
{
    static int names[THREADS] = {0, 1, 2, 3, 4, 5, 6, 7};
    pthread_t threads[THREADS];
    int i;
    for (i = 0; i < n; i++) CHECK(pthread_create(&threads[i], NULL, body, &names[i]) == 0);
    for (i = 0; i < n; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void any_number_of_threads(void)
{
    static const int counts[] = {1, 2, 3, 8};
    float *first = NULL, *now;
    size_t n, i;
    for (i = 0; i < 4; i++) {
        nested_context *c = make_context(counts[i]);
        nested_model *m = make_model(c, 4);
        nested_trainer *trainer = NULL;
        nested_batch batch = make_batch(text, 3, 40);
        nested_session *session;
        static float logits[2][N * VOCAB];
        nested_view v = dense_view(logits[i > 0], NESTED_F32, N, VOCAB);
        OK(nested_trainer_create(m, "{\"lr\":0.01}", NESTED_NUL_TERMINATED, &trainer));
        for (n = 0; n < 4; n++) OK(nested_trainer_step(trainer, &batch, NULL, NULL));
        session = make_session(m, NESTED_LEARN_ON);
        OK(nested_session_feed(session, text, N, NULL, &v, NULL));
        read_params(m, &now, &n);
        if (i == 0) first = now;
        else {
            CHECK(same(first, now, n * sizeof *now) && same(logits[0], logits[1], sizeof logits[0]));
            free(now);
        }
        nested_trainer_release(trainer);
        nested_session_release(session);
        nested_model_release(m);
        nested_context_release(c);
    }
    free(first);
}

int main(void)
{
    nested_session_info info;
    pthread_t thread;
    int i;
    context = make_context(2);
    model = make_model(context, 1);
    fill_tokens(text, N * 4, 8);
    for (i = 0; i < THREADS; i++) {
        nested_session *session = make_session(model, i % 3);
        stream(session, i, wanted[i]);
        nested_session_release(session);
    }
    run_all(own_session, THREADS);
    CHECK(same(wanted, got, sizeof wanted));

    shared = make_session(model, NESTED_LEARN_ON);
    run_all(hammer, 4);
    NESTED_INIT(info);
    OK(nested_session_get_info(shared, &info));
    CHECK(info.position == 4 * 60 * 3);
    CHECK(pthread_create(&thread, NULL, use_until_gone, shared) == 0);
    usleep(5000);
    nested_session_release(shared);
    CHECK(pthread_join(thread, NULL) == 0);

    CHECK(pthread_create(&thread, NULL, train, NULL) == 0);
    run_all(read_on, 3);
    CHECK(pthread_join(thread, NULL) == 0);

    nested_model_release(model);
    nested_context_release(context);
    any_number_of_threads();
    return done();
}
