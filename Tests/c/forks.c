/* Rule R11: fork() before any use, after use, and during use by another thread. A child never hangs. */
#include "tour.h"

#include <pthread.h>
#include <sys/wait.h>

static int32_t text[32];
static tour t;

/* The child's answer is its exit status; 14 seconds and it is killed. */
static void in_child(int (*body)(void *), void *user)
{
    pid_t child = fork();
    int status = 0;
    CHECK(child >= 0);
    if (child == 0) {
        alarm(14);
        _exit(body(user));
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fprintf(stderr, "child: status %#x\n", (unsigned)status);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int fresh(void *user)
{
    nested_context *c = make_context(2);
    nested_model *m = make_model(c, 1);
    nested_session *s = make_session(m, NESTED_LEARN_ON);
    nested_batch batch = make_batch(text, 2, 16);
    nested_eval eval;
    (void)user;
    NESTED_INIT(eval);
    if (nested_session_feed(s, text, 20, NULL, NULL, NULL) != NESTED_OK) return 1;
    if (nested_model_evaluate(m, &batch, NULL, &eval) != NESTED_OK) return 2;
    nested_session_release(s);
    nested_model_release(m);
    nested_context_release(c);
    return 0;
}

typedef struct {
    nested_context *context;
    nested_model *model;
    nested_session *session;
    nested_trainer *trainer;
    nested_snapshot *snapshot;
    nested_config *config;
    nested_cancel *cancel;
    nested_blob *blob;
} objects;

static void make(objects *o, int threads)
{
    o->context = make_context(threads);
    o->model = make_model(o->context, 1);
    o->session = make_session(o->model, NESTED_LEARN_ON);
    OK(nested_session_feed(o->session, text, 20, NULL, NULL, NULL));
    OK(nested_trainer_create(o->model, NULL, 0, &o->trainer));
    OK(nested_session_snapshot(o->session, &o->snapshot));
    o->config = make_config(small_config);
    OK(nested_cancel_create(&o->cancel));
    OK(nested_config_to_json(o->config, NULL, &o->blob));
}

static void drop(objects *o)
{
    nested_context_release(o->context);
    nested_model_release(o->model);
    nested_session_release(o->session);
    nested_trainer_release(o->trainer);
    nested_snapshot_release(o->snapshot);
    nested_config_release(o->config);
    nested_cancel_release(o->cancel);
    nested_blob_release(o->blob);
}

/* With threads: everything made from the context is refused, and can be released. */
static int with_threads(void *user)
{
    objects *o = (objects *)user;
    nested_memory_stats stats;
    nested_model *copy = NULL;
    nested_session *session = NULL;
    nested_blob *blob = NULL;
    NESTED_INIT(stats);
    if (nested_context_memory(o->context, &stats) != NESTED_E_FORKED) return 1;
    if (nested_model_clone(o->model, &copy) != NESTED_E_FORKED) return 2;
    if (nested_session_feed(o->session, text, 1, NULL, NULL, NULL) != NESTED_E_FORKED) return 3;
    if (nested_trainer_zero(o->trainer) != NESTED_E_FORKED) return 4;
    if (nested_snapshot_to_blob(o->snapshot, &blob) != NESTED_E_FORKED) return 5;
    if (nested_session_create(o->model, NULL, &session) != NESTED_E_FORKED) return 6;
    if (nested_config_validate(o->config) != NESTED_OK || nested_cancel_raise(o->cancel) != NESTED_OK) return 7;
    if (nested_blob_size(o->blob) == 0) return 8;
    drop(o);
    if (nested_live_handles(NESTED_HANDLE_ANY) != 0) return 9;
    return fresh(NULL);
}

/* Without: everything goes on. */
static int without_threads(void *user)
{
    objects *o = (objects *)user;
    nested_batch batch = make_batch(text, 2, 16);
    nested_session_info info;
    NESTED_INIT(info);
    if (nested_session_feed(o->session, text, 12, NULL, NULL, NULL) != NESTED_OK) return 1;
    if (nested_trainer_step(o->trainer, &batch, NULL, NULL) != NESTED_OK) return 2;
    if (nested_session_get_info(o->session, &info) != NESTED_OK || info.position != 32) return 3;
    drop(o);
    return nested_live_handles(NESTED_HANDLE_ANY) == 0 ? fresh(NULL) : 4;
}

static int stop;
static void *work(void *user)
{
    objects *o = (objects *)user;
    nested_batch batch = make_batch(text, 2, 16);
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        OK(nested_session_feed(o->session, text, 20, NULL, NULL, NULL));
        OK(nested_trainer_step(o->trainer, &batch, NULL, NULL));
    }
    return NULL;
}

/* The session may have been busy when the process was copied. */
static int during(void *user)
{
    objects *o = (objects *)user;
    nested_session_info info;
    nested_status status;
    NESTED_INIT(info);
    status = nested_session_get_info(o->session, &info);
    if (status != NESTED_OK && status != NESTED_E_FORKED) return 1;
    return fresh(NULL);
}

/* Every function in a child: with threads, what needs the context is refused; without, all of it works. */
static int walk(void *threads)
{
    int i;
    for (i = 0; i < TOUR_LENGTH; i++) {
        int kind = tour_steps[i].kind;
        int free = kind == 0 || kind == NESTED_HANDLE_CONFIG || kind == NESTED_HANDLE_CANCEL || kind == NESTED_HANDLE_BLOB;
        nested_status status = tour_steps[i].go(&t);
        if (status == (free || threads == NULL ? NESTED_OK : NESTED_E_FORKED)) continue;
        fprintf(stderr, "%s in a child: %s\n", tour_steps[i].function, nested_status_name(status));
        return 1;
    }
    tour_release(&t);
    return nested_live_handles(NESTED_HANDLE_ANY) == 0 ? fresh(NULL) : 2;
}

/* fork() in a callback, that is, in the middle of a call on the same thread. The child goes back into the call, or leaves. */
static pid_t forked;
static int goes_back;

static int32_t fork_in_callback(void *user, const nested_progress *p)
{
    (void)user;
    (void)p;
    if (forked != 0) return 0;
    forked = fork();
    CHECK(forked >= 0);
    if (forked == 0) {
        alarm(14);
        if (!goes_back) _exit(fresh(NULL));
        forked = -1;
    }
    return 0;
}

static void in_the_middle(int threads)
{
    static const char *const calls[] = {"nested_session_feed", "nested_trainer_fit", "nested_model_evaluate", "nested_model_save"};
    nested_run run;
    size_t i;
    NESTED_INIT(run);
    run.progress = fork_in_callback;
    for (goes_back = 0; goes_back < 2; goes_back++)
        for (i = 0; i < sizeof calls / sizeof *calls; i++) {
            int j, status = 0;
            nested_status answer;
            for (j = 0; strcmp(tour_steps[j].function, calls[i]) != 0; j++) continue;
            tour_open(&t, threads);
            t.run = &run;
            forked = 0;
            answer = tour_steps[j].go(&t);
            if (forked < 0) { /* the child */
                if (answer != NESTED_OK && answer != NESTED_E_FORKED) _exit(5);
                tour_release(&t);
                _exit(nested_live_handles(NESTED_HANDLE_ANY) != 0 ? 6 : fresh(NULL));
            }
            OK(answer);
            CHECK(waitpid(forked, &status, 0) == forked);
            if (status != 0) fprintf(stderr, "%s, %d threads, back %d: %#x\n", calls[i], threads, goes_back, (unsigned)status);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            tour_close(&t);
        }
}

int main(void)
{
    objects o;
    pthread_t thread;
    int i;
    fill_tokens(text, 32, 1);
    in_child(fresh, NULL);
    make(&o, 2);
    in_child(with_threads, &o);
    OK(nested_session_feed(o.session, text, 1, NULL, NULL, NULL));
    CHECK(pthread_create(&thread, NULL, work, &o) == 0);
    for (i = 0; i < 10; i++) in_child(during, &o);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    CHECK(pthread_join(thread, NULL) == 0);
    drop(&o);
    make(&o, 1);
    in_child(without_threads, &o);
    drop(&o);

    tour_open(&t, 2);
    in_child(walk, &t);
    for (i = 0; i < TOUR_LENGTH; i++) OK(tour_steps[i].go(&t)); /* the parent does not notice */
    in_child(walk, &t);
    tour_close(&t);
    tour_open(&t, 1);
    in_child(walk, NULL);
    tour_close(&t);
    in_the_middle(1);
    in_the_middle(3);
    remove_scratch();
    return done();
}
