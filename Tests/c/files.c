/* Saving and loading models: round trips, bad files, and kill -9 in the middle of saving. */
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static nested_context *context;

static void round_trip(void)
{
    nested_model *model = make_model(context, 1), *copy = NULL;
    nested_blob *blob = NULL;
    const char *path = scratch("model.safetensors");
    FILE *file;
    unsigned char *bytes;
    size_t n;

    OK(nested_model_save(model, path, 0, NULL));
    OK(nested_model_load(context, path, 0, NULL, &copy));
    CHECK(same_weights(model, copy));
    nested_model_release(copy);
    OK(nested_model_save(model, path, NESTED_SAVE_NO_SYNC, NULL)); /* over the old one */

    OK(nested_model_save_blob(model, 0, &blob));
    n = nested_blob_size(blob);
    file = fopen(path, "rb");
    bytes = (unsigned char *)malloc(n + 1);
    CHECK(file != NULL && bytes != NULL && fread(bytes, 1, n + 1, file) == n);
    fclose(file);
    CHECK(same(bytes, nested_blob_data(blob), n));
    OK(nested_model_load_bytes(context, bytes, n, 0, &copy));
    CHECK(same_weights(model, copy));
    nested_model_release(copy);
    copy = NULL;

    /* Every truncation of the first 4 KiB and some beyond; every flipped byte of the header. */
    {
        size_t i;
        for (i = 0; i < n; i += i < 4096 ? 1 : n / 13) {
            nested_status status = nested_model_load_bytes(context, bytes, i, 0, &copy);
            CHECK(status < 0 && copy == NULL);
        }
        for (i = 0; i < 2000; i++) {
            nested_status status;
            bytes[i] ^= 0x21;
            status = nested_model_load_bytes(context, bytes, n, 0, &copy);
            if (status == NESTED_OK) nested_model_release(copy);
            copy = NULL;
            bytes[i] ^= 0x21;
        }
        CHECK(nested_live_handles(NESTED_HANDLE_MODEL) == 1);
        memset(bytes, 0xFF, 8);
        FAILS(NESTED_E_CORRUPT, nested_model_load_bytes(context, bytes, n, 0, &copy));
    }
    FAILS(NESTED_E_CORRUPT, nested_model_load_bytes(context, "x", 1, 0, &copy));
    FAILS(NESTED_E_CORRUPT, nested_model_load_bytes(context, "", 0, 0, &copy));
    FAILS(NESTED_E_ARGUMENT, nested_model_load_bytes(context, NULL, 10, 0, &copy));
    FAILS(NESTED_E_RANGE, nested_model_load_bytes(context, "x", SIZE_MAX, 0, &copy));
    FAILS(NESTED_E_ARGUMENT, nested_model_load_bytes(context, bytes, n, 2, &copy));
    FAILS(NESTED_E_ARGUMENT, nested_model_load_bytes(context, bytes, n, 0, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_model_save_blob(model, 8, &blob));
    free(bytes);
    nested_blob_release(blob);
    nested_model_release(model);
    CHECK(unlink(path) == 0);
}

static void paths(void)
{
    nested_model *model = make_model(context, 1), *copy = NULL;
    nested_error e;
    char *wide = (char *)malloc(5000);
    FILE *file;
    const char *path = scratch("foreign");
    memset(wide, 'a', 4999);
    wide[4999] = '\0';
    NESTED_INIT(e);
    FAILS(NESTED_E_IO, nested_model_load(context, scratch("missing"), 0, NULL, &copy));
    OK(nested_last_error(&e));
    CHECK(e.os_error == ENOENT && strstr(e.place, "missing") != NULL);
    FAILS(NESTED_E_IO, nested_model_save(model, scratch("no/such/folder"), 0, NULL));
    OK(nested_last_error(&e));
    CHECK(e.os_error == ENOENT);
    FAILS(NESTED_E_IO, nested_model_load(context, "/tmp", 0, NULL, &copy));
    FAILS(NESTED_E_ARGUMENT, nested_model_save(model, "", 0, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_model_save(model, NULL, 0, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_model_load(context, NULL, 0, NULL, &copy));
    FAILS(NESTED_E_RANGE, nested_model_save(model, wide, 0, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_model_save(model, path, 0x80, NULL));
    FAILS(NESTED_E_ARGUMENT, nested_model_load(context, path, 2, NULL, &copy));

    file = fopen(path, "wb");
    CHECK(file != NULL && fputs("This is a text and no model.", file) >= 0 && fclose(file) == 0);
    FAILS(NESTED_E_CORRUPT, nested_model_load(context, path, 0, NULL, &copy));
    CHECK(copy == NULL);
    CHECK(unlink(path) == 0);

    /* A name that is not UTF-8 is a name. */
    path = scratch("caf\xe9");
    OK(nested_model_save(model, path, 0, NULL));
    CHECK(access(path, F_OK) == 0);
    OK(nested_model_load(context, path, 0, NULL, &copy));
    nested_model_release(copy);
    CHECK(unlink(path) == 0);
    free(wide);
    nested_model_release(model);
}

/* A child saves two models in turn over one path and is killed at some moment: what is there is one of the two. */
static void killed(void)
{
    const char *path = scratch("killed.safetensors");
    nested_model *a = make_model(context, 1), *b = make_model(context, 2), *found = NULL;
    int round;
    OK(nested_model_save(a, path, 0, NULL));
    for (round = 0; round < 12; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            for (;;)
                if (nested_model_save(b, path, NESTED_SAVE_NO_SYNC, NULL) != NESTED_OK ||
                    nested_model_save(a, path, 0, NULL) != NESTED_OK)
                    _exit(9);
        }
        usleep((useconds_t)(3000 + 4001 * round));
        CHECK(kill(child, SIGKILL) == 0);
        {
            int status = 0;
            CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
        OK(nested_model_load(context, path, 0, NULL, &found));
        CHECK(same_weights(found, a) || same_weights(found, b));
        nested_model_release(found);
    }
    nested_model_release(a);
    nested_model_release(b);
    /* A kill may leave a temporary file beside it, never under the name. */
    {
        char command[160];
        snprintf(command, sizeof command, "rm -f %s/*", scratch_directory);
        CHECK(system(command) == 0);
        snprintf(command, sizeof command, "rm -f %s/.[!.]*", scratch_directory);
        CHECK(system(command) == 0);
    }
}

int main(void)
{
    context = make_context(1);
    round_trip();
    paths();
    killed();
    nested_context_release(context);
    remove_scratch();
    return done();
}
