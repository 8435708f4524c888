/* The text of a trainer's options: refused, or options that survive being read back and a trainer that steps. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static nested_model *model;
    nested_trainer *trainer = NULL;
    nested_blob *options = NULL, *repeated = NULL;
    nested_batch batch = text_batch();
    nested_step step;
    if (model == NULL) model = tiny_model();
    if (answer(nested_trainer_create(model, (const char *)data, size, &trainer)) < 0) {
        HOLDS(trainer == NULL && nested_live_handles(NESTED_HANDLE_TRAINER) == 0);
        return 0;
    }
    accepted++;
    HOLDS(answer(nested_trainer_get_options(trainer, &options)) == NESTED_OK);
    NESTED_INIT(step);
    HOLDS(answer(nested_trainer_step(trainer, &batch, NULL, &step)) == NESTED_OK);
    HOLDS(answer(nested_trainer_step(trainer, &batch, NULL, NULL)) == NESTED_OK);
    nested_trainer_release(trainer);
    HOLDS(answer(nested_trainer_create(model, nested_blob_data(options), nested_blob_size(options), &trainer)) == NESTED_OK);
    HOLDS(answer(nested_trainer_get_options(trainer, &repeated)) == NESTED_OK);
    HOLDS(same_blobs(options, repeated));
    nested_trainer_release(trainer);
    nested_blob_release(options);
    nested_blob_release(repeated);
    /* Options may set rates that ruin the weights. */
    nested_model_release(model);
    model = NULL;
    return 0;
}
