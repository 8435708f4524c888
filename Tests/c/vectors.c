/* Kind cms, the tasks classify and regress: batches with vectors and labels, teaching, predicting, a head that grows. */
#include "check.h"

static nested_context *context;

static nested_model *model_of(const char *json)
{
    nested_config *config = make_config(json);
    nested_model *model = NULL;
    OK(nested_model_create(context, config, 3, &model));
    nested_config_release(config);
    return model;
}

static const char cms_config[] =
    "{\"kind\":\"cms\",\"inputs\":4,\"d_model\":16,\"classes\":2,"
    "\"cms\":{\"levels\":[{\"chunk\":2,\"hidden\":16},{\"chunk\":8,\"hidden\":16}]}}";

static nested_cview cview(const void *data, int32_t dtype, int ndim, int64_t a, int64_t b, int64_t c)
{
    nested_cview view;
    memset(&view, 0, sizeof view);
    view.data = data;
    view.dtype = dtype;
    view.ndim = ndim;
    view.shape[0] = a;
    view.shape[1] = b;
    view.shape[2] = c;
    return view;
}

static nested_batch labelled(const nested_cview *inputs, const nested_cview *labels, int64_t n, int64_t t)
{
    nested_batch batch = make_batch(NULL, n, t);
    batch.inputs = inputs;
    batch.labels = labels;
    return batch;
}

static void info(const nested_session *session, int64_t position, int64_t outputs)
{
    nested_session_info i;
    NESTED_INIT(i);
    OK(nested_session_get_info(session, &i));
    CHECK(i.position == position && i.n_outputs == outputs);
}

static void configurations(void)
{
    nested_config *config = NULL;
    nested_model *model;
    nested_model_info i;
    int64_t n;
    CHECK(nested_has_feature("kind.cms") && nested_has_feature("task.classify") && nested_has_feature("task.regress"));
    OK(nested_config_create(NESTED_KIND_CMS, &config));
    FAILS(NESTED_E_CONFIG, nested_config_validate(config)); /* inputs */
    OK(nested_config_set_int(config, "/inputs", 4));
    OK(nested_config_validate(config));
    OK(nested_config_get_int(config, "/head/chunk", &n));
    CHECK(n == 1);
    OK(nested_config_set_string(config, "/task", "lm"));
    FAILS(NESTED_E_CONFIG, nested_config_validate(config));
    FAILS(NESTED_E_NOT_FOUND, nested_config_get_int(config, "/head/chunk", &n));
    OK(nested_config_set_string(config, "/task", "regress"));
    FAILS(NESTED_E_CONFIG, nested_config_validate(config)); /* outputs */
    OK(nested_config_set_int(config, "/outputs", 3));
    OK(nested_config_validate(config));
    OK(nested_config_set_int(config, "/vocab", 5));
    FAILS(NESTED_E_CONFIG, nested_config_validate(config));
    nested_config_release(config);

    model = model_of(cms_config);
    NESTED_INIT(i);
    OK(nested_model_get_info(model, &i));
    CHECK(i.kind == NESTED_KIND_CMS && i.task == NESTED_TASK_CLASSIFY && i.n_layers == 1 && i.n_levels == 2);
    CHECK(i.vocab == 0 && i.n_inputs == 4 && i.n_outputs == 2 && i.d_model == 16);
    OK(nested_model_tensor_find(model, "cms.1.down.weight", &n));
    OK(nested_model_tensor_find(model, "head.weight", &n));
    nested_model_release(model);
}

