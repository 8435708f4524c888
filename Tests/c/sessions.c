/* Section 10: streams. How a stream is cut into calls changes no bit. */
#include "check.h"

#define N 61

static nested_context *context;
static nested_model *model;
static int32_t text[N];

/* Feeds text[from..to) in pieces of `piece`, all logits into `logits`. */
static void feed_pieces(nested_session *session, int from, int to, int piece, float *logits)
{
    int at;
    for (at = from; at < to; at += piece) {
        int n = to - at < piece ? to - at : piece;
        nested_view v = dense_view(logits + (size_t)at * VOCAB, NESTED_F32, n, VOCAB);
        nested_feed fed;
        NESTED_INIT(fed);
        OK(nested_session_feed(session, text + at, (size_t)n, NULL, &v, &fed));
        CHECK(fed.n_consumed == n && (at + n > 1 ? fed.loss > 0 : isnan(fed.loss)));
    }
}

/* The whole state, as bytes. */
static nested_blob *state(nested_session *session)
{
    nested_snapshot *snapshot = NULL;
    nested_blob *blob = NULL;
    OK(nested_session_snapshot(session, &snapshot));
    OK(nested_snapshot_to_blob(snapshot, &blob));
    nested_snapshot_release(snapshot);
    return blob;
}

static int same_state(nested_session *a, nested_session *b)
{
    nested_blob *x = state(a), *y = state(b);
    int result = nested_blob_size(x) == nested_blob_size(y) &&
                 same(nested_blob_data(x), nested_blob_data(y), nested_blob_size(x));
    nested_blob_release(x);
    nested_blob_release(y);
    return result;
}

static void pieces(void)
{
    static const int cuts[] = {1, 2, 3, 7, 10, 16, 20, N};
    static float whole[N * VOCAB], cut[N * VOCAB];
    int learn;
    size_t i;
    for (learn = NESTED_LEARN_MEMORY; learn <= NESTED_LEARN_ON; learn++) {
        nested_session *a = make_session(model, learn);
        feed_pieces(a, 0, N, N, whole);
        for (i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            nested_session *b = make_session(model, learn);
            feed_pieces(b, 0, N, cuts[i], cut);
            CHECK(same(whole, cut, sizeof whole));
            CHECK(same_state(a, b));
            nested_session_release(b);
        }
        nested_session_release(a);
    }
}

static void outputs(void)
{
    static float all[N * VOCAB];
    static double doubles[N * VOCAB];
    float last[VOCAB], output[VOCAB];
    nested_session *a = make_session(model, NESTED_LEARN_MEMORY), *b = make_session(model, NESTED_LEARN_MEMORY);
    nested_view v = dense_view(last, NESTED_F32, 0, VOCAB);
    size_t count = 77;
    int i;
    FAILS(NESTED_E_STATE, nested_session_output(a, output, VOCAB, &count));
    CHECK(count == 77);
    OK(nested_session_feed(a, text, N, NULL, &v, NULL));
    feed_pieces(b, 0, N, N, all);
    CHECK(same(last, all + (N - 1) * VOCAB, sizeof last));
    FAILS(NESTED_E_CAPACITY, nested_session_output(a, NULL, 0, &count));
    CHECK(count == VOCAB);
    FAILS(NESTED_E_CAPACITY, nested_session_output(a, output, VOCAB - 1, &count));
    OK(nested_session_output(a, output, VOCAB, &count));
    CHECK(same(output, last, sizeof last));
    FAILS(NESTED_E_ARGUMENT, nested_session_output(a, NULL, VOCAB, &count));
    FAILS(NESTED_E_ARGUMENT, nested_session_output(a, output, VOCAB, NULL));

    /* Doubles, and rows with gaps. */
    OK(nested_session_reset(a));
    v = dense_view(doubles, NESTED_F64, N, VOCAB);
    OK(nested_session_feed(a, text, N, NULL, &v, NULL));
    for (i = 0; i < N * VOCAB; i++)
        if (doubles[i] != (double)all[i]) break;
    CHECK(i == N * VOCAB);
    nested_session_release(a);
    nested_session_release(b);
}

