/* Rule R3: what is released is gone. */
#include "check.h"

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &size, &resident) == 2);
    fclose(file);
    return resident;
}

/* Ten thousand streams, one after the other, and some hundred of everything else: the process does not grow. */
int main(void)
{
    nested_context *context = make_context(1);
    nested_model *model = make_model(context, 1);
    int32_t text[32];
    long warm = 0;
    int i;
    fill_tokens(text, 32, 2);
    for (i = 0; i < 10500; i++) {
        nested_session *session = make_session(model, NESTED_LEARN_ON);
        OK(nested_session_feed(session, text, 9, NULL, NULL, NULL));
        nested_session_release(session);
        if (i % 50 == 0) {
            nested_context *other = make_context(2);
            nested_model *copy = make_model(other, 2);
            nested_trainer *trainer = NULL;
            nested_batch batch = make_batch(text, 2, 16);
            OK(nested_trainer_create(copy, NULL, 0, &trainer));
            OK(nested_trainer_step(trainer, &batch, NULL, NULL));
            nested_model_release(copy);
            nested_trainer_release(trainer);
            nested_context_release(other);
        }
        if (i == 500) warm = resident_pages();
    }
    CHECK(resident_pages() - warm < 512); /* 2 MiB: the allocator's own ups and downs */
    nested_model_release(model);
    nested_context_release(context);
    return done();
}
