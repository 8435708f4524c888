/* A trainer's file: refused, and then the trainer goes on as if nothing had happened, or a trainer that saves, steps,
 * applies and fits. */
#include "fuzz.h"
#include "safetensors.h"

/* "accumulate" may be any number: what takes long is cancelled. */
static int32_t enough(void *user, const nested_progress *progress)
{
    (void)progress;
    return --*(int *)user < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nested_model *model = tiny_model();
    nested_trainer *trainer = NULL;
    nested_blob *before = NULL, *after = NULL;
    nested_batch batch = text_batch();
    nested_status status;
    nested_run run;
    int reports = 20;
    NESTED_INIT(run);
    run.progress = enough;
    run.user = &reports;
    HOLDS(nested_trainer_create(model, NULL, 0, &trainer) == NESTED_OK);
    HOLDS(nested_trainer_get_options(trainer, &before) == NESTED_OK);
    status = answer(nested_trainer_load(trainer, file_with(data, size), NULL));
    HOLDS(nested_trainer_get_options(trainer, &after) == NESTED_OK);
    if (status < 0) HOLDS(same_blobs(before, after));
    else {
        accepted++;
        HOLDS(answer(nested_trainer_save(trainer, file_path, NESTED_SAVE_NO_SYNC, NULL)) == NESTED_OK);
        HOLDS(answer(nested_trainer_load(trainer, file_path, NULL)) == NESTED_OK);
        status = answer(nested_trainer_apply(trainer, NULL, NULL));
        HOLDS(status == NESTED_OK || status == NESTED_E_STATE);
        HOLDS(answer(nested_trainer_zero(trainer)) == NESTED_OK);
        status = answer(nested_trainer_fit(trainer, text, LENGTH, 2, 1, 4, &run, NULL));
        HOLDS(status == NESTED_OK || (status == NESTED_E_CANCELLED && reports < 0));
    }
    HOLDS(answer(nested_trainer_step(trainer, &batch, NULL, NULL)) == NESTED_OK);
    nested_blob_release(before);
    nested_blob_release(after);
    nested_trainer_release(trainer);
    nested_model_release(model);
    return 0;
}
