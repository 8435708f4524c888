/* NESTED_LOAD_MMAP: the same bits as a copy, no memory of the context, the file untouched, and what cannot be mapped. And
 * nested_config_estimate() of what is then made. */
#include "check.h"

#include <sys/stat.h>

static nested_context *context;

static nested_model *preset(const char *name, uint64_t seed)
{
    char json[64];
    nested_config *config = NULL;
    nested_model *model = NULL;
    snprintf(json, sizeof json, "{\"preset\":\"%s\"}", name);
    OK(nested_config_from_json(json, strlen(json), &config));
    OK(nested_model_create(context, config, seed, &model));
    nested_config_release(config);
    return model;
}

static uint64_t in_use(void)
{
    nested_memory_stats stats;
    NESTED_INIT(stats);
    OK(nested_context_memory(context, &stats));
    return stats.in_use;
}

/* `count` greedy tokens after a prompt that levels learn from. */
static void decode(const nested_model *model, int learn, int32_t *tokens, size_t count)
{
    nested_session_options options;
    nested_session *session = NULL;
    nested_sampling greedy;
    int32_t prompt[200], finish;
    size_t i, n = 0;
    for (i = 0; i < 200; i++) prompt[i] = (int32_t)(i * i % 251);
    NESTED_INIT(options);
    NESTED_INIT(greedy);
    options.learn = learn;
    OK(nested_session_create(model, &options, &session));
    OK(nested_session_feed(session, prompt, 200, NULL, NULL, NULL));
    OK(nested_session_generate(session, &greedy, count, NULL, NULL, NULL, tokens, &n, &finish));
    CHECK(n == count);
    nested_session_release(session);
}

static void mapped_is_the_same(const char *name)
{
    const char *path = scratch("mapped.safetensors");
    nested_model *model = preset(name, 3), *mapped = NULL, *copy = NULL;
    struct stat before, after;
    int32_t a[32], b[32];
    uint64_t held;
    int learn;
    OK(nested_model_save(model, path, NESTED_SAVE_NO_SYNC, NULL));
    CHECK(stat(path, &before) == 0);
    held = in_use();
    OK(nested_model_load(context, path, NESTED_LOAD_MMAP, NULL, &mapped));
    CHECK(in_use() == held);
    CHECK(same_weights(model, mapped));
    for (learn = NESTED_LEARN_MEMORY; learn <= NESTED_LEARN_ON; learn++) {
        decode(model, learn, a, 32);
        decode(mapped, learn, b, 32);
        CHECK(same(a, b, sizeof a));
    }
    /* Saving over the file leaves the mapping what it was: the name moves to another file. */
    OK(nested_model_save(mapped, path, NESTED_SAVE_NO_SYNC, NULL));
    CHECK(same_weights(model, mapped));

    /* A change goes to a copy, of one of two; the file stays. */
    OK(nested_model_clone(mapped, &copy));
    {
        nested_model_info info;
        float *weights;
        NESTED_INIT(info);
        OK(nested_model_get_info(mapped, &info));
        weights = (float *)calloc(info.n_params, sizeof(float));
        CHECK(weights != NULL);
        held = in_use();
        OK(nested_model_params_set(mapped, weights, info.n_params));
        free(weights);
        CHECK(in_use() == held + 4 * info.n_params);
    }
    CHECK(!same_weights(model, mapped) && same_weights(model, copy));
    CHECK(stat(path, &after) == 0 && after.st_size == before.st_size);
    nested_model_release(mapped);
    nested_model_release(copy);
    mapped = NULL;
    OK(nested_model_load(context, path, NESTED_LOAD_MMAP, NULL, &mapped));
    CHECK(same_weights(model, mapped));
    CHECK(unlink(path) == 0);
    CHECK(same_weights(model, mapped));
    nested_model_release(mapped);
    nested_model_release(model);
}

