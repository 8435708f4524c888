/* Section 5: progress and cancelling of every long call; what a cancelled call has committed. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#define N 400

static nested_context *context;
static nested_model *model;
static int32_t text[N];

typedef struct {
    int calls, stop_at, answer;
    uint64_t last;
    const char *stage;
    nested_cancel *raise;
} watcher;

static int32_t watch(void *user, const nested_progress *p)
{
    watcher *w = (watcher *)user;
    CHECK(p->struct_size == sizeof *p && p->stage != NULL && p->elapsed_s >= 0);
    CHECK(p->total == 0 || p->done <= p->total);
    w->calls++;
    w->last = p->done;
    w->stage = p->stage;
    if (w->calls == w->stop_at) {
        if (w->raise != NULL) OK(nested_cancel_raise(w->raise));
        return w->answer;
    }
    return 0;
}

static nested_run watched(watcher *w, int stop_at, int answer)
{
    nested_run run;
    NESTED_INIT(run);
    memset(w, 0, sizeof *w);
    w->stop_at = stop_at;
    w->answer = answer;
    run.progress = watch;
    run.user = w;
    return run;
}

/* Stopped anywhere, the session stands where a session that read so much stands, and can go on. */
static void feeding(void)
{
    nested_session *reference = make_session(model, NESTED_LEARN_ON);
    static float wanted[N * VOCAB], got[N * VOCAB];
    nested_view v = dense_view(wanted, NESTED_F32, N, VOCAB);
    watcher w;
    nested_run run = watched(&w, -1, 0);
    int total, at;
    OK(nested_session_feed(reference, text, N, &run, &v, NULL));
    total = w.calls;
    CHECK(total > 10 && w.last <= N);
    for (at = 1; at <= total; at += at < 6 ? 1 : 11) {
        nested_session *s = make_session(model, NESTED_LEARN_ON);
        nested_feed fed;
        nested_status status;
        NESTED_INIT(fed);
        run = watched(&w, at, 1);
        v = dense_view(got, NESTED_F32, N, VOCAB);
        status = nested_session_feed(s, text, N, &run, &v, &fed);
        CHECK(status == NESTED_E_CANCELLED && fed.n_consumed >= 0 && fed.n_consumed <= N);
        CHECK(at > 1 || fed.n_consumed == 0);
        if (fed.n_consumed < N) {
            v = dense_view(got + fed.n_consumed * VOCAB, NESTED_F32, N - fed.n_consumed, VOCAB);
            OK(nested_session_feed(s, text + fed.n_consumed, (size_t)(N - fed.n_consumed), NULL, &v, NULL));
        }
        CHECK(same(got, wanted, sizeof wanted));
        nested_session_release(s);
    }
    nested_session_release(reference);
}

static void failing_callbacks(void)
{
    nested_session *s = make_session(model, NESTED_LEARN_MEMORY);
    nested_batch batch = make_batch(text, 2, 32);
    nested_eval eval;
    nested_error e;
    watcher w;
    nested_run run = watched(&w, 1, -42);
    nested_cancel *cancel = NULL;
    static float logits[2 * 32 * VOCAB];
    nested_view v = dense_view(logits, NESTED_F32, 2, 32);
    size_t count = 9;
    double sum = 3;
    NESTED_INIT(eval);
    NESTED_INIT(e);
    v.ndim = 3;
    v.shape[2] = VOCAB;
    FAILS(NESTED_E_CALLBACK, nested_session_feed(s, text, 5, &run, NULL, NULL));
    OK(nested_last_error(&e));
    CHECK(e.callback_code == -42);

    /* A token that is up before the call: nothing happens at all. */
    OK(nested_cancel_create(&cancel));
    NESTED_INIT(run);
    run.cancel = cancel;
    OK(nested_session_feed(s, text, 5, &run, NULL, NULL));
    OK(nested_cancel_raise(cancel));
    CHECK(nested_cancel_is_raised(cancel) == 1);
    FAILS(NESTED_E_CANCELLED, nested_session_feed(s, text, 5, &run, NULL, NULL));
    FAILS(NESTED_E_CANCELLED, nested_session_score(s, text, 5, &run, NULL, &sum));
    FAILS(NESTED_E_CANCELLED, nested_session_generate(s, NULL, 5, NULL, NULL, &run, NULL, &count, NULL));
    FAILS(NESTED_E_CANCELLED, nested_session_save(s, "/tmp/nested-never", 0, &run));
    FAILS(NESTED_E_CANCELLED, nested_model_evaluate(model, &batch, &run, &eval));
    FAILS(NESTED_E_CANCELLED, nested_model_forward(model, &batch, &run, &v));
    FAILS(NESTED_E_CANCELLED, nested_model_save(model, "/tmp/nested-never", 0, &run));
    CHECK(access("/tmp/nested-never", F_OK) != 0 && sum == 3);
    OK(nested_cancel_clear(cancel));
    CHECK(nested_cancel_is_raised(cancel) == 0);
    OK(nested_session_feed(s, text, 5, &run, NULL, NULL));

    /* Raised by the callback itself; released while it is watched. */
    run = watched(&w, 2, 0);
    run.cancel = w.raise = cancel;
    FAILS(NESTED_E_CANCELLED, nested_session_feed(s, text, 300, &run, NULL, NULL));
    nested_cancel_release(cancel);
    FAILS(NESTED_E_HANDLE, nested_session_feed(s, text, 5, &run, NULL, NULL));

    /* At most so often. */
    run = watched(&w, -1, 0);
    run.interval_ms = 60000;
    OK(nested_session_feed(s, text, N, &run, NULL, NULL));
    CHECK(w.calls == 1);
    nested_session_release(s);
}

