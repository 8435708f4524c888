/* Rule R4: eight threads call at random on 64 handles that they share and replace under each other. Any answer that the header allows is
 * right for a handle that has just gone; where the calls on an object have a serial order, the object is what that order makes of it: a
 * session only ever reads one token, its own, so after n tokens it is the session that read n of them alone, whoever fed it, forked it,
 * froze it or took it back; a trained model is the one that took as many steps. */
#include "check.h"

#include <pthread.h>

#define THREADS 8
#define SLOTS 64
#define ROUNDS 1500
#define MAX_POSITION 4000

enum { CONTEXTS = 2, MODELS = 2, N_TOKENS = 5 };

static nested_context *contexts[CONTEXTS];
static nested_model *models[MODELS], *trained;
static nested_trainer *trainer;
static nested_config *config;
static nested_cancel *cancel;
static int64_t steps_made;

/* What is in a slot: 0 .. 49 sessions, 50 .. 59 snapshots, 60 .. 63 blobs. The token of slot i, and its model, follow from i. */
enum { SESSIONS = 50, SNAPSHOTS = 60 };
static void *slots[SLOTS];

static int token_of(int i) { return i % N_TOKENS; }
static void *look(int i) { return __atomic_load_n(&slots[i], __ATOMIC_SEQ_CST); }

static void release(int i, void *handle)
{
    if (i < SESSIONS) nested_session_release((nested_session *)handle);
    else if (i < SNAPSHOTS) nested_snapshot_release((nested_snapshot *)handle);
    else nested_blob_release((nested_blob *)handle);
}

static void put(int i, void *handle) { release(i, __atomic_exchange_n(&slots[i], handle, __ATOMIC_SEQ_CST)); }

/* Done, or the handle went meanwhile. */
static int did(nested_status status)
{
    if (status == NESTED_OK) return 1;
    FAILS(NESTED_E_HANDLE, status);
    return 0;
}

static nested_model *model_of(int token) { return models[token % MODELS]; }

static uint32_t next(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(*state >> 4) * n) >> 28);
}

static void *calls(void *user)
{
    uint32_t state = *(const uint32_t *)user;
    static const float zeros[VOCAB];
    int round;
    for (round = 0; round < ROUNDS; round++) {
        int i = (int)next(&state, SESSIONS), token = token_of(i);
        int sibling = (int)next(&state, SESSIONS / N_TOKENS) * N_TOKENS + token; /* slots of the same token */
        int j = SESSIONS + (int)next(&state, 2) * N_TOKENS + token;
        int32_t text[7];
        nested_session *session = (nested_session *)look(i), *made = NULL;
        nested_snapshot *frozen = (nested_snapshot *)look(j);
        nested_snapshot *snapshot = NULL;
        nested_blob *blob = NULL;
        nested_session_info info;
        size_t n = 1 + next(&state, 7), k;
        for (k = 0; k < 7; k++) text[k] = token;
        NESTED_INIT(info);
        switch (next(&state, 16)) {
        case 0:
        case 1:
        case 2:
        case 3:
            if (did(nested_session_get_info(session, &info)) && info.position < MAX_POSITION)
                (void)did(nested_session_feed(session, text, n, NULL, NULL, NULL));
            break;
        case 4:
            if (did(nested_session_fork(session, &made))) put(sibling, made);
            break;
        case 5:
            if (did(nested_session_snapshot(session, &snapshot))) put(j, snapshot);
            break;
        case 6:
            (void)did(nested_session_restore(session, frozen));
            break;
        case 7: {
            double sum = 0;
            (void)did(nested_session_score(session, text, n, NULL, NULL, &sum));
            CHECK(isfinite(sum));
            break;
        }
        case 8:
            if (did(nested_snapshot_to_blob(frozen, &blob)))
                put(SNAPSHOTS + (int)next(&state, SLOTS - SNAPSHOTS), blob);
            break;
        case 9: /* the bytes of a blob that another thread may release: only its size is asked for */
            (void)nested_blob_size((nested_blob *)look(SNAPSHOTS + (int)next(&state, SLOTS - SNAPSHOTS)));
            break;
        case 10:
            OK(nested_session_create(model_of(token), NULL, &made));
            OK(nested_session_set_learn(made, NESTED_LEARN_ON));
            put(i, made);
            break;
        case 11: {
            nested_session *pair[2];
            pair[0] = session;
            pair[1] = (nested_session *)look(sibling);
            if (pair[0] != pair[1])
                (void)did(nested_sessions_feed(pair, 2, text, NULL, NULL, NULL));
            break;
        }
        case 12: {
            nested_batch batch = make_batch(text, 1, 7);
            nested_step step;
            NESTED_INIT(step);
            for (k = 0; k < 7; k++) text[k] = 3;
            OK(nested_trainer_step(trainer, &batch, NULL, &step));
            (void)__atomic_add_fetch(&steps_made, 1, __ATOMIC_SEQ_CST);
            break;
        }
        case 13: {
            nested_model *merged = NULL;
            const nested_session *list[1];
            list[0] = session;
            if (did(nested_model_consolidate(model_of(token), list, 1, NULL, NULL, &merged))) nested_model_release(merged);
            break;
        }
        case 14:
            OK(nested_cancel_raise(cancel));
            OK(nested_cancel_clear(cancel));
            OK(nested_config_set_int(config, "/vocab", 32));
            OK(nested_context_retain(contexts[token % CONTEXTS]));
            nested_context_release(contexts[token % CONTEXTS]);
            break;
        default: {
            float logits[VOCAB];
            nested_level level;
            size_t count = 0;
            nested_status status = nested_session_output(session, logits, VOCAB, &count);
            if (status != NESTED_E_STATE && did(status)) {
                for (k = 0; k < VOCAB && isfinite(logits[k]); k++) continue;
                CHECK(k == VOCAB && memcmp(logits, zeros, sizeof logits) != 0);
            }
            NESTED_INIT(level);
            (void)did(nested_session_level(session, 0, 0, &level));
        }
        }
    }
    return NULL;
}

