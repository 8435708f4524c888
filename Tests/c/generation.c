/* Section 10: sampling. */
#include "check.h"

#define N 24

static nested_context *context;
static nested_model *model;
static int32_t text[40];

typedef struct {
    int calls;
    int32_t answer_at, answer;
    int32_t tokens[N];
    double logprob;
} listener;

static int32_t listen(void *user, const nested_token_event *event)
{
    listener *l = (listener *)user;
    CHECK(event->struct_size == sizeof *event && event->index == l->calls && event->logprob <= 0);
    l->tokens[l->calls++] = event->token;
    l->logprob += event->logprob;
    return l->calls - 1 == l->answer_at ? l->answer : 0;
}

static nested_session *start(uint64_t seed)
{
    nested_session_options options;
    nested_session *session = NULL;
    NESTED_INIT(options);
    options.seed = seed;
    OK(nested_session_create(model, &options, &session));
    OK(nested_session_feed(session, text, 40, NULL, NULL, NULL));
    return session;
}

static void drawing(void)
{
    nested_session *a = start(1), *b = start(1), *c = start(2);
    nested_sampling sampling;
    nested_session_info info;
    int32_t x[N], y[N], z[N], finish = 0;
    size_t count = 0, i;
    listener l;
    double sum;

    /* Greedy: the same whatever the seed, and in one call or many. */
    OK(nested_session_generate(a, NULL, N, NULL, NULL, NULL, x, &count, &finish));
    CHECK(count == N && finish == NESTED_FINISH_LENGTH);
    for (i = 0; i < N; i++) OK(nested_session_generate(c, NULL, 1, NULL, NULL, NULL, y + i, &count, NULL));
    CHECK(same(x, y, sizeof x));
    NESTED_INIT(info);
    OK(nested_session_get_info(a, &info));
    CHECK(info.position == 40 + N);
    nested_session_release(a);
    nested_session_release(c);

    /* Sampled: the seed and the position decide. */
    NESTED_INIT(sampling);
    sampling.temperature = 1;
    sampling.top_k = 20;
    sampling.top_p = 0.95;
    a = start(1);
    c = start(2);
    memset(&l, 0, sizeof l);
    l.answer_at = -1;
    OK(nested_session_score(b, text, 1, NULL, NULL, NULL));
    OK(nested_session_generate(a, &sampling, N, listen, &l, NULL, x, &count, &finish));
    CHECK(l.calls == N && same(l.tokens, x, sizeof x));
    OK(nested_session_score(b, x, N, NULL, NULL, &sum));
    CHECK(fabs(sum - l.logprob) < 1e-3);
    OK(nested_session_generate(b, &sampling, N, NULL, NULL, NULL, y, &count, NULL));
    OK(nested_session_generate(c, &sampling, N, NULL, NULL, NULL, z, &count, NULL));
    CHECK(same(x, y, sizeof x) && !same(x, z, sizeof x));
    OK(nested_session_generate(a, &sampling, 0, NULL, NULL, NULL, NULL, &count, &finish));
    CHECK(count == 0 && finish == NESTED_FINISH_LENGTH);
    nested_session_release(a);
    nested_session_release(b);
    nested_session_release(c);
}

static void stopping(void)
{
    nested_session *a = start(1);
    nested_sampling sampling;
    int32_t first[N], x[N], finish = 0;
    size_t count = 0;
    float bias[VOCAB] = {0};
    listener l;
    nested_error e;
    OK(nested_session_generate(a, NULL, N, NULL, NULL, NULL, first, &count, NULL));
    nested_session_release(a);

    a = start(1);
    NESTED_INIT(sampling);
    sampling.stop_tokens = first + 3;
    sampling.n_stop_tokens = 1;
    OK(nested_session_generate(a, &sampling, N, NULL, NULL, NULL, x, &count, &finish));
    CHECK(finish == NESTED_FINISH_STOP && count <= 4 && x[count - 1] == first[3]);
    nested_session_release(a);

    a = start(1);
    memset(&l, 0, sizeof l);
    l.answer_at = 2;
    l.answer = 1;
    OK(nested_session_generate(a, NULL, N, listen, &l, NULL, x, &count, &finish));
    CHECK(finish == NESTED_FINISH_CALLBACK && count == 3 && same(x, first, 3 * sizeof *x));
    memset(&l, 0, sizeof l);
    l.answer_at = 1;
    l.answer = -7;
    FAILS(NESTED_E_CALLBACK, nested_session_generate(a, NULL, N, listen, &l, NULL, x, &count, &finish));
    CHECK(count == 2 && same(x, first + 3, 2 * sizeof *x));
    NESTED_INIT(e);
    OK(nested_last_error(&e));
    CHECK(e.callback_code == -7);
    OK(nested_session_generate(a, NULL, 1, NULL, NULL, NULL, x, &count, NULL));
    CHECK(x[0] == first[5]);

    /* A token that is forbidden does not come. */
    bias[first[6]] = -INFINITY;
    NESTED_INIT(sampling);
    sampling.logit_bias = bias;
    OK(nested_session_generate(a, &sampling, 1, NULL, NULL, NULL, x, &count, NULL));
    CHECK(x[0] != first[6]);
    nested_session_release(a);
}

static void bad_arguments(void)
{
    nested_session *a = make_session(model, NESTED_LEARN_MEMORY);
    nested_sampling s;
    int32_t x[4], stop = VOCAB;
    float bias[VOCAB] = {0};
    size_t count = 9;
    FAILS(NESTED_E_STATE, nested_session_generate(a, NULL, 4, NULL, NULL, NULL, x, &count, NULL));
    OK(nested_session_feed(a, text, 3, NULL, NULL, NULL));
#define BAD(field, value, status) \
    NESTED_INIT(s); \
    s.field = value; \
    FAILS(status, nested_session_generate(a, &s, 4, NULL, NULL, NULL, x, &count, NULL))
    BAD(temperature, -1, NESTED_E_RANGE);
    BAD(temperature, NAN, NESTED_E_NUMERIC);
    BAD(temperature, INFINITY, NESTED_E_NUMERIC);
    BAD(top_k, -1, NESTED_E_RANGE);
    BAD(top_p, 1.5, NESTED_E_RANGE);
    BAD(top_p, -0.5, NESTED_E_RANGE);
    BAD(min_p, 2, NESTED_E_RANGE);
    BAD(repetition_penalty, -1, NESTED_E_RANGE);
    BAD(repetition_window, -1, NESTED_E_RANGE);
    BAD(repetition_window, INT64_MAX, NESTED_E_RANGE);
    BAD(n_stop_tokens, 1, NESTED_E_ARGUMENT);
    NESTED_INIT(s);
    s.stop_tokens = &stop;
    s.n_stop_tokens = 1;
    FAILS(NESTED_E_RANGE, nested_session_generate(a, &s, 4, NULL, NULL, NULL, x, &count, NULL));
    s.n_stop_tokens = UINT64_MAX;
    FAILS(NESTED_E_RANGE, nested_session_generate(a, &s, 4, NULL, NULL, NULL, x, &count, NULL));
    bias[3] = NAN;
    BAD(logit_bias, bias, NESTED_E_NUMERIC);
    FAILS(NESTED_E_RANGE, nested_session_generate(a, NULL, SIZE_MAX, NULL, NULL, NULL, NULL, &count, NULL));
    CHECK(count == 9);
    nested_session_release(a);
}

int main(void)
{
    context = make_context(1);
    model = make_model(context, 1);
    fill_tokens(text, 40, 3);
    drawing();
    stopping();
    bad_arguments();
    nested_model_release(model);
    nested_context_release(context);
    return done();
}
