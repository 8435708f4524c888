/* Rule R5: a callback may use other objects; one that is busy further up the same stack answers E_REENTRANT, and two
 * callbacks that want each other's sessions do not wait for ever. Log callbacks run when the call has let go. */
#include "check.h"

#include <pthread.h>

static nested_context *context;
static nested_model *model, *other_model;
static nested_session *session, *sibling, *stranger;
static nested_trainer *trainer;
static int32_t text[64];
static int visits;

static void busy(nested_status status) { FAILS(NESTED_E_REENTRANT, status); }

static int32_t in_feed(void *user, const nested_progress *p)
{
    nested_session_info info;
    nested_model_info about;
    nested_snapshot *snapshot = NULL;
    nested_level level;
    size_t count = 0;
    float logits[VOCAB];
    (void)user;
    (void)p;
    if (visits++) return 0;
    NESTED_INIT(info);
    NESTED_INIT(about);
    NESTED_INIT(level);
    busy(nested_session_feed(session, text, 1, NULL, NULL, NULL));
    busy(nested_session_get_info(session, &info));
    busy(nested_session_snapshot(session, &snapshot));
    busy(nested_session_score(session, text, 2, NULL, NULL, NULL));
    busy(nested_session_output(session, logits, VOCAB, &count));
    busy(nested_session_reset(session));
    busy(nested_session_level(session, 0, 0, &level));
    busy(nested_session_level_flush(session, -1, -1));
    CHECK(snapshot == NULL);
    {
        nested_session *list[2], *copy = NULL;
        list[0] = sibling;
        list[1] = session;
        busy(nested_sessions_feed(list, 2, text, NULL, NULL, NULL));
        busy(nested_session_fork(session, &copy));
    }
    OK(nested_session_feed(sibling, text, 1, NULL, NULL, NULL));
    OK(nested_session_feed(stranger, text, 1, NULL, NULL, NULL));
    OK(nested_model_get_info(model, &about));
    /* A release in the middle of the call: the call goes on. */
    nested_session_release(session);
    CHECK(nested_session_get_info(session, &info) == NESTED_E_HANDLE);
    return 0;
}

static int32_t in_training(void *user, const nested_progress *p)
{
    nested_step step;
    nested_batch batch = make_batch(text, 2, 16);
    nested_eval eval;
    float *gradient = NULL;
    nested_cview view;
    float zeros[32 * 32] = {0};
    (void)user;
    (void)p;
    if (visits++) return 0;
    NESTED_INIT(step);
    NESTED_INIT(eval);
    busy(nested_trainer_step(trainer, &batch, NULL, &step));
    busy(nested_trainer_zero(trainer));
    busy(nested_trainer_set_lr(trainer, 1));
    busy(nested_trainer_gradient(trainer, &gradient, NULL, NULL));
    busy(nested_model_evaluate(model, &batch, NULL, &eval));
    memset(&view, 0, sizeof view);
    view.data = zeros;
    view.dtype = NESTED_F32;
    view.ndim = 2;
    view.shape[0] = view.shape[1] = 32;
    {
        int64_t index;
        OK(nested_model_tensor_find(model, "blocks.0.mixer.q.weight", &index));
        busy(nested_model_tensor_set(model, index, &view));
    }
    busy(nested_session_feed(sibling, text, 1, NULL, NULL, NULL));
    OK(nested_session_feed(stranger, text, 1, NULL, NULL, NULL));
    OK(nested_model_evaluate(other_model, &batch, NULL, &eval));
    return 0;
}

/* Two threads, two sessions, each feeds its own and wants the other's in the callback. */
static pthread_barrier_t barrier;
static nested_session *pair[2];
static int reentrant[2], through[2];

static int32_t wants_other(void *user, const nested_progress *p)
{
    int me = *(const int *)user;
    nested_status status;
    (void)p;
    if (through[me] || reentrant[me]) return 0;
    pthread_barrier_wait(&barrier);
    status = nested_session_feed(pair[1 - me], text, 1, NULL, NULL, NULL);
    if (status == NESTED_OK) through[me]++;
    else if (status == NESTED_E_REENTRANT) reentrant[me]++;
    else return -1;
    return 0;
}

