/* Rule R5: each callback there is (progress of each long call, token, all-reduce, log) answers 0, stop and failure, and calls every
 * function of the tour from inside: on other objects all of them work, and the call around them has the result it always has; on its own
 * objects they work or say E_REENTRANT. Nothing waits for ever: an alarm would end the program. */
#include "tour.h"

static tour own, other;

enum { ANSWER, ENTER_OTHER, ENTER_OWN };
static int mode, answer, visits, at, refused, worked; /* at: the visit at which something happens */
static int refused_kind[9], worked_kind[9];

static void walk(tour *t)
{
    int i;
    for (i = 0; i < TOUR_LENGTH; i++) {
        nested_status status = tour_steps[i].go(t);
        int kind = tour_steps[i].kind;
        if (status != NESTED_OK) {
            if (t != &own || (status != NESTED_E_REENTRANT && status != NESTED_E_STATE))
                fprintf(stderr, "%s from a callback\n", tour_steps[i].function);
            CHECK(t == &own);
            if (status == NESTED_E_STATE) CHECK(strcmp(tour_steps[i].function, "nested_session_output") == 0);
            else FAILS(NESTED_E_REENTRANT, status);
            refused++;
            refused_kind[kind]++;
        } else {
            worked++;
            worked_kind[kind]++;
        }
    }
}

static int32_t in_callback(void *user)
{
    CHECK(user == &visits);
    visits++;
    if (mode == ANSWER) return visits == at || answer < 0 ? answer : 0;
    if (visits == at) walk(mode == ENTER_OTHER ? &other : &own);
    return 0;
}

static int32_t on_progress(void *user, const nested_progress *p)
{
    CHECK(p->struct_size == sizeof *p);
    return in_callback(user);
}

static int32_t on_token(void *user, const nested_token_event *event)
{
    CHECK(event->struct_size == sizeof *event && event->token >= 0 && event->token < VOCAB && event->logprob <= 0);
    CHECK(event->index == visits);
    return in_callback(user);
}

static int32_t on_reduce(void *user, void *data, size_t count, int32_t dtype)
{
    CHECK(data != NULL && count > 0 && (dtype == NESTED_F32 || (dtype == NESTED_F64 && count == 1)));
    return in_callback(user);
}

/* The calls with a callback: which objects are busy in it. */
typedef struct {
    const char *name;
    nested_status (*go)(tour *);
    int busy; /* NESTED_HANDLE_SESSION, _TRAINER or _MODEL */
} origin;

static nested_status generate_with_tokens(tour *t)
{
    return nested_session_generate(t->session, NULL, 6, on_token, &visits, NULL, NULL, NULL, NULL);
}

static nested_status step_reduced(tour *t)
{
    nested_batch batch = make_batch(t->text, 2, 24);
    nested_status status;
    OK(nested_trainer_set_allreduce(t->trainer, on_reduce, &visits, 1000));
    status = nested_trainer_step(t->trainer, &batch, NULL, NULL);
    OK(nested_trainer_set_allreduce(t->trainer, NULL, NULL, 0));
    return status;
}

static nested_status find(tour *t, const char *name)
{
    nested_run run;
    nested_status status;
    int i;
    NESTED_INIT(run);
    run.progress = on_progress;
    run.user = &visits;
    for (i = 0; strcmp(tour_steps[i].function, name) != 0; i++) continue;
    t->run = &run;
    status = tour_steps[i].go(t);
    t->run = NULL;
    return status;
}

#define WITH_PROGRESS(name) \
    static nested_status progress_##name(tour *t) { return find(t, "nested_" #name); }
WITH_PROGRESS(session_feed)
WITH_PROGRESS(sessions_feed)
WITH_PROGRESS(session_score)
WITH_PROGRESS(session_generate)
WITH_PROGRESS(session_save)
WITH_PROGRESS(trainer_step)
WITH_PROGRESS(trainer_accumulate)
WITH_PROGRESS(trainer_fit)
WITH_PROGRESS(trainer_save)
WITH_PROGRESS(trainer_load)
WITH_PROGRESS(model_evaluate)
WITH_PROGRESS(model_forward)
WITH_PROGRESS(model_save)
WITH_PROGRESS(model_load)
WITH_PROGRESS(model_consolidate)

static const origin origins[] = {
    {"token", generate_with_tokens, NESTED_HANDLE_SESSION},
    {"allreduce", step_reduced, NESTED_HANDLE_TRAINER},
    {"feed", progress_session_feed, NESTED_HANDLE_SESSION},
    {"sessions_feed", progress_sessions_feed, NESTED_HANDLE_SESSION},
    {"score", progress_session_score, 0}, /* works on a fork: the session is free */
    {"generate", progress_session_generate, NESTED_HANDLE_SESSION},
    {"session_save", progress_session_save, 0},
    {"step", progress_trainer_step, NESTED_HANDLE_TRAINER},
    {"accumulate", progress_trainer_accumulate, NESTED_HANDLE_TRAINER},
    {"fit", progress_trainer_fit, NESTED_HANDLE_TRAINER},
    {"trainer_save", progress_trainer_save, NESTED_HANDLE_TRAINER},
    {"trainer_load", progress_trainer_load, NESTED_HANDLE_TRAINER},
    {"evaluate", progress_model_evaluate, NESTED_HANDLE_MODEL},
    {"forward", progress_model_forward, NESTED_HANDLE_MODEL},
    {"model_save", progress_model_save, NESTED_HANDLE_MODEL},
    {"model_load", progress_model_load, 0},
    {"consolidate", progress_model_consolidate, NESTED_HANDLE_MODEL},
};

