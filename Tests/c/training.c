/* Section 9: a trainer's steps, their pieces, the gradient and its hook, fit, and resuming bit for bit. */
#include "check.h"

#define ROWS 3
#define LENGTH 17

static nested_context *context;
static int32_t text[2000];
static const char options[] = "{\"lr\":0.01,\"schedule\":{\"type\":\"cosine\",\"warmup\":2,\"total\":50}}";

static nested_trainer *make_trainer(nested_model *model)
{
    nested_trainer *trainer = NULL;
    OK(nested_trainer_create(model, options, NESTED_NUL_TERMINATED, &trainer));
    return trainer;
}

static void learning(void)
{
    nested_model *model = make_model(context, 1);
    nested_trainer *trainer = make_trainer(model);
    nested_batch batch = make_batch(text, ROWS, LENGTH);
    nested_step step;
    nested_eval before, after;
    nested_model_info info;
    uint64_t version;
    int i;
    NESTED_INIT(step);
    NESTED_INIT(before);
    NESTED_INIT(after);
    NESTED_INIT(info);
    OK(nested_model_evaluate(model, &batch, NULL, &before));
    CHECK(before.n_targets == ROWS * (LENGTH - 1) && before.loss > 0);
    CHECK(fabs(before.perplexity - exp(before.loss)) < 1e-9 * before.perplexity);
    OK(nested_model_get_info(model, &info));
    version = info.version;
    for (i = 1; i <= 30; i++) {
        OK(nested_trainer_step(trainer, &batch, NULL, &step));
        CHECK(step.applied == 1 && step.skip_reason == NESTED_SKIP_NONE && step.step == (uint64_t)i);
        CHECK(step.grad_norm > 0 && step.update_norm > 0 && step.lr > 0 && step.n_targets == before.n_targets);
        if (i == 1) CHECK(fabs(step.loss - before.loss) < 1e-4 * before.loss);
    }
    OK(nested_model_evaluate(model, &batch, NULL, &after));
    CHECK(after.loss < 0.8 * before.loss);
    OK(nested_model_get_info(model, &info));
    CHECK(info.version > version);
    OK(nested_trainer_set_lr(trainer, 0.125));
    OK(nested_trainer_step(trainer, &batch, NULL, &step));
    CHECK(step.lr == 0.125);
    OK(nested_trainer_set_lr(trainer, -1));
    OK(nested_trainer_step(trainer, &batch, NULL, NULL));
    FAILS(NESTED_E_NUMERIC, nested_trainer_set_lr(trainer, NAN));
    FAILS(NESTED_E_NUMERIC, nested_trainer_set_lr(trainer, INFINITY));
    nested_trainer_release(trainer);
    nested_model_release(model);
}

static void forward(void)
{
    static float logits[ROWS * LENGTH * VOCAB];
    static double doubles[ROWS * LENGTH * VOCAB];
    nested_model *model = make_model(context, 1);
    nested_batch batch = make_batch(text, ROWS, LENGTH);
    nested_view v;
    int i;
    memset(&v, 0, sizeof v);
    v.data = logits;
    v.dtype = NESTED_F32;
    v.ndim = 3;
    v.shape[0] = ROWS;
    v.shape[1] = LENGTH;
    v.shape[2] = VOCAB;
    OK(nested_model_forward(model, &batch, NULL, &v));
    v.data = doubles;
    v.dtype = NESTED_F64;
    OK(nested_model_forward(model, &batch, NULL, &v));
    for (i = 0; i < ROWS * LENGTH * VOCAB; i++)
        if (doubles[i] != (double)logits[i] || !isfinite(logits[i])) break;
    CHECK(i == ROWS * LENGTH * VOCAB);
    v.shape[1] = LENGTH + 1;
    FAILS(NESTED_E_SHAPE, nested_model_forward(model, &batch, NULL, &v));
    v.dtype = NESTED_F16;
    FAILS(NESTED_E_DTYPE, nested_model_forward(model, &batch, NULL, &v));
    FAILS(NESTED_E_ARGUMENT, nested_model_forward(model, &batch, NULL, NULL));
    nested_model_release(model);
}

