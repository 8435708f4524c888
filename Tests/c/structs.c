/* Rule R8: struct_size of every extensible struct, read by the library or filled by it. */
#include "check.h"

static nested_context *context;
static nested_model *model;
static nested_trainer *trainer;
static nested_session *session;
static int32_t tokens[16];

/* Calls a function that takes the struct at `s` and must be told its size by its first word. */
typedef nested_status (*user)(void *s);

static nested_status use_error(void *s) { return nested_last_error((nested_error *)s); }
static nested_status use_memory(void *s) { return nested_context_memory(context, (nested_memory_stats *)s); }
static nested_status use_context(void *s)
{
    nested_context *made = NULL;
    nested_status status;
    ((nested_context_options *)s)->n_threads = 1;
    status = nested_context_create((nested_context_options *)s, &made);
    nested_context_release(made);
    return status;
}
static nested_status use_model_info(void *s) { return nested_model_get_info(model, (nested_model_info *)s); }
static nested_status use_tensor_info(void *s) { return nested_model_tensor_at(model, 0, (nested_tensor_info *)s); }
static nested_status use_run(void *s)
{
    return nested_session_feed(session, tokens, 1, (const nested_run *)s, NULL, NULL);
}
static nested_status use_eval(void *s)
{
    nested_batch batch = make_batch(tokens, 2, 8);
    return nested_model_evaluate(model, &batch, NULL, (nested_eval *)s);
}
static nested_status use_step(void *s)
{
    nested_batch batch = make_batch(tokens, 2, 8);
    return nested_trainer_step(trainer, &batch, NULL, (nested_step *)s);
}
static nested_status use_fit(void *s) { return nested_trainer_fit(trainer, tokens, 16, 1, 1, 8, NULL, (nested_fit *)s); }
static nested_status use_options(void *s)
{
    nested_session *made = NULL;
    nested_status status = nested_session_create(model, (nested_session_options *)s, &made);
    nested_session_release(made);
    return status;
}
static nested_status use_session_info(void *s) { return nested_session_get_info(session, (nested_session_info *)s); }
static nested_status use_feed(void *s)
{
    return nested_session_feed(session, tokens, 1, NULL, NULL, (nested_feed *)s);
}
static nested_status use_sampling(void *s)
{
    return nested_session_generate(session, (nested_sampling *)s, 1, NULL, NULL, NULL, NULL, NULL, NULL);
}
static nested_status use_level(void *s) { return nested_session_level(session, 0, 0, (nested_level *)s); }
static nested_status use_control(void *s)
{
    return nested_session_level_control(session, -1, -1, (nested_level_control *)s);
}
static nested_status use_consolidation(void *s)
{
    nested_model *made = NULL;
    const nested_session *list[1];
    nested_status status;
    list[0] = session;
    status = nested_model_consolidate(model, list, 1, (nested_consolidation *)s, NULL, &made);
    nested_model_release(made);
    return status;
}

static int all(const unsigned char *bytes, unsigned char value, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        if (bytes[i] != value) return 0;
    return 1;
}

static void sizes(user use, size_t known)
{
    _Alignas(16) unsigned char memory[8192];
    static const uint32_t bad[] = {0, 1, 3, 7};
    uint32_t size;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(memory, 0, sizeof memory);
        memcpy(memory, &bad[i], 4);
        CHECK(use(memory) == NESTED_E_ARGUMENT);
    }
    /* Exact, and from a newer header: the tail is zero. */
    for (size = (uint32_t)known; size <= known + 64; size += 8) {
        memset(memory, 0, sizeof memory);
        memcpy(memory, &size, 4);
        CHECK(use(memory) == NESTED_OK);
        CHECK(all(memory + known, 0, sizeof memory - known));
        CHECK(memcmp(memory, &size, 4) == 0);
    }
    /* A tail that means something. */
    size = (uint32_t)known + 8;
    for (i = known; i < size; i++) {
        memset(memory, 0, sizeof memory);
        memcpy(memory, &size, 4);
        memory[i] = 1;
        CHECK(use(memory) == NESTED_E_VERSION);
    }
    /* Sizes that no struct has: never looked at. */
    size = 65536;
    memset(memory, 0, sizeof memory);
    memcpy(memory, &size, 4);
    CHECK(use(memory) == NESTED_E_VERSION);
    size = UINT32_MAX;
    memcpy(memory, &size, 4);
    CHECK(use(memory) == NESTED_E_VERSION);
    /* From an older header: nothing is written past its end. */
    size = 8;
    memset(memory, 0, sizeof memory);
    memset(memory + 8, 0xAB, 1024);
    memcpy(memory, &size, 4);
    (void)use(memory);
    CHECK(all(memory + 8, 0xAB, 1024));
}

int main(void)
{
    nested_batch batch;
    nested_step step;
    context = make_context(1);
    model = make_model(context, 1);
    session = make_session(model, NESTED_LEARN_MEMORY);
    OK(nested_trainer_create(model, NULL, 0, &trainer));
    fill_tokens(tokens, 16, 1);
    OK(nested_session_feed(session, tokens, 4, NULL, NULL, NULL));

    sizes(use_error, sizeof(nested_error));
    sizes(use_memory, sizeof(nested_memory_stats));
    sizes(use_context, sizeof(nested_context_options));
    sizes(use_model_info, sizeof(nested_model_info));
    sizes(use_tensor_info, sizeof(nested_tensor_info));
    sizes(use_run, sizeof(nested_run));
    sizes(use_eval, sizeof(nested_eval));
    sizes(use_step, sizeof(nested_step));
    sizes(use_fit, sizeof(nested_fit));
    sizes(use_options, sizeof(nested_session_options));
    sizes(use_session_info, sizeof(nested_session_info));
    sizes(use_feed, sizeof(nested_feed));
    sizes(use_sampling, sizeof(nested_sampling));
    sizes(use_level, sizeof(nested_level));
    sizes(use_control, sizeof(nested_level_control));
    sizes(use_consolidation, sizeof(nested_consolidation));

    /* A batch needs its fields: cut off, they are zero, and that is said. */
    batch = make_batch(tokens, 2, 8);
    batch.struct_size = 8;
    FAILS(NESTED_E_RANGE, nested_trainer_step(trainer, &batch, NULL, NULL));
    batch.struct_size = 0;
    FAILS(NESTED_E_ARGUMENT, nested_trainer_step(trainer, &batch, NULL, NULL));
    batch.struct_size = sizeof batch;
    NESTED_INIT(step);
    step.struct_size = 4;
    FAILS(NESTED_E_ARGUMENT, nested_trainer_step(trainer, &batch, NULL, &step));

    nested_trainer_release(trainer);
    nested_session_release(session);
    nested_model_release(model);
    nested_context_release(context);
    return done();
}