/* A model that knows no label: its head is empty and it is a model all the same. */
static void without_labels(void)
{
    nested_model *model = model_of("{\"kind\":\"cms\",\"inputs\":2,\"d_model\":8}"), *copy = NULL;
    nested_session *session;
    nested_blob *blob = NULL;
    nested_tensor_info tensor;
    nested_view view;
    float x[2] = {1, -1}, params[4096];
    int32_t label = 0, unknown = NESTED_IGNORE_TARGET;
    int64_t n;
    nested_model_info i;
    nested_cview inputs = cview(x, NESTED_F32, 3, 1, 1, 2), labels = cview(&label, NESTED_I32, 1, 1, 0, 0);
    nested_cview none = cview(&unknown, NESTED_I32, 1, 1, 0, 0);
    nested_batch batch = labelled(&inputs, &labels, 1, 1);
    nested_eval eval;
    NESTED_INIT(eval);
    NESTED_INIT(tensor);
    NESTED_INIT(i);
    OK(nested_model_tensor_find(model, "head.weight", &n));
    OK(nested_model_tensor_at(model, n, &tensor));
    CHECK(tensor.n_elements == 0 && tensor.shape[0] == 0 && tensor.shape[1] == 8);
    view = dense_view(params, NESTED_F32, 1, 8);
    view.shape[0] = 0;
    OK(nested_model_tensor_get(model, n, &view));
    OK(nested_model_get_info(model, &i));
    CHECK(i.n_outputs == 0);
    OK(nested_model_save_blob(model, 0, &blob));
    OK(nested_model_load_bytes(context, nested_blob_data(blob), nested_blob_size(blob), 0, &copy));
    nested_blob_release(blob);
    FAILS(NESTED_E_RANGE, nested_model_evaluate(model, &batch, NULL, &eval));
    batch.labels = &none;
    OK(nested_model_evaluate(model, &batch, NULL, &eval));
    CHECK(isnan(eval.loss) && eval.n_targets == 0);
    batch.labels = &labels;
    session = make_session(copy, NESTED_LEARN_MEMORY);
    info(session, 0, 0);
    OK(nested_session_feed_vectors(session, &(nested_cview){x, NESTED_F32, 2, {1, 2}, {0}}, NULL, NULL, NULL));
    OK(nested_session_teach(session, &batch, NULL, &eval));
    CHECK(eval.loss == 0 && eval.n_targets == 1 && eval.accuracy == 1); /* one label: nothing to get wrong */
    info(session, 2, 1);
    nested_session_release(session);
    nested_model_release(copy);
    nested_model_release(model);
}

