/*
 * 08: every kind of model: made, trained for two steps, read as a stream, saved and loaded.
 *
 * New here: the other values of "kind", "titans" with its four modes, nested_model_info.kind.
 *
 *     cc -std=c11 -I ../../include 08_kinds.c -lnested -o 08 && ./08
 */
#include <nested.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 2, LENGTH = 32, INPUTS = 4 };

/* What differs between the kinds; bindings/c/KINDS.md says what the keys mean. */
static const struct {
    int32_t kind;
    const char *config;
} kinds[] = {
    {NESTED_KIND_HOPE, "{\"kind\": \"hope\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1,"
                       " \"memory\": {\"memory_chunk\": 8}, \"cms\": {\"levels\": [{\"chunk\": 16}, {\"chunk\": 0}]}}"},
    {NESTED_KIND_HOPE_ATTENTION, "{\"kind\": \"hope-attention\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1,"
                                 " \"cms\": {\"variant\": \"nested\", \"levels\": [{\"chunk\": 16}, {\"chunk\": 64}]}}"},
    {NESTED_KIND_TITANS, "{\"kind\": \"titans\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1,"
                         " \"titans\": {\"mode\": \"lmm\", \"memory\": \"mlp\", \"expansion\": 2}}"},
    {NESTED_KIND_TITANS, "{\"kind\": \"titans\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1,"
                         " \"titans\": {\"mode\": \"mac\", \"segment\": 16, \"persistent\": 4}}"},
    {NESTED_KIND_TITANS, "{\"kind\": \"titans\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1,"
                         " \"titans\": {\"mode\": \"mag\", \"window\": 16, \"persistent\": 4}}"},
    {NESTED_KIND_TITANS, "{\"kind\": \"titans\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1,"
                         " \"titans\": {\"mode\": \"mal\", \"window\": 16, \"persistent\": 4}}"},
    {NESTED_KIND_TRANSFORMER, "{\"kind\": \"transformer\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1,"
                              " \"n_heads\": 4, \"head_dim\": 8, \"n_kv_heads\": 2, \"window\": 16}"},
    {NESTED_KIND_RETNET, "{\"kind\": \"retnet\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1, \"head_dim\": 16}"},
    {NESTED_KIND_DELTANET, "{\"kind\": \"deltanet\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1, \"head_dim\": 16}"},
    {NESTED_KIND_GATED_DELTANET,
     "{\"kind\": \"gated-deltanet\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1, \"head_dim\": 16}"},
    {NESTED_KIND_TTT_LINEAR, "{\"kind\": \"ttt-linear\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1, \"head_dim\": 16}"},
    {NESTED_KIND_TTT_MLP, "{\"kind\": \"ttt-mlp\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1, \"head_dim\": 16}"},
    {NESTED_KIND_SRWM, "{\"kind\": \"srwm\", \"vocab\": 256, \"d_model\": 32, \"n_layers\": 1, \"head_dim\": 16}"},
    {NESTED_KIND_CMS, "{\"kind\": \"cms\", \"task\": \"classify\", \"inputs\": 4, \"classes\": 2, \"d_model\": 32,"
                      " \"cms\": {\"levels\": [{\"chunk\": 4}, {\"chunk\": 16}]}, \"head\": {\"lr\": 0.1}}"},
};

static void check(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK)
        fprintf(stderr, "%s: %s: %s %s\n", e.function, nested_status_name(status), e.message, e.place);
    exit(1);
}

static int32_t tokens[ROWS * LENGTH];
static float vectors[ROWS * LENGTH * INPUTS];
static int64_t labels[ROWS * LENGTH];
static nested_cview vectors_view, labels_view;

/* The same two rows for all: tokens, or vectors with a label at each position. */
static void fill(nested_batch *batch, int reads_vectors)
{
    int i;
    NESTED_INIT(*batch);
    batch->n_seq = ROWS;
    batch->seq_len = LENGTH;
    for (i = 0; i < ROWS * LENGTH; i++) {
        tokens[i] = "to be, or not. "[i % 15];
        labels[i] = i % 2;
    }
    for (i = 0; i < ROWS * LENGTH * INPUTS; i++) vectors[i] = (float)(i * 7 % 11) / 5 - 1;
    if (!reads_vectors) {
        batch->tokens = tokens;
        return;
    }
    memset(&vectors_view, 0, sizeof vectors_view);
    vectors_view.data = vectors;
    vectors_view.dtype = NESTED_F32;
    vectors_view.ndim = 3;
    vectors_view.shape[0] = ROWS;
    vectors_view.shape[1] = LENGTH;
    vectors_view.shape[2] = INPUTS;
    memset(&labels_view, 0, sizeof labels_view);
    labels_view.data = labels;
    labels_view.dtype = NESTED_I64;
    labels_view.ndim = 2;
    labels_view.shape[0] = ROWS;
    labels_view.shape[1] = LENGTH;
    batch->inputs = &vectors_view;
    batch->labels = &labels_view;
}

