/* Rule R7: what the library writes into the host's arrays is what it was asked for and not a byte more, before or behind; a buffer
 * that is too small is left alone and told its size. */
#include "check.h"

#define ROOM 4096
enum { GUARD = 0x6B };

static unsigned char memory[ROOM * 3];
static unsigned char *const start = memory + ROOM; /* arrays begin here, with a guard on both sides */

static void guard(void) { memset(memory, GUARD, sizeof memory); }

/* Nothing but `size` bytes at the start has changed, and of these the first and the last word have. */
static int wrote(size_t size)
{
    size_t i;
    for (i = 0; i < ROOM; i++)
        if (memory[i] != GUARD) return 0;
    for (i = ROOM + size; i < sizeof memory; i++)
        if (memory[i] != GUARD) return 0;
    for (i = 0; i < size && start[i] == GUARD; i++) continue;
    return size == 0 || (i < 8 && memory[ROOM + size - 1] != GUARD);
}

int main(void)
{
    nested_context *context = make_context(1);
    nested_model *model = make_model(context, 1);
    nested_session *session = make_session(model, NESTED_LEARN_MEMORY);
    nested_batch batch;
    int32_t text[24];
    size_t count, n;
    double sum;
    nested_view view;
    fill_tokens(text, 24, 5);
    OK(nested_session_feed(session, text, 24, NULL, NULL, NULL));

    for (n = 0; n <= VOCAB + 5; n++) {
        nested_status status;
        guard();
        count = 0;
        status = nested_session_output(session, n == 0 ? NULL : (float *)(void *)start, n, &count);
        CHECK(count == VOCAB);
        if (n < VOCAB) FAILS(NESTED_E_CAPACITY, status);
        else OK(status);
        CHECK(wrote(n < VOCAB ? 0 : VOCAB * sizeof(float)));
    }
    for (n = 1; n <= 24; n++) {
        guard();
        OK(nested_session_score(session, text, n, NULL, (float *)(void *)start, &sum));
        CHECK(wrote(n * sizeof(float)));
        guard();
        OK(nested_session_generate(session, NULL, n, NULL, NULL, NULL, (int32_t *)(void *)start, &count, NULL));
        CHECK(count == n && wrote(n * sizeof(int32_t)));
    }
    guard();
    view = dense_view(start, NESTED_F64, 0, VOCAB);
    OK(nested_session_feed(session, text, 9, NULL, &view, NULL));
    CHECK(wrote(VOCAB * sizeof(double)));
    guard();
    view = dense_view(start, NESTED_F32, 2, 3);
    view.ndim = 3;
    view.shape[2] = VOCAB;
    batch = make_batch(text, 2, 3);
    OK(nested_model_forward(model, &batch, NULL, &view));
    CHECK(wrote(6 * VOCAB * sizeof(float)));

    /* Gaps between strided elements stay. */
    guard();
    view = dense_view(start, NESTED_F32, 0, VOCAB);
    view.strides[0] = 12;
    OK(nested_session_feed(session, text, 1, NULL, &view, NULL));
    for (n = 0; n < VOCAB * 12; n++)
        if (n % 12 >= 4) CHECK(start[n] == GUARD);
    CHECK(wrote((VOCAB - 1) * 12 + 4));

    /* One number less or more than there are is refused. */
    {
        nested_model_info info;
        float *params;
        NESTED_INIT(info);
        OK(nested_model_get_info(model, &info));
        n = (size_t)info.n_params;
        params = (float *)malloc((n + 2) * sizeof *params);
        CHECK(params != NULL);
        memset(params, GUARD, (n + 2) * sizeof *params);
        FAILS(NESTED_E_SHAPE, nested_model_params_get(model, params + 1, n - 1));
        FAILS(NESTED_E_SHAPE, nested_model_params_get(model, params + 1, n + 1));
        for (count = 0; count < (n + 2) * sizeof *params; count++)
            if (((unsigned char *)params)[count] != GUARD) break;
        CHECK(count == (n + 2) * sizeof *params);
        OK(nested_model_params_get(model, params + 1, n));
        for (count = 0; count < sizeof *params; count++)
            CHECK(((unsigned char *)params)[count] == GUARD && ((unsigned char *)(params + n + 1))[count] == GUARD);
        free(params);
    }
    nested_session_release(session);
    nested_model_release(model);
    nested_context_release(context);
    return done();
}