static void what_cannot_be_mapped(void)
{
    const char *path = scratch("odd.safetensors");
    nested_model *model = preset("transformer-1m", 1), *mapped = NULL;
    nested_blob *blob = NULL;
    FILE *file;
    size_t n;
    unsigned char *bytes;
    OK(nested_model_save_blob(model, 0, &blob));
    n = nested_blob_size(blob);
    FAILS(NESTED_E_UNSUPPORTED, nested_model_load_bytes(context, nested_blob_data(blob), n, NESTED_LOAD_MMAP, &mapped));
    FAILS(NESTED_E_ARGUMENT, nested_model_load(context, path, 2, NULL, &mapped));
    FAILS(NESTED_E_IO, nested_model_load(context, path, NESTED_LOAD_MMAP, NULL, &mapped));
    /* One space more in the header: the data is no longer at a multiple of four. */
    bytes = (unsigned char *)malloc(n + 1);
    CHECK(bytes != NULL);
    memcpy(bytes, nested_blob_data(blob), n);
    {
        uint64_t length;
        memcpy(&length, bytes, 8);
        memmove(bytes + 8 + length + 1, bytes + 8 + length, n - 8 - (size_t)length);
        bytes[8 + length] = ' ';
        length++;
        memcpy(bytes, &length, 8);
    }
    file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, n + 1, file) == n + 1 && fclose(file) == 0);
    FAILS(NESTED_E_UNSUPPORTED, nested_model_load(context, path, NESTED_LOAD_MMAP, NULL, &mapped));
    /* A file that ends too early is refused before anything is read from it. */
    CHECK(truncate(path, (off_t)n / 2) == 0);
    FAILS(NESTED_E_CORRUPT, nested_model_load(context, path, NESTED_LOAD_MMAP, NULL, &mapped));
    /* What is not finite is not looked for. */
    memcpy(bytes, nested_blob_data(blob), n);
    memset(bytes + n - 4, 0xFF, 4);
    file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
    OK(nested_model_load(context, path, NESTED_LOAD_MMAP, NULL, &mapped));
    nested_model_release(mapped);
    free(bytes);
    CHECK(unlink(path) == 0);
    nested_blob_release(blob);
    nested_model_release(model);
}

static void estimates(void)
{
    nested_config *config = NULL;
    nested_estimate e;
    nested_trainer *trainer = NULL;
    nested_model *model;
    nested_memory_stats before, after;
    nested_batch batch;
    nested_step step;
    int32_t tokens[2 * 96];
    size_t i;
    const char *json = "{\"preset\":\"hope-10m\"}";
    OK(nested_config_from_json(json, strlen(json), &config));
    NESTED_INIT(e);
    FAILS(NESTED_E_RANGE, nested_config_estimate(config, 0, 1, &e));
    FAILS(NESTED_E_RANGE, nested_config_estimate(config, 1, 0, &e));
    FAILS(NESTED_E_RANGE, nested_config_estimate(config, 1, (int64_t)1 << 40, &e));
    CHECK(e.n_params == 0);
    OK(nested_config_estimate(config, 2, 96, &e));
    nested_config_release(config);

    model = preset("hope-10m", 1);
    NESTED_INIT(before);
    NESTED_INIT(after);
    OK(nested_context_memory(context, &before));
    OK(nested_trainer_create(model, NULL, 0, &trainer));
    OK(nested_context_memory(context, &after));
    CHECK(after.in_use - before.in_use == e.trainer_bytes);
    for (i = 0; i < 2 * 96; i++) tokens[i] = (int32_t)(i * 7 % 256);
    NESTED_INIT(batch);
    NESTED_INIT(step);
    batch.tokens = tokens;
    batch.n_seq = 2;
    batch.seq_len = 96;
    OK(nested_trainer_step(trainer, &batch, NULL, &step));
    OK(nested_context_memory(context, &before));
    CHECK(fabs((double)(before.in_use - after.in_use) / (double)e.activation_bytes - 1) < 0.05);
    CHECK(e.weight_bytes == 4 * e.n_params && e.flops_train > 2 * e.flops_forward);
    CHECK(e.flops_forward > 2 * (double)e.n_params && e.flops_forward < 3 * (double)e.n_params);
    nested_trainer_release(trainer);
    nested_model_release(model);
}

int main(void)
{
    OK(nested_context_create(NULL, &context));
    CHECK(nested_has_feature("load.mmap") == 1);
    estimates();
    mapped_is_the_same("hope-1m");
    mapped_is_the_same("hope-10m");
    mapped_is_the_same("titans-1m");
    what_cannot_be_mapped();
    nested_context_release(context);
    remove_scratch();
    return done();
}