static void targets(void)
{
    int32_t next[ROWS * LENGTH];
    float weights[ROWS * LENGTH];
    nested_model *model = make_model(context, 1);
    nested_batch batch = make_batch(text, ROWS, LENGTH);
    nested_eval a, b;
    int i;
    NESTED_INIT(a);
    NESTED_INIT(b);
    OK(nested_model_evaluate(model, &batch, NULL, &a));
    for (i = 0; i < ROWS * LENGTH; i++) next[i] = (i + 1) % LENGTH == 0 ? NESTED_IGNORE_TARGET : text[i + 1];
    batch.targets = next;
    OK(nested_model_evaluate(model, &batch, NULL, &b));
    CHECK(a.loss == b.loss && a.n_targets == b.n_targets);
    for (i = 0; i < ROWS * LENGTH; i++) weights[i] = 1;
    batch.weights = weights;
    OK(nested_model_evaluate(model, &batch, NULL, &b));
    CHECK(fabs(a.loss - b.loss) < 1e-6 && a.n_targets == b.n_targets);
    for (i = 0; i < ROWS * LENGTH; i++) next[i] = NESTED_IGNORE_TARGET;
    OK(nested_model_evaluate(model, &batch, NULL, &b));
    CHECK(isnan(b.loss) && b.n_targets == 0);
    {
        nested_trainer *trainer = make_trainer(model), *second = NULL;
        nested_step step;
        nested_model *fresh = make_model(context, 1);
        NESTED_INIT(step);
        OK(nested_trainer_step(trainer, &batch, NULL, &step));
        CHECK(step.applied == 0 && step.skip_reason == NESTED_SKIP_NO_TARGETS && same_weights(model, fresh));
        FAILS(NESTED_E_EXISTS, nested_trainer_create(model, NULL, 0, &second));
        CHECK(second == NULL);
        nested_trainer_release(trainer);
        OK(nested_trainer_create(model, NULL, 0, &trainer));
        nested_trainer_release(trainer);
        nested_model_release(fresh);
    }
    weights[5] = -1;
    FAILS(NESTED_E_RANGE, nested_model_evaluate(model, &batch, NULL, &b));
    weights[5] = NAN;
    FAILS(NESTED_E_NUMERIC, nested_model_evaluate(model, &batch, NULL, &b));
    batch.weights = NULL;
    next[4] = VOCAB;
    FAILS(NESTED_E_RANGE, nested_model_evaluate(model, &batch, NULL, &b));
    next[4] = -1;
    FAILS(NESTED_E_RANGE, nested_model_evaluate(model, &batch, NULL, &b));
    nested_model_release(model);
}

/* accumulate + accumulate + apply = what one step over both batches does, and the hook sees every element once. */
typedef struct {
    size_t elements;
    int calls, targets_calls;
    double factor;
    int32_t answer;
} worker;

static int32_t reduce(void *user, void *data, size_t count, int32_t dtype)
{
    worker *w = (worker *)user;
    size_t i;
    w->calls++;
    if (dtype == NESTED_F64) {
        CHECK(count == 1);
        w->targets_calls++;
        *(double *)data *= w->factor;
    } else {
        CHECK(dtype == NESTED_F32 && count <= 1000);
        w->elements += count;
        for (i = 0; i < count; i++) ((float *)data)[i] *= (float)w->factor;
    }
    return w->answer;
}

