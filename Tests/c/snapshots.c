/* Section 10: snapshots, session files, and going on bit for bit. */
#include "check.h"

#define N 60

static nested_context *context;
static nested_model *model;
static int32_t text[N];
static float a_logits[N * VOCAB], b_logits[N * VOCAB];

static void feed(nested_session *session, int from, int to, float *logits)
{
    nested_view v = dense_view(logits, NESTED_F32, to - from, VOCAB);
    OK(nested_session_feed(session, text + from, (size_t)(to - from), NULL, &v, NULL));
}

/* Goes on with both and compares every bit of every output. */
static void same_future(nested_session *a, nested_session *b, int from)
{
    nested_session_info x, y;
    feed(a, from, N, a_logits);
    feed(b, from, N, b_logits);
    CHECK(same(a_logits, b_logits, (size_t)(N - from) * VOCAB * sizeof(float)));
    NESTED_INIT(x);
    NESTED_INIT(y);
    OK(nested_session_get_info(a, &x));
    OK(nested_session_get_info(b, &y));
    CHECK(x.position == y.position && x.learn == y.learn && x.seed == y.seed && x.n_updates == y.n_updates);
}

/* Every place in a chunk and a segment; learning on, so that gradients are pending. */
static void everywhere(void)
{
    const char *path = scratch("session.safetensors");
    int at;
    for (at = 0; at <= 40; at += at < 10 ? 1 : 5) {
        nested_session *a = make_session(model, NESTED_LEARN_ON), *b = NULL, *c = make_session(model, 0), *d = NULL;
        nested_snapshot *snapshot = NULL, *read = NULL;
        nested_blob *blob = NULL;
        if (at > 0) feed(a, 0, at, a_logits);
        OK(nested_session_save(a, path, at % 2 ? NESTED_SAVE_NO_SYNC : 0, NULL));
        OK(nested_session_load(model, path, NULL, &b));
        OK(nested_session_snapshot(a, &snapshot));
        OK(nested_snapshot_to_blob(snapshot, &blob));
        OK(nested_snapshot_from_bytes(model, nested_blob_data(blob), nested_blob_size(blob), &read));
        nested_blob_release(blob);
        OK(nested_session_fork(a, &d));
        same_future(a, b, at);
        OK(nested_session_restore(a, snapshot));
        OK(nested_session_restore(c, read));
        same_future(a, c, at);
        OK(nested_session_restore(a, snapshot));
        same_future(a, d, at);
        nested_session_release(a);
        nested_session_release(b);
        nested_session_release(c);
        nested_session_release(d);
        nested_snapshot_release(snapshot);
        nested_snapshot_release(read);
    }
    CHECK(unlink(path) == 0);
}

static void bad_bytes(void)
{
    nested_session *a = make_session(model, NESTED_LEARN_ON), *b = NULL;
    nested_snapshot *snapshot = NULL, *read = NULL;
    nested_blob *blob = NULL, *weights = NULL;
    nested_config *config = make_config("{\"kind\":\"hope\",\"vocab\":32,\"d_model\":32,\"n_layers\":1}");
    nested_model *other = NULL;
    unsigned char *bytes;
    size_t n, i;
    const char *path = scratch("model");
    feed(a, 0, 21, a_logits);
    OK(nested_session_snapshot(a, &snapshot));
    OK(nested_snapshot_to_blob(snapshot, &blob));
    n = nested_blob_size(blob);
    bytes = (unsigned char *)malloc(n);
    CHECK(bytes != NULL);
    memcpy(bytes, nested_blob_data(blob), n);
    for (i = 0; i < n; i += i < 600 ? 1 : n / 17)
        CHECK(nested_snapshot_from_bytes(model, bytes, i, &read) < 0 && read == NULL);
    for (i = 0; i < 3000; i += 3) {
        bytes[i] ^= 0x13;
        if (nested_snapshot_from_bytes(model, bytes, n, &read) == NESTED_OK) {
            /* A flip that still reads well must be as good to work with as any. */
            nested_session *c = make_session(model, 0);
            if (nested_session_restore(c, read) == NESTED_OK)
                (void)!nested_session_feed(c, text, 20, NULL, NULL, NULL);
            nested_session_release(c);
        }
        nested_snapshot_release(read);
        read = NULL;
        bytes[i] ^= 0x13;
    }
    OK(nested_model_create(context, config, 1, &other));
    FAILS(NESTED_E_MISMATCH, nested_snapshot_from_bytes(other, bytes, n, &read));
    OK(nested_session_create(other, NULL, &b));
    FAILS(NESTED_E_MISMATCH, nested_session_restore(b, snapshot));
    nested_session_release(b);
    b = NULL;
    OK(nested_model_save_blob(model, 0, &weights));
    FAILS(NESTED_E_CORRUPT, nested_snapshot_from_bytes(model, nested_blob_data(weights), nested_blob_size(weights), &read));
    OK(nested_model_save(model, path, 0, NULL));
    FAILS(NESTED_E_CORRUPT, nested_session_load(model, path, NULL, &b));
    CHECK(unlink(path) == 0);
    FAILS(NESTED_E_IO, nested_session_load(model, path, NULL, &b));
    FAILS(NESTED_E_IO, nested_session_save(a, scratch("no/folder"), 0, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_session_save(a, NULL, 0, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_session_save(a, path, 64, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_session_load(model, path, NULL, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_session_snapshot(a, NULL));
    FAILS(NESTED_E_HANDLE, nested_session_restore(a, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_snapshot_to_blob(snapshot, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_snapshot_from_bytes(model, NULL, 5, &read));
    FAILS(NESTED_E_RANGE, nested_snapshot_from_bytes(model, bytes, SIZE_MAX, &read));
    CHECK(b == NULL && read == NULL);
    OK(nested_snapshot_retain(snapshot));
    nested_snapshot_release(snapshot);
    OK(nested_session_restore(a, snapshot));
    free(bytes);
    nested_blob_release(weights);
    nested_blob_release(blob);
    nested_snapshot_release(snapshot);
    nested_config_release(config);
    nested_model_release(other);
    nested_session_release(a);
}

int main(void)
{
    context = make_context(1);
    model = make_model(context, 1);
    fill_tokens(text, N, 11);
    everywhere();
    bad_bytes();
    nested_model_release(model);
    nested_context_release(context);
    remove_scratch();
    return done();
}