static void *feeder(void *user)
{
    nested_run run;
    NESTED_INIT(run);
    run.progress = wants_other;
    run.user = user;
    OK(nested_session_feed(pair[*(int *)user], text, 8, &run, NULL, NULL));
    return NULL;
}

static void circles(void)
{
    static int names[2] = {0, 1};
    pthread_t threads[2];
    int i, round;
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    for (round = 0; round < 20; round++) {
        for (i = 0; i < 2; i++) {
            pair[i] = make_session(model, 0);
            reentrant[i] = through[i] = 0;
        }
        for (i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, feeder, &names[i]) == 0);
        for (i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(reentrant[0] + reentrant[1] >= 1 && reentrant[0] + reentrant[1] + through[0] + through[1] == 2);
        for (i = 0; i < 2; i++) nested_session_release(pair[i]);
    }
    CHECK(pthread_barrier_destroy(&barrier) == 0);
}

/* Logging. */
static int records;
static nested_model *logged_model;

static void hear(void *user, const nested_log_record *record)
{
    nested_model_info info;
    CHECK(user == &records && record->struct_size == sizeof *record && record->component[0] != '\0');
    CHECK(record->level >= NESTED_LOG_ERROR && record->level <= NESTED_LOG_INFO);
    CHECK(record->message[0] != '\0' && strchr(record->message, '\n') == NULL);
    records++;
    NESTED_INIT(info);
    if (logged_model != NULL) OK(nested_model_get_info(logged_model, &info));
}

static void logging(void)
{
    nested_context_options options;
    nested_context *loud = NULL;
    nested_batch batch;
    nested_eval eval;
    int heard;
    NESTED_INIT(options);
    NESTED_INIT(batch);
    NESTED_INIT(eval);
    options.n_threads = 1;
    options.log = hear;
    options.log_user = &records;
    options.log_level = NESTED_LOG_INFO;
    OK(nested_context_create(&options, &loud));
    CHECK(records == 1);
    logged_model = make_model(loud, 1);
    CHECK(records == 2);
    FAILS(NESTED_E_RANGE, nested_model_evaluate(logged_model, &batch, NULL, &eval));
    CHECK(records == 3);
    nested_model_release(logged_model);
    nested_context_release(loud);
    heard = records;
    options.log_level = NESTED_LOG_OFF;
    OK(nested_context_create(&options, &loud));
    logged_model = make_model(loud, 1);
    nested_model_release(logged_model);
    nested_context_release(loud);
    CHECK(records == heard);
    options.log_level = 9;
    FAILS(NESTED_E_RANGE, nested_context_create(&options, &loud));
    options.log_level = 0;
    options.n_threads = -1;
    FAILS(NESTED_E_RANGE, nested_context_create(&options, &loud));
    options.n_threads = 100000;
    FAILS(NESTED_E_RANGE, nested_context_create(&options, &loud));
    options.n_threads = 1;
    options.memory_limit = UINT64_MAX;
    FAILS(NESTED_E_RANGE, nested_context_create(&options, &loud));
    FAILS(NESTED_E_ARGUMENT, nested_context_create(NULL, NULL));
}

int main(void)
{
    nested_run run;
    nested_batch batch = make_batch(text, 2, 16);
    context = make_context(2);
    model = make_model(context, 1);
    other_model = make_model(context, 1);
    session = make_session(model, NESTED_LEARN_ON);
    sibling = make_session(model, NESTED_LEARN_ON);
    stranger = make_session(other_model, NESTED_LEARN_ON);
    fill_tokens(text, 64, 2);
    NESTED_INIT(run);
    run.progress = in_feed;
    OK(nested_session_feed(session, text, 40, &run, NULL, NULL));
    CHECK(visits > 1);
    visits = 0;
    OK(nested_trainer_create(model, NULL, 0, &trainer));
    run.progress = in_training;
    OK(nested_trainer_step(trainer, &batch, &run, NULL));
    OK(nested_trainer_fit(trainer, text, 64, 2, 2, 16, &run, NULL));
    CHECK(visits > 1);
    nested_trainer_release(trainer);
    circles();
    logging();
    nested_session_release(session);
    nested_session_release(sibling);
    nested_session_release(stranger);
    nested_model_release(model);
    nested_model_release(other_model);
    nested_context_release(context);
    return done();
}