static void start_again(tour *t)
{
    OK(nested_model_params_set(t->model, t->params, t->n_params));
    OK(nested_session_restore(t->session, t->snapshot));
    OK(nested_session_restore(t->second, t->snapshot));
    OK(nested_trainer_load(t->trainer, t->trainer_file, NULL));
    visits = 0;
}

static void answers(const origin *o)
{
    uint64_t untouched, undisturbed;
    nested_error e;
    int32_t said;
    start_again(&own);
    untouched = tour_hash(&own);
    mode = ANSWER;
    answer = 0;
    OK(o->go(&own));
    CHECK(visits >= 1);
    at = visits < 2 ? visits : 2;
    undisturbed = tour_hash(&own);
    for (said = -7; said <= 1; said += 8) {
        nested_status status;
        start_again(&own);
        answer = said;
        status = o->go(&own);
        if (said > 0 && strcmp(o->name, "token") == 0) OK(status); /* stops after this token */
        else if (said > 0 && strcmp(o->name, "allreduce") != 0) FAILS(NESTED_E_CANCELLED, status);
        else FAILS(NESTED_E_CALLBACK, status);
        NESTED_INIT(e);
        OK(nested_last_error(&e));
        if (status == NESTED_E_CALLBACK) CHECK(e.callback_code == said);
        CHECK(visits == (said > 0 ? at : 1)); /* and none after it */
        if (o->busy == NESTED_HANDLE_TRAINER && strcmp(o->name, "fit") != 0) CHECK(tour_hash(&own) == untouched);
    }
    /* Every function, on other objects. */
    start_again(&own);
    mode = ENTER_OTHER;
    refused = worked = 0;
    OK(o->go(&own));
    CHECK(worked == TOUR_LENGTH && refused == 0);
    CHECK(tour_hash(&own) == undisturbed);
}

static void enter_own(const origin *o)
{
    int busy = o->busy;
    start_again(&own);
    mode = ENTER_OWN;
    at = 1;
    refused = worked = 0;
    memset(refused_kind, 0, sizeof refused_kind);
    memset(worked_kind, 0, sizeof worked_kind);
    (void)o->go(&own); /* what its own callback did to it is the host's business */
    CHECK(refused + worked == TOUR_LENGTH);
    CHECK(refused_kind[0] == 0 && refused_kind[NESTED_HANDLE_CONFIG] == 0 && refused_kind[NESTED_HANDLE_CONTEXT] == 0);
    if (busy == 0) CHECK(refused == 0);
    /* Three functions read, teach and ask a session of another model; session_reset works on the second session. */
    if (busy == NESTED_HANDLE_SESSION) CHECK(worked_kind[busy] <= 3 + 1 && refused_kind[NESTED_HANDLE_TRAINER] == 0);
    if (busy == NESTED_HANDLE_TRAINER) CHECK(worked_kind[busy] == 0 && worked_kind[NESTED_HANDLE_SESSION] == 3);
    if (busy == NESTED_HANDLE_MODEL) CHECK(worked_kind[NESTED_HANDLE_SESSION] == 3);
}

/* The log speaks when the call has let go of its objects: everything may be called. */
static int records, inside;

static void on_log(void *user, const nested_log_record *record)
{
    CHECK(user == &records && record->struct_size == sizeof *record && record->message[0] != '\0');
    records++;
    if (inside || own.cancel == NULL) return;
    inside = 1;
    walk(&other);
    refused = 0;
    walk(&own);
    CHECK(refused == 0);
    inside = 0;
}

static void logs(void)
{
    nested_context_options options;
    nested_context *loud = NULL;
    nested_model *model = NULL;
    NESTED_INIT(options);
    options.n_threads = 1;
    options.log_level = NESTED_LOG_DEBUG;
    options.log = on_log;
    options.log_user = &records;
    OK(nested_context_create(&options, &loud));
    OK(nested_model_load(loud, own.model_file, 0, NULL, &model));
    FAILS(NESTED_E_IO, nested_model_save(model, "/no/such/folder/file", 0, NULL));
    CHECK(records >= 3);
    nested_model_release(model);
    nested_context_release(loud);
}

int main(void)
{
    size_t i;
    alarm(120);
    tour_open(&own, 2);
    tour_open(&other, 2);
    for (i = 0; i < sizeof origins / sizeof *origins; i++) answers(&origins[i]);
    logs();
    for (i = 0; i < sizeof origins / sizeof *origins; i++) enter_own(&origins[i]);
    tour_close(&own);
    tour_release(&other); /* the files are the same */
    free(other.params);
    remove_scratch();
    return done();
}
