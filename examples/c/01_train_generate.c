/*
 * 01: train a small byte-level model on a text and let it write.
 *
 * New here: nested_context_create, nested_config_from_json, nested_model_create, nested_trainer_create,
 * nested_trainer_fit with progress, nested_session_create, nested_session_feed, nested_session_generate,
 * nested_last_error.
 *
 *     cc -std=c11 -I ../../include 01_train_generate.c -lnested -o 01 && ./01 [text file]
 */
#include <nested.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every call answers with a status; nested_last_error() has the words. */
static void check(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK)
        fprintf(stderr, "%s: %s: %s %s\n", e.function, nested_status_name(status), e.message, e.place);
    exit(1);
}

/* A model of this kind reads token ids; here a token is a byte. */
static int32_t *read_bytes(const char *path, size_t *n)
{
    static const char story[] =
        "the river reads the rain and the rain reads the river. what the river reads it keeps for a while, "
        "and what it keeps it tells the sea. ";
    FILE *file = path ? fopen(path, "rb") : NULL;
    size_t capacity = path ? (size_t)1 << 20 : 40 * (sizeof story - 1), i;
    int32_t *tokens = malloc(capacity * sizeof *tokens);
    if (tokens == NULL || (path && file == NULL)) {
        fprintf(stderr, "cannot read %s\n", path ? path : "the story");
        exit(1);
    }
    for (i = 0; i < capacity; i++) {
        int c = file ? fgetc(file) : story[i % (sizeof story - 1)];
        if (c == EOF) break;
        tokens[i] = c;
    }
    if (file) fclose(file);
    *n = i;
    return tokens;
}

static int32_t show_progress(void *user, const nested_progress *p)
{
    (void)user;
    fprintf(stderr, "\r%s %llu/%llu, loss %.3f   ", p->stage, (unsigned long long)p->done,
            (unsigned long long)p->total, p->loss);
    return 0; /* > 0 would cancel */
}

static int32_t print_token(void *user, const nested_token_event *event)
{
    (void)user;
    putchar(event->token);
    return 0; /* > 0 would stop */
}

int main(int argc, char **argv)
{
    static const char config_text[] =
        "{\"kind\": \"hope\", \"vocab\": 256, \"d_model\": 64, \"n_layers\": 2, \"head_dim\": 32,"
        " \"cms\": {\"levels\": [{\"chunk\": 64, \"hidden\": 128}, {\"chunk\": 0, \"hidden\": 128}]}}";
    nested_context *context = NULL;
    nested_config *config = NULL;
    nested_model *model = NULL;
    nested_trainer *trainer = NULL;
    nested_session *session = NULL;
    nested_run run;
    nested_fit fit;
    nested_sampling sampling;
    size_t n;
    int32_t *tokens = read_bytes(argc > 1 ? argv[1] : NULL, &n);

    check(nested_context_create(NULL, &context)); /* all cores, no limit, silent */
    check(nested_config_from_json(config_text, NESTED_NUL_TERMINATED, &config));
    check(nested_model_create(context, config, /* seed */ 1, &model));

    /* 60 steps over random windows: 8 rows of 64 bytes each. */
    check(nested_trainer_create(model, "{\"lr\": 3e-3, \"schedule\": {\"type\": \"cosine\", \"warmup\": 10, \"total\": 60}}",
                                NESTED_NUL_TERMINATED, &trainer));
    NESTED_INIT(run);
    NESTED_INIT(fit);
    run.progress = show_progress;
    run.interval_ms = 100;
    check(nested_trainer_fit(trainer, tokens, n, 60, 8, 64, &run, &fit));
    fprintf(stderr, "\n");
    printf("%llu steps, loss of the last one %.3f nats per byte\n", (unsigned long long)fit.n_steps, fit.last_loss);

    /* A session is one stream: feed a beginning, then sample. */
    check(nested_session_create(model, NULL, &session));
    check(nested_session_feed(session, tokens, 32, NULL, NULL, NULL));
    NESTED_INIT(sampling);
    sampling.temperature = 0.7;
    sampling.top_k = 20;
    for (size_t i = 0; i < 32; i++) putchar(tokens[i]);
    printf(" | ");
    check(nested_session_generate(session, &sampling, 80, print_token, NULL, NULL, NULL, NULL, NULL));
    putchar('\n');

    /* In any order: what is needed stays alive as long as it is. */
    nested_context_release(context);
    nested_config_release(config);
    nested_model_release(model);
    nested_trainer_release(trainer);
    nested_session_release(session);
    free(tokens);
    return fit.last_loss < 5.5 ? 0 : 1; /* an untrained model stands at ln 256 = 5.5 */
}