static void training(void)
{
    nested_model *a = make_model(context, 1), *fresh = make_model(context, 1);
    nested_trainer *x = NULL;
    nested_batch batch = make_batch(text, 4, 100);
    watcher w;
    nested_run run;
    nested_step step;
    nested_fit fit;
    int at, stopped = 0;
    NESTED_INIT(step);
    NESTED_INIT(fit);
    OK(nested_trainer_create(a, NULL, 0, &x));
    for (at = 1; at < 6; at++) {
        run = watched(&w, at, 1);
        if (nested_trainer_accumulate(x, &batch, &run, NULL) == NESTED_E_CANCELLED) {
            double *n_targets = NULL;
            float *gradient = NULL;
            size_t i, count = 0;
            stopped++;
            OK(nested_trainer_gradient(x, &gradient, &count, &n_targets));
            for (i = 0; i < count && gradient[i] == 0; i++) continue;
            CHECK(i == count && *n_targets == 0);
        }
        OK(nested_trainer_zero(x));
    }
    CHECK(stopped > 0 && same_weights(a, fresh));
    run = watched(&w, 1, 1);
    FAILS(NESTED_E_CANCELLED, nested_trainer_step(x, &batch, &run, &step));
    CHECK(same_weights(a, fresh));

    /* fit: whole steps stay. */
    run = watched(&w, -1, 0);
    OK(nested_trainer_fit(x, text, N, 3, 2, 16, &run, &fit));
    CHECK(strcmp(w.stage, "fit") == 0 && w.last == 3);
    at = w.calls;
    run = watched(&w, at / 2, 1);
    FAILS(NESTED_E_CANCELLED, nested_trainer_fit(x, text, N, 3, 2, 16, &run, &fit));
    CHECK(fit.n_steps < 3);
    OK(nested_trainer_step(x, &batch, NULL, &step));
    CHECK(step.step == 3 + fit.n_steps + 1);
    nested_trainer_release(x);
    nested_model_release(a);
    nested_model_release(fresh);
}

/* From another thread, and from a signal handler. */
static nested_cancel *shared_cancel;

static void *raise_later(void *unused)
{
    (void)unused;
    usleep(20000);
    OK(nested_cancel_raise(shared_cancel));
    return NULL;
}

static void on_alarm(int signal)
{
    (void)signal;
    (void)nested_cancel_raise(shared_cancel);
}

static void from_outside(void)
{
    nested_session *s = make_session(model, NESTED_LEARN_MEMORY);
    nested_run run;
    nested_feed fed;
    pthread_t thread;
    struct sigaction action, old;
    struct itimerval timer;
    int32_t *many = (int32_t *)malloc(200000 * sizeof *many);
    CHECK(many != NULL);
    fill_tokens(many, 200000, 1);
    OK(nested_cancel_create(&shared_cancel));
    NESTED_INIT(run);
    NESTED_INIT(fed);
    run.cancel = shared_cancel;
    CHECK(pthread_create(&thread, NULL, raise_later, NULL) == 0);
    FAILS(NESTED_E_CANCELLED, nested_session_feed(s, many, 200000, &run, NULL, &fed));
    CHECK(fed.n_consumed < 200000);
    CHECK(pthread_join(thread, NULL) == 0);

    OK(nested_cancel_clear(shared_cancel));
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    CHECK(sigaction(SIGALRM, &action, &old) == 0);
    memset(&timer, 0, sizeof timer);
    timer.it_value.tv_usec = 20000;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    FAILS(NESTED_E_CANCELLED, nested_session_feed(s, many, 200000, &run, NULL, &fed));
    CHECK(fed.n_consumed < 200000);
    CHECK(sigaction(SIGALRM, &old, NULL) == 0);
    nested_cancel_release(shared_cancel);
    nested_session_release(s);
    free(many);
}

int main(void)
{
    context = make_context(2);
    model = make_model(context, 1);
    fill_tokens(text, N, 21);
    feeding();
    failing_callbacks();
    training();
    from_outside();
    nested_model_release(model);
    nested_context_release(context);
    return done();
}