/* Three blobs of points, one class after the other: the head grows, and every class is still known at the end. */
static void classes_arrive(void)
{
    nested_model *model = model_of(cms_config), *merged = NULL;
    nested_session *session = make_session(model, NESTED_LEARN_MEMORY), *fork = NULL, *loaded = NULL;
    float centre[3][4] = {{3, 0, 0, 1}, {0, 3, 0, -1}, {0, 0, 3, 1}}, x[60][4], out[60 * 5];
    int32_t y[60];
    uint32_t state = 12345;
    int i, j, k, right = 0;
    nested_level_control freeze;
    nested_level level;
    nested_model_info mi;
    nested_eval eval;
    nested_batch batch;
    nested_view view;
    nested_blob *a = NULL, *b = NULL;
    nested_snapshot *snapshot = NULL;
    nested_cview inputs, labels;
    NESTED_INIT(eval);
    NESTED_INIT(level);
    NESTED_INIT(mi);
    NESTED_INIT(freeze);
    for (i = 0; i < 60; i++) {
        y[i] = i / 20 == 2 ? 4 : i / 20; /* labels 0, 1, 4: 2 and 3 are never seen */
        for (j = 0; j < 4; j++) {
            state = state * 1664525u + 1013904223u;
            x[i][j] = centre[i / 20][j] + ((float)(state >> 8) / 16777216.0f - 0.5f);
        }
    }
    inputs = cview(x, NESTED_F32, 3, 60, 1, 4);
    labels = cview(y, NESTED_I32, 1, 60, 0, 0);
    batch = labelled(&inputs, &labels, 60, 1);
    OK(nested_session_teach(session, &batch, NULL, &eval));
    CHECK(eval.n_targets == 60 && eval.loss > 0 && eval.accuracy > 0.3);
    info(session, 60, 5);
    for (k = 0; k < 4; k++) OK(nested_session_teach(session, &batch, NULL, &eval));
    OK(nested_session_level(session, 1, 0, &level)); /* the head */
    CHECK(level.chunk == 1 && level.n_updates == 300 && level.n_params == 5 * 16 && level.delta_norm > 0);
    CHECK(level.last_update == 300 && level.next_update == 301);
    FAILS(NESTED_E_RANGE, nested_session_level(session, 1, 1, &level));
    FAILS(NESTED_E_RANGE, nested_session_level(session, 2, 0, &level));
    view = dense_view(out, NESTED_F32, 60, 5);
    OK(nested_session_predict(session, &batch, NULL, &view));
    for (i = 0; i < 60; i++) {
        int best = 0;
        for (j = 1; j < 5; j++)
            if (out[5 * i + j] > out[5 * i + best]) best = j;
        right += best == y[i];
        CHECK(out[5 * i + 2] == -1e30f && out[5 * i + 3] == -1e30f); /* not seen */
    }
    CHECK(right >= 58);
    /* Predicting changes nothing; a file holds everything. */
    OK(nested_session_snapshot(session, &snapshot));
    OK(nested_snapshot_to_blob(snapshot, &a));
    OK(nested_session_save(session, "vectors.nst", NESTED_SAVE_NO_SYNC, NULL));
    OK(nested_session_load(model, "vectors.nst", NULL, &loaded));
    OK(nested_session_fork(session, &fork));
    OK(nested_session_teach(session, &batch, NULL, NULL));
    OK(nested_session_teach(loaded, &batch, NULL, NULL));
    nested_snapshot_release(snapshot);
    nested_blob_release(a);
    for (k = 0; k < 2; k++) {
        snapshot = NULL;
        OK(nested_session_snapshot(k ? session : loaded, &snapshot));
        OK(nested_snapshot_to_blob(snapshot, k ? &a : &b));
        nested_snapshot_release(snapshot);
    }
    CHECK(nested_blob_size(a) == nested_blob_size(b));
    CHECK(memcmp(nested_blob_data(a), nested_blob_data(b), nested_blob_size(a)) == 0);
    nested_blob_release(a);
    nested_blob_release(b);
    nested_session_release(loaded);
    /* A delta goes on from what was learnt. */
    OK(nested_session_save(fork, "vectors.nst", NESTED_SAVE_NO_SYNC | NESTED_SAVE_DELTA, NULL));
    OK(nested_session_load(model, "vectors.nst", NULL, &loaded));
    info(loaded, 0, 5);
    {
        float again[60 * 5];
        view = dense_view(again, NESTED_F32, 60, 5);
        OK(nested_session_predict(loaded, &batch, NULL, &view));
        CHECK(memcmp(again, out, sizeof out) == 0);
    }
    unlink("vectors.nst");
    /* The new model knows as many labels as the session that knows most. */
    {
        const nested_session *sessions[1];
        nested_consolidation options;
        NESTED_INIT(options);
        sessions[0] = loaded;
        options.level_mask = 1u << 3; /* there is no level 2, and the head is bit 2 */
        FAILS(NESTED_E_RANGE, nested_model_consolidate(model, sessions, 1, &options, NULL, &merged));
        options.level_mask = 1; /* without the head */
        OK(nested_model_consolidate(model, sessions, 1, &options, NULL, &merged));
        OK(nested_model_get_info(merged, &mi));
        CHECK(mi.n_outputs == 2);
        nested_model_release(merged);
        OK(nested_model_consolidate(model, sessions, 1, NULL, NULL, &merged));
        OK(nested_model_get_info(merged, &mi));
        CHECK(mi.n_outputs == 5);
        OK(nested_model_evaluate(merged, &batch, NULL, &eval));
        CHECK(eval.accuracy > 0.95 && eval.n_targets == 60);
        nested_model_release(merged);
    }
    /* A head that is frozen stays; one that is reset forgets its labels. */
    freeze.frozen = 1;
    OK(nested_session_level_control(fork, 1, 0, &freeze));
    OK(nested_session_teach(fork, &batch, NULL, NULL));
    OK(nested_session_level(fork, 1, 0, &level));
    CHECK(level.frozen == 1 && level.n_updates == 300);
    OK(nested_session_level_reset(fork, 1, 0));
    info(fork, 360, 2);
    OK(nested_session_reset(fork));
    info(fork, 0, 2);
    nested_session_release(loaded);
    nested_session_release(fork);
    nested_session_release(session);
    nested_model_release(model);
}

