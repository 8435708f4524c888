/* What large models take: `large train PRESET TOKENS STEPS`, `large save PRESET FILE`, `large decode FILE TOKENS copy|map`.
 * One thing a process, so that the peak is its own. One line of JSON each. */
#include "nested.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ok(nested_status status)
{
    nested_error e;
    if (status == NESTED_OK) return;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK) fprintf(stderr, "large: %s: %s [%s]\n", e.function, e.message, e.place);
    exit(1);
}

/* MB of a line of /proc/self/status: VmHWM is the peak of what is resident, RssAnon memory, RssFile mapped files. */
static double megabytes(const char *name)
{
    char line[256];
    double value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0) value = atof(line + strlen(name) + 1) * 1024 / 1e6;
    fclose(file);
    return value;
}

static nested_model *create(nested_context *context, const char *preset)
{
    char json[100];
    nested_config *config = NULL;
    nested_model *model = NULL;
    snprintf(json, sizeof json, "{\"preset\":\"%s\"}", preset);
    ok(nested_config_from_json(json, strlen(json), &config));
    ok(nested_model_create(context, config, 1, &model));
    nested_config_release(config);
    return model;
}

static void train(nested_context *context, const char *preset, int tokens, int steps)
{
    char json[100];
    nested_config *config = NULL;
    nested_estimate estimate;
    nested_model_info info;
    nested_batch batch;
    nested_step step;
    nested_trainer *trainer = NULL;
    nested_model *model;
    nested_memory_stats memory;
    double start = now(), made, seconds;
    int i;
    int32_t *row = (int32_t *)malloc((size_t)tokens * sizeof *row);
    if (row == NULL) exit(1);
    snprintf(json, sizeof json, "{\"preset\":\"%s\"}", preset);
    ok(nested_config_from_json(json, strlen(json), &config));
    NESTED_INIT(estimate);
    ok(nested_config_estimate(config, 1, tokens, &estimate));
    nested_config_release(config);
    model = create(context, preset);
    NESTED_INIT(info);
    ok(nested_model_get_info(model, &info));
    for (i = 0; i < tokens; i++) row[i] = (int32_t)((int64_t)i * 7919 % (int64_t)info.vocab);
    ok(nested_trainer_create(model, NULL, 0, &trainer));
    made = now() - start;
    NESTED_INIT(batch);
    batch.tokens = row;
    batch.n_seq = 1;
    batch.seq_len = tokens;
    for (i = 0; i < steps; i++) {
        start = now();
        NESTED_INIT(step);
        ok(nested_trainer_step(trainer, &batch, NULL, &step));
        seconds = now() - start;
        NESTED_INIT(memory);
        ok(nested_context_memory(context, &memory));
        printf("{\"preset\":\"%s\",\"what\":\"train\",\"tokens\":%d,\"made_s\":%.1f,\"step\":%d,\"loss\":%.4f,"
               "\"gradient_norm\":%.4f,\"seconds\":%.1f,\"gflops\":%.1f,\"estimated_mb\":%.0f,\"context_mb\":%.0f,"
               "\"peak_rss_mb\":%.0f}\n",
               preset, tokens, made, i + 1, step.loss, step.grad_norm, seconds,
               1e-9 * estimate.flops_train * tokens / seconds,
               1e-6 * (double)(estimate.weight_bytes + estimate.trainer_bytes + estimate.activation_bytes),
               1e-6 * (double)memory.peak, megabytes("VmHWM:"));
        fflush(stdout);
    }
    nested_trainer_release(trainer);
    nested_model_release(model);
    free(row);
}

static void save(nested_context *context, const char *preset, const char *path)
{
    double start = now(), made;
    nested_model *model = create(context, preset);
    made = now() - start;
    start = now();
    ok(nested_model_save(model, path, NESTED_SAVE_NO_SYNC, NULL));
    printf("{\"preset\":\"%s\",\"what\":\"save\",\"made_s\":%.1f,\"saved_s\":%.1f,\"peak_rss_mb\":%.0f}\n", preset, made,
           now() - start, megabytes("VmHWM:"));
    nested_model_release(model);
}

static void decode(nested_context *context, const char *path, size_t tokens, int map)
{
    nested_model *model = NULL;
    nested_session *session = NULL;
    nested_sampling greedy;
    double start = now(), loaded, resident, first, rest;
    int32_t begin = 1, token = 0, finish = 0;
    size_t i, n = 0;
    ok(nested_model_load(context, path, map ? NESTED_LOAD_MMAP : 0, NULL, &model));
    loaded = now() - start;
    resident = megabytes("VmRSS:");
    ok(nested_session_create(model, NULL, &session));
    ok(nested_session_feed(session, &begin, 1, NULL, NULL, NULL));
    NESTED_INIT(greedy);
    ok(nested_session_generate(session, &greedy, 1, NULL, NULL, NULL, &token, &n, &finish));
    first = now() - start;
    start = now();
    for (i = 1; i < tokens; i++)
        ok(nested_session_generate(session, &greedy, 1, NULL, NULL, NULL, &token, &n, &finish));
    rest = now() - start;
    printf("{\"what\":\"decode, %s\",\"loaded_s\":%.3f,\"loaded_rss_mb\":%.0f,\"first_token_s\":%.2f,\"tokens\":%zu,"
           "\"tokens_per_s\":%.2f,\"last\":%d,\"rss_memory_mb\":%.0f,\"rss_file_mb\":%.0f,\"peak_rss_mb\":%.0f}\n",
           map ? "mapped" : "copied", loaded, resident, first, tokens, (double)(tokens - 1) / rest, token,
           megabytes("RssAnon:"), megabytes("RssFile:"), megabytes("VmHWM:"));
    nested_session_release(session);
    nested_model_release(model);
}

int main(int argc, char **argv)
{
    nested_context *context = NULL;
    ok(nested_context_create(NULL, &context));
    if (argc == 5 && strcmp(argv[1], "train") == 0) {
        train(context, argv[2], atoi(argv[3]), atoi(argv[4]));
    } else if (argc == 4 && strcmp(argv[1], "save") == 0) {
        save(context, argv[2], argv[3]);
    } else if (argc == 5 && strcmp(argv[1], "decode") == 0) {
        decode(context, argv[2], (size_t)atoi(argv[3]), strcmp(argv[4], "map") == 0);
    } else {
        fprintf(stderr, "large train PRESET TOKENS STEPS | save PRESET FILE | decode FILE TOKENS copy|map\n");
        return 2;
    }
    nested_context_release(context);
    return 0;
}
