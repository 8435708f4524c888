/* Rules R2 and R3: NULL, garbage, released and foreign handles, counts, and release in any order. */
#include "check.h"

/* One status of every kind of handle. */
static nested_status use(int kind, void *handle)
{
    nested_memory_stats stats;
    nested_model_info info;
    nested_session_info session;
    nested_blob *blob = NULL;
    NESTED_INIT(stats);
    NESTED_INIT(info);
    NESTED_INIT(session);
    switch (kind) {
    case NESTED_HANDLE_CONTEXT: return nested_context_memory((nested_context *)handle, &stats);
    case NESTED_HANDLE_CONFIG: return nested_config_validate((nested_config *)handle);
    case NESTED_HANDLE_MODEL: return nested_model_get_info((nested_model *)handle, &info);
    case NESTED_HANDLE_TRAINER: return nested_trainer_zero((nested_trainer *)handle);
    case NESTED_HANDLE_SESSION: return nested_session_get_info((nested_session *)handle, &session);
    case NESTED_HANDLE_SNAPSHOT: {
        nested_status status = nested_snapshot_to_blob((nested_snapshot *)handle, &blob);
        nested_blob_release(blob);
        return status;
    }
    case NESTED_HANDLE_CANCEL: return nested_cancel_raise((nested_cancel *)handle);
    default: return nested_blob_data((nested_blob *)handle) != NULL ? NESTED_OK : NESTED_E_HANDLE;
    }
}

static void release(int kind, void *handle)
{
    switch (kind) {
    case NESTED_HANDLE_CONTEXT: nested_context_release((nested_context *)handle); break;
    case NESTED_HANDLE_CONFIG: nested_config_release((nested_config *)handle); break;
    case NESTED_HANDLE_MODEL: nested_model_release((nested_model *)handle); break;
    case NESTED_HANDLE_TRAINER: nested_trainer_release((nested_trainer *)handle); break;
    case NESTED_HANDLE_SESSION: nested_session_release((nested_session *)handle); break;
    case NESTED_HANDLE_SNAPSHOT: nested_snapshot_release((nested_snapshot *)handle); break;
    case NESTED_HANDLE_CANCEL: nested_cancel_release((nested_cancel *)handle); break;
    default: nested_blob_release((nested_blob *)handle); break;
    }
}

static void make_all(void **all)
{
    nested_context *context = make_context(1);
    nested_config *config = make_config(small_config);
    nested_model *model = make_model(context, 1);
    nested_trainer *trainer = NULL;
    nested_session *session = make_session(model, NESTED_LEARN_MEMORY);
    nested_snapshot *snapshot = NULL;
    nested_cancel *cancel = NULL;
    nested_blob *blob = NULL;
    OK(nested_trainer_create(model, NULL, 0, &trainer));
    OK(nested_session_snapshot(session, &snapshot));
    OK(nested_cancel_create(&cancel));
    OK(nested_config_to_json(config, NULL, &blob));
    all[NESTED_HANDLE_CONTEXT] = context;
    all[NESTED_HANDLE_CONFIG] = config;
    all[NESTED_HANDLE_MODEL] = model;
    all[NESTED_HANDLE_TRAINER] = trainer;
    all[NESTED_HANDLE_SESSION] = session;
    all[NESTED_HANDLE_SNAPSHOT] = snapshot;
    all[NESTED_HANDLE_CANCEL] = cancel;
    all[NESTED_HANDLE_BLOB] = blob;
}

static void wrong_handles(void)
{
    void *all[9];
    int kind, other, bit;
    make_all(all);
    for (kind = 1; kind <= 8; kind++) {
        CHECK(use(kind, all[kind]) == NESTED_OK);
        CHECK(nested_live_handles(kind) >= 1);
        CHECK(use(kind, NULL) == NESTED_E_HANDLE);
        CHECK(use(kind, (void *)(uintptr_t)1) == NESTED_E_HANDLE);
        CHECK(use(kind, (void *)&kind) == NESTED_E_HANDLE);
        CHECK(use(kind, (void *)UINTPTR_MAX) == NESTED_E_HANDLE);
        for (other = 1; other <= 8; other++) {
            if (other != kind) CHECK(use(kind, all[other]) == NESTED_E_HANDLE);
            if (other != kind) release(kind, all[other]);
        }
        for (bit = 0; bit < 64; bit++)
            CHECK(use(kind, (void *)((uintptr_t)all[kind] ^ (uintptr_t)1 << bit)) == NESTED_E_HANDLE);
    }
    /* Releases by the wrong function did nothing. */
    for (kind = 1; kind <= 8; kind++) CHECK(use(kind, all[kind]) == NESTED_OK);
    for (kind = 8; kind >= 1; kind--) {
        release(kind, all[kind]);
        CHECK(use(kind, all[kind]) == NESTED_E_HANDLE);
        release(kind, all[kind]);
        release(kind, NULL);
    }
    CHECK(nested_live_handles(NESTED_HANDLE_ANY) == 0);
    CHECK(nested_blob_size(NULL) == 0 && nested_model_tensor_count(NULL) == 0 && nested_cancel_is_raised(NULL) == 0);
    FAILS(NESTED_E_HANDLE, nested_cancel_clear(NULL));
    FAILS(NESTED_E_HANDLE, nested_context_retain(NULL));
    FAILS(NESTED_E_HANDLE, nested_model_retain(NULL));
    FAILS(NESTED_E_HANDLE, nested_snapshot_retain(NULL));
}