/* How rows are handed over does not matter: type, and how many at a time. */
static void handed_over(void)
{
    nested_model *model = model_of(cms_config);
    nested_session *s[3];
    double d[12][4];
    float f[12][4], out[3][12 * 2];
    int32_t y32[12];
    int64_t y64[12];
    int i, j;
    for (i = 0; i < 12; i++) {
        y32[i] = (i * 5) % 3 == 0 ? NESTED_IGNORE_TARGET : i % 2;
        y64[i] = y32[i];
        for (j = 0; j < 4; j++) d[i][j] = f[i][j] = (float)((i * 7 + j * 3) % 5 - 2);
    }
    for (i = 0; i < 3; i++) {
        nested_view view = dense_view(out[i], NESTED_F32, 12, 2);
        nested_cview all = cview(f, NESTED_F32, 3, 12, 1, 4), all64 = cview(d, NESTED_F64, 3, 12, 1, 4);
        nested_cview labels = cview(y32, NESTED_I32, 1, 12, 0, 0), labels64 = cview(y64, NESTED_I64, 2, 12, 1, 0);
        nested_batch batch = labelled(i == 1 ? &all64 : &all, i == 1 ? &labels64 : &labels, 12, 1);
        s[i] = make_session(model, NESTED_LEARN_OFF);
        if (i < 2) {
            OK(nested_session_teach(s[i], &batch, NULL, NULL));
        } else {
            for (j = 0; j < 12; j++) {
                nested_cview one = cview(f[j], NESTED_F32, 3, 1, 1, 4), label = cview(y32 + j, NESTED_I32, 1, 1, 0, 0);
                nested_batch row = labelled(&one, &label, 1, 1);
                OK(nested_session_teach(s[i], &row, NULL, NULL));
            }
        }
        batch.inputs = &all;
        OK(nested_session_predict(s[i], &batch, NULL, &view));
        CHECK(memcmp(out[i], out[0], sizeof out[0]) == 0);
        nested_session_release(s[i]);
    }
    nested_model_release(model);
}

/* Numbers, with some that are not known; trained and taught. */
static void regression(void)
{
    nested_model *model =
        model_of("{\"kind\":\"cms\",\"task\":\"regress\",\"inputs\":2,\"outputs\":2,\"d_model\":16,"
                 "\"cms\":{\"levels\":[{\"chunk\":4,\"hidden\":32,\"lr\":0.1}]}}");
    nested_trainer *trainer = NULL;
    nested_session *session;
    float x[32][2], y[32][2];
    nested_cview inputs = cview(x, NESTED_F32, 3, 32, 1, 2), labels = cview(y, NESTED_F32, 2, 32, 2, 0);
    nested_batch batch = labelled(&inputs, &labels, 32, 1);
    nested_eval eval, first;
    nested_step step;
    int32_t tokens[4] = {0};
    int i;
    NESTED_INIT(eval);
    NESTED_INIT(first);
    NESTED_INIT(step);
    for (i = 0; i < 32; i++) {
        x[i][0] = (float)(i % 8) / 4 - 1;
        x[i][1] = (float)(i / 8) / 2 - 1;
        y[i][0] = x[i][0] * x[i][1];
        y[i][1] = i % 3 ? x[i][0] - x[i][1] : NAN;
    }
    OK(nested_model_evaluate(model, &batch, NULL, &first));
    CHECK(first.n_targets == 32 && isnan(first.perplexity) && isnan(first.accuracy) && first.loss > 0.1);
    session = make_session(model, NESTED_LEARN_MEMORY);
    for (i = 0; i < 200; i++) OK(nested_session_teach(session, &batch, NULL, &eval));
    CHECK(eval.loss < 0.2 * first.loss);
    nested_session_release(session);
    OK(nested_trainer_create(model, "{\"lr\":0.01}", NESTED_NUL_TERMINATED, &trainer));
    for (i = 0; i < 300; i++) OK(nested_trainer_step(trainer, &batch, NULL, &step));
    CHECK(step.applied == 1 && step.loss < 0.1 * first.loss);
    FAILS(NESTED_E_UNSUPPORTED, nested_trainer_fit(trainer, tokens, 4, 1, 1, 2, NULL, NULL));
    nested_trainer_release(trainer);
    y[3][0] = INFINITY;
    FAILS(NESTED_E_NUMERIC, nested_model_evaluate(model, &batch, NULL, &eval));
    nested_model_release(model);
}

