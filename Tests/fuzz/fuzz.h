/* What the targets share: objects as small as they get, and what must hold after every call. A target is a client of
 * nested.h with one function, LLVMFuzzerTestOneInput; libFuzzer or replay.c calls it. */
#ifndef FUZZ_H
#define FUZZ_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "nested.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Inputs that the library took, or calls of api_machine that it did: replay.c tells. */
unsigned long accepted;

/* A condition that no input may break. */
#define HOLDS(condition) \
    do { \
        if (!(condition)) broken(__FILE__, __LINE__, #condition); \
    } while (0)

static inline void broken(const char *file, int line, const char *what)
{
    nested_error e;
    NESTED_INIT(e);
    if (nested_last_error(&e) == NESTED_OK && e.status != 0)
        fprintf(stderr, "last error: %s in %s: %s [%s]\n", nested_status_name(e.status), e.function, e.message,
                e.place);
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

/* The call's status: one of the header's, and never a bug of the library's own. A failure has its words. */
static inline nested_status answer(nested_status status)
{
    HOLDS(status <= 0 && status >= NESTED_E_POISONED && status != NESTED_E_INTERNAL && status != NESTED_E_POISONED);
    if (status < 0) {
        nested_error e;
        NESTED_INIT(e);
        HOLDS(nested_last_error(&e) == NESTED_OK && e.status == status && e.message[0] != '\0');
        HOLDS(e.function != NULL && e.place != NULL && strchr(e.message, '\n') == NULL);
    }
    return status;
}

#define VOCAB 4
#define LENGTH 12
static const int32_t text[LENGTH] = {0, 1, 2, 3, 1, 2, 3, 0, 2, 1, 3, 3};

static const char tiny_config[] =
    "{\"kind\":\"hope\",\"vocab\":4,\"d_model\":4,\"n_layers\":1,\"head_dim\":4,\"segment\":4,"
    "\"memory\":{\"memory_chunk\":2,\"projection_chunk\":2},"
    "\"cms\":{\"levels\":[{\"chunk\":4,\"hidden\":4},{\"chunk\":0,\"hidden\":4}]}}";

/* One thread, and tensor memory that a hostile configuration cannot fill for long. */
static inline nested_context *fuzz_context(void)
{
    static nested_context *context;
    if (context == NULL) {
        nested_context_options options;
        NESTED_INIT(options);
        options.n_threads = 1;
        options.memory_limit = 4u << 20;
        HOLDS(nested_context_create(&options, &context) == NESTED_OK);
    }
    return context;
}

static inline nested_model *tiny_model(void)
{
    nested_config *config = NULL;
    nested_model *model = NULL;
    HOLDS(nested_config_from_json(tiny_config, NESTED_NUL_TERMINATED, &config) == NESTED_OK);
    HOLDS(nested_model_create(fuzz_context(), config, 1, &model) == NESTED_OK);
    nested_config_release(config);
    return model;
}

static inline nested_batch text_batch(void)
{
    nested_batch batch;
    NESTED_INIT(batch);
    batch.n_seq = 2;
    batch.seq_len = LENGTH / 2;
    batch.tokens = text;
    return batch;
}

static inline int same_blobs(const nested_blob *a, const nested_blob *b)
{
    return nested_blob_size(a) == nested_blob_size(b)
        && memcmp(nested_blob_data(a), nested_blob_data(b), nested_blob_size(a)) == 0;
}

/* Where files cost no disk. */
static inline const char *memory_folder(void) { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

/* A file in memory-backed storage of this process's own, with these bytes; removed by remove_file(). */
static char file_path[64];
static inline void remove_file(void)
{
    if (file_path[0]) unlink(file_path);
}
static inline const char *file_with(const void *bytes, size_t size)
{
    FILE *file;
    if (!file_path[0]) {
        snprintf(file_path, sizeof file_path, "%s/nested-fuzz-%d", memory_folder(), (int)getpid());
        atexit(remove_file);
    }
    file = fopen(file_path, "wb");
    HOLDS(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
    return file_path;
}

#endif
