/* Sections 1 and 2 of nested.h: names, versions, texts that need no object. */
#include "check.h"

#include <pthread.h>

/* The last error is the thread's own. */
static void *sees_nothing(void *unused)
{
    nested_error e;
    (void)unused;
    NESTED_INIT(e);
    OK(nested_last_error(&e));
    CHECK(e.status == 0 && e.message[0] == '\0');
    FAILS(NESTED_E_HANDLE, nested_model_retain(NULL));
    return NULL;
}

static void errors_of_threads(void)
{
    nested_error e;
    pthread_t thread;
    FAILS(NESTED_E_HANDLE, nested_context_retain(NULL));
    CHECK(pthread_create(&thread, NULL, sees_nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    NESTED_INIT(e);
    OK(nested_last_error(&e));
    CHECK(strcmp(e.function, "nested_context_retain") == 0 && strcmp(e.place, "context") == 0);
}

int main(void)
{
    nested_error e;
    int32_t status;

    CHECK(nested_version() == NESTED_VERSION);
    CHECK(nested_abi() == NESTED_ABI);
    CHECK(strncmp(nested_version_string(), "1.0.0", 5) == 0);

    CHECK(strcmp(nested_status_name(NESTED_OK), "NESTED_OK") == 0);
    CHECK(strcmp(nested_status_name(NESTED_E_POISONED), "NESTED_E_POISONED") == 0);
    for (status = 0; status >= NESTED_E_POISONED; status--) CHECK(strchr(nested_status_name(status), '?') == NULL);
    CHECK(strcmp(nested_status_name(1), "NESTED_E_?") == 0);
    CHECK(strcmp(nested_status_name(-27), "NESTED_E_?") == 0);
    CHECK(strcmp(nested_status_name(INT32_MIN), "NESTED_E_?") == 0);

    CHECK(nested_dtype_size(NESTED_F32) == 4 && nested_dtype_size(NESTED_F64) == 8);
    CHECK(nested_dtype_size(NESTED_F16) == 2 && nested_dtype_size(NESTED_BF16) == 2);
    CHECK(nested_dtype_size(NESTED_I32) == 4 && nested_dtype_size(NESTED_I64) == 8);
    CHECK(nested_dtype_size(NESTED_U8) == 1);
    CHECK(nested_dtype_size(0) == 0 && nested_dtype_size(-1) == 0 && nested_dtype_size(99) == 0);

    CHECK(strstr(nested_build_info(), "\"simd\":\"x86-64-v") != NULL);
    CHECK(nested_build_info() == nested_build_info());
    CHECK(strstr(nested_abi_info(), "\"nested_session_feed\"") != NULL);
    CHECK(strstr(nested_config_schema(), "memory_chunk") != NULL);
    CHECK(strstr(nested_trainer_schema(), "weight_decay") != NULL);
    CHECK(nested_has_feature("kind.hope") == 1 && nested_has_feature("optim.adamw") == 1);
    CHECK(nested_has_feature("kind.nothing") == 0 && nested_has_feature("") == 0 && nested_has_feature(NULL) == 0);

    /* Before the first failure there is nothing to say, and it can be said. */
    NESTED_INIT(e);
    CHECK(nested_last_error(&e) == NESTED_OK);
    CHECK(e.status == 0 && e.message[0] == '\0' && e.place[0] == '\0' && e.function[0] == '\0' && e.offset == -1);
    CHECK(nested_last_error(NULL) == NESTED_E_ARGUMENT);

    errors_of_threads();
    CHECK(nested_live_handles(99) == 0 && nested_live_handles(-1) == 0);
    return done();
}