static void bad_arguments(void)
{
    nested_model *model = model_of(cms_config), *lm = make_model(context, 1);
    nested_session *session = make_session(model, NESTED_LEARN_ON), *text = make_session(lm, NESTED_LEARN_ON);
    float x[3][2][4] = {{{0}}}, w[6] = {1, 1, 1, 1, 1, 1}, out[64];
    int32_t y[6] = {0, 1, 0, 1, 0, 1}, tokens[6] = {0, 1, 2, 3, 4, 5}, finish;
    float yf[6] = {0};
    size_t count;
    nested_cview inputs = cview(x, NESTED_F32, 3, 3, 2, 4), rows = cview(y, NESTED_I32, 1, 3, 0, 0);
    nested_cview places = cview(y, NESTED_I32, 2, 3, 2, 0), bad;
    nested_batch batch = labelled(&inputs, &rows, 3, 2), b;
    nested_view view = dense_view(out, NESTED_F32, 3, 2);
    nested_eval eval;
    nested_feed fed;
    NESTED_INIT(eval);
    NESTED_INIT(fed);
    OK(nested_session_teach(session, &batch, NULL, NULL));
    batch.weights = w;
    batch.labels = &places;
    OK(nested_session_teach(session, &batch, NULL, &eval));
    CHECK(eval.n_targets == 6);
    info(session, 12, 2);

    b = batch;
    b.labels = NULL;
    FAILS(NESTED_E_ARGUMENT, nested_session_teach(session, &b, NULL, &eval));
    FAILS(NESTED_E_ARGUMENT, nested_model_evaluate(model, &b, NULL, &eval));
    OK(nested_session_predict(session, &b, NULL, &view)); /* looks at no label */
    b = batch;
    b.inputs = NULL;
    FAILS(NESTED_E_ARGUMENT, nested_session_teach(session, &b, NULL, &eval));
    b = batch;
    b.tokens = tokens;
    FAILS(NESTED_E_ARGUMENT, nested_session_teach(session, &b, NULL, &eval));
    b = batch;
    b.targets = y;
    FAILS(NESTED_E_ARGUMENT, nested_session_teach(session, &b, NULL, &eval));
    b = batch;
    b.n_seq = 0;
    FAILS(NESTED_E_RANGE, nested_session_teach(session, &b, NULL, &eval));
    b = batch;
    bad = cview(yf, NESTED_F32, 1, 3, 0, 0);
    b.labels = &bad;
    FAILS(NESTED_E_DTYPE, nested_session_teach(session, &b, NULL, &eval));
    bad = cview(y, NESTED_I32, 1, 2, 0, 0);
    FAILS(NESTED_E_SHAPE, nested_session_teach(session, &b, NULL, &eval));
    bad = cview(y, NESTED_I32, 3, 3, 2, 1);
    FAILS(NESTED_E_SHAPE, nested_session_teach(session, &b, NULL, &eval));
    b = batch;
    bad = cview(y, NESTED_I32, 3, 3, 1, 2);
    b.inputs = &bad;
    FAILS(NESTED_E_DTYPE, nested_session_teach(session, &b, NULL, &eval));
    bad = cview(x, NESTED_F32, 3, 3, 2, 3);
    FAILS(NESTED_E_SHAPE, nested_session_teach(session, &b, NULL, &eval));
    bad = cview(x, NESTED_F32, 3, 3, 0, 4);
    FAILS(NESTED_E_SHAPE, nested_session_teach(session, &b, NULL, &eval));
    x[2][1][3] = NAN;
    FAILS(NESTED_E_NUMERIC, nested_session_teach(session, &batch, NULL, &eval));
    FAILS(NESTED_E_NUMERIC, nested_session_predict(session, &batch, NULL, &view));
    x[2][1][3] = 0;
    y[4] = 1 << 24;
    FAILS(NESTED_E_RANGE, nested_session_teach(session, &batch, NULL, &eval));
    y[4] = -1;
    FAILS(NESTED_E_RANGE, nested_session_teach(session, &batch, NULL, &eval));
    y[4] = 2; /* a new label: for a session only */
    FAILS(NESTED_E_RANGE, nested_model_evaluate(model, &batch, NULL, &eval));
    y[4] = 0;
    w[5] = -1;
    FAILS(NESTED_E_RANGE, nested_session_teach(session, &batch, NULL, &eval));
    w[5] = NAN;
    FAILS(NESTED_E_NUMERIC, nested_session_teach(session, &batch, NULL, &eval));
    w[5] = 1;
    view = dense_view(out, NESTED_F32, 3, 3);
    FAILS(NESTED_E_SHAPE, nested_session_predict(session, &batch, NULL, &view));
    FAILS(NESTED_E_ARGUMENT, nested_session_predict(session, &batch, NULL, NULL));
    view = dense_view(y, NESTED_I32, 3, 2);
    FAILS(NESTED_E_DTYPE, nested_session_predict(session, &batch, NULL, &view));
    FAILS(NESTED_E_HANDLE, nested_session_teach(NULL, &batch, NULL, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_session_teach(session, NULL, NULL, NULL));
    info(session, 12, 2); /* nothing of all that was learnt */

    bad = cview(x, NESTED_F32, 2, 6, 4, 0);
    view = dense_view(out, NESTED_F32, 6, 2);
    OK(nested_session_feed_vectors(session, &bad, NULL, &view, &fed));
    CHECK(fed.n_consumed == 6 && isnan(fed.loss));
    view = dense_view(out, NESTED_F32, 0, 2);
    OK(nested_session_feed_vectors(session, &bad, NULL, &view, NULL));
    OK(nested_session_output(session, out, 64, &count));
    CHECK(count == 2);
    view = dense_view(out, NESTED_F32, 6, 3);
    FAILS(NESTED_E_SHAPE, nested_session_feed_vectors(session, &bad, NULL, &view, NULL));
    bad = cview(x, NESTED_F32, 2, 6, 3, 0);
    FAILS(NESTED_E_SHAPE, nested_session_feed_vectors(session, &bad, NULL, NULL, NULL));
    bad = cview(x, NESTED_F32, 1, 24, 0, 0);
    FAILS(NESTED_E_SHAPE, nested_session_feed_vectors(session, &bad, NULL, NULL, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_session_feed_vectors(session, NULL, NULL, NULL, NULL));

    FAILS(NESTED_E_UNSUPPORTED, nested_session_feed(session, tokens, 3, NULL, NULL, NULL));
    FAILS(NESTED_E_UNSUPPORTED, nested_session_score(session, tokens, 3, NULL, NULL, NULL));
    FAILS(NESTED_E_UNSUPPORTED,
          nested_session_generate(session, NULL, 1, NULL, NULL, NULL, tokens, &count, &finish));
    FAILS(NESTED_E_UNSUPPORTED, nested_sessions_feed(&session, 1, tokens, NULL, NULL, NULL));
    FAILS(NESTED_E_UNSUPPORTED, nested_session_teach(text, &batch, NULL, NULL));
    FAILS(NESTED_E_UNSUPPORTED, nested_session_predict(text, &batch, NULL, &view));
    bad = cview(x, NESTED_F32, 2, 6, 4, 0);
    FAILS(NESTED_E_UNSUPPORTED, nested_session_feed_vectors(text, &bad, NULL, NULL, NULL));
    b = make_batch(tokens, 3, 2);
    b.inputs = &inputs;
    FAILS(NESTED_E_ARGUMENT, nested_model_evaluate(lm, &b, NULL, &eval));
    b.inputs = NULL;
    b.labels = &rows;
    FAILS(NESTED_E_ARGUMENT, nested_model_evaluate(lm, &b, NULL, &eval));
    nested_session_release(text);
    nested_session_release(session);
    nested_model_release(lm);
    nested_model_release(model);
}

static int32_t stop_at_four(void *user, const nested_progress *p)
{
    (void)user;
    return p->done >= 4;
}

/* Rows commit one by one: a cancelled call says how many, and that many have been learnt. */
static void cancelled(void)
{
    nested_model *model = model_of(cms_config);
    nested_session *session = make_session(model, NESTED_LEARN_MEMORY);
    float x[8][4] = {{1}, {2}, {3}};
    int32_t y[8] = {0, 1, 2, 3, 0, 1, 2, 3};
    nested_cview inputs = cview(x, NESTED_F32, 3, 8, 1, 4), labels = cview(y, NESTED_I32, 1, 8, 0, 0);
    nested_batch batch = labelled(&inputs, &labels, 8, 1);
    nested_eval eval;
    nested_run run;
    NESTED_INIT(eval);
    NESTED_INIT(run);
    run.progress = stop_at_four;
    FAILS(NESTED_E_CANCELLED, nested_session_teach(session, &batch, &run, &eval));
    CHECK(eval.n_targets == 4);
    info(session, 4, 4);
    nested_session_release(session);
    nested_model_release(model);
}

/* A classifier of texts: trained on rows, streamed position by position. */
static void texts(void)
{
    nested_model *model =
        model_of("{\"kind\":\"transformer\",\"task\":\"classify\",\"classes\":2,\"vocab\":32,\"d_model\":16,"
                 "\"n_layers\":1,\"head_dim\":8}");
    nested_trainer *trainer = NULL;
    nested_session *session;
    int32_t tokens[16][8], y[16];
    int i, j;
    nested_cview labels = cview(y, NESTED_I32, 1, 16, 0, 0);
    nested_batch batch = make_batch(tokens[0], 16, 8);
    nested_eval eval;
    nested_feed fed;
    float out[16 * 2], last[2];
    nested_view view = dense_view(out, NESTED_F32, 8, 2);
    NESTED_INIT(eval);
    NESTED_INIT(fed);
    for (i = 0; i < 16; i++) {
        y[i] = i % 2;
        for (j = 0; j < 8; j++) tokens[i][j] = (i * 11 + j * 5) % 30;
        tokens[i][i % 8] = 30 + y[i];
    }
    batch.labels = &labels;
    OK(nested_trainer_create(model, "{\"lr\":0.01,\"schedule\":{\"type\":\"constant\"}}", NESTED_NUL_TERMINATED,
                             &trainer));
    for (i = 0; i < 60; i++) OK(nested_trainer_step(trainer, &batch, NULL, NULL));
    OK(nested_model_evaluate(model, &batch, NULL, &eval));
    CHECK(eval.accuracy == 1 && eval.loss < 0.2);
    nested_trainer_release(trainer);
    session = make_session(model, NESTED_LEARN_ON);
    OK(nested_session_feed(session, tokens[0], 8, NULL, &view, &fed));
    CHECK(fed.n_consumed == 8 && isnan(fed.loss));
    /* What is taught between them does not disturb a stream. */
    {
        nested_session *other = NULL;
        nested_level_control still;
        NESTED_INIT(still);
        still.frozen = 1;
        OK(nested_session_level_control(session, -1, -1, &still));
        OK(nested_session_fork(session, &other));
        OK(nested_session_teach(other, &batch, NULL, &eval));
        info(other, 8 + 128, 2);
        view = dense_view(last, NESTED_F32, 0, 2);
        OK(nested_session_feed(session, tokens[1], 8, NULL, &view, NULL));
        view = dense_view(out, NESTED_F32, 0, 2);
        OK(nested_session_feed(other, tokens[1], 8, NULL, &view, NULL));
        CHECK(memcmp(out, last, sizeof last) == 0);
        nested_session_release(other);
    }
    nested_session_release(session);
    nested_model_release(model);
}

int main(void)
{
    context = make_context(2);
    configurations();
    without_labels();
    classes_arrive();
    handed_over();
    regression();
    bad_arguments();
    cancelled();
    texts();
    nested_context_release(context);
    return done();
}
