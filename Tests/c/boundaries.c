/* Rules R5 and R6 for every long call: stopped at its first, second, third ... report until it gets through, by the callback's answer, by
 * the callback's failure, and by the token. What it had committed equals a fresh call that does just so much, bit for bit; a call that
 * does everything or nothing has done nothing. */
#include "tour.h"

enum { STOP, FAIL, RAISE, N_WAYS };

static int reports, stop_at, way;
static nested_cancel *raised;
static uint64_t last_done;

static int32_t watch(void *user, const nested_progress *p)
{
    CHECK(user == &reports && p->struct_size == sizeof *p && p->stage[0] != '\0');
    CHECK(p->total == 0 || p->done <= p->total);
    CHECK(reports == 0 || p->done > last_done || p->done == p->total || p->total == 0); /* it goes on */
    last_done = p->done;
    if (++reports != stop_at) return 0;
    if (way == RAISE) OK(nested_cancel_raise(raised));
    return way == STOP ? 1 : way == FAIL ? -7 : 0;
}

/* The four calls that commit in pieces, for the first `n` pieces of `total`; `committed` says how many it was. */
static int64_t committed;

static nested_status feed(tour *t, int64_t n)
{
    nested_view view = dense_view(t->values, NESTED_F64, n, VOCAB);
    nested_feed out;
    nested_status status;
    NESTED_INIT(out);
    if (n * VOCAB * 8 > (int64_t)sizeof t->values) view.ndim = 1, view.shape[0] = VOCAB;
    status = nested_session_feed(t->session, t->text, (size_t)n, t->run, &view, &out);
    committed = out.n_consumed;
    CHECK(committed == n || (committed + 20) % 8 == 0 || committed == 0); /* 20 read before, segments of 8 */
    return status;
}

static nested_status generate(tour *t, int64_t n)
{
    size_t count = 99;
    nested_status status = nested_session_generate(t->session, NULL, (size_t)n, NULL, NULL, t->run, NULL, &count, NULL);
    committed = (int64_t)count;
    return status;
}

static nested_status feed_both(tour *t, int64_t n)
{
    nested_session *list[2];
    size_t count = 99;
    nested_status status;
    list[0] = t->session;
    list[1] = t->second;
    status = nested_sessions_feed(list, (size_t)n, t->text, t->run, NULL, &count);
    committed = (int64_t)count;
    return status;
}

static nested_status fit(tour *t, int64_t n)
{
    nested_fit out;
    nested_status status;
    NESTED_INIT(out);
    status = nested_trainer_fit(t->trainer, t->text, TOUR_TOKENS, n, 2, 16, t->run, &out);
    committed = (int64_t)out.n_steps;
    return status;
}

static void start_again(tour *t)
{
    OK(nested_cancel_clear(raised));
    OK(nested_model_params_set(t->model, t->params, t->n_params));
    OK(nested_session_restore(t->session, t->snapshot));
    OK(nested_session_restore(t->second, t->snapshot));
    OK(nested_trainer_load(t->trainer, t->trainer_file, NULL));
}

static nested_status stopped_at(tour *t, int k, int how, nested_status (*pieces)(tour *, int64_t), int64_t total,
                                const tour_step *step)
{
    nested_run run;
    nested_status status;
    NESTED_INIT(run);
    run.progress = watch;
    run.user = &reports;
    run.cancel = raised;
    reports = 0;
    stop_at = k;
    way = how;
    t->run = &run;
    status = pieces != NULL ? pieces(t, total) : step->go(t);
    t->run = NULL;
    if (reports < k) {
        OK(status);
        return status;
    }
    if (how == FAIL) {
        nested_error e;
        FAILS(NESTED_E_CALLBACK, status);
        NESTED_INIT(e);
        OK(nested_last_error(&e));
        CHECK(e.callback_code == -7);
    } else FAILS(NESTED_E_CANCELLED, status);
    CHECK(reports == k); /* no report after the stop */
    return status;
}

static int in_pieces(tour *t, nested_status (*call)(tour *, int64_t), int64_t total, int least)
{
    int k, how;
    for (how = 0; how < N_WAYS; how++)
        for (k = 1;; k++) {
            uint64_t got;
            start_again(t);
            if (stopped_at(t, k, how, call, total, NULL) == NESTED_OK) break;
            CHECK(committed >= 0 && committed <= total && (k > 1 || committed == 0));
            got = tour_hash(t);
            start_again(t);
            if (committed > 0) OK(call(t, committed));
            CHECK(tour_hash(t) == got);
        }
    CHECK(k > least);
    return k - 1;
}

static int whole(tour *t, const tour_step *step)
{
    int k, how;
    for (how = 0; how < N_WAYS; how++)
        for (k = 1;; k++) {
            uint64_t before;
            int64_t handles = nested_live_handles(NESTED_HANDLE_ANY);
            start_again(t);
            (void)unlink(t->output_file);
            /* something to apply */
            if (strcmp(step->function, "nested_trainer_apply") == 0) {
                nested_batch batch = make_batch(t->text, 2, 24);
                OK(nested_trainer_accumulate(t->trainer, &batch, NULL, NULL));
            }
            before = tour_hash(t);
            if (stopped_at(t, k, how, NULL, 0, step) == NESTED_OK) break;
            OK(nested_cancel_clear(raised));
            CHECK(tour_hash(t) == before && nested_live_handles(NESTED_HANDLE_ANY) == handles);
            CHECK(access(t->output_file, F_OK) != 0); /* a save that was stopped leaves none */
            OK(step->go(t));
        }
    CHECK(k > 1);
    return k - 1;
}

int main(void)
{
    static const char *const calls[] = {
        "nested_model_save", "nested_model_load", "nested_model_evaluate", "nested_model_forward", "nested_trainer_step",
        "nested_trainer_accumulate", "nested_trainer_apply", "nested_trainer_save", "nested_trainer_load",
        "nested_model_import", "nested_model_stack", "nested_session_predict",
        "nested_session_score", "nested_session_save", "nested_session_load", "nested_model_consolidate"};
    tour t;
    size_t i;
    int j, at_all = 0;
    tour_open(&t, 1);
    OK(nested_cancel_create(&raised));
    at_all += in_pieces(&t, feed, TOUR_TOKENS, 8);
    at_all += in_pieces(&t, generate, 24, 20);
    at_all += in_pieces(&t, feed_both, 2, 2);
    at_all += in_pieces(&t, fit, 3, 3);
    for (i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (j = 0; strcmp(tour_steps[j].function, calls[i]) != 0; j++) continue;
        at_all += whole(&t, &tour_steps[j]);
    }
    CHECK(at_all > 80);
    nested_cancel_release(raised);
    tour_close(&t);
    remove_scratch();
    return done();
}
