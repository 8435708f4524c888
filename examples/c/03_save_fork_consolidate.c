/*
 * 03: keep sessions in files, branch them, and make one new model out of what several have learned.
 *
 * New here: nested_model_save, nested_model_load, nested_session_save (whole, and its delta alone),
 * nested_session_load, nested_session_fork, nested_session_snapshot, nested_session_restore,
 * nested_model_consolidate, nested_model_evaluate.
 *
 *     cc -std=c11 -I ../../include 03_save_fork_consolidate.c -lnested -o 03 && ./03
 */
#include <nested.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK)
        fprintf(stderr, "%s: %s: %s %s\n", e.function, nested_status_name(status), e.message, e.place);
    exit(1);
}

static void repeat(int32_t *tokens, size_t n, const char *text)
{
    size_t i, length = strlen(text);
    for (i = 0; i < n; i++) tokens[i] = text[i % length];
}

/* Mean loss of one text, from a fresh start. */
static double loss(const nested_model *model, const int32_t *tokens, int64_t n)
{
    nested_batch batch;
    nested_eval eval;
    NESTED_INIT(batch);
    NESTED_INIT(eval);
    batch.n_seq = 1;
    batch.seq_len = n;
    batch.tokens = tokens;
    check(nested_model_evaluate(model, &batch, NULL, &eval));
    return eval.loss;
}

int main(void)
{
    static const char config_text[] =
        "{\"kind\": \"hope\", \"vocab\": 256, \"d_model\": 64, \"n_layers\": 2, \"head_dim\": 32,"
        " \"cms\": {\"levels\": [{\"chunk\": 16, \"hidden\": 128, \"lr\": 0.05},"
        " {\"chunk\": 128, \"hidden\": 128, \"lr\": 0.02}, {\"chunk\": 0, \"hidden\": 128}]}}";
    static int32_t base[2000], ann[600], ben[600];
    static const char training[] = "{\"schedule\": {\"type\": \"cosine\", \"warmup\": 20, \"total\": 150}}";
    nested_context *context = NULL;
    nested_config *config = NULL;
    nested_model *made = NULL, *model = NULL, *merged = NULL;
    nested_trainer *trainer = NULL;
    nested_session *a = NULL, *b = NULL, *branch = NULL, *learnt = NULL;
    nested_session_options options;
    nested_snapshot *snapshot = NULL;
    nested_level level, same_level;
    nested_consolidation consolidation;
    const nested_session *sessions[2];
    double weights[2] = {1, 1};
    float left[256], right[256];
    size_t count;
    int good;

    repeat(base, 2000, "red green blue red green blue. ");
    repeat(ann, 600, "ann likes apples and pears. ");
    repeat(ben, 600, "ben likes trains & boats. ");
    check(nested_context_create(NULL, &context));
    check(nested_config_from_json(config_text, NESTED_NUL_TERMINATED, &config));
    check(nested_model_create(context, config, 1, &made));
    check(nested_trainer_create(made, training, NESTED_NUL_TERMINATED, &trainer));
    check(nested_trainer_fit(trainer, base, 2000, 150, 8, 64, NULL, NULL));
    nested_trainer_release(trainer);

    /* Files are safetensors; a crash while saving leaves the old file or the new one. */
    check(nested_model_save(made, "example.safetensors", 0, NULL));
    nested_model_release(made);
    check(nested_model_load(context, "example.safetensors", 0, NULL, &model));

    NESTED_INIT(level);
    NESTED_INIT(same_level);
    NESTED_INIT(options);
    options.learn = NESTED_LEARN_ON;
    check(nested_session_create(model, &options, &a));
    check(nested_session_create(model, &options, &b));
    check(nested_session_feed(a, ann, 300, NULL, NULL, NULL));

    /* Saved and loaded, a session goes on as if nothing had happened. */
    check(nested_session_save(a, "example.session", 0, NULL));
    nested_session_release(a);
    check(nested_session_load(model, "example.session", NULL, &a));

    /* What the levels learnt is a smaller file of its own: a fresh stream on the same weights, that knows it. */
    check(nested_session_save(a, "example.delta", NESTED_SAVE_DELTA, NULL));
    check(nested_session_load(model, "example.delta", NULL, &learnt));
    check(nested_session_level(a, 0, 0, &level));
    check(nested_session_level(learnt, 0, 0, &same_level));
    printf("a session of the delta alone has learnt as much: %.4f of %.4f\n", same_level.delta_norm, level.delta_norm);

    /* A fork is a stream of its own; a snapshot is a place to come back to. */
    check(nested_session_fork(a, &branch));
    check(nested_session_snapshot(a, &snapshot));
    check(nested_session_feed(a, ann + 300, 300, NULL, NULL, NULL));
    check(nested_session_feed(branch, ann + 300, 300, NULL, NULL, NULL));
    check(nested_session_output(a, left, 256, &count));
    check(nested_session_output(branch, right, 256, &count));
    good = memcmp(left, right, sizeof left) == 0 && level.delta_norm == same_level.delta_norm;
    printf("the session and its fork read the same and predict the same bits: %s\n", good ? "yes" : "no");
    check(nested_session_restore(branch, snapshot));

    check(nested_session_feed(b, ben, 600, NULL, NULL, NULL));

    /* Both sessions' levels, merged into a new model; the old model stays as it is. */
    NESTED_INIT(consolidation);
    consolidation.session_weights = weights;
    sessions[0] = a;
    sessions[1] = b;
    check(nested_model_consolidate(model, sessions, 2, &consolidation, NULL, &merged));
    printf("loss, nats per byte  %10s %12s\n", "model", "consolidated");
    printf("what ann wrote       %10.3f %12.3f\n", loss(model, ann, 300), loss(merged, ann, 300));
    printf("what ben wrote       %10.3f %12.3f\n", loss(model, ben, 300), loss(merged, ben, 300));
    printf("what the model knew  %10.3f %12.3f\n", loss(model, base, 300), loss(merged, base, 300));

    good = good && loss(merged, ann, 300) < loss(model, ann, 300);
    remove("example.safetensors");
    remove("example.session");
    remove("example.delta");
    nested_snapshot_release(snapshot);
    nested_session_release(branch);
    nested_session_release(learnt);
    nested_session_release(a);
    nested_session_release(b);
    nested_model_release(merged);
    nested_model_release(model);
    nested_config_release(config);
    nested_context_release(context);
    return good ? 0 : 1;
}