/* Feeds a session what it reads: 16 positions of the first row. */
static void feed(nested_session *session, int reads_vectors)
{
    nested_cview first;
    if (!reads_vectors) {
        check(nested_session_feed(session, tokens, 16, NULL, NULL, NULL));
        return;
    }
    memset(&first, 0, sizeof first);
    first.data = vectors;
    first.dtype = NESTED_F32;
    first.ndim = 2;
    first.shape[0] = 16;
    first.shape[1] = INPUTS;
    check(nested_session_feed_vectors(session, &first, NULL, NULL, NULL));
}

/* One life.  Whether the loaded model answers with the same bits. */
static int live(nested_context *context, int32_t kind, const char *text)
{
    static float answer[256], again[256];
    nested_config *config = NULL;
    nested_model *model = NULL, *loaded = NULL;
    nested_trainer *trainer = NULL;
    nested_session *session = NULL, *second = NULL;
    nested_session_options options;
    nested_session_info state;
    nested_model_info info;
    nested_batch batch;
    nested_step step;
    nested_blob *name = NULL, *mode = NULL;
    double first;
    size_t count;
    int same;

    check(nested_config_from_json(text, NESTED_NUL_TERMINATED, &config));
    check(nested_model_create(context, config, 1, &model));
    NESTED_INIT(info);
    check(nested_model_get_info(model, &info));
    fill(&batch, info.n_inputs > 0);

    check(nested_trainer_create(model, "{\"schedule\": {\"type\": \"constant\"}}", NESTED_NUL_TERMINATED, &trainer));
    NESTED_INIT(step);
    check(nested_trainer_step(trainer, &batch, NULL, &step));
    first = step.loss;
    check(nested_trainer_step(trainer, &batch, NULL, &step));

    check(nested_model_save(model, "example.safetensors", NESTED_SAVE_NO_SYNC, NULL));
    check(nested_model_load(context, "example.safetensors", 0, NULL, &loaded));
    NESTED_INIT(options);
    options.learn = NESTED_LEARN_ON;
    check(nested_session_create(model, &options, &session));
    check(nested_session_create(loaded, &options, &second));
    feed(session, info.n_inputs > 0);
    feed(second, info.n_inputs > 0);
    check(nested_session_output(session, answer, 256, &count));
    check(nested_session_output(second, again, 256, &count));
    same = memcmp(answer, again, count * sizeof *answer) == 0;

    check(nested_config_to_json(config, "/kind", &name));
    if (kind == NESTED_KIND_TITANS) check(nested_config_to_json(config, "/titans/mode", &mode));
    NESTED_INIT(state);
    check(nested_session_get_info(session, &state));
    printf("%-16.*s %-5.*s %6d weights, loss %.3f, then %.3f; a session's state: %d bytes%s\n",
           (int)nested_blob_size(name), (const char *)nested_blob_data(name), mode ? (int)nested_blob_size(mode) : 0,
           mode ? (const char *)nested_blob_data(mode) : "", (int)info.n_params, first, step.loss, (int)state.state_bytes,
           same ? "" : "; THE LOADED MODEL DIFFERS");
    same = same && info.kind == kind && step.applied && step.loss < first;

    remove("example.safetensors");
    nested_blob_release(name);
    nested_blob_release(mode);
    nested_session_release(second);
    nested_session_release(session);
    nested_trainer_release(trainer);
    nested_model_release(loaded);
    nested_model_release(model);
    nested_config_release(config);
    return same;
}

int main(void)
{
    nested_context *context = NULL;
    size_t i, good = 0, n = sizeof kinds / sizeof *kinds;
    check(nested_context_create(NULL, &context));
    for (i = 0; i < n; i++) good += (size_t)live(context, kinds[i].kind, kinds[i].config);
    nested_context_release(context);
    return good == n ? 0 : 1;
}