static void modes(void)
{
    nested_session *a = make_session(model, NESTED_LEARN_ON), *b = NULL;
    nested_session_info info;
    nested_feed fed;
    NESTED_INIT(info);
    NESTED_INIT(fed);
    OK(nested_session_feed(a, text, N, NULL, NULL, &fed));
    CHECK(fed.n_updates > 0);
    OK(nested_session_get_info(a, &info));
    CHECK(info.position == N && info.learn == NESTED_LEARN_ON && info.n_updates == fed.n_updates && info.seed == 7);
    CHECK(info.state_bytes > 0 && info.n_skipped == 0);
    OK(nested_session_fork(a, &b));
    CHECK(same_state(a, b));
    OK(nested_session_feed(b, text, 5, NULL, NULL, NULL));
    CHECK(!same_state(a, b));
    OK(nested_session_feed(a, text, 5, NULL, NULL, NULL));
    CHECK(same_state(a, b));
    OK(nested_session_set_learn(a, NESTED_LEARN_OFF));
    OK(nested_session_feed(a, text, 40, NULL, NULL, &fed));
    CHECK(fed.n_updates == 0);
    OK(nested_session_get_info(a, &info));
    CHECK(info.learn == NESTED_LEARN_OFF && info.position == N + 45);
    OK(nested_session_reset(a));
    OK(nested_session_get_info(a, &info));
    CHECK(info.position == 0 && info.n_updates == 0);
    FAILS(NESTED_E_RANGE, nested_session_set_learn(a, 3));
    FAILS(NESTED_E_RANGE, nested_session_set_learn(a, -1));
    nested_session_release(a);
    nested_session_release(b);
}

static void scores(void)
{
    float logprobs[20], logits[20 * VOCAB];
    nested_session *a = make_session(model, NESTED_LEARN_MEMORY), *b = NULL;
    nested_view v = dense_view(logits, NESTED_F32, 20, VOCAB);
    float before[VOCAB];
    size_t count;
    double sum = 0, total = 0;
    int i, j;
    OK(nested_session_score(a, text, 20, NULL, logprobs, &sum));
    CHECK(isnan(logprobs[0]) && sum < 0);
    OK(nested_session_feed(a, text, 11, NULL, NULL, NULL));
    OK(nested_session_fork(a, &b));
    OK(nested_session_score(a, text + 11, 20, NULL, logprobs, &sum));
    CHECK(same_state(a, b));
    OK(nested_session_output(a, before, VOCAB, &count));
    OK(nested_session_feed(b, text + 11, 20, NULL, &v, NULL));
    for (i = 0; i < 20; i++) {
        const float *row = i == 0 ? before : logits + (i - 1) * VOCAB;
        double max = -1e30, lse = 0;
        for (j = 0; j < VOCAB; j++) max = row[j] > max ? row[j] : max;
        for (j = 0; j < VOCAB; j++) lse += exp(row[j] - max);
        CHECK(fabs(row[text[11 + i]] - max - log(lse) - logprobs[i]) < 1e-4);
        total += logprobs[i];
    }
    CHECK(fabs(total - sum) < 1e-4);
    OK(nested_session_score(a, text, 3, NULL, NULL, NULL));
    nested_session_release(a);
    nested_session_release(b);
}

static void many(void)
{
    enum { COUNT = 33 };
    static float together[COUNT * VOCAB], alone[VOCAB];
    nested_session *batch[COUNT], *single[COUNT], *other;
    nested_model *second = make_model(context, 2);
    nested_view v = dense_view(together, NESTED_F32, COUNT, VOCAB), w = dense_view(alone, NESTED_F32, 0, VOCAB);
    int32_t tokens[COUNT];
    size_t fed = 99;
    int i, round;
    for (i = 0; i < COUNT; i++) {
        batch[i] = make_session(model, i % 3);
        single[i] = make_session(model, i % 3);
    }
    for (round = 0; round < 20; round++) {
        for (i = 0; i < COUNT; i++) tokens[i] = text[(round + i) % N];
        OK(nested_sessions_feed(batch, COUNT, tokens, NULL, &v, &fed));
        CHECK(fed == COUNT);
        for (i = 0; i < COUNT; i++) {
            OK(nested_session_feed(single[i], tokens + i, 1, NULL, &w, NULL));
            CHECK(same(alone, together + i * VOCAB, sizeof alone));
        }
    }
    for (i = 0; i < COUNT; i++) CHECK(same_state(batch[i], single[i]));

    fed = 99;
    other = batch[5];
    batch[5] = batch[4];
    FAILS(NESTED_E_ARGUMENT, nested_sessions_feed(batch, COUNT, tokens, NULL, &v, &fed));
    batch[5] = make_session(second, 0);
    FAILS(NESTED_E_MISMATCH, nested_sessions_feed(batch, COUNT, tokens, NULL, &v, &fed));
    nested_session_release(batch[5]);
    FAILS(NESTED_E_HANDLE, nested_sessions_feed(batch, COUNT, tokens, NULL, &v, &fed));
    batch[5] = other;
    tokens[32] = VOCAB;
    FAILS(NESTED_E_RANGE, nested_sessions_feed(batch, COUNT, tokens, NULL, &v, &fed));
    FAILS(NESTED_E_ARGUMENT, nested_sessions_feed(NULL, COUNT, tokens, NULL, &v, &fed));
    FAILS(NESTED_E_ARGUMENT, nested_sessions_feed(batch, 0, tokens, NULL, &v, &fed));
    FAILS(NESTED_E_RANGE, nested_sessions_feed(batch, SIZE_MAX, tokens, NULL, &v, &fed));
    tokens[32] = 0;
    FAILS(NESTED_E_SHAPE, nested_sessions_feed(batch, COUNT - 1, tokens, NULL, &v, &fed));
    CHECK(fed == 99);
    for (i = 0; i < COUNT; i++) CHECK(same_state(batch[i], single[i]));
    for (i = 0; i < COUNT; i++) {
        nested_session_release(batch[i]);
        nested_session_release(single[i]);
    }
    nested_model_release(second);
}