/* A slot that is used again does not answer to its old ticket. */
static void reuse(void)
{
    nested_cancel *old[64], *cancel;
    int i, round;
    for (i = 0; i < 64; i++) {
        OK(nested_cancel_create(&old[i]));
        OK(nested_cancel_raise(old[i]));
        nested_cancel_release(old[i]);
    }
    for (round = 0; round < 1000; round++) {
        OK(nested_cancel_create(&cancel));
        CHECK(nested_cancel_is_raised(cancel) == 0);
        for (i = 0; i < 64; i++) CHECK(old[i] != cancel);
        CHECK(nested_cancel_is_raised(old[round % 64]) == 0);
        nested_cancel_release(old[round % 64]);
        CHECK(nested_live_handles(NESTED_HANDLE_CANCEL) == 1);
        nested_cancel_release(cancel);
    }
}

static void counts(void)
{
    nested_context *context = make_context(1);
    nested_model *model = make_model(context, 1);
    nested_memory_stats stats;
    OK(nested_context_retain(context));
    OK(nested_model_retain(model));
    nested_context_release(context);
    nested_model_release(model);
    CHECK(use(NESTED_HANDLE_CONTEXT, context) == NESTED_OK && use(NESTED_HANDLE_MODEL, model) == NESTED_OK);
    nested_model_release(model);
    CHECK(use(NESTED_HANDLE_MODEL, model) == NESTED_E_HANDLE);
    NESTED_INIT(stats);
    OK(nested_context_memory(context, &stats));
    CHECK(stats.in_use == 0 && stats.peak > 0 && stats.n_allocations > 0);
    nested_context_release(context);
    FAILS(NESTED_E_HANDLE, nested_context_memory(context, &stats));
}

/* Context, model, session and snapshot in all 24 orders; the ones that are left go on working. */
static void orders(void)
{
    static const int kinds[4] = {NESTED_HANDLE_CONTEXT, NESTED_HANDLE_MODEL, NESTED_HANDLE_SESSION,
                                 NESTED_HANDLE_SNAPSHOT};
    int a, b, c, d, i, j;
    for (a = 0; a < 4; a++)
        for (b = 0; b < 4; b++)
            for (c = 0; c < 4; c++)
                for (d = 0; d < 4; d++) {
                    int order[4];
                    void *all[9];
                    int32_t token = 3;
                    order[0] = a;
                    order[1] = b;
                    order[2] = c;
                    order[3] = d;
                    if (a == b || a == c || a == d || b == c || b == d || c == d) continue;
                    make_all(all);
                    release(NESTED_HANDLE_TRAINER, all[NESTED_HANDLE_TRAINER]);
                    release(NESTED_HANDLE_CONFIG, all[NESTED_HANDLE_CONFIG]);
                    release(NESTED_HANDLE_CANCEL, all[NESTED_HANDLE_CANCEL]);
                    release(NESTED_HANDLE_BLOB, all[NESTED_HANDLE_BLOB]);
                    for (i = 0; i < 4; i++) {
                        release(kinds[order[i]], all[kinds[order[i]]]);
                        for (j = i + 1; j < 4; j++) CHECK(use(kinds[order[j]], all[kinds[order[j]]]) == NESTED_OK);
                        for (j = i + 1; j < 4; j++)
                            if (kinds[order[j]] == NESTED_HANDLE_SESSION)
                                OK(nested_session_feed((nested_session *)all[NESTED_HANDLE_SESSION], &token, 1, NULL,
                                                       NULL, NULL));
                    }
                    CHECK(nested_live_handles(NESTED_HANDLE_ANY) == 0);
                }
}

int main(void)
{
    wrong_handles();
    reuse();
    counts();
    orders();
    return done();
}