static nested_blob *frozen_bytes(const nested_session *session)
{
    nested_snapshot *snapshot = NULL;
    nested_blob *blob = NULL;
    OK(nested_session_snapshot(session, &snapshot));
    OK(nested_snapshot_to_blob(snapshot, &blob));
    nested_snapshot_release(snapshot);
    return blob;
}

/* Each session against one that nobody else touched; in order of position, so that each token is read once. */
static void replay(int token)
{
    nested_session *alone = NULL;
    int64_t at = 0, wanted;
    int32_t text = token;
    int compared = 0, i;
    OK(nested_session_create(model_of(token), NULL, &alone));
    OK(nested_session_set_learn(alone, NESTED_LEARN_ON));
    for (;;) {
        wanted = INT64_MAX;
        for (i = 0; i < SESSIONS; i++) {
            nested_session_info info;
            NESTED_INIT(info);
            if (token_of(i) != token) continue;
            OK(nested_session_get_info((nested_session *)slots[i], &info));
            if (info.position == at) {
                nested_blob *a = frozen_bytes((nested_session *)slots[i]), *b = frozen_bytes(alone);
                CHECK(nested_blob_size(a) == nested_blob_size(b) && same(nested_blob_data(a), nested_blob_data(b), nested_blob_size(a)));
                nested_blob_release(a);
                nested_blob_release(b);
                compared++;
            } else if (info.position > at && info.position < wanted) wanted = info.position;
        }
        if (wanted == INT64_MAX) break;
        for (; at < wanted; at++) OK(nested_session_feed(alone, &text, 1, NULL, NULL, NULL));
    }
    nested_session_release(alone);
    CHECK(compared > 0);
}

int main(void)
{
    static uint32_t seeds[THREADS];
    pthread_t threads[THREADS];
    nested_trainer *again = NULL;
    nested_model *copy;
    int i;
    for (i = 0; i < CONTEXTS; i++) contexts[i] = make_context(1 + i);
    for (i = 0; i < MODELS; i++) models[i] = make_model(contexts[i % CONTEXTS], (uint64_t)i);
    trained = make_model(contexts[1], 9);
    config = make_config(small_config);
    OK(nested_cancel_create(&cancel));
    OK(nested_trainer_create(trained, NULL, 0, &trainer));
    for (i = 0; i < SLOTS; i++) {
        nested_session *session = NULL;
        nested_snapshot *snapshot = NULL;
        OK(nested_session_create(model_of(token_of(i)), NULL, &session));
        OK(nested_session_set_learn(session, NESTED_LEARN_ON));
        if (i >= SESSIONS) OK(nested_session_snapshot(session, &snapshot));
        if (i < SESSIONS) slots[i] = session;
        else if (i < SNAPSHOTS) slots[i] = snapshot;
        else OK(nested_snapshot_to_blob(snapshot, (nested_blob **)&slots[i]));
        if (i >= SESSIONS) nested_session_release(session);
        if (i >= SNAPSHOTS) nested_snapshot_release(snapshot);
    }
    for (i = 0; i < THREADS; i++) {
        seeds[i] = 12345u + 1000003u * (uint32_t)i;
        CHECK(pthread_create(&threads[i], NULL, calls, &seeds[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);

    for (i = 0; i < N_TOKENS; i++) replay(i);
    copy = make_model(contexts[1], 9);
    OK(nested_trainer_create(copy, NULL, 0, &again));
    while (steps_made-- > 0) {
        int32_t text[7] = {3, 3, 3, 3, 3, 3, 3};
        nested_batch batch = make_batch(text, 1, 7);
        OK(nested_trainer_step(again, &batch, NULL, NULL));
    }
    CHECK(same_weights(copy, trained));

    for (i = 0; i < SLOTS; i++) release(i, slots[i]);
    nested_trainer_release(again);
    nested_trainer_release(trainer);
    nested_model_release(copy);
    nested_model_release(trained);
    for (i = 0; i < MODELS; i++) nested_model_release(models[i]);
    for (i = 0; i < CONTEXTS; i++) nested_context_release(contexts[i]);
    nested_config_release(config);
    nested_cancel_release(cancel);
    return done();
}