static void bad_arguments(void)
{
    float logits[N * VOCAB];
    nested_session *a = make_session(model, NESTED_LEARN_ON), *b = make_session(model, NESTED_LEARN_ON), *c = NULL;
    nested_session_options options;
    nested_view v = dense_view(logits, NESTED_F32, 3, VOCAB);
    nested_feed fed;
    int32_t wrong[3] = {1, VOCAB, 2};
    nested_error e;
    double sum = 5;
    NESTED_INIT(fed);
    NESTED_INIT(e);
    fed.n_consumed = 77;
    FAILS(NESTED_E_RANGE, nested_session_feed(a, wrong, 3, NULL, NULL, &fed));
    OK(nested_last_error(&e));
    CHECK(strcmp(e.place, "tokens[1]") == 0 && strcmp(e.function, "nested_session_feed") == 0);
    wrong[1] = INT32_MIN;
    FAILS(NESTED_E_RANGE, nested_session_feed(a, wrong, 3, NULL, NULL, &fed));
    FAILS(NESTED_E_ARGUMENT, nested_session_feed(a, NULL, 3, NULL, NULL, &fed));
    FAILS(NESTED_E_ARGUMENT, nested_session_feed(a, text, 0, NULL, NULL, &fed));
    FAILS(NESTED_E_RANGE, nested_session_feed(a, text, SIZE_MAX, NULL, NULL, &fed));
    FAILS(NESTED_E_RANGE, nested_session_feed(a, text, (size_t)1 << 62, NULL, NULL, &fed));
    FAILS(NESTED_E_LAYOUT, nested_session_feed(a, (const int32_t *)((const char *)text + 2), 3, NULL, NULL, &fed));
    FAILS(NESTED_E_SHAPE, nested_session_feed(a, text, 4, NULL, &v, &fed));
    v.shape[1] = VOCAB - 1;
    FAILS(NESTED_E_SHAPE, nested_session_feed(a, text, 3, NULL, &v, &fed));
    v = dense_view(logits, NESTED_I32, 3, VOCAB);
    FAILS(NESTED_E_DTYPE, nested_session_feed(a, text, 3, NULL, &v, &fed));
    v = dense_view(NULL, NESTED_F32, 3, VOCAB);
    FAILS(NESTED_E_ARGUMENT, nested_session_feed(a, text, 3, NULL, &v, &fed));
    CHECK(fed.n_consumed == 77 && same_state(a, b));
    FAILS(NESTED_E_RANGE, nested_session_score(a, wrong, 3, NULL, NULL, &sum));
    FAILS(NESTED_E_ARGUMENT, nested_session_score(a, NULL, 3, NULL, NULL, &sum));
    CHECK(sum == 5);
    NESTED_INIT(options);
    options.learn = 9;
    FAILS(NESTED_E_RANGE, nested_session_create(model, &options, &c));
    FAILS(NESTED_E_ARGUMENT, nested_session_create(model, NULL, NULL));
    FAILS(NESTED_E_HANDLE, nested_session_create(NULL, NULL, &c));
    FAILS(NESTED_E_ARGUMENT, nested_session_fork(a, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_session_get_info(a, NULL));
    CHECK(c == NULL);
    nested_session_release(a);
    nested_session_release(b);
}

int main(void)
{
    context = make_context(2);
    model = make_model(context, 1);
    fill_tokens(text, N, 9);
    pieces();
    outputs();
    modes();
    scores();
    many();
    bad_arguments();
    nested_model_release(model);
    nested_context_release(context);
    return done();
}