static void pieces(void)
{
    nested_model *a = make_model(context, 1), *b = make_model(context, 1), *c = make_model(context, 1);
    nested_trainer *x = make_trainer(a), *y = make_trainer(b), *z = make_trainer(c);
    nested_batch batch = make_batch(text, ROWS, LENGTH), other = make_batch(text + 500, ROWS, LENGTH);
    nested_step step;
    nested_eval eval;
    nested_model_info info;
    float *gradient = NULL;
    size_t count = 0, i;
    double *n_targets = NULL, sum = 0;
    worker w;
    NESTED_INIT(step);
    NESTED_INIT(eval);
    NESTED_INIT(info);
    OK(nested_model_get_info(a, &info));

    OK(nested_trainer_accumulate(x, &batch, NULL, &eval));
    CHECK(eval.n_targets == ROWS * (LENGTH - 1));
    OK(nested_trainer_gradient(x, &gradient, &count, &n_targets));
    CHECK(count == info.n_params && *n_targets == eval.n_targets);
    for (i = 0; i < count; i++) sum += (double)gradient[i] * (double)gradient[i];
    OK(nested_trainer_apply(x, NULL, &step));
    CHECK(fabs(sqrt(sum) / eval.n_targets - step.grad_norm) < 1e-4 * step.grad_norm);
    OK(nested_trainer_step(y, &batch, NULL, NULL));
    CHECK(same_weights(a, b));

    /* Two workers with the same batch: twice the sum over twice the targets is the same mean. */
    memset(&w, 0, sizeof w);
    w.factor = 2;
    OK(nested_trainer_set_allreduce(z, reduce, &w, 1000));
    OK(nested_trainer_step(z, &batch, NULL, &step));
    CHECK(w.elements == info.n_params && w.targets_calls == 1 && step.n_targets == 2 * ROWS * (LENGTH - 1));
    CHECK(same_weights(a, c));
    w.answer = 5;
    FAILS(NESTED_E_CALLBACK, nested_trainer_step(z, &batch, NULL, &step));
    {
        nested_error e;
        NESTED_INIT(e);
        OK(nested_last_error(&e));
        CHECK(e.callback_code == 5);
    }
    CHECK(same_weights(a, c));
    OK(nested_trainer_set_allreduce(z, NULL, NULL, 0));
    OK(nested_trainer_step(z, &other, NULL, NULL));
    OK(nested_trainer_step(y, &other, NULL, NULL));
    CHECK(same_weights(b, c));

    OK(nested_trainer_accumulate(x, &batch, NULL, NULL));
    OK(nested_trainer_zero(x));
    OK(nested_trainer_accumulate(x, &other, NULL, NULL));
    OK(nested_trainer_apply(x, NULL, NULL));
    CHECK(same_weights(a, b));

    /* A gradient that is not finite: nothing moves, and it is said. */
    OK(nested_trainer_accumulate(x, &batch, NULL, NULL));
    OK(nested_trainer_gradient(x, &gradient, NULL, NULL));
    gradient[3] = NAN;
    OK(nested_trainer_apply(x, NULL, &step));
    CHECK(step.applied == 0 && step.skip_reason == NESTED_SKIP_NONFINITE && same_weights(a, b));
    FAILS(NESTED_E_ARGUMENT, nested_trainer_gradient(x, NULL, &count, NULL));
    FAILS(NESTED_E_RANGE, nested_trainer_set_allreduce(x, reduce, &w, SIZE_MAX));
    nested_trainer_release(x);
    nested_trainer_release(y);
    nested_trainer_release(z);
    nested_model_release(a);
    nested_model_release(b);
    nested_model_release(c);
}

static void fit_and_resume(void)
{
    nested_model *a = make_model(context, 1), *b = NULL;
    nested_trainer *x = make_trainer(a), *y = NULL;
    nested_fit fit;
    nested_blob *blob = NULL;
    const char *weights = scratch("weights"), *state = scratch("state");
    NESTED_INIT(fit);
    OK(nested_trainer_fit(x, text, 2000, 5, 2, 16, NULL, &fit));
    CHECK(fit.n_steps == 5 && fit.n_skipped == 0 && fit.mean_loss > 0 && fit.last_loss > 0);
    OK(nested_model_save(a, weights, 0, NULL));
    OK(nested_trainer_save(x, state, 0, NULL));
    OK(nested_trainer_fit(x, text, 2000, 5, 2, 16, NULL, &fit));

    OK(nested_model_load(context, weights, 0, NULL, &b));
    OK(nested_trainer_create(b, "{\"lr\":1}", NESTED_NUL_TERMINATED, &y));
    OK(nested_trainer_load(y, state, NULL));
    OK(nested_trainer_get_options(y, &blob));
    CHECK(strstr((const char *)nested_blob_data(blob), "\"lr\":0.01") != NULL);
    nested_blob_release(blob);
    OK(nested_trainer_fit(y, text, 2000, 5, 2, 16, NULL, &fit));
    CHECK(same_weights(a, b));

    FAILS(NESTED_E_CORRUPT, nested_trainer_load(y, weights, NULL));
    CHECK(same_weights(a, b));
    FAILS(NESTED_E_IO, nested_trainer_load(y, scratch("missing"), NULL));
    FAILS(NESTED_E_RANGE, nested_trainer_fit(x, text, 16, 1, 1, 16, NULL, &fit));
    FAILS(NESTED_E_RANGE, nested_trainer_fit(x, text, 2000, 0, 1, 16, NULL, &fit));
    FAILS(NESTED_E_RANGE, nested_trainer_fit(x, text, 2000, 1, -1, 16, NULL, &fit));
    FAILS(NESTED_E_RANGE, nested_trainer_fit(x, text, 2000, 1, 1, INT64_MAX, NULL, &fit));
    FAILS(NESTED_E_RANGE, nested_trainer_fit(x, text, SIZE_MAX, 1, 1, 16, NULL, &fit));
    FAILS(NESTED_E_ARGUMENT, nested_trainer_fit(x, NULL, 2000, 1, 1, 16, NULL, &fit));
    FAILS(NESTED_E_ARGUMENT, nested_trainer_fit(x, text, 0, 1, 1, 16, NULL, &fit));
    OK(nested_trainer_accumulate(x, &(nested_batch){.struct_size = sizeof(nested_batch), .n_seq = 1, .seq_len = 8, .tokens = text}, NULL, NULL));
    FAILS(NESTED_E_STATE, nested_trainer_fit(x, text, 2000, 1, 1, 16, NULL, &fit));
    nested_trainer_release(x);
    nested_trainer_release(y);
    nested_model_release(a);
    nested_model_release(b);
    CHECK(unlink(weights) == 0 && unlink(state) == 0);
}

