/* What a session's levels have learnt, alone: saved, sent, loaded on the same weights, refused on others. */
#include "check.h"

#define N 200
static int32_t text[N];

static nested_error last(void)
{
    nested_error e;
    NESTED_INIT(e);
    OK(nested_last_error(&e));
    return e;
}

static size_t size_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    long size;
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0);
    size = ftell(file);
    fclose(file);
    return (size_t)size;
}

static void consolidated(const nested_model *model, const nested_session *session, nested_model **out)
{
    OK(nested_model_consolidate(model, &session, 1, NULL, NULL, out));
}

int main(void)
{
    nested_context *context = make_context(1), *elsewhere = make_context(2);
    nested_model *model = make_model(context, 1), *twin = make_model(elsewhere, 1), *other = make_model(context, 2);
    nested_model *a = NULL, *b = NULL;
    nested_session *session = make_session(model, NESTED_LEARN_ON), *loaded = NULL, *restored = NULL;
    nested_snapshot *snapshot = NULL, *read = NULL;
    nested_session_info info;
    nested_blob *whole = NULL, *delta = NULL;
    const char *path = scratch("delta");
    fill_tokens(text, N, 5);
    OK(nested_session_feed(session, text, N, NULL, NULL, NULL));
    OK(nested_session_save(session, path, NESTED_SAVE_DELTA | NESTED_SAVE_NO_SYNC, NULL));

    /* Another machine has the same weights. */
    OK(nested_session_load(twin, path, NULL, &loaded));
    NESTED_INIT(info);
    OK(nested_session_get_info(loaded, &info));
    CHECK(info.position == 0 && info.learn == NESTED_LEARN_ON && info.seed == 7 && info.n_updates > 0);
    consolidated(model, session, &a);
    consolidated(twin, loaded, &b);
    CHECK(same_weights(a, b) && !same_weights(a, model));

    /* The bytes are those of the file, and are less than the whole. */
    OK(nested_session_snapshot(session, &snapshot));
    OK(nested_snapshot_to_blob(snapshot, &whole));
    OK(nested_snapshot_delta_to_blob(snapshot, &delta));
    CHECK(nested_blob_size(delta) == size_of(path) && nested_blob_size(delta) < nested_blob_size(whole));
    OK(nested_snapshot_from_bytes(twin, nested_blob_data(delta), nested_blob_size(delta), &read));
    restored = make_session(twin, NESTED_LEARN_OFF);
    OK(nested_session_restore(restored, read));
    OK(nested_session_feed(loaded, text, 30, NULL, NULL, NULL));
    OK(nested_session_feed(restored, text, 30, NULL, NULL, NULL));
    {
        float x[VOCAB], y[VOCAB];
        size_t n;
        OK(nested_session_output(loaded, x, VOCAB, &n));
        OK(nested_session_output(restored, y, VOCAB, &n));
        CHECK(same(x, y, sizeof x));
    }

    /* Not on other weights, and it says so. */
    nested_session_release(loaded);
    loaded = NULL;
    FAILS(NESTED_E_MISMATCH, nested_session_load(other, path, NULL, &loaded));
    CHECK(loaded == NULL && strcmp(last().place, "nested.weights") == 0);
    FAILS(NESTED_E_ARGUMENT, nested_model_save(model, path, NESTED_SAVE_DELTA, NULL));

    CHECK(unlink(path) == 0);
    nested_blob_release(whole);
    nested_blob_release(delta);
    nested_snapshot_release(snapshot);
    nested_snapshot_release(read);
    nested_session_release(session);
    nested_session_release(restored);
    nested_model_release(a);
    nested_model_release(b);
    nested_model_release(model);
    nested_model_release(twin);
    nested_model_release(other);
    nested_context_release(context);
    nested_context_release(elsewhere);
    remove_scratch();
    return done();
}