static void bad_arguments(void)
{
    static const char *const bad[] = {"{\"lr\":\"fast\"}",     "{\"speed\":1}", "{\"optimizer\":\"magic\"}",
                                      "{\"betas\":[0.9]}",     "{\"lr\":-1}",   "{\"accumulate\":0}",
                                      "{\"schedule\":{\"x\":1}}"};
    nested_model *model = make_model(context, 1);
    nested_trainer *trainer = NULL;
    nested_batch batch = make_batch(text, ROWS, LENGTH);
    nested_step step;
    size_t i;
    int32_t wrong[4] = {0, 1, VOCAB, 2};
    NESTED_INIT(step);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        nested_error e;
        NESTED_INIT(e);
        FAILS(NESTED_E_CONFIG, nested_trainer_create(model, bad[i], NESTED_NUL_TERMINATED, &trainer));
        OK(nested_last_error(&e));
        CHECK(e.place[0] == '/');
    }
    FAILS(NESTED_E_PARSE, nested_trainer_create(model, "{", 1, &trainer));
    FAILS(NESTED_E_ARGUMENT, nested_trainer_create(model, "{}", 2, NULL));
    OK(nested_trainer_create(model, "{}", 2, &trainer));
    FAILS(NESTED_E_ARGUMENT, nested_trainer_step(trainer, NULL, NULL, &step));
    batch.n_seq = 0;
    FAILS(NESTED_E_RANGE, nested_trainer_step(trainer, &batch, NULL, &step));
    batch.n_seq = INT64_MIN;
    FAILS(NESTED_E_RANGE, nested_trainer_step(trainer, &batch, NULL, &step));
    batch.n_seq = INT64_MAX;
    FAILS(NESTED_E_RANGE, nested_trainer_step(trainer, &batch, NULL, &step));
    batch.n_seq = batch.seq_len = INT32_MAX;
    FAILS(NESTED_E_RANGE, nested_trainer_step(trainer, &batch, NULL, &step));
    batch = make_batch(wrong, 1, 4);
    FAILS(NESTED_E_RANGE, nested_trainer_step(trainer, &batch, NULL, &step));
    wrong[2] = -1;
    FAILS(NESTED_E_RANGE, nested_trainer_step(trainer, &batch, NULL, &step));
    batch.tokens = NULL;
    FAILS(NESTED_E_ARGUMENT, nested_trainer_step(trainer, &batch, NULL, &step));
    batch.tokens = (const int32_t *)((const char *)text + 1);
    FAILS(NESTED_E_LAYOUT, nested_trainer_step(trainer, &batch, NULL, &step));
    nested_trainer_release(trainer);
    nested_model_release(model);
}

int main(void)
{
    context = make_context(2);
    fill_tokens(text, 2000, 5);
    learning();
    forward();
    targets();
    pieces();
    fit_and_resume();
    bad_arguments();
    nested_context_release(context);
    remove_scratch();
    return done();
}
